//! A new output head alone, which starts as the model's own.
//!
//! Nothing below it wants a gradient: the rest of the model runs forward alone, and keeps nothing. The head's gradient comes with the loss
//! ([`crate::objective::cross_entropy`]), as it does where all weights are trained. That of a unit is as large as the head; a private step
//! writes it down only where its rows are long ([`crate::privacy::ghost`]).

use crate::arch::CausalLm;
use crate::error::Result;
use crate::optim::parameters::Parameters;

/// The parameter's name, as transformers has it.
const NAME: &str = "lm_head.weight";

impl CausalLm {
    /// Trains a copy of the head.
    ///
    /// # Errors
    /// As libtorch reports.
    pub(crate) fn attach_head(&mut self) -> Result<()> {
        let shapes = vec![(NAME.to_string(), self.body.head_vd.size())];
        let parameters = Parameters::zeros(shapes, self.device())?;
        for head in parameters.each()? {
            head.value.shallow_clone().f_copy_(&self.body.head_vd)?;
            self.head = Some(head);
        }
        self.set_parameters(parameters);
        Ok(())
    }
}
