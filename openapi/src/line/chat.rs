//! Chat lines: OpenAI's messages, with `weight` on the assistant's.

use serde_json::{Map, Value};

use super::LineError;

/// A conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Chat {
    /// The messages in order.
    pub messages: Vec<Message>,
    /// Tool definitions, handed to the chat template as they are.
    pub tools: Option<Vec<Value>>,
}

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The message as the chat template gets it: no `weight`, and text parts joined to one string.
    pub value: Map<String, Value>,
    /// Whether it is learned: an assistant's, unless its weight is 0.
    pub trained: bool,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Standing instructions.
    System,
    /// OpenAI's newer word for the same.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The answer of a tool.
    Tool,
    /// The answer of a function; deprecated in OpenAI's contract.
    Function,
}

const ROLES: &str = "system, developer, user, assistant, tool or function";

impl Role {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "system" => Self::System,
            "developer" => Self::Developer,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "tool" => Self::Tool,
            "function" => Self::Function,
            _ => return None,
        })
    }
}

/// Reads the line's object, which has the key `messages`.
pub(super) fn parse(mut line: Map<String, Value>) -> Result<Chat, LineError> {
    let messages = match line.remove("messages") {
        Some(Value::Array(list)) => list,
        other => return Err(wrong_type("messages", "a list of messages", other.as_ref())),
    };
    let tools = match line.remove("tools") {
        None | Some(Value::Null) => None,
        Some(Value::Array(list)) => Some(list),
        other => return Err(wrong_type("tools", "a list of tool definitions", other.as_ref())),
    };
    match line.remove("parallel_tool_calls") {
        None | Some(Value::Null | Value::Bool(_)) => {}
        other => return Err(wrong_type("parallel_tool_calls", "true or false", other.as_ref())),
    }
    if let Some(key) = line.keys().next() {
        let message = "unknown key (a chat line has 'messages', 'tools' and 'parallel_tool_calls')";
        return Err(LineError::new("unknown_key", key.clone(), message));
    }
    if messages.is_empty() {
        return Err(LineError::new("no_messages", "messages", "must have at least one message"));
    }
    let messages = messages
        .into_iter()
        .enumerate()
        .map(|(index, message)| parse_message(message, &format!("messages[{index}]")))
        .collect::<Result<Vec<_>, _>>()?;
    if !messages.iter().any(|message| message.trained) {
        let message = "no assistant message to learn from (each has weight 0, or there is none)";
        return Err(LineError::new("nothing_to_learn", "messages", message));
    }
    Ok(Chat { messages, tools })
}

fn parse_message(message: Value, path: &str) -> Result<Message, LineError> {
    let mut value = match message {
        Value::Object(map) => map,
        other => return Err(wrong_type(path, "an object", Some(&other))),
    };
    let at = |key: &str| format!("{path}.{key}");
    let role = match value.get("role") {
        Some(Value::String(text)) => Role::parse(text).ok_or_else(|| {
            let seen: String = text.chars().take(40).collect();
            LineError::new(
                "unknown_role",
                at("role"),
                format!("unknown role '{seen}' (expected {ROLES})"),
            )
        })?,
        other => return Err(wrong_type(&at("role"), "a string", other)),
    };
    let assistant = role == Role::Assistant;
    let weight = match value.remove("weight") {
        None => true,
        Some(weight) if assistant => match weight.as_u64() {
            Some(0) => false,
            Some(1) => true,
            _ => return Err(wrong_type(&at("weight"), "0 or 1", Some(&weight))),
        },
        Some(_) => {
            return Err(LineError::new(
                "unknown_key",
                at("weight"),
                "only assistant messages carry a weight",
            ));
        }
    };
    let calls = value.get("tool_calls").is_some_and(|calls| !calls.is_null())
        || value.get("function_call").is_some_and(|call| !call.is_null());
    if calls && !assistant {
        return Err(LineError::new(
            "unknown_key",
            at("tool_calls"),
            "only assistant messages call tools",
        ));
    }
    for (key, entry) in &value {
        check_entry(key, entry, path)?;
    }
    if role == Role::Tool && !value.get("tool_call_id").is_some_and(Value::is_string) {
        return Err(LineError::new(
            "missing_key",
            at("tool_call_id"),
            "a tool message names the call it answers",
        ));
    }
    let content = text_of(value.get("content"), &at("content"))?;
    match &content {
        None if assistant && calls => {}
        None => return Err(wrong_type(&at("content"), "a string", value.get("content"))),
        Some(text) if text.is_empty() && assistant && !calls => {
            return Err(LineError::new(
                "empty_content",
                at("content"),
                "must not be empty in an assistant message",
            ));
        }
        Some(_) => {}
    }
    if let Some(text) = content {
        value.insert("content".to_string(), Value::String(text));
    }
    Ok(Message { role, value, trained: assistant && weight })
}

fn check_entry(key: &str, value: &Value, path: &str) -> Result<(), LineError> {
    let at = format!("{path}.{key}");
    match key {
        "role" | "content" => Ok(()),
        "name" | "tool_call_id" | "refusal" if value.is_string() || value.is_null() => Ok(()),
        "name" | "tool_call_id" | "refusal" => Err(wrong_type(&at, "a string", Some(value))),
        "tool_calls" if value.is_null() => Ok(()),
        "tool_calls" => check_tool_calls(value, &at),
        "function_call" if value.is_object() || value.is_null() => Ok(()),
        "function_call" => Err(wrong_type(&at, "an object", Some(value))),
        _ => Err(LineError::new("unknown_key", at, "unknown key of a message")),
    }
}

fn check_tool_calls(value: &Value, path: &str) -> Result<(), LineError> {
    let calls = value.as_array().ok_or_else(|| wrong_type(path, "a list of calls", Some(value)))?;
    for (index, call) in calls.iter().enumerate() {
        let name = call.get("function").and_then(|function| function.get("name"));
        if !name.is_some_and(Value::is_string) {
            let at = format!("{path}[{index}].function.name");
            return Err(wrong_type(&at, "a string", name));
        }
    }
    Ok(())
}

/// Content as one string: a string as it is, text parts joined. `None` for null or none.
fn text_of(content: Option<&Value>, path: &str) -> Result<Option<String>, LineError> {
    let parts = match content {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => return Ok(Some(text.clone())),
        Some(Value::Array(parts)) => parts,
        other => return Err(wrong_type(path, "a string or a list of text parts", other)),
    };
    let mut joined = String::new();
    for (index, part) in parts.iter().enumerate() {
        let kind = part.get("type").and_then(Value::as_str).unwrap_or("none");
        if kind != "text" {
            let message = format!("content of type '{kind}' is not supported (only 'text')");
            return Err(LineError::new(
                "unsupported_content",
                format!("{path}[{index}].type"),
                message,
            ));
        }
        match part.get("text").and_then(Value::as_str) {
            Some(text) => joined.push_str(text),
            None => {
                return Err(wrong_type(
                    &format!("{path}[{index}].text"),
                    "a string",
                    part.get("text"),
                ));
            }
        }
    }
    Ok(Some(joined))
}

/// An error of the wrong type at `path`; the value seen is cut short.
pub(super) fn wrong_type(path: &str, want: &str, seen: Option<&Value>) -> LineError {
    let Some(seen) = seen else {
        return LineError::new("missing_key", path, format!("is missing (expected {want})"));
    };
    let text: String = seen.to_string().chars().take(40).collect();
    LineError::new("wrong_type", path, format!("must be {want}, not {text}"))
}
