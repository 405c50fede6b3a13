//! The end of a stage: measured on all stages, judged by the gate, taken up or put back, and written down.

use trainyard_openapi::extension::StageResult;
use trainyard_plan::trainer::TrainerEvent;

use crate::continual::columns::mean;
use crate::continual::stream::Stream;
use crate::continual::{Staged, StreamState, matrices, refused};
use crate::error::Result;
use crate::train::session::{Mode, Session};
use crate::train::state::Measured;

impl Stream<'_> {
    /// Ends the stage at hand; false where that was cut short, which leaves everything as it was.
    pub(super) fn end(&self, session: &mut Session<'_>) -> Result<bool> {
        let mut mode = std::mem::take(&mut session.mode);
        let ended = match &mut mode {
            Mode::Staged(staged) => self.end_with(session, staged),
            _ => Ok(None),
        };
        session.mode = mode;
        let Some((name, result)) = ended? else { return Ok(false) };
        let StageResult { kept, reason, .. } = result;
        let told = self.result(session)?;
        session.events.emit(&TrainerEvent::StageEnded {
            name: name.clone(),
            kept,
            reason,
            result: told,
        })?;
        session.write_checkpoint(Some(&name))?;
        Ok(true)
    }

    fn end_with(
        &self,
        session: &mut Session<'_>,
        staged: &mut Staged,
    ) -> Result<Option<(String, StageResult)>> {
        let Some(state) = session.state.continual.clone() else { return Ok(None) };
        let given = state.order.get(state.stage).copied().unwrap_or(0);
        let measured = match state.matrices.is_empty() {
            true => None,
            false => {
                let trained = session.adapter_now()?;
                let candidate = staged.in_force(&session.tools(&staged.at)?, true)?;
                if let Some(candidate) = &candidate {
                    session.wear(candidate)?;
                }
                let row = self.columns(&state.order).measure(session);
                if candidate.is_some() {
                    session.wear(&trained)?;
                }
                match row? {
                    Some(row) => Some(row),
                    None => return Ok(None),
                }
            }
        };
        let verdict = match (&self.gate, &measured) {
            (Some(gate), Some(row)) => {
                Some(matrices::judge(gate, &state.matrices, row).map_err(refused)?)
            }
            _ => None,
        };
        let kept = verdict.as_ref().is_none_or(|verdict| verdict.keeps());
        if kept && !take_up(session, staged)? {
            return Ok(None);
        }
        if !kept && let Some(before) = staged.before.take() {
            session.wear(&before.adapter)?;
            staged.load(&before.states, &before.tensors)?;
        }
        staged.before = None;
        if !kept && staged.strategies.iter_mut().any(|strategy| strategy.rehearsal().is_some()) {
            // What was loaded names its files; they are opened again.
            for strategy in &mut staged.strategies {
                if let Some(rehearsal) = strategy.rehearsal() {
                    rehearsal.open(&self.library)?;
                }
            }
        }
        let result = StageResult {
            name: self.name(given),
            kept,
            reason: verdict.map(|verdict| verdict.to_string()),
            last_step: Some(session.state.step),
        };
        let mut state = state;
        if let Some(row) = &measured {
            matrices::add(&mut state.matrices, row, kept).map_err(refused)?;
            self.note_own(session, &state)?;
        }
        state.stages.push(result.clone());
        (state.stage, state.begun, state.replays) = (state.stage + 1, false, false);
        state.first_step = session.state.step;
        session.state.continual = Some(state);
        Ok(Some((result.name.clone(), result)))
    }

    /// Notes what the adapter in force scores on the stage that is over.
    fn note_own(&self, session: &mut Session<'_>, state: &StreamState) -> Result<()> {
        let [loss, accuracy] = state.matrices.as_slice() else { return Ok(()) };
        let last = |column: usize| Measured {
            step: session.state.step,
            loss: loss.latest().stages[column],
            accuracy: accuracy.latest().stages[column],
        };
        let own: Vec<Measured> = match self.joint {
            Some(_) => {
                let all = loss.stages().len();
                (all - self.stages.len()..all).map(last).collect()
            }
            None => vec![last(loss.rows().len() - 1)],
        };
        match mean(&own, session.state.step) {
            Some(measured) => session.note(measured),
            None => Ok(()),
        }
    }
}

/// Lets strategies take up what the stage has trained; false where that was cut short, which leaves them as they were.
fn take_up(session: &mut Session<'_>, staged: &mut Staged) -> Result<bool> {
    let (states, tensors) = (staged.states()?, staged.tensors()?);
    let mut whole = true;
    for strategy in &mut staged.strategies {
        let tools = session.tools(&staged.at)?;
        whole = whole && strategy.after_stage(&tools)?;
    }
    session.optimizer.discard_gradients()?;
    if !whole {
        staged.load(&states, &tensors)?;
    }
    Ok(whole)
}
