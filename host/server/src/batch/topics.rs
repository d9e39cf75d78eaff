//! A past that stands in topics: of a pipeline that runs live it is what they hold when a backfill begins. A run of a batch
//! copies it into its own log, where it stays whatever becomes of the topic.

use std::sync::Arc;

use anyhow::{Result, ensure};
use azenha_engine::log::{Append, Bounds, Log, Topic};
use azenha_model::config::HostConfig;
use azenha_model::plan::{Input, Layout, Plan};

use super::history::{LIMIT, Past};
use super::progress::{Pace, Progress};
use crate::browse::Browser;
use crate::ingest::SourceTopic;
use crate::usage::Usage;

/// A topic whose records a batch reads as if they were lines of a source's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPast {
    /// The source.
    pub source: String,
    /// What would announce its objects: so the run's own log calls the copy.
    pub copy: String,
    /// The topic of the host's log.
    pub topic: String,
}

impl TopicPast {
    /// Has a source of a plan read records and not objects.
    ///
    /// # Errors
    /// If no past of the source is known, or its objects are no records.
    pub fn instead_of_objects(plan: &mut Plan, source: &str, topic: &str) -> Result<Self> {
        let found = plan.histories.iter().position(|history| history.source == source);
        let history = &plan.histories[found.ok_or_else(|| unknown(plan, source))?];
        if history.layout == Layout::Parquet {
            let help = "give it `format: json`, and its columns the places where they stand in a record";
            return Err(
                Usage(format!("--from: `{source}` reads Parquet files, and a topic holds records; {help}")).into()
            );
        }
        let past = Self { source: source.to_owned(), copy: history.topic.clone(), topic: topic.to_owned() };
        plan.histories.retain(|history| history.source != source);
        for task in &mut plan.tasks {
            if let Input::Stream(stream) = &mut task.input
                && stream.topic == past.copy
            {
                stream.objects = None;
            }
        }
        Ok(past)
    }
}

/// What is wrong with a source that `--from` names.
pub fn unknown(plan: &Plan, source: &str) -> Usage {
    let known: Vec<&str> = plan.histories.iter().map(|history| history.source.as_str()).collect();
    if known.is_empty() {
        let pipeline = &plan.pipeline;
        return Usage(format!(
            "--from: no source of pipeline `{pipeline}` has a `folder`: it reads topics; leave --from out"
        ));
    }
    Usage(format!("--from: no source `{source}` has a folder; there is {}", known.join(", ")))
}

/// Copies what topics of the host's log hold now into the log of a run; what of it became which records there.
pub async fn copy(
    pasts: &[TopicPast],
    config: &HostConfig,
    log: &Arc<dyn Log>,
    plan: &Plan,
    tell: impl Fn(Progress),
) -> Result<Vec<Past>> {
    if pasts.is_empty() {
        return Ok(Vec::new());
    }
    let host = Browser::of(config).await?;
    let mut found = Vec::new();
    for past in pasts {
        let topic = topic(&host, &past.topic).await?;
        found.push((past, host.bounds(&topic).await?));
    }
    let total = found.iter().flat_map(|(_, bounds)| bounds).map(|bounds| bounds.end - bounds.start).sum();
    let (mut copied, mut done, mut pace) = (Vec::new(), 0, Pace::default());
    for (past, bounds) in found {
        let Some(spec) = plan.topics.iter().find(|spec| spec.name == past.copy) else { continue };
        log.ensure_topic(spec).await?;
        for (partition, bounds) in (0..).zip(bounds) {
            let told = |passed: u64| tell(pace.progress(done + passed, total));
            copied.push(
                copy_partition(past, (partition, bounds), &host, (&**log, partition % spec.partitions), told).await?,
            );
            done += bounds.end - bounds.start;
        }
    }
    Ok(copied)
}

async fn topic(host: &Browser, name: &str) -> Result<Topic> {
    let topics = host.topics().await?;
    let known: Vec<&str> = topics.iter().map(|topic| topic.spec.name.as_str()).collect();
    let unknown = || Usage(format!("--from: there is no topic `{name}`; there is {}", known.join(", ")));
    Ok(topics.iter().find(|topic| topic.spec.name == name).cloned().ok_or_else(unknown)?)
}

/// Copies a partition up to the end that it had, behind what stands in a partition of the run's log.
async fn copy_partition(
    TopicPast { source, copy, topic }: &TopicPast,
    (partition, Bounds { start, end }): (u32, Bounds),
    host: &Browser,
    (log, target): (&dyn Log, u32),
    mut told: impl FnMut(u64),
) -> Result<Past> {
    let begin = log.bounds(copy, target).await?.end;
    let (mut from, mut records, mut bytes) = (start, 0, 0);
    while from < end {
        let fetched = host.read(topic, partition, from, LIMIT).await?;
        ensure!(fetched.next > from, "{topic}/{partition} gave nothing at offset {from}, before its end, {end}");
        from = fetched.next;
        let count = fetched.offsets.partition_point(|offset| *offset < end);
        if count > 0 {
            let wanted = fetched.records.slice(0, count);
            (records, bytes) = (records + count as u64, bytes + wanted.bytes() as u64);
            log.append(vec![Append { topic: copy.clone(), partition: target, records: wanted }]).await?;
        }
        told(from.min(end) - start);
    }
    let offsets = begin..begin + records;
    let name = format!("topic:{topic}/{partition}");
    Ok(Past { source: source.clone(), name, topic: copy.clone(), partition: target, offsets, records, bytes })
}

/// What stands in the topics that sources read, up to where they end now.
///
/// # Errors
/// If there is no such topic, and `must_exist`.
pub async fn standing(log: &dyn Log, sources: &[SourceTopic], must_exist: bool) -> Result<Vec<Past>> {
    let mut past = Vec::new();
    for SourceTopic { source, topic, .. } in sources {
        let Some(found) = log.topic(topic).await? else {
            let missing = format!("there is no topic `{topic}`, of which source `{source}` would read the past");
            if must_exist {
                return Err(Usage(missing).into());
            }
            continue;
        };
        for partition in 0..found.spec.partitions {
            let Bounds { start, end } = log.bounds(topic, partition).await?;
            past.push(Past {
                source: source.clone(),
                name: format!("topic:{topic}/{partition}"),
                topic: topic.clone(),
                partition,
                offsets: start..end,
                records: end - start,
                bytes: 0,
            });
        }
    }
    Ok(past)
}
