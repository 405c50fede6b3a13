//! A dry run of a create request: the same checks, and everything told that is known before training.

use trainyard_openapi::extension::Progress;
use trainyard_openapi::job::CreateJob;
use trainyard_openapi::line::validator::FileReport;
use trainyard_openapi::page::{Order, PageRequest};
use trainyard_openapi::preflight::{BadLine, Preflight, PreflightFile, QueuePlace, TimeEstimate};
use trainyard_plan::trainer::{InspectedFile, Inspection};
use trainyard_plan::{compatibility, memory_fit};

use super::Scheduler;
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
        let facts = self.models_dir().facts(&request.model)?;
        let mut files = Vec::new();
        let mut inputs = Vec::new();
        let named = [
            ("training_file", Some(&job.training_file)),
            ("validation_file", job.validation_file.as_ref()),
        ];
        for (param, id) in named.into_iter().filter_map(|(param, id)| Some((param, id?))) {
            let record = self.file_record(ctx, id).await?;
            let (_, report) = self.read_lines(&job, id).await?;
            files.push(file_of(param, &record, report));
            inputs.push(InputFile { id: record.id, filename: record.filename, key: record.key });
        }
        let inspected = self.inspect(&job, inputs).await;
        if let Ok(inspection) = &inspected {
            let parts = [Some(&inspection.training), inspection.validation.as_ref()];
            for (file, found) in files.iter_mut().zip(parts.into_iter().flatten()) {
                add(file, found);
            }
        }
        let inspection = inspected.as_ref().ok();
        let of_epochs = |inspection: &Inspection| {
            let tokens = inspection.training.report.get("tokens").copied().unwrap_or(0);
            tokens * u64::from(job.plan.epochs)
        };
        let total_tokens = inspection.map(of_epochs);
        let by_lines = files.first().map_or(0, |file| file.examples);
        let total_steps = match (inspection, &job.plan.privacy) {
            (_, Some(privacy)) => privacy.phase.steps(),
            (Some(inspection), None) => inspection.total_steps,
            (None, None) => {
                by_lines.div_ceil(u64::from(job.plan.batch_size)) * u64::from(job.plan.epochs)
            }
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
            model: job.model.clone(),
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

    /// What a trainer finds in the files, or why none looked.
    async fn inspect(&self, job: &JobRecord, inputs: Vec<InputFile>) -> Result<Inspection, String> {
        let Some(inspector) = &self.inner.parts.inspector else {
            return Err("this server has no trainer beside it that could count tokens".to_string());
        };
        let mut inputs = inputs.into_iter();
        let Some(training_file) = inputs.next() else {
            return Err("there is no training file".to_string());
        };
        let request = InspectRequest {
            plan: job.plan.clone(),
            model: job.model.clone(),
            training_file,
            validation_file: inputs.next(),
        };
        inspector.inspect(request).await.map_err(|error| error.to_string())
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
