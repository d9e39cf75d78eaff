//! Says in which places two JSON values differ.

use serde_json::Value;

/// One line for each place: where it is, what was expected and what was found.
pub fn differences(expected: &Value, found: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", Some(expected), Some(found), &mut lines);
    lines
}

fn compare(place: &str, expected: Option<&Value>, found: Option<&Value>, lines: &mut Vec<String>) {
    match (expected, found) {
        (Some(Value::Object(expected)), Some(Value::Object(found))) => {
            let only_found = found.keys().filter(|name| !expected.contains_key(*name));
            for name in expected.keys().chain(only_found) {
                let dot = if place.is_empty() { "" } else { "." };
                compare(&format!("{place}{dot}{name}"), expected.get(name), found.get(name), lines);
            }
        }
        (Some(Value::Array(expected)), Some(Value::Array(found))) => {
            for index in 0..expected.len().max(found.len()) {
                compare(&format!("{place}[{index}]"), expected.get(index), found.get(index), lines);
            }
        }
        (Some(expected), Some(found)) if expected == found => {}
        (Some(expected), Some(found)) => lines.push(format!("{place}: expected {expected}, found {found}")),
        (Some(expected), None) => lines.push(format!("{place}: expected {expected}, found nothing")),
        (None, Some(found)) => lines.push(format!("{place}: expected nothing, found {found}")),
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_difference_is_one_line_with_its_place() {
        let expected = json!({ "output": { "main": [{ "a": 1 }, { "a": 2 }] }, "gone": true });
        let found = json!({ "output": { "main": [{ "a": 1, "b": "x" }, { "a": 3 }, { "a": 4 }] } });
        assert_eq!(
            differences(&expected, &found),
            [
                "gone: expected true, found nothing",
                r#"output.main[0].b: expected nothing, found "x""#,
                "output.main[1].a: expected 2, found 3",
                r#"output.main[2]: expected nothing, found {"a":4}"#,
            ]
        );
    }

    #[test]
    fn equal_values_have_no_difference() {
        let value = json!({ "output": { "main": [] } });
        assert_eq!(differences(&value, &value), [""; 0]);
    }
}
