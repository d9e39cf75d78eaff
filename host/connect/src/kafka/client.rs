//! What all clients of the cluster have in common: their log lines go to tracing, errors that stand for
//! themselves are remembered, they are kept in sight of the cluster, and destroyed where nobody waits for it.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::error::Failure;
use super::lifeline::{Lifeline, Native, Trouble, Troubled};
use super::runtime::Runtime;

/// Receives what a client has to say.
#[derive(Debug, Default)]
pub(super) struct Context {
    /// The last error that no call returned.
    last: Mutex<Option<Failure>>,
    trouble: Trouble,
}

impl Context {
    /// The last error that no call returned, once.
    pub fn take_error(&self) -> Option<Failure> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn remember(&self, failure: Failure) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // That no broker is left says less than why the last one was.
        if !failure.is_denied() && last.as_ref().is_some_and(Failure::is_denied) {
            return;
        }
        *last = Some(failure);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client");
        self.trouble.hear(&error);
        self.remember(Failure { reason: reason.to_owned(), ..Failure::from(error) });
    }
}

impl ConsumerContext for Context {}

impl Troubled for Context {
    fn trouble(&self) -> &Trouble {
        &self.trouble
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if let Err((error, _)) = result {
            self.remember(error.clone().into());
        }
    }
}

/// Hands a line of librdkafka on.
pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    use RDKafkaLogLevel::*;
    match level {
        Emerg | Alert | Critical | Error => tracing::warn!(target: "librdkafka", facility, "{message}"),
        Warning | Notice => tracing::info!(target: "librdkafka", facility, "{message}"),
        Info | Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// The clients of one log. They are kept in sight of the cluster, and destroyed on threads of their own: they wait for
/// the network, and callers may be asynchronous.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    lifeline: Arc<Lifeline>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Clients {
    /// `brokers` is `host:port`, several separated by commas.
    pub fn new(brokers: &str, runtime: &Runtime) -> Self {
        Self { lifeline: Lifeline::new(brokers, runtime), threads: Arc::default() }
    }

    /// Runs the end of something on a thread of its own.
    pub fn run(&self, end: impl FnOnce() + Send + 'static) {
        let Ok(thread) = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(end) else { return };
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
    }

    /// Waits until all that was handed over has ended.
    pub fn join(&self) {
        let take = || self.threads.lock().unwrap_or_else(PoisonError::into_inner).pop();
        while let Some(thread) = take() {
            let _ = thread.join();
        }
    }
}

/// A client of a log's.
pub(super) struct Kept<T: Native + Send + 'static> {
    client: ManuallyDrop<T>,
    clients: Clients,
}

impl<T: Native + Send + 'static> Kept<T> {
    pub fn new(client: T, clients: &Clients) -> Self {
        clients.lifeline.tie(&client);
        Self { client: ManuallyDrop::new(client), clients: clients.clone() }
    }
}

impl<T: Native + Send + 'static> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.client
    }
}

impl<T: Native + Send + 'static> Drop for Kept<T> {
    fn drop(&mut self) {
        self.clients.lifeline.cut(&*self.client);
        #[allow(unsafe_code, reason = "a value can be moved out of something that is being dropped in no other way")]
        // SAFETY: this runs once, and nothing touches `client` afterwards.
        let client = unsafe { ManuallyDrop::take(&mut self.client) };
        self.clients.run(move || drop(client));
    }
}
