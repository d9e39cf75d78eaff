//! Where a page ended, as text that a request gives back: the last row's values in the columns that rows are sorted by.
//!
//! A checksum over them, the query and the request's other parameters finds what was changed, or belongs to another
//! question. It is no secret: whoever forges a cursor only asks for another page.

use azenha_model::query::{Query, Value};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Bytes of the checksum.
const CHECKSUM: usize = 8;

/// The cursor behind a row; `given` is what the request says beside it. An error names the column that has no value to go
/// on from.
pub fn write<'a>(row: &[Value], query: &'a Query, given: &[String]) -> Result<String, &'a str> {
    if let Some(order) = query.order.iter().find(|order| row[order.column] == Value::Null) {
        return Err(&query.columns[order.column].name);
    }
    let values: Vec<String> = query.order.iter().map(|order| row[order.column].to_string()).collect();
    let json = serde_json::json!(values).to_string();
    let bytes = [&checksum(&json, query, given)[..], json.as_bytes()].concat();
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The values of a cursor; none if it is not one of this query and what the request says.
pub fn read(cursor: &str, query: &Query, given: &[String]) -> Option<Vec<Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (found, json) = bytes.split_at_checked(CHECKSUM)?;
    let json = str::from_utf8(json).ok()?;
    if found != checksum(json, query, given) {
        return None;
    }
    let values: Vec<String> = serde_json::from_str(json).ok()?;
    let read = query.order_types().zip(&values).map(|(data_type, value)| Value::read(data_type, value, 0).ok());
    read.collect::<Option<Vec<Value>>>().filter(|values| values.len() == query.order.len())
}

fn checksum(json: &str, query: &Query, given: &[String]) -> [u8; CHECKSUM] {
    let order: Vec<(usize, bool)> = query.order.iter().map(|order| (order.column, order.descending)).collect();
    let known = format!("{:?}", (&query.name, query.path.to_string(), &query.ask, order, given, json));
    let digest = Sha256::digest(known);
    std::array::from_fn(|index| digest[index])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use azenha_model::query::{Ask, OrderBy, Path, Piece, RowLimit, Sql};
    use azenha_model::{DataType, Field};

    use super::*;

    fn query(descending: bool) -> Query {
        Query {
            name: "orders".to_owned(),
            path: Path::parse("/orders/{customer}").unwrap(),
            connection: "warehouse".to_owned(),
            parameters: Vec::new(),
            ask: Ask::Sql(Sql(vec![Piece::Text("SELECT 1".to_owned())])),
            columns: vec![
                Field::new("id", DataType::Text, true),
                Field::new("at", DataType::Timestamp, true),
                Field::new("total", DataType::Decimal { scale: 2 }, true),
            ],
            order: vec![OrderBy { column: 1, descending }, OrderBy { column: 0, descending: false }],
            limit: RowLimit { default: 1, most: 1 },
            time_limit: Duration::ZERO,
            freshness: None,
        }
    }

    #[test]
    fn a_cursor_gives_back_the_values_that_rows_are_sorted_by() {
        let row = [Value::Text("é\",".to_owned()), Value::Timestamp(1_500_000), Value::Decimal("1.10".to_owned())];
        let given = ["ana".to_owned()];
        let cursor = write(&row, &query(true), &given).unwrap();
        assert_eq!(read(&cursor, &query(true), &given), Some(vec![row[1].clone(), row[0].clone()]));
        assert_eq!(read(&cursor, &query(true), &["bia".to_owned()]), None, "other parameters");
        assert_eq!(read(&cursor, &query(false), &given), None, "another query");
    }

    #[test]
    fn no_page_goes_on_from_an_absent_value() {
        let row = [Value::Text("7".to_owned()), Value::Null, Value::Null];
        assert_eq!(write(&row, &query(true), &[]), Err("at"));
    }

    #[test]
    fn no_cursor_survives_a_change_of_any_letter() {
        let row = [Value::Text("7".to_owned()), Value::Timestamp(0), Value::Null];
        let cursor = write(&row, &query(true), &[]).unwrap();
        for index in 0..cursor.len() {
            let mut changed = cursor.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(read(&changed, &query(true), &[]), None, "{changed}");
        }
        for broken in ["", "x", "!!!!", &cursor[1..], &cursor[..cursor.len() - 1]] {
            assert_eq!(read(broken, &query(true), &[]), None, "{broken}");
        }
    }
}
