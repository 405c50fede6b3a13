//! `trainyard jobs`: list, show, steer; `create` and `watch` have files of their own.

use serde_json::Value;
use trainyard_openapi::checkpoint::JobCheckpoint;
use trainyard_openapi::event::{EventLevel, JobEvent};
use trainyard_openapi::job::{Job, JobStatus};
use trainyard_openapi::page::Page;

use super::connection::{Connection, idempotency_key, pair};
use super::create::CreateArgs;
use super::stages;
use super::watch::{WatchArgs, watch};
use crate::client::{ClientError, read};
use crate::exit::Exit;
use crate::output::{self, Format};

/// The commands on jobs.
#[allow(clippy::doc_markdown, reason = "the doc comments are the help text")]
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Jobs {
    /// Create a job.
    Create(Box<CreateArgs>),
    /// List jobs, newest first.
    List {
        /// Only jobs with this pair of metadata; may be repeated.
        #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
        metadata: Vec<(String, String)>,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show a job.
    Get(JobArgs),
    /// Watch a job until it ends.
    Watch(WatchArgs),
    /// List a job's events, oldest first; with --json as the server sends them.
    Events {
        /// The job's id.
        id: String,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// List a job's checkpoints, newest first.
    Checkpoints {
        /// The job's id.
        id: String,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Cancel a job; nothing is kept of it but its checkpoints.
    Cancel(JobArgs),
    /// Pause a job; it keeps a checkpoint and gives its slot to others.
    Pause(JobArgs),
    /// Let a paused job go on.
    Resume(JobArgs),
}

/// A job by its id.
#[derive(Debug, clap::Args)]
pub(crate) struct JobArgs {
    /// The job's id.
    id: String,
    #[command(flatten)]
    connection: Connection,
}

/// Which part of a list.
#[derive(Debug, clap::Args)]
pub(crate) struct PageArgs {
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// Those after this entry of the list.
    #[arg(long, value_name = "ID")]
    after: Option<String>,
}

impl PageArgs {
    /// The page as a query.
    pub(crate) fn query(&self) -> Vec<(String, String)> {
        let after = self.after.iter().map(|after| ("after".to_string(), after.clone()));
        std::iter::once(("limit".to_string(), self.limit.to_string())).chain(after).collect()
    }
}

/// Carries a command out.
pub(crate) async fn run(command: Jobs) -> Result<Exit, ClientError> {
    const JOBS: [&str; 2] = ["fine_tuning", "jobs"];
    match command {
        Jobs::Create(create) => {
            let client = create.connection.client()?;
            let job = create.send(&client).await?;
            if create.dry_run {
                return super::preflight::show(&job, create.connection.format());
            }
            if create.watch {
                return watch(&client, job, create.connection.format()).await;
            }
            show(&job, create.connection.format())?;
        }
        Jobs::Watch(WatchArgs { id, connection }) => {
            let client = connection.client()?;
            let job = client.get(&[JOBS[0], JOBS[1], &id], &[]).await?;
            return watch(&client, job, connection.format()).await;
        }
        Jobs::List { metadata, page, connection } => {
            let mut query = page.query();
            query.extend(metadata.into_iter().map(|(k, v)| (format!("metadata[{k}]"), v)));
            let answer = connection.client()?.get(&JOBS, &query).await?;
            list(&answer, connection.format(), &LIST_HEADER, job_row)?;
        }
        Jobs::Get(JobArgs { id, connection }) => {
            let answer = connection.client()?.get(&[JOBS[0], JOBS[1], &id], &[]).await?;
            show(&answer, connection.format())?;
        }
        Jobs::Events { id, page, connection } => {
            let path = [JOBS[0], JOBS[1], &id, "events"];
            let answer = connection.client()?.get(&path, &page.query()).await?;
            events(&answer, connection.format())?;
        }
        Jobs::Checkpoints { id, page, connection } => {
            let path = [JOBS[0], JOBS[1], &id, "checkpoints"];
            let answer = connection.client()?.get(&path, &page.query()).await?;
            let header = ["STEP", "TRAIN LOSS", "VALID LOSS", "CREATED (UTC)", "MODEL"];
            list(&answer, connection.format(), &header, checkpoint_row)?;
        }
        Jobs::Cancel(job) => steer(job, "cancel").await?,
        Jobs::Pause(job) => steer(job, "pause").await?,
        Jobs::Resume(job) => steer(job, "resume").await?,
    }
    Ok(Exit::Done)
}

async fn steer(job: JobArgs, what: &str) -> Result<(), ClientError> {
    let path = ["fine_tuning", "jobs", &job.id, what];
    let client = job.connection.client()?;
    let answer = client.post(&path, None, &idempotency_key()?).await?;
    show(&answer, job.connection.format())
}

/// Shows a page as a table, and how the next one is had.
pub(crate) fn list<T: serde::de::DeserializeOwned>(
    answer: &Value,
    format: Format,
    header: &[&str],
    row: impl Fn(&T) -> Vec<String>,
) -> Result<(), ClientError> {
    if format == Format::Json {
        return Ok(output::json(answer)?);
    }
    let page: Page<T> = read(answer)?;
    let rows: Vec<_> = page.data.iter().map(row).collect();
    output::table(header, &rows)?;
    if let (true, Some(last)) = (page.has_more, page.last_id) {
        output::line(&format!("more: --after {last}"))?;
    }
    Ok(())
}

const LIST_HEADER: [&str; 6] = ["ID", "STATUS", "STEP", "LOSS", "CREATED (UTC)", "MODEL"];

fn job_row(job: &Job) -> Vec<String> {
    let progress = &job.trainyard.progress;
    vec![
        job.id.to_string(),
        job.status.as_str().to_string(),
        steps(job),
        figure(progress.train_loss),
        output::time(job.created_at),
        job.fine_tuned_model.clone().unwrap_or_else(|| job.model.clone()),
    ]
}

fn checkpoint_row(checkpoint: &JobCheckpoint) -> Vec<String> {
    vec![
        checkpoint.step_number.to_string(),
        figure(checkpoint.metrics.train_loss),
        figure(checkpoint.metrics.valid_loss),
        output::time(checkpoint.created_at),
        checkpoint.fine_tuned_model_checkpoint.clone(),
    ]
}

fn events(answer: &Value, format: Format) -> Result<(), ClientError> {
    if format == Format::Json {
        return Ok(output::json(answer)?);
    }
    let page: Page<JobEvent> = read(answer)?;
    for event in page.data.iter().rev() {
        let level = match event.level {
            EventLevel::Info => "",
            EventLevel::Warn => "warning: ",
            EventLevel::Error => "error: ",
        };
        let message = output::printable(&event.message);
        output::line(&format!("{}  {level}{message}", output::time(event.created_at)))?;
    }
    Ok(())
}

/// `step/total`, as far as it is known.
pub(crate) fn steps(job: &Job) -> String {
    let progress = &job.trainyard.progress;
    match progress.total_steps {
        Some(total) => format!("{}/{total}", progress.step),
        None => String::new(),
    }
}

/// A loss with four decimals, or nothing.
pub(crate) fn figure(value: Option<f64>) -> String {
    value.map(|value| format!("{value:.4}")).unwrap_or_default()
}

fn show(answer: &Value, format: Format) -> Result<(), ClientError> {
    if format == Format::Json {
        return Ok(output::json(answer)?);
    }
    summary(&read(answer)?)
}

/// Writes what there is to say of a job.
pub(crate) fn summary(job: &Job) -> Result<(), ClientError> {
    output::fields(&details(job))?;
    Ok(stages::show_results(job)?)
}

/// What there is to say of a job; what is not known is left out.
fn details(job: &Job) -> Vec<(&'static str, String)> {
    let progress = &job.trainyard.progress;
    let mut fields = vec![
        ("job", job.id.to_string()),
        ("status", job.status.as_str().to_string()),
        ("base model", job.model.clone()),
        ("created (UTC)", output::time(job.created_at)),
        ("training file", job.training_file.to_string()),
    ];
    fields.extend(job.validation_file.as_ref().map(|file| ("validation file", file.to_string())));
    if !job.status.is_terminal() {
        fields.extend(progress.queue_position.map(|place| ("queue position", place.to_string())));
        fields.extend(progress.waiting_reason.clone().map(|reason| ("waiting for", reason)));
        let start = progress.estimated_start_at;
        fields.extend(start.map(|at| ("likely starts (UTC)", output::time(at))));
    }
    if progress.total_steps.is_some() {
        fields.push(("step", steps(job)));
    }
    fields.extend(progress.continual.as_ref().map(|at| ("stage", stages::place(at))));
    fields.extend(progress.train_loss.map(|loss| ("training loss", figure(Some(loss)))));
    if let Some(privacy) = &job.trainyard.privacy {
        let spent = progress.privacy.map_or(0.0, |spent| spent.epsilon);
        let text =
            format!("{spent:.4} of {} at delta {:.2e}", privacy.target_epsilon, privacy.delta);
        fields.push(("epsilon", text));
    }
    if let Some(error) = &job.error {
        fields.push(("error", format!("{} ({})", error.message, error.code)));
        fields.extend(error.param.clone().map(|param| ("at", param)));
    }
    if let Some(result) = &job.trainyard.result {
        let (before, after) = (result.initial_valid_loss, result.valid_loss);
        if after.is_some() {
            fields.push(("validation loss", format!("{} -> {}", figure(before), figure(after))));
        }
        fields.push(("training time", output::duration(result.training_seconds)));
    } else if job.status == JobStatus::Running {
        fields.extend(progress.valid_loss.map(|loss| ("validation loss", figure(Some(loss)))));
    }
    fields.extend(job.trained_tokens.map(|tokens| ("trained tokens", tokens.to_string())));
    fields.extend(job.result_files.iter().map(|file| ("result file", file.to_string())));
    fields.extend(job.fine_tuned_model.clone().map(|model| ("model", model)));
    fields
}
