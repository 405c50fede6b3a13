//! JSON as Python's `json.dumps(ensure_ascii=False)` writes it: chat templates and the models trained with them expect those
//! very spaces.

use serde_json::Value;

/// Writes `value`, on one line or with `indent` spaces a level.
pub fn dumps(value: &Value, indent: Option<usize>) -> String {
    let mut out = String::new();
    write(value, indent, 0, &mut out);
    out
}

fn write(value: &Value, indent: Option<usize>, level: usize, out: &mut String) {
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
        out.extend(std::iter::repeat_n(' ', width * level));
    }
}
