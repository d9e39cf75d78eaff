//! Reads that no group shares out: tails, dead letters, and state that is restored. Consumers that were made for
//! them are kept for the next read, which often goes on where the last one ended.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use azenha_engine::log::{LogError, ReadLimit};
use azenha_model::{Fetched, Offset};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::client::{Clients, Context, Kept};
use super::consume::{Ends, PartitionQueue};
use super::error::Failure;
use super::offsets::Offsets;
use super::options::KafkaOptions;
use super::runtime::Runtime;
use super::stream::{Slot, Stopped, Stream};

/// So many consumers try to read what is there.
const CONSUMERS: usize = 3;

/// Consumers that are kept although nobody reads.
const IDLE: usize = 4;

/// One consumer, and the partition that it reads.
struct Tail {
    topic: String,
    partition: u32,
    consumer: Arc<Kept<BaseConsumer<Context>>>,
    stream: Stream,
}

/// The consumers that nobody uses at the moment.
pub(super) struct Tails {
    options: KafkaOptions,
    clients: Clients,
    runtime: Runtime,
    offsets: Arc<Offsets>,
    /// The one that was used last stands last.
    idle: Mutex<Vec<Tail>>,
}

impl Tails {
    pub fn new(options: &KafkaOptions, clients: &Clients, runtime: Runtime, offsets: Arc<Offsets>) -> Self {
        Self { options: options.clone(), clients: clients.clone(), runtime, offsets, idle: Mutex::default() }
    }

    /// Committed records from offset `from` on. A consumer to which nothing comes is given up for a new one.
    pub async fn read(&self, topic: &str, partition: u32, from: Offset, limit: ReadLimit) -> Result<Fetched, LogError> {
        for _ in 0..CONSUMERS {
            if let Some(fetched) = self.read_with_one(topic, partition, from, limit).await? {
                return Ok(fetched);
            }
            tracing::warn!(topic, partition, from, "nothing came of what is there: its consumer is given up");
        }
        Err(self.offsets.failed(Failure::timed_out("nothing came of what is there"), topic, partition))
    }

    /// None if nothing came of what is there.
    async fn read_with_one(
        &self,
        topic: &str,
        partition: u32,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Option<Fetched>, LogError> {
        let failed = |failure| self.offsets.failed(failure, topic, partition);
        let kept = self.take(|tail| tail.topic == topic && tail.partition == partition && tail.stream.next() == from);
        let mut there = 0;
        let mut tail = match kept {
            Some(tail) => tail,
            None => {
                there = self.offsets.check(topic, partition, from).await?.end;
                self.open(topic, partition, from).map_err(failed)?
            }
        };
        let at_once = ReadLimit { wait: Duration::ZERO, ..limit };
        let mut read = tail.stream.read(if there == 0 { at_once } else { limit }, there).await;
        if there == 0 && matches!(&read, Ok(fetched) if fetched.offsets.is_empty()) {
            // Perhaps what is there has not come yet.
            there = self.offsets.check(topic, partition, tail.stream.next()).await?.end;
            read = tail.stream.read(limit, there).await;
        }
        // Log lines and errors that stand for themselves.
        let said = tail.consumer.poll(Duration::ZERO).and_then(Result::err).map(Failure::from);
        match read {
            Ok(fetched) => {
                self.keep(tail);
                Ok(Some(fetched))
            }
            Err(Stopped::Stalled) => Ok(None),
            Err(Stopped::Failed(failure)) => {
                self.offsets.check(topic, partition, tail.stream.next()).await?;
                Err(failed(said.filter(Failure::is_denied).unwrap_or(failure)))
            }
            Err(Stopped::Retired) => Err(failed(Failure::timed_out("another read took the partition"))),
        }
    }

    /// Destroys the consumers.
    pub fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn take(&self, fits: impl Fn(&Tail) -> bool) -> Option<Tail> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let found = idle.iter().rposition(fits)?;
        Some(idle.remove(found))
    }

    fn keep(&self, tail: Tail) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() == IDLE {
            idle.remove(0);
        }
        idle.push(tail);
    }

    /// A consumer that reads the partition from an offset on: one that is kept for it, or the oldest of too many,
    /// or a new one.
    fn open(&self, topic: &str, partition: u32, from: Offset) -> Result<Tail, Failure> {
        let consumer = match self.take(|tail| tail.topic == topic && tail.partition == partition) {
            Some(tail) => tail.consumer,
            None => {
                let consumer = self.options.tail().create_with_context(Context::default())?;
                Arc::new(Kept::new(consumer, &self.clients))
            }
        };
        let unknown = || Failure::new(rdkafka::error::RDKafkaErrorCode::UnknownPartition, "there is no such partition");
        let queue = PartitionQueue::open(&consumer, Arc::clone(&consumer) as _, topic, partition, Ends::Told)
            .ok_or_else(unknown)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition as i32, KafkaOffset::Offset(from as i64))?;
        consumer.assign(&list)?;
        let stream = Stream::new(Slot::new(queue), from, self.runtime.clone());
        Ok(Tail { topic: topic.to_owned(), partition, consumer, stream })
    }
}
