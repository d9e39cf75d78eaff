//! What the first half of a step sends to the lanes of the second one.

use arrow_array::BinaryArray;
use azenha_model::Records;

use super::Moment;
use super::keeper::malformed;
use crate::error::EngineError;
use crate::exchange::{Cargo, Parcel, Sender, seal};
use crate::log::Append;
use crate::status::NO_TIME;
use crate::watermark::Progress;

/// Sends parcels to the partitions of an internal topic, and tells each of them how far the lane has come.
pub struct Outbox {
    topic: String,
    partitions: u32,
    /// The lane's own partition of the source.
    partition: u32,
    /// What the receivers were told last.
    told: Option<Progress>,
}

impl Outbox {
    /// What a lane that reads `partition` sends to `partitions` of `topic`. `told` is what an earlier owner of the lane
    /// told the receivers last.
    pub fn new(topic: &str, partitions: u32, partition: u32, told: Option<Progress>) -> Self {
        Self { topic: topic.to_owned(), partitions, partition, told }
    }

    /// The partitions that receive.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// How far the lane has come at a commit.
    pub fn progress(moment: &Moment) -> Progress {
        if moment.idle { Progress::Idle } else { Progress::At(moment.watermark) }
    }

    /// The messages of one commit; `shares` are the parcels of each partition. Every partition hears of progress, with
    /// parcels or without.
    pub fn messages(
        &mut self,
        moment: &Moment,
        cargo: Cargo,
        shares: &[Vec<Parcel>],
    ) -> Result<Vec<Append>, EngineError> {
        let progress = Self::progress(moment);
        let before = self.told.unwrap_or(Progress::At(NO_TIME));
        let sender = Sender { partition: self.partition, progress, from: moment.from, through: moment.position };
        let mut appends = Vec::new();
        for (partition, parcels) in shares.iter().enumerate() {
            if parcels.is_empty() && self.told == Some(progress) {
                continue;
            }
            let sealed = seal(sender, before, cargo, parcels).map_err(|source| malformed(&self.topic, source))?;
            let records = Records::unkeyed(BinaryArray::from_iter_values(sealed), moment.timestamp);
            appends.push(Append { topic: self.topic.clone(), partition: partition as u32, records });
        }
        self.told = Some(progress);
        Ok(appends)
    }
}
