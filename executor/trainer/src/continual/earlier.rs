//! An earlier result that a run goes on from: its adapter, its stages, what its strategies remember, and which of its files are still there.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trainyard_continual::StageName;
use trainyard_continual::matrix::ForgettingMatrix;
use trainyard_openapi::extension::{StageResult, Strategy as Planned};
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_plan::ParentPlan;
use trainyard_plan::trainer::NamedFile;

use crate::artifact::manifest;
use crate::artifact::peft::WEIGHTS;
use crate::continual::adapter::Shape;
use crate::continual::refused;
use crate::data::{ChatTokenizer, Dataset, DatasetOptions};
use crate::error::{Result, TrainerError};
use crate::run::events::Events;
use crate::weights::safetensors::SafetensorsSource;

/// The file of a result that says what the next job needs.
pub const FILE: &str = "continual.json";
/// Its tensors.
pub const TENSORS: &str = "continual.safetensors";
/// The layout of [`FILE`]; another one is refused.
pub const FORMAT: u32 = 1;

/// What a result leaves for the next job. No text of the data is in it: files are named by their SHA-256.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Left {
    /// [`FORMAT`].
    pub format: u32,
    /// Every stage, with its files.
    pub stages: Vec<LeftStage>,
    /// The general file.
    pub held_out_sha256: Option<String>,
    /// Loss and token accuracy.
    pub matrices: Vec<ForgettingMatrix>,
    /// The strategies with what they remember; their tensors are in [`TENSORS`] under their places.
    pub strategies: Vec<LeftStrategy>,
}

/// A stage that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftStage {
    /// What came of it.
    pub result: StageResult,
    /// SHA-256 of what it was trained on; null where that is not known.
    pub training_sha256: Option<String>,
    /// SHA-256 of what it was measured with.
    pub validation_sha256: Option<String>,
}

/// A strategy as it was left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftStrategy {
    /// As the plan had it.
    pub plan: Planned,
    /// What it remembers.
    pub state: Value,
}

/// An earlier result.
#[derive(Debug)]
pub struct Earlier {
    /// Its stages.
    pub stages: Vec<LeftStage>,
    /// Those that can be measured, with their validation data, in the order of the matrices.
    pub columns: Vec<(StageName, Rc<Dataset>)>,
    /// The matrices as they were left.
    pub matrices: Vec<ForgettingMatrix>,
    /// SHA-256 of the general file.
    pub held_out_sha256: Option<String>,
    /// The strategies.
    pub strategies: Vec<LeftStrategy>,
    /// Their tensors.
    pub tensors: Option<SafetensorsSource>,
    /// The adapter's weights.
    pub weights: SafetensorsSource,
    /// Its shape.
    pub shape: Shape,
}

/// What a reader of files needs.
pub struct Reader<'a> {
    /// Files of earlier jobs by SHA-256.
    pub files: &'a BTreeMap<String, NamedFile>,
    /// The base model's tokenizer.
    pub tokenizer: &'a ChatTokenizer,
    /// How lines become rows.
    pub options: &'a DatasetOptions,
    /// Where events go.
    pub events: &'a Events,
}

impl Reader<'_> {
    /// The file with this SHA-256; `None` where it is gone.
    ///
    /// # Errors
    /// A user error where its lines cannot be trained on any more.
    pub fn open(&self, sha256: &str) -> Result<Option<Rc<Dataset>>> {
        let Some(file) = self.files.get(sha256) else { return Ok(None) };
        let working = || self.events.working(trainyard_plan::trainer::Stage::Loading);
        let known = ("trainyard.continual", file.name.as_str());
        let (dataset, _) =
            Dataset::load(&file.path, known, self.tokenizer, self.options, &working)?;
        if dataset.sha256 != sha256 {
            let message = format!("{} is not the file that an earlier job read", file.name);
            self.events.log("warn", message)?;
            return Ok(None);
        }
        Ok(Some(Rc::new(dataset)))
    }
}

impl Earlier {
    /// Reads the result in `directory`.
    ///
    /// # Errors
    /// A user error where it is none or another one than the plan's.
    pub fn open(directory: &Path, plan: &ParentPlan, reader: &Reader<'_>) -> Result<Self> {
        manifest::verify(directory)?;
        let (sha256, _) = manifest::hash_file(&directory.join(manifest::NAME))?;
        if sha256 != plan.manifest_sha256 {
            let message = format!(
                "{} has a manifest with the SHA-256 {sha256}, the plan goes on from one with {}",
                directory.display(),
                plan.manifest_sha256
            );
            return Err(TrainerError::Checkpoint(message));
        }
        let left: Option<Left> = match directory.join(FILE).is_file() {
            true => Some(read(&directory.join(FILE))?),
            false => None,
        };
        if let Some(left) = &left
            && left.format != FORMAT
        {
            let message =
                format!("{FILE} has the format {}, this version reads {FORMAT}", left.format);
            return Err(TrainerError::Checkpoint(message));
        }
        let tensors = match directory.join(TENSORS).is_file() {
            true => Some(SafetensorsSource::open_file(&directory.join(TENSORS))?),
            false => None,
        };
        let config: Config = read(&directory.join("adapter_config.json"))?;
        if config.peft_type != "LORA" {
            let message =
                format!("{} is an adapter of type {}, not LORA", plan.model, config.peft_type);
            return Err(TrainerError::user(
                JobErrorCode::InvalidModel,
                Some("model".to_string()),
                message,
            ));
        }
        let Config { r, lora_alpha, use_rslora, .. } = config;
        let mut earlier = Self {
            stages: Vec::new(),
            columns: Vec::new(),
            matrices: Vec::new(),
            held_out_sha256: None,
            strategies: Vec::new(),
            tensors,
            weights: SafetensorsSource::open_file(&directory.join(WEIGHTS))?,
            shape: Shape { rank: r, alpha: lora_alpha, rslora: use_rslora },
        };
        match left {
            Some(left) => {
                earlier.stages = left.stages;
                earlier.matrices = left.matrices;
                earlier.held_out_sha256 = left.held_out_sha256;
                earlier.strategies = left.strategies;
            }
            // An ordinary result is one stage of which nothing is remembered.
            None => earlier.stages = plan.stages.iter().map(|name| unknown(name)).collect(),
        }
        earlier.find_columns(reader)?;
        Ok(earlier)
    }

    /// Opens the validation files that are still there, and tells of those that are not.
    fn find_columns(&mut self, reader: &Reader<'_>) -> Result<()> {
        for stage in &mut self.stages {
            stage.result.last_step = None;
            let name = stage.result.name.clone();
            let found = match &stage.validation_sha256 {
                Some(sha256) => reader.open(sha256)?,
                None => None,
            };
            let in_matrix = self
                .matrices
                .first()
                .is_some_and(|matrix| matrix.stages().iter().any(|known| known.as_str() == name));
            match found {
                Some(dataset) if in_matrix => {
                    self.columns.push((StageName::try_from(name).map_err(refused)?, dataset));
                }
                _ => reader.events.log(
                    "warn",
                    format!("stage '{name}' of an earlier job is not measured: its validation file is gone"),
                )?,
            }
        }
        if let Some(matrix) = self.matrices.first() {
            let place = |name: &StageName| matrix.stages().iter().position(|known| known == name);
            self.columns.sort_by_key(|(name, _)| place(name));
        }
        Ok(())
    }
}

/// The settings that matter in an `adapter_config.json`.
#[derive(Deserialize)]
struct Config {
    peft_type: String,
    r: i64,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
}

fn unknown(name: &str) -> LeftStage {
    let result = StageResult { name: name.to_string(), kept: true, reason: None, last_step: None };
    LeftStage { result, training_sha256: None, validation_sha256: None }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let json = std::fs::read(path).map_err(TrainerError::io(path))?;
    serde_json::from_slice(&json)
        .map_err(|error| TrainerError::Checkpoint(format!("{}: {error}", path.display())))
}

/// Whether what `then` remembers can be gone on with under `now`'s settings. Weights may differ; what is remembered, and how, may not.
pub fn goes_on(now: &Planned, then: &Planned) -> bool {
    match (now, then) {
        (Planned::Replay(now), Planned::Replay(then)) => {
            (now.capacity, now.policy) == (then.capacity, then.policy)
        }
        (Planned::Derpp(now), Planned::Derpp(then)) => {
            (now.capacity, now.policy, now.top_k) == (then.capacity, then.policy, then.top_k)
        }
        (Planned::AGem(now), Planned::AGem(then)) => {
            (now.capacity, now.policy) == (then.capacity, then.policy)
        }
        (Planned::Ewc(now), Planned::Ewc(then)) => now.online == then.online,
        (Planned::OLora(_), Planned::OLora(_)) | (Planned::Merge(_), Planned::Merge(_)) => true,
        // A teacher is the adapter before the stage, an average begins anew: nothing is gone on with.
        _ => false,
    }
}

/// The name of a strategy, for messages.
pub fn name_of(plan: &Planned) -> String {
    let value = serde_json::to_value(plan).unwrap_or_default();
    value["type"].as_str().unwrap_or("strategy").to_string()
}
