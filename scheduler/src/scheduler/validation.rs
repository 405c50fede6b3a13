//! `validating_files`: every line of every file is read before the job may be queued.

use futures::stream::{self, StreamExt};
use serde_json::{Map, json};
use trainyard_openapi::event::{EventKind, EventLevel};
use trainyard_openapi::id::{FileId, JobId};
use trainyard_openapi::job::JobError;
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_openapi::line::validator::{FileReport, FileValidator};

use super::{Scheduler, event, message};
use crate::error::{Result, SchedulerError};
use crate::job::state::Transition;
use crate::job::{JobInput, JobRecord, JobState};
use crate::port::objects::ObjectError;
use crate::port::store::FileRecord;
use crate::trace::{Span, SpanKind};

/// Jobs whose files are read at the same time. Reading takes a processor each.
const FILES_AT_ONCE: usize = 4;

/// What was found in a job's files.
enum Finding {
    Good(Vec<(String, FileReport)>),
    Bad { error: JobError, report: Option<FileReport> },
}

impl Scheduler {
    pub(super) async fn validate_pending(&self) -> Result<()> {
        let pending = self.store().validating_jobs().await?;
        // Side by side, so that small files need not wait for a large one; one that cannot be read holds up no other.
        let mut passes = stream::iter(pending)
            .map(|id| {
                let this = self.clone();
                async move { (this.validate(&id).await, id) }
            })
            .buffer_unordered(FILES_AT_ONCE);
        let mut first_error = None;
        while let Some((ended, id)) = passes.next().await {
            if let Err(error) = ended {
                tracing::error!(job_id = %id, error = &error as &dyn std::error::Error, "the files were not validated");
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    async fn validate(&self, id: &JobId) -> Result<()> {
        let Some(job) = self.store().job_of_any_tenant(id).await? else { return Ok(()) };
        if job.state != JobState::Validating {
            return Ok(());
        }
        let span = Span::below(SpanKind::Internal, "validate files", job.traceparent.as_ref());
        span.text("trainyard.job.id", id);
        let finding = span.around(self.examine(&job)).await?;
        if let Finding::Bad { error, .. } = &finding {
            span.fail(error.code.as_str());
        }
        drop(span);
        self.change(id, |commit, now_ms| {
            // Cancelled or paused meanwhile: what was found is looked for again when it goes on.
            if commit.job.state != JobState::Validating {
                return Ok::<_, SchedulerError>(false);
            }
            let transition = match &finding {
                Finding::Good(reports) => {
                    let text = "Files validated, moving job to queued state";
                    let mut data = Map::new();
                    for (param, report) in reports {
                        data.insert(param.clone(), counts(report));
                    }
                    commit.events.push(event(
                        now_ms,
                        EventLevel::Info,
                        EventKind::Message,
                        text.into(),
                        data,
                    )?);
                    Transition::Validated { now_ms }
                }
                Finding::Bad { error, report } => {
                    let mut data = Map::new();
                    if let Some(report) = report {
                        data.insert("error_count".into(), report.error_count.into());
                        data.insert("errors".into(), line_errors(report));
                    }
                    let text = error.message.clone();
                    commit.events.push(event(
                        now_ms,
                        EventLevel::Error,
                        EventKind::Message,
                        text,
                        data,
                    )?);
                    let text = "The job failed: its files cannot be trained on";
                    commit.events.push(message(now_ms, EventLevel::Error, text)?);
                    Transition::Fail { now_ms, error: error.clone() }
                }
            };
            commit.job.state = commit.job.state.clone().apply(transition)?;
            Ok(true)
        })
        .await?;
        Ok(())
    }

    async fn examine(&self, job: &JobRecord) -> Result<Finding> {
        let mut reports = Vec::new();
        for JobInput { param, id, .. } in job.inputs() {
            let (name, report) = match self.read_lines(job, &file_id(job, id)?).await {
                Ok(read) => read,
                Err(SchedulerError::Object(ObjectError::NotFound(_))) => {
                    let text = format!("{param}: {id} has been deleted");
                    return Ok(Finding::Bad { error: refusal(&param, text), report: None });
                }
                Err(error) => return Err(error),
            };
            if let Some(summary) = report.error_summary(&name) {
                return Ok(Finding::Bad { error: refusal(&param, summary), report: Some(report) });
            }
            reports.push((param, report));
        }
        Ok(Finding::Good(reports))
    }

    /// The file's name and what is in it.
    pub(super) async fn read_lines(
        &self,
        job: &JobRecord,
        id: &FileId,
    ) -> Result<(String, FileReport)> {
        let gone = || SchedulerError::Object(ObjectError::NotFound(id.to_string()));
        let file = self.store().file(&job.tenant, id).await?.ok_or_else(gone)?;
        let user_field = job.plan.privacy.as_ref().and_then(|privacy| privacy.user_field.clone());
        let report = self.lines_of(&file, user_field).await?;
        Ok((file.filename, report))
    }

    /// What is in a file whose lines name their users under `user_field`, where there is one.
    pub(super) async fn lines_of(
        &self,
        file: &FileRecord,
        user_field: Option<String>,
    ) -> Result<FileReport> {
        let (_, mut stream) = self.objects().read(&file.key, None).await?;
        let mut validator = FileValidator::of_users(user_field);
        while let Some(piece) = stream.next().await {
            let piece = piece?;
            // Parsing is work for a processor: the async threads go on serving meanwhile.
            validator = tokio::task::spawn_blocking(move || {
                validator.push(&piece);
                validator
            })
            .await
            .map_err(|error| SchedulerError::Internal(format!("validation panicked: {error}")))?;
        }
        Ok(validator.finish())
    }
}

/// The id of a file in a job's plan.
pub(super) fn file_id(job: &JobRecord, id: &str) -> Result<FileId> {
    let broken =
        |_| SchedulerError::Internal(format!("'{id}' in the plan of {} is no file", job.id));
    id.parse().map_err(broken)
}

fn refusal(param: &str, text: String) -> JobError {
    let code = match param.ends_with("training_file") {
        true => JobErrorCode::InvalidTrainingFile,
        false => JobErrorCode::InvalidValidationFile,
    };
    JobError { code, message: text, param: Some(param.to_string()) }
}

fn counts(report: &FileReport) -> serde_json::Value {
    json!({
        "examples": report.examples,
        "lines": report.lines,
        "blank_lines": report.blank_lines,
        "bytes": report.bytes,
        "byte_order_mark": report.byte_order_mark,
    })
}

fn line_errors(report: &FileReport) -> serde_json::Value {
    let error = |(line, error): &(u64, trainyard_openapi::line::LineError)| json!({"line": line, "code": error.code, "field": error.field, "message": error.message});
    report.errors.iter().map(error).collect()
}
