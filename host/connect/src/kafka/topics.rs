//! The topics of the cluster: made, looked up, and checked before anything is written to them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow_array::{Array, BinaryArray};
use azenha_engine::log::{Append, LogError, Topic};
use azenha_model::Offset;
use azenha_model::plan::{TopicKind, TopicSpec};
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::admin::{self, Description};
use super::client::{Clients, Context, Kept};
use super::error::{Failure, storage};
use super::lifeline::look_around;
use super::options::KafkaOptions;
use super::runtime::Runtime;

/// The largest record of topics that only tasks read.
pub(super) const INTERNAL_MAX_BYTES: usize = 16 << 20;
/// The largest record of topics that are made for readers.
const OUTPUT_MAX_BYTES: usize = 8 << 20;
/// What the frame of a record may add to its key and value.
const FRAME: usize = 128;

/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long a topic that was just made may take until it can be written.
const LED_WITHIN: Duration = Duration::from_secs(30);
/// How long a topic that was just made may be unknown to some brokers.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);
const ASK_EACH: Duration = Duration::from_millis(20);

/// Settings of a topic: name, value, and what would go wrong with another one.
type Settings = &'static [(&'static str, &'static str, &'static str)];

/// What must hold for topics that keep state or carry messages between tasks.
const KEPT: Settings = &[
    ("cleanup.policy", "delete", "records with equal keys would be thrown away"),
    ("retention.ms", "-1", "records would be thrown away that nobody has read yet"),
    ("retention.bytes", "-1", "records would be thrown away that nobody has read yet"),
];
/// What must hold for topics of which the last record of each key stays.
const COMPACTED: Settings = &[("cleanup.policy", "compact", "the last record of a key would be thrown away")];

/// What appends are checked by.
#[derive(Debug, Clone, Copy)]
struct Layout {
    partitions: u32,
    /// The most that key and value may have. None: the brokers do not say.
    record_limit: Option<usize>,
}

/// The topics of the cluster.
pub(super) struct Topics {
    admin: Arc<Kept<AdminClient<Context>>>,
    queries: Arc<Kept<BaseConsumer<Context>>>,
    replication: Option<i16>,
    layouts: Mutex<HashMap<String, Layout>>,
    /// What topics are to the pipelines here, which the cluster does not know, and when they were last ensured.
    ensured: Mutex<HashMap<String, (TopicKind, Instant)>>,
    runtime: Runtime,
}

impl Topics {
    pub fn new(
        options: &KafkaOptions,
        queries: Arc<Kept<BaseConsumer<Context>>>,
        runtime: Runtime,
        clients: &Clients,
    ) -> Result<Self, Failure> {
        let admin = Arc::new(Kept::new(options.admin().create_with_context(Context::default())?, clients));
        let (layouts, ensured) = (Mutex::default(), Mutex::default());
        Ok(Self { admin, queries, replication: options.replication, layouts, ensured, runtime })
    }

    pub async fn ensure(&self, spec: &TopicSpec) -> Result<Topic, LogError> {
        let found = match self.describe(&spec.name).await? {
            Some(found) => {
                self.check_settings(spec).await?;
                found
            }
            None => self.create(spec).await?,
        };
        if found.partitions != spec.partitions {
            return Err(LogError::PartitionsDiffer {
                topic: spec.name.clone(),
                found: found.partitions,
                wanted: spec.partitions,
            });
        }
        let ensured = (spec.kind, Instant::now());
        self.ensured.lock().unwrap_or_else(PoisonError::into_inner).insert(spec.name.clone(), ensured);
        Ok(Topic { spec: spec.clone(), id: found.id })
    }

    pub async fn find(&self, name: &str) -> Result<Option<Topic>, LogError> {
        Ok(self.describe(name).await?.map(|found| self.topic(found)))
    }

    pub async fn list(&self) -> Result<Vec<Topic>, LogError> {
        let queries = Arc::clone(&self.queries);
        let listed = self.runtime.blocking(move || {
            let metadata = queries.fetch_metadata(None, Duration::from_secs(20))?;
            let names: Vec<&str> = metadata.topics().iter().map(|topic| topic.name()).collect();
            let ours: Vec<&str> = names.into_iter().filter(|name| !name.starts_with("__")).collect();
            if ours.is_empty() { Ok(Vec::new()) } else { admin::describe_topics(&queries, &ours) }
        });
        let listed = listed.await?.map_err(|failure: Failure| failure.into_log("listing the topics"))?;
        let mut topics: Vec<Topic> = listed.into_iter().map(|found| self.topic(found)).collect();
        topics.sort_by(|left, right| left.spec.name.cmp(&right.spec.name));
        Ok(topics)
    }

    /// Refuses appends that the brokers would refuse.
    pub async fn check(&self, appends: &[Append]) -> Result<(), LogError> {
        for append in appends {
            let layout = self.partition(&append.topic, append.partition).await?;
            let Some(limit) = layout.record_limit else { continue };
            let records = &append.records;
            if records.bytes() <= limit {
                continue;
            }
            let size = |row| length(&records.keys, row) + length(&records.values, row);
            if let Some(bytes) = (0..records.len()).map(size).find(|bytes| *bytes > limit) {
                return Err(LogError::TooLarge { topic: append.topic.clone(), bytes, limit });
            }
        }
        Ok(())
    }

    /// The most that key and value of a record may have.
    pub async fn record_limit(&self, topic: &str) -> Result<Option<usize>, LogError> {
        self.partition(topic, 0).await.map(|layout| layout.record_limit)
    }

    /// Checks that a topic has a partition.
    pub async fn check_partition(&self, topic: &str, partition: u32) -> Result<(), LogError> {
        self.partition(topic, partition).await.map(drop)
    }

    /// Forgets what appends are checked by, when the brokers found otherwise.
    pub fn forget(&self) {
        self.layouts.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Deletes the records below `before`, which the partition holds.
    pub async fn delete_records(&self, topic: &str, partition: u32, before: Offset) -> Result<(), Failure> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition as i32, KafkaOffset::Offset(before as i64))?;
        let deleted = self.admin.delete_records(&list, &patience()).await;
        let deleted = deleted.and_then(|deleted| deleted.elements().iter().try_for_each(|element| element.error()));
        self.heard(topic, deleted).await
    }

    async fn describe(&self, name: &str) -> Result<Option<Description>, LogError> {
        loop {
            let (queries, asked) = (Arc::clone(&self.queries), name.to_owned());
            let described = self.runtime.blocking(move || admin::describe_topics(&queries, &[&asked])).await?;
            let described = described.map_err(|failure| failure.into_log(format!("looking up topic `{name}`")))?;
            let found = described.into_iter().next();
            if found.is_some() || !self.is_new(name) {
                return Ok(found);
            }
            self.runtime.sleep(ASK_EACH).await;
        }
    }

    /// Whether some brokers may not know the topic yet.
    fn is_new(&self, name: &str) -> bool {
        let ensured = self.ensured.lock().unwrap_or_else(PoisonError::into_inner);
        ensured.get(name).is_some_and(|(_, when)| when.elapsed() < KNOWN_WITHIN)
    }

    async fn create(&self, spec: &TopicSpec) -> Result<Description, LogError> {
        let what = || format!("making topic `{}`", spec.name);
        let replication = TopicReplication::Fixed(self.replication.map_or(-1, i32::from));
        let max_bytes = match spec.kind {
            TopicKind::Source => None,
            TopicKind::Output => Some(OUTPUT_MAX_BYTES.to_string()),
            TopicKind::Internal | TopicKind::Changelog | TopicKind::Compacted => Some(INTERNAL_MAX_BYTES.to_string()),
        };
        let mut topic = NewTopic::new(&spec.name, spec.partitions as i32, replication);
        if let Some(max_bytes) = &max_bytes {
            topic = topic.set("max.message.bytes", max_bytes);
        }
        for (setting, wanted, _) in settings_of(spec.kind) {
            topic = topic.set(setting, wanted);
        }
        let begun = Instant::now();
        loop {
            let created = self.admin.create_topics([&topic], &patience()).await;
            let created = match self.heard(&spec.name, created).await {
                // It may have been made all the same.
                Err(failure) if failure.is_silence() && begun.elapsed() < LED_WITHIN => continue,
                created => created.map_err(|failure| failure.into_log(what()))?,
            };
            match created.into_iter().next() {
                // So many brokers are not there, or not yet.
                Some(Err((_, RDKafkaErrorCode::InvalidReplicationFactor))) if begun.elapsed() < LED_WITHIN => {
                    self.runtime.sleep(ASK_EACH).await;
                }
                // Somebody else was quicker.
                Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => {
                    return Err(Failure::from(code).into_log(what()));
                }
                _ => return self.await_leaders(&spec.name).await,
            }
        }
    }

    /// Waits until a topic that was just made can be written.
    async fn await_leaders(&self, name: &str) -> Result<Description, LogError> {
        let begun = Instant::now();
        loop {
            if let Some(found) = self.describe(name).await?.filter(|found| found.is_led) {
                return Ok(found);
            }
            if begun.elapsed() > LED_WITHIN {
                return Err(storage(&format!("making topic `{name}`"), "its partitions have no leaders"));
            }
            self.runtime.sleep(ASK_EACH).await;
        }
    }

    async fn check_settings(&self, spec: &TopicSpec) -> Result<(), LogError> {
        let needed = settings_of(spec.kind);
        if needed.is_empty() {
            return Ok(());
        }
        let settings = self.settings(&spec.name).await;
        let settings = settings.map_err(|failure| failure.into_log(format!("checking topic `{}`", spec.name)))?;
        for &(setting, wanted, why) in needed {
            let found = settings.get(setting).and_then(|entry| entry.value.as_deref()).unwrap_or("");
            if found != wanted {
                return Err(LogError::Unfit {
                    topic: spec.name.clone(),
                    setting: setting.to_owned(),
                    found: found.to_owned(),
                    wanted: wanted.to_owned(),
                    why: why.to_owned(),
                });
            }
        }
        Ok(())
    }

    async fn settings(&self, name: &str) -> Result<ConfigResource, Failure> {
        let begun = Instant::now();
        loop {
            let asked = [&ResourceSpecifier::Topic(name)];
            let described = self.admin.describe_configs(asked, &patience()).await;
            let described = match self.heard(name, described).await {
                Err(failure) if failure.is_silence() && begun.elapsed() < KNOWN_WITHIN => continue,
                described => described?,
            };
            // A broker that does not know the topic yet answers with an error, or with nothing.
            let failure = match described.into_iter().next() {
                Some(Ok(settings)) if !settings.entries.is_empty() => return Ok(settings),
                Some(Err(code)) => Failure::from(code),
                _ => Failure::from(RDKafkaErrorCode::UnknownTopicOrPartition),
            };
            if !failure.is_unknown() || begun.elapsed() > KNOWN_WITHIN {
                return Err(failure);
            }
            self.runtime.sleep(ASK_EACH).await;
        }
    }

    async fn partition(&self, topic: &str, partition: u32) -> Result<Layout, LogError> {
        let known = self.layouts.lock().unwrap_or_else(PoisonError::into_inner).get(topic).copied();
        // A topic may have grown since.
        if let Some(layout) = known.filter(|layout| partition < layout.partitions) {
            return Ok(layout);
        }
        let found = self.describe(topic).await?.ok_or_else(|| LogError::NoSuchTopic(topic.to_owned()))?;
        if partition >= found.partitions {
            return Err(LogError::NoSuchPartition { topic: topic.to_owned(), partition });
        }
        // Who may write a topic need not be allowed to see its settings; the brokers still check.
        let settings = self.settings(topic).await.ok();
        let limit = settings.and_then(|settings| settings.get("max.message.bytes")?.value.as_ref()?.parse().ok());
        let record_limit = limit.map(|limit: usize| limit.saturating_sub(FRAME));
        let layout = Layout { partitions: found.partitions, record_limit };
        self.layouts.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.to_owned(), layout);
        Ok(layout)
    }

    /// An answer to the admin client; if none came, it looks around for whom to ask.
    async fn heard<T>(&self, topic: &str, answer: KafkaResult<T>) -> Result<T, Failure> {
        let answer = answer.map_err(Failure::from);
        if answer.as_ref().is_err_and(Failure::is_silence) {
            let (admin, topic) = (Arc::clone(&self.admin), topic.to_owned());
            // That the runtime ends the next call will find, too.
            let _ = self.runtime.blocking(move || look_around(&**admin, &topic)).await;
        }
        answer
    }

    fn topic(&self, found: Description) -> Topic {
        let known = self.ensured.lock().unwrap_or_else(PoisonError::into_inner).get(&found.name).copied();
        let kind = known.map_or_else(|| kind_by_name(&found.name), |(kind, _)| kind);
        Topic { spec: TopicSpec { name: found.name, partitions: found.partitions, kind }, id: found.id }
    }
}

/// How long an answer may take.
fn patience() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER_WITHIN))
}

fn settings_of(kind: TopicKind) -> Settings {
    match kind {
        TopicKind::Source | TopicKind::Output => &[],
        TopicKind::Internal | TopicKind::Changelog => KEPT,
        TopicKind::Compacted => COMPACTED,
    }
}

/// What a topic is that no pipeline here has named.
fn kind_by_name(name: &str) -> TopicKind {
    match name.strip_prefix("azenha.") {
        Some(rest) if rest.ends_with(".changelog") => TopicKind::Changelog,
        Some(_) => TopicKind::Internal,
        None => TopicKind::Source,
    }
}

fn length(column: &BinaryArray, row: usize) -> usize {
    if column.is_null(row) { 0 } else { column.value_length(row) as usize }
}
