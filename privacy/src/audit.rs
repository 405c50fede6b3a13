//! A lower bound on epsilon from one training run. Steinke, Nasr, Jagielski, "Privacy Auditing with One (1) Training Run", 2023.
//!
//! Canaries are examples made for the audit. Each is put into the training data or left out by a fair coin of its own. After the run the
//! auditor guesses for some of them which it was, and may abstain from the rest. Under (epsilon, delta) privacy right guesses are no more
//! likely than theorem 5.2 of the paper allows; more of them refute that epsilon. A bound above the epsilon that was accounted shows
//! a broken implementation.

use crate::error::{PrivacyError, in_range};

/// The outcome of the guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guesses {
    /// Canaries, guessed or not.
    pub canaries: u32,
    /// Guesses made.
    pub guessed: u32,
    /// Of those, the right ones.
    pub correct: u32,
}

impl Guesses {
    /// The most canaries.
    pub const MAX_CANARIES: u32 = 1_000_000;

    /// Guesses from scores: the `positive` canaries with the highest scores are guessed to be in, the `negative` with the lowest to be out.
    /// A score is higher the likelier its canary was trained on, such as the fall of its loss. Ties count as guessed in the order given, so
    /// shuffle first. How many to guess must not be chosen by the outcome.
    ///
    /// # Errors
    /// Too many canaries, more guesses than canaries, or a score that is not a number.
    pub fn from_scores(
        scores: &[(f64, bool)],
        positive: u32,
        negative: u32,
    ) -> Result<Self, PrivacyError> {
        let canaries = u32::try_from(scores.len()).unwrap_or(u32::MAX);
        let within = u64::from(positive) + u64::from(negative) <= u64::from(canaries);
        let value = f64::from(positive) + f64::from(negative);
        in_range("guesses", "at most the number of canaries", value, within)?;
        if let Some((bad, _)) = scores.iter().find(|(score, _)| score.is_nan()) {
            in_range("score", "a number", *bad, false)?;
        }
        let mut sorted = scores.to_vec();
        sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
        let highest = sorted.iter().take(positive as usize).filter(|(_, inside)| *inside);
        let lowest = sorted.iter().rev().take(negative as usize).filter(|(_, inside)| !*inside);
        let correct = (highest.count() + lowest.count()) as u32;
        let guesses = Self { canaries, guessed: positive + negative, correct };
        guesses.check()?;
        Ok(guesses)
    }

    fn check(&self) -> Result<(), PrivacyError> {
        let within = (1..=Self::MAX_CANARIES).contains(&self.canaries);
        in_range("canaries", "between 1 and 1000000", f64::from(self.canaries), within)?;
        let within = self.guessed <= self.canaries;
        in_range("guessed", "at most the number of canaries", f64::from(self.guessed), within)?;
        let within = self.correct <= self.guessed;
        in_range("correct", "at most the number of guesses", f64::from(self.correct), within)?;
        Ok(())
    }

    /// The largest chance that an (`epsilon`, `delta`) private run allows for at least this many right guesses.
    ///
    /// # Errors
    /// Counts that contradict each other, an epsilon below 0 or a delta outside 0 to 1.
    pub fn p_value(&self, epsilon: f64, delta: f64) -> Result<f64, PrivacyError> {
        self.check()?;
        in_range("epsilon", "at least 0", epsilon, epsilon >= 0.0)?;
        in_range("delta", "between 0 and 1", delta, (0.0..=1.0).contains(&delta))?;
        let (guessed, correct) = (self.guessed, self.correct);
        let masses = binomial(guessed, 1.0 / (1.0 + (-epsilon).exp()));
        let at_least: f64 = masses.iter().skip(correct as usize).rev().sum();
        // How much probability lies within i below the count, per i, at its largest.
        let (mut within, mut steepest) = (0.0, 0.0_f64);
        for i in 1..=correct {
            within += masses[(correct - i) as usize];
            steepest = steepest.max(within / f64::from(i));
        }
        let canaries = f64::from(self.canaries);
        Ok((at_least + 2.0 * canaries * delta * steepest).min(1.0))
    }

    /// The largest epsilon that these guesses refute with this confidence (such as 0.95); 0 where they refute none. A run that is
    /// (epsilon, `delta`) private gives a larger bound in at most 1 - `confidence` of audits.
    ///
    /// # Errors
    /// As for [`Guesses::p_value`], or a confidence outside 0.5 to below 1.
    pub fn epsilon_lower_bound(&self, delta: f64, confidence: f64) -> Result<f64, PrivacyError> {
        let within = (0.5..1.0).contains(&confidence);
        in_range("confidence", "at least 0.5 and below 1", confidence, within)?;
        let refuted = |epsilon: f64| Ok(self.p_value(epsilon, delta)? < 1.0 - confidence);
        if !refuted(0.0)? {
            return Ok(0.0);
        }
        // At 50 even a million right guesses are likely.
        let (mut low, mut high) = (0.0, 50.0);
        for _ in 0..50 {
            let middle = f64::midpoint(low, high);
            if refuted(middle)? {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

/// The probability of each count of successes in `trials` tries.
fn binomial(trials: u32, chance: f64) -> Vec<f64> {
    let (log_chance, log_rest) = (chance.ln(), (-chance).ln_1p());
    let mut log_ways = 0.0;
    let mut masses = Vec::with_capacity(trials as usize + 1);
    for successes in 0..=trials {
        let (wins, losses) = (f64::from(successes), f64::from(trials - successes));
        // At chance 1 no try fails, and 0 times minus infinity is not 0.
        let rest = if losses > 0.0 { losses * log_rest } else { 0.0 };
        masses.push((log_ways + wins * log_chance + rest).exp());
        log_ways += (losses / (wins + 1.0)).ln();
    }
    masses
}
