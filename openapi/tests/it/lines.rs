//! Data lines: what is accepted, and that every refusal names its place.

use trainyard_openapi::line::validator::{FileReport, FileValidator, LINE_BYTES_MAX};
use trainyard_openapi::line::{DataLine, LineKind, parse_line, parse_line_of};

fn report(text: &[u8]) -> FileReport {
    let mut validator = FileValidator::new();
    validator.push(text);
    validator.finish()
}

fn refused(line: &str, code: &str, field: &str) {
    let error = parse_line(line).expect_err(line);
    assert_eq!((error.code, error.field.as_str()), (code, field), "{line}: {error}");
}

#[test]
fn accepted_kinds() {
    let kind = |line: &str| parse_line(line).map(|line| line.kind());
    assert_eq!(
        kind(r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}"#),
        Ok(LineKind::Chat)
    );
    assert_eq!(kind(r#"{"prompt":"a","completion":"b"}"#), Ok(LineKind::Completion));
    assert_eq!(kind(r#"{"text":"a"}"#), Ok(LineKind::Text));
    assert_eq!(kind(r#"{"input_ids":[1,2,3],"labels":[-100,-100,3]}"#), Ok(LineKind::Tokens));
    assert_eq!(
        kind(
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
            {"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"1","content":"r"},{"role":"assistant","content":"x","weight":1}],
            "tools":[],"parallel_tool_calls":false}"#
        ),
        Ok(LineKind::Chat)
    );
}

#[test]
fn weights_decide_what_is_learned() {
    let line = r#"{"messages":[{"role":"assistant","content":"a","weight":0},{"role":"assistant","content":"b"}]}"#;
    let Ok(DataLine::Chat(chat)) = parse_line(line) else { panic!("no chat") };
    assert_eq!(chat.messages.iter().map(|m| m.trained).collect::<Vec<_>>(), [false, true]);
    assert!(!chat.messages[0].value.contains_key("weight"));
}

#[test]
fn refusals_name_the_place() {
    refused("{", "invalid_json", "");
    refused("[1]", "wrong_type", "");
    refused("{}", "unknown_kind", "");
    refused(r#"{"text":"a","text":"b"}"#, "invalid_json", "");
    refused(r#"{"text":NaN}"#, "invalid_json", "");
    refused(r#"{"input_ids":[1,1e400]}"#, "invalid_json", "");
    refused(r#"{"text":"\ud800"}"#, "invalid_json", "");
    refused(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), "invalid_json", "");
    refused(r#"{"text":""}"#, "empty_content", "text");
    refused(r#"{"text":"a","x":1}"#, "unknown_key", "x");
    refused(r#"{"text":"a","label":1}"#, "not_available", "label");
    refused(r#"{"prompt":"a"}"#, "missing_key", "completion");
    refused(r#"{"prompt":"a","chosen":"b","rejected":"c"}"#, "not_available", "");
    refused(
        r#"{"input":{"messages":[]},"preferred_output":[],"non_preferred_output":[]}"#,
        "not_available",
        "",
    );
    refused(r#"{"input_ids":[1]}"#, "too_short", "input_ids");
    refused(r#"{"input_ids":[1,-2]}"#, "wrong_type", "input_ids[1]");
    refused(r#"{"input_ids":[1,2],"labels":[1]}"#, "wrong_length", "labels");
    refused(r#"{"input_ids":[1,2],"labels":[1,-100]}"#, "nothing_to_learn", "labels");
    refused(r#"{"messages":[]}"#, "no_messages", "messages");
    refused(r#"{"messages":[{"role":"user","content":"a"}]}"#, "nothing_to_learn", "messages");
    let second = |message: &str| {
        format!(r#"{{"messages":[{{"role":"assistant","content":"a"}},{message}]}}"#)
    };
    refused(&second(r#"{"role":"robot","content":"a"}"#), "unknown_role", "messages[1].role");
    refused(&second(r#"{"content":"a"}"#), "missing_key", "messages[1].role");
    refused(&second(r#"{"role":"user"}"#), "missing_key", "messages[1].content");
    refused(&second(r#"{"role":"user","content":3}"#), "wrong_type", "messages[1].content");
    refused(
        &second(r#"{"role":"user","content":"a","weight":1}"#),
        "unknown_key",
        "messages[1].weight",
    );
    refused(
        &second(r#"{"role":"assistant","content":"a","weight":0.5}"#),
        "wrong_type",
        "messages[1].weight",
    );
    refused(
        &second(r#"{"role":"user","content":"a","mood":"b"}"#),
        "unknown_key",
        "messages[1].mood",
    );
    refused(
        &second(r#"{"role":"assistant","content":""}"#),
        "empty_content",
        "messages[1].content",
    );
    refused(&second(r#"{"role":"tool","content":"a"}"#), "missing_key", "messages[1].tool_call_id");
    refused(
        &second(r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}"#),
        "unsupported_content",
        "messages[1].content[0].type",
    );
}

#[test]
fn the_broken_line_is_named() {
    let mut text = r#"{"text":"fine"}"#.to_string() + "\n";
    text = text.repeat(6) + "{\"text\": 3}\n" + &text;
    let report = report(text.as_bytes());
    assert_eq!((report.examples, report.error_count), (7, 1));
    assert_eq!(
        report.error_summary("train.jsonl").unwrap(),
        "train.jsonl: line 7: text: must be a string, not 3"
    );
}

#[test]
fn odd_files() {
    assert!(report(b"").error_summary("f").unwrap().contains("empty"));
    assert!(report(b"\n\n \r\n").error_summary("f").unwrap().contains("no examples"));
    assert!(
        report(
            "{\"text\":\"\u{e9}\"}"
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect::<Vec<_>>()
                .as_slice()
        )
        .error_summary("f")
        .unwrap()
        .contains("line 1")
    );
    assert!(
        report(b"{\"text\":\"\xff\"}\n").error_summary("f").unwrap().contains("not UTF-8 (byte 10")
    );
    let fine = report(b"\xef\xbb\xbf{\"text\":\"a\"}\r\n\r\n{\"text\":\"b\"}");
    assert!(fine.is_valid() && fine.byte_order_mark, "{fine:?}");
    assert_eq!((fine.examples, fine.blank_lines, fine.lines), (2, 1, 3));
    let mixed = report(b"{\"text\":\"a\"}\n{\"prompt\":\"a\",\"completion\":\"b\"}\n");
    assert!(mixed.error_summary("f").unwrap().contains("'text' (first on line 1)"));
    let many = report("x\n".repeat(10_000).as_bytes());
    assert_eq!((many.errors.len(), many.error_count), (50, 10_000));
}

#[test]
fn a_line_without_end_is_not_held_in_memory() {
    let mut validator = FileValidator::new();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        validator.push(&piece);
    }
    validator.push(b"\n{\"text\":\"a\"}\n");
    let report = validator.finish();
    assert_eq!((report.lines, report.examples, report.error_count), (2, 1, 1));
    assert!(report.errors[0].1.message.contains(&LINE_BYTES_MAX.to_string()));
}

#[test]
fn pieces_do_not_matter() {
    let text =
        "\u{feff}{\"text\":\"\u{e9}\u{1f600}\"}\r\n\n{\"text\":1}\nnonsense\n{\"text\":\"last\"}"
            .as_bytes();
    let whole = report(text);
    assert_eq!((whole.examples, whole.error_count, whole.blank_lines), (2, 2, 1));
    for size in 1..text.len() {
        let mut validator = FileValidator::new();
        text.chunks(size).for_each(|piece| validator.push(piece));
        assert_eq!(validator.finish(), whole, "pieces of {size}");
    }
}

#[test]
fn a_million_blank_lines_and_a_million_marks() {
    let mut validator = FileValidator::new();
    for _ in 0..1_000 {
        validator.push(&b"\n".repeat(1_000));
    }
    let mut marks = String::from("{\"text\":\"e");
    marks.extend(std::iter::repeat_n('\u{301}', 1_000_000));
    validator.push(marks.as_bytes());
    validator.push(b"\"}");
    let report = validator.finish();
    assert!(report.is_valid(), "{report:?}");
    assert_eq!((report.lines, report.blank_lines, report.examples), (1_000_001, 1_000_000, 1));
    for number in ["Infinity", "-Infinity", "1e400", "-1e400", "0x10", "01", "+1"] {
        refused(&format!("{{\"input_ids\":[1,{number}]}}"), "invalid_json", "");
    }
}

#[test]
fn a_line_names_its_user_where_users_are_asked_for() {
    let user = |line: &str| parse_line_of(line, Some("by")).map(|(_, user)| user.unwrap());
    assert_eq!(user(r#"{"text":"a","by":"ann"}"#), Ok("ann".to_string()));
    assert_eq!(user(r#"{"by":7,"prompt":"a","completion":"b"}"#), Ok("7".to_string()));
    assert_eq!(user(r#"{"by":-7,"input_ids":[1,2]}"#), Ok("-7".to_string()));
    let most = "ü".repeat(256);
    assert_eq!(user(&format!(r#"{{"text":"a","by":"{most}"}}"#)), Ok(most.clone()));
    for (line, code, field) in [
        (r#"{"text":"a"}"#.to_string(), "missing_user", "by"),
        (r#"{"text":"a","by":""}"#.to_string(), "invalid_user", "by"),
        (format!(r#"{{"text":"a","by":"{most}x"}}"#), "invalid_user", "by"),
        (r#"{"text":"a","by":null}"#.to_string(), "wrong_type", "by"),
        (r#"{"text":"a","by":1.5}"#.to_string(), "wrong_type", "by"),
        (r#"{"text":"a","by":1e30}"#.to_string(), "wrong_type", "by"),
        (r#"{"text":"a","by":["ann"]}"#.to_string(), "wrong_type", "by"),
        (r#"{"text":"a","by":"ann","to":"bob"}"#.to_string(), "unknown_key", "to"),
        (r#"{"text":"a","by":"ann","by":"bob"}"#.to_string(), "invalid_json", ""),
    ] {
        let error = user(&line).expect_err(&line);
        assert_eq!((error.code, error.field.as_str()), (code, field), "{line}: {error}");
    }
    let (line, none) = parse_line_of(r#"{"text":"a"}"#, None).unwrap();
    assert_eq!((line.kind(), none), (LineKind::Text, None));
    refused(r#"{"text":"a","by":"ann"}"#, "unknown_key", "by");
}

#[test]
fn users_of_a_file_are_counted_once_each() {
    let mut validator = FileValidator::of_users(Some("by".to_string()));
    for number in 0..1000 {
        let by = if number % 2 == 0 {
            format!("\"{}\"", number % 15)
        } else {
            (number % 15).to_string()
        };
        validator.push(format!("{{\"text\":\"a\",\"by\":{by}}}\n").as_bytes());
    }
    validator.push(b"\n{\"text\":\"a\"}\n");
    let report = validator.finish();
    assert_eq!((report.examples, report.users, report.error_count), (1000, Some(15), 1));
    assert_eq!(report.errors[0].1.code, "missing_user");
    assert_eq!(FileValidator::new().finish().users, None);
}
