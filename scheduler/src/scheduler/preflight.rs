//! A dry run of a create request: the same checks, and everything told that is known before training.

use trainyard_openapi::extension::{NewStage, Progress};
use trainyard_openapi::job::CreateJob;
use trainyard_openapi::line::validator::FileReport;
use trainyard_openapi::page::{Order, PageRequest};
use trainyard_openapi::preflight::{BadLine, Preflight, PreflightFile, QueuePlace, TimeEstimate};
use trainyard_plan::trainer::{InspectedFile, Inspection};
use trainyard_plan::{Plan, compatibility, memory_fit};

use super::Scheduler;
use super::validation::file_id;
use crate::error::Result;
use crate::job::{JobRecord, JobState};
use crate::port::control_plane::InputFile;
use crate::port::inspector::InspectRequest;
use crate::port::store::{FileRecord, JobFilter, QueuedJob};
use crate::tenant::TenantContext;

/// Earlier jobs that the rate is looked up in.
const EARLIER_JOBS: u32 = 100;
/// Floating-point operations a token and parameter of a `LoRA` step: forward, and backward without the frozen weights' gradients.
const FLOPS_PER_PARAMETER: f64 = 4.0;
/// Share of the measured rate of matrix products that a whole step reaches.
const STEP_SHARE: f64 = 0.5;

impl Scheduler {
    /// What a request would come to. Nothing is stored of it.
    ///
    /// # Errors
    /// The same as of a create request.
    pub async fn preflight(&self, ctx: &TenantContext, request: &CreateJob) -> Result<Preflight> {
        let job = self.new_job(ctx, request).await?;
        let facts = self.models_dir().facts(&job.model)?;
        let mut files = Vec::new();
        let mut inputs = Vec::new();
        for input in job.inputs() {
            let record = self.file_record(ctx, &file_id(&job, input.id)?).await?;
            let (_, report) = self.read_lines(&job, &record.id).await?;
            files.push(file_of(&input.param, &record, report));
            inputs.push(InputFile { id: record.id, filename: record.filename, key: record.key });
        }
        let looks = looks_at(&job);
        let inspected = self.inspect_all(&job, &looks, &inputs).await;
        for (look, inspection) in looks.iter().zip(inspected.iter().flatten()) {
            let parts = [
                (Some(look.training.as_str()), Some(&inspection.training)),
                (look.validation.as_deref(), inspection.validation.as_ref()),
            ];
            for (id, found) in parts.into_iter().filter_map(|(id, found)| Some((id?, found?))) {
                let own = files.iter_mut().filter(|file| file.id.as_str() == id);
                own.for_each(|file| add(file, found));
            }
        }
        let inspections = inspected.as_deref().ok();
        let inspection = inspections.and_then(<[Inspection]>::first);
        let epochs = u64::from(job.plan.epochs);
        let tokens_of = |one: &Inspection| one.training.report.get("tokens").copied().unwrap_or(0);
        let total_tokens =
            inspections.map(|all| all.iter().map(|one| tokens_of(one) * epochs).sum::<u64>());
        let by_lines = |look: &Look| {
            let file = files.iter().find(|file| file.id.as_str() == look.training);
            let lines = file.map_or(0, |file| file.examples);
            lines.div_ceil(u64::from(job.plan.batch_size)) * epochs
        };
        let total_steps = match (inspections, &job.plan.privacy) {
            (_, Some(privacy)) => privacy.phase.steps(),
            (Some(all), None) => all.iter().map(|one| one.total_steps).sum(),
            (None, None) => looks.iter().map(by_lines).sum(),
        };
        let parameters = facts.as_ref().map_or(0, trainyard_plan::ModelFacts::parameters_estimate);
        let host = self.inner.parts.host;
        let memory = facts.map(|facts| memory_fit(&job.plan, &facts, host));
        let rows = files.iter().filter_map(|file| file.data_report.as_ref());
        let privacy = self.privacy_forecast(ctx, &job).await?;
        let fits = privacy.as_ref().is_none_or(|forecast| forecast.fits);
        let empty = rows.filter(|report| report.get("rows") == Some(&0)).count() > 0;
        Ok(Preflight {
            object: "fine_tuning.preflight".to_string(),
            valid: fits && !empty && files.iter().all(|file| file.error_count == 0),
            model: request.model.clone(),
            seed: job.plan.seed,
            method: job.plan.method(),
            trainyard: job.plan.extension(Progress::default(), None),
            total_steps,
            total_tokens,
            token_counts: inspected.as_ref().err().cloned(),
            memory: memory.ok_or_else(|| super::models::not_found(&request.model))?,
            time: self.time(ctx, &job, inspection, total_tokens, parameters).await?,
            queue: self.place(job.clone()).await?,
            compatibility: compatibility(&job.plan),
            files,
            privacy,
        })
    }

    /// What a trainer finds in the files of each look, or why none looked.
    async fn inspect_all(
        &self,
        job: &JobRecord,
        looks: &[Look],
        inputs: &[InputFile],
    ) -> Result<Vec<Inspection>, String> {
        let Some(inspector) = &self.inner.parts.inspector else {
            return Err("this server has no trainer beside it that could count tokens".to_string());
        };
        let named = |id: &str| {
            let input = inputs.iter().find(|input| input.id.as_str() == id);
            input.cloned().ok_or_else(|| format!("there is no file '{id}'"))
        };
        let mut all = Vec::new();
        for look in looks {
            let request = InspectRequest {
                // Each stage's rows are counted as those of a job of its own.
                plan: Plan { continual: None, ..job.plan.clone() },
                model: job.model.clone(),
                training_file: named(&look.training)?,
                validation_file: look.validation.as_deref().map(named).transpose()?,
            };
            all.push(inspector.inspect(request).await.map_err(|error| error.to_string())?);
        }
        Ok(all)
    }

    async fn time(
        &self,
        ctx: &TenantContext,
        job: &JobRecord,
        inspection: Option<&Inspection>,
        total_tokens: Option<u64>,
        parameters: u64,
    ) -> Result<Option<TimeEstimate>> {
        let (Some(inspection), Some(tokens)) = (inspection, total_tokens) else { return Ok(None) };
        let (tokens_per_second, basis) = match self.earlier_rate(ctx, job).await? {
            Some(rate) => (rate, "earlier_jobs"),
            None => {
                let flops_per_token = FLOPS_PER_PARAMETER * parameters.max(1) as f64;
                let rate = inspection.matmul_flops_per_second * STEP_SHARE / flops_per_token;
                (rate, "measured_rate")
            }
        };
        let seconds = tokens as f64 / tokens_per_second.max(f64::MIN_POSITIVE);
        Ok(Some(TimeEstimate { seconds, tokens_per_second, basis: basis.to_string() }))
    }

    /// The median rate of the tenant's newest jobs on the same model in the same number format.
    async fn earlier_rate(&self, ctx: &TenantContext, job: &JobRecord) -> Result<Option<f64>> {
        let page = PageRequest { after: None, limit: EARLIER_JOBS, order: Order::Desc };
        let (jobs, _) = self.store().jobs(ctx.tenant(), &JobFilter::default(), &page).await?;
        let alike = jobs.iter().filter(|one| {
            one.model == job.model
                && one.plan.precision == job.plan.precision
                && one.plan.batching.gradient_checkpointing
                    == job.plan.batching.gradient_checkpointing
        });
        let rate = |one: &JobRecord| match &one.state {
            JobState::Succeeded { trained_tokens, result, .. } if result.training_seconds > 0.0 => {
                Some(*trained_tokens as f64 / result.training_seconds)
            }
            _ => None,
        };
        let mut rates: Vec<f64> = alike.filter_map(rate).collect();
        rates.sort_by(f64::total_cmp);
        Ok(rates.get(rates.len() / 2).copied())
    }

    /// Where the job would stand if it were queued now.
    async fn place(&self, job: JobRecord) -> Result<QueuePlace> {
        let now_ms = self.store().now_ms().await?;
        let mut queued = self.store().queued_jobs().await?;
        let busy = self.store().busy_jobs().await?;
        let validating = self.store().validating_jobs().await?.len() as u64;
        let resources = &job.plan.resources;
        queued.push(QueuedJob::since(&job, job.created_at_ms));
        let line = self.line_of_jobs(queued, &busy, now_ms).await?;
        let waiting = line.place_of(&job.id, resources);
        let ready = line.queue.pools.get(&resources.pool).map_or(0, |pool| pool.ready.len() as u64);
        let pool = line.pools.get(&resources.pool);
        let (devices, free) = pool.map_or((0, 0), |pool| (pool.devices, pool.free));
        let place = waiting.position.unwrap_or(1);
        // Who is passed over would come after all that are not.
        let position = validating + place.min(ready + 1);
        let reason = match waiting.reason {
            reason if place > ready || resources.devices > devices => reason,
            _ => (position > u64::from(free)).then(|| {
                let before = position - 1;
                format!("{free} of {devices} slots are free and {before} jobs would be before it")
            }),
        };
        Ok(QueuePlace { position, waiting_reason: reason, estimated_start_at: waiting.starts_at })
    }
}

/// Files that are looked at together.
struct Look {
    training: String,
    validation: Option<String>,
}

/// The job's own files, or those of each stage. The held-out file is read line by line alone: it changes no step.
fn looks_at(job: &JobRecord) -> Vec<Look> {
    let own = || Look {
        training: job.training_file.to_string(),
        validation: job.validation_file.as_ref().map(ToString::to_string),
    };
    match job.stages() {
        [] => vec![own()],
        stages => {
            let of = |stage: &NewStage| Look {
                training: stage.training_file.clone(),
                validation: stage.validation_file.clone(),
            };
            stages.iter().map(of).collect()
        }
    }
}

fn file_of(param: &str, record: &FileRecord, report: FileReport) -> PreflightFile {
    let errors = report.errors.iter().map(|(line, error)| BadLine {
        line: *line,
        code: error.code.to_string(),
        field: error.field.clone(),
        message: error.message.clone(),
    });
    PreflightFile {
        param: param.to_string(),
        id: record.id.clone(),
        filename: record.filename.clone(),
        lines: report.lines,
        examples: report.examples,
        blank_lines: report.blank_lines,
        errors: errors.collect(),
        error_count: report.error_count,
        data_report: None,
    }
}

/// Adds what the trainer found: it knows all that the line parser knows, and what tokenizer and template refuse.
fn add(file: &mut PreflightFile, found: &InspectedFile) {
    file.data_report = Some(found.report.clone());
    if found.error_count >= file.error_count {
        // Errors of the file as a whole, such as mixed kinds, are the line parser's alone.
        let whole = file
            .errors
            .iter()
            .filter(|error| !found.errors.iter().any(|same| same.line == error.line));
        let whole: Vec<BadLine> = whole.cloned().collect();
        file.error_count = found.error_count + whole.len() as u64;
        file.errors = found.errors.iter().cloned().chain(whole).collect();
        file.errors.sort();
    }
}
