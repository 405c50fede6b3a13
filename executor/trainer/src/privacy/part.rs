//! Parts of a private step that the audit has to miss where they are left out.

/// A part without which the promise does not hold, or costs more than it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// There is noise on the sum.
    Noise,
    /// There is noise once a step, and not once a micro-batch.
    OneNoise,
    /// A unit's gradient is cut.
    Clipping,
    /// Each unit's is cut by its own norm, and not the batch's by its.
    EachUnit,
    /// Units are drawn with the probability that is accounted.
    Rate,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Noise, Self::OneNoise, Self::Clipping, Self::EachUnit, Self::Rate];
}
