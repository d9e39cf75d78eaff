//! Values that a database left out of its log because they did not change. PostgreSQL does so with large ones (TOAST);
//! Debezium then writes `unavailable.value.placeholder`, in the form of the column's type.

use super::value::Cell;
use crate::json::Kind;

/// The placeholder as a string, and as base64 for columns of bytes.
const TEXT: &str = r#""__debezium_unavailable_value""#;
const BASE64: &str = r#""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#;

/// Arrays of text, bytes, uuids (the name-based one of the placeholder) and numbers (the placeholder's bytes), and a map
/// of text, as which PostgreSQL's `hstore` comes.
const NESTED: [&str; 5] = [
    r#"["__debezium_unavailable_value"]"#,
    r#"["X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="]"#,
    r#"["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]"#,
    "[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101]",
    r#"{"__debezium_unavailable_value":"__debezium_unavailable_value"}"#,
];

/// `hstore` as text that holds JSON, which is what Debezium writes by default.
const HSTORE: &str = r#""{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}""#;

/// Whether a cell holds the placeholder. In a column of text its base64 is text like any other.
#[inline]
pub(super) fn is_unavailable(cell: Cell<'_>, holds_text: bool) -> bool {
    match cell.kind {
        Kind::Text => cell.raw == TEXT || (!holds_text && cell.raw == BASE64),
        Kind::EscapedText => cell.raw == HSTORE,
        Kind::Array | Kind::Object => NESTED.contains(&cell.raw),
        _ => false,
    }
}
