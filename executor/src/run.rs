//! One claimed job as a table of contents: prepare, start, supervise, upload, tell, clear away.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use trainyard_openapi::event::EventLevel;
use trainyard_openapi::extension::JobResult;
use trainyard_openapi::job::JobError;
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_plan::trainer::{Finished, TrainerCommand, TrainerEvent};
use trainyard_scheduler::port::control_plane::{Claim, Completion, Directive, LeaseError};

use crate::agent::Context;
use crate::events::Journal;
use crate::inputs::{InputError, Places, prepare};
use crate::lease::{Keeper, Order};
use crate::lines::Line;
use crate::metrics::Run;
use crate::oom::kernel_kills;
use crate::outcome::{Ending, Verdict, judge, persist};
use crate::process::Trainer;
use crate::upload::{Uploader, run_prefix, upload_directory};
use crate::watchdog::{Limits, Watchdog};

/// The job is another's: nothing more is said or written.
struct Fenced;

/// A started trainer and what it writes.
type Running = (Trainer, mpsc::Receiver<Line>);

/// Time that a cancelled trainer has to end by itself. Nothing of it is kept, so there is nothing to wait for: the owner sees the end
/// within two seconds, however long a step takes.
const CANCEL_GRACE: Duration = Duration::from_millis(1500);
/// Tries to bring the finished adapter to the object store.
const UPLOAD_TRIES: u32 = 5;

/// Runs a claimed job to its end, whatever that is.
pub(crate) async fn run_job(context: &Arc<Context>, claim: Claim, shutdown: &CancellationToken) {
    let places = Places::new(&context.config.work_dir, &claim);
    let _ = tokio::fs::remove_dir_all(&places.work).await;
    if let Err(Fenced) = attempt(context, &claim, &places, shutdown).await {
        tracing::warn!(job = %claim.lease.job, epoch = claim.lease.epoch, "fenced: the run was given up");
    }
    if let Err(error) = tokio::fs::remove_dir_all(&places.work).await {
        tracing::warn!(path = %places.work.display(), %error, "the work directory was not removed");
    }
}

async fn attempt(
    context: &Context,
    claim: &Claim,
    places: &Places,
    shutdown: &CancellationToken,
) -> Result<(), Fenced> {
    // The lease is kept from here on: bringing large files may take longer than it holds.
    let keeper = Keeper::start(context, claim);
    let mut run = context.metrics.take_slot(claim.plan.resources.devices);
    let mut journal = Journal::default();
    let prepared =
        prepare(claim, places, &context.config.models_dir, context.objects.as_ref()).await;
    let verdict = match prepared.map_err(trouble).and_then(|()| start(context, places)) {
        Ok(running) => {
            supervise(
                context,
                claim,
                places,
                shutdown,
                keeper.orders.clone(),
                running,
                &mut journal,
                &keeper,
                &mut run,
            )
            .await?
        }
        Err(error) => Verdict::Fail { error, retryable: true },
    };
    report_all(context, claim, &mut journal).await?;
    let verdict = match verdict {
        Verdict::Complete(finished) => {
            complete(context, claim, places, &journal, &finished).await?
        }
        other => Some(other),
    };
    let told = match verdict {
        None => Ok(()),
        Some(Verdict::Release(reason)) => {
            persist(|| context.control.release(&claim.lease, reason)).await
        }
        Some(Verdict::Fail { error, retryable }) => {
            tracing::warn!(job = %claim.lease.job, code = error.code.as_str(), retryable, "the attempt failed: {}", error.message);
            persist(|| context.control.fail(&claim.lease, &error, retryable)).await
        }
        Some(Verdict::Complete(_)) => Ok(()),
    };
    settle(told)
}

fn start(context: &Context, places: &Places) -> Result<Running, JobError> {
    let config = &context.config;
    let mut args: Vec<OsString> =
        ["run", "--resume", "auto", "--control", "stdin", "--plan"].map(OsString::from).into();
    args.push(places.spec.clone().into());
    args.push("--out".into());
    args.push(places.out.clone().into());
    if let Some(threads) = config.threads {
        args.push("--threads".into());
        args.push(threads.to_string().into());
    }
    Trainer::start(&config.trainer, &args, &places.work).map_err(|error| JobError {
        code: JobErrorCode::TrainerNotStarted,
        message: format!("{}: {error}", config.trainer.display()),
        param: None,
    })
}

/// Listens to the trainer and to everybody who wants something of it, until it has ended.
#[expect(clippy::too_many_arguments, reason = "the parts of one attempt, each owned by its caller")]
async fn supervise(
    context: &Context,
    claim: &Claim,
    places: &Places,
    shutdown: &CancellationToken,
    mut orders: tokio::sync::watch::Receiver<Order>,
    (mut trainer, mut lines): Running,
    journal: &mut Journal,
    keeper: &Keeper,
    run: &mut Run,
) -> Result<Verdict, Fenced> {
    let mut uploader = Uploader::start(context, &claim.lease);
    let mut reports = tokio::time::interval(context.config.report_every);
    reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let time_up = Instant::now() + Duration::from_secs(claim.runtime_seconds_left);
    let (mut ending, mut kill_at, mut last) = (Ending::Own, None::<Instant>, None);
    let mut frozen = false;
    let limits = Limits { floor: context.config.stall, start: context.config.stall_start };
    let mut watchdog = Watchdog::new(limits, Instant::now());
    let mut stuck = None;
    let kernel_kills_before = kernel_kills();
    let grace = context.config.stop_grace;
    let mut lines_open = true;
    let mut exited = None;
    let status = loop {
        // What it said before it ended is heard first.
        if let Some(status) = exited.take_if(|_| !lines_open) {
            break status;
        }
        tokio::select! {
            line = lines.recv(), if lines_open => match line {
                None => lines_open = false,
                Some(line) => {
                    let event = journal.hear(&line);
                    keeper.set_progress(&journal.progress);
                    if let Some(event) = &event {
                        watchdog.hear(event, Instant::now());
                        run.hear(event);
                    }
                    match event {
                        Some(TrainerEvent::Checkpoint(written)) => {
                            // Its own step comes before it in the history.
                            report(context, claim, journal).await?;
                            if let Err(error) = uploader.take(&written, &places.out, &places.staging).await {
                                journal.say(EventLevel::Warn, format!("the checkpoint of step {} was not kept: {error}", written.step));
                            }
                        }
                        Some(end @ (TrainerEvent::Finished(_) | TrainerEvent::Failed { .. } | TrainerEvent::Stopped { .. } | TrainerEvent::Cancelled { .. })) => last = Some(end),
                        _ if journal.is_garbage() => trainer.kill(),
                        _ => {}
                    }
                }
            },
            status = trainer.wait(), if exited.is_none() => exited = Some(status),
            _ = reports.tick() => {
                run.measure(trainer.id());
                report(context, claim, journal).await?;
            }
            Some(text) = uploader.troubles.recv() => journal.say(EventLevel::Warn, text),
            Ok(()) = orders.changed() => {
                let order = *orders.borrow_and_update();
                if frozen != (order == Order::Freeze) {
                    frozen = order == Order::Freeze;
                    trainer.freeze(frozen);
                    watchdog.hold(frozen, Instant::now());
                }
                match order {
                    Order::Fenced => {
                        trainer.kill();
                        let _ = trainer.wait().await;
                        return Err(Fenced);
                    }
                    Order::Obey(directive) => {
                        ending = Ending::Directed(directive);
                        match directive {
                            Directive::Cancel => trainer.tell(TrainerCommand::Cancel).await,
                            Directive::Pause | Directive::Preempt => trainer.tell(TrainerCommand::Stop).await,
                            Directive::TimeUp => trainer.kill(),
                            Directive::Continue => {}
                        }
                        let grace = if directive == Directive::Cancel { CANCEL_GRACE.min(grace) } else { grace };
                        let at = Instant::now() + grace;
                        kill_at = Some(kill_at.map_or(at, |before| before.min(at)));
                    }
                    Order::Continue | Order::Freeze => {}
                }
            }
            // Lines that wait to be heard may be progress: then it is the agent that is late.
            () = tokio::time::sleep_until(watchdog.deadline().unwrap_or(time_up)),
                if stuck.is_none() && ending == Ending::Own && exited.is_none() && lines.is_empty() =>
            {
                stuck = watchdog.verdict(Instant::now()).filter(|_| lines.is_empty());
                if stuck.is_some() {
                    trainer.kill();
                }
            }
            () = shutdown.cancelled(), if ending == Ending::Own => {
                ending = Ending::Shutdown;
                trainer.tell(TrainerCommand::Stop).await;
                kill_at = Some(Instant::now() + grace);
            }
            () = tokio::time::sleep_until(time_up), if matches!(ending, Ending::Own | Ending::Shutdown) => {
                ending = Ending::Directed(Directive::TimeUp);
                trainer.kill();
            }
            () = tokio::time::sleep_until(kill_at.unwrap_or(time_up)), if kill_at.is_some() => {
                tracing::warn!(job = %claim.lease.job, "the trainer did not end in time and is killed");
                trainer.kill();
                kill_at = None;
            }
        }
    };
    run.measure(None);
    // The last checkpoint must be safe before the job is given back or the next attempt would begin further behind.
    uploader.finish().await;
    while let Ok(text) = uploader.troubles.try_recv() {
        journal.say(EventLevel::Warn, text);
    }
    if let (Some(message), Ending::Own) = (stuck, ending) {
        let error = JobError { code: JobErrorCode::NoProgress, message, param: None };
        return Ok(Verdict::Fail { error, retryable: true });
    }
    let out_of_memory = kernel_kills() > kernel_kills_before;
    match status {
        Ok(status) => Ok(judge(ending, last, status, &trainer.last_words(), out_of_memory)),
        Err(error) => Ok(Verdict::Fail {
            error: JobError {
                code: JobErrorCode::TrainerCrashed,
                message: error.to_string(),
                param: None,
            },
            retryable: true,
        }),
    }
}

/// Reports what has been heard. What has no answer now is reported with the next.
async fn report(context: &Context, claim: &Claim, journal: &mut Journal) -> Result<(), Fenced> {
    let events = journal.drain();
    if events.is_empty() {
        return Ok(());
    }
    let (lease, first) = (&claim.lease, journal.reported());
    match context.control.report(lease, &journal.progress, first, events.clone()).await {
        Ok(()) => {
            journal.count_reported(events.len());
            Ok(())
        }
        Err(LeaseError::Unavailable(_)) => {
            journal.put_back(events);
            Ok(())
        }
        Err(_) => Err(Fenced),
    }
}

/// Reports the last of it: nobody else can when the run is over.
async fn report_all(context: &Context, claim: &Claim, journal: &mut Journal) -> Result<(), Fenced> {
    let events = journal.drain();
    if events.is_empty() {
        return Ok(());
    }
    let (lease, first) = (&claim.lease, journal.reported());
    let told =
        persist(|| context.control.report(lease, &journal.progress, first, events.clone())).await;
    settle(told)
}

/// Brings the adapter to the object store and ends the job with it; gives what to tell instead where that fails.
async fn complete(
    context: &Context,
    claim: &Claim,
    places: &Places,
    journal: &Journal,
    finished: &Finished,
) -> Result<Option<Verdict>, Fenced> {
    let prefix = format!("{}/adapter", run_prefix(&claim.lease));
    let directory = places.out.join(&finished.directory);
    let mut tries = 0;
    let manifest = loop {
        tries += 1;
        match upload_directory(context.objects.as_ref(), &directory, &prefix).await {
            Ok(manifest) => break manifest,
            Err(error) if tries < UPLOAD_TRIES => {
                tracing::warn!(job = %claim.lease.job, %error, "the adapter was not uploaded; trying again");
                tokio::time::sleep(Duration::from_secs(u64::from(tries))).await;
            }
            Err(error) => {
                return Ok(Some(Verdict::Fail { error: trouble(error), retryable: true }));
            }
        }
    };
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
        data_report: started.map(|started| started.data_report.clone()).unwrap_or_default(),
    }
}

fn settle(told: Result<(), LeaseError>) -> Result<(), Fenced> {
    match told {
        Ok(()) => Ok(()),
        Err(LeaseError::Unavailable(reason)) => {
            // The lease runs out, and the reaper does what could not be told.
            tracing::error!(
                reason,
                "the control plane did not answer; the lease is left to expire"
            );
            Ok(())
        }
        Err(_) => Err(Fenced),
    }
}

fn trouble(error: InputError) -> JobError {
    JobError { code: error.code(), message: error.to_string(), param: None }
}
