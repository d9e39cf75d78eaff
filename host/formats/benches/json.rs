//! Nanoseconds a record to decode and encode clicks, beside serde_json into and from a struct in the same run.
//! It prints; it does not fail.

#![allow(clippy::unwrap_used)] // a benchmark may end with a panic

use std::hint::black_box;
use std::time::Instant;

use arrow_array::{ArrayRef, BinaryArray};
use azenha_formats::json::{JsonDecoder, JsonEncoder};
use azenha_model::plan::{OutputColumn, StreamColumn, TimeFormat};
use azenha_model::{DataType, Field, Records};
use serde::{Deserialize, Serialize};

const RECORDS: usize = 1000;
const ROUNDS: usize = 100;
const REPEATS: usize = 30;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Click {
    campaign_id: String,
    user_id: String,
    session_id: String,
    event: String,
    timestamp: i64,
    platform: String,
    cohort: String,
    lifecycle: String,
}

/// The same, for what a reader of three fields has to make.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShortClick {
    campaign_id: String,
    event: String,
    timestamp: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BorrowedClick<'a> {
    campaign_id: &'a str,
    user_id: &'a str,
    session_id: &'a str,
    event: &'a str,
    timestamp: i64,
    platform: &'a str,
    cohort: &'a str,
    lifecycle: &'a str,
}

const FIELDS: [&str; 8] =
    ["campaignId", "userId", "sessionId", "event", "timestamp", "platform", "cohort", "lifecycle"];

fn main() {
    let clicks = clicks();
    let values: Vec<Vec<u8>> = clicks.iter().map(|click| serde_json::to_vec(click).unwrap()).collect();
    let records = Records::unkeyed(BinaryArray::from_iter_values(&values), 0);
    println!("{RECORDS} clicks a batch, {} bytes each; ns a record", records.bytes() / RECORDS);

    let columns: Vec<StreamColumn> = FIELDS.into_iter().map(column).collect();
    let all: Vec<usize> = (0..FIELDS.len()).collect();
    let arrays = decode(&columns, &all, &records);
    compare(
        "decode all 8 fields",
        &mut decoding(&columns, &all, &records),
        &mut [
            ("struct of String", &mut || values.iter().for_each(|value| owned(value))),
            ("struct of &str", &mut || values.iter().for_each(|value| borrowed(value))),
        ],
    );
    compare(
        "decode 3 of 8 fields",
        &mut decoding(&columns, &[0, 3, 4], &records),
        &mut [("struct of String", &mut || values.iter().for_each(|value| short(value)))],
    );

    let outputs: Vec<OutputColumn> = columns.iter().enumerate().map(output).collect();
    let mut keyed = JsonEncoder::new(&outputs, &[0]);
    let mut unkeyed = JsonEncoder::new(&outputs, &[]);
    compare(
        "encode all 8 fields",
        &mut || drop(black_box(unkeyed.encode(&arrays, RECORDS, None))),
        &mut [("one buffer", &mut || serialize(&clicks)), ("a Vec each", &mut || serialize_each(&clicks))],
    );
    compare("encode with a key", &mut || drop(black_box(keyed.encode(&arrays, RECORDS, None))), &mut []);
}

fn clicks() -> Vec<Click> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut pick = |choices: &[&str]| choices[random.usize(..choices.len())].to_owned();
    let click = |index: usize| Click {
        campaign_id: pick(&["paid_search", "email", "social_ads", "organic", "affiliate_north"]),
        user_id: format!("user_{:04}", index * 7919 % 2000),
        session_id: format!("sess_{:06}", index / 5),
        event: pick(&["home", "search", "promo_page", "product", "add_to_cart", "checkout", "purchase"]),
        timestamp: 1_704_368_738_000 + index as i64 * 1_137,
        platform: pick(&["tablet", "desktop", "mobile"]),
        cohort: pick(&["2023-12", "2024-01"]),
        lifecycle: pick(&["new", "returning", "loyal"]),
    };
    (0..RECORDS).map(click).collect()
}

fn column(name: &str) -> StreamColumn {
    let data_type = if name == "timestamp" { DataType::Timestamp } else { DataType::Text };
    let field = Field::new(name, data_type, false);
    StreamColumn { field, path: vec![name.to_owned()], time_format: TimeFormat::Millis }
}

fn output((input, column): (usize, &StreamColumn)) -> OutputColumn {
    OutputColumn { input, field: column.field.clone(), time_format: TimeFormat::Millis }
}

fn decode(columns: &[StreamColumn], needed: &[usize], records: &Records) -> Vec<ArrayRef> {
    let decoded = JsonDecoder::new(columns, needed, &[]).decode(records);
    assert!(decoded.rejected.is_empty());
    decoded.columns.into_iter().flatten().collect()
}

fn decoding(columns: &[StreamColumn], needed: &[usize], records: &Records) -> impl FnMut() {
    let mut decoder = JsonDecoder::new(columns, needed, &[]);
    move || drop(black_box(decoder.decode(records)))
}

fn owned(value: &[u8]) {
    drop(black_box(serde_json::from_slice::<Click>(value).unwrap()));
}

fn borrowed(value: &[u8]) {
    let click: BorrowedClick = serde_json::from_slice(value).unwrap();
    let _ = black_box((click.campaign_id, click.user_id, click.session_id, click.event, click.timestamp));
    let _ = black_box((click.platform, click.cohort, click.lifecycle));
}

fn short(value: &[u8]) {
    let click: ShortClick = serde_json::from_slice(value).unwrap();
    black_box((click.campaign_id, click.event, click.timestamp));
}

fn serialize(clicks: &[Click]) {
    let mut out = Vec::new();
    clicks.iter().for_each(|click| serde_json::to_writer(&mut out, click).unwrap());
    black_box(out);
}

fn serialize_each(clicks: &[Click]) {
    clicks.iter().for_each(|click| drop(black_box(serde_json::to_vec(click).unwrap())));
}

/// Prints our time and each peer's, and how ours compares. The best of some repeats counts, and they take turns,
/// because others use the machine too.
fn compare(what: &str, ours: &mut dyn FnMut(), peers: &mut [(&str, &mut dyn FnMut())]) {
    let mut best = f64::INFINITY;
    let mut theirs = vec![f64::INFINITY; peers.len()];
    for _ in 0..REPEATS {
        best = best.min(nanoseconds(ours));
        for ((_, run), best) in peers.iter_mut().zip(&mut theirs) {
            *best = best.min(nanoseconds(run));
        }
    }
    println!("{what:<22} {best:>6.1}");
    for ((peer, _), theirs) in peers.iter().zip(theirs) {
        println!("  serde_json, {peer:<18} {theirs:>6.1}   ratio {:.2}", best / theirs);
    }
}

/// The time a record.
fn nanoseconds(run: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| run());
    start.elapsed().as_nanos() as f64 / (ROUNDS * RECORDS) as f64
}
