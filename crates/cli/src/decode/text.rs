//! JSON for people: one line per value, indented, without the punctuation.
use std::fmt;

use serde_json::Value;

const INDENT: usize = 2;

/// Prints an object as an outline.
pub(super) struct Outline<'a>(pub(super) &'a Value);

impl fmt::Display for Outline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        outline(self.0, 0, &mut lines);
        f.write_str(&lines.join("\n"))
    }
}

/// The lines of what is inside `value`.
fn outline(value: &Value, depth: usize, lines: &mut Vec<String>) {
    let indent = " ".repeat(depth * INDENT);
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match scalar(value) {
                    Some(text) => lines.push(format!("{indent}{name}: {text}")),
                    None => {
                        lines.push(format!("{indent}{name}:"));
                        outline(value, depth + 1, lines);
                    }
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                let first = lines.len();
                outline(item, depth + 1, lines);
                // The dash takes the place of the indentation of the item's first line.
                if let Some(line) = lines.get_mut(first) {
                    line.replace_range(depth * INDENT..(depth + 1) * INDENT, "- ");
                }
            }
        }
        other => lines.extend(scalar(other).map(|text| format!("{indent}{text}"))),
    }
}

/// The text of a value that fits on the line of its name.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("-".into()),
        Value::String(text) => Some(text.clone()),
        Value::Array(items) if items.is_empty() => Some("none".into()),
        Value::Array(_) | Value::Object(_) => None,
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_values_are_indented_and_items_have_a_dash() {
        let value = serde_json::json!({
            "message": "X", "life": null, "none": [], "elements": [{"id": 1, "home": "2"}, {"id": 3}],
        });
        let expected = "message: X\nlife: -\nnone: none\nelements:\n  - id: 1\n    home: 2\n  - id: 3";
        assert_eq!(Outline(&value).to_string(), expected);
    }
}
