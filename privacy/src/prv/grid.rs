//! The points on which privacy loss is rounded: multiples of the mesh, from minus half to plus half of the points.

/// An even number of points around 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    /// Distance between points (nats).
    pub(super) mesh: f64,
    /// How many points; even, and a product of small primes for the transform's sake.
    pub(super) points: usize,
    /// The error of epsilon that this mesh bounds.
    pub(super) epsilon_error: f64,
}

impl Grid {
    /// A grid that spans at least `-reach..=reach` and whose rounding adds up to at most `epsilon_error`: the mesh times
    /// `deviation`.
    pub(super) fn new(reach: f64, epsilon_error: f64, deviation: f64) -> Self {
        let most = super::PrvAccountant::MAX_POINTS;
        let mesh = epsilon_error / deviation;
        let wanted = 2.0 * (reach / mesh).ceil() + 2.0;
        if wanted <= most as f64 {
            return Self { mesh, points: smooth(wanted as usize), epsilon_error };
        }
        let mesh = 2.0 * reach / (most - 2) as f64;
        Self { mesh, points: most, epsilon_error: mesh * deviation }
    }

    /// The largest multiple of the mesh on the positive side; the negative side has one more.
    pub(super) fn half(&self) -> i64 {
        (self.points / 2) as i64
    }

    /// Where the point with this number, from `-half` to `half - 1`, stands in a transform's circular buffer.
    pub(super) fn place(&self, number: i64) -> usize {
        number.rem_euclid(self.points as i64) as usize
    }
}

/// The smallest even number of at least `wanted` that is a power of two times 1, 3, 5 or 7.
fn smooth(wanted: usize) -> usize {
    let two = wanted.next_power_of_two().max(16);
    [5, 6, 7]
        .map(|eighths| two / 8 * eighths)
        .into_iter()
        .find(|size| *size >= wanted)
        .unwrap_or(two)
}
