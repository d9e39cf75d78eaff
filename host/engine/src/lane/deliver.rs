//! Commits: what a lane has done becomes durable, all at once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow_array::{Array, BooleanArray};
use arrow_select::filter::{filter, filter_record_batch};
use azenha_model::Offset;
use azenha_model::dead_letter::Cause;
use futures::{StreamExt, TryStreamExt, stream};

use crate::dead_letter::{Complaint, DeadLetters};
use crate::end::{Cut, StoreBatch};
use crate::error::EngineError;
use crate::failpoint;
use crate::log::{Append, Commit, LaneLog, Log};
use crate::objects::{Creation, NewObject, Objects, Replacement, Tag};
use crate::spool::Content;
use crate::store::{RefusedRow, StoreError, StoreLane, StoreRows};

/// Small objects that are put at once.
const PUTS: usize = 16;

/// Large objects that are put at once: a store that takes them in parts holds some parts of each in memory.
const LARGE_PUTS: usize = 2;

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
    /// Records for topics, dead letters not among them. What goes to a store has none, but for the word that the lane runs
    /// another version.
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
        match cut.are_new {
            true => self.create(cut, store).await?,
            false => self.replace(cut, store).await?,
        }
        failpoint::reach("objects.put");
        Ok(())
    }

    /// Puts new objects, once the log knows what is in them. A crash before the commit that follows makes the next owner
    /// put the same objects again.
    async fn create(&mut self, cut: Cut, store: &dyn Objects) -> Result<(), EngineError> {
        let Cut { from, fence, objects, .. } = cut;
        self.fence(from, &fence).await?;
        failpoint::reach("objects.promised");
        let (small, large): (Vec<_>, Vec<_>) = objects.into_iter().partition(|object| object.content.is_in_memory());
        let mut others: Vec<Found> = Vec::new();
        for (objects, at_once) in [(small, PUTS), (large, LARGE_PUTS)] {
            let puts = stream::iter(objects).map(|object| put(object, store)).buffer_unordered(at_once);
            others.extend(puts.try_filter_map(async |found| Ok(found)).try_collect::<Vec<_>>().await?);
        }
        if others.is_empty() {
            return Ok(());
        }
        // Nobody was told of what stands there: its writer died before that, and ran other code than this one. It was
        // looked at before the lane was shown to be this host's, so nobody else has replaced it since.
        self.fence(from, &fence).await?;
        for Found { object: NewObject { path, content }, tag } in others {
            replace(&path, content, Some(&tag), store).await?;
        }
        Ok(())
    }

    /// Replaces objects. Each is expected as this lane left it, or as it stood before the lane was shown to be this host's.
    async fn replace(&mut self, cut: Cut, store: &dyn Objects) -> Result<(), EngineError> {
        let Cut { from, fence, objects, .. } = cut;
        let unknown = objects.iter().filter(|object| !self.tags.contains_key(&object.path));
        let mut found = HashMap::new();
        for object in unknown {
            found.insert(object.path.clone(), store.get(&object.path).await?.map(|found| found.tag));
        }
        if !found.is_empty() {
            self.fence(from, &fence).await?;
        }
        for NewObject { path, content } in objects {
            let expected = self.tags.remove(&path).or_else(|| found.remove(&path).flatten());
            let tag = replace(&path, content, expected.as_ref(), store).await?;
            self.tags.insert(path, tag);
        }
        Ok(())
    }

    /// A commit that moves nothing: it fails if the lane has another owner.
    async fn fence(&mut self, from: Offset, fence: &Append) -> Result<(), EngineError> {
        Ok(self.lane.commit(Commit { position: from, appends: vec![fence.clone()] }).await?)
    }
}

/// Another object than the one that was to be made.
struct Found {
    object: NewObject,
    tag: Tag,
}

/// Puts one object, unless one is there; gives it back if that is another one.
async fn put(object: NewObject, store: &dyn Objects) -> Result<Option<Found>, EngineError> {
    loop {
        if store.create(&object.path, object.content.clone()).await? == Creation::Made {
            return Ok(None);
        }
        let Some(found) = store.get(&object.path).await? else { continue };
        let is_other = object.content != found.content;
        return Ok(is_other.then_some(Found { object, tag: found.tag }));
    }
}

async fn replace(
    path: &str,
    content: Content,
    expected: Option<&Tag>,
    store: &dyn Objects,
) -> Result<Tag, EngineError> {
    match store.replace(path, content, expected).await? {
        Replacement::Done(tag) => Ok(tag),
        // The lane starts again: either it is another host's, or that one was slow.
        Replacement::Changed => {
            let what = format!("replacing object `{path}`");
            Err(StoreError::Unavailable { what, source: "somebody else has written it meanwhile".into() }.into())
        }
    }
}

/// Dead letters are durable before the store's position passes them: a crash in between writes them again,
/// with the same ids. So is the word that a version begins at a position: that holds whether or not the lane ever gets
/// beyond it.
async fn store(lane: &mut dyn StoreLane, log: &Arc<dyn Log>, mut batch: Batch) -> Result<Committed, EngineError> {
    let mut committed = Committed::default();
    if !batch.appends.is_empty() {
        log.append(batch.appends).await?;
    }
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
                    let complaint = Complaint::new(Cause::Refused, row.reason.clone()).on(from.refused(row.row));
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
        kept.push(StoreBatch { rows, origin, ..batch });
    }
    Ok(kept)
}
