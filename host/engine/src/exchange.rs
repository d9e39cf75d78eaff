//! What crosses internal topics. In front of an aggregation: groups that one source lane folded (or rows, if the plugin
//! does not merge), and how far that lane's event time has come. In front of a relation: changes of rows. In front of a
//! lookup: both rows, with their times, and changes of rows.

use azenha_model::Offset;

use crate::edition::Version;
use crate::watermark::Progress;
use crate::wire::{Frame, Malformed, Writer};

const VERSION: u8 = 1;

/// Kinds of cargo. Hosts before versions were told apart wrote the first one, for accumulators of the version that they ran.
const UNVERSIONED_PARTIALS: u8 = 0;
const ROWS: u8 = 1;
const CHANGES: u8 = 2;
const PARTIALS: u8 = 3;

/// A message is closed once it holds so many bytes before compression.
const MESSAGE_BYTES: usize = 512 * 1024;

/// What the parcels of a message are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cargo {
    /// Accumulators to merge; none: written before it was told whose.
    Partials(Option<Writing>),
    /// Rows of a stream. In front of an aggregation as `arrow-row` writes the columns that the plugin reads, in front of a
    /// lookup as [`crate::relation::StreamRow`] writes them.
    Rows,
    /// Changes of rows of tables: see [`crate::relation`].
    Changes,
}

/// Which code wrote accumulators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writing {
    /// The version of the accumulators, as the plugin counts.
    pub state_version: u32,
    /// The version of the pipeline.
    pub edition: Version,
}

/// One group's part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// The group's key, as in the state.
    pub key: Box<[u8]>,
    /// An accumulator or a row.
    pub payload: Vec<u8>,
    /// How many rows are in it.
    pub rows: u64,
}

/// Where a message comes from and what its sender says of its progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// The partition of the source.
    pub partition: u32,
    /// The sender's watermark once this message's parcels are applied.
    pub progress: Progress,
    /// The first offset of the source that this commit covers.
    pub from: Offset,
    /// The offset after the last one.
    pub through: Offset,
}

/// A message of an exchange, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who sent it.
    pub sender: Sender,
    /// What its parcels are.
    pub cargo: Cargo,
    /// One for each group, or row.
    pub parcels: Vec<Parcel>,
}

/// The messages of one commit for one partition: at least one, if only for the sender's progress. The
/// progress stands in the last alone, because it holds only when all parcels before it are applied.
pub fn seal(sender: Sender, before: Progress, cargo: Cargo, parcels: &[Parcel]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut sealed = Vec::new();
    let mut rest = parcels;
    loop {
        let mut bytes = 0;
        let count = rest
            .iter()
            .take_while(|parcel| {
                let fits = bytes < MESSAGE_BYTES;
                bytes += parcel.key.len() + parcel.payload.len();
                fits
            })
            .count();
        let (now, later) = rest.split_at(count);
        let progress = if later.is_empty() { sender.progress } else { before };
        sealed.push(seal_one(Sender { progress, ..sender }, cargo, now)?);
        if later.is_empty() {
            return Ok(sealed);
        }
        rest = later;
    }
}

fn seal_one(sender: Sender, cargo: Cargo, parcels: &[Parcel]) -> Result<Vec<u8>, Malformed> {
    let mut writer = Writer::new(VERSION, tag(cargo));
    writer.u32(sender.partition);
    sender.progress.write(&mut writer);
    writer.u64(sender.from);
    writer.u64(sender.through);
    if let Cargo::Partials(Some(writing)) = cargo {
        writer.u32(writing.state_version);
        writer.u64(writing.edition);
    }
    for parcel in parcels {
        writer.bytes(&parcel.key);
        writer.bytes(&parcel.payload);
        writer.u64(parcel.rows);
    }
    writer.seal()
}

fn tag(cargo: Cargo) -> u8 {
    match cargo {
        Cargo::Partials(None) => UNVERSIONED_PARTIALS,
        Cargo::Partials(Some(_)) => PARTIALS,
        Cargo::Rows => ROWS,
        Cargo::Changes => CHANGES,
    }
}

/// Reads a message back.
pub fn open(sealed: &[u8]) -> Result<Message, Malformed> {
    let frame = Frame::open(sealed, "message of an exchange", VERSION)?;
    let mut reader = frame.reader();
    let tag = reader.u8()?;
    let sender = Sender {
        partition: reader.u32()?,
        progress: Progress::read(&mut reader)?,
        from: reader.u64()?,
        through: reader.u64()?,
    };
    let cargo = match tag {
        UNVERSIONED_PARTIALS => Cargo::Partials(None),
        PARTIALS => Cargo::Partials(Some(Writing { state_version: reader.u32()?, edition: reader.u64()? })),
        ROWS => Cargo::Rows,
        CHANGES => Cargo::Changes,
        other => return Err(Malformed(format!("{other} is no kind of exchange message"))),
    };
    let mut parcels = Vec::new();
    while !reader.is_empty() {
        let (key, payload) = (reader.bytes()?.into(), reader.bytes()?.to_vec());
        parcels.push(Parcel { key, payload, rows: reader.u64()? });
    }
    Ok(Message { sender, cargo, parcels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_stands_in_the_last_message_of_a_commit_alone() {
        let sender = Sender { partition: 2, progress: Progress::At(90), from: 10, through: 20 };
        let parcel = |number: u8| Parcel { key: [number].into(), payload: vec![number; 300_000], rows: 3 };
        let parcels: Vec<Parcel> = (0..5).map(parcel).collect();
        let sealed =
            seal(sender, Progress::At(50), Cargo::Partials(Some(Writing { state_version: 7, edition: 3 })), &parcels)
                .unwrap();
        let messages: Vec<Message> = sealed.iter().map(|bytes| open(bytes).unwrap()).collect();
        assert!(messages.len() > 1);
        let (last, others) = messages.split_last().unwrap();
        assert_eq!(last.sender, sender);
        assert!(others.iter().all(|message| message.sender.progress == Progress::At(50)));
        let written = Cargo::Partials(Some(Writing { state_version: 7, edition: 3 }));
        assert!(messages.iter().all(|message| message.cargo == written));
        let back: Vec<Parcel> = messages.into_iter().flat_map(|message| message.parcels).collect();
        assert_eq!(back, parcels);
    }

    #[test]
    fn a_commit_without_rows_still_tells_its_progress() {
        let sender = Sender { partition: 0, progress: Progress::Idle, from: 7, through: 7 };
        let sealed = seal(sender, Progress::Idle, Cargo::Rows, &[]).unwrap();
        assert_eq!(open(&sealed[0]).unwrap(), Message { sender, cargo: Cargo::Rows, parcels: vec![] });
    }
}
