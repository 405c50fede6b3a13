//! One line of text to one [`DataLine`].

use serde_json::{Map, Value};

use super::chat::{self, wrong_type};
use super::strict::Strict;
use super::{DataLine, LineError, user};

/// Reads a line.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn parse_line(text: &str) -> Result<DataLine, LineError> {
    data(object(text)?)
}

/// Reads a line of a file whose lines name their users under the key `user_field`, where there is one. Gives the user beside the data.
///
/// # Errors
/// The first thing that is wrong, with its place; a line without a user is wrong at `user_field`.
pub fn parse_line_of(
    text: &str,
    user_field: Option<&str>,
) -> Result<(DataLine, Option<String>), LineError> {
    let mut line = object(text)?;
    let user = user_field.map(|field| user::take(&mut line, field)).transpose()?;
    Ok((data(line)?, user))
}

fn object(text: &str) -> Result<Map<String, Value>, LineError> {
    let Strict(value) = serde_json::from_str(text).map_err(|error| {
        // Lines are single lines: serde's "at line 1 column N" becomes the column alone.
        let column = error.column();
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or(&text);
        LineError::new("invalid_json", "", format!("not valid JSON: {what} (column {column})"))
    })?;
    match value {
        Value::Object(map) => Ok(map),
        other => Err(wrong_type("", "a JSON object", Some(&other))),
    }
}

fn data(mut line: Map<String, Value>) -> Result<DataLine, LineError> {
    if line.contains_key("messages") {
        return chat::parse(line).map(DataLine::Chat);
    }
    if line.contains_key("input_ids") {
        return tokens(line);
    }
    if is_preference(&line) {
        let message = "this is a preference example; method 'dpo' is not available in this version";
        return Err(LineError::new("not_available", "", message));
    }
    if line.contains_key("prompt") || line.contains_key("completion") {
        let prompt = string(&mut line, "prompt")?;
        let completion = string(&mut line, "completion")?;
        no_more(&line, "'prompt' and 'completion'")?;
        if completion.is_empty() {
            return Err(LineError::new("empty_content", "completion", "must not be empty"));
        }
        return Ok(DataLine::Completion { prompt, completion });
    }
    if line.contains_key("text") {
        let text = string(&mut line, "text")?;
        if line.contains_key("label") {
            let message =
                "this is a classification example, which is not available in this version";
            return Err(LineError::new("not_available", "label", message));
        }
        no_more(&line, "'text'")?;
        if text.is_empty() {
            return Err(LineError::new("empty_content", "text", "must not be empty"));
        }
        return Ok(DataLine::Text { text });
    }
    let keys: Vec<&str> = line.keys().map(String::as_str).take(8).collect();
    let message = format!(
        "has none of 'messages', 'prompt' and 'completion', 'text', 'input_ids' (its keys: {})",
        if keys.is_empty() { "none".to_string() } else { keys.join(", ") }
    );
    Err(LineError::new("unknown_kind", "", message))
}

/// OpenAI's and TRL's preference lines.
fn is_preference(line: &Map<String, Value>) -> bool {
    line.contains_key("preferred_output")
        || line.contains_key("preferred_completion")
        || (line.contains_key("chosen") && line.contains_key("rejected"))
}

fn tokens(mut line: Map<String, Value>) -> Result<DataLine, LineError> {
    let input_ids = list(line.remove("input_ids"), "input_ids", "a token id", |value| {
        value.as_u64().and_then(|id| u32::try_from(id).ok())
    })?;
    let labels = match line.remove("labels") {
        None | Some(Value::Null) => None,
        some => Some(list(some, "labels", "a token id or -100", |value| {
            value
                .as_i64()
                .filter(|label| *label == -100 || (0..=i64::from(u32::MAX)).contains(label))
        })?),
    };
    no_more(&line, "'input_ids' and 'labels'")?;
    if input_ids.len() < 2 {
        let message = format!("must have at least 2 tokens, not {}", input_ids.len());
        return Err(LineError::new("too_short", "input_ids", message));
    }
    if let Some(labels) = &labels {
        if labels.len() != input_ids.len() {
            let message = format!(
                "must be as many as 'input_ids' ({}), not {}",
                input_ids.len(),
                labels.len()
            );
            return Err(LineError::new("wrong_length", "labels", message));
        }
        if labels[1..].iter().all(|label| *label == -100) {
            return Err(LineError::new(
                "nothing_to_learn",
                "labels",
                "every label after the first is -100",
            ));
        }
    }
    Ok(DataLine::Tokens { input_ids, labels })
}

fn list<T>(
    value: Option<Value>,
    name: &str,
    want: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<T>, LineError> {
    let Some(Value::Array(values)) = value else {
        return Err(wrong_type(name, "a list of integers", value.as_ref()));
    };
    let mut out = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        out.push(
            read(value)
                .ok_or_else(|| wrong_type(&format!("{name}[{index}]"), want, Some(value)))?,
        );
    }
    Ok(out)
}

fn string(line: &mut Map<String, Value>, name: &str) -> Result<String, LineError> {
    match line.remove(name) {
        Some(Value::String(text)) => Ok(text),
        other => Err(wrong_type(name, "a string", other.as_ref())),
    }
}

fn no_more(line: &Map<String, Value>, known: &str) -> Result<(), LineError> {
    match line.keys().next() {
        Some(key) => {
            let key: String = key.chars().take(80).collect();
            Err(LineError::new(
                "unknown_key",
                key,
                format!("unknown key (this kind of line has {known})"),
            ))
        }
        None => Ok(()),
    }
}
