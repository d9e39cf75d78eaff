//! Changes of rows, where they are made and on their way to a relation.

use azenha_model::Offset;

use crate::wire::Malformed;

/// Which of two changes of one row is the later one: numbers, the row's own first, as big-endian bytes, so that bytes
/// compare as the numbers do. See [`azenha_model::relation`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(Box<[u8]>);

impl Version {
    /// The version of a row that changed in its own topic. Even the first change there is later than none.
    pub fn of(offset: Offset) -> Self {
        Self((offset + 1).to_be_bytes().into())
    }

    /// Before every change.
    pub fn zero(numbers: u8) -> Self {
        Self(vec![0; usize::from(numbers) * size_of::<u64>()].into())
    }

    /// A version that was written before.
    pub fn read(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The version of a row with another one beside it.
    pub fn beside(&self, other: &Self) -> Self {
        Self([&*self.0, &*other.0].concat().into())
    }

    /// What [`Version::read`] reads.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// How a row of a table stood, and how it stands now. At least one of both is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// The columns that identify it.
    pub key: Box<[u8]>,
    /// Later than that of every change before.
    pub version: Version,
    /// The row before; none if it is new.
    pub old: Option<Box<[u8]>>,
    /// The row now; none if it is deleted.
    pub new: Option<Box<[u8]>>,
}

/// A change on its way to the group that the row belongs to, or belonged to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent<'a> {
    /// The table's place among those of the relation.
    pub table: u8,
    /// The version of the change.
    pub version: Version,
    /// The columns that identify the row.
    pub key: &'a [u8],
    /// The row; none if it does not belong to the group any more.
    pub row: Option<&'a [u8]>,
}

impl<'a> Sent<'a> {
    /// What crosses the internal topic.
    pub fn write(&self) -> Vec<u8> {
        let version = self.version.bytes();
        let row = self.row.unwrap_or_default();
        let mut bytes = Vec::with_capacity(7 + version.len() + self.key.len() + row.len());
        bytes.extend([self.table, self.row.is_some().into(), version.len() as u8]);
        bytes.extend(version);
        bytes.extend((self.key.len() as u32).to_le_bytes());
        bytes.extend(self.key);
        bytes.extend(row);
        bytes
    }

    /// Reads what [`Sent::write`] wrote.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let too_short = || Malformed("a change of a row ends too early".to_owned());
        let ([table, is_there, length], rest) = bytes.split_first_chunk::<3>().ok_or_else(too_short)?;
        let (version, rest) = rest.split_at_checked(usize::from(*length)).ok_or_else(too_short)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(too_short)?;
        let (key, row) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(too_short)?;
        Ok(Self { table: *table, version: Version::read(version), key, row: (*is_there != 0).then_some(row) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_later_by_its_first_number_that_differs() {
        let version = |own, other| Version::of(own).beside(&Version::of(other));
        assert!(version(1, 0) > version(0, u64::MAX - 1));
        assert!(version(256, 0) > version(255, 1));
        assert!(version(1, 2) > version(1, 1));
        assert!(version(0, 0) > Version::of(0).beside(&Version::zero(1)));
    }

    #[test]
    fn a_change_is_read_back_as_it_was_sent() {
        for row in [Some(&b"row"[..]), Some(b""), None] {
            let sent = Sent { table: 3, version: Version::of(7), key: b"key", row };
            assert_eq!(Sent::read(&sent.write()).unwrap(), sent);
        }
    }

    #[test]
    fn a_change_that_was_cut_is_refused() {
        let whole = Sent { table: 0, version: Version::of(7), key: b"key", row: None }.write();
        for length in 0..whole.len() {
            assert!(Sent::read(&whole[..length]).is_err(), "{length}");
        }
    }
}
