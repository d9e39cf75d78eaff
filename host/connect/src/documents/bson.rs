//! Writing BSON (<https://bsonspec.org>), element by element, into one buffer.

/// The kinds of elements that are written.
const DOUBLE: u8 = 0x01;
const STRING: u8 = 0x02;
const DOCUMENT: u8 = 0x03;
const ARRAY: u8 = 0x04;
const BINARY: u8 = 0x05;
const BOOLEAN: u8 = 0x08;
const DATE: u8 = 0x09;
const NULL: u8 = 0x0a;
const INT64: u8 = 0x12;
const DECIMAL128: u8 = 0x13;

/// The subtype of bytes that mean nothing special.
const GENERIC: u8 = 0;

/// Where a document that is still open begins.
#[derive(Debug)]
pub(crate) struct Open(usize);

/// Begins a document that is no element of another.
pub(crate) fn open(out: &mut Vec<u8>) -> Open {
    let start = out.len();
    out.extend([0; 4]);
    Open(start)
}

/// Begins a document as an element.
pub(crate) fn open_document(out: &mut Vec<u8>, name: &str) -> Open {
    element(out, DOCUMENT, name);
    open(out)
}

/// Begins an array as an element; the names of its own elements are their indexes.
pub(crate) fn open_array(out: &mut Vec<u8>, name: &str) -> Open {
    element(out, ARRAY, name);
    open(out)
}

/// Ends a document or an array.
pub(crate) fn close(out: &mut Vec<u8>, Open(start): Open) {
    out.push(0);
    let length = (out.len() - start) as i32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// The kind and name of an element. A name ends with its first NUL: who calls has made sure that there is none.
fn element(out: &mut Vec<u8>, kind: u8, name: &str) {
    out.push(kind);
    out.extend_from_slice(name.as_bytes());
    out.push(0);
}

pub(crate) fn null(out: &mut Vec<u8>, name: &str) {
    element(out, NULL, name);
}

pub(crate) fn boolean(out: &mut Vec<u8>, name: &str, value: bool) {
    element(out, BOOLEAN, name);
    out.push(u8::from(value));
}

pub(crate) fn int64(out: &mut Vec<u8>, name: &str, value: i64) {
    element(out, INT64, name);
    out.extend(value.to_le_bytes());
}

pub(crate) fn double(out: &mut Vec<u8>, name: &str, value: f64) {
    element(out, DOUBLE, name);
    out.extend(value.to_le_bytes());
}

/// `value` is in the encoding of [`decimal`](super::decimal).
pub(crate) fn decimal128(out: &mut Vec<u8>, name: &str, value: u128) {
    element(out, DECIMAL128, name);
    out.extend(value.to_le_bytes());
}

pub(crate) fn string(out: &mut Vec<u8>, name: &str, value: &str) {
    element(out, STRING, name);
    out.extend((value.len() as i32 + 1).to_le_bytes());
    out.extend_from_slice(value.as_bytes());
    out.push(0);
}

pub(crate) fn binary(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    element(out, BINARY, name);
    out.extend((value.len() as i32).to_le_bytes());
    out.push(GENERIC);
    out.extend_from_slice(value);
}

/// `millis` since 1970-01-01 UTC.
pub(crate) fn date(out: &mut Vec<u8>, name: &str, millis: i64) {
    element(out, DATE, name);
    out.extend(millis.to_le_bytes());
}

/// Elements that were written before.
pub(crate) fn copy(out: &mut Vec<u8>, elements: &[u8]) {
    out.extend_from_slice(elements);
}

/// A document that was written before, as an element.
pub(crate) fn document(out: &mut Vec<u8>, name: &str, document: &[u8]) {
    element(out, DOCUMENT, name);
    out.extend_from_slice(document);
}
