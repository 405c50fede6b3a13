//! What a stream costs beside training on everything at once.

use super::mean;
use crate::error::{ContinualError, measured, within};
use crate::matrix::ForgettingMatrix;

/// `I = (1/n) sum over j = 1..n of a_j - R[j][j]`, where `a_j` is the score on stage j of a reference run trained on the stages 1..j
/// together: what could not be learned since the stream came one stage after the other. Chaudhry et al. 2018, there for one j; here the
/// mean. With one joint run over all stages its scores are the `a_j`, which then also hold what later stages gave.
///
/// `joint` has one value per stage of the matrix, in the measure's own sign. `None` before the first stage. Below 0 the stream
/// learned more than the reference.
///
/// # Errors
/// Another number of values than stages, or one outside -1e12 to 1e12 or NaN.
pub fn intransigence(
    matrix: &ForgettingMatrix,
    joint: &[f64],
) -> Result<Option<f64>, ContinualError> {
    let stages = matrix.stages().len();
    let limit = format_args!("{stages} values, one per stage");
    within("joint", limit, joint.len(), joint.len() == stages)?;
    for (stage, value) in joint.iter().enumerate() {
        measured(format_args!("joint[{stage}]"), *value)?;
    }
    let direction = matrix.metric().direction();
    let rows = matrix.turned();
    let own = rows.iter().enumerate().map(|(stage, row)| row[stage]);
    Ok(mean(joint.iter().zip(own).map(|(joint, own)| direction.turned(*joint) - own)))
}
