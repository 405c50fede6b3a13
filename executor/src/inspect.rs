//! Looks at a job's files with a trainer that trains nothing: fetch, run `trainyard-trainer inspect`, read its one answer.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use trainyard_openapi::id::Nonce;
use trainyard_plan::trainer::{Inspection, RunSpec};
use trainyard_scheduler::port::inspector::{InspectError, InspectRequest, Inspector};
use trainyard_scheduler::port::objects::Objects;

use crate::config::AgentConfig;
use crate::lines::Line;
use crate::process::Trainer;

/// How long a look may take: half a gigabyte of lines is tokenized in less.
const TIME_MAX: Duration = Duration::from_secs(300);
/// Looks at once; more wait for their turn within their time.
const LOOKS_AT_ONCE: usize = 1;

/// Looks at files by means of a trainer.
pub struct TrainerInspector {
    config: AgentConfig,
    objects: Arc<dyn Objects>,
    turns: Semaphore,
}

impl TrainerInspector {
    /// An inspector that uses the trainer, the models and the work directory of an agent.
    pub fn new(config: AgentConfig, objects: Arc<dyn Objects>) -> Self {
        Self { config: config.absolute(), objects, turns: Semaphore::new(LOOKS_AT_ONCE) }
    }

    async fn look(&self, request: InspectRequest) -> Result<Inspection, InspectError> {
        let _turn = self.turns.acquire().await.map_err(failed)?;
        let name = Nonce::generate().map_err(|error| InspectError(error.to_string()))?;
        let work = self.config.work_dir.join(format!("inspect-{name}"));
        tokio::fs::create_dir_all(&work).await.map_err(failed)?;
        // Removed however the look ends, by its time running out too.
        let _removed = Removed(work.clone());
        let training_file = work.join("training.jsonl");
        self.objects.get_file(&request.training_file.key, &training_file).await.map_err(failed)?;
        let mut validation_file = None;
        if let Some(file) = &request.validation_file {
            let path = work.join("validation.jsonl");
            self.objects.get_file(&file.key, &path).await.map_err(failed)?;
            validation_file = Some(path);
        }
        let spec = RunSpec {
            plan: request.plan,
            model: self.config.models_dir.join(&request.model),
            model_name: request.model,
            training_file,
            validation_file,
            training_file_name: request.training_file.filename,
            validation_file_name: request.validation_file.map(|file| file.filename),
            micro_batch_size: None,
            continual: None,
        };
        let path = work.join("run.json");
        let json = serde_json::to_vec(&spec).map_err(failed)?;
        tokio::fs::write(&path, json).await.map_err(failed)?;
        let mut args: Vec<OsString> = ["inspect", "--plan"].map(OsString::from).into();
        args.push(path.into());
        if let Some(threads) = self.config.threads {
            args.extend([OsString::from("--threads"), threads.to_string().into()]);
        }
        let (mut trainer, mut lines) =
            Trainer::start(&self.config.trainer, &args, &work).map_err(failed)?;
        let mut answer = None;
        while let Some(line) = lines.recv().await {
            if let Line::Whole(bytes) = line {
                answer = serde_json::from_slice(&bytes).ok();
            }
        }
        let status = trainer.wait().await.map_err(failed)?;
        answer.filter(|_| status.success()).ok_or_else(|| {
            InspectError(format!("the trainer did not answer: {}", trainer.last_words()))
        })
    }
}

#[async_trait]
impl Inspector for TrainerInspector {
    async fn inspect(&self, request: InspectRequest) -> Result<Inspection, InspectError> {
        let looked = tokio::time::timeout(TIME_MAX, self.look(request)).await;
        looked.unwrap_or_else(|_| {
            let seconds = TIME_MAX.as_secs();
            Err(InspectError(format!("the tokens were not counted within {seconds} s")))
        })
    }
}

fn failed(error: impl std::fmt::Display) -> InspectError {
    InspectError(format!("tokens could not be counted: {error}"))
}

/// A directory that goes with this value.
struct Removed(std::path::PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a work directory was not removed");
        }
    }
}
