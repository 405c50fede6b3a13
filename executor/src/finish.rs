//! What a run that ended in order hands over: the steps that it took, and its adapter.

use std::time::Duration;

use trainyard_openapi::extension::JobResult;
use trainyard_openapi::job::JobError;
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_plan::trainer::{Finished, TrainerEvent};
use trainyard_scheduler::port::control_plane::{Claim, Completion, LeaseError};
use trainyard_scheduler::trace::Span;

use crate::agent::Context;
use crate::events::Journal;
use crate::inputs::Places;
use crate::outcome::{Verdict, persist};
use crate::run::{Fenced, settle, trouble};
use crate::upload::{run_prefix, upload_directory};

/// Tries to bring the finished adapter to the object store.
const UPLOAD_TRIES: u32 = 5;

/// Says after which step a private run ended, where its trainer said so itself: what it was charged beyond is given back. Any other run is
/// charged for all that it reserved.
pub(crate) async fn settle_steps(
    context: &Context,
    claim: &Claim,
    last: Option<&TrainerEvent>,
    journal: &mut Journal,
) -> Result<(), Fenced> {
    let step = match last {
        Some(TrainerEvent::Finished(finished)) => finished.steps,
        Some(TrainerEvent::Stopped { step } | TrainerEvent::Cancelled { step }) => *step,
        _ => return Ok(()),
    };
    if claim.plan.privacy.is_none() {
        return Ok(());
    }
    match persist(|| context.control.settle_steps(&claim.lease, step)).await {
        Ok(spent) => {
            journal.progress.privacy = Some(spent);
            Ok(())
        }
        // A result after steps that were not reserved is refused too, and that ends the attempt.
        Err(LeaseError::Refused(reason) | LeaseError::Unavailable(reason)) => {
            tracing::warn!(step, reason, "the run stays charged for all that it reserved");
            Ok(())
        }
        Err(LeaseError::Fenced | LeaseError::Stale) => Err(Fenced),
    }
}

/// Brings the adapter to the object store and ends the job with it; gives what to tell instead where that fails.
pub(crate) async fn complete(
    context: &Context,
    claim: &Claim,
    places: &Places,
    journal: &Journal,
    finished: &Finished,
) -> Result<Option<Verdict>, Fenced> {
    let prefix = format!("{}/adapter", run_prefix(&claim.lease));
    let directory = places.out.join(&finished.directory);
    let span = Span::step("upload result");
    let mut tries = 0;
    let manifest = loop {
        tries += 1;
        let upload = upload_directory(context.objects.as_ref(), &directory, &prefix);
        match span.around(upload).await {
            Ok(manifest) => break manifest,
            Err(error) if tries < UPLOAD_TRIES => {
                tracing::warn!(%error, "the adapter was not uploaded; trying again");
                tokio::time::sleep(Duration::from_secs(u64::from(tries))).await;
            }
            Err(error) => {
                span.fail(error.code().as_str());
                return Ok(Some(Verdict::Fail { error: trouble(error), retryable: true }));
            }
        }
    };
    drop(span);
    let csv_bytes = manifest.files.get("metrics.csv").map_or(0, |entry| entry.bytes);
    let completion = Completion {
        result_csv_key: format!("{prefix}/metrics.csv"),
        result_csv_bytes: csv_bytes,
        prefix,
        manifest_sha256: finished.manifest_sha256.clone(),
        trained_tokens: finished.tokens,
        result: result(journal, finished),
    };
    match persist(|| context.control.complete(&claim.lease, &completion)).await {
        Err(LeaseError::Refused(reason)) => {
            let error =
                JobError { code: JobErrorCode::IntegrityCheckFailed, message: reason, param: None };
            Ok(Some(Verdict::Fail { error, retryable: true }))
        }
        told => {
            if told.is_ok() {
                context.metrics.checkpoint_kept();
            }
            settle(told).map(|()| None)
        }
    }
}

fn result(journal: &Journal, finished: &Finished) -> JobResult {
    let started = journal.started.as_ref();
    JobResult {
        train_loss: finished.train_loss,
        initial_valid_loss: finished.initial_valid_loss,
        valid_loss: finished.valid_loss,
        valid_mean_token_accuracy: finished.valid_mean_token_accuracy,
        steps: finished.steps,
        stopped_early: finished.stopped_early,
        micro_batch_size: finished.micro_batch_size,
        target_tokens: finished.target_tokens,
        trainable_parameters: started.map_or(0, |started| started.trainable_parameters),
        training_seconds: finished.training_seconds,
        training_data_sha256: started.map(|started| started.training_data_sha256.clone()),
        adapter_sha256: Some(finished.adapter_sha256.clone()),
        privacy: finished.privacy,
        signal_to_noise: finished.signal_to_noise,
        continual: finished.continual.clone(),
        data_report: started.map(|started| started.data_report.clone()).unwrap_or_default(),
    }
}
