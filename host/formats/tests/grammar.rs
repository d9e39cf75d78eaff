//! The decoder takes what serde_json takes, and nothing else; and no record is lost.

#![allow(clippy::unwrap_used)] // tests fail by panics

mod common;

use azenha_model::DataType;
use azenha_model::plan::StreamColumn;
use common::{column, decode, nullable};
use fastrand::Rng;
use serde_json::Value;

const SEED: u64 = 20_240_104;

/// A random JSON text, nested at most `depth` deep.
fn document(random: &mut Rng, depth: usize) -> String {
    let space = ["", "", " ", "\n", "\t\r "][random.usize(..5)];
    let value = match random.usize(..if depth == 0 { 5 } else { 7 }) {
        0 => ["null", "true", "false"][random.usize(..3)].to_owned(),
        1 => random.i64(..).to_string(),
        2 => number(random),
        3 | 4 => string(random),
        5 => {
            let elements: Vec<String> = (0..random.usize(..4)).map(|_| document(random, depth - 1)).collect();
            format!("[{space}{}{space}]", elements.join(","))
        }
        _ => object(random, depth - 1, space),
    };
    format!("{space}{value}{space}")
}

fn object(random: &mut Rng, depth: usize, space: &str) -> String {
    let member = |_| format!("{space}{}{space}:{}", string(random), document(random, depth));
    let members: Vec<String> = (0..3).map(member).collect();
    format!("{{{}}}", members.join(","))
}

/// A number whose exponent any reader has room for.
fn number(random: &mut Rng) -> String {
    let exponents = ["", "e5", "E-12", "e+0"];
    let fraction = ["", ".0", ".125"][random.usize(..3)];
    format!("{}{fraction}{}", random.i16(..), exponents[random.usize(..4)])
}

fn string(random: &mut Rng) -> String {
    let pieces = [
        "a",
        "longer text",
        "é",
        "😀",
        r"\n",
        r#"\""#,
        r"\\",
        r"\u00e9",
        r"\ud83d\ude00",
        " ",
        "{",
        "]",
        ":",
        "\u{7f}",
    ];
    let text: String = (0..random.usize(..5)).map(|_| pieces[random.usize(..pieces.len())]).collect();
    format!("\"{text}\"")
}

/// The text with a few bytes changed, taken away, put in or repeated.
fn mutated(random: &mut Rng, text: &[u8]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..bytes.len().max(1));
        match random.usize(..6) {
            _ if bytes.is_empty() => bytes.push(b'{'),
            0 => bytes[at] = random.u8(..),
            1 => bytes[at] = b"{}[]\",:\\0-.eut \n\x00\x1f"[random.usize(..18)],
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, b"{}[]\",:\\0-.eut \n\x00\x1f"[random.usize(..18)]),
            4 => bytes.truncate(at),
            _ => bytes.extend_from_within(at..),
        }
    }
    bytes
}

fn whole() -> [StreamColumn; 1] {
    [nullable(column("v", DataType::Json))]
}

/// Whether a record is JSON as far as the decoder is concerned.
fn accepted(record: &[u8]) -> bool {
    let decoded = decode(&whole(), &[record]);
    decoded.rejected.iter().all(|refused| !refused.reason.starts_with("not ") && !refused.reason.starts_with("nested"))
}

/// Whether serde_json takes it. It also refuses numbers beyond 64-bit floats, which are JSON nevertheless.
fn is_json(record: &[u8]) -> bool {
    match serde_json::from_slice::<Value>(record) {
        Ok(_) => true,
        Err(error) => {
            error.to_string().starts_with("number out of range")
                && serde_json::from_slice::<serde::de::IgnoredAny>(record).is_ok()
        }
    }
}

#[test]
fn random_documents_and_their_mutations_are_taken_exactly_when_serde_json_takes_them() {
    let mut random = Rng::with_seed(SEED);
    let mut taken = 0;
    for round in 0..20_000 {
        let record = format!("{{\"v\":{},\"w\":{}}}", document(&mut random, 4), document(&mut random, 2));
        assert!(accepted(record.as_bytes()), "round {round}: {record}");
        let mutation = mutated(&mut random, record.as_bytes());
        let expected = is_json(&mutation);
        taken += u32::from(expected);
        assert_eq!(accepted(&mutation), expected, "round {round}: {}", mutation.escape_ascii());
    }
    assert!((1000..19_000).contains(&taken), "the mutations are of both sorts, but {taken} of 20000 are JSON");
}

#[test]
fn a_json_column_holds_the_same_value_as_the_record() {
    let mut random = Rng::with_seed(SEED);
    for _ in 0..2000 {
        let record = format!("{{\"x\":{},\"v\":{}}}", document(&mut random, 2), document(&mut random, 4));
        let expected = &serde_json::from_str::<Value>(&record).unwrap()["v"];
        let decoded = decode(&whole(), &[&record]);
        let array = decoded.columns[0].as_ref().unwrap();
        let text = arrow_array::cast::AsArray::as_string::<i32>(array).iter().next().unwrap().unwrap_or("null");
        assert_eq!(&serde_json::from_str::<Value>(text).unwrap(), expected);
    }
}

#[test]
fn nesting_is_taken_as_deep_as_serde_json_takes_it() {
    for depth in [1, 125, 126, 127, 128, 100_000] {
        for (open, close) in [("[", "]"), ("{\"v\":", "}")] {
            let record = format!("{{\"v\":{}0{}}}", open.repeat(depth), close.repeat(depth));
            assert_eq!(accepted(record.as_bytes()), is_json(record.as_bytes()), "{depth} of {open}");
        }
    }
}

const FIELDS: [&str; 8] =
    ["campaignId", "userId", "sessionId", "event", "timestamp", "platform", "cohort", "lifecycle"];

fn click(random: &mut Rng) -> Vec<u8> {
    let value = |name: &&str, number: u32| match *name {
        "timestamp" => format!("\"timestamp\":{}", 1_704_368_738_000 + i64::from(number)),
        name => format!("\"{name}\":\"{name}_{number}\""),
    };
    let members: Vec<String> = FIELDS.iter().map(|name| value(name, random.u32(..10_000))).collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

#[test]
fn ten_thousand_mutated_clicks_are_rows_or_refused() {
    let data_type = |name| if name == "timestamp" { DataType::Timestamp } else { DataType::Text };
    let columns: Vec<StreamColumn> = FIELDS.iter().map(|name| column(name, data_type(*name))).collect();
    let mut random = Rng::with_seed(SEED);
    let (mut rows, mut rejected) = (0, 0);
    for _ in 0..100 {
        let record = |_| {
            let click = click(&mut random);
            if random.bool() { mutated(&mut random, &click) } else { click }
        };
        let records: Vec<Vec<u8>> = (0..100).map(record).collect();
        let decoded = decode(&columns, &records);
        let mut seen: Vec<u32> =
            decoded.rows.iter().copied().chain(decoded.rejected.iter().map(|refused| refused.record)).collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..100), "each record is a row or refused, and only once");
        for record in &decoded.rows {
            assert!(serde_json::from_slice::<Value>(&records[*record as usize]).is_ok());
        }
        rows += decoded.rows.len();
        rejected += decoded.rejected.len();
    }
    assert_eq!(rows + rejected, 10_000);
    assert!(rows > 5000 && rejected > 2500, "{rows} rows, {rejected} refused");
}
