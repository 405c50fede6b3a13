//! Chat templates and masks equal transformers' to the byte (cases and reasons: `gen/chat.py`).

use serde_json::Value;
use trainyard_openapi::line::parse_line;
use trainyard_trainer::arch::config::ModelConfig;
use trainyard_trainer::data::ChatTokenizer;
use trainyard_trainer::data::chat_template::ChatTemplate;
use trainyard_trainer::data::encode::encode;

use crate::golden;

fn config() -> ModelConfig {
    ModelConfig::read(&golden::path("models/llama/config.json")).unwrap()
}

fn tokenizer(template: &str) -> ChatTokenizer {
    let mut tokenizer = ChatTokenizer::load(&golden::path("chat"), &config()).unwrap();
    tokenizer.template = Some(compile(template));
    tokenizer
}

fn compile(template: &str) -> ChatTemplate {
    let specials = [("bos_token", "<s>"), ("eos_token", "</s>"), ("pad_token", "<pad>")];
    ChatTemplate::compile(template, specials.map(|(k, v)| (k.to_string(), v.to_string())).to_vec())
        .unwrap()
}

fn cases() -> Vec<Value> {
    let text = std::fs::read_to_string(golden::path("chat/cases.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn rendering_equals_transformers() {
    for case in cases() {
        let template = compile(case["template"].as_str().unwrap());
        let messages = case["messages"].as_array().unwrap();
        let tools = case["tools"].as_array().map(Vec::as_slice);
        let name = format!("{} marked: {}", case["style"], case["marked"]);
        assert_eq!(template.render(messages, tools, false).unwrap().text, case["text"], "{name}");
        let before = &messages[..messages.len() - 1];
        assert_eq!(
            template.render(before, tools, true).unwrap().text,
            case["prompt_text"],
            "{name}"
        );
    }
}

#[test]
fn tokens_and_masks_equal_transformers() {
    let mut masks = 0;
    for case in cases() {
        let mut line = serde_json::Map::new();
        line.insert("messages".into(), case["messages"].clone());
        line.insert("tools".into(), case["tools"].clone());
        let parsed = parse_line(&Value::Object(line).to_string()).unwrap();
        let example =
            encode(&parsed, &tokenizer(case["template"].as_str().unwrap()), 100_000).unwrap();
        let ids: Vec<u64> =
            case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
        assert_eq!(
            example.ids.iter().map(|&id| u64::from(id)).collect::<Vec<_>>(),
            ids,
            "{}",
            case["style"]
        );
        if let Some(mask) = case["mask"].as_array() {
            masks += 1;
            let expected: Vec<bool> = mask.iter().map(|m| m == 1).collect();
            let seen: Vec<bool> = example.labels.iter().map(|&label| label != -100).collect();
            assert_eq!(seen, expected, "{} marked: {}", case["style"], case["marked"]);
        }
    }
    assert!(masks >= 12, "only {masks} masks were compared");
}

#[test]
fn a_weight_of_zero_is_not_learned() {
    let case = &cases()[1];
    let tokenizer = tokenizer(case["template"].as_str().unwrap());
    let mut messages = case["messages"].clone();
    messages[2]["weight"] = 0.into();
    let line = serde_json::json!({ "messages": messages }).to_string();
    let example = encode(&parse_line(&line).unwrap(), &tokenizer, 100_000).unwrap();
    let all = case["mask"].as_array().unwrap();
    let learned = example.labels.iter().filter(|&&label| label != -100).count();
    let before = all.iter().filter(|&m| m == 1).count();
    assert!(learned > 0 && learned < before, "{learned} of {before}");
}

#[test]
fn what_a_template_refuses_is_said() {
    let case = cases().into_iter().find(|case| case["style"] == "instruct").unwrap();
    let tokenizer = tokenizer(case["template"].as_str().unwrap());
    let line = r#"{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"},{"role":"assistant","content":"c"}]}"#;
    let error = encode(&parse_line(line).unwrap(), &tokenizer, 100_000).unwrap_err();
    assert!(error.to_string().contains("turns must alternate"), "{error}");
    // A template without end must not hold the job.
    let endless =
        compile("{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}");
    assert!(endless.render(&[], None, false).is_err());
}

#[test]
fn hostile_templates_are_refused_in_words() {
    let nest = |write: &str| {
        format!(
            "{{% set n = namespace(x=[]) %}}{{% for i in range(999) %}}{{% for j in range(100) %}}{{% set n.x = [n.x] %}}{{% endfor %}}\
             {{% endfor %}}{write}"
        )
    };
    let doubled = |write: &str| {
        format!(
            "{{% set n = namespace(x=[1]) %}}{{% for i in range(60) %}}{{% set n.x = [n.x, n.x] %}}{{% endfor %}}{write}"
        )
    };
    for (source, words) in [
        (nest("{{ n.x }}"), "nested deeper"),
        (nest("{{ n.x | tojson }}"), "nested deeper"),
        (doubled("{{ n.x }}"), "entries"),
        (doubled("{{ n.x | tojson }}"), "entries"),
        ("{{ [[1]] | tojson(indent=999999999999) }}".to_string(), "64 MiB"),
        ("{{ '{:>9999999999}'.format(1) }}".to_string(), "4 digits"),
        ("{{ '{:>{}}'.format(1, 9999999999) }}".to_string(), "4 digits"),
        ("{{ 'x' * 99999999999 }}".to_string(), ""),
        (
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
                .to_string(),
            "fuel",
        ),
    ] {
        let refused = compile(&source).render(&[], None, false).unwrap_err().to_string();
        assert!(refused.contains(words), "{source}: {refused}");
    }
    let fine = compile("{{ '{:>5}-{} 123456'.format(1, 123456) }}").render(&[], None, false);
    assert_eq!(fine.unwrap().text, "    1-123456 123456");
    // As deep as a source may go: refused or not, the process lives on.
    for (part, count) in
        [("not ", 15_000), ("-", 60_000), ("1 if 1 else ", 5_000), ("1+", 30_000), ("(", 60_000)]
    {
        let source = format!("{{{{ {}1 }}}}", part.repeat(count));
        if let Ok(template) = ChatTemplate::compile(&source, Vec::new()) {
            let _ = template.render(&[], None, false);
        }
    }
    let error = ChatTemplate::compile(&"x".repeat(65_537), Vec::new()).unwrap_err().to_string();
    assert!(error.contains("65537") && error.contains("65536"), "{error}");
}
