//! Variables in values, as compose writes them.
//!
//! They are replaced in scalars after parsing, never in the text before it: places stay right, and a value
//! cannot change the structure of the file.

use super::node::{Node, Value};
use super::{Place, Report};

/// Looks a variable up.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Replaces the variables of every text below `node`. `text` is the file, from which quotes are told.
pub(super) fn expand(node: &mut Node, text: &str, environment: &Environment<'_>, report: &mut Report) {
    let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
    expand_among(node, &lines, environment, report);
}

fn expand_among(node: &mut Node, lines: &[Vec<char>], environment: &Environment<'_>, report: &mut Report) {
    match &mut node.value {
        Value::Text(scalar) if scalar.contains('$') => {
            node.is_hidden = true;
            node.by_name = Some(scalar.clone());
            match replace(scalar, environment) {
                Ok(replaced) if is_quoted(lines, node.place) => *scalar = replaced,
                Ok(replaced) => node.value = Value::Expanded(replaced),
                Err(problem) => {
                    report.error(node.place, problem.message).suggest(problem.help);
                    node.value = Value::Wrong;
                }
            }
        }
        Value::Sequence(items) => items.iter_mut().for_each(|item| expand_among(item, lines, environment, report)),
        Value::Mapping(entries) => {
            entries.iter_mut().for_each(|(_, item)| expand_among(item, lines, environment, report));
        }
        _ => {}
    }
}

/// A text with the values of its variables; whoever has no value for one without a default is told which.
///
/// # Errors
/// In words, what is wrong with a variable.
pub fn with_variables(text: &str, environment: &Environment<'_>) -> Result<String, String> {
    replace(text, environment).map_err(|problem| problem.message)
}

fn is_quoted(lines: &[Vec<char>], place: Place) -> bool {
    let line = lines.get(place.line.saturating_sub(1));
    let letter = line.and_then(|line| line.get(place.column.saturating_sub(1)));
    matches!(letter, Some('"' | '\'' | '|' | '>'))
}

#[derive(Debug)]
struct Problem {
    message: String,
    help: String,
}

/// Replaces `${NAME}`, `${NAME:-default}` and `${NAME:?message}`; `$$` is a `$`. A `$` before anything else
/// stands for itself, because columns such as `$offset` begin with one.
///
/// Problems do not repeat the scalar: what stands around a variable may be a secret.
fn replace(scalar: &str, environment: &Environment<'_>) -> Result<String, Problem> {
    let mut replaced = String::with_capacity(scalar.len());
    let mut rest = scalar;
    while let Some(dollar) = rest.find('$') {
        replaced.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            replaced.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let (expression, after) = after.split_once('}').ok_or_else(|| Problem {
                message: "`${` is not closed here".to_owned(),
                help: "write `${NAME}`, or `$${` for the characters themselves".to_owned(),
            })?;
            replaced.push_str(&evaluate(expression, environment)?);
            rest = after;
        } else {
            replaced.push('$');
        }
    }
    replaced.push_str(rest);
    Ok(replaced)
}

fn evaluate(expression: &str, environment: &Environment<'_>) -> Result<String, Problem> {
    let end = expression.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let (name, rule) = expression.split_at(end.unwrap_or(expression.len()));
    let filled = || environment(name).filter(|value| !value.is_empty());
    if name.is_empty() {
        Err(malformed())
    } else if rule.is_empty() {
        environment(name).ok_or_else(|| Problem {
            message: format!("the environment variable `{name}` is not set"),
            help: format!("set it, or give a default: `${{{name}:-default}}`"),
        })
    } else if let Some(default) = rule.strip_prefix(":-") {
        Ok(filled().unwrap_or_else(|| default.to_owned()))
    } else if let Some(message) = rule.strip_prefix(":?") {
        filled().ok_or_else(|| Problem {
            message: format!("the environment variable `{name}` is not set or empty: {message}"),
            help: format!("set `{name}`"),
        })
    } else {
        Err(malformed())
    }
}

fn malformed() -> Problem {
    Problem {
        message: "what stands in `${…}` is not a variable".to_owned(),
        help: "write `${NAME}`, `${NAME:-default}` or `${NAME:?message}`".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(scalar: &str) -> Result<String, String> {
        let environment = |name: &str| match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        replace(scalar, &environment).map_err(|problem| problem.message)
    }

    #[test]
    fn variables_are_replaced_as_compose_does() {
        assert_eq!(replaced("a ${SET} b").unwrap(), "a value b");
        assert_eq!(replaced("${EMPTY}").unwrap(), "");
        assert_eq!(replaced("${SET:-x}/${EMPTY:-x}/${UNSET:-http://y:1}").unwrap(), "value/x/http://y:1");
        assert_eq!(replaced("$${SET} $$ $offset ${SET:?needed}").unwrap(), "${SET} $ $offset value");
    }

    #[test]
    fn a_variable_that_is_missing_or_misspelt_is_an_error() {
        assert!(replaced("${UNSET}").unwrap_err().contains("`UNSET` is not set"));
        assert!(replaced("${EMPTY:?the broker}").unwrap_err().contains("the broker"));
        assert!(replaced("${SET").unwrap_err().contains("not closed"));
        assert!(replaced("${}").unwrap_err().contains("not a variable"));
        assert!(replaced("${SET+x}").unwrap_err().contains("not a variable"));
    }
}
