//! What letters are called by.

use azenha_model::dead_letter::DeadLetter;
use sha2::{Digest, Sha256};

/// A short name of what has a long one: letters by the hundred thousand are known by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name([u8; 16]);

impl Name {
    /// Of a letter with this id.
    pub fn of_letter(id: &str) -> Self {
        let mut short = [0; 16];
        short.copy_from_slice(&Sha256::digest(id)[..16]);
        Self(short)
    }

    /// Of the record that a letter is about: an id ends with topic, partition, offset and a number. None if it is no id.
    pub fn of_record(id: &str) -> Option<Self> {
        record_of(id).map(Self::of_letter)
    }
}

/// The place of the record that the letter with an id is about: `topic/partition/offset`.
pub fn record_of(id: &str) -> Option<&str> {
    let behind_step = id.match_indices('/').nth(2)?.0 + 1;
    id[behind_step..].rsplit_once('/').map(|(record, _)| record)
}

/// The id that the first letter of a step about the same record has.
pub fn id_of_step(letter: &DeadLetter, step: &str) -> String {
    let DeadLetter { generation, pipeline, topic, partition, offset, .. } = letter;
    format!("{generation}/{pipeline}/{step}/{topic}/{partition}/{offset}/0")
}

/// The id of the letter of the same step and offset with another ordinal.
pub fn id_of_ordinal(id: &str, ordinal: u32) -> String {
    let of_step = id.rsplit_once('/').map_or(id, |(of_step, _)| of_step);
    format!("{of_step}/{ordinal}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_one_record_name_it_alike() {
        assert_eq!(record_of("0/shop/lines/orders.in/3/17/2"), Some("orders.in/3/17"));
        assert_eq!(Name::of_record("0/shop/lines/orders/3/17/2"), Name::of_record("1/shop/other/orders/3/17/0"));
        assert_ne!(Name::of_record("0/shop/lines/orders/3/17/2"), Name::of_record("0/shop/lines/orders/3/18/2"));
        assert_eq!(record_of("0/shop"), None);
    }
}
