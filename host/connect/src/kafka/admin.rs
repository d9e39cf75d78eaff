//! What topics are, as the brokers describe them: rdkafka has no call for it.

#![allow(unsafe_code, reason = "rdkafka does not wrap this request, and a topic's id is told by no other")]

use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use rdkafka::bindings::*;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;

use super::client::Context;
use super::error::Failure;
use super::lifeline::look_around;

/// How long it may take until there is an answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A topic as the brokers describe it.
pub(super) struct Description {
    pub name: String,
    /// The topic's UUID.
    pub id: String,
    pub partitions: u32,
    /// Whether every partition has a leader.
    pub is_led: bool,
}

/// Describes topics; those that do not exist are left out.
pub(super) fn describe_topics(client: &BaseConsumer<Context>, names: &[&str]) -> Result<Vec<Description>, Failure> {
    let begun = Instant::now();
    loop {
        match (try_describe(client, names), names) {
            (Err(failure), [topic, ..]) if failure.is_silence() && begun.elapsed() < TIMEOUT => {
                look_around(client, topic);
            }
            (described, _) => return described,
        }
    }
}

fn try_describe(client: &BaseConsumer<Context>, names: &[&str]) -> Result<Vec<Description>, Failure> {
    let Ok(names) = names.iter().map(|name| CString::new(*name)).collect::<Result<Vec<_>, _>>() else {
        return Ok(Vec::new());
    };
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let event = ask(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, |options, queue| {
        // SAFETY: the names live until the collection has copied them; it is destroyed once, after its use.
        unsafe {
            let topics = rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            rd_kafka_DescribeTopics(client.client().native_ptr(), topics, options, queue);
            rd_kafka_TopicCollection_destroy(topics);
        }
    })?;
    let mut count = 0;
    // SAFETY: the event is the answer to this request; what is in it lives as long as it does.
    let found = unsafe {
        let result = rd_kafka_event_DescribeTopics_result(event.0.as_ptr());
        slice(rd_kafka_DescribeTopics_result_topics(result, &mut count), count)
    };
    found.iter().filter_map(|topic| description(*topic).transpose()).collect()
}

/// None for a topic that does not exist. `topic` is out of an event that is alive.
fn description(topic: *const rd_kafka_TopicDescription_t) -> Result<Option<Description>, Failure> {
    // SAFETY: the event that holds the topic is alive, and so are the strings in it, which are copied.
    unsafe {
        let error = rd_kafka_TopicDescription_error(topic);
        let code = RDKafkaErrorCode::from(rd_kafka_error_code(error));
        let name = CStr::from_ptr(rd_kafka_TopicDescription_name(topic)).to_string_lossy().into_owned();
        if code != RDKafkaErrorCode::NoError {
            let failure = Failure::new(code, format!("topic `{name}`: {code}"));
            return if failure.is_unknown() || code == RDKafkaErrorCode::InvalidTopic {
                Ok(None)
            } else {
                Err(failure)
            };
        }
        let id = CStr::from_ptr(rd_kafka_Uuid_base64str(rd_kafka_TopicDescription_topic_id(topic)));
        let mut count = 0;
        let partitions = slice(rd_kafka_TopicDescription_partitions(topic, &mut count), count);
        let is_led = partitions.iter().all(|partition| !rd_kafka_TopicPartitionInfo_leader(*partition).is_null());
        let id = id.to_string_lossy().into_owned();
        Ok(Some(Description { name, id, partitions: partitions.len() as u32, is_led }))
    }
}

/// An answer.
struct Event(NonNull<rd_kafka_event_t>);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: taken from a queue once, and destroyed once.
        unsafe { rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

/// Sends a request and waits for its answer.
fn ask(
    client: &BaseConsumer<Context>,
    operation: rd_kafka_admin_op_t,
    request: impl FnOnce(*mut rd_kafka_AdminOptions_t, *mut rd_kafka_queue_t),
) -> Result<Event, Failure> {
    let native = client.client().native_ptr();
    // SAFETY: the client is alive; options and queue are made here, and destroyed once, after their last use.
    let event = unsafe {
        let options = rd_kafka_AdminOptions_new(native, operation);
        let queue = rd_kafka_queue_new(native);
        let timeout = ANSWER_WITHIN.as_millis() as i32;
        rd_kafka_AdminOptions_set_request_timeout(options, timeout, std::ptr::null_mut(), 0);
        request(options, queue);
        let event = rd_kafka_queue_poll(queue, timeout);
        rd_kafka_AdminOptions_destroy(options);
        rd_kafka_queue_destroy(queue);
        event
    };
    // Log lines and errors that stand for themselves.
    client.poll(Duration::ZERO);
    let event = Event(NonNull::new(event).ok_or_else(|| Failure::timed_out("the brokers do not answer"))?);
    // SAFETY: the event is alive, and its text is copied.
    unsafe {
        let code = RDKafkaErrorCode::from(rd_kafka_event_error(event.0.as_ptr()));
        if code == RDKafkaErrorCode::NoError {
            return Ok(event);
        }
        let reason = rd_kafka_event_error_string(event.0.as_ptr());
        let reason = if reason.is_null() { code.to_string() } else { CStr::from_ptr(reason).to_string_lossy().into() };
        Err(Failure { code, reason })
    }
}

/// # Safety
/// `start` points to `length` pointers, which live as long as the slice is used.
unsafe fn slice<'a, T>(start: *mut *const T, length: usize) -> &'a [*const T] {
    if start.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(start, length) }
}
