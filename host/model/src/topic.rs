//! What topics may be called: what Kafka takes, and what is nobody else's already.

use crate::plan::{DEAD_LETTERS_SUFFIX, INTERNAL_PREFIX};

/// The most characters that Kafka takes in a topic's name.
pub const LONGEST: usize = 249;

/// What names of topics may hold beside letters and digits.
pub(crate) const IN_TOPICS: &str = "_-.";

/// Why a topic of a user cannot have a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TopicNameError {
    /// What is wrong with the name.
    pub message: String,
    /// What would be right.
    pub help: String,
}

/// Checks the name of a topic that a user reads or writes.
///
/// # Errors
/// If Kafka takes no such name, or topics of that name are written only by hosts or by what runs beside Kafka.
pub fn check_name(name: &str) -> Result<(), TopicNameError> {
    const ANOTHER: &str = "choose another name";
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || IN_TOPICS.contains(letter);
    let (message, help) = if name.is_empty() || !name.chars().all(is_allowed) {
        (format!("a topic cannot be called `{name}`"), format!("write letters, digits and any of `{IN_TOPICS}`"))
    } else if name.len() > LONGEST {
        (too_long(name.len()), "choose a shorter name".to_owned())
    } else if [".", ".."].contains(&name) {
        (format!("a topic cannot be called `{name}`"), "write letters or digits beside the dots".to_owned())
    } else if name.starts_with(INTERNAL_PREFIX) {
        (format!("topics that begin with `{INTERNAL_PREFIX}` are internal"), ANOTHER.to_owned())
    } else if name.starts_with("__") || name == "_schemas" {
        (format!("topic `{name}` is Kafka's or its registry's own"), ANOTHER.to_owned())
    } else if name.ends_with(DEAD_LETTERS_SUFFIX) {
        let message = format!("topics that end with `{DEAD_LETTERS_SUFFIX}` hold dead letters");
        (message, format!("{ANOTHER}: only the host writes those"))
    } else {
        return Ok(());
    };
    Err(TopicNameError { message, help })
}

/// What to say of a name that has so many characters.
pub(crate) fn too_long(characters: usize) -> String {
    format!("this topic's name has {characters} characters, more than {LONGEST}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_kafka_takes_and_nobody_else_has() {
        let longest = "x".repeat(LONGEST);
        for right in ["clicks", "a.b-c_d", "_clicks", "...", "azenha", &longest] {
            assert_eq!(check_name(right), Ok(()), "{right}");
        }
        let too_long = "x".repeat(LONGEST + 1);
        let wrong = ["", ".", "..", "a b", "ä", "a/b", "__consumer_offsets", "_schemas", "azenha.x", "x.dead_letters"];
        for wrong in wrong.into_iter().chain([too_long.as_str()]) {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
    }
}
