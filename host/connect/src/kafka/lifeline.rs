//! Keeps clients in sight of the cluster.
//!
//! A broker that has just started may answer that the cluster has no brokers at all. The library believes it, forgets
//! all that it knew, the addresses that it was given among it, and never connects to anything again:
//! <https://github.com/confluentinc/librdkafka/issues/5301>. So a client that had trouble is told again where the
//! cluster is.

#![allow(unsafe_code, reason = "rdkafka has no call for adding brokers to a client")]

use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::admin::AdminClient;
use rdkafka::bindings::{rd_kafka_brokers_add, rd_kafka_t};
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{Producer as _, ProducerContext, ThreadedProducer};

use super::runtime::Runtime;

/// How often clients in trouble are told. The library keeps some bytes each time.
const TELL_EACH: Duration = Duration::from_secs(5);
/// So long after it last said so a client counts as in trouble. The library repeats itself every 30 s.
const TROUBLE_LASTS: Duration = Duration::from_secs(90);
/// How long the brokers may take to say where everything is.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Whoever finds no broker tries again after this.
const PAUSE: Duration = Duration::from_millis(100);

/// When a client last had trouble with its brokers.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<Instant>>>);

impl Trouble {
    /// Whether an error that stands for itself is trouble: others come from brokers that answer.
    pub fn hear(&self, error: &KafkaError) {
        use RDKafkaErrorCode::*;
        if matches!(error.rdkafka_error_code(), Some(AllBrokersDown | BrokerTransportFailure | Resolve)) {
            self.note();
        }
    }

    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn lasts(&self) -> bool {
        let noted = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.is_some_and(|noted| noted.elapsed() < TROUBLE_LASTS)
    }
}

/// A context that hears of its client's trouble.
pub(super) trait Troubled: ClientContext {
    /// What it heard.
    fn trouble(&self) -> &Trouble;
}

/// A client of the library.
pub(super) trait Native {
    /// What it tells.
    type Context: Troubled;

    /// What all clients are.
    fn core(&self) -> &Client<Self::Context>;
}

impl<C: Troubled + ConsumerContext> Native for BaseConsumer<C> {
    type Context = C;

    fn core(&self) -> &Client<C> {
        self.client()
    }
}

impl<C: Troubled + ProducerContext> Native for ThreadedProducer<C> {
    type Context = C;

    fn core(&self) -> &Client<C> {
        self.client()
    }
}

impl<C: Troubled> Native for AdminClient<C> {
    type Context = C;

    fn core(&self) -> &Client<C> {
        self.inner()
    }
}

/// Asks anew where a topic's partitions are, and blocks meanwhile. The library does so by itself only for topics that a client reads or
/// writes; whatever else is asked it sends to the broker that it knew, though that may be gone.
pub(super) fn look_around(client: &impl Native, topic: &str) {
    let core = client.core();
    core.context().trouble().note();
    if let Err(error) = core.fetch_metadata(Some(topic), ANSWER_WITHIN) {
        tracing::debug!(%error, topic, "the brokers do not say where a topic is");
        std::thread::sleep(PAUSE);
    }
}

/// The clients of one log.
#[derive(Debug)]
pub(super) struct Lifeline {
    brokers: CString,
    tied: Mutex<Vec<Tied>>,
}

#[derive(Debug)]
struct Tied {
    client: NonNull<rd_kafka_t>,
    trouble: Trouble,
}

// SAFETY: the library's clients may be used from any thread.
unsafe impl Send for Tied {}

impl Lifeline {
    /// `brokers` is `host:port`, several separated by commas.
    pub fn new(brokers: &str, runtime: &Runtime) -> Arc<Self> {
        // What holds a zero byte names no broker: connecting fails.
        let brokers = CString::new(brokers).unwrap_or_default();
        let lifeline = Arc::new(Self { brokers, tied: Mutex::default() });
        let told = Arc::downgrade(&lifeline);
        let sleeper = runtime.clone();
        runtime.spawn(async move {
            while let Some(lifeline) = told.upgrade() {
                lifeline.tell();
                drop(lifeline);
                sleeper.sleep(TELL_EACH).await;
            }
        });
        lifeline
    }

    /// From now on the client is told. It must be cut off before it is destroyed.
    pub fn tie(&self, client: &impl Native) {
        let core = client.core();
        if let Some(client) = NonNull::new(core.native_ptr()) {
            self.tied().push(Tied { client, trouble: core.context().trouble().clone() });
        }
    }

    /// The client is not touched any more.
    pub fn cut(&self, client: &impl Native) {
        let gone = client.core().native_ptr();
        self.tied().retain(|tied| tied.client.as_ptr() != gone);
    }

    fn tell(&self) {
        for tied in self.tied().iter().filter(|tied| tied.trouble.lasts()) {
            // SAFETY: the client is alive while it is tied, which cannot change while the list is locked. What it has
            // already is not added again.
            unsafe { rd_kafka_brokers_add(tied.client.as_ptr(), self.brokers.as_ptr()) };
        }
    }

    fn tied(&self) -> MutexGuard<'_, Vec<Tied>> {
        self.tied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
