//! What a run hands over: checkpoints and the result. The files are durable and looked at before the record names them.

use trainyard_openapi::checkpoint::CheckpointMetrics;
use trainyard_openapi::event::EventLevel;
use trainyard_openapi::extension::JobResult;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::{CheckpointId, FileId};

use super::lease::charge;
use super::view::model_name;
use super::{Scheduler, message};
use crate::job::JobState;
use crate::job::state::Transition;
use crate::port::control_plane::{CheckpointPointer, Completion, LeaseError, LeaseId};
use crate::port::store::{CheckpointRecord, FileRecord, ModelRecord, UsageRecord};

impl Scheduler {
    /// Moves the checkpoint pointer, if the files are as the run says and the lease holds.
    pub(super) async fn take_checkpoint(
        &self,
        lease: &LeaseId,
        pointer: &CheckpointPointer,
        metrics: &CheckpointMetrics,
    ) -> Result<(), LeaseError> {
        let manifest =
            self.verify_handover(lease, &pointer.prefix, &pointer.manifest_sha256).await?;
        if manifest.step != pointer.step {
            let (of, said) = (manifest.step, pointer.step);
            let text = format!("the manifest is of step {of}, the pointer of step {said}");
            return Err(LeaseError::Refused(text));
        }
        if pointer.epoch != lease.epoch {
            let (said, held) = (pointer.epoch, lease.epoch);
            let text = format!("the pointer is of epoch {said}, the lease of epoch {held}");
            return Err(LeaseError::Refused(text));
        }
        self.commit_steps(lease, pointer.step).await?;
        let id = CheckpointId::generate()?;
        self.change_leased(lease, |commit, now_ms| {
            match &commit.job.checkpoint {
                Some(current) if current == pointer => return Ok(()),
                Some(current) if current.step > pointer.step => {
                    let text = format!(
                        "step {} is behind the job's checkpoint of step {}",
                        pointer.step, current.step
                    );
                    return Err(LeaseError::Refused(text));
                }
                _ => {}
            }
            commit.job.checkpoint = Some(pointer.clone());
            commit.checkpoint = Some(CheckpointRecord {
                id: id.clone(),
                job: lease.job.clone(),
                step: pointer.step,
                prefix: pointer.prefix.clone(),
                stage: pointer.stage.clone(),
                metrics: metrics.clone(),
                created_at_ms: now_ms,
            });
            let text = match &pointer.stage {
                None => format!("Checkpoint created at step {}", pointer.step),
                Some(stage) => {
                    let step = pointer.step;
                    format!("Checkpoint created at step {step}, the end of stage '{stage}'")
                }
            };
            commit.events.push(message(now_ms, EventLevel::Info, text)?);
            Ok(())
        })
        .await?;
        Ok(())
    }

    /// Ends the job with a result, if the files are as the run says and the lease holds.
    pub(super) async fn take_result(
        &self,
        lease: &LeaseId,
        completion: &Completion,
    ) -> Result<(), LeaseError> {
        if self.is_completed_by(lease, completion).await? {
            return Ok(());
        }
        let manifest =
            self.verify_handover(lease, &completion.prefix, &completion.manifest_sha256).await?;
        let csv = completion.result_csv_key.strip_prefix(&format!("{}/", completion.prefix));
        let entry = csv.and_then(|name| manifest.files.get(name));
        let entry =
            entry.filter(|entry| entry.bytes == completion.result_csv_bytes).ok_or_else(|| {
                LeaseError::Refused(format!(
                    "'{}' is not in the manifest",
                    completion.result_csv_key
                ))
            })?;
        let steps = completion.result.steps.max(manifest.step);
        let spent = self.spent_at_result(lease, steps).await?;
        // What an executor says of its own spending is not taken.
        let result = JobResult { privacy: spent, ..completion.result.clone() };
        let result_file = FileId::generate()?;
        let bytes = manifest.files.values().map(|entry| entry.bytes).sum();
        let job = self
            .change_leased(lease, |commit, now_ms| {
                charge(commit, now_ms);
                commit.job.progress.privacy = spent;
                let model = model_name(&commit.job);
                commit.job.state = commit.job.state.clone().apply(Transition::Succeed {
                    now_ms,
                    model: model.clone(),
                    result_file: result_file.clone(),
                    trained_tokens: completion.trained_tokens,
                    result: Box::new(result.clone()),
                })?;
                if !matches!(commit.job.state, JobState::Succeeded { .. }) {
                    commit.events.push(message(now_ms, EventLevel::Info, "The job was cancelled")?);
                    return Ok(());
                }
                let usage = commit.usage.get_or_insert_with(|| UsageRecord::on(now_ms));
                usage.jobs_succeeded += 1;
                usage.trained_tokens += completion.trained_tokens;
                let tenant = commit.job.tenant.clone();
                commit.result_file = Some(FileRecord {
                    id: result_file.clone(),
                    tenant: tenant.clone(),
                    filename: "step_metrics.csv".to_string(),
                    purpose: Purpose::FineTuneResults,
                    bytes: entry.bytes,
                    lines: 0,
                    sha256: entry.sha256.clone(),
                    key: completion.result_csv_key.clone(),
                    created_at_ms: now_ms,
                    expires_at_ms: None,
                });
                commit.model = Some(ModelRecord {
                    id: model.clone(),
                    tenant,
                    job: commit.job.id.clone(),
                    prefix: completion.prefix.clone(),
                    bytes,
                    created_at_ms: now_ms,
                });
                let created = format!("New fine-tuned model created: {model}");
                commit.events.push(message(now_ms, EventLevel::Info, created)?);
                commit.events.push(message(
                    now_ms,
                    EventLevel::Info,
                    "The job has successfully completed",
                )?);
                Ok(())
            })
            .await?;
        match job.state {
            JobState::Succeeded { .. } => {
                let stages = result.continual.iter().flat_map(|ended| &ended.stages);
                let own = stages.filter(|stage| stage.last_step.is_some());
                self.metrics().gates_tripped(own.filter(|stage| !stage.kept).count());
                Ok(())
            }
            _ => Err(LeaseError::Fenced),
        }
    }

    /// Clears up after a handover, one that came too late too: whoever brought its files says nothing more of them.
    pub(super) async fn clear_up_after(&self, lease: &LeaseId, taken: &Result<(), LeaseError>) {
        if !matches!(taken, Err(LeaseError::Unavailable(_))) {
            self.collect(&lease.job).await;
        }
    }
}
