//! How fast a run is: over its last steps, so that the figure follows what the machine does now.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Steps that the figures are taken over.
const STEPS: usize = 16;

/// Time and tokens of the last steps.
#[derive(Debug)]
pub struct Pace {
    steps: VecDeque<(Duration, u64)>,
    begun: Instant,
}

impl Pace {
    /// Nothing seen yet; the first step begins now.
    pub fn new() -> Self {
        Self { steps: VecDeque::with_capacity(STEPS), begun: Instant::now() }
    }

    /// A step begins now.
    pub fn begin(&mut self) {
        self.begun = Instant::now();
    }

    /// A step of `tokens` tokens is done; gives its time.
    pub fn end(&mut self, tokens: u64) -> Duration {
        let took = self.begun.elapsed();
        if self.steps.len() == STEPS {
            self.steps.pop_front();
        }
        self.steps.push_back((took, tokens));
        took
    }

    /// Tokens a second.
    pub fn tokens_per_second(&self) -> f64 {
        let tokens: u64 = self.steps.iter().map(|(_, tokens)| tokens).sum();
        tokens as f64 / self.seconds().max(1e-9)
    }

    /// Seconds that `remaining` steps will take.
    pub fn eta_seconds(&self, remaining: u64) -> f64 {
        self.seconds() / self.steps.len().max(1) as f64 * remaining as f64
    }

    fn seconds(&self) -> f64 {
        self.steps.iter().map(|(took, _)| took.as_secs_f64()).sum()
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}
