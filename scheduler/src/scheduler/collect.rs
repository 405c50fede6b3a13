//! Removes what nothing names any more: checkpoints beyond those that the plan keeps, files of deleted models, files of runs
//! that were given up.
//!
//! Never a file that a record names, and never one that a run may still hand over. A run that was fenced while it uploads brings files
//! behind the sweep: when it hands them over, it is refused and they are swept.

use std::collections::BTreeSet;

use trainyard_openapi::id::JobId;

use super::Scheduler;
use super::verify::MANIFEST;
use crate::error::Result;
use crate::job::{JobRecord, JobState};
use crate::port::store::CheckpointRecord;

impl Scheduler {
    /// Clears up after a change of the job. What fails is left for the next time.
    pub(super) async fn collect(&self, id: &JobId) {
        if let Err(error) = self.try_collect(id).await {
            tracing::warn!(job_id = %id, error = &error as &dyn std::error::Error, "files that nothing names were not removed");
        }
    }

    async fn try_collect(&self, id: &JobId) -> Result<()> {
        // The job is read before the records: a run that is over by now cannot add to them.
        let Some(job) = self.store().job_of_any_tenant(id).await? else { return Ok(()) };
        let checkpoints = self.store().all_checkpoints(id).await?;
        let children = self.live_children(&job.tenant, id).await?;
        let begun_with: BTreeSet<&str> = children
            .iter()
            .filter_map(|child| Some(child.parent.as_ref()?.prefix.as_str()))
            .collect();
        let surplus = surplus(&job, &checkpoints, &begun_with);
        for old in &surplus {
            // The record goes first: a record without files would be worse than files without a record.
            self.store().delete_checkpoint(id, &old.id).await?;
        }
        let kept = checkpoints.iter().filter(|checkpoint| !surplus.contains(checkpoint));
        let mut named: BTreeSet<String> = kept.map(|kept| format!("{}/", kept.prefix)).collect();
        if !job.state.status().is_terminal() {
            named.extend(job.checkpoint.as_ref().map(|pointer| format!("{}/", pointer.prefix)));
        }
        if let JobState::Succeeded { model, result_file, .. } = &job.state {
            let model = self.store().model(&job.tenant, model).await?;
            named.extend(model.map(|model| format!("{}/", model.prefix)));
            let file = self.store().file(&job.tenant, result_file).await?;
            named.extend(file.map(|file| file.key));
        }
        let gone: BTreeSet<String> =
            surplus.iter().map(|checkpoint| format!("{}/", checkpoint.prefix)).collect();
        let mut keys = self.objects().list(&format!("jobs/{id}")).await?;
        // Manifests first, the reverse of the writing: what still has one is whole, wherever a sweep ends.
        keys.sort_by_key(|key| !key.ends_with(&format!("/{MANIFEST}")));
        for key in keys {
            let under = |prefixes: &BTreeSet<String>| prefixes.iter().any(|p| key.starts_with(p));
            if !under(&named) && (under(&gone) || is_of_ended_run(&job, &key)) {
                self.objects().delete(&key).await?;
            }
        }
        Ok(())
    }
}

/// Checkpoints that need not be kept: the oldest beyond the plan's number, and those whose step was written anew. Never the one that
/// the job would go on from, and none that a job which has not ended began with. The ends of stages are kept beside that number.
fn surplus<'a>(
    job: &JobRecord,
    oldest_first: &'a [CheckpointRecord],
    begun_with: &BTreeSet<&str>,
) -> Vec<&'a CheckpointRecord> {
    let latest_of_step =
        |index: usize, step: u64| !oldest_first[index + 1..].iter().any(|later| later.step == step);
    let keep = job.plan.checkpoint.keep as usize;
    let mut kept = 0;
    let mut surplus = Vec::new();
    for (index, checkpoint) in oldest_first.iter().enumerate().rev() {
        let pointed = job.checkpoint.as_ref().is_some_and(|p| p.prefix == checkpoint.prefix);
        let latest = latest_of_step(index, checkpoint.step);
        if (checkpoint.stage.is_some() && latest) || begun_with.contains(checkpoint.prefix.as_str())
        {
            continue;
        }
        if pointed || (kept < keep && latest) {
            kept += 1;
        } else {
            surplus.push(checkpoint);
        }
    }
    surplus
}

/// Whether `key` (`jobs/{id}/e{epoch}-{nonce}/...`) was written by a run that can hand nothing over any more.
fn is_of_ended_run(job: &JobRecord, key: &str) -> bool {
    let epoch = key.split('/').nth(2).and_then(|part| part.strip_prefix('e')?.split('-').next());
    let running = matches!(job.state, JobState::Running { .. });
    match epoch.and_then(|epoch| epoch.parse::<u64>().ok()) {
        Some(epoch) => epoch < job.epoch || (epoch == job.epoch && !running),
        None => false,
    }
}
