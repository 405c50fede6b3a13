//! One line to tokens and labels: what is learned and what is only read.

use std::ops::Range;

use serde_json::Value;
use trainyard_openapi::line::{Chat, DataLine};

use crate::data::chat_template::ChatTemplate;
use crate::data::tokenizer::ChatTokenizer;
use crate::objective::cross_entropy::IGNORED;

/// Tokens of one example; labels are aligned with them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Example {
    /// Token ids.
    pub ids: Vec<u32>,
    /// The same ids where they are learned, -100 elsewhere.
    pub labels: Vec<i32>,
}

impl Example {
    /// Tokens that are predicted: learned ones but the first, which nothing predicts.
    pub fn targets(&self) -> usize {
        self.labels.iter().skip(1).filter(|label| i64::from(**label) != IGNORED).count()
    }

    fn push(&mut self, ids: &[u32], learned: bool) {
        self.ids.extend_from_slice(ids);
        self.labels.extend(ids.iter().map(|&id| if learned { id as i32 } else { IGNORED as i32 }));
    }
}

/// Why a line that parses cannot be written as tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if field.is_empty() { String::new() } else { format!("{field}: ") })]
pub struct EncodeError {
    /// The place inside the line; empty where it is the line itself.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl EncodeError {
    fn new(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.to_string(), message: message.into() }
    }
}

/// Writes a line as tokens.
///
/// # Errors
/// Where the chat template refuses it, a token is outside the vocabulary, or nothing is left to learn.
pub fn encode(
    line: &DataLine,
    tokenizer: &ChatTokenizer,
    vocab_size: i64,
) -> Result<Example, EncodeError> {
    let example = match line {
        DataLine::Chat(chat) => encode_chat(chat, tokenizer)?,
        DataLine::Completion { prompt, completion } => {
            let mut example = Example::default();
            example.push(&ids(tokenizer, prompt, true)?, false);
            example.push(&ids(tokenizer, completion, false)?, true);
            push_end(&mut example, tokenizer);
            example
        }
        DataLine::Text { text } => {
            let mut example = Example::default();
            example.push(&ids(tokenizer, text, true)?, true);
            push_end(&mut example, tokenizer);
            example
        }
        DataLine::Tokens { input_ids, labels } => {
            let labels = match labels {
                Some(labels) => labels.iter().map(|&label| label as i32).collect(),
                None => input_ids.iter().map(|&id| id as i32).collect(),
            };
            Example { ids: input_ids.clone(), labels }
        }
    };
    let outside = |id: i64| !(0..vocab_size).contains(&id);
    if let Some(place) = example.ids.iter().position(|&id| outside(i64::from(id))) {
        let (id, field) = (example.ids[place], format!("input_ids[{place}]"));
        return Err(EncodeError::new(
            &field,
            format!("token {id} is outside the model's vocabulary of {vocab_size}"),
        ));
    }
    if let Some(place) = example
        .labels
        .iter()
        .position(|&label| label != IGNORED as i32 && outside(i64::from(label)))
    {
        let (label, field) = (example.labels[place], format!("labels[{place}]"));
        return Err(EncodeError::new(
            &field,
            format!("label {label} is outside the model's vocabulary of {vocab_size}"),
        ));
    }
    Ok(example)
}

fn push_end(example: &mut Example, tokenizer: &ChatTokenizer) {
    if let Some(eos) = tokenizer.eos_token_id
        && example.ids.last() != Some(&eos)
    {
        example.push(&[eos], true);
    }
}

fn ids(tokenizer: &ChatTokenizer, text: &str, begin: bool) -> Result<Vec<u32>, EncodeError> {
    let encoding = tokenizer
        .tokenizer
        .encode_fast(text, begin)
        .map_err(|error| EncodeError::new("", format!("the tokenizer refuses it: {error}")))?;
    Ok(encoding.get_ids().to_vec())
}

/// The rendered conversation, learned where a trained assistant message stands.
fn encode_chat(chat: &Chat, tokenizer: &ChatTokenizer) -> Result<Example, EncodeError> {
    let template = tokenizer.template.as_ref().ok_or_else(|| {
        EncodeError::new(
            "messages",
            "the model has no chat template; use lines with 'prompt' and 'completion', or 'text'",
        )
    })?;
    let (text, spans) = learned_spans(chat, template)?;
    // The template has written the special tokens itself.
    let encoding = tokenizer.tokenizer.encode(text.as_str(), false).map_err(|error| {
        EncodeError::new("messages", format!("the tokenizer refuses it: {error}"))
    })?;
    let mut example = Example::default();
    for (&id, &(start, end)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
        // A token is learned where it overlaps a span, as in transformers' assistant masks.
        let learned = spans.iter().any(|span| start < span.end && end > span.start);
        example.push(&[id], learned);
    }
    Ok(example)
}

/// The text, and the byte ranges of it that are learned.
fn learned_spans(
    chat: &Chat,
    template: &ChatTemplate,
) -> Result<(String, Vec<Range<usize>>), EncodeError> {
    let messages: Vec<Value> =
        chat.messages.iter().map(|message| Value::Object(message.value.clone())).collect();
    let render = |messages: &[Value], prompt: bool| {
        template
            .render(messages, chat.tools.as_deref(), prompt)
            .map_err(|error| EncodeError::new("messages", error.to_string()))
    };
    let whole = render(&messages, false)?;
    let assistants: Vec<usize> =
        (0..messages.len()).filter(|&index| messages[index]["role"] == "assistant").collect();
    if template.has_generation() {
        let spans = whole.generations;
        if spans.len() == assistants.len() {
            let trained =
                assistants.iter().zip(spans).filter(|(index, _)| chat.messages[**index].trained);
            return Ok((whole.text, trained.map(|(_, span)| span).collect()));
        }
        if assistants.iter().all(|&index| chat.messages[index].trained) {
            return Ok((whole.text, spans));
        }
        let message = format!(
            "the chat template marks {} generations for {} assistant messages, so weight 0 cannot be placed",
            spans.len(),
            assistants.len()
        );
        return Err(EncodeError::new("messages", message));
    }
    // Without marks: a message's words are what rendering up to it adds to rendering before it with the prompt of an answer.
    let mut spans = Vec::new();
    for index in assistants.into_iter().filter(|&index| chat.messages[index].trained) {
        let before = render(&messages[..index], true)?.text;
        let through = render(&messages[..=index], false)?.text;
        let start = common_prefix(&before, &whole.text);
        // Some templates end the prompt of an answer with a line break that they do not write before the answer itself.
        let prompt_fits = before[start..].trim().is_empty();
        if !prompt_fits || !whole.text.starts_with(&through) || through.len() <= start {
            let message = "the chat template writes the beginning of this conversation differently when more follows, so the \
                           assistant's words cannot be told apart; use a template with {% generation %} blocks";
            return Err(EncodeError::new(&format!("messages[{index}]"), message));
        }
        // White space after the end-of-turn token is the template's, not the answer's.
        spans.push(start..start + through[start..].trim_end().len());
    }
    Ok((whole.text, spans))
}

/// Bytes that both texts begin with, cut to whole characters.
fn common_prefix(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
}
