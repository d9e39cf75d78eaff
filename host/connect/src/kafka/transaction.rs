//! Offsets as part of a transaction. rdkafka's own call takes a group's metadata but does not show what it says,
//! and without a member in it the brokers would take offsets from anybody.

#![allow(unsafe_code, reason = "rdkafka hides the generation in a group's metadata, and makes none for a group alone")]

use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings::*;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer as _;

use super::error::Failure;
use super::produce::Producer;

/// In whose name offsets are committed: a group, and a member of it in one generation. The brokers refuse
/// offsets of another generation than the group's.
pub(super) struct GroupMetadata(NonNull<rd_kafka_consumer_group_metadata_t>);

impl GroupMetadata {
    /// The place of a consumer in its group as it is now; none while it has none.
    pub fn of_member<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<Self> {
        // SAFETY: the consumer is alive; what is returned is ours.
        let metadata = unsafe { rd_kafka_consumer_group_metadata(consumer.client().native_ptr()) };
        let metadata = Self(NonNull::new(metadata)?);
        // SAFETY: the metadata is alive, and its member id a C string or null.
        let (generation, member) = unsafe {
            let member = rd_kafka_consumer_group_metadata_member_id(metadata.0.as_ptr());
            (rd_kafka_consumer_group_metadata_generation_id(metadata.0.as_ptr()), !member.is_null() && *member != 0)
        };
        (generation >= 0 && member).then_some(metadata)
    }

    /// A group that has no members: whoever commits is fenced by its transactional id instead.
    pub fn of_group(group: &str) -> Option<Self> {
        let group = CString::new(group).ok()?;
        // SAFETY: the name ends with a zero and is copied.
        let metadata = unsafe { rd_kafka_consumer_group_metadata_new(group.as_ptr()) };
        NonNull::new(metadata).map(Self)
    }
}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: made once by the library for us, and destroyed once.
        unsafe { rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) }
    }
}

/// Adds the offsets of a group to the producer's transaction.
pub(super) fn send_offsets(
    producer: &Producer,
    offsets: &TopicPartitionList,
    group: &GroupMetadata,
    timeout: Duration,
) -> Result<(), TransactionFailure> {
    // SAFETY: the producer, the list and the metadata are alive during the call, which keeps none of them.
    let error = unsafe {
        rd_kafka_send_offsets_to_transaction(
            producer.client().native_ptr(),
            offsets.ptr(),
            group.0.as_ptr(),
            timeout.as_millis() as i32,
        )
    };
    // SAFETY: the error is the one that was just returned, or null.
    let fatal = !error.is_null() && unsafe { rd_kafka_error_is_fatal(error) } != 0;
    failure_of(error).map_err(|failure| TransactionFailure { failure, undone_by_abort: !fatal })
}

/// Why a transaction was not committed.
#[derive(Debug)]
pub(super) struct TransactionFailure {
    pub failure: Failure,
    /// Whether an abort that succeeds proves that nothing happened.
    pub undone_by_abort: bool,
}

/// What an error of the library says; it is destroyed.
pub(super) fn failure_of(error: *mut rd_kafka_error_t) -> Result<(), Failure> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: callers hand over an error that the library gave to them, once; its text is copied before it goes.
    unsafe {
        let code = RDKafkaErrorCode::from(rd_kafka_error_code(error));
        let reason = CStr::from_ptr(rd_kafka_error_string(error)).to_string_lossy().into_owned();
        rd_kafka_error_destroy(error);
        Err(Failure { code, reason })
    }
}
