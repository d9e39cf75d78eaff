use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int64Array};
use azenha_model::plan::{Format, OutputColumn, TimeFormat, TopicOutput};
use azenha_model::relation::{JoinKind, RelatedTable};
use azenha_model::{DataType, Fetched, Records};
use fastrand::Rng;

use super::*;
use crate::exchange::{Sender, seal};
use crate::relation::row_codec;
use crate::state::{Restored, restore};
use crate::watermark::Progress;

const CHANGELOG: &str = "changelog";
const OUTPUT: &str = "found";

fn number(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

fn lookup(kind: JoinKind) -> Lookup {
    let (by, fields) = (vec!["id".to_owned()], vec![number("price")]);
    let (name, origin) = ("products".to_owned(), "products".to_owned());
    Lookup {
        step: "priced".to_owned(),
        stream: vec![number("click"), number("product")],
        by: vec![1],
        table: RelatedTable { name, origin, by, fields, versions: 1 },
        kind,
        is_timed: false,
    }
}

fn open(lookup: &Lookup, changelog: &[Vec<u8>]) -> (LookupEnd, usize) {
    let mut restored = Restored::default();
    restore(&mut restored, changelog.iter().map(Vec::as_slice)).unwrap();
    let position = restored.header.as_ref().map_or(0, |header| header.position as usize);
    let column = |(input, field)| OutputColumn { input, field, time_format: TimeFormat::Micros };
    let columns = lookup.output().into_iter().enumerate().map(column).collect();
    let output = TopicOutput { topic: OUTPUT.to_owned(), format: Format::Json, columns, key: vec![] };
    let end = LookupEnd::new(
        lookup,
        Related::over(restored.table, vec![1]).unwrap(),
        ReceiverWatermark::new(1),
        vec![TopicWriter::new(&output, 0, (1, 0), 0, None)],
        definition(lookup),
        (CHANGELOG.to_owned(), 0),
        Tap::default(),
    );
    (end.unwrap(), position)
}

fn bytes(values: &[Option<i64>]) -> Vec<u8> {
    let fields: Vec<Field> = values.iter().map(|_| number("any")).collect();
    let columns: Vec<ArrayRef> =
        values.iter().map(|value| Arc::new(Int64Array::from(vec![*value])) as ArrayRef).collect();
    row_codec(&fields).unwrap().convert_columns(&columns).unwrap().row(0).data().to_vec()
}

fn message(cargo: Cargo, key: &[u8], payload: Vec<u8>) -> Vec<u8> {
    let sender = Sender { partition: 0, progress: Progress::Idle, from: 0, through: 0 };
    seal(sender, Progress::Idle, cargo, &[Parcel { key: key.into(), payload, rows: 1 }]).unwrap().remove(0)
}

/// A price that changes, or a click, in the order of the topic; and what must come out of the clicks.
fn events(kind: JoinKind, random: &mut Rng) -> (Vec<Vec<u8>>, Vec<String>) {
    let (mut prices, mut messages, mut expected) = (BTreeMap::new(), Vec::new(), Vec::new());
    for number in 0..120 {
        let product = random.i64(0..4);
        let key = bytes(&[Some(product)]);
        if random.bool() {
            let price = random.bool().then(|| random.i64(0..1_000));
            let row = price.map(|price| bytes(&[Some(price)]));
            let version = crate::relation::Version::of(number);
            messages.push(message(
                Cargo::Changes,
                &key,
                Sent { table: 0, version, key: &key, row: row.as_deref() }.write(),
            ));
            match price {
                Some(price) => prices.insert(product, price),
                None => prices.remove(&product),
            };
            continue;
        }
        // One in ten names no product.
        let product = Some(product).filter(|_| random.u8(0..10) > 0);
        let row = bytes(&[Some(number as i64), product]);
        let row = StreamRow { timestamp: number as i64, event_time: NO_TIME, watermark: NO_TIME, row: &row };
        messages.push(message(Cargo::Rows, &bytes(&[product]), row.write()));
        let price = product.and_then(|product| prices.get(&product).copied());
        if price.is_some() || kind == JoinKind::Left {
            let json = |value: Option<i64>| value.map_or("null".to_owned(), |value| value.to_string());
            expected.push(format!(r#"{{"click":{number},"product":{},"price":{}}}"#, json(product), json(price)));
        }
    }
    (messages, expected)
}

fn source(messages: &[Vec<u8>], from: usize, to: usize) -> Source {
    let offsets = (from..to).map(|offset| offset as u64).collect();
    let records = Records::unkeyed(BinaryArray::from_iter_values(&messages[from..to]), 0);
    Source::new("exchange".into(), 0, Fetched { offsets, records, next: to as u64 })
}

fn run(seed: u64, kind: JoinKind) {
    let mut random = Rng::with_seed(seed);
    let (messages, expected) = events(kind, &mut random);
    let lookup = lookup(kind);
    let (mut changelog, mut found) = (Vec::new(), Vec::new());
    let (mut end, mut position) = open(&lookup, &changelog);
    let mut committed = position;
    let dead = &mut DeadLetters::new("test".into(), 0, false);
    while committed < messages.len() {
        match random.u8(0..10) {
            0 => (end, position) = open(&lookup, &changelog),
            1..4 => {
                let (from, to) = (committed as u64, position as u64);
                let moment =
                    Moment { from, position: to, event_time: NO_TIME, watermark: NO_TIME, idle: false, timestamp: 0 };
                for append in end.commit(&moment, dead).unwrap().appends {
                    let values = append.records.values.iter().flatten().map(<[u8]>::to_vec);
                    if append.topic == OUTPUT { found.extend(values) } else { changelog.extend(values) }
                }
                committed = position;
            }
            _ => {
                let next = random.usize(position..=messages.len());
                let source = source(&messages, position, next);
                (0..next - position).for_each(|record| end.message(&source, record as u32, dead).unwrap());
                position = next;
            }
        }
    }
    let found: Vec<String> = found.into_iter().map(|value| String::from_utf8(value).unwrap()).collect();
    assert_eq!(found, expected, "seed {seed}");
    assert!(dead.is_empty());
}

#[test]
fn wherever_a_lane_dies_each_row_finds_once_what_stood_there_when_it_came() {
    for seed in 0..500 {
        run(seed, JoinKind::Left);
        run(seed, JoinKind::Inner);
    }
}
