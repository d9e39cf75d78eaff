//! The past of a source: the objects that stand in its folder, as announcements of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use arrow_array::BinaryArray;
use azenha_engine::log::{Append, Bounds, Log, ReadLimit};
use azenha_engine::objects::{Announcement, Object, Objects, folders_of};
use azenha_formats::objects::records_in;
use azenha_model::civil::{format_date, parse_date};
use azenha_model::plan::{History, Layout, Plan, TopicSpec};
use azenha_model::{Fetched, Offset, Records};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

/// Objects that are fetched at once, to be counted.
const FETCHES: usize = 8;

/// Records that are read at once.
pub const LIMIT: ReadLimit = ReadLimit { records: 10_000, bytes: 16 << 20, wait: Duration::ZERO };

/// Days, both included: those whose folders are read. Objects that stand in no folder of a date are read always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dates {
    /// Days since 1970.
    pub first: i32,
    /// Days since 1970.
    pub last: i32,
}

impl fmt::Display for Dates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", format_date(self.first), format_date(self.last))
    }
}

impl FromStr for Dates {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let date = |text: &str| parse_date(text).ok_or_else(|| format!("`{text}` is no date: write 2024-01-31"));
        let (first, last) = (date(first)?, date(last)?);
        if first <= last { Ok(Self { first, last }) } else { Err("the first date is behind the last".to_owned()) }
    }
}

/// A part of a source's past: an object that a log announces, or records that stand in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// The source.
    pub source: String,
    /// The path of the object, or where else the records stand.
    pub name: String,
    /// The topic that announces it, or holds its records.
    pub topic: String,
    /// The partition of that topic.
    pub partition: u32,
    /// The offsets of the announcement, or of the records.
    pub offsets: Range<Offset>,
    /// The records in it, counted apart from reading them.
    pub records: u64,
    /// Its size.
    pub bytes: u64,
}

/// The objects of a source's past, as they will be announced.
pub struct Found<'a> {
    /// The source.
    pub history: &'a History,
    /// The topic that will announce them.
    pub topic: &'a TopicSpec,
    /// The objects, in the order in which they are read: those that were made of one partition of a topic after each other.
    pub announcements: Vec<Announcement>,
    /// Of each topic and partition the first offsets of all objects that were made of it, whatever their days.
    pub kept: Kept,
}

/// First offsets of objects, by the topic and partition that they were made of.
pub type Kept = BTreeMap<(String, u32), BTreeSet<Offset>>;

/// Finds the past of those sources of which a log knows nothing yet.
pub async fn find<'a>(
    log: &dyn Log,
    plan: &'a Plan,
    stores: &HashMap<String, Arc<dyn Objects>>,
    dates: Option<Dates>,
) -> Result<Vec<Found<'a>>> {
    let mut found = Vec::new();
    for history in &plan.histories {
        let store = store_of(history, stores)?;
        let topic = plan.topics.iter().find(|topic| topic.name == history.topic);
        let topic = topic.with_context(|| format!("nothing reads source `{}`", history.source))?;
        if is_empty(log, topic).await? {
            let (announcements, kept) = objects(history, store, dates).await?;
            found.push(Found { history, topic, announcements, kept });
        }
    }
    Ok(found)
}

/// Announces what was found: all of it or nothing.
pub async fn announce(log: &dyn Log, found: &[Found<'_>], now: i64) -> Result<()> {
    Ok(log.append(appends(found, now)?).await?)
}

/// What announces what was found.
pub fn appends(found: &[Found<'_>], now: i64) -> Result<Vec<Append>> {
    let mut values: BTreeMap<(&str, u32), Vec<Vec<u8>>> = BTreeMap::new();
    for Found { topic, announcements, .. } in found {
        for announcement in announcements {
            let partition = announcement.topic_partition % topic.partitions;
            values.entry((&topic.name, partition)).or_default().push(serde_json::to_vec(announcement)?);
        }
    }
    let append = |((topic, partition), values): ((&str, u32), Vec<Vec<u8>>)| Append {
        topic: topic.to_owned(),
        partition,
        records: Records::unkeyed(BinaryArray::from_iter_values(values), now),
    };
    Ok(values.into_iter().map(append).collect())
}

/// Makes a topic if it is missing, and says whether it never had a record.
async fn is_empty(log: &dyn Log, topic: &TopicSpec) -> Result<bool> {
    log.ensure_topic(topic).await?;
    never_written(log, &topic.name).await
}

/// Whether a topic never had a record, or is not there. An end alone does not say: in Kafka a transaction that was aborted
/// leaves offsets behind, and no records.
pub async fn never_written(log: &dyn Log, name: &str) -> Result<bool> {
    let partitions = log.topic(name).await?.map_or(0, |topic| topic.spec.partitions);
    for partition in 0..partitions {
        if log.bounds(name, partition).await?.start > 0 {
            return Ok(false);
        }
        let mut pieces = Pieces::of(log, name, partition).await?;
        while let Some(fetched) = pieces.next().await? {
            if !fetched.offsets.is_empty() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The past that a log announces.
pub async fn announced(log: &dyn Log, plan: &Plan) -> Result<Vec<Past>> {
    let mut past = Vec::new();
    for history in &plan.histories {
        past.extend(announced_of(log, plan, history).await?);
    }
    Ok(past)
}

/// The past of a source that a log announces.
pub async fn announced_of(log: &dyn Log, plan: &Plan, History { source, topic, .. }: &History) -> Result<Vec<Past>> {
    let mut past = Vec::new();
    let partitions = plan.topics.iter().find(|spec| spec.name == *topic).map_or(0, |spec| spec.partitions);
    for partition in 0..partitions {
        let mut pieces = Pieces::of(log, topic, partition).await?;
        while let Some(fetched) = pieces.next().await? {
            for (offset, value) in fetched.offsets.iter().zip(&fetched.records.values) {
                let Ok(announced) = serde_json::from_slice::<Announcement>(value.unwrap_or_default()) else {
                    // Who reads the topic makes a dead letter of it.
                    tracing::warn!(topic, partition, offset, "what is no announcement is not counted as the past");
                    continue;
                };
                past.push(Past {
                    source: source.clone(),
                    name: announced.path,
                    topic: topic.clone(),
                    partition,
                    offsets: *offset..offset + 1,
                    records: announced.rows,
                    bytes: announced.bytes,
                });
            }
        }
    }
    Ok(past)
}

/// Reads what a partition holds now, a piece after the other.
pub struct Pieces<'a> {
    log: &'a dyn Log,
    topic: &'a str,
    partition: u32,
    from: Offset,
    end: Offset,
}

impl<'a> Pieces<'a> {
    /// From the first record to the one that is the last now.
    pub async fn of(log: &'a dyn Log, topic: &'a str, partition: u32) -> Result<Self> {
        let Bounds { start, end } = log.bounds(topic, partition).await?;
        Ok(Self { log, topic, partition, from: start, end })
    }

    /// The next piece; none at the end.
    pub async fn next(&mut self) -> Result<Option<Fetched>> {
        let Self { log, topic, partition, from, end } = self;
        if from >= end {
            return Ok(None);
        }
        let fetched = log.read(topic, *partition, *from, LIMIT).await?;
        ensure!(fetched.next > *from, "{topic}/{partition} gave nothing at offset {from}, before its end, {end}");
        *from = fetched.next;
        Ok(Some(fetched))
    }
}

/// The paths of the objects of a source's past.
pub async fn paths(
    history: &History,
    stores: &HashMap<String, Arc<dyn Objects>>,
    dates: Option<Dates>,
) -> Result<Vec<String>> {
    let mut found = listed(history, store_of(history, stores)?).await?;
    found.retain(|object| object.is_within(dates));
    found.sort();
    Ok(found.into_iter().map(|object| object.path).collect())
}

async fn listed(history: &History, store: &Arc<dyn Objects>) -> Result<Vec<Named>> {
    Ok(store.list(&history.folder).await?.into_iter().map(|object| Named::of(object.path)).collect())
}

fn store_of<'a>(history: &History, stores: &'a HashMap<String, Arc<dyn Objects>>) -> Result<&'a Arc<dyn Objects>> {
    stores.get(&history.connection).with_context(|| format!("no connection `{}`", history.connection))
}

/// The objects of a source's past, in the order in which they are read, and what those of other days were made of.
async fn objects(
    history: &History,
    store: &Arc<dyn Objects>,
    dates: Option<Dates>,
) -> Result<(Vec<Announcement>, Kept)> {
    let mut found = listed(history, store).await?;
    let mut kept = Kept::new();
    for (topic, partition, offset) in found.iter().filter_map(|object| object.origin.clone()) {
        kept.entry((topic, partition)).or_default().insert(offset);
    }
    found.retain(|object| object.is_within(dates));
    found.sort();
    let counting = stream::iter(found).map(|object| counted(object, history, store)).buffered(FETCHES);
    Ok((counting.try_collect().await?, kept))
}

/// What the path of an object says, in the order in which objects are read.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    /// The topic and partition that it was made of, and its first offset; none if its name does not say so.
    origin: Option<(String, u32, Offset)>,
    path: String,
}

impl Named {
    fn of(path: String) -> Self {
        let name = path.rsplit('/').next().unwrap_or_default();
        let end = EXTENSIONS.iter().find_map(|extension| name.rfind(extension));
        let stem = &name[..end.unwrap_or(name.len())];
        Self { origin: origin(stem), path }
    }

    /// Whether it is one record, as sinks of `format: record` write them, and not lines.
    fn is_record(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        ["", ".gz", ".zst"].iter().any(|packed| name.ends_with(&format!(".json{packed}")))
    }

    fn is_within(&self, dates: Option<Dates>) -> bool {
        let Some(Dates { first, last }) = dates else { return true };
        let mut days = folders_of(&self.path).filter_map(|(_, value)| parse_date(&value?));
        days.all(|day| (first..=last).contains(&day))
    }
}

/// With what the names of objects go on behind their offset, perhaps with one of compression behind that.
const EXTENSIONS: [&str; 3] = [".ndjson", ".json", ".parquet"];

/// `TOPIC-PARTITION-OFFSET`
fn origin(stem: &str) -> Option<(String, u32, Offset)> {
    let (rest, offset) = stem.rsplit_once('-')?;
    let (topic, partition) = rest.rsplit_once('-')?;
    Some((topic.to_owned(), partition.parse().ok()?, offset.parse().ok()?))
}

async fn counted(object: Named, history: &History, store: &Arc<dyn Objects>) -> Result<Announcement> {
    let path = &object.path;
    let Object { content, .. } = store.get(path).await?.with_context(|| format!("object `{path}` is gone"))?;
    let layout = if object.is_record() { Layout::Record } else { history.layout };
    let (name, counted) = (path.clone(), Arc::new(content.clone()));
    // What cannot be read is refused, and told, when its rows are wanted.
    let rows = spawn_blocking(move || records_in(&name, layout, counted)).await?;
    if let Some(failure) = content.failure() {
        bail!("object `{path}` cannot be read from the data directory: {failure}");
    }
    let partition = folders_of(path).collect();
    let (topic, topic_partition, from) = object.origin.unwrap_or_default();
    Ok(Announcement {
        table: history.folder.clone(),
        format: layout.to_string(),
        partition,
        topic,
        topic_partition,
        from,
        to: from,
        rows,
        bytes: content.bytes(),
        sha256: content.sha256().to_owned(),
        path: object.path,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn named(path: &str) -> Named {
        Named::of(path.to_owned())
    }

    #[test]
    fn objects_are_read_in_the_order_of_the_offsets_that_they_were_made_of() {
        let mut found = [
            named("raw/date=2024-01-01/shop.orders-0000-0000000000000100.ndjson.zst"),
            named("raw/date=2024-01-02/shop.orders-0000-0000000000000020.ndjson.zst"),
            named("raw/date=2024-01-01/shop.orders-0001-0000000000000000.ndjson.zst"),
            named("raw/elsewhere.ndjson"),
        ];
        found.sort();
        let origins: Vec<_> = found.iter().map(|object| object.origin.clone()).collect();
        let of = |partition, offset| Some(("shop.orders".to_owned(), partition, offset));
        assert_eq!(origins, [None, of(0, 20), of(0, 100), of(1, 0)]);
    }

    #[test]
    fn a_record_is_told_from_lines_by_the_end_of_its_name() {
        assert!(named("x/a-0000-1.json").is_record() && named("a.json.zst").is_record());
        assert!(
            !named("a.jsonl").is_record() && !named("x.json/a.parquet").is_record() && !named("a.ndjson").is_record()
        );
    }

    #[test]
    fn dates_choose_folders() {
        let dates: Dates = "2024-01-31..2024-02-01".parse().unwrap();
        assert!(named("raw/date=2024-02-01/a").is_within(Some(dates)));
        assert!(!named("raw/date=2024-02-02/a").is_within(Some(dates)));
        assert!(named("raw/kind=x/a").is_within(Some(dates)), "without a date it cannot be left out");
        assert_eq!("2024-01-31".parse::<Dates>().unwrap(), "2024-01-31..2024-01-31".parse().unwrap());
        assert!("2024-02-01..2024-01-31".parse::<Dates>().is_err() && "yesterday".parse::<Dates>().is_err());
    }
}
