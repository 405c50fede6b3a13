//! One private step (DP-SGD, Abadi et al., 2016, with any optimizer after it): units are drawn on their own with the same probability, the
//! gradient of each is cut to a limit, noise is added to the sum once, and the sum is divided by the batch that was to be expected. An empty
//! draw is a step too, of noise alone.
//!
//! A step is charged before anything of the data is touched for it. Of what is computed on the way nothing is told: neither losses nor
//! norms nor how many units came.

use std::ops::Range;

use tch::{Device, Kind, Tensor};
use trainyard_openapi::extension::PrivacySpent;
use trainyard_plan::PrivacyPlan;
use trainyard_privacy::PrivacyError;
use trainyard_privacy::random::SecureRandom;
use trainyard_privacy::unit::PrivacyUnit;

use crate::arch::StepOptions;
use crate::error::{Result, TrainerError};
use crate::kernels;
use crate::objective::cross_entropy::LossSums;
use crate::optim::parameters::Parameters;
use crate::privacy::clip::Clip;
use crate::privacy::ghost::Written;
use crate::privacy::gradients::UnitGradients;
use crate::privacy::noise::{Noise, no_randomness};
use crate::privacy::part::Part;
use crate::privacy::reserve::{Grant, Reservations};
use crate::privacy::units::{Drawn, Units, group};
use crate::rng::Rng;
use crate::run::tensors::to_device;
use crate::train::memory::halve;
use crate::train::pace::Pace;
use crate::train::session::Session;
use crate::train::state::PrivateState;
use crate::train::step::{DROPOUT_STREAM, Figures, Updated};

/// Steps that are charged at a time, at most: what a run that is killed has paid for and not used, beside what it repeats.
const STEPS_CHARGED: u64 = 16;

/// What a private run has beside what any run has.
#[derive(Debug)]
pub struct Private {
    plan: PrivacyPlan,
    units: Units,
    /// Tokens and target tokens of all units together.
    tokens: (u64, u64),
    /// Where each tensor that layers compute with lies in the flat gradient.
    places: Vec<Range<i64>>,
    /// The format of units' gradients: that of the products that give them.
    kind: Kind,
    clip: Clip,
    /// Who takes part.
    random: SecureRandom,
    noise: Noise,
    /// Room for the gradients of a group of units, once there was one.
    gradients: Option<UnitGradients>,
    reservations: Reservations,
    /// The step that this run began after.
    from: u64,
    /// The last step that is charged.
    until: u64,
    /// What is left out, in a build for the audit alone.
    #[cfg(feature = "mutants")]
    without: Option<Part>,
}

/// What came of the draw, both private.
#[derive(Debug, Clone, Copy)]
pub struct Sum {
    /// Units that were drawn.
    pub drawn: usize,
    /// Of those, the ones that stayed below the limit.
    pub below: usize,
}

impl Private {
    /// The private side of a run of `plan` that goes on after step `from`.
    ///
    /// # Errors
    /// A number of units that is not the plan's; where the operating system gives no random bytes.
    pub fn new(
        plan: &PrivacyPlan,
        units: Units,
        tokens: (u64, u64),
        parameters: &Parameters,
        (threads, from): (u32, u64),
        reservations: Reservations,
    ) -> Result<Self> {
        if units.len() as u64 != plan.population.units() {
            let (seen, planned) = (units.len(), plan.population.units());
            return Err(TrainerError::Privacy(format!(
                "the training file has {seen} units and the plan was made for {planned}"
            )));
        }
        Ok(Self {
            plan: plan.clone(),
            units,
            tokens,
            places: parameters.blocks(),
            kind: parameters.computed().kind(),
            clip: Clip::new(plan, parameters.layers()).map_err(refused)?,
            random: SecureRandom::from_system().map_err(no_randomness)?,
            noise: Noise::from_system(threads)?,
            gradients: None,
            reservations,
            from,
            until: from,
            #[cfg(feature = "mutants")]
            without: None,
        })
    }

    /// The same with a part of the mechanism left out.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn without(self, part: Part) -> Self {
        Self { without: Some(part), ..self }
    }

    #[cfg(feature = "mutants")]
    fn keeps(&self, part: Part) -> bool {
        self.without != Some(part)
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "with the feature it depends on the run")]
    const fn keeps(&self, _: Part) -> bool {
        true
    }

    /// The state before the first step.
    pub fn start(&self) -> PrivateState {
        let clip = self.clip.start();
        PrivateState { clip, signal_to_noise: 0.0, spent: None, exhausted: false }
    }

    /// Notes that the run ended in order after step `step`; gives what the job has then spent, where this process keeps the ledger.
    ///
    /// # Errors
    /// Where the ledger cannot be written.
    pub fn settle(&mut self, step: u64) -> Result<Option<PrivacySpent>> {
        self.reservations.settle(self.from, step)
    }

    /// The units of a step with their rows.
    ///
    /// # Errors
    /// None for a plan that was resolved.
    pub fn draw(&mut self, targets: impl Fn(usize) -> usize) -> Result<Vec<Drawn>> {
        let (mut rate, units) = (self.plan.phase.sampling_rate(), self.units.len());
        if !self.keeps(Part::Rate) {
            rate = (2.0 * rate).min(1.0);
        }
        let drawn = self.random.poisson_sample(rate, units).map_err(refused)?;
        let lines_max = match self.plan.population.unit() {
            PrivacyUnit::Example => 1,
            PrivacyUnit::User { examples_per_user } => examples_per_user as usize,
        };
        let random = &mut self.random;
        Ok(drawn
            .into_iter()
            .map(|unit| self.units.draw(unit, lines_max, &targets, random))
            .collect())
    }

    /// Cleared room for the gradients of `units` units, of at least `most`, beside the sum that they will go into.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn room(
        &mut self,
        (units, most): (usize, usize),
        writing: Written,
        sum_p: &Tensor,
    ) -> Result<&UnitGradients> {
        let mut room = match self.gradients.take() {
            Some(room) if room.room() >= units as i64 => room,
            _ => {
                let format = (self.kind, sum_p.device());
                UnitGradients::new(units.max(most) as i64, self.places.clone(), format)?
            }
        };
        room.clear(units as i64, writing);
        Ok(self.gradients.insert(room))
    }

    /// Cuts the gradients of the first `units` units in the room and adds them to the sum; how many of them stayed below the limit.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn fold(
        &mut self,
        units: usize,
        state: &PrivateState,
        sum_p: &mut Tensor,
    ) -> Result<usize> {
        let (clips, each) = (self.keeps(Part::Clipping), self.keeps(Part::EachUnit));
        let noise_multiplier = self.plan.phase.noise_multiplier();
        let Some(room) = &mut self.gradients else { return Ok(0) };
        let mut norms = room.norms(units as i64, self.clip.parts())?;
        if !each {
            // The batch's own norm in place of each unit's.
            let mut batch = sum_p.f_zeros_like()?;
            let ones = vec![vec![1.0; self.clip.parts().len()]; units];
            room.add_to(&mut batch, &ones, self.clip.parts())?;
            norms =
                vec![vec![batch.f_norm()?.f_double_value(&[])?; self.clip.parts().len()]; units];
        }
        let (mut factors, mut below) = (Vec::with_capacity(units), 0);
        for (unit, norms) in norms.iter().enumerate() {
            let clipped = self.clip.cut(norms, state.clip);
            if !clipped.finite {
                room.leave_out(unit as i64)?;
            }
            below += usize::from(clipped.below);
            factors.push(if clips { clipped.factors } else { vec![1.0; norms.len()] });
        }
        room.add_to(sum_p, &factors, self.clip.parts())?;
        if !self.keeps(Part::OneNoise) {
            let deviation = self.clip.deviation(noise_multiplier, state.clip).map_err(refused)?;
            let _ = self.add_noise(sum_p, deviation, 1.0)?;
        }
        Ok(below)
    }

    /// Turns the sum into what may be seen: adds the noise, once, and divides by the batch that was to be expected.
    ///
    /// # Errors
    /// Where the noise cannot be drawn; as libtorch reports.
    pub fn release(
        &mut self,
        sum_p: &mut Tensor,
        sum: &Sum,
        state: &mut PrivateState,
    ) -> Result<()> {
        let noise_multiplier = self.plan.phase.noise_multiplier();
        let deviation = self.clip.deviation(noise_multiplier, state.clip).map_err(refused)?;
        let expected = self.plan.expected_batch();
        let squares = match self.keeps(Part::Noise) {
            true => self.add_noise(sum_p, deviation, 1.0 / expected)?,
            false => {
                let squares = kernels::squares(sum_p)?;
                let _ = sum_p.f_mul_scalar_(1.0 / expected)?;
                squares
            }
        };
        // Of noise alone the squares are one each on average, so what is above that is signal.
        state.signal_to_noise += squares / (sum_p.numel() as f64 * deviation * deviation) - 1.0;
        let counts = (sum.below, sum.drawn);
        let next = self.clip.next(state.clip, counts, expected, &mut self.random);
        state.clip = next.map_err(refused)?;
        Ok(())
    }

    /// Adds noise to the sum and multiplies it; the sum of its squares in between.
    fn add_noise(&mut self, sum_p: &mut Tensor, deviation: f64, factor: f64) -> Result<f64> {
        if sum_p.device() == Device::Cpu {
            return self.noise.add(deviation, factor, kernels::numbers_mut(sum_p)?);
        }
        let mut here = sum_p.f_to_device(Device::Cpu)?;
        let squares = self.noise.add(deviation, factor, kernels::numbers_mut(&mut here)?)?;
        sum_p.f_copy_(&here)?;
        Ok(squares)
    }

    /// Tokens that `steps` steps take on average: how many they did take would tell who was drawn.
    fn expected(&self, of_all: u64, steps: u64) -> u64 {
        (self.plan.phase.sampling_rate() * of_all as f64 * steps as f64).round() as u64
    }
}

impl Session<'_> {
    /// Takes one private step, with smaller micro-batches where memory runs out. Where something else is wanted meanwhile, or the budget
    /// holds no further step, nothing is changed: the loop sees why.
    ///
    /// # Errors
    /// Where a step cannot be charged, or its noise not be drawn; `diverged`, `out_of_memory` and what libtorch reports as of any step.
    pub(super) fn private_step(&mut self, private: &mut Private, pace: &mut Pace) -> Result<()> {
        let step = self.state.step;
        if private.until <= step && !self.charge(private)? {
            return Ok(());
        }
        pace.begin();
        let training = &self.training;
        let drawn = private.draw(|row| training.row_targets(row))?;
        let Some(sum) = self.sum_of(private, drawn)? else {
            return self.optimizer.discard_gradients();
        };
        let mut state = self.private_state(private);
        private.release(&mut self.optimizer.gradients(), &sum, &mut state)?;
        self.state.privacy = Some(state);
        // The losses of its batch are not to be told.
        let Updated { learning_rate, grad_norm, .. } = self.update(step, &LossSums::default())?;
        let more = |of_all| private.expected(of_all, step + 1) - private.expected(of_all, step);
        let figures = Figures {
            train_loss: None,
            train_accuracy: None,
            tokens: more(private.tokens.0),
            target_tokens: more(private.tokens.1),
            learning_rate,
            grad_norm,
        };
        self.record(&figures, pace)
    }

    /// What the run remembers, which before its first step is nothing.
    fn private_state(&self, private: &Private) -> PrivateState {
        self.state.privacy.unwrap_or_else(|| private.start())
    }

    /// Charges the next steps, up to the next checkpoint that is due by steps; whether there is leave for one.
    fn charge(&mut self, private: &mut Private) -> Result<bool> {
        let (step, total) = (self.state.step, self.sampler.total_steps());
        let every =
            self.plan.checkpoint.every_steps.map_or(self.sampler.steps_per_epoch(), u64::from);
        let until = (step - step % every + every).min(step + STEPS_CHARGED).min(total);
        let asked = private.reservations.reserve(private.from, until, self.control, self.events)?;
        let Some(Grant { until, spent }) = asked else { return Ok(false) };
        private.until = until;
        let mut state = self.private_state(private);
        state.spent = Some(spent);
        state.exhausted = until <= step;
        self.state.privacy = Some(state);
        if state.exhausted {
            let text = format!(
                "the privacy budget holds no further step: epsilon is {:.4} of {} after step {step} of {total}, so the run ends here",
                spent.epsilon,
                private.plan.limit.epsilon(),
            );
            self.events.log("warn", text)?;
        }
        Ok(!state.exhausted)
    }

    /// Adds the cut gradients of the drawn units to the optimizer's. `None` where it was cut short.
    fn sum_of(&mut self, private: &mut Private, drawn: Vec<Drawn>) -> Result<Option<Sum>> {
        let mut sum = Sum {
            drawn: drawn.len(),
            below: drawn.iter().filter(|unit| unit.rows.is_empty()).count(),
        };
        let dropout = Rng::new(self.plan.seed, DROPOUT_STREAM).fork(self.state.step);
        let mut waiting = self.groups(drawn);
        let mut number = 0;
        while let Some(units) = waiting.pop() {
            if self.control.is_interrupted() {
                return Ok(None);
            }
            match self.cut(private, &units, &dropout.fork(number)) {
                Ok(below) => sum.below += below,
                Err(TrainerError::OutOfMemory(reason)) => {
                    // Nothing of this group is in the sum yet. What waits is grouped anew, for the smaller batches.
                    private.gradients = None;
                    let step = self.state.step + 1;
                    self.micro_batch_size =
                        halve(self.micro_batch_size, step, reason, self.events)?;
                    self.state.micro_batch_size = Some(self.micro_batch_size);
                    waiting.push(units);
                    waiting = self.groups(waiting.into_iter().flatten().collect());
                }
                Err(error) => return Err(error),
            }
            number += 1;
        }
        Ok(Some(sum))
    }

    fn groups(&self, drawn: Vec<Drawn>) -> Vec<Vec<Drawn>> {
        group(drawn, self.micro_batch_size as usize, |row| self.training.row_length(row))
    }

    /// Adds the cut gradients of a group of units; how many of them stayed below the limit.
    fn cut(&mut self, private: &mut Private, units: &[Drawn], dropout: &Rng) -> Result<usize> {
        let mut sum = self.optimizer.gradients();
        let most = self.micro_batch_size as usize;
        let of_unit = |(unit, drawn): (usize, &Drawn)| {
            drawn
                .rows
                .iter()
                .map(move |(row, weight)| (*row, *weight, unit as i64))
                .collect::<Vec<_>>()
        };
        let rows: Vec<(usize, f32, i64)> = units.iter().enumerate().flat_map(of_unit).collect();
        let longest = rows.iter().map(|(row, _, _)| self.training.row_length(*row)).max();
        let rows_of_one = units.iter().map(|unit| unit.rows.len()).max();
        let writing = match rows.len() <= most {
            true => Written::WhereCheaper((longest.unwrap_or(0) * rows_of_one.unwrap_or(0)) as i64),
            // What gradients are made of is kept for one batch at most.
            false => Written::Always,
        };
        let room = private.room((units.len(), most), writing, &sum)?;
        for (number, rows) in rows.chunks(most).enumerate() {
            let numbers: Vec<usize> = rows.iter().map(|(row, _, _)| *row).collect();
            let weights = rows.iter().map(|(_, weight, _)| *weight).collect();
            let of_units = room.rows(rows.iter().map(|(_, _, unit)| *unit).collect())?;
            let options = StepOptions {
                gradient_checkpointing: self.plan.batching.gradient_checkpointing,
                dropout: Some(dropout.fork(number as u64)),
                units: Some((of_units, weights)),
            };
            let batch = to_device(&self.training.batch(&numbers, self.pad), self.model.device())?;
            self.model.accumulate_gradients(&batch, 1.0, &options)?;
        }
        let state = self.private_state(private);
        private.fold(units.len(), &state, &mut sum)
    }
}

fn refused(error: PrivacyError) -> TrainerError {
    TrainerError::Privacy(error.to_string())
}
