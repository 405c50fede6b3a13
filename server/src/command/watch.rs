//! `trainyard jobs watch`: follows a job to its end, through restarts of the server. Its event stream says when to look.
//!
//! On a terminal it is one live line; elsewhere plain lines, one when something changed; with `--json` every change as a
//! line of JSON.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use trainyard_openapi::job::{Job, JobStatus};

use super::connection::Connection;
use super::follow::{Follower, POLL};
use super::jobs::{figure, steps, summary};
use super::stages;
use crate::client::{Client, ClientError, read};
use crate::exit::Exit;
use crate::output::{self, Format};

/// Plain lines of a running job are at least so far apart.
const PLAIN_LINES_APART: Duration = Duration::from_secs(5);
/// The longest wait for a server that does not answer.
const BACKOFF_MAX: Duration = Duration::from_secs(15);

/// The flags of `jobs watch`.
#[derive(Debug, clap::Args)]
pub(crate) struct WatchArgs {
    /// The job's id.
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Follows `job` (the server's object) until it ends.
pub(crate) async fn watch(
    client: &Client,
    mut seen: Value,
    format: Format,
) -> Result<Exit, ClientError> {
    let mut job: Job = read(&seen)?;
    let id = job.id.to_string();
    let mut view = View::new(format);
    view.show(&seen, &job)?;
    let mut follower = Follower::new(&id);
    let mut backoff = POLL;
    while !job.status.is_terminal() {
        follower.changed(client).await;
        let now = match client.get(&["fine_tuning", "jobs", &id], &[]).await {
            Ok(now) => now,
            Err(error) if error.is_passing() => {
                backoff = (backoff * 2).min(BACKOFF_MAX);
                view.note(&format!("{error}; trying again in {:.0}s", backoff.as_secs_f64()));
                tokio::time::sleep(backoff).await;
                continue;
            }
            Err(error) => {
                view.close();
                return Err(error);
            }
        };
        backoff = POLL;
        if now != seen {
            seen = now;
            job = read(&seen)?;
            view.show(&seen, &job)?;
        }
    }
    view.close();
    if format == Format::Human {
        summary(&job)?;
    }
    Ok(match job.status {
        JobStatus::Failed => Exit::JobFailed,
        JobStatus::Cancelled => Exit::JobCancelled,
        _ => Exit::Done,
    })
}

/// How a job is shown while it runs.
enum View {
    /// One live line on a terminal.
    Bar(ProgressBar),
    /// Lines; the last one and when it was written.
    Lines(String, Instant),
    /// The server's JSON.
    Json,
}

impl View {
    fn new(format: Format) -> Self {
        match format {
            Format::Json => Self::Json,
            Format::Human if std::io::stdout().is_terminal() => {
                let bar = ProgressBar::no_length();
                bar.enable_steady_tick(Duration::from_millis(200));
                Self::Bar(bar)
            }
            Format::Human => Self::Lines(String::new(), Instant::now()),
        }
    }

    fn show(&mut self, raw: &Value, job: &Job) -> Result<(), ClientError> {
        match self {
            Self::Json => output::json(raw)?,
            Self::Bar(bar) => {
                if let Some(total) = job.trainyard.progress.total_steps {
                    bar.set_length(total);
                    bar.set_position(job.trainyard.progress.step);
                }
                let template = match job.trainyard.progress.total_steps {
                    Some(_) => "{spinner} {bar:24} {msg}",
                    None => "{spinner} {msg}",
                };
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style);
                }
                bar.set_message(sentence(job));
            }
            Self::Lines(last, written) => {
                let line = sentence(job);
                let status = |line: &str| line.split(' ').next().map(str::to_string);
                let turned = status(&line) != status(last);
                if turned || (line != *last && written.elapsed() >= PLAIN_LINES_APART) {
                    output::line(&line)?;
                    (*last, *written) = (line, Instant::now());
                }
            }
        }
        Ok(())
    }

    /// Tells of trouble without ending the view.
    fn note(&mut self, text: &str) {
        match self {
            Self::Bar(bar) => bar.set_message(output::printable(text)),
            Self::Lines(..) | Self::Json => tracing::warn!("{text}"),
        }
    }

    fn close(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// A job in one line; the first word is its status.
fn sentence(job: &Job) -> String {
    let progress = &job.trainyard.progress;
    let mut parts = vec![job.status.as_str().to_string()];
    match job.status {
        JobStatus::Queued => {
            parts.extend(progress.queue_position.map(|place| format!("place {place}")));
            parts.extend(progress.waiting_reason.clone());
        }
        JobStatus::Running => {
            let stage = progress.continual.as_ref();
            parts.extend(stage.map(|at| format!("stage {}", stages::place(at))));
            parts.extend(progress.total_steps.map(|_| format!("step {}", steps(job))));
            parts.extend(progress.train_loss.map(|loss| format!("loss {}", figure(Some(loss)))));
            parts.extend(progress.valid_loss.map(|loss| format!("valid {}", figure(Some(loss)))));
            parts.extend(progress.tokens_per_second.map(|rate| format!("{rate:.0} tokens/s")));
            let left = progress.eta_seconds.map(output::duration);
            parts.extend(left.map(|left| format!("{left} left")));
        }
        JobStatus::Paused => {
            parts.push(format!("go on with `trainyard jobs resume {}`", job.id));
        }
        _ => {}
    }
    output::printable(&parts.join("  "))
}
