//! Requests, read by the query of a pipeline file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, reason = "a test fails by panicking")]

mod common;

use azenha_model::query::{Asked, Query, Refusal, Request, Value};

const NOON: i64 = 1_769_860_800_000_000;

fn query() -> Query {
    let text = include_str!("plans/queries.yaml");
    common::resolve("queries.yaml", text).unwrap_or_else(|errors| panic!("{errors}")).queries.swap_remove(0)
}

fn read(campaign: &str, pairs: &[(&str, &str)]) -> Result<Asked, Refusal> {
    let pairs: Vec<(String, String)> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    query().read(Request { path: &[campaign.to_owned()], pairs: &pairs, now: NOON })
}

#[test]
fn what_a_request_leaves_out_has_its_default_or_is_null() {
    let quarter = Value::Timestamp(NOON - 900_000_000);
    let expected =
        Asked { arguments: vec![Value::Text("spring".to_owned()), quarter, Value::Null], limit: 20, cursor: None };
    assert_eq!(read("spring", &[]), Ok(expected));
}

#[test]
fn what_a_request_says_is_taken() {
    let pairs = [("limit", "100"), ("cursor", "abc"), ("text", "a%"), ("since", "2026-01-31T11:59:59-00:00")];
    let asked = read("", &pairs).unwrap();
    let since = Value::Timestamp(NOON - 1_000_000);
    assert_eq!(asked.arguments, [Value::Text(String::new()), since, Value::Text("a%".to_owned())]);
    assert_eq!((asked.limit, asked.cursor.as_deref()), (100, Some("abc")));
}

#[test]
fn what_is_wrong_is_refused_with_what_would_be_right() {
    for (pairs, help) in [
        (vec![("limit", "0")], "1 to 100"),
        (vec![("limit", "101")], "1 to 100"),
        (vec![("limit", "ten")], "1 to 100"),
        (vec![("since", "2023-12-31T23:59:59Z")], "at least 2024-01-01T00:00:00Z"),
        (vec![("since", "now-36500d")], "at least 2024"),
        (vec![("since", "now-99999999999999d")], "now-15m"),
        (vec![("text", "a\0")], "NUL"),
        (vec![("texd", "a")], "did you mean `text`?"),
        (vec![("text", "a"), ("text", "b")], "once"),
        (vec![("campaign", "spring")], "parameters are"),
    ] {
        let Refusal { message, help: found } = read("spring", &pairs).expect_err("it is wrong");
        assert!(found.contains(help), "{pairs:?}: {message}; {found}");
        assert!(!message.contains("2023") && !message.contains("ten"), "values are not repeated: {message}");
    }
    assert!(read(&"x".repeat(41), &[]).unwrap_err().help.contains("40"));
}
