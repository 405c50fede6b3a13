//! What is done when memory runs out: the same work again in half as large pieces.
//!
//! The loss is divided by the target tokens of the whole effective batch, so the size of a micro-batch changes nothing but the order
//! of sums, and which numbers dropout draws.

use trainyard_plan::trainer::TrainerEvent;

use crate::error::{Result, TrainerError};
use crate::run::events::Events;

/// Half of a micro-batch of `rows` rows, told with the step at hand.
///
/// # Errors
/// `out_of_memory` where there is only one row, as libtorch's text `reason` says; then the run cannot go on.
pub fn halve(rows: u32, step: u64, reason: String, events: &Events) -> Result<u32> {
    if rows <= 1 {
        return Err(TrainerError::TooLarge(reason));
    }
    let half = rows / 2;
    events.emit(&TrainerEvent::MicroBatchReduced { step, from: rows, to: half, reason })?;
    Ok(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_is_the_least() {
        let events = Events::new(Box::new(std::io::sink()), None);
        assert_eq!(halve(5, 1, "no memory".into(), &events).unwrap(), 2);
        let error = halve(1, 1, "can't allocate memory".into(), &events).unwrap_err();
        assert_eq!((error.code(), error.is_user()), ("out_of_memory", true));
        assert!(error.to_string().contains("max_length"), "{error}");
        assert!(!TrainerError::OutOfMemory("elsewhere".into()).is_user(), "a smaller one may fit");
    }
}
