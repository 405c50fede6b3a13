//! The stage at hand: its rows, its steps and their rate, and what happens as it begins.

use std::rc::Rc;

use trainyard_openapi::extension::Strategy as Planned;

use crate::continual::staged::Before;
use crate::continual::stream::Stream;
use crate::continual::{Staged, refused};
use crate::data::{Dataset, Sampler};
use crate::error::Result;
use crate::run::schedule;
use crate::train::session::{Mode, Session, StepPlace};
use crate::train::state::Best;
use crate::train::step::EpochOrder;

/// What sets the orders of rows of two stages apart.
const STAGE_SEEDS_APART: u64 = 0x9e37_79b9_7f4a_7c15;

impl Stream<'_> {
    /// Sets data, steps and rate of the stage at hand, whether it begins or goes on.
    pub fn set_course(&self, session: &mut Session<'_>) -> Result<()> {
        let Some(state) = session.state.continual.clone() else {
            session.place.later_steps =
                (1..self.courses()).map(|given| self.steps(session, given)).sum();
            return Ok(());
        };
        let Some(&given) = state.order.get(state.stage) else {
            session.place = StepPlace { first_step: state.first_step, later_steps: 0 };
            return Ok(());
        };
        let at = self.at(state.stage, given);
        let later = state.order[state.stage + 1..].iter();
        session.place = StepPlace {
            first_step: state.first_step,
            later_steps: later.map(|&given| self.steps(session, given)).sum(),
        };
        session.sampler = self.sampler(session, given, &at.training, state.replays)?;
        session.schedule = schedule(session.plan, session.sampler.total_steps());
        session.training = Rc::clone(&at.training);
        session.validation = match self.joint {
            Some(_) => None,
            None => self.stages[given].validation.clone(),
        };
        if let Mode::Staged(staged) = &mut session.mode {
            staged.at = at;
        }
        Ok(())
    }

    /// The steps that a later stage will have: with replay, where the plan has that.
    fn steps(&self, session: &Session<'_>, given: usize) -> u64 {
        let training = &self.stages[given].training;
        self.sampler(session, given, training, true).map_or(0, |sampler| sampler.total_steps())
    }

    fn sampler(
        &self,
        session: &Session<'_>,
        given: usize,
        training: &Dataset,
        replays: bool,
    ) -> Result<Sampler> {
        let plan = session.plan;
        let seed = plan.seed.wrapping_add((given as u64).wrapping_mul(STAGE_SEEDS_APART));
        let (batch, epochs) = (plan.batch_size as usize, plan.epochs as usize);
        let sampler = Sampler::new(training.len(), batch, epochs, seed);
        let share = self.plan.strategies.iter().find_map(|plan| match plan {
            Planned::Replay(replay) => Some(replay.ratio),
            _ => None,
        });
        match share.filter(|_| replays) {
            Some(ratio) => sampler.with_replay(ratio).map_err(refused),
            None => Ok(sampler),
        }
    }

    /// Begins the stage at hand: strategies, moments and early stopping anew.
    pub(super) fn begin(&self, session: &mut Session<'_>) -> Result<()> {
        if let Some(state) = &mut session.state.continual {
            state.replays = false;
        }
        self.set_course(session)?;
        let mut mode = std::mem::take(&mut session.mode);
        if let Mode::Staged(staged) = &mut mode {
            self.begin_with(session, staged)?;
        }
        session.mode = mode;
        Ok(())
    }

    fn begin_with(&self, session: &mut Session<'_>, staged: &mut Staged) -> Result<()> {
        let Some(state) = &session.state.continual else { return Ok(()) };
        let given = state.order.get(state.stage).copied().unwrap_or(0);
        staged.at = self.at(state.stage, given);
        staged.order = EpochOrder::default();
        let settings = session.adapter.settings.lora()?.clone();
        // Moments begin anew.
        session.attach(&settings)?;
        staged.before = match self.gate {
            Some(_) => Some(Before {
                adapter: session.adapter_now()?,
                states: staged.states()?,
                tensors: staged.tensors()?,
            }),
            None => None,
        };
        let mut replays = false;
        for strategy in &mut staged.strategies {
            let fresh = strategy.before_stage(&session.tools(&staged.at)?)?;
            if let Some(adapter) = fresh {
                session.wear(&adapter)?;
            }
            replays |= strategy.share().is_some();
        }
        session.state.stopped_early = false;
        session.state.best = Best::default();
        if let Some(state) = &mut session.state.continual {
            (state.begun, state.replays) = (true, replays);
        }
        Ok(())
    }
}
