//! `trainyard jobs create`: the create request from flags, from a file, or from both.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use trainyard_openapi::id::FileId;

use super::connection::{Connection, idempotency_key, pair};
use super::stages::StageArgs;
use super::upload::{Parts, upload};
use crate::client::{Client, ClientError};

#[allow(clippy::doc_markdown, reason = "the doc comments are the help text")]
/// The flags of `jobs create`. A flag stands over the same setting of `--body`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  trainyard jobs create --model smollm2 --training-file train.jsonl --watch
  trainyard jobs create --model smollm2 --training-file file-abc… --validation-file valid.jsonl --epochs 3 --rank 8
  trainyard jobs create --model smollm2 --training-file train.jsonl --dry-run
  trainyard jobs create --body job.json --set trainyard.precision=fp32 --set trainyard.checkpoint.every_steps=50
  trainyard jobs create --model smollm2 --stage code=code.jsonl,code.valid.jsonl --stage law=law.jsonl,law.valid.jsonl --strategy replay")]
pub(crate) struct CreateArgs {
    /// The base model, or a fine-tuned model or checkpoint that the job goes on from, by a name that `trainyard models list` shows.
    #[arg(long, required_unless_present = "body")]
    model: Option<String>,
    /// What to train on: a file's id, or a local JSONL file, which is uploaded.
    #[arg(long, value_name = "ID_OR_PATH", required_unless_present_any = ["body", "stage"])]
    training_file: Option<String>,
    /// What to measure with: a file's id, or a local JSONL file, which is uploaded.
    #[arg(long, value_name = "ID_OR_PATH")]
    validation_file: Option<String>,
    /// Passes over the training file.
    #[arg(long)]
    epochs: Option<u32>,
    /// Examples in an optimizer step.
    #[arg(long)]
    batch_size: Option<u32>,
    /// Peak learning rate.
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Factor on the default learning rate.
    #[arg(long)]
    lr_multiplier: Option<f64>,
    /// What is trained: lora, ia3, prompt, prefix, head, or full for all weights [default: lora].
    #[arg(long, value_name = "TYPE")]
    adapter: Option<String>,
    /// Rank of the LoRA adapter.
    #[arg(long)]
    rank: Option<u32>,
    /// Text that goes into the name of the fine-tuned model.
    #[arg(long)]
    suffix: Option<String>,
    /// Seed of everything random.
    #[arg(long)]
    seed: Option<u64>,
    /// A pair of metadata; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Any other setting by its path, such as trainyard.adapter.dropout=0.1; the value is JSON, or else text. May be repeated.
    #[arg(long, value_name = "PATH=JSON", value_parser = pair)]
    set: Vec<(String, String)>,
    /// The request as a JSON file; - reads standard input.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Key under which repeats of this request make one job [default: a random one].
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Make no job: tell what it would come to. Local files are uploaded.
    #[arg(long, conflicts_with = "watch")]
    pub(crate) dry_run: bool,
    /// Watch the job until it ends.
    #[arg(long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    stages: StageArgs,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

impl CreateArgs {
    /// Sends the request, uploading local files before; gives the server's job object.
    pub(crate) async fn send(&self, client: &Client) -> Result<Value, ClientError> {
        let mut body = self.request()?;
        for name in ["training_file", "validation_file"] {
            let given = match name {
                "training_file" => &self.training_file,
                _ => &self.validation_file,
            };
            if let Some(given) = given {
                let id = file_id(client, given, name).await?;
                set(&mut body, name, Value::String(id))?;
            }
        }
        self.stages.add_to(&mut body, client).await?;
        let key = match &self.idempotency_key {
            Some(key) => key.clone(),
            None => idempotency_key()?,
        };
        let path: &[&str] = match self.dry_run {
            true => &["fine_tuning", "jobs", "preflight"],
            false => &["fine_tuning", "jobs"],
        };
        client.post(path, Some(&Value::Object(body)), &key).await
    }

    /// The body, but for the files.
    fn request(&self) -> Result<Map<String, Value>, ClientError> {
        let mut body = match &self.body {
            Some(path) => read_body(path)?,
            None => Map::new(),
        };
        let supervised = "method.supervised.hyperparameters";
        let flags: [(String, Option<Value>); 9] = [
            ("model".into(), self.model.clone().map(Value::from)),
            (format!("{supervised}.n_epochs"), self.epochs.map(Value::from)),
            (format!("{supervised}.batch_size"), self.batch_size.map(Value::from)),
            (format!("{supervised}.learning_rate_multiplier"), self.lr_multiplier.map(Value::from)),
            ("trainyard.optimizer.learning_rate".into(), self.learning_rate.map(Value::from)),
            ("trainyard.adapter.type".into(), self.adapter.clone().map(Value::from)),
            ("trainyard.adapter.rank".into(), self.rank.map(Value::from)),
            ("suffix".into(), self.suffix.clone().map(Value::from)),
            ("seed".into(), self.seed.map(Value::from)),
        ];
        for (path, value) in flags {
            let Some(value) = value else { continue };
            if path.starts_with("method.") && !body.contains_key("method") {
                set(&mut body, "method.type", Value::from("supervised"))?;
            }
            set(&mut body, &path, value)?;
        }
        for (key, value) in &self.metadata {
            // A key of metadata may hold dots, so it is no path.
            let metadata = body.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
            match metadata {
                Value::Object(pairs) => pairs.insert(key.clone(), Value::from(value.as_str())),
                _ => return Err(ClientError::Usage("'metadata' is no object".to_string())),
            };
        }
        for (path, text) in &self.set {
            let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
            set(&mut body, path, value)?;
        }
        Ok(body)
    }
}

fn read_body(path: &Path) -> Result<Map<String, Value>, ClientError> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(ClientError::file(format!("cannot read '{}'", path.display())))?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(body)) => Ok(body),
        Ok(_) => Err(ClientError::Usage(format!("'{}' holds no JSON object", path.display()))),
        Err(error) => Err(ClientError::Usage(format!("'{}' is no JSON: {error}", path.display()))),
    }
}

/// Sets the value at a path of keys joined by dots, making objects on the way.
pub(super) fn set(
    body: &mut Map<String, Value>,
    path: &str,
    value: Value,
) -> Result<(), ClientError> {
    let Some((key, rest)) = path.split_once('.') else {
        body.insert(path.to_string(), value);
        return Ok(());
    };
    let inner = body.entry(key).or_insert_with(|| Value::Object(Map::new()));
    if inner.is_null() {
        *inner = Value::Object(Map::new());
    }
    match inner {
        Value::Object(inner) => set(inner, rest, value),
        _ => Err(ClientError::Usage(format!("cannot set '{rest}' of '{key}': it is no object"))),
    }
}

/// The id that `given` is, or the one that the local file gets.
pub(super) async fn file_id(
    client: &Client,
    given: &str,
    name: &str,
) -> Result<String, ClientError> {
    if given.parse::<FileId>().is_ok() {
        return Ok(given.to_string());
    }
    let path = Path::new(given);
    if !path.is_file() {
        return Err(ClientError::Usage(format!(
            "{name}: '{given}' is neither a file's id nor a local file"
        )));
    }
    let file = upload(client, path, &Parts::default()).await?;
    match file.get("id").and_then(Value::as_str) {
        Some(id) => Ok(id.to_string()),
        None => Err(ClientError::Answer("the uploaded file has no id".to_string())),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::command::jobs::Jobs;

    fn request(flags: &[&str]) -> Map<String, Value> {
        let words = ["trainyard", "jobs", "create"].iter().chain(flags);
        match Cli::parse_from(words).command {
            Command::Jobs(Jobs::Create(create)) => create.request().expect("a request"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_become_the_request_of_the_contract() {
        let body = request(&[
            "--model",
            "m",
            "--training-file",
            "f",
            "--epochs",
            "2",
            "--adapter",
            "lora",
            "--rank",
            "8",
            "--metadata",
            "a.b=c=d",
            "--set",
            "trainyard.precision=bf16",
            "--set",
            "trainyard.adapter.target_modules=[\"q_proj\"]",
        ]);
        let expected = serde_json::json!({
            "model": "m",
            "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
            "trainyard": {"adapter": {"type": "lora", "rank": 8, "target_modules": ["q_proj"]}, "precision": "bf16"},
            "metadata": {"a.b": "c=d"},
        });
        assert_eq!(Value::Object(body), expected);
    }
}
