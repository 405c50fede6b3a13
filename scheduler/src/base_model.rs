//! Base models: directories with a `config.json` under one root, each under its name. Read anew each time, so that a model that is
//! put there can be used at once.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use trainyard_openapi::limits::MODEL_NAME_CHARS_MAX;
use trainyard_plan::ModelFacts;

use crate::error::{Result, SchedulerError};

/// The directory of base models.
#[derive(Debug, Clone)]
pub struct BaseModels {
    root: PathBuf,
}

/// A base model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseModel {
    /// The name.
    pub name: String,
    /// When it was put there, in Unix seconds.
    pub created: i64,
}

impl BaseModels {
    /// Models under `root`, which need not exist yet.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// All of them by name.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn list(&self) -> Result<Vec<BaseModel>> {
        let mut models = Vec::new();
        let entries = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(models),
            Err(error) => return Err(self.unreadable(&error)),
        };
        for entry in entries {
            let path = entry.map_err(|error| self.unreadable(&error))?.path();
            if let Some(name) = path.file_name().and_then(|name| name.to_str())
                && let Some(model) = self.get(name)
            {
                models.push(model);
            }
        }
        models.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(models)
    }

    /// The model `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<BaseModel> {
        let config = self.directory(name)?.join("config.json");
        let metadata = std::fs::metadata(config).ok().filter(std::fs::Metadata::is_file)?;
        let created = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(BaseModel {
            name: name.to_string(),
            created: i64::try_from(created.as_secs()).unwrap_or(0),
        })
    }

    /// What a plan needs to know of the model `name`; `None` where there is none.
    ///
    /// # Errors
    /// Where its configuration cannot be read or is not supported.
    pub fn facts(&self, name: &str) -> Result<Option<ModelFacts>> {
        let Some(path) =
            self.get(name).and_then(|_| Some(self.directory(name)?.join("config.json")))
        else {
            return Ok(None);
        };
        let broken = |what: String| SchedulerError::Internal(format!("{}: {what}", path.display()));
        let text = std::fs::read(&path).map_err(|error| broken(error.to_string()))?;
        let config = serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        Ok(Some(ModelFacts::from_config(&config)?))
    }

    /// The model's directory; `None` where the name could mean another place.
    fn directory(&self, name: &str) -> Option<PathBuf> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let valid = !name.is_empty()
            && name.len() <= MODEL_NAME_CHARS_MAX
            && !name.starts_with('.')
            && name.chars().all(plain);
        valid.then(|| self.root.join(Path::new(name)))
    }

    fn unreadable(&self, error: &std::io::Error) -> SchedulerError {
        SchedulerError::Internal(format!("{}: {error}", self.root.display()))
    }
}
