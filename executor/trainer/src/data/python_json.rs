//! JSON as Python's `json.dumps(ensure_ascii=False)` writes it: chat templates and the models trained with them expect those
//! very spaces.

use serde_json::Value;

/// Bytes that are written at most: a line has 8 MiB, and a few spaces a level make several times as many of them.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Writes `value`, on one line or with `indent` spaces a level. `None` where it would have more than 64 MiB.
pub fn dumps(value: &Value, indent: Option<usize>) -> Option<String> {
    let mut out = String::new();
    write(value, indent, 0, &mut out);
    (out.len() <= BYTES_MAX).then_some(out)
}

/// Writes nothing more once it is too much.
fn write(value: &Value, indent: Option<usize>, level: usize, out: &mut String) {
    if out.len() > BYTES_MAX {
        return;
    }
    match value {
        Value::Array(list) if !list.is_empty() => {
            out.push('[');
            for (index, item) in list.iter().enumerate() {
                separate(index, indent, level + 1, out);
                write(item, indent, level + 1, out);
            }
            close(indent, level, ']', out);
        }
        Value::Object(map) if !map.is_empty() => {
            out.push('{');
            for (index, (key, item)) in map.iter().enumerate() {
                separate(index, indent, level + 1, out);
                out.push_str(&Value::String(key.clone()).to_string());
                out.push_str(": ");
                write(item, indent, level + 1, out);
            }
            close(indent, level, '}', out);
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn separate(index: usize, indent: Option<usize>, level: usize, out: &mut String) {
    match (index, indent) {
        (0, None) => {}
        (_, None) => out.push_str(", "),
        (0, Some(_)) => newline(indent, level, out),
        (_, Some(_)) => {
            out.push(',');
            newline(indent, level, out);
        }
    }
}

fn close(indent: Option<usize>, level: usize, bracket: char, out: &mut String) {
    newline(indent, level, out);
    out.push(bracket);
}

fn newline(indent: Option<usize>, level: usize, out: &mut String) {
    if let Some(width) = indent {
        out.push('\n');
        let spaces = width.saturating_mul(level).min((BYTES_MAX + 1).saturating_sub(out.len()));
        out.push_str(&" ".repeat(spaces));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spaces_have_a_limit() {
        let value = json!({"a": [1, {"b": []}]});
        assert_eq!(dumps(&value, None).unwrap(), r#"{"a": [1, {"b": []}]}"#);
        assert_eq!(dumps(&json!([[1]]), Some(1)).unwrap(), "[\n [\n  1\n ]\n]");
        assert_eq!(dumps(&value, Some(usize::MAX)), None);
        assert_eq!(dumps(&json!(vec![0; 100_000]), Some(10_000)), None);
    }
}
