//! Bulk requests: many actions, each of which succeeds or fails by itself.

use std::time::{Duration, Instant};

use azenha_engine::store::RefusedRow;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use tokio::time::sleep;

use super::documents::Actions;
use super::http::{Api, Call, Overload, Refusal, Trouble, told};
use crate::store::Failure;

/// The bytes of a request that has more than one action.
const MOST_BYTES: usize = 4 << 20;

/// How long an engine that has more to do than it can may take to find time; and the pauses in between, of which each is
/// twice as long as the one before, unless the engine asks for another.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// What is needed of an answer.
const PARTS: [(&str, &str); 1] = [(
    "filter_path",
    "items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.type,items.*.error.caused_by.reason",
)];

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

#[derive(Debug, Default, Deserialize)]
struct Problem {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    reason: String,
    caused_by: Option<Box<Problem>>,
}

/// What an action's end means.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// The engine has no time for it now, and says why.
    Later(String),
    /// The row is to blame.
    Refused(String),
    /// The index is.
    Definition(String),
    Failed(String),
}

/// What came of a request.
enum Sent {
    /// An outcome for each action.
    Outcomes(Vec<Outcome>),
    /// The engine, or what stands before it, has no time.
    Later(Overload),
    /// It takes no request that large.
    TooLarge,
}

/// Does all actions whose rows the engine takes, and says which it refuses. What was done before is no error: a version
/// that is there already, or a later one.
pub(super) async fn write(api: &Api, actions: &Actions) -> Result<Vec<RefusedRow>, Failure> {
    let mut work = Work { api, actions, refused: Vec::new(), most_bytes: MOST_BYTES };
    let mut open: Vec<usize> = (0..actions.len()).collect();
    let (end, mut pause) = (Instant::now() + PATIENCE, PAUSE);
    loop {
        let Postponed { actions: later, overload } = work.pass(&open).await?;
        if later.is_empty() {
            return Ok(work.refused);
        }
        let now = Instant::now();
        if now > end {
            return Err(Trouble::Busy(overload).into());
        }
        sleep(overload.pause.unwrap_or(pause).min(end - now)).await;
        (pause, open) = (pause * 2, later);
    }
}

/// Actions on their way.
struct Work<'a> {
    api: &'a Api,
    actions: &'a Actions,
    refused: Vec<RefusedRow>,
    /// Bytes of a request that has more than one action: fewer, once one was too large.
    most_bytes: usize,
}

/// Actions that the engine has no time for, and what it says of that.
#[derive(Default)]
struct Postponed {
    actions: Vec<usize>,
    overload: Overload,
}

impl Work<'_> {
    /// Sends every action once, unless the engine has no time for any.
    async fn pass(&mut self, open: &[usize]) -> Result<Postponed, Failure> {
        let mut postponed = Postponed::default();
        let mut rest = open;
        while !rest.is_empty() {
            let sizes: Vec<usize> = rest.iter().map(|action| self.actions.lines(*action).len()).collect();
            let (now, behind) = rest.split_at(fitting(&sizes, self.most_bytes));
            match self.send(now).await? {
                Sent::Outcomes(outcomes) => {
                    for (action, outcome) in now.iter().zip(outcomes) {
                        self.note(*action, outcome, &mut postponed)?;
                    }
                }
                Sent::Later(overload) => {
                    postponed.actions.extend(rest);
                    return Ok(Postponed { overload, ..postponed });
                }
                Sent::TooLarge if now.len() > 1 => {
                    self.most_bytes = sizes[..now.len()].iter().sum::<usize>() / 2;
                    continue;
                }
                Sent::TooLarge => {
                    let reason =
                        format!("its document of {} bytes is larger than what the search engine takes", sizes[0]);
                    self.refused.push(self.actions.refused(now[0], reason));
                }
            }
            rest = behind;
        }
        Ok(postponed)
    }

    fn note(&mut self, action: usize, outcome: Outcome, postponed: &mut Postponed) -> Result<(), Failure> {
        match outcome {
            Outcome::Done => {}
            Outcome::Later(reason) => {
                postponed.actions.push(action);
                postponed.overload = Overload { reason, pause: None };
            }
            Outcome::Refused(reason) => self.refused.push(self.actions.refused(action, reason)),
            Outcome::Definition(reason) => return Err(Failure::Definition(reason)),
            Outcome::Failed(reason) => return Err(Failure::Unavailable(reason.into())),
        }
        Ok(())
    }

    async fn send(&self, now: &[usize]) -> Result<Sent, Failure> {
        let body = now.iter().map(|action| self.actions.lines(*action)).collect::<Vec<_>>().concat();
        let call = Call { body, ..Call::new(Method::POST, &["_bulk"]).with(&PARTS) };
        let answer: Answer = match self.api.call(call).await {
            Err(Trouble::Busy(overload)) => return Ok(Sent::Later(overload)),
            Err(Trouble::Refused(Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, .. })) => return Ok(Sent::TooLarge),
            answer => answer?,
        };
        if answer.items.len() != now.len() {
            return Err(Failure::Unavailable("it answered for other actions than it was sent".into()));
        }
        let outcomes = answer.items.into_iter().map(|(Item::Index(done) | Item::Delete(done))| outcome(done));
        Ok(Sent::Outcomes(outcomes.collect()))
    }
}

/// How many actions of these sizes make one request: at least one.
fn fitting(sizes: &[usize], most_bytes: usize) -> usize {
    let mut bytes = 0;
    let fits = |size: &&usize| {
        bytes += **size;
        bytes <= most_bytes
    };
    sizes.iter().take_while(fits).count().max(1)
}

/// A row is to blame only for what is wrong with its document. Whatever else an engine refuses, it would refuse of every row:
/// an index that is closed or may not be written, shards beyond a limit.
fn outcome(Done { status, error }: Done) -> Outcome {
    let problem = error.unwrap_or_default();
    let told = || told(status, &problem.kind, &problem.reason);
    match status {
        // A delete of what is not there.
        404 if problem.kind.is_empty() => Outcome::Done,
        // This version is there, or a later one.
        200..=299 | 409 => Outcome::Done,
        429 | 503 => Outcome::Later(told()),
        400 | 413 if problem.is_of_document() => Outcome::Refused(problem.refusal()),
        400..=499 => Outcome::Definition(format!("the index cannot be written: {}", told())),
        _ => Outcome::Failed(format!("an action failed: {}", told())),
    }
}

/// The engines' names of what can be wrong with a document. Many versions have one of their own for what cannot be parsed.
const OF_DOCUMENTS: [&str; 2] = ["strict_dynamic_mapping_exception", "max_bytes_length_exceeded_exception"];
const OF_PARSING: [&str; 2] = ["parsing_exception", "parse_exception"];

impl Problem {
    fn is_of_document(&self) -> bool {
        let kind = self.kind.as_str();
        OF_DOCUMENTS.contains(&kind)
            || OF_PARSING.iter().any(|ending| kind.ends_with(ending))
            || self.caused_by.as_ref().is_some_and(|cause| cause.is_of_document())
    }

    /// What is said of a row that is refused: the engine's own words may repeat values, but name the field in brackets.
    fn refusal(&self) -> String {
        match self.field() {
            Some(field) => format!("field `{field}` cannot hold the value ({})", self.kind),
            None => format!("the search engine refuses the document ({})", self.kind),
        }
    }

    fn field(&self) -> Option<&str> {
        let name = |before: &str| Some(self.reason.split_once(before)?.1.split_once([']', '"'])?.0);
        let own = name("field [").or_else(|| name("field=\""));
        own.or_else(|| self.caused_by.as_ref()?.field())
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
        let said = r#"{"index":{"status":400,"error":{"type":"illegal_argument_exception",
            "reason":"Document contains at least one immense term in field=\"name\", prefix 'secret'",
            "caused_by":{"type":"max_bytes_length_exceeded_exception","reason":"bytes can be at most 32766"}}}}"#;
        assert_eq!(
            ended(said),
            Outcome::Refused("field `name` cannot hold the value (illegal_argument_exception)".to_owned())
        );
        let other = Problem { kind: "x_parse_exception".to_owned(), reason: "secret".to_owned(), caused_by: None };
        assert!(!other.refusal().contains("secret"));
    }

    #[test]
    fn what_is_wrong_with_the_index_is_no_rows_fault() {
        for (status, kind, reason) in [
            (400, "index_closed_exception", "closed"),
            (400, "validation_exception", "this action would add [2] shards"),
            (400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded"),
            (403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/8/index write (api)];"),
            (404, "index_not_found_exception", "no such index [x]"),
        ] {
            let item = format!(r#"{{"index":{{"status":{status},"error":{{"type":"{kind}","reason":"{reason}"}}}}}}"#);
            let Outcome::Definition(said) = ended(&item) else { panic!("{item}") };
            assert!(said.contains(kind) && said.contains(reason), "{said}");
        }
        assert!(matches!(ended(r#"{"index":{"status":500}}"#), Outcome::Failed(_)));
    }

    /// It may repeat what it has no time for.
    #[test]
    fn an_engine_without_time_is_asked_again_and_says_why_without_values() {
        let item = r#"{"index":{"status":429,"error":{"type":"es_rejected_execution_exception",
            "reason":"rejected execution of BulkShardRequest [[x][0]] containing [index {[x][1], source[secret]}]"}}}"#;
        let Outcome::Later(said) = ended(item) else { panic!("{item}") };
        assert!(said.contains("[[x][0]]") && said.contains("es_rejected") && !said.contains("secret"), "{said}");
    }

    #[test]
    fn requests_end_with_their_bytes() {
        let fitting = |sizes: &[usize]| super::fitting(sizes, MOST_BYTES);
        assert_eq!(fitting(&[10, MOST_BYTES, 10]), 1);
        assert_eq!(fitting(&[MOST_BYTES - 10, 10, 1]), 2);
        assert_eq!(fitting(&[2 * MOST_BYTES, 1]), 1);
    }
}
