//! Events that were damaged at random: each is a row or refused, and its neighbours do not notice.

use azenha_formats::Decoder;
use fastrand::Rng;

use super::avro::{self, AVRO, KEY, VALUE, schema};
use super::kinds::{COLUMNS, DOUBLE, NANOS, PLAIN, SCHEMAS, STRING};
use super::recorded::{self, CUSTOMERS, lines};
use super::{JSON, decode, outcome, outcomes, stream, upsert};

type Owned = [Option<Vec<u8>>; 2];

/// Bytes that mean something in JSON, Avro or base64.
const TELLING: &[u8] = b"{}[]\",:\\0123456789.eE+-ntf=\x00\x01\x02\x7f\x80\xff";

fn mutated(original: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..=bytes.len());
        let end = (at + random.usize(..40)).min(bytes.len());
        match random.u8(..6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.extend_from_within(at..end),
            3 => bytes.insert(at, TELLING[random.usize(..TELLING.len())]),
            4 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            _ if at < bytes.len() => bytes[at] = TELLING[random.usize(..TELLING.len())],
            _ => {}
        }
    }
    bytes
}

/// Decodes batches of mutated records, each between two whole ones, with one decoder.
fn survives(
    mut decoder: Decoder,
    describe: &dyn Fn(&azenha_formats::Decoded) -> Vec<String>,
    originals: &[Owned],
    count: usize,
) {
    let mut random = Rng::with_seed(5);
    let (mut rows, mut refused) = (0, 0);
    let whole = &originals[0];
    let expected = describe(&decode(&mut decoder, &avro::batch(std::slice::from_ref(whole)))).remove(0);
    for _ in 0..count / 10 {
        let mut batch = vec![whole.clone()];
        for _ in 0..10 {
            let mut record = originals[random.usize(..originals.len())].clone();
            let part = random.usize(..2);
            record[part] = record[part].as_deref().map(|bytes| mutated(bytes, &mut random));
            batch.push(record);
        }
        batch.push(whole.clone());
        let decoded = decode(&mut decoder, &avro::batch(&batch));
        (rows, refused) = (rows + decoded.rows.len(), refused + decoded.rejected.len());
        let found = describe(&decoded);
        assert_eq!((&found[0], &found[11]), (&expected, &expected), "whole records beside damaged ones");
    }
    assert!(rows > count / 5 && refused > count / 5, "{rows} rows, {refused} refused: both kinds are tried");
}

#[test]
fn damaged_json_is_refused_or_read_and_never_lost() {
    let owned = |recorded: &str| -> Vec<Owned> {
        lines(recorded).into_iter().map(|(key, value)| [key, value].map(|part| part.map(<[u8]>::to_vec))).collect()
    };
    let of = |columns: &str, recorded: &[&str], count| {
        let input = stream(JSON, columns);
        let originals: Vec<Owned> = recorded.iter().flat_map(|recorded| owned(recorded)).collect();
        survives(Decoder::new(&input), &|decoded| outcomes(&input, decoded), &originals, count);
    };
    of(CUSTOMERS, &[recorded::POSTGRESQL, recorded::POSTGRESQL_SCHEMAS], 1500);
    of("id: int64, dt: timestamp(us), j: json?", &[recorded::MYSQL, recorded::MYSQL_SCHEMAS], 1000);
    of("id: int64, e: text", &[recorded::MARIADB, recorded::MARIADB_SCHEMAS], 500);
    of("id: int64, qty: int64?, big: text?", &[recorded::POSTGRESQL_ORDERS, recorded::POSTGRESQL_WIDE], 500);
    of(COLUMNS, &[PLAIN, SCHEMAS, DOUBLE, STRING, NANOS], 1500);
}

#[test]
fn damaged_avro_is_refused_or_read_and_never_lost() {
    let input = stream(AVRO, COLUMNS);
    let mut decoder = Decoder::new(&input);
    decoder.learn(1, Some(&schema(KEY)));
    decoder.learn(2, Some(&schema(VALUE)));
    survives(decoder, &|decoded| outcomes(&input, decoded), &avro::recorded(), 2000);
}

#[test]
fn what_is_nested_without_end_is_refused() {
    let input = stream(JSON, "id: int64, x: json");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for value in [
        upsert(&format!(r#"{{"id":1,"x":{deep}}}"#)),
        format!(r#"{{"schema":{deep},"payload":{{}}}}"#),
        format!(r#"{{"schema":{{}},"payload":{deep}}}"#),
    ] {
        let found = outcome(&input, None, Some(&value));
        assert!(found.contains("nested too deeply"), "{}", &found[..80]);
    }
    let inside = upsert(&format!(r#"{{"id":1,"x":"{deep}"}}"#));
    assert!(outcome(&input, None, Some(&inside)).contains("a string has to hold JSON"));
}

#[test]
fn huge_numbers_do_not_fit() {
    let input = stream(JSON, "id: int64, x: decimal(2)?");
    let digits = "9".repeat(100_000);
    for after in [
        format!(r#"{{"id":{digits}}}"#),
        format!(r#"{{"id":1,"x":{digits}}}"#),
        format!(r#"{{"id":1,"x":1e{digits}}}"#),
        format!(r#"{{"id":1,"x":{{"scale":{digits},"value":"AQ=="}}}}"#),
        format!(r#"{{"id":1,"x":"{}"}}"#, "AAAA".repeat(50_000)),
    ] {
        let found = outcome(&input, None, Some(&upsert(&after)));
        assert!(found.starts_with("field `after.") && found.len() < 300, "{}", &found[..100]);
    }
    let event = format!(r#"{{"op":"c","after":{{"id":1}},"source":{{"connector":"postgresql","lsn":{digits}}}}}"#);
    assert_eq!(outcome(&input, None, Some(&event)), r#"upsert nowhere {"id":1,"x":null}"#);
}
