//! Bulk requests: many actions, each of which succeeds or fails by itself.

use std::time::{Duration, Instant};

use azenha_engine::store::RefusedRow;
use reqwest::Method;
use serde::Deserialize;

use super::documents::Actions;
use super::http::{Api, Call, Trouble};
use crate::store::Failure;

/// The bytes of a request that has more than one action.
const MOST_BYTES: usize = 4 << 20;

/// How long an engine that has more to do than it can may take to find time; and the pauses in between, of which each is
/// twice as long as the one before.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// What is needed of an answer.
const PARTS: [(&str, &str); 1] = [("filter_path", "items.*.status,items.*.error.type,items.*.error.reason")];

#[derive(Debug, Default, Deserialize)]
struct Answer {
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Item {
    Index(Done),
    Delete(Done),
}

/// How an action ended.
#[derive(Debug, Deserialize)]
struct Done {
    status: u16,
    error: Option<Problem>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    reason: String,
}

/// What an action's end means.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// The engine has no time for it now.
    Later,
    /// The row is to blame.
    Refused(String),
    /// The index is.
    Definition(String),
    Failed(String),
}

/// Does all actions whose rows the engine takes, and says which it refuses. What was done before is no error: a version
/// that is there already, or a later one.
pub(super) async fn write(api: &Api, actions: &Actions) -> Result<Vec<RefusedRow>, Failure> {
    let (mut refused, mut open): (Vec<RefusedRow>, Vec<usize>) = (Vec::new(), (0..actions.len()).collect());
    let (end, mut pause) = (Instant::now() + PATIENCE, PAUSE);
    loop {
        let mut later = Vec::new();
        let mut rest = &open[..];
        while !rest.is_empty() {
            let (now, behind) = rest.split_at(fitting(rest.iter().map(|action| actions.lines(*action).len())));
            let outcomes = send(api, now.iter().map(|action| actions.lines(*action))).await?;
            for (action, outcome) in now.iter().zip(outcomes) {
                match outcome {
                    Outcome::Done => {}
                    Outcome::Later => later.push(*action),
                    Outcome::Refused(reason) => refused.push(actions.refused(*action, reason)),
                    Outcome::Definition(reason) => return Err(Failure::Definition(reason)),
                    Outcome::Failed(reason) => return Err(Failure::Unavailable(reason.into())),
                }
            }
            rest = behind;
        }
        if later.is_empty() {
            return Ok(refused);
        }
        if Instant::now() > end {
            return Err(Trouble::Busy.into());
        }
        tokio::time::sleep(pause).await;
        (pause, open) = (pause * 2, later);
    }
}

/// How many actions of these sizes make one request: at least one.
fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fits = |size: &usize| {
        bytes += size;
        bytes <= MOST_BYTES
    };
    sizes.take_while(fits).count().max(1)
}

/// An outcome for each action.
async fn send<'a>(api: &Api, lines: impl ExactSizeIterator<Item = &'a [u8]>) -> Result<Vec<Outcome>, Failure> {
    let count = lines.len();
    let body = lines.collect::<Vec<_>>().concat();
    let call = Call { body, ..Call::new(Method::POST, &["_bulk"]).with(&PARTS) };
    let answer: Answer = match api.call(call).await {
        Err(Trouble::Busy) => return Ok((0..count).map(|_| Outcome::Later).collect()),
        answer => answer?,
    };
    if answer.items.len() != count {
        return Err(Failure::Unavailable("it answered for other actions than it was sent".into()));
    }
    Ok(answer.items.into_iter().map(|(Item::Index(done) | Item::Delete(done))| outcome(done)).collect())
}

fn outcome(Done { status, error }: Done) -> Outcome {
    let Problem { kind, reason } = error.unwrap_or(Problem { kind: String::new(), reason: String::new() });
    match status {
        // A delete of what is not there.
        404 if kind.is_empty() => Outcome::Done,
        // This version is there, or a later one.
        200..=299 | 409 => Outcome::Done,
        429 | 503 => Outcome::Later,
        400 | 413 => Outcome::Refused(refusal(&kind, &reason)),
        401 | 403 | 404 => Outcome::Definition(format!("the index cannot be written ({kind}, {status})")),
        _ => Outcome::Failed(format!("an action failed ({kind}, {status})")),
    }
}

/// What is said of a row that is refused: the engine's own words may repeat values, but name the field in brackets.
fn refusal(kind: &str, reason: &str) -> String {
    let name = |before: &str| Some(reason.split_once(before)?.1.split_once([']', '"'])?.0);
    match name("field [").or_else(|| name("field=\"")) {
        Some(field) => format!("field `{field}` cannot hold the value ({kind})"),
        None => format!("the search engine refuses the document ({kind})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(item: &str) -> Outcome {
        match serde_json::from_str(item).unwrap() {
            Item::Index(done) | Item::Delete(done) => outcome(done),
        }
    }

    #[test]
    fn what_is_there_already_is_done_and_what_is_not_there_is_deleted() {
        assert_eq!(ended(r#"{"index":{"status":201}}"#), Outcome::Done);
        assert_eq!(ended(r#"{"delete":{"status":404}}"#), Outcome::Done);
        assert_eq!(
            ended(r#"{"index":{"status":409,"error":{"type":"version_conflict_engine_exception"}}}"#),
            Outcome::Done
        );
    }

    #[test]
    fn a_refusal_names_the_field_and_no_value() {
        let said = r#"{"index":{"status":400,"error":{"type":"document_parsing_exception",
            "reason":"[1:9] failed to parse field [at] of type [date] in document with id 'x'. Preview: 'secret'"}}}"#;
        let Outcome::Refused(reason) = ended(said) else { panic!("{said}") };
        assert_eq!(reason, "field `at` cannot hold the value (document_parsing_exception)");
        assert!(!refusal("other_exception", "secret").contains("secret"));
    }

    #[test]
    fn an_engine_without_time_is_asked_again_and_an_index_that_is_gone_is_for_a_person() {
        let error = r#""error":{"type":"es_rejected_execution_exception","reason":""}"#;
        assert_eq!(ended(&format!(r#"{{"index":{{"status":429,{error}}}}}"#)), Outcome::Later);
        let error = r#""error":{"type":"index_not_found_exception","reason":""}"#;
        assert!(matches!(ended(&format!(r#"{{"index":{{"status":404,{error}}}}}"#)), Outcome::Definition(_)));
        assert!(matches!(ended(r#"{"index":{"status":500}}"#), Outcome::Failed(_)));
    }

    #[test]
    fn requests_end_with_their_bytes() {
        assert_eq!(fitting([10, MOST_BYTES, 10].into_iter()), 1);
        assert_eq!(fitting([MOST_BYTES - 10, 10, 1].into_iter()), 2);
        assert_eq!(fitting([2 * MOST_BYTES, 1].into_iter()), 1);
    }
}
