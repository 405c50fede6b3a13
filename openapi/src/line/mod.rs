//! Lines of training data: what they may look like, and exactly what is wrong with one that does not.
//!
//! Pure: bytes in, a report out. The scheduler runs [`validator::FileValidator`] while a job is in `validating_files`, the
//! trainer parses the same lines with the same code. A new kind of line is a variant of [`DataLine`] and a file here.

mod chat;
mod parse;
mod strict;
mod user;
pub mod validator;

pub use chat::{Chat, Message, Role};
pub use parse::{parse_line, parse_line_of};

/// One example.
#[derive(Debug, Clone, PartialEq)]
pub enum DataLine {
    /// `{"messages": [...]}`: the assistant's turns are learned.
    Chat(Chat),
    /// `{"prompt", "completion"}`: the completion is learned.
    Completion {
        /// What comes before.
        prompt: String,
        /// What is learned.
        completion: String,
    },
    /// `{"text"}`: all of it is learned.
    Text {
        /// The text.
        text: String,
    },
    /// `{"input_ids", "labels"?}`: ready tokens; -100 among the labels is not learned.
    Tokens {
        /// Token ids.
        input_ids: Vec<u32>,
        /// Aligned with `input_ids`.
        labels: Option<Vec<i64>>,
    },
}

/// The kinds of lines; a file holds one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LineKind {
    /// Chat.
    Chat,
    /// Prompt and completion.
    Completion,
    /// Text.
    Text,
    /// Tokens.
    Tokens,
}

impl LineKind {
    /// For messages: the keys that make this kind.
    pub const fn keys(self) -> &'static str {
        match self {
            Self::Chat => "'messages'",
            Self::Completion => "'prompt' and 'completion'",
            Self::Text => "'text'",
            Self::Tokens => "'input_ids'",
        }
    }
}

impl DataLine {
    /// Which kind it is.
    pub const fn kind(&self) -> LineKind {
        match self {
            Self::Chat(_) => LineKind::Chat,
            Self::Completion { .. } => LineKind::Completion,
            Self::Text { .. } => LineKind::Text,
            Self::Tokens { .. } => LineKind::Tokens,
        }
    }
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if field.is_empty() { String::new() } else { format!("{field}: ") })]
pub struct LineError {
    /// Machine-readable, such as `invalid_json` or `unknown_key`.
    pub code: &'static str,
    /// The place inside the line, such as `messages[1].role`; empty where it is the line itself.
    pub field: String,
    /// What is wrong and what is expected.
    pub message: String,
}

/// Characters of a message or field at most: keys and values of a line stand in them, and a line may have megabytes.
const SAID_CHARS_MAX: usize = 400;

impl LineError {
    pub(crate) fn new(
        code: &'static str,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { code, field: cut(field.into()), message: cut(message.into()) }
    }
}

fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(SAID_CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}
