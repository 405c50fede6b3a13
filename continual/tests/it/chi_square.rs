//! Whether counts are those of a uniform draw. Seeds are fixed, so a test that passes once always does; the error rate says how often another
//! seed would fail a right program.

/// The value that a chi-square variable exceeds with probability 1e-6 or less: Wilson and Hilferty's cube, which
/// is above the true value where it differs, by 15 % at 1 degree of freedom and 5 % at 5.
pub(crate) fn critical(degrees: usize) -> f64 {
    let degrees = degrees as f64;
    let spread = 2.0 / (9.0 * degrees);
    degrees * (1.0 - spread + 4.7534 * spread.sqrt()).powi(3)
}

/// The statistic of `counts` that all have the same mean, over its value at 1e-6: above 1 they are not uniform.
pub(crate) fn of_equal_cells(counts: &[f64]) -> f64 {
    let mean = counts.iter().sum::<f64>() / counts.len() as f64;
    let sum: f64 = counts.iter().map(|count| (count - mean).powi(2) / mean).sum();
    sum / critical(counts.len() - 1)
}

/// The same for how often each item was in a simple random sample of a fixed size, over `draws` samples: the counts of one sample add up
/// to its size, so their covariance is p (1 - p) n / (n - 1) times that of a projection, and n - 1 degrees are left.
pub(crate) fn of_inclusions(counts: &[f64], draws: f64) -> f64 {
    let items = counts.len() as f64;
    let share = counts.iter().sum::<f64>() / (items * draws);
    let variance = draws * share * (1.0 - share) * items / (items - 1.0);
    let sum: f64 = counts.iter().map(|count| (count - draws * share).powi(2) / variance).sum();
    sum / critical(counts.len() - 1)
}

#[test]
fn critical_values_are_those_of_the_tables() {
    // scipy.stats.chi2.isf(1e-6, degrees), and how far above it the cube is.
    for (degrees, value, above) in
        [(1, 23.92813, 0.15), (5, 35.88819, 0.046), (39, 96.12556, 0.006), (99, 180.79202, 0.002)]
    {
        let over = critical(degrees) / value - 1.0;
        assert!((0.0..above).contains(&over), "{degrees} degrees: {over} above scipy's {value}");
    }
}
