//! Strings: finding their ends, and their escapes.

use std::borrow::Cow;

const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);

/// The index at or after `from` of the first quote, backslash or control character; the length if there is none.
#[inline]
pub(super) fn special(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let found = special_bytes(u64::from_le_bytes(*chunk));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..b' ')).unwrap_or(rest.len())
}

/// The high bit of each byte that is special. Only the lowest bit that is set is exact, because a borrow may
/// reach the bytes above it.
#[inline]
fn special_bytes(word: u64) -> u64 {
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let quotes = zeros(word ^ (ONES * u64::from(b'"')));
    let backslashes = zeros(word ^ (ONES * u64::from(b'\\')));
    let controls = word.wrapping_sub(ONES * u64::from(b' ')) & !word;
    (quotes | backslashes | controls) & HIGHS
}

/// The character that the escape at the start of `text` stands for, and the escape's length in bytes. None for
/// an unknown one and for half a surrogate pair.
pub(super) fn escape(text: &[u8]) -> Option<(char, usize)> {
    let short = match text.get(1)? {
        b'u' => return unicode_escape(text),
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        same @ (b'"' | b'\\' | b'/') => char::from(*same),
        _ => return None,
    };
    Some((short, 2))
}

fn unicode_escape(text: &[u8]) -> Option<(char, usize)> {
    let first = code_unit(text)?;
    if !(0xD800..0xDC00).contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    let second = code_unit(text.get(6..)?)?;
    if !(0xDC00..0xE000).contains(&second) {
        return None;
    }
    Some((char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00))?, 12))
}

/// The UTF-16 code unit of the `\uXXXX` at the start of `text`.
fn code_unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}

/// A string's text without its escapes, which have been checked.
pub(super) fn unescape(escaped: &str) -> String {
    let mut text = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((plain, _)) = rest.split_once('\\') {
        text.push_str(plain);
        rest = rest.get(plain.len()..).unwrap_or_default();
        let Some((character, length)) = escape(rest.as_bytes()) else { break };
        text.push(character);
        rest = rest.get(length..).unwrap_or_default();
    }
    text.push_str(rest);
    text
}

/// The text of a string that stands with its quotes in a record.
#[inline]
pub(super) fn unquote(quoted: &str, escapes: bool) -> Cow<'_, str> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    if escapes { Cow::Owned(unescape(inner)) } else { Cow::Borrowed(inner) }
}

/// Appends `text` as a JSON string.
#[inline]
pub(crate) fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    let mut from = 0;
    loop {
        let at = special(text.as_bytes(), from);
        out.push_str(&text[from..at]);
        let Some(byte) = text.as_bytes().get(at) else { break };
        push_escape(out, *byte);
        from = at + 1;
    }
    out.push('"');
}

fn push_escape(out: &mut String, byte: u8) {
    let short = match byte {
        b'\n' => 'n',
        b'\t' => 't',
        b'\r' => 'r',
        0x08 => 'b',
        0x0c => 'f',
        b'"' | b'\\' => char::from(byte),
        _ => {
            out.push_str("\\u00");
            for digit in [byte >> 4, byte & 15] {
                out.extend(char::from_digit(u32::from(digit), 16));
            }
            return;
        }
    };
    out.push('\\');
    out.push(short);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_at_every_place() {
        for length in 0..40 {
            for at in 0..length {
                for found in [b'"', b'\\', 0, 1, b'\n', 0x1f] {
                    let mut text = "é!#[]\u{7f} x".repeat(5).into_bytes();
                    text.truncate(length);
                    text[at] = found;
                    assert_eq!(special(&text, 0), at, "{found} at {at} of {length}");
                    assert_eq!(special(&text, at), at);
                }
            }
            assert_eq!(special(&vec![b'x'; length], 0), length);
        }
    }

    #[test]
    fn every_character_comes_back_from_its_escape() {
        for character in (0..0x11_0000).filter_map(char::from_u32) {
            let mut units = [0; 2];
            let escaped: String =
                character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect();
            assert_eq!(unescape(&escaped).chars().collect::<Vec<_>>(), [character]);
        }
    }

    #[test]
    fn a_quoted_string_comes_back() {
        let text: String = (0..0x300).filter_map(char::from_u32).chain(['\u{10ffff}', '"', '\\']).collect();
        let mut quoted = String::new();
        push_quoted(&mut quoted, &text);
        assert_eq!(unquote(&quoted, true), text);
        assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
    }
}
