//! Events that Debezium 3.5 wrote of tables in PostgreSQL 15, MariaDB 10.11 and MySQL 9.7.

use azenha_formats::Decoder;

use super::{JSON, Record, decode, outcomes, records, stream};

/// A key, a tab and a value a line; what is empty is missing.
pub fn lines(recorded: &str) -> Vec<Record<'_>> {
    recorded.lines().map(line).collect()
}

fn line(line: &str) -> Record<'_> {
    let (key, value) = line.split_once('\t').unwrap();
    (Some(key.as_bytes()).filter(|key| !key.is_empty()), Some(value.as_bytes()).filter(|value| !value.is_empty()))
}

fn check(recorded: &str, columns: &str, expected: &[&str]) {
    let input = stream(JSON, columns);
    let decoded = decode(&mut Decoder::new(&input), &records(&lines(recorded)));
    assert_eq!(outcomes(&input, &decoded), expected);
}

pub const POSTGRESQL: &str = include_str!("events/postgresql.tsv");
pub const POSTGRESQL_SCHEMAS: &str = include_str!("events/postgresql_schemas.tsv");
pub const POSTGRESQL_ORDERS: &str = include_str!("events/postgresql_orders.tsv");
pub const POSTGRESQL_WIDE: &str = include_str!("events/postgresql_wide.tsv");
pub const MARIADB: &str = include_str!("events/mariadb.tsv");
pub const MARIADB_SCHEMAS: &str = include_str!("events/mariadb_schemas.tsv");
pub const MYSQL: &str = include_str!("events/mysql.tsv");
pub const MYSQL_SCHEMAS: &str = include_str!("events/mysql_schemas.tsv");

pub const CUSTOMERS: &str = "id: int64, name: text, email: text?, balance: decimal(2)?, tags: json?, meta: json?, \
                             created: timestamp(iso)?, d: date?, ok: boolean?, bin: bytes?, uid: text?";

const ANN: &str = r#"{"id":2,"name":"ann","email":"a@x","balance":"100.50","tags":["p"],"meta":{"n": null},"created":"2026-11-21T05:34:42.095434Z","d":"2024-05-06","ok":false,"bin":"/w==","uid":"7a0f1c9e-0000-4000-8000-000000000002"}"#;

const DELETED_ANN: &str = r#"{"id":2,"name":null,"email":null,"balance":null,"tags":null,"meta":null,"created":null,"d":null,"ok":null,"bin":null,"uid":null}"#;

fn postgresql(snapshot_lsn: &str) -> [String; 5] {
    let snapshot = r#"{"id":1,"name":"snap","email":"s@x","balance":"12.34","tags":["a","b"],"meta":{"k": 1},"created":"2026-11-21T05:34:09.531518Z","d":"2024-02-03","ok":true,"bin":"AQI=","uid":"7a0f1c9e-0000-4000-8000-000000000001"}"#;
    let changed = ANN.replace(r#""a@x""#, "null").replace("100.50", "101.50");
    [
        format!("snapshot first {snapshot_lsn}.0.0 {snapshot}"),
        format!("upsert 26530384.0.0 {ANN}"),
        format!("upsert 26530648.0.0 {changed}"),
        format!("delete 26530968.0.0 {DELETED_ANN}"),
        format!("tombstone nowhere {DELETED_ANN}"),
    ]
}

#[test]
fn a_table_of_postgresql_is_read_with_and_without_schemas() {
    check(POSTGRESQL, CUSTOMERS, &postgresql("26527560").each_ref().map(String::as_str));
    // The schemas say the unit and the scale, whatever the columns say.
    let columns = CUSTOMERS.replace("timestamp(iso)", "timestamp(s)");
    check(POSTGRESQL_SCHEMAS, &columns, &postgresql("26530288").each_ref().map(String::as_str));
}

#[test]
fn a_key_that_changes_is_a_delete_and_an_upsert_and_before_may_have_nothing_but_the_key() {
    let deleted = r#"{"id":2,"cust":null,"qty":null}"#;
    check(
        POSTGRESQL_ORDERS,
        "id: int64, cust: int64, qty: int64",
        &[
            r#"snapshot last 26527560.0.0 {"id":1,"cust":1,"qty":5}"#,
            r#"upsert 26531184.0.0 {"id":2,"cust":1,"qty":7}"#,
            r#"upsert 26531320.0.0 {"id":2,"cust":1,"qty":8}"#,
            &format!("delete 26531408.0.0 {deleted}"),
            &format!("tombstone nowhere {deleted}"),
        ],
    );
}

#[test]
fn what_postgresql_left_out_is_unavailable_and_a_truncate_is_a_row_of_nulls() {
    let row = |big: &str, note: &str| {
        format!(
            r#"{{"id":1,"big":{big},"note":"{note}","ts":"2024-01-02T03:04:05.678901Z","tstz":"2024-01-02T01:04:05.678901Z","iv":"P0Y0M1DT2H0M0S","arr":[1,2]}}"#
        )
    };
    check(
        POSTGRESQL_WIDE,
        "id: int64, big: text, note: text, ts: timestamp(us), tstz: timestamp, iv: text, arr: json",
        &[
            &format!("snapshot last 26426528.0.0 {}", row(r#""x...""#, "a")),
            &format!("upsert 26426624.0.0 {} without big", row("null", "b")),
            r#"truncate 26429768.0.0 {"id":null,"big":null,"note":null,"ts":null,"tstz":null,"iv":null,"arr":null}"#,
        ],
    );
}

const MARIADB_COLUMNS: &str = "id: int64, name: text, email: text?, balance: decimal(2)?, created: timestamp(iso)?, \
                               dt: timestamp(us)?, d: date?, ok: boolean?, bin: bytes?, e: text?";

#[test]
fn a_table_of_mariadb_is_read_with_and_without_schemas() {
    let deleted = r#"{"id":2,"name":null,"email":null,"balance":null,"created":null,"dt":null,"d":null,"ok":null,"bin":null,"e":null}"#;
    let ann = |email: &str, balance: &str| {
        format!(
            r#"{{"id":2,"name":"ann","email":{email},"balance":"{balance}","created":"2026-11-21T05:34:42.125000Z","dt":"2024-05-06T01:02:03.500000Z","d":"2024-05-06","ok":false,"bin":"/w==","e":"b"}}"#
        )
    };
    let expected = [
        r#"snapshot last 1.1594.0 {"id":1,"name":"snap","email":"s@x","balance":"12.34","created":"2026-11-21T05:34:09.564000Z","dt":"2024-02-03T04:05:06.123456Z","d":"2024-02-03","ok":true,"bin":"AQI=","e":"a"}"#,
        &format!("upsert 1.1930.0 {}", ann(r#""a@x""#, "100.50")),
        &format!("upsert 1.2310.0 {}", ann("null", "101.50")),
        &format!("delete 1.2701.0 {deleted}"),
        &format!("tombstone nowhere {deleted}"),
    ];
    check(MARIADB, MARIADB_COLUMNS, &expected);
    check(MARIADB_SCHEMAS, &MARIADB_COLUMNS.replace("timestamp(us)", "timestamp"), &expected);
}

#[test]
fn a_table_of_mysql_is_read_with_and_without_schemas() {
    let columns = "id: int64, balance: decimal(4), dt: timestamp(us), j: json, u: int64, y: int64, t: int64, ok: int64";
    let ann = |balance: &str, j: &str| {
        format!(
            r#"{{"id":2,"balance":"{balance}","dt":"2024-05-06T01:02:03.500000Z","j":{j},"u":1,"y":2025,"t":-3600000000,"ok":0}}"#
        )
    };
    let deleted = r#"{"id":2,"balance":null,"dt":null,"j":null,"u":null,"y":null,"t":null,"ok":null}"#;
    let expected = [
        // 2^64 - 1 is -1 by the connector's default.
        r#"snapshot last 1.1768.0 {"id":1,"balance":"12.3400","dt":"2024-02-03T04:05:06.123456Z","j":{"k": [1, 2]},"u":-1,"y":2024,"t":36672500000,"ok":1}"#,
        &format!("upsert 1.2022.0 {}", ann("100.5000", "{}")),
        &format!("upsert 1.2406.0 {}", ann("101.5000", r#"{"z":1}"#)),
        &format!("delete 1.2852.0 {deleted}"),
        &format!("tombstone nowhere {deleted}"),
    ];
    // Without a schema the scale is the column's.
    let of_scale = |text: &str| text.replace("decimal(4)", "decimal(2)");
    let scaled = expected.map(|row| row.replace("12.3400", "12.34").replace(".5000\"", ".50\""));
    check(MYSQL, &of_scale(columns), &scaled.each_ref().map(String::as_str));
    check(MYSQL_SCHEMAS, columns, &expected);
}
