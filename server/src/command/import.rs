//! `trainyard models import`: makes a base model of a GGUF file or of a Hugging Face directory.
//!
//! It works on the models directory of this machine and needs no running server: a server looks at the directory anew for
//! each request. A model is put together under a hidden name and gets its own by one rename, so that nobody sees half of it.

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::{Value, json};
use tokio::process::Command;
use trainyard_openapi::limits::MODEL_NAME_CHARS_MAX;
use trainyard_plan::ModelFacts;

use crate::client::ClientError;
use crate::config::{self, Config, Layers};
use crate::output;

/// The flags of `models import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  trainyard models import SmolLM2-135M-Instruct.Q4_1.gguf --name smollm2-135m-instruct
  trainyard models import ~/models/Qwen3-0.6B --name qwen3-0.6b --files hard-link")]
pub(crate) struct ImportArgs {
    /// A GGUF file, or a directory with config.json, tokenizer.json and *.safetensors.
    path: PathBuf,
    /// The name that jobs call it by.
    #[arg(long, value_parser = model_name)]
    name: String,
    /// How the files of a directory get there.
    #[arg(long, value_enum, default_value_t = Files::Copy)]
    files: Files,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Configuration file [default: trainyard.toml where it exists].
    #[arg(long, value_name = "FILE", env = "TRAINYARD_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    place: config::PlaceLayer,
}

/// How files of a directory become the model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Files {
    /// Copied.
    Copy,
    /// Linked: no space is taken, but the files must not be changed in place.
    HardLink,
}

/// A name that is a path segment, a part of `ft:` names and nothing hidden.
fn model_name(text: &str) -> Result<String, String> {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.len() <= MODEL_NAME_CHARS_MAX
        && text.chars().all(letter)
    {
        return Ok(text.to_string());
    }
    Err(format!(
        "a name has up to {MODEL_NAME_CHARS_MAX} ASCII letters, digits, '.', '_' and '-', and begins with a letter or digit"
    ))
}

/// Imports the model.
pub(crate) async fn run(args: ImportArgs) -> Result<(), ClientError> {
    let layers = Layers::of_place(args.place.clone());
    let config = config::load(config::Mode::Serve, layers, args.config.as_deref())
        .map_err(|error| ClientError::Usage(crate::chain(&error)))?;
    let models = config.storage.models_dir();
    let target = models.join(&args.name);
    if target.exists() {
        let message = format!("there is a model '{}' already: '{}'", args.name, target.display());
        return Err(ClientError::Usage(message));
    }
    fs::create_dir_all(&models)
        .map_err(ClientError::file(format!("cannot make '{}'", models.display())))?;
    let staging = Staging::new(&models, &args.name);
    if args.path.is_dir() {
        take_directory(&args.path, &staging.0, args.files)?;
    } else if args.path.is_file() {
        convert(&config, &args.path, &staging.0).await?;
    } else {
        let message = format!("'{}' is neither a file nor a directory", args.path.display());
        return Err(ClientError::Usage(message));
    }
    let facts = check(&staging.0)?;
    fs::rename(&staging.0, &target)
        .map_err(ClientError::file(format!("cannot make '{}'", target.display())))?;
    if args.json {
        let imported = json!({"id": args.name, "object": "model", "directory": target, "model_type": facts.model_type});
        return Ok(output::json(&imported)?);
    }
    Ok(output::fields(&[
        ("model", args.name),
        ("architecture", facts.model_type),
        ("directory", target.display().to_string()),
    ])?)
}

/// A hidden name for the directory of an import, which goes away unless it was renamed. Whoever fills it makes it.
struct Staging(PathBuf);

impl Staging {
    fn new(models: &Path, name: &str) -> Self {
        Self(models.join(format!(".import-{name}-{}", std::process::id())))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After the rename there is nothing here: the error says so and is of no use to anybody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The files that make a model: configuration, tokenizer, template, weights. Never code, never pickles.
fn belongs(name: &str) -> bool {
    let suffix = |ending: &str| name.ends_with(ending);
    !name.starts_with('.') && (suffix(".json") || suffix(".safetensors") || suffix(".jinja"))
}

fn take_directory(from: &Path, to: &Path, files: Files) -> Result<(), ClientError> {
    fs::create_dir(to).map_err(ClientError::file(format!("cannot make '{}'", to.display())))?;
    let unreadable = || ClientError::file(format!("cannot read '{}'", from.display()));
    for entry in fs::read_dir(from).map_err(unreadable())? {
        let entry = entry.map_err(unreadable())?;
        let name = entry.file_name();
        // Follows links: hub caches are directories of links.
        if !name.to_str().is_some_and(belongs) || !entry.path().is_file() {
            continue;
        }
        let (source, target) = (entry.path(), to.join(&name));
        let failed = ClientError::file(format!("cannot take '{}'", source.display()));
        match files {
            Files::Copy => fs::copy(&source, &target).map(drop),
            Files::HardLink => {
                fs::canonicalize(&source).and_then(|source| fs::hard_link(source, &target))
            }
        }
        .map_err(failed)?;
    }
    Ok(())
}

/// Runs the trainer's GGUF import; it reads nothing but the file and writes nothing but the directory.
async fn convert(config: &Config, gguf: &Path, out: &Path) -> Result<(), ClientError> {
    let trainer =
        config.training.trainer().map_err(|error| ClientError::Usage(crate::chain(&error)))?;
    let status = Command::new(&trainer)
        .arg("import")
        .arg(gguf)
        .arg("--out")
        .arg(out)
        .env_clear()
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status()
        .await
        .map_err(ClientError::file(format!("cannot run '{}'", trainer.display())))?;
    if status.success() {
        return Ok(());
    }
    let message = format!("the trainer could not import '{}' ({status})", gguf.display());
    Err(ClientError::Usage(message))
}

/// Whether the directory can be trained on, as far as its files tell.
fn check(directory: &Path) -> Result<ModelFacts, ClientError> {
    let has = |wanted: &dyn Fn(&str) -> bool| {
        fs::read_dir(directory).is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(wanted))
        })
    };
    if !has(&|name| name.ends_with(".safetensors")) {
        return Err(ClientError::Usage(
            "the model has no *.safetensors file; other weight formats are not read".to_string(),
        ));
    }
    if !has(&|name| name == "tokenizer.json") {
        return Err(ClientError::Usage("the model has no tokenizer.json".to_string()));
    }
    let text = fs::read_to_string(directory.join("config.json"))
        .map_err(|_| ClientError::Usage("the model has no config.json".to_string()))?;
    let config: Value = serde_json::from_str(&text)
        .map_err(|error| ClientError::Usage(format!("config.json is no JSON: {error}")))?;
    ModelFacts::from_config(&config).map_err(|error| ClientError::Usage(error.to_string()))
}
