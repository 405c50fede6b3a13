//! The flags that every client command has: which server, which key, which output.

use std::path::PathBuf;
use std::time::Duration;

use crate::client::{Client, ClientError, Credential, base_url};
use crate::output::Format;

/// Server, key and output.
#[allow(clippy::doc_markdown, reason = "the doc comments are the help text")]
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// Base URL of the API [default: $TRAINYARD_URL, else $OPENAI_BASE_URL, else http://127.0.0.1:8420/v1].
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// File with the API key [default: the key in $TRAINYARD_API_KEY, else in $OPENAI_API_KEY].
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// The API key itself. Other users of this machine can see it in the list of processes.
    #[arg(long, value_name = "KEY", conflicts_with = "api_key_file")]
    api_key: Option<String>,
    /// Seconds to wait for an answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Print the server's JSON, one object a line.
    #[arg(long)]
    json: bool,
}

impl Connection {
    /// The client that these flags describe.
    pub(crate) fn client(&self) -> Result<Client, ClientError> {
        if self.api_key.is_some() {
            tracing::warn!(
                "--api-key shows the key in the list of processes; use --api-key-file or TRAINYARD_API_KEY"
            );
        }
        let base = base_url(self.url.as_deref())?;
        let credential = Credential::find(self.api_key_file.as_deref(), self.api_key.as_deref())?;
        Client::new(base, credential, Duration::from_secs(self.timeout))
    }

    /// The output that is wanted.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Human }
    }
}

/// A random key under which repeats of a request are one.
pub(crate) fn idempotency_key() -> Result<String, ClientError> {
    trainyard_openapi::id::random_base62(24)
        .map_err(|error| ClientError::Usage(format!("the system gives no random bytes: {error}")))
}

/// A flag of the form `key=value`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_string(), value.to_string())),
        _ => Err(format!("'{text}' is not of the form key=value")),
    }
}
