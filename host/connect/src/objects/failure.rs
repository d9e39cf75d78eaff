//! Failures of remote object stores: what passes by itself, told apart from what a person must change.

use std::error::Error as StdError;

use azenha_engine::store::StoreError;
use object_store::Error;
use object_store::client::HttpError;
use reqwest::StatusCode;

/// The codes with which S3, Google and Azure say that there is no bucket.
const MISSING_BUCKET: [&str; 2] = ["NoSuchBucket", "ContainerNotFound"];

/// What a failure means for whoever asked.
enum Meaning {
    /// A person must act.
    Definition(String),
    /// It passes by itself.
    Unavailable(String),
}

/// A failure as the engine has it. `doing` says what was being done, such as "reading `a/b`".
pub fn failure(connection: &str, doing: &str, error: &Error) -> StoreError {
    let what = format!("connection `{connection}`: {doing}");
    match meaning(error) {
        Meaning::Definition(reason) => StoreError::Definition(format!("{what}: {reason}")),
        Meaning::Unavailable(reason) => StoreError::Unavailable { what, source: reason.into() },
    }
}

/// Whether there is no bucket, rather than no object in it.
pub fn is_missing_bucket(error: &Error) -> bool {
    let said = root(error);
    let Some((StatusCode::NOT_FOUND, body)) = answer(&said) else { return false };
    code(body).is_some_and(|code| MISSING_BUCKET.contains(&code))
}

fn meaning(error: &Error) -> Meaning {
    if let Some(error) = found::<HttpError>(error) {
        return Meaning::Unavailable(root(error));
    }
    let said = root(error);
    match (answer(&said), error) {
        (Some((status, body)), _) => answered(status, code(body)),
        (None, Error::InvalidPath { .. } | Error::NotSupported { .. } | Error::NotImplemented { .. }) => {
            Meaning::Definition(said)
        }
        (None, _) => Meaning::Unavailable(said),
    }
}

/// The status and the body of the answer that a cause tells of. The client has types for both, which it keeps to
/// itself: its words are all that can be had. The tests of the conformance suite see the ones that matter.
fn answer(said: &str) -> Option<(StatusCode, &str)> {
    if said.starts_with("Received redirect without LOCATION") {
        return Some((StatusCode::MOVED_PERMANENTLY, ""));
    }
    if let Some(body) = said.strip_prefix("Server returned error response: ") {
        return Some((StatusCode::OK, body));
    }
    let answer = said.strip_prefix("Server returned non-2xx status code: ")?;
    let (status, body) = answer.split_once(": ")?;
    Some((status.get(..3)?.parse().ok()?, body))
}

/// What an answer means. Its body is not repeated: a store may put there what it was sent.
fn answered(status: StatusCode, code: Option<&str>) -> Meaning {
    let said = code.map_or_else(|| status.to_string(), |code| format!("{code}, {status}"));
    match (status, code) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => Meaning::Definition(format!(
            "the store does not let us in ({said}): check the keys of the connection in the host's configuration, and \
             that they may list, read and write here"
        )),
        (StatusCode::NOT_FOUND, Some(code)) if MISSING_BUCKET.contains(&code) => {
            Meaning::Definition("there is no such bucket; `azenha init` makes what a pipeline needs".to_owned())
        }
        (StatusCode::BAD_REQUEST, Some("AuthorizationHeaderMalformed")) | (_, Some("PermanentRedirect")) => {
            elsewhere(&said)
        }
        _ if status.is_redirection() => elsewhere(&said),
        // A part that is not there any more: the object was replaced while it was read.
        (StatusCode::RANGE_NOT_SATISFIABLE, _)
        | (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT, _)
        | (StatusCode::BAD_REQUEST, Some("RequestTimeout"))
        | (_, Some("NoSuchUpload")) => Meaning::Unavailable(format!("the store answers {said}")),
        (StatusCode::NOT_IMPLEMENTED, _) => Meaning::Definition(format!("the store cannot do this ({said})")),
        _ if status.is_server_error() || status.is_success() => {
            Meaning::Unavailable(format!("the store answers {said}"))
        }
        _ => Meaning::Definition(format!("the store refuses this ({said})")),
    }
}

fn elsewhere(said: &str) -> Meaning {
    Meaning::Definition(format!(
        "the bucket is elsewhere ({said}): check `region` and `endpoint` of the connection in the host's configuration"
    ))
}

/// The code by which S3, Google and Azure call an error in the body of an answer.
pub fn code(body: &str) -> Option<&str> {
    let (_, rest) = body.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    code.chars().all(|letter| letter.is_ascii_alphanumeric()).then_some(code)
}

fn found<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The cause behind all others: what is before it only says that there was one.
fn root(error: &dyn StdError) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_a_person_must_change() {
        for (status, code, passes) in [
            (503, Some("SlowDown"), true),
            (500, None, true),
            (429, None, true),
            (400, Some("RequestTimeout"), true),
            (416, Some("InvalidRange"), true),
            (200, Some("InternalError"), true),
            (403, Some("SignatureDoesNotMatch"), false),
            (401, None, false),
            (404, Some("NoSuchBucket"), false),
            (301, None, false),
            (400, Some("AuthorizationHeaderMalformed"), false),
            (400, Some("EntityTooLarge"), false),
            (501, None, false),
        ] {
            let meaning = answered(StatusCode::from_u16(status).unwrap(), code);
            assert_eq!(matches!(meaning, Meaning::Unavailable(_)), passes, "{status} {code:?}");
        }
    }

    #[test]
    fn an_answer_is_found_in_the_words_of_the_client() {
        let (status, body) = answer("Server returned non-2xx status code: 404 Not Found: <Code>x</Code>: y").unwrap();
        assert_eq!((status.as_u16(), body), (404, "<Code>x</Code>: y"));
        assert_eq!(answer("Server returned error response: <x/>").unwrap().0, StatusCode::OK);
        assert!(answer("connection refused").is_none());
    }

    #[test]
    fn of_an_answer_only_the_code_is_shown() {
        let body = "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>secret</Message></Error>";
        assert_eq!(code(body), Some("NoSuchKey"));
        assert_eq!(code("<Code><b>secret</b></Code>"), None);
        assert_eq!(code("<html>gone</html>"), None);
    }
}
