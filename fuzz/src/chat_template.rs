//! Chat templates: the template before the first NUL, a chat line after it.

use serde_json::{Value, json};
use trainyard_openapi::line::{DataLine, parse_line};
use trainyard_trainer::data::chat_template::ChatTemplate;

/// Renders the template with the line, or with a small conversation where the line is no chat.
///
/// # Panics
/// Where a span of the assistant's words lies outside the text, or inside a character.
pub fn run(bytes: &[u8]) {
    let cut = bytes.iter().position(|byte| *byte == 0);
    let (template, line) = bytes.split_at(cut.unwrap_or(bytes.len()));
    let (Ok(template), Ok(line)) =
        (std::str::from_utf8(template), std::str::from_utf8(line.get(1..).unwrap_or_default()))
    else {
        return;
    };
    let specials = [("bos_token", "<s>"), ("eos_token", "</s>"), ("pad_token", "<pad>")];
    let specials = specials.map(|(name, text)| (name.to_string(), text.to_string())).to_vec();
    let Ok(template) = ChatTemplate::compile(template, specials) else { return };
    let (messages, tools) = match parse_line(line) {
        Ok(DataLine::Chat(chat)) => (
            chat.messages.into_iter().map(|message| Value::Object(message.value)).collect(),
            chat.tools,
        ),
        _ => {
            let turn = |role: &str, text: &str| json!({"role": role, "content": text});
            (vec![turn("system", "Be short."), turn("user", "a"), turn("assistant", "b")], None)
        }
    };
    for prompt in [false, true] {
        if let Ok(rendered) = template.render(&messages, tools.as_deref(), prompt) {
            for span in rendered.generations {
                assert!(rendered.text.get(span.clone()).is_some(), "{span:?}");
            }
        }
    }
}
