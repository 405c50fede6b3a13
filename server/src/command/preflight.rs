//! `trainyard jobs create --dry-run`: what a job would come to, for people.

use serde_json::Value;
use trainyard_openapi::preflight::{Preflight, PreflightFile};

use crate::client::{ClientError, read};
use crate::exit::Exit;
use crate::output::{self, Format};

/// Bad lines that are shown of a file; `--json` has them all.
const LINES_SHOWN: usize = 20;

/// Shows it; the exit code says whether the job would pass.
pub(crate) fn show(answer: &Value, format: Format) -> Result<Exit, ClientError> {
    let preflight: Preflight = read(answer)?;
    match format {
        Format::Json => output::json(answer)?,
        _ => {
            output::fields(&details(&preflight))?;
            for file in &preflight.files {
                bad_lines(file)?;
            }
        }
    }
    Ok(if preflight.valid { Exit::Done } else { Exit::Usage })
}

fn details(preflight: &Preflight) -> Vec<(&'static str, String)> {
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let mut fields = vec![("valid", preflight.valid.to_string())];
    for file in &preflight.files {
        let mut text = format!("{}: {} examples", file.filename, file.examples);
        for (name, count) in file.data_report.iter().flatten() {
            if *count > 0 && !matches!(name.as_str(), "examples") {
                text += &format!(", {name} {count}");
            }
        }
        fields.push(("file", text));
    }
    fields.push(("steps", preflight.total_steps.to_string()));
    fields.extend(preflight.total_tokens.map(|tokens| ("tokens", tokens.to_string())));
    fields.extend(
        preflight.token_counts.clone().map(|why| ("tokens", format!("not counted: {why}"))),
    );
    let memory = &preflight.memory;
    let fits = if memory.fits { "fits" } else { "does NOT fit" };
    let (needs, limit) = (mib(memory.estimated_bytes), mib(memory.limit_bytes));
    fields.push(("memory", format!("{fits}: about {needs} of {limit}")));
    if let Some(time) = &preflight.time {
        let (long, rate) = (output::duration(time.seconds), time.tokens_per_second);
        fields.push(("time", format!("about {long} at {rate:.0} tokens/s ({})", time.basis)));
    }
    if let Some(privacy) = &preflight.privacy {
        let last = privacy.forecast.last().map_or(privacy.spent_before, |point| point.epsilon);
        let fits = if privacy.fits { "fits" } else { "does NOT fit" };
        let of = privacy.budget.map_or("no budget".to_string(), |of| of.epsilon.to_string());
        let before = privacy.spent_before;
        fields.push(("file's epsilon", format!("{fits}: {before:.4} -> {last:.4} of {of}")));
    }
    fields.push(("queue position", preflight.queue.position.to_string()));
    fields.extend(preflight.queue.waiting_reason.clone().map(|reason| ("waiting for", reason)));
    let start = preflight.queue.estimated_start_at;
    fields.extend(start.map(|at| ("likely starts (UTC)", output::time(at))));
    for consumer in &preflight.compatibility {
        let word = if consumer.accepted { "yes" } else { "no" };
        let notes = consumer.notes.join("; ");
        fields.push(("usable with", format!("{}: {word} {notes}", consumer.consumer)));
    }
    fields
}

fn bad_lines(file: &PreflightFile) -> Result<(), ClientError> {
    for bad in file.errors.iter().take(LINES_SHOWN) {
        let place = if bad.field.is_empty() { String::new() } else { format!("{}: ", bad.field) };
        let text =
            format!("{}: line {}: {place}{} ({})", file.filename, bad.line, bad.message, bad.code);
        output::line(&output::printable(&text))?;
    }
    if file.error_count > LINES_SHOWN as u64 {
        let more = file.error_count - LINES_SHOWN as u64;
        output::line(&format!("{}: {more} more bad lines (--json shows them)", file.filename))?;
    }
    Ok(())
}
