//! A place in an Avro datum, and what can be wrong there. Nothing is believed that the bytes say of lengths.

/// Items of arrays and maps that a record may have beyond its bytes: items may take none.
const FREE_ITEMS: usize = 1 << 16;

/// Why a datum is not what its schema says, or not what a column takes. It is passed on in a box, so that results
/// fit in registers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("ends too early: {0} more bytes are needed")]
    Truncated(usize),
    #[error("has {0} bytes too many")]
    Trailing(usize),
    #[error("has a number of more than 64 bits")]
    LongNumber,
    #[error("has an int of more than 32 bits")]
    LongInt,
    #[error("has a length of {0}")]
    Length(i64),
    #[error("has branch {0} of a union of {1}")]
    Branch(i64, usize),
    #[error("has symbol {0} of an enum of {1}")]
    Symbol(i64, usize),
    #[error("has the byte {0} for a boolean")]
    Boolean(u8),
    #[error("has text that is not UTF-8")]
    NotUtf8,
    #[error("has a string that is not JSON, which the column's type says")]
    NotJson,
    #[error("has a string that is no ISO 8601 timestamp")]
    NotIso,
    #[error("is nested too deeply")]
    TooDeep,
    #[error("has arrays or maps of too many items for its size")]
    TooManyItems,
    #[error("gives more text than a column takes")]
    TooMuchText,
    #[error("is null, but not nullable")]
    Null,
    #[error("does not fit in {0}")]
    Range(&'static str),
    #[error("{0}")]
    Unreadable(String),
}

/// A place in a record.
pub(super) struct Cursor<'a> {
    record: &'a [u8],
    pub at: usize,
    /// The items that may still come.
    items: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(record: &'a [u8], at: usize) -> Self {
        Self { record, at, items: record.len() + FREE_ITEMS }
    }

    /// The bytes of the whole record.
    pub fn length(&self) -> usize {
        self.record.len()
    }

    /// The bytes from here on.
    #[inline]
    fn ahead(&self) -> &'a [u8] {
        self.record.get(self.at..).unwrap_or_default()
    }

    /// The last `length` bytes that were taken, and all behind them.
    #[inline]
    pub fn since(&self, length: usize) -> &'a [u8] {
        self.record.get(self.at - length..).unwrap_or_default()
    }

    /// The next `length` bytes.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Box<Fault>> {
        let rest = self.ahead();
        let taken = rest.get(..length).ok_or_else(|| Fault::Truncated(length - rest.len()))?;
        self.at += length;
        Ok(taken)
    }

    /// The next bytes, of a number known when this is compiled.
    #[inline]
    pub fn chunk<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], Box<Fault>> {
        let rest = self.ahead();
        let chunk = rest.first_chunk().ok_or_else(|| Fault::Truncated(LENGTH - rest.len()))?;
        self.at += LENGTH;
        Ok(*chunk)
    }

    /// A zigzag number of variable length.
    #[inline]
    pub fn long(&mut self) -> Result<i64, Box<Fault>> {
        let rest = self.ahead();
        match rest {
            [byte @ ..0x80, ..] => {
                self.at += 1;
                Ok(zigzag(u64::from(*byte)))
            }
            _ => match rest.first_chunk().map(|chunk| u64::from_le_bytes(*chunk)) {
                Some(word) if !word & HIGHS != 0 => {
                    let last = (!word & HIGHS).trailing_zeros(); // the last byte's high bit
                    self.at += (last / 8 + 1) as usize;
                    Ok(zigzag(groups(word & (u64::MAX >> (63 - last)))))
                }
                _ => self.slow_long(rest),
            },
        }
    }

    /// A number of nine or ten bytes, or near the record's end.
    #[cold]
    fn slow_long(&mut self, rest: &[u8]) -> Result<i64, Box<Fault>> {
        let mut value = 0;
        for (index, byte) in rest.iter().take(10).enumerate() {
            if index == 9 && *byte > 1 {
                return Err(Fault::LongNumber.into());
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.at += index + 1;
                return Ok(zigzag(value));
            }
        }
        Err(Fault::Truncated(1).into())
    }

    #[inline]
    pub fn int(&mut self) -> Result<i32, Box<Fault>> {
        i32::try_from(self.long()?).map_err(|_| Fault::LongInt.into())
    }

    #[inline]
    pub fn boolean(&mut self) -> Result<bool, Box<Fault>> {
        match self.chunk()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(Fault::Boolean(other).into()),
        }
    }

    /// The bytes of a string or of bytes.
    #[inline(always)]
    pub fn bytes(&mut self) -> Result<&'a [u8], Box<Fault>> {
        let length = self.long()?;
        self.take(usize::try_from(length).map_err(|_| Fault::Length(length))?)
    }

    pub fn text(&mut self) -> Result<&'a str, Box<Fault>> {
        str::from_utf8(self.bytes()?).map_err(|_| Fault::NotUtf8.into())
    }

    /// The index of one of so many branches.
    #[inline]
    pub fn branch(&mut self, branches: usize) -> Result<usize, Box<Fault>> {
        let index = self.long()?;
        usize::try_from(index)
            .ok()
            .filter(|index| *index < branches)
            .ok_or_else(|| Fault::Branch(index, branches).into())
    }

    #[inline]
    pub fn symbol<'s>(&mut self, symbols: &'s [String]) -> Result<&'s str, Box<Fault>> {
        let index = self.long()?;
        let symbol = usize::try_from(index).ok().and_then(|index| symbols.get(index));
        symbol.map(String::as_str).ok_or_else(|| Fault::Symbol(index, symbols.len()).into())
    }

    /// The head of an array's or a map's next block: how many items it has, and its bytes if it says so. None at the
    /// end.
    pub fn block(&mut self) -> Result<Option<(usize, Option<usize>)>, Box<Fault>> {
        let count = self.long()?;
        if count == 0 {
            return Ok(None);
        }
        let mut bytes = None;
        if count < 0 {
            let length = self.long()?;
            bytes = Some(usize::try_from(length).map_err(|_| Fault::Length(length))?);
        }
        let count = usize::try_from(count.unsigned_abs()).map_err(|_| Fault::TooManyItems)?;
        self.items = self.items.checked_sub(count).ok_or(Fault::TooManyItems)?;
        Ok(Some((count, bytes)))
    }

    /// Checks that the record ends here.
    #[inline]
    pub fn end(&self) -> Result<(), Box<Fault>> {
        match self.record.len() - self.at {
            0 => Ok(()),
            left => Err(Fault::Trailing(left).into()),
        }
    }
}

const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);

/// Joins the groups of seven bits of up to eight bytes, the lowest first: pairs, fours, then all.
#[inline]
fn groups(word: u64) -> u64 {
    let word = (word & 0x007f_007f_007f_007f) | ((word & 0x7f00_7f00_7f00_7f00) >> 1);
    let word = (word & 0x0000_3fff_0000_3fff) | ((word & 0x3fff_0000_3fff_0000) >> 2);
    (word & 0x0fff_ffff) | ((word & 0x0fff_ffff_0000_0000) >> 4)
}

#[inline]
fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::encode::push_long;

    #[test]
    fn numbers_of_every_length_come_back_with_and_without_bytes_behind_them() {
        let edges = (0..63).flat_map(|bits| [1_i64 << bits, (1 << bits) - 1, -(1 << bits), -(1 << bits) - 1]);
        for value in edges.chain([i64::MAX, i64::MIN]) {
            for behind in [0, 1, 7, 16] {
                let mut bytes = Vec::new();
                push_long(&mut bytes, value);
                let length = bytes.len();
                bytes.extend(vec![0xff; behind]);
                let mut cursor = Cursor::new(&bytes, 0);
                assert_eq!((cursor.long(), cursor.at), (Ok(value), length), "{value} before {behind} bytes");
            }
        }
    }

    #[test]
    fn numbers_that_do_not_end_or_have_too_many_bits_are_refused() {
        assert_eq!(Cursor::new(&[0x80; 9], 0).long(), Err(Fault::Truncated(1).into()));
        assert_eq!(Cursor::new(&[], 0).long(), Err(Fault::Truncated(1).into()));
        assert_eq!(Cursor::new(&[0xff; 12], 0).long(), Err(Fault::LongNumber.into()));
        assert_eq!(Cursor::new(&[0x80, 0x80, 0x80, 0x80, 0x10], 0).int(), Err(Fault::LongInt.into()));
    }

    #[test]
    fn a_block_of_more_items_than_a_record_can_have_is_refused_before_it_is_read() {
        let mut bytes = Vec::new();
        push_long(&mut bytes, 1 << 60);
        assert_eq!(Cursor::new(&bytes, 0).block(), Err(Fault::TooManyItems.into()));
    }
}
