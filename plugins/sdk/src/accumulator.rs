//! Accumulators as bytes: how the host keeps them.

use std::collections::{BTreeMap, BTreeSet};

use crate::decimal::Decimal;
use crate::types::{Date, Time, Timestamp};

/// A state that an aggregate folds rows into. Derive it for a struct of such fields; when the fields of a
/// struct change, its encoding does, too: raise [`Aggregate::STATE_VERSION`](crate::Aggregate::STATE_VERSION).
///
/// Numbers are little-endian; what has a length is preceded by it, as a `u32`.
pub trait Accumulator: Sized {
    /// Appends the state to `bytes`; never nothing, because no bytes mean a new state.
    fn encode(&self, bytes: &mut Vec<u8>);
    /// Reads a state from the front of `bytes` and moves past it.
    fn decode(bytes: &mut &[u8]) -> Result<Self, String>;
}

/// Takes `count` bytes from the front.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], String> {
    let (front, rest) = bytes
        .split_at_checked(count)
        .ok_or_else(|| format!("the accumulator ends {} bytes early", count - bytes.len()))?;
    *bytes = rest;
    Ok(front)
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Accumulator for $number {
            #[inline]
            fn encode(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn decode(bytes: &mut &[u8]) -> Result<Self, String> {
                match bytes.split_first_chunk() {
                    Some((front, rest)) => {
                        *bytes = rest;
                        Ok(Self::from_le_bytes(*front))
                    }
                    None => Err(format!("the accumulator ends within a number: {} bytes are left", bytes.len())),
                }
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64);

macro_rules! wrappers {
    ($($wrapper:ident),*) => {$(
        impl Accumulator for $wrapper {
            #[inline]
            fn encode(&self, bytes: &mut Vec<u8>) {
                self.0.encode(bytes);
            }

            #[inline]
            fn decode(bytes: &mut &[u8]) -> Result<Self, String> {
                Accumulator::decode(bytes).map(Self)
            }
        }
    )*};
}

wrappers!(Date, Time, Timestamp);

impl<const SCALE: u8> Accumulator for Decimal<SCALE> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.0.encode(bytes);
    }

    fn decode(bytes: &mut &[u8]) -> Result<Self, String> {
        Accumulator::decode(bytes).map(Self)
    }
}

impl Accumulator for bool {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(*self));
    }

    fn decode(bytes: &mut &[u8]) -> Result<Self, String> {
        match u8::decode(bytes)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(format!("the accumulator holds {other} where 0 or 1 should be")),
        }
    }
}

impl Accumulator for String {
    fn encode(&self, bytes: &mut Vec<u8>) {
        (self.len() as u32).encode(bytes);
        bytes.extend_from_slice(self.as_bytes());
    }

    fn decode(bytes: &mut &[u8]) -> Result<Self, String> {
        let length = u32::decode(bytes)? as usize;
        let text = take(bytes, length)?;
        str::from_utf8(text).map(str::to_owned).map_err(|error| format!("the accumulator's text: {error}"))
    }
}

impl<T: Accumulator> Accumulator for Option<T> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.is_some().encode(bytes);
        if let Some(value) = self {
            value.encode(bytes);
        }
    }

    fn decode(bytes: &mut &[u8]) -> Result<Self, String> {
        bool::decode(bytes)?.then(|| T::decode(bytes)).transpose()
    }
}

/// Collections, by their items in order.
macro_rules! collections {
    ($($collection:ty [$($bounds:tt)*] $item:ty, $borrowed:pat => $parts:expr;)*) => {$(
        impl<$($bounds)*> Accumulator for $collection {
            fn encode(&self, bytes: &mut Vec<u8>) {
                (self.len() as u32).encode(bytes);
                for $borrowed in self {
                    $parts(bytes);
                }
            }

            fn decode(bytes: &mut &[u8]) -> Result<Self, String> {
                let length = u32::decode(bytes)?;
                (0..length).map(|_| <$item>::decode(bytes)).collect()
            }
        }
    )*};
}

collections! {
    Vec<T> [T: Accumulator] T, item => |bytes: &mut _| item.encode(bytes);
    BTreeSet<T> [T: Accumulator + Ord] T, item => |bytes: &mut _| item.encode(bytes);
    BTreeMap<K, V> [K: Accumulator + Ord, V: Accumulator] (K, V), (key, value) => |bytes: &mut _| {
        key.encode(bytes);
        value.encode(bytes);
    };
}

macro_rules! tuples {
    ($(($($part:ident),*))*) => {$(
        impl<$($part: Accumulator),*> Accumulator for ($($part,)*) {
            fn encode(&self, bytes: &mut Vec<u8>) {
                #[allow(non_snake_case, reason = "the types' names serve as the parts', too")]
                let ($($part,)*) = self;
                $($part.encode(bytes);)*
            }

            fn decode(bytes: &mut &[u8]) -> Result<Self, String> {
                Ok(($($part::decode(bytes)?,)*))
            }
        }
    )*};
}

tuples! { (A, B) (A, B, C) (A, B, C, D) }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded() {
        type State = (Vec<String>, Option<i64>, BTreeMap<String, f64>, BTreeSet<u8>);
        let state: State = (
            vec!["moinho".to_owned(), String::new()],
            Some(-7),
            BTreeMap::from([("water".to_owned(), 0.5)]),
            BTreeSet::from([3, 1]),
        );
        let mut bytes = Vec::new();
        state.encode(&mut bytes);
        let mut rest = bytes.as_slice();
        assert_eq!(State::decode(&mut rest), Ok(state));
        assert!(rest.is_empty());
    }

    #[test]
    fn a_truncated_accumulator_is_an_error_at_every_length() {
        let mut bytes = Vec::new();
        (vec!["moinho".to_owned()], Some(7i64)).encode(&mut bytes);
        for length in 0..bytes.len() {
            let decoded = <(Vec<String>, Option<i64>)>::decode(&mut &bytes[..length]);
            assert!(decoded.is_err(), "{length} of {} bytes", bytes.len());
        }
    }
}
