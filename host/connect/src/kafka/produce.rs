//! Puts records into a producer's queue, column by column, without an object for each record.

#![allow(
    unsafe_code,
    reason = "rdkafka's own call looks its topic up, and makes a C string of its name, for each record"
)]

use std::ffi::CString;
use std::time::Duration;

use arrow_array::{Array, BinaryArray};
use azenha_engine::log::Append;
use rdkafka::bindings::*;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{Producer as _, ThreadedProducer};

use super::client::Context;
use super::error::Failure;
use super::transaction::failure_of;

/// A producer, and the thread that takes its reports.
pub(super) type Producer = ThreadedProducer<Context>;

/// Queues the records of one append; waits where the queue is full.
pub(super) fn produce(producer: &Producer, append: &Append) -> Result<(), Failure> {
    let topic = Topic::open(producer, &append.topic)?;
    let client = producer.client().native_ptr();
    let records = &append.records;
    for (row, timestamp) in records.timestamps.iter().enumerate() {
        let fields = [
            field(rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT, Value { rkt: topic.0 }),
            field(rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION, Value { i32_: append.partition as i32 }),
            field(rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS, Value { i: FLAGS }),
            field(rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP, Value { i64_: milliseconds(*timestamp) }),
            field(rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY, bytes(&records.keys, row)),
            field(rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE, bytes(&records.values, row)),
        ];
        // SAFETY: the client and the topic live as long as `producer` and `topic`, and each field holds the
        // member of the union that its tag names. Key and value are copied before the call returns.
        let error = unsafe { rd_kafka_produceva(client, fields.as_ptr(), fields.len()) };
        failure_of(error)?;
    }
    Ok(())
}

/// Sends what is queued at once, and waits until the brokers have it.
pub(super) fn flush(producer: &Producer, timeout: Duration) -> Result<(), Failure> {
    // SAFETY: the client lives as long as `producer`, whose thread serves the reports of failures.
    let code = unsafe { rd_kafka_flush(producer.client().native_ptr(), timeout.as_millis() as i32) };
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(code.into()),
    }
}

type Value = rd_kafka_vu_s__bindgen_ty_1;

/// Copies key and value, and waits for room in the queue: what stands in it leaves it within the timeout of a
/// transaction.
const FLAGS: i32 = RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK;

fn field(vtype: rd_kafka_vtype_t, u: Value) -> rd_kafka_vu_t {
    rd_kafka_vu_t { vtype, u }
}

fn bytes(column: &BinaryArray, row: usize) -> Value {
    let mem = if column.is_null(row) {
        rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr: std::ptr::null_mut(), size: 0 }
    } else {
        let bytes = column.value(row);
        rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr: bytes.as_ptr().cast_mut().cast(), size: bytes.len() }
    };
    Value { mem }
}

/// Kafka's clock has milliseconds, and takes zero for "now": the first millisecond is the second one.
fn milliseconds(microseconds: i64) -> i64 {
    match microseconds.div_euclid(1000) {
        0 => 1,
        other => other,
    }
}

/// A producer's handle of a topic.
struct Topic(*mut rd_kafka_topic_t);

impl Topic {
    fn open(producer: &Producer, name: &str) -> Result<Self, Failure> {
        let unknown = || Failure::new(RDKafkaErrorCode::UnknownTopic, format!("`{name}` cannot name a topic"));
        let name = CString::new(name).map_err(|_| unknown())?;
        // SAFETY: the client is alive, the name ends with a zero, and no settings of the topic are handed over.
        let topic = unsafe { rd_kafka_topic_new(producer.client().native_ptr(), name.as_ptr(), std::ptr::null_mut()) };
        if topic.is_null() { Err(unknown()) } else { Ok(Self(topic)) }
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: opened once, by `open`, and destroyed once; queued records hold their own references.
        unsafe { rd_kafka_topic_destroy(self.0) }
    }
}
