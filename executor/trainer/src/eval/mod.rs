//! Loss and token accuracy over a whole dataset: sums over all target tokens, divided once.

use crate::arch::CausalLm;
use crate::data::Dataset;
use crate::error::Result;
use crate::objective::cross_entropy::LossStats;
use crate::run::tensors::to_device;
use crate::train::control::Control;

/// Measures the model on `dataset` in batches of `rows` rows. `None` where it was cut short. Calls `progress` after each
/// batch.
///
/// # Errors
/// As libtorch reports, and what `progress` does.
pub fn evaluate(
    model: &CausalLm,
    dataset: &Dataset,
    rows: usize,
    pad: u32,
    control: &Control,
    mut progress: impl FnMut() -> Result<()>,
) -> Result<Option<LossStats>> {
    // Rows of like length together, so that little is padding; the sums do not depend on the order but for rounding, and the
    // order is the same each time.
    let mut order: Vec<usize> = (0..dataset.len()).collect();
    order.sort_by_key(|&row| dataset.row_length(row));
    let mut stats = LossStats::default();
    for batch in order.chunks(rows.max(1)) {
        if control.is_interrupted() {
            return Ok(None);
        }
        stats.add(model.evaluate(&to_device(&dataset.batch(batch, pad), model.device())?)?);
        progress()?;
    }
    Ok(Some(stats))
}
