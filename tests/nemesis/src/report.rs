//! The figures of a run, in the words of RabbitMQ's own Jepsen suite and a few of ours.

use std::collections::BTreeMap;
use std::fmt;

/// What a checked run came to. Whatever stands in `faults_found` is against a promise.
#[derive(Debug, Default)]
pub struct Report {
    /// Keys under which a job was asked for.
    pub attempted: usize,
    /// Keys for which there was an answer of success.
    pub acknowledged: usize,
    /// Requests that had to be sent again because their answer said nothing.
    pub repeated: usize,
    /// Keys that were never acknowledged and whose job is there all the same.
    pub recovered: usize,
    /// Jobs by how they ended.
    pub ended: BTreeMap<String, usize>,
    /// Claims beyond the first of each job: attempts that were lost, or given back, and made up for.
    pub resumed: u64,
    /// Objects of runs that were given up, still there: what a fenced run had brought after the last sweep of its job.
    pub orphans: usize,
    /// Seconds that were charged.
    pub charged_seconds: f64,
    /// Seconds that runs held their jobs, from the jobs' histories.
    pub held_seconds: f64,
    /// How often a run was told that its job is another's.
    pub fenced: usize,
    /// What is against a promise, by kind.
    pub broken: BTreeMap<&'static str, Vec<String>>,
}

/// Acknowledged and not there.
pub const LOST: &str = "lost";
/// Two jobs under a key, two ends, or two results.
pub const DUPLICATED: &str = "duplicated";
/// There, and nobody asked for it, or not as it should be.
pub const UNEXPECTED: &str = "unexpected";
/// Never ends.
pub const STUCK: &str = "stuck";
/// More seconds than runs held.
pub const OVERCHARGED: &str = "overcharged";

impl Report {
    /// Writes down that something is against a promise.
    pub fn blame(&mut self, kind: &'static str, what: impl Into<String>) {
        self.broken.entry(kind).or_default().push(what.into());
    }

    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.broken.is_empty()
    }

    fn count(&self, kind: &str) -> usize {
        self.broken.get(kind).map_or(0, Vec::len)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: &dyn fmt::Display| writeln!(f, "  {name:<16}{value:>10}");
        row("attempted", &self.attempted)?;
        row("acknowledged", &self.acknowledged)?;
        for kind in [LOST, DUPLICATED] {
            row(kind, &self.count(kind))?;
        }
        row("recovered", &self.recovered)?;
        for kind in [UNEXPECTED, STUCK, OVERCHARGED] {
            row(kind, &self.count(kind))?;
        }
        for (status, count) in &self.ended {
            row(status, count)?;
        }
        row("repeated", &self.repeated)?;
        row("resumed", &self.resumed)?;
        row("fenced", &self.fenced)?;
        row("orphans", &self.orphans)?;
        row("charged s", &format!("{:.1}", self.charged_seconds))?;
        row("held s", &format!("{:.1}", self.held_seconds))?;
        for (kind, found) in &self.broken {
            for what in found.iter().take(10) {
                writeln!(f, "  {kind}: {what}")?;
            }
        }
        Ok(())
    }
}
