//! What two pipeline files say differently.

use serde_json::Value;

use crate::diagnostic::Diagnostics;
use crate::yaml::{self, Report};

/// The parts of two pipeline files that differ, as JSON pointers. Variables have their defaults; order and spelling do not
/// count.
///
/// # Errors
/// If one of them is no YAML.
pub fn differences(before: &str, after: &str) -> Result<Vec<String>, Diagnostics> {
    let read = |text: &str| {
        let mut report = Report::new("pipeline");
        let document = yaml::parse(text, &|_| None, &mut report).map(|root| root.json());
        report.into_result(document)
    };
    let mut found = Vec::new();
    differ(&read(before)?, &read(after)?, "", &mut found);
    Ok(found)
}

fn differ(before: &Value, after: &Value, at: &str, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                let escaped = key.replace('~', "~0").replace('/', "~1");
                let (before, after) = (before.get(key).unwrap_or(&Value::Null), after.get(key).unwrap_or(&Value::Null));
                differ(before, after, &format!("{at}/{escaped}"), found);
            }
        }
        _ if before == after => {}
        _ => found.push(at.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
name: shop
steps:
  clean: { transform: rename, from: clicks, config: { columns: { a: { from: b } } } }
  counts: { aggregate: count, from: clean, by: [user] }
";

    fn of(after: &str) -> Vec<String> {
        differences(TEXT, after).unwrap()
    }

    #[test]
    fn order_comments_and_spelling_do_not_count() {
        let same = "
# the same
steps:
  counts: { by: [user], from: clean, aggregate: count }
  clean:
    transform: 'rename'
    from: ${NAME:-clicks}
    config: { columns: { a: { from: b } } }
name: shop
";
        assert_eq!(of(same), Vec::<String>::new());
    }

    #[test]
    fn the_smallest_parts_that_differ_are_named() {
        assert_eq!(of(&TEXT.replace("from: b", "from: c")), ["/steps/clean/config/columns/a/from"]);
        assert_eq!(of(&TEXT.replace("[user]", "[session]")), ["/steps/counts/by"]);
        assert_eq!(of(&TEXT.replace("counts:", "totals:")), ["/steps/counts", "/steps/totals"]);
        assert_eq!(of(&TEXT.replace(", config: { columns: { a: { from: b } } }", "")), ["/steps/clean/config"]);
    }

    #[test]
    fn what_is_no_yaml_is_refused() {
        assert!(differences(TEXT, "name: [").is_err());
    }
}
