//! One claimed job as a table of contents: prepare, start, supervise, upload, tell, clear away.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use trainyard_openapi::event::EventLevel;
use trainyard_openapi::job::JobError;
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_plan::trainer::{TrainerCommand, TrainerEvent};
use trainyard_scheduler::port::control_plane::{Claim, Directive, LeaseError};
use trainyard_scheduler::trace::Span;

use crate::agent::Context;
use crate::events::Journal;
use crate::finish::{complete, settle_steps};
use crate::inputs::{InputError, Places, prepare};
use crate::lease::{Keeper, Order};
use crate::lines::Line;
use crate::metrics::Run;
use crate::oom::kernel_kills;
use crate::outcome::{Ending, Verdict, judge, persist};
use crate::process::Trainer;
use crate::reservation::Reservations;
use crate::upload::Uploader;
use crate::watchdog::{Limits, Watchdog};

/// The job is another's: nothing more is said or written.
pub(crate) struct Fenced;

/// How a run ended, in its span: `succeeded`, `failed`, `fenced`, or why it was given back.
const OUTCOME: &str = "trainyard.outcome";

/// A started trainer and what it writes.
type Running = (Trainer, mpsc::Receiver<Line>);

/// Time that a cancelled trainer has to end by itself. Nothing of it is kept, so there is nothing to wait for: the owner sees the end
/// within two seconds, however long a step takes.
const CANCEL_GRACE: Duration = Duration::from_millis(1500);

/// Runs a claimed job to its end, whatever that is, and says in `span` how it went.
pub(crate) async fn run_job(
    context: &Arc<Context>,
    claim: Claim,
    span: &Span,
    shutdown: &CancellationToken,
) {
    span.text("trainyard.job.id", &claim.lease.job);
    span.text("trainyard.executor.id", &context.config.executor);
    span.set("trainyard.job.epoch", i64::try_from(claim.lease.epoch).unwrap_or(i64::MAX));
    if let Some(tenant) = &claim.tenant {
        span.text("trainyard.tenant.id", tenant);
    }
    let places = Places::new(&context.config.work_dir, &claim);
    let _ = tokio::fs::remove_dir_all(&places.work).await;
    if let Err(Fenced) = attempt(context, &claim, &places, span, shutdown).await {
        span.set(OUTCOME, "fenced");
        span.fail("fenced");
        tracing::warn!("fenced: the run was given up");
    }
    if let Err(error) = tokio::fs::remove_dir_all(&places.work).await {
        tracing::warn!(path = %places.work.display(), %error, "the work directory was not removed");
    }
}

async fn attempt(
    context: &Context,
    claim: &Claim,
    places: &Places,
    span: &Span,
    shutdown: &CancellationToken,
) -> Result<(), Fenced> {
    // The lease is kept from here on: bringing large files may take longer than it holds.
    let keeper = Keeper::start(context, claim);
    let mut run = context.metrics.take_slot(claim.plan.resources.devices);
    let mut journal = Journal::default();
    let prepared = bring_inputs(context, claim, places).await;
    let verdict = match prepared.map_err(trouble).and_then(|()| start(context, places)) {
        Ok(running) => {
            let span = Span::step("train");
            let supervised = supervise(
                context,
                claim,
                places,
                shutdown,
                keeper.orders.clone(),
                running,
                &mut journal,
                &keeper,
                &mut run,
            );
            let verdict = span.around(supervised).await?;
            span.set("trainyard.step", i64::try_from(journal.progress.step).unwrap_or(i64::MAX));
            verdict
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
        None => {
            span.set(OUTCOME, "succeeded");
            Ok(())
        }
        Some(Verdict::Release(reason)) => {
            span.set(OUTCOME, reason.as_str());
            persist(|| context.control.release(&claim.lease, reason)).await
        }
        Some(Verdict::Fail { error, retryable }) => {
            span.set(OUTCOME, "failed");
            span.fail(error.code.as_str());
            tracing::warn!(
                code = error.code.as_str(),
                retryable,
                "the attempt failed: {}",
                error.message
            );
            persist(|| context.control.fail(&claim.lease, &error, retryable)).await
        }
        Some(Verdict::Complete(_)) => Ok(()),
    };
    settle(told)
}

/// Fetches what the run needs.
async fn bring_inputs(context: &Context, claim: &Claim, places: &Places) -> Result<(), InputError> {
    let span = Span::step("fetch inputs");
    let objects = context.objects.as_ref();
    let prepared = span.around(prepare(claim, places, &context.config.models_dir, objects)).await;
    prepared.inspect_err(|error| span.fail(error.code().as_str()))
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
    let mut reservations = Reservations::of(context, &claim.lease);
    let mut reports = tokio::time::interval(context.config.report_every);
    reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let time_up = Instant::now() + Duration::from_secs(claim.runtime_seconds_left);
    let (mut ending, mut kill_at, mut last) = (Ending::Own, None::<Instant>, None);
    let mut frozen = false;
    let limits = Limits { floor: context.config.stall, start: context.config.stall_start };
    let mut watchdog = Watchdog::new(limits, Instant::now());
    let (mut stuck, mut refused) = (None, None);
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
                        Some(TrainerEvent::Reserve { from, until }) => {
                            reservations.ask(from, until);
                            watchdog.hold(true, Instant::now());
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
            answer = reservations.answer(), if reservations.is_asked() => match answer {
                Ok(reserved) => {
                    journal.progress.privacy = Some(reserved.spent);
                    watchdog.hold(frozen, Instant::now());
                    let (until, spent) = (reserved.until, reserved.spent);
                    trainer.tell(TrainerCommand::Reserved { until, spent }).await;
                }
                Err(LeaseError::Refused(reason)) => {
                    refused = Some(reason);
                    trainer.kill();
                }
                Err(_) => {
                    trainer.kill();
                    let _ = trainer.wait().await;
                    return Err(Fenced);
                }
            },
            Some(text) = uploader.troubles.recv() => journal.say(EventLevel::Warn, text),
            Ok(()) = orders.changed() => {
                let order = *orders.borrow_and_update();
                if frozen != (order == Order::Freeze) {
                    frozen = order == Order::Freeze;
                    trainer.freeze(frozen);
                    watchdog.hold(frozen || reservations.is_asked(), Instant::now());
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
                tracing::warn!("the trainer did not end in time and is killed");
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
    settle_steps(context, claim, last.as_ref(), journal).await?;
    if let (Some(message), Ending::Own) = (stuck, ending) {
        let error = JobError { code: JobErrorCode::NoProgress, message, param: None };
        return Ok(Verdict::Fail { error, retryable: true });
    }
    if let (Some(message), Ending::Own) = (refused, ending) {
        let param = Some("trainyard.privacy".to_string());
        let error = JobError { code: JobErrorCode::PrivacyRefused, message, param };
        return Ok(Verdict::Fail { error, retryable: false });
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

pub(crate) fn settle(told: Result<(), LeaseError>) -> Result<(), Fenced> {
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

pub(crate) fn trouble(error: InputError) -> JobError {
    JobError { code: error.code(), message: error.to_string(), param: None }
}
