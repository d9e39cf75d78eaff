//! Commits: what a lane has done becomes durable, all at once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow_array::{Array, BooleanArray};
use arrow_select::filter::{filter, filter_record_batch};
use azenha_model::Offset;
use futures::{StreamExt, TryStreamExt, stream};

use crate::dead_letter::{Cause, Complaint, DeadLetters};
use crate::end::{Cut, StoreBatch};
use crate::error::EngineError;
use crate::failpoint;
use crate::log::{Append, Commit, LaneLog, Log};
use crate::objects::{Creation, NewObject, Objects, Replacement, Tag};
use crate::store::{RefusedRow, StoreError, StoreLane, StoreRows};

/// Objects that are put at once.
const PUTS: usize = 16;

/// The right to commit, and where.
pub enum Delivery {
    /// Outputs, state and position in one transaction of the log.
    Log(LogDelivery),
    /// Rows and position in one transaction of a store.
    Store(Box<dyn StoreLane>),
}

/// Everything of one commit.
pub struct Batch {
    /// The next offset to read.
    pub position: Offset,
    /// Records for topics, dead letters not among them.
    pub appends: Vec<Append>,
    /// Rows for a store.
    pub rows: Vec<StoreBatch>,
    /// Objects.
    pub cut: Option<StoredCut>,
    /// Dead letters so far; rows that the store refuses join them.
    pub dead: DeadLetters,
    /// The topic of dead letters.
    pub dead_topic: String,
    /// The sink, for dead letters of rows that the store refuses.
    pub step: Arc<str>,
}

/// The right to commit to the log.
pub struct LogDelivery {
    lane: Box<dyn LaneLog>,
    /// What identifies the content of the objects that this lane replaced last, by their paths.
    tags: HashMap<String, Tag>,
}

impl LogDelivery {
    /// For a lane that has just been taken.
    pub fn new(lane: Box<dyn LaneLog>) -> Self {
        Self { lane, tags: HashMap::new() }
    }
}

/// Objects, and where they go.
pub struct StoredCut {
    /// The objects.
    pub cut: Cut,
    /// Where they go.
    pub store: Arc<dyn Objects>,
}

/// What a commit came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Committed {
    /// Dead letters written.
    pub dead: u64,
    /// Rows that the store refused.
    pub refused: u64,
}

impl Delivery {
    /// Commits. After an error the lane starts again from its stored position.
    pub async fn commit(&mut self, log: &Arc<dyn Log>, mut batch: Batch) -> Result<Committed, EngineError> {
        failpoint::reach("commit.prepared");
        let committed = match self {
            Self::Log(lane) => {
                if let Some(StoredCut { cut, store }) = batch.cut.take() {
                    lane.make(cut, store.as_ref()).await?;
                }
                let dead = batch.dead.len() as u64;
                batch.appends.extend(dead_append(&mut batch.dead, &batch.dead_topic));
                lane.lane.commit(Commit { position: batch.position, appends: batch.appends }).await?;
                Committed { dead, refused: 0 }
            }
            Self::Store(lane) => store(lane.as_mut(), log, batch).await?,
        };
        failpoint::reach("commit.done");
        Ok(committed)
    }
}

fn dead_append(dead: &mut DeadLetters, topic: &str) -> Option<Append> {
    (!dead.is_empty()).then(|| Append { topic: topic.to_owned(), partition: 0, records: dead.take() })
}

impl LogDelivery {
    async fn make(&mut self, cut: Cut, store: &dyn Objects) -> Result<(), EngineError> {
        match cut.promise {
            Some(promise) => self.create(cut.from, promise, cut.objects, store).await?,
            None => self.replace(cut.from, cut.objects, store).await?,
        }
        failpoint::reach("objects.put");
        Ok(())
    }

    /// Puts new objects, once the log knows what is in them. A crash before the commit that follows makes the next owner
    /// put the same objects again.
    async fn create(
        &mut self,
        from: Offset,
        promise: Append,
        objects: Vec<NewObject>,
        store: &dyn Objects,
    ) -> Result<(), EngineError> {
        self.lane.commit(Commit { position: from, appends: vec![promise] }).await?;
        failpoint::reach("objects.promised");
        let puts = objects.into_iter().map(|object| put(object, store));
        stream::iter(puts).buffer_unordered(PUTS).try_collect::<()>().await
    }

    /// Replaces objects. Each is expected as this lane left it, so that an earlier owner who comes late finds it changed.
    async fn replace(&mut self, from: Offset, objects: Vec<NewObject>, store: &dyn Objects) -> Result<(), EngineError> {
        for NewObject { path, content } in objects {
            loop {
                let expected = match self.tags.remove(&path) {
                    Some(tag) => Some(tag),
                    None => store.get(&path).await?.map(|found| found.tag),
                };
                if let Replacement::Done(tag) = store.replace(&path, content.clone(), expected.as_ref()).await? {
                    self.tags.insert(path, tag);
                    break;
                }
                // Somebody else wrote it. Whoever has lost the lane ends here.
                self.lane.commit(Commit { position: from, appends: Vec::new() }).await?;
            }
        }
        Ok(())
    }
}

/// Puts one object. What stands at its path was not announced: its writer died before that, and may have run other code
/// than this one. The promise before shows that the lane is this host's.
async fn put(object: NewObject, objects: &dyn Objects) -> Result<(), EngineError> {
    let NewObject { path, content } = object;
    loop {
        if objects.create(&path, content.clone()).await? == Creation::Made {
            return Ok(());
        }
        let Some(found) = objects.get(&path).await? else { continue };
        if found.content == content {
            return Ok(());
        }
        if let Replacement::Done(_) = objects.replace(&path, content.clone(), Some(&found.tag)).await? {
            return Ok(());
        }
    }
}

/// Dead letters are durable before the store's position passes them: a crash in between writes them again,
/// with the same ids.
async fn store(lane: &mut dyn StoreLane, log: &Arc<dyn Log>, mut batch: Batch) -> Result<Committed, EngineError> {
    let mut committed = Committed::default();
    loop {
        committed.dead += batch.dead.len() as u64;
        let dead = dead_append(&mut batch.dead, &batch.dead_topic);
        if let Some(append) = dead {
            log.append(vec![append]).await?;
            failpoint::reach("commit.dead_letters_written");
        }
        let rows: Vec<StoreRows> = batch.rows.iter().map(|batch| batch.rows.clone()).collect();
        match lane.commit(&rows, batch.position).await {
            Ok(()) => return Ok(committed),
            Err(StoreError::Refused(refused)) if !refused.is_empty() => {
                committed.refused += refused.len() as u64;
                for row in &refused {
                    let from = &batch.rows[row.batch];
                    let complaint = Complaint::new(Cause::Refused, row.reason.clone());
                    batch.dead.push(&batch.step, &from.source, from.origin.value(row.row), &complaint);
                }
                batch.rows = without(batch.rows, &refused)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Leaves refused rows out.
fn without(batches: Vec<StoreBatch>, refused: &[RefusedRow]) -> Result<Vec<StoreBatch>, EngineError> {
    let places: BTreeSet<(usize, usize)> = refused.iter().map(|row| (row.batch, row.row)).collect();
    let mut kept = Vec::with_capacity(batches.len());
    for (index, batch) in batches.into_iter().enumerate() {
        let keep: BooleanArray = (0..batch.origin.len()).map(|row| Some(!places.contains(&(index, row)))).collect();
        let primitive = |array: &dyn Array| filter(array, &keep);
        let rows = StoreRows {
            batch: filter_record_batch(&batch.rows.batch, &keep)?,
            deletes: match &batch.rows.deletes {
                Some(deletes) => Some(arrow_array::cast::AsArray::as_boolean(&primitive(deletes)?).clone()),
                None => None,
            },
            offsets: batch
                .rows
                .offsets
                .iter()
                .zip(keep.values())
                .filter(|(_, keep)| *keep)
                .map(|(at, _)| *at)
                .collect(),
        };
        let origin = arrow_array::cast::AsArray::as_primitive(&primitive(&batch.origin)?).clone();
        kept.push(StoreBatch { rows, source: batch.source, origin });
    }
    Ok(kept)
}
