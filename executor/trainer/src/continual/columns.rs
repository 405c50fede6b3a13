//! What is measured after every stage: the validation data of each stage, and the general file.

use std::rc::Rc;

use trainyard_continual::StageName;

use crate::data::Dataset;
use crate::error::Result;
use crate::train::session::Session;
use crate::train::state::Measured;

/// The columns of the matrices, in their order.
#[derive(Debug)]
pub struct Columns {
    /// Each stage that can be measured, with what it is measured on.
    pub stages: Vec<(StageName, Rc<Dataset>)>,
    /// The general file.
    pub held_out: Option<Rc<Dataset>>,
}

/// The model measured on all columns.
#[derive(Debug, Clone)]
pub struct MeasuredRow {
    /// On each stage.
    pub stages: Vec<Measured>,
    /// On the general file.
    pub held_out: Option<Measured>,
}

impl Columns {
    /// Measures the session's model; `None` where it was cut short.
    ///
    /// # Errors
    /// `diverged` where a loss is no number; as libtorch reports.
    pub fn measure(&self, session: &mut Session<'_>) -> Result<Option<MeasuredRow>> {
        let mut stages = Vec::with_capacity(self.stages.len());
        for (_, dataset) in &self.stages {
            let Some(measured) = session.measure(dataset)? else { return Ok(None) };
            stages.push(measured);
        }
        let held_out = match &self.held_out {
            Some(dataset) => match session.measure(dataset)? {
                Some(measured) => Some(measured),
                None => return Ok(None),
            },
            None => None,
        };
        Ok(Some(MeasuredRow { stages, held_out }))
    }
}

/// The mean of what was measured on several stages; `None` of none.
pub(super) fn mean(measured: &[Measured], step: u64) -> Option<Measured> {
    let count = measured.len() as f64;
    let of = |value: fn(&Measured) -> f64| measured.iter().map(value).sum::<f64>() / count;
    (!measured.is_empty()).then(|| Measured {
        step,
        loss: of(|one| one.loss),
        accuracy: of(|one| one.accuracy),
    })
}
