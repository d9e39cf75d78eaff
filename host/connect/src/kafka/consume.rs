//! Takes records out of the queue of one partition, many at once, straight into columns.

#![allow(unsafe_code, reason = "rdkafka takes one record a call, which costs three times as much")]

use std::any::Any;
use std::ffi::{CStr, CString, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use azenha_engine::log::ReadLimit;
use azenha_model::{Fetched, Offset, Records};
use rdkafka::bindings::*;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use tokio::sync::Notify;

use super::error::Failure;

/// Records that are taken out of a queue at once.
const CHUNK: usize = 512;

/// What was in a queue.
pub(super) struct Taken {
    /// The records, and where to read on behind them and behind the end of the partition, if that was reached.
    pub fetched: Fetched,
    /// What stands behind the records.
    pub failure: Option<Failure>,
}

/// How it is known that there is no record left up to some offset: behind the last one may stand what is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// The consumer is set up to tell of the end of a partition.
    Told,
    /// By the consumer's position, once its queue is empty.
    Asked,
}

/// The queue of one partition, split from the one of its consumer.
pub(super) struct PartitionQueue {
    queue: NonNull<rd_kafka_queue_t>,
    ends: Ends,
    /// Of the consumer.
    client: NonNull<rd_kafka_t>,
    topic: String,
    partition: u32,
    /// Told when the queue is no longer empty. The queue points to it.
    filled: Arc<Notify>,
    /// Keeps the consumer, which must outlive its queues.
    _consumer: Arc<dyn Any + Send + Sync>,
}

// SAFETY: the library's queues may be used from any thread, and by several at once.
unsafe impl Send for PartitionQueue {}
// SAFETY: as above.
unsafe impl Sync for PartitionQueue {}

impl PartitionQueue {
    /// Splits the queue of a partition, and takes it over from whoever had it: only the last one is told when it
    /// fills. `keeper` keeps `consumer`.
    pub fn open<C: ConsumerContext>(
        consumer: &BaseConsumer<C>,
        keeper: Arc<dyn Any + Send + Sync>,
        topic: &str,
        partition: u32,
        ends: Ends,
    ) -> Option<Self> {
        let client = NonNull::new(consumer.client().native_ptr())?;
        let queue = split(consumer, topic, partition)?;
        let filled = Arc::new(Notify::new());
        let told = Arc::as_ptr(&filled).cast_mut().cast::<c_void>();
        // SAFETY: the queue is alive; `filled` is kept until the callback is taken away in `drop`.
        unsafe { rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(tell), told) };
        Some(Self { queue, ends, client, topic: topic.to_owned(), partition, filled, _consumer: keeper })
    }

    /// Told when the queue is no longer empty.
    pub fn filled(&self) -> &Arc<Notify> {
        &self.filled
    }

    /// What is in the queue from offset `from` on, without waiting. What an earlier reader left is dropped.
    pub fn take(&self, from: Offset, limit: ReadLimit) -> Taken {
        let mut messages = Messages(Vec::new());
        let mut bytes = 0;
        let (mut failure, mut reached) = (None, None);
        while messages.0.len() < limit.records && bytes < limit.bytes && failure.is_none() {
            let before = messages.0.len();
            messages.fill(self.queue, CHUNK.min(limit.records - before));
            if messages.0.len() == before {
                reached = self.position();
                break;
            }
            for index in before..messages.0.len() {
                let message = messages.get(index);
                bytes += message.key_len + message.len;
                if let Some(found) = failure_in(message) {
                    failure = Some(found);
                }
            }
        }
        let mut fetched = messages.into_columns(from);
        fetched.next = fetched.next.max(reached.unwrap_or_default());
        Taken { fetched, failure }
    }

    /// The offset behind everything that came out of the queue since the consumer was told where to read.
    fn position(&self) -> Option<Offset> {
        if self.ends == Ends::Told {
            return None;
        }
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, self.partition as i32);
        // SAFETY: the consumer is kept, and the list is alive during the call.
        unsafe { rd_kafka_position(self.client.as_ptr(), list.ptr()) };
        match list.elements().first()?.offset() {
            KafkaOffset::Offset(offset) => offset.try_into().ok(),
            _ => None,
        }
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is alive, and destroyed once. The library calls back under the lock that takes the
        // callback away, so that none is running afterwards. The consumer goes after this.
        unsafe {
            rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, std::ptr::null_mut());
            rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// Makes the records of a partition go to a queue of its own. In the callback of an assignment this comes before
/// the partition is assigned.
pub(super) fn split<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: u32,
) -> Option<NonNull<rd_kafka_queue_t>> {
    let topic = CString::new(topic).ok()?;
    // SAFETY: the consumer is alive and the name ends with a zero; forwarding to null is how a queue is split.
    unsafe {
        let client = consumer.client().native_ptr();
        let queue = NonNull::new(rd_kafka_queue_get_partition(client, topic.as_ptr(), partition as i32))?;
        rd_kafka_queue_forward(queue.as_ptr(), std::ptr::null_mut());
        Some(queue)
    }
}

/// Splits the queue of a partition for somebody who opens it later.
pub(super) fn split_for_later<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str, partition: u32) {
    if let Some(queue) = split(consumer, topic, partition) {
        // SAFETY: the handle is ours, and is destroyed once; the queue itself belongs to the partition.
        unsafe { rd_kafka_queue_destroy(queue.as_ptr()) };
    }
}

/// Called by the library when a queue is no longer empty.
unsafe extern "C" fn tell(_: *mut rd_kafka_t, filled: *mut c_void) {
    // SAFETY: the queue that calls keeps what it was given, see `PartitionQueue::open`.
    unsafe { &*filled.cast::<Notify>() }.notify_one();
}

/// Messages that are destroyed when this is dropped.
struct Messages(Vec<*mut rd_kafka_message_t>);

impl Messages {
    fn fill(&mut self, queue: NonNull<rd_kafka_queue_t>, most: usize) {
        self.0.reserve(most);
        let free = self.0.spare_capacity_mut().as_mut_ptr().cast();
        // SAFETY: there is room for `most` messages behind those that are there, and as many as the library says
        // are valid and ours. With a timeout of zero it takes what is there.
        unsafe {
            let taken = rd_kafka_consume_batch_queue(queue.as_ptr(), 0, free, most);
            self.0.set_len(self.0.len() + taken.max(0) as usize);
        }
    }

    fn get(&self, index: usize) -> &rd_kafka_message_t {
        // SAFETY: valid until this is dropped.
        unsafe { &*self.0[index] }
    }

    fn iter(&self) -> impl Iterator<Item = &rd_kafka_message_t> {
        (0..self.0.len()).map(|index| self.get(index))
    }

    fn into_columns(self, from: Offset) -> Fetched {
        let wanted = |message: &&rd_kafka_message_t| is_record(message) && message.offset as u64 >= from;
        let (mut records, mut key_bytes, mut value_bytes) = (0, 0, 0);
        for message in self.iter().filter(wanted) {
            records += 1;
            key_bytes += message.key_len;
            value_bytes += message.len;
        }
        let mut offsets = Vec::with_capacity(records);
        let mut timestamps = Vec::with_capacity(records);
        let mut keys = BinaryBuilder::with_capacity(records, key_bytes);
        let mut values = BinaryBuilder::with_capacity(records, value_bytes);
        for message in self.iter().filter(wanted) {
            offsets.push(message.offset as u64);
            timestamps.push(microseconds(message));
            keys.append_option(slice(message.key, message.key_len));
            values.append_option(slice(message.payload, message.len));
        }
        let behind = |message: &rd_kafka_message_t| match message.err {
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => message.offset as u64 + 1,
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => message.offset.max(0) as u64,
            _ => 0,
        };
        let next = self.iter().map(behind).fold(from, Offset::max);
        Fetched { offsets, records: Records { timestamps, keys: keys.finish(), values: values.finish() }, next }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        for message in &self.0 {
            // SAFETY: each was handed over by the library, once.
            unsafe { rd_kafka_message_destroy(*message) };
        }
    }
}

fn is_record(message: &rd_kafka_message_t) -> bool {
    message.err == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// What a message says that is neither a record nor the end of the partition.
fn failure_in(message: &rd_kafka_message_t) -> Option<Failure> {
    use rd_kafka_resp_err_t::*;
    if matches!(message.err, RD_KAFKA_RESP_ERR_NO_ERROR | RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        return None;
    }
    let code = RDKafkaErrorCode::from(message.err);
    // SAFETY: the message is alive, and its text is copied.
    let reason = unsafe {
        let text = rd_kafka_message_errstr(message);
        if text.is_null() { code.to_string() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
    };
    Some(Failure { code, reason })
}

fn slice<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: callers hand over key or payload of a message that is alive, with its length, and copy them.
    Some(unsafe { std::slice::from_raw_parts(start.cast(), length) })
}

/// Zero for records of a format that had no timestamps.
fn microseconds(message: &rd_kafka_message_t) -> i64 {
    // SAFETY: the message is alive; what kind of timestamp it is does not matter.
    let milliseconds = unsafe { rd_kafka_message_timestamp(message, std::ptr::null_mut()) };
    milliseconds.max(0) * 1000
}
