//! Room for those who are next: runs are asked to save a checkpoint and give their devices back.

use std::collections::{BTreeMap, BTreeSet};

use trainyard_openapi::event::EventLevel;
use trainyard_openapi::id::JobId;

use super::line::Line;
use super::{Scheduler, message};
use crate::error::{Result, SchedulerError};
use crate::job::state::Transition;
use crate::job::{JobRecord, JobState};
use crate::policy::preempt::{Exchange, Running, preempt};
use crate::policy::{Standing, share};

impl Scheduler {
    /// Whether a run could be asked at all, so that the line has to be looked at.
    pub(super) fn may_make_room(&self, busy: &[JobRecord], now_ms: i64) -> bool {
        let least = self.config().preemption_min_run_seconds as f64;
        let standing = Standing::default();
        let mut runs = busy.iter().map(|job| self.running(job, &standing, now_ms));
        self.config().preemption && runs.any(|run| run.preemptible && run.ran_seconds >= least)
    }

    /// Asks runs to make room for those who are next in a pool and find no device, where that puts things right.
    pub(super) async fn make_room(
        &self,
        line: &Line,
        busy: &[JobRecord],
        devices: &BTreeMap<String, u32>,
    ) -> Result<()> {
        let now_ms = self.store().now_ms().await?;
        if !self.may_make_room(busy, now_ms) {
            return Ok(());
        }
        let least = self.config().preemption_min_run_seconds as f64;
        // A long line may be a little old.
        let started: BTreeSet<&JobId> = busy.iter().map(|job| &job.id).collect();
        let nobody = Standing::default();
        for (pool, queue) in &line.queue.pools {
            let devices = devices.get(pool).copied().unwrap_or(0);
            let waiting = queue.ready.iter().filter(|job| !started.contains(&job.id)).cloned();
            let ready: Vec<_> = waiting.collect();
            let there = busy.iter().filter(|job| job.plan.resources.pool == *pool);
            let running: Vec<Running> = there
                .map(|job| {
                    let standing = line.standings.get(&job.tenant).unwrap_or(&nobody);
                    self.running(job, standing, now_ms)
                })
                .collect();
            let exchanges = preempt(pool, devices, &ready, &running, &line.standings, least);
            for exchange in &exchanges {
                self.exchange(exchange, busy).await?;
            }
        }
        Ok(())
    }

    fn running(&self, job: &JobRecord, standing: &Standing, now_ms: i64) -> Running {
        let resources = &job.plan.resources;
        let left = share::seconds_left(job, standing.job_seconds, now_ms).unwrap_or(0.0);
        let (stop, since_ms) = match &job.state {
            JobState::Running { lease, stop } => (*stop, Some(lease.since_ms)),
            _ => (None, None),
        };
        let attempts_left = job.attempts.preempted < self.config().attempts_preempted_max;
        Running {
            id: job.id.clone(),
            tenant: job.tenant.clone(),
            priority: resources.priority,
            devices: resources.devices,
            penalty: standing.penalty(resources.devices, left),
            at_risk_seconds: at_risk_seconds(job),
            ran_seconds: since_ms.map_or(0.0, |since| (now_ms - since).max(0) as f64 / 1000.0),
            leaving: stop.is_some(),
            preemptible: since_ms.is_some()
                && stop.is_none()
                && resources.preemptible
                && attempts_left,
        }
    }

    /// Asks the runs of an exchange, if the job that it is for still waits; tells both owners.
    async fn exchange(&self, exchange: &Exchange, busy: &[JobRecord]) -> Result<()> {
        let waiting = self.store().job_of_any_tenant(&exchange.waiting).await?;
        if !waiting.is_some_and(|job| matches!(job.state, JobState::Queued { .. })) {
            return Ok(());
        }
        let mut asked = false;
        for run in busy.iter().filter(|job| exchange.leaving.contains(&job.id)) {
            self.change(&run.id, |commit, now_ms| {
                let job = &mut commit.job;
                let same = job.epoch == run.epoch;
                if !same || !matches!(job.state, JobState::Running { stop: None, .. }) {
                    return Ok::<_, SchedulerError>(false);
                }
                job.state = job.state.clone().apply(Transition::Preempt)?;
                let text = "The job makes room for another one: it saves a checkpoint, is queued again and goes on from there";
                commit.events.push(message(now_ms, EventLevel::Info, text)?);
                asked = true;
                Ok(true)
            })
            .await?;
        }
        if asked {
            self.change(&exchange.waiting, |commit, now_ms| {
                if !matches!(commit.job.state, JobState::Queued { .. }) {
                    return Ok::<_, SchedulerError>(false);
                }
                let text = "A running job makes room for this one, which starts once that has saved a checkpoint";
                commit.events.push(message(now_ms, EventLevel::Info, text)?);
                Ok(true)
            })
            .await?;
        }
        Ok(())
    }
}

/// Seconds of work since the job's last checkpoint: its part of the steps of all that it has run.
fn at_risk_seconds(job: &JobRecord) -> f64 {
    let saved = job.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.step);
    let done = job.progress.step;
    if saved == 0 || done == 0 {
        return job.running_seconds;
    }
    job.running_seconds * done.saturating_sub(saved) as f64 / done as f64
}
