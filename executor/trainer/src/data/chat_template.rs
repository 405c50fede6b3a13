//! Hugging Face chat templates, rendered as transformers renders them: Jinja with `trim_blocks`, `lstrip_blocks`, Python's string
//! methods, `raise_exception`, `tojson` in Python's spacing.
//!
//! Two things differ, both on purpose. `strftime_now` is not defined, so that a template falls back to its fixed date and
//! a run can be repeated. `{% generation %}` blocks are rendered between two private-use characters, which then tell the spans
//! of the assistant's words and are taken out.
//!
//! A template comes with a model and is distrusted: its source, its work, its stack and the values that it writes have limits, and one
//! that is beyond them is refused in words.

use std::ops::Range;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, context};

use crate::data::python_json;

/// What one rendering may take: instructions, and for one each 64 bytes of text that they make. A conversation of thousands of turns needs a
/// tenth of it.
const FUEL: u64 = 4_000_000;
/// Bytes of a template at most: several times the largest that models have.
const SOURCE_BYTES_MAX: usize = 64 * 1024;
/// Stack for compiling and rendering, which go as deep as the source is long, or as values are nested: enough for what source and fuel
/// allow. The system gives pages as they are touched.
const STACK_BYTES: usize = 512 * 1024 * 1024;
/// Levels of a value that is written: a line has at most 127.
const DEPTH_MAX: usize = 128;
/// Entries of a value that is written: a line of 8 MiB has fewer.
const ENTRIES_MAX: usize = 1 << 22;
/// Private-use characters that no text should hold.
const OPEN: char = '\u{F0000}';
const CLOSE: char = '\u{F0001}';
const NAME: &str = "chat_template";

/// A compiled template with the special tokens it may name.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    specials: Vec<(String, String)>,
    has_generation: bool,
}

/// A rendered conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// Byte ranges of the generation blocks; empty where the template has none.
    pub generations: Vec<Range<usize>>,
}

/// A template that does not compile, or a conversation that it refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(String);

impl ChatTemplate {
    /// Compiles `source`; `specials` are variables such as `bos_token` with their texts.
    ///
    /// # Errors
    /// Where it is no Jinja.
    pub fn compile(source: &str, specials: Vec<(String, String)>) -> Result<Self, TemplateError> {
        if source.len() > SOURCE_BYTES_MAX {
            let text =
                format!("the template has {} bytes; the limit is {SOURCE_BYTES_MAX}", source.len());
            return Err(TemplateError(text));
        }
        let (source, has_generation) = rewrite_generation(source);
        let environment = on_large_stack(|| environment(source))?;
        Ok(Self { environment, specials, has_generation })
    }

    /// Whether the template marks the assistant's words itself.
    pub fn has_generation(&self) -> bool {
        self.has_generation
    }

    /// Renders a conversation.
    ///
    /// # Errors
    /// The template's own words where it refuses the conversation.
    pub fn render(
        &self,
        messages: &[serde_json::Value],
        tools: Option<&[serde_json::Value]>,
        add_generation_prompt: bool,
    ) -> Result<Rendered, TemplateError> {
        on_large_stack(|| self.rendered(messages, tools, add_generation_prompt))
    }

    fn rendered(
        &self,
        messages: &[serde_json::Value],
        tools: Option<&[serde_json::Value]>,
        add_generation_prompt: bool,
    ) -> Result<Rendered, TemplateError> {
        let template = self.environment.get_template(NAME).map_err(explain)?;
        let specials = Value::from_pairs(self.specials.iter().cloned());
        let context = context! {
            messages => Value::from(Serde(messages)),
            tools => Value::from(Serde(tools)),
            documents => (),
            add_generation_prompt => add_generation_prompt,
            ..specials
        };
        split_generations(&template.render(context).map_err(explain)?)
    }
}

/// The engine with the template in it.
fn environment(source: String) -> Result<Environment<'static>, TemplateError> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(false)
        .build()
        .map_err(explain)?;
    environment.set_syntax(syntax);
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(|state, value, method, args| {
        if method == "format" && value.as_str().is_some_and(is_wide) {
            let text = "format: widths and precisions may have 4 digits and stand in the text";
            return Err(Error::new(ErrorKind::InvalidOperation, text));
        }
        minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
    });
    environment.set_formatter(|out, state, value| {
        measure(value)?;
        minijinja::escape_formatter(out, state, value)
    });
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("the chat template refuses it: {message}"),
        ))
    });
    environment.add_filter("tojson", tojson);
    environment.add_filter("trainyard_generation", |text: String| format!("{OPEN}{text}{CLOSE}"));
    environment.add_template_owned(NAME, source).map_err(explain)?;
    Ok(environment)
}

fn on_large_stack<T: Send>(
    work: impl FnOnce() -> Result<T, TemplateError> + Send,
) -> Result<T, TemplateError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, work);
        let thread = thread
            .map_err(|error| TemplateError(format!("no thread for the chat template: {error}")))?;
        let failed = |_| Err(TemplateError("the template engine failed on it".to_string()));
        thread.join().unwrap_or_else(failed)
    })
}

/// Refuses a value that is nested too deep or has too many entries: a list may stand in another many times, so that a short template
/// makes one with 2^60.
fn measure(value: &Value) -> Result<(), Error> {
    fn visit(value: &Value, depth: usize, left: &mut usize) -> Result<(), Error> {
        let refuse = |text: String| Err(Error::new(ErrorKind::InvalidOperation, text));
        let is_map = match value.kind() {
            ValueKind::Seq => false,
            ValueKind::Map => true,
            _ => return Ok(()),
        };
        if depth == DEPTH_MAX {
            return refuse(format!("a value is nested deeper than {DEPTH_MAX}"));
        }
        for item in value.try_iter()? {
            if *left == 0 {
                return refuse(format!("a value has more than {ENTRIES_MAX} entries"));
            }
            *left -= 1;
            let item = if is_map { value.get_item(&item)? } else { item };
            visit(&item, depth + 1, left)?;
        }
        Ok(())
    }
    let mut left = ENTRIES_MAX;
    visit(value, 0, &mut left)
}

/// Whether a field of a format string asks for a width of more than 4 digits, or takes it from an argument.
fn is_wide(format: &str) -> bool {
    let digits = |run: &str| run.len() > 4;
    format.split('{').skip(1).any(|field| match field.split_once('}') {
        Some((field, _)) => field.split(|c: char| !c.is_ascii_digit()).any(digits),
        None => field.contains(':'),
    })
}

fn explain(error: Error) -> TemplateError {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), ToString::to_string);
    let place =
        error.line().map(|line| format!(" (line {line} of the template)")).unwrap_or_default();
    TemplateError(format!("{detail}{place}"))
}

/// `{% generation %}` is no Jinja: it becomes a filter block, which trims white space in the same places.
fn rewrite_generation(source: &str) -> (String, bool) {
    let mut out = String::with_capacity(source.len());
    let mut found = false;
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let tag = &rest[start..start + length + 2];
        let name = tag
            .trim_start_matches("{%")
            .trim_end_matches("%}")
            .trim_matches(['-', '+', ' ', '\n', '\t', '\r']);
        out.push_str(&rest[..start]);
        match name {
            "generation" => {
                found = true;
                out.push_str(&tag.replacen("generation", "filter trainyard_generation", 1));
            }
            "endgeneration" => out.push_str(&tag.replacen("endgeneration", "endfilter", 1)),
            _ => out.push_str(tag),
        }
        rest = &rest[start + length + 2..];
    }
    out.push_str(rest);
    (out, found)
}

fn split_generations(marked: &str) -> Result<Rendered, TemplateError> {
    let mut text = String::with_capacity(marked.len());
    let mut generations = Vec::new();
    let mut open = None;
    for character in marked.chars() {
        match (character, open) {
            (OPEN, None) => open = Some(text.len()),
            (CLOSE, Some(start)) => {
                generations.push(start..text.len());
                open = None;
            }
            (OPEN | CLOSE, _) => {
                return Err(TemplateError(
                    "the conversation holds a reserved character (U+F0000 or U+F0001)".into(),
                ));
            }
            (other, _) => text.push(other),
        }
    }
    Ok(Rendered { text, generations })
}

fn tojson(value: Value, kwargs: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = kwargs.get("indent")?;
    // Accepted as transformers does; the answer is in Python's default form for each.
    let _: Option<bool> = kwargs.get("ensure_ascii")?;
    let _: Option<Value> = kwargs.get("separators")?;
    let sort: Option<bool> = kwargs.get("sort_keys")?;
    kwargs.assert_all_used()?;
    measure(&value)?;
    let mut json = serde_json::to_value(&value)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    if sort == Some(true) {
        json.sort_all_objects();
    }
    python_json::dumps(&json, indent).ok_or_else(|| {
        let text = format!("tojson: more than 64 MiB with an indent of {}", indent.unwrap_or(0));
        Error::new(ErrorKind::InvalidOperation, text)
    })
}
