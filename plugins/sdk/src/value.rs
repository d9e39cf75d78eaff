//! The Rust types that a column's values are read as and made from.

use std::borrow::Cow;

use crate::data::{Batch, Column, DataType, Strings, Values};
use crate::decimal::Decimal;
use crate::types::{Date, Json, Time, Timestamp};

/// A Rust type that stands for the values of one type of column.
pub trait Value<'a>: Sized {
    /// The type of such a column.
    const DATA_TYPE: DataType;
    /// Borrowed values of a column: `&[i64]` for instance.
    type Values: Copy + 'a;
    /// Owned values of a column in the making.
    type Store: Default;

    /// The column's values, or none if it is of another type.
    fn values(column: &'a Column) -> Option<Self::Values>;
    /// The value at `row`; meaningless if it is absent.
    fn at(values: Self::Values, row: usize) -> Self;
    /// Adds this value to a column in the making.
    fn add(self, store: &mut Self::Store);
    /// Adds what stands at an absent row.
    fn add_blank(store: &mut Self::Store);
    /// The values of the column that was made.
    fn finish(store: Self::Store) -> Values;
}

/// Which rows of a column have a value.
#[derive(Debug, Clone, Copy)]
pub struct Validity<'a>(Option<&'a [u8]>);

impl Validity<'_> {
    /// Whether the value at `row` is present.
    #[inline]
    pub fn is_present(self, row: usize) -> bool {
        self.0.is_none_or(|bits| bit(bits, row))
    }
}

/// The bit at `index`, counted from the least significant bit of the first byte.
#[inline]
pub(crate) fn bit(bits: &[u8], index: usize) -> bool {
    bits[index / 8] >> (index % 8) & 1 == 1
}

/// A column of a batch, read as values of type `T`.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, T: Value<'a>> {
    /// All values at once, for tight loops; what stands at an absent row is meaningless.
    pub values: T::Values,
    /// Which rows have a value.
    pub validity: Validity<'a>,
    rows: usize,
}

impl<'a, T: Value<'a>> View<'a, T> {
    /// The value at `row`, or none if it is absent.
    #[inline]
    pub fn get(&self, row: usize) -> Option<T> {
        self.validity.is_present(row).then(|| T::at(self.values, row))
    }

    /// The values in the order of rows.
    pub fn iter(&self) -> impl Iterator<Item = Option<T>> {
        (0..self.rows).map(|row| self.get(row))
    }
}

impl Batch {
    /// The column at `index` (in the order of the plan's `reads`) as values of type `T`; an error if it is
    /// of another type or missing.
    pub fn column<'a, T: Value<'a>>(&'a self, index: usize) -> Result<View<'a, T>, String> {
        let validity = self.validity(index)?;
        let values = T::values(&self.columns[index])
            .ok_or_else(|| format!("column {index} of the batch is not {}", T::DATA_TYPE))?;
        Ok(View { values, validity, rows: self.rows as usize })
    }

    /// Which rows have a value in the column at `index`, of whatever type.
    pub fn validity(&self, index: usize) -> Result<Validity<'_>, String> {
        let column = self.columns.get(index).ok_or_else(|| format!("the batch has no column {index}"))?;
        Ok(Validity(column.validity.as_deref()))
    }
}

/// A column in the making.
///
/// ```
/// let mut names = azenha_sdk::ColumnBuilder::<&str>::default();
/// names.push("Ana");
/// names.push_absent();
/// let column = names.finish();
/// assert_eq!(column.validity, Some(vec![0b01]));
/// ```
pub struct ColumnBuilder<'a, T: Value<'a>> {
    store: T::Store,
    rows: usize,
    /// Bits for all rows so far, from the first absent value on.
    validity: Option<Vec<u8>>,
}

impl<'a, T: Value<'a>> Default for ColumnBuilder<'a, T> {
    fn default() -> Self {
        Self { store: T::Store::default(), rows: 0, validity: None }
    }
}

impl<'a, T: Value<'a>> ColumnBuilder<'a, T> {
    /// Adds a value.
    #[inline]
    pub fn push(&mut self, value: T) {
        value.add(&mut self.store);
        if let Some(bits) = &mut self.validity {
            push_bit(bits, self.rows, true);
        }
        self.rows += 1;
    }

    /// Adds a row without a value.
    #[inline]
    pub fn push_absent(&mut self) {
        T::add_blank(&mut self.store);
        let rows = self.rows;
        push_bit(self.validity.get_or_insert_with(|| ones(rows)), rows, false);
        self.rows += 1;
    }

    /// Adds a value, or a row without one.
    #[inline]
    pub fn push_option(&mut self, value: Option<T>) {
        match value {
            Some(value) => self.push(value),
            None => self.push_absent(),
        }
    }

    /// The column.
    pub fn finish(self) -> Column {
        Column { values: T::finish(self.store), validity: self.validity }
    }
}

/// `count` bits that are set.
fn ones(count: usize) -> Vec<u8> {
    let mut bits = vec![u8::MAX; count / 8];
    if !count.is_multiple_of(8) {
        bits.push((1 << (count % 8)) - 1);
    }
    bits
}

/// Appends the bit with this index.
#[inline]
fn push_bit(bits: &mut Vec<u8>, index: usize, set: bool) {
    if index.is_multiple_of(8) {
        bits.push(0);
    }
    bits[index / 8] |= u8::from(set) << (index % 8);
}

/// Values of fixed size that are stored as a list of `$stored`.
macro_rules! fixed_size {
    ($($value:ty, $data_type:ident, $values:ident, $stored:ty, $wrap:expr, $unwrap:expr;)*) => {$(
        impl<'a> Value<'a> for $value {
            const DATA_TYPE: DataType = DataType::$data_type;
            type Values = &'a [$stored];
            type Store = Vec<$stored>;

            fn values(column: &'a Column) -> Option<&'a [$stored]> {
                match &column.values {
                    Values::$values(values) => Some(values),
                    _ => None,
                }
            }

            #[inline]
            fn at(values: &'a [$stored], row: usize) -> Self {
                $wrap(values[row])
            }

            #[inline]
            fn add(self, store: &mut Vec<$stored>) {
                store.push($unwrap(self));
            }

            fn add_blank(store: &mut Vec<$stored>) {
                store.push(Default::default());
            }

            fn finish(store: Vec<$stored>) -> Values {
                Values::$values(store)
            }
        }
    )*};
}

fixed_size! {
    i64, Int64, Int64s, i64, std::convert::identity, std::convert::identity;
    f64, Float64, Float64s, f64, std::convert::identity, std::convert::identity;
    Date, Date, Dates, i32, Date, |date: Date| date.0;
    Time, Time, Times, i64, Time, |time: Time| time.0;
    Timestamp, Timestamp, Timestamps, i64, Timestamp, |timestamp: Timestamp| timestamp.0;
}

impl<'a, const SCALE: u8> Value<'a> for Decimal<SCALE> {
    const DATA_TYPE: DataType = DataType::Decimal(SCALE);
    type Values = &'a [u64];
    type Store = Vec<u64>;

    fn values(column: &'a Column) -> Option<&'a [u64]> {
        match &column.values {
            Values::Decimals(words) => Some(words),
            _ => None,
        }
    }

    #[inline]
    fn at(words: &'a [u64], row: usize) -> Self {
        Self((u128::from(words[2 * row]) | u128::from(words[2 * row + 1]) << 64) as i128)
    }

    #[inline]
    fn add(self, words: &mut Vec<u64>) {
        words.extend([self.0 as u64, (self.0 >> 64) as u64]);
    }

    fn add_blank(words: &mut Vec<u64>) {
        words.extend([0, 0]);
    }

    fn finish(words: Vec<u64>) -> Values {
        Values::Decimals(words)
    }
}

/// Bits of a column of booleans in the making.
#[derive(Debug, Default)]
pub struct Bits {
    bits: Vec<u8>,
    rows: usize,
}

impl<'a> Value<'a> for bool {
    const DATA_TYPE: DataType = DataType::Boolean;
    type Values = &'a [u8];
    type Store = Bits;

    fn values(column: &'a Column) -> Option<&'a [u8]> {
        match &column.values {
            Values::Booleans(bits) => Some(bits),
            _ => None,
        }
    }

    #[inline]
    fn at(bits: &'a [u8], row: usize) -> Self {
        bit(bits, row)
    }

    #[inline]
    fn add(self, store: &mut Bits) {
        push_bit(&mut store.bits, store.rows, self);
        store.rows += 1;
    }

    fn add_blank(store: &mut Bits) {
        false.add(store);
    }

    fn finish(store: Bits) -> Values {
        Values::Booleans(store.bits)
    }
}

/// Text of a column: checked once to be UTF-8.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    offsets: &'a [i32],
    text: &'a str,
}

impl<'a> Texts<'a> {
    fn of(strings: &'a Strings) -> Option<Self> {
        Some(Self { offsets: &strings.offsets, text: str::from_utf8(&strings.bytes).ok()? })
    }

    /// The text at `row`.
    #[inline]
    pub fn at(&self, row: usize) -> &'a str {
        &self.text[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }
}

/// Strings of a column in the making.
#[derive(Debug)]
pub struct StringStore(Strings);

impl Default for StringStore {
    fn default() -> Self {
        Self(Strings { offsets: vec![0], bytes: Vec::new() })
    }
}

impl StringStore {
    #[inline]
    fn add(&mut self, value: &[u8]) {
        self.0.bytes.extend_from_slice(value);
        self.0.offsets.push(self.0.bytes.len() as i32);
    }
}

/// Values of variable length, in all the ways in which Rust may hold them.
macro_rules! variable_size {
    ($($value:ty, $data_type:ident, $values:ident, $view:ty, $read:expr, $at:expr, $value_ref:ident => $bytes:expr;)*) => {$(
        impl<'a> Value<'a> for $value {
            const DATA_TYPE: DataType = DataType::$data_type;
            type Values = $view;
            type Store = StringStore;

            fn values(column: &'a Column) -> Option<$view> {
                match &column.values {
                    Values::$values(strings) => $read(strings),
                    _ => None,
                }
            }

            #[inline]
            fn at(values: $view, row: usize) -> Self {
                $at(values, row)
            }

            #[inline]
            fn add(self, store: &mut StringStore) {
                let $value_ref = &self;
                store.add($bytes);
            }

            fn add_blank(store: &mut StringStore) {
                store.add(&[]);
            }

            fn finish(store: StringStore) -> Values {
                Values::$values(store.0)
            }
        }
    )*};
}

fn binary(strings: &Strings, row: usize) -> &[u8] {
    &strings.bytes[strings.offsets[row] as usize..strings.offsets[row + 1] as usize]
}

variable_size! {
    &'a str, Text, Texts, Texts<'a>, Texts::of, |texts: Texts<'a>, row| texts.at(row), text => text.as_bytes();
    Cow<'a, str>, Text, Texts, Texts<'a>, Texts::of, |texts: Texts<'a>, row| Cow::Borrowed(texts.at(row)),
        text => text.as_bytes();
    String, Text, Texts, Texts<'a>, Texts::of, |texts: Texts<'a>, row| texts.at(row).to_owned(), text => text.as_bytes();
    Json<&'a str>, Json, Jsons, Texts<'a>, Texts::of, |texts: Texts<'a>, row| Json(texts.at(row)),
        json => json.0.as_bytes();
    Json<String>, Json, Jsons, Texts<'a>, Texts::of, |texts: Texts<'a>, row| Json(texts.at(row).to_owned()),
        json => json.0.as_bytes();
    &'a [u8], Bytes, Binaries, &'a Strings, Some, binary, bytes => bytes;
    Vec<u8>, Bytes, Binaries, &'a Strings, Some, |strings, row| binary(strings, row).to_vec(), bytes => bytes;
}
