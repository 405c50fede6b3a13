//! Settings of the log, which goes to standard error.

use std::str::FromStr;

use serde::Deserialize;

use super::layer::settings;

settings! {
    /// The log.
    Log from LogLayer, "Log";
    fixed {
        /// Form of the log: text or json.
        log_format: LogFormat = "text", "TRAINYARD_LOG_FORMAT";
        /// What is logged: error, warn, info, debug, trace, or directives such as info,trainyard_scheduler=debug.
        log_level: String = "info", "TRAINYARD_LOG_LEVEL";
    }
    derived {}
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("must be text or json, not '{other}'")),
        }
    }
}
