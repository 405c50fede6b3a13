//! The server's log: to standard error, as lines or as JSON.
//!
//! In JSON a line has `timestamp`, `level`, `target`, `fields` with the message, and the spans around it. The ids by which lines are looked
//! for ([`IDS`]) stand at the top of each line that knows them, whichever span or field they come from.

use std::fmt;

use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Log, LogFormat};

/// What lines are looked for by.
const IDS: [&str; 4] = ["request_id", "job_id", "tenant_id", "trace_id"];

/// Starts the log.
///
/// # Errors
/// Where the level is not one that `tracing` knows, in words for the user.
pub(crate) fn start(log: &Log) -> Result<(), String> {
    let filter = EnvFilter::try_new(&log.log_level)
        .map_err(|error| format!("log_level '{}': {error}", log.log_level))?;
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    match log.log_format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().map_event_format(IdsFirst).init(),
    }
    Ok(())
}

/// The lines of `tracing`, with ids at the top.
struct IdsFirst<F>(F);

impl<S, N, F> FormatEvent<S, N> for IdsFirst<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        match serde_json::from_str(&line) {
            Ok(Value::Object(line)) => writeln!(writer, "{}", Value::Object(with_ids(line))),
            // Nothing is lost for the sake of its form.
            _ => writer.write_str(&line),
        }
    }
}

/// The same line with the ids that it knows, the innermost ones, behind time and level.
fn with_ids(line: Map<String, Value>) -> Map<String, Value> {
    let spans = line.get("spans").and_then(Value::as_array);
    let places = || line.get("fields").into_iter().chain(spans.into_iter().flatten().rev());
    let ids =
        IDS.map(|id| Some((id.to_string(), places().find_map(|place| place.get(id))?.clone())));
    let (mut first, rest): (Map<_, _>, Map<_, _>) =
        line.into_iter().partition(|(key, _)| key == "timestamp" || key == "level");
    first.extend(ids.into_iter().flatten());
    first.extend(rest);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stand_at_the_top_whichever_span_knows_them() {
        let line = r#"{"timestamp":"t","level":"INFO","fields":{"message":"m","job_id":"own"},"target":"x","span":{"name":"in"},"spans":[{"name":"out","request_id":"r","job_id":"outer"},{"name":"in","tenant_id":"t"}]}"#;
        let Ok(Value::Object(line)) = serde_json::from_str(line) else { panic!("a line") };
        let told = Value::Object(with_ids(line)).to_string();
        let start = r#"{"timestamp":"t","level":"INFO","request_id":"r","job_id":"own","tenant_id":"t","fields":"#;
        assert!(told.starts_with(start), "{told}");
    }
}
