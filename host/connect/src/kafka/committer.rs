//! One transactional producer on a thread of its own: all commits that wait when it becomes free go into one
//! transaction.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use azenha_engine::failpoint;
use azenha_engine::log::{Append, LogError};
use azenha_model::Offset;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer as _;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use tokio::sync::oneshot;

use super::client::{Clients, Context, Kept};
use super::error::{Failure, storage};
use super::lane::{Authority, Claim};
use super::options::KafkaOptions;
use super::produce::{self, Producer};
use super::transaction::{GroupMetadata, TransactionFailure, send_offsets};

/// Bytes of keys and values that go into one transaction; one write may be larger.
const GROUP_BYTES: usize = 16 << 20;
/// Lanes commit at the same ticks, though not at the same instant: the first waits so long for the others, who would wait for
/// its transaction otherwise. PostgreSQL's `commit_delay` is the same.
const GATHER: Duration = Duration::from_millis(2);
/// How long a commit is tried again that met a change of its group, or the end of the transaction before it.
const RETRY_FOR: Duration = Duration::from_secs(2);
const RETRY_EACH: Duration = Duration::from_millis(20);
/// So much later than its transaction timed out a call is not waited for any longer.
const HUNG_AFTER: Duration = Duration::from_secs(5);

/// What is written together: all of it or nothing.
pub(super) struct Write {
    pub appends: Vec<Append>,
    /// The new position of a lane, and its owner's right.
    pub position: Option<(Claim, Offset)>,
}

impl Write {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.position.is_none() && self.appends.iter().all(|append| append.records.is_empty())
    }

    fn bytes(&self) -> usize {
        self.appends.iter().map(|append| append.records.bytes()).sum()
    }

    fn claim(&self) -> Option<&Claim> {
        self.position.as_ref().map(|(claim, _)| claim)
    }

    fn is_fenced(&self) -> bool {
        self.claim().is_some_and(|claim| !claim.is_current())
    }
}

type Reply = oneshot::Sender<Result<(), LogError>>;

enum Request {
    Write(Write, Reply),
    /// Makes the producer, which fences others of its transactional id.
    Open(Reply),
    Close(Reply),
}

/// Asks a committer. Its thread ends with the last of these.
#[derive(Debug, Clone)]
pub(super) struct Committer {
    requests: mpsc::Sender<Request>,
}

impl Committer {
    /// Starts the thread. The producer is made when something is to be written.
    pub fn start(
        options: &KafkaOptions,
        transactional_id: String,
        lives: Lives,
        clients: &Clients,
    ) -> Result<Self, LogError> {
        let (requests, receiver) = mpsc::channel();
        let (options, clients) = (options.clone(), clients.clone());
        let worker =
            Worker { options, transactional_id, lives, clients, producer: None, is_spent: false, requests: receiver };
        let thread = std::thread::Builder::new().name("kafka-commit".to_owned());
        thread.spawn(move || worker.run()).map_err(|error| storage("starting a thread", error))?;
        Ok(Self { requests })
    }

    /// Writes; durable when this returns.
    pub async fn write(&self, write: Write) -> Result<(), LogError> {
        self.ask(|reply| Request::Write(write, reply)).await
    }

    /// Waits until others of this transactional id are fenced, and what they had under way has ended; and what was
    /// asked for here before.
    pub async fn open(&self) -> Result<(), LogError> {
        self.ask(Request::Open).await
    }

    /// Finishes what is under way; later calls fail.
    pub async fn close(&self) -> Result<(), LogError> {
        self.ask(Request::Close).await
    }

    async fn ask(&self, request: impl FnOnce(Reply) -> Request) -> Result<(), LogError> {
        let (reply, answer) = oneshot::channel();
        let closed = || storage("using the log", "it is closed");
        self.requests.send(request(reply)).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

/// What follows when a producer failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lives {
    /// Another one takes its place: lanes are fenced by their groups.
    Many,
    /// Nothing is committed any more: the producer was the right to commit, and another one would take it from
    /// whoever has it by now.
    One,
}

struct Worker {
    options: KafkaOptions,
    transactional_id: String,
    lives: Lives,
    clients: Clients,
    /// None before it is needed, and after it failed.
    producer: Option<Arc<Kept<Producer>>>,
    /// Whether there was a producer, and there will be no other.
    is_spent: bool,
    requests: mpsc::Receiver<Request>,
}

/// How a transaction ended that was not committed.
enum Ended {
    /// Nothing happened.
    Undone(Failure),
    /// Nothing happened, but what was asked for may still arrive at a broker and would count for the next transaction
    /// of this producer; another one has another epoch.
    UndoneAsFarAsKnown(Failure),
    /// It may have happened.
    Unknown(Failure),
}

/// What is written together, and who waits for it.
type Bundle = Vec<(Arc<Write>, Reply)>;

impl Worker {
    fn run(mut self) {
        let mut next = self.requests.recv().ok();
        while let Some(request) = next {
            next = match request {
                Request::Write(write, reply) => {
                    let (bundle, other) = self.gather(write, reply);
                    self.commit(bundle);
                    other
                }
                Request::Open(reply) => {
                    let opened = self.producer().map(drop);
                    let _ = reply.send(opened.map_err(|failure| failure.into_log(self.doing("starting"))));
                    None
                }
                Request::Close(reply) => {
                    drop(self.producer.take());
                    let _ = reply.send(Ok(()));
                    return;
                }
            };
            if next.is_none() {
                next = self.requests.recv().ok();
            }
        }
    }

    /// The first write and those that come within a moment, up to the first request of another kind.
    fn gather(&mut self, write: Write, reply: Reply) -> (Bundle, Option<Request>) {
        let mut bytes = write.bytes();
        let mut bundle = vec![(Arc::new(write), reply)];
        let until = Instant::now() + GATHER;
        while bytes < GROUP_BYTES {
            match self.requests.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Request::Write(write, reply)) => {
                    bytes += write.bytes();
                    bundle.push((Arc::new(write), reply));
                }
                Ok(other) => return (bundle, Some(other)),
                Err(_) => break,
            }
        }
        (bundle, None)
    }

    /// Commits a bundle in one transaction; if that is undone, each write in one of its own, so that one's fault
    /// is not the others'.
    fn commit(&mut self, bundle: Bundle) {
        if bundle.len() == 1 {
            return bundle.into_iter().for_each(|(write, reply)| self.commit_alone(write, reply));
        }
        if let Err(failure) = self.producer().map(drop) {
            return self.refuse(bundle, &failure);
        }
        match self.transact(bundle.iter().map(|(write, _)| Arc::clone(write)).collect()) {
            Ok(()) => bundle.into_iter().for_each(|(_, reply)| drop(reply.send(Ok(())))),
            Err(Ended::Undone(failure) | Ended::UndoneAsFarAsKnown(failure)) => {
                tracing::debug!(%failure, "a bundle of commits was undone; each is tried alone");
                bundle.into_iter().for_each(|(write, reply)| self.commit_alone(write, reply));
            }
            Err(Ended::Unknown(failure)) => self.refuse(bundle, &failure),
        }
    }

    fn refuse(&self, bundle: Bundle, failure: &Failure) {
        for (write, reply) in bundle {
            let _ = reply.send(Err(self.error(&write, failure.clone())));
        }
    }

    fn commit_alone(&mut self, write: Arc<Write>, reply: Reply) {
        let begun = Instant::now();
        let done = loop {
            match self.transact(vec![Arc::clone(&write)]) {
                Ok(()) => break Ok(()),
                Err(Ended::Undone(failure)) if write.is_fenced() => break Err(self.error(&write, failure)),
                Err(Ended::Undone(failure)) if may_pass(&failure) && begun.elapsed() < RETRY_FOR => {
                    std::thread::sleep(RETRY_EACH);
                }
                Err(Ended::Undone(failure) | Ended::UndoneAsFarAsKnown(failure) | Ended::Unknown(failure)) => {
                    break Err(self.error(&write, failure));
                }
            }
        };
        let _ = reply.send(done);
    }

    /// One transaction with all that is written, on a thread of its own: calls of the library do not always come
    /// back, for instance if a group's coordinator dies.
    fn transact(&mut self, writes: Vec<Arc<Write>>) -> Result<(), Ended> {
        let timeout = self.options.transaction_timeout();
        let producer = self.producer().map_err(Ended::Undone)?;
        let (answer, answered) = mpsc::channel();
        let work = move || {
            // Whoever gave up does not listen.
            let _ = answer.send(commit_or_abort(&producer, &writes, timeout));
        };
        let thread = std::thread::Builder::new().name("kafka-transaction".to_owned()).spawn(work);
        thread.map_err(|error| Ended::Undone(Failure::new(RDKafkaErrorCode::Fail, error.to_string())))?;
        let hung = || Err(Ended::Unknown(Failure::timed_out("the client did not come back from a transaction")));
        let ended = answered.recv_timeout(timeout + HUNG_AFTER).unwrap_or_else(|_| hung());
        if let Err(Ended::UndoneAsFarAsKnown(_) | Ended::Unknown(_)) = &ended {
            self.producer = None;
        }
        ended
    }

    fn producer(&mut self) -> Result<Arc<Kept<Producer>>, Failure> {
        if self.producer.is_none() {
            if self.is_spent {
                return Err(Failure::new(RDKafkaErrorCode::Fenced, "the producer has failed before"));
            }
            let config = self.options.producer(&self.transactional_id);
            let producer: Producer = config.create_with_context(Context::default())?;
            let producer = Kept::new(producer, &self.clients);
            let opened = producer.init_transactions(self.options.transaction_timeout() * 2);
            if let Err(error) = opened {
                let said = producer.client().context().take_error().filter(Failure::is_denied);
                return Err(said.unwrap_or_else(|| error.into()));
            }
            self.producer = Some(Arc::new(producer));
            self.is_spent = self.lives == Lives::One;
        }
        let gone = || Failure::new(RDKafkaErrorCode::State, "there is no producer");
        self.producer.clone().ok_or_else(gone)
    }

    /// What a failure is to the owner of a write.
    fn error(&self, write: &Write, failure: Failure) -> LogError {
        use RDKafkaErrorCode::*;
        let producer_fenced = matches!(failure.code, Fenced | ProducerFenced | InvalidProducerEpoch);
        let fenced = match write.claim() {
            Some(claim) if matches!(claim.authority, Authority::Group) => producer_fenced,
            Some(_) => matches!(failure.code, IllegalGeneration | UnknownMemberId | FencedInstanceId),
            None => false,
        };
        match write.claim() {
            Some(claim) if fenced || !claim.is_current() => claim.fenced(),
            _ if producer_fenced => storage(
                &self.doing("committing"),
                "another process uses the same id, or the transaction took longer than its timeout",
            ),
            _ => failure.into_log(self.doing("committing")),
        }
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} as the transactional producer `{}`", self.transactional_id)
    }
}

/// Whether the same commit may succeed in a moment: its group is about to change its generation, or the
/// coordinator is still busy with the transaction before.
fn may_pass(failure: &Failure) -> bool {
    use RDKafkaErrorCode::*;
    matches!(failure.code, IllegalGeneration | UnknownMemberId | RebalanceInProgress | ConcurrentTransactions)
}

/// The offsets of a bundle by group, each with the metadata that its owners are checked by.
struct Groups(Vec<(GroupMetadata, TopicPartitionList)>);

impl Groups {
    /// Fails if an owner lost its lane.
    fn of(writes: &[Arc<Write>]) -> Result<Self, Failure> {
        let lost = || Failure::new(RDKafkaErrorCode::UnknownMemberId, "the lane has another owner");
        // A consumer that is closing might never answer.
        if writes.iter().any(|write| write.is_fenced()) {
            return Err(lost());
        }
        let mut groups = HashMap::new();
        for (claim, _) in writes.iter().filter_map(|write| write.position.as_ref()) {
            if let Entry::Vacant(group) = groups.entry(claim.key()) {
                group.insert((claim.metadata().ok_or_else(lost)?, TopicPartitionList::new()));
            }
        }
        if writes.iter().any(|write| write.is_fenced()) {
            return Err(lost());
        }
        for (claim, position) in writes.iter().filter_map(|write| write.position.as_ref()) {
            let Some((_, offsets)) = groups.get_mut(&claim.key()) else { continue };
            let partition = claim.lane.partition as i32;
            offsets.add_partition_offset(&claim.lane.input, partition, KafkaOffset::Offset(*position as i64))?;
            if let Some(mut offset) = offsets.find_partition(&claim.lane.input, partition) {
                offset.set_metadata(&claim.topic_id);
            }
        }
        Ok(Self(groups.into_values().collect()))
    }
}

/// Commits; if that fails and can be undone, undoes it.
fn commit_or_abort(producer: &Producer, writes: &[Arc<Write>], timeout: Duration) -> Result<(), Ended> {
    // The metadata first: a lane that is still ours behind it was ours in that generation of its group.
    let groups = Groups::of(writes).map_err(Ended::Undone)?;
    let Err(TransactionFailure { mut failure, undone_by_abort }) = attempt(producer, writes, &groups, timeout) else {
        return Ok(());
    };
    if let Some((code, reason)) = producer.client().fatal_error() {
        failure = Failure { code, reason };
    } else if failure.code == RDKafkaErrorCode::Inconsistent {
        // All that this says is that records were not delivered; the context knows why.
        failure = producer.client().context().take_error().unwrap_or(failure);
    }
    Err(match undone_by_abort && producer.abort_transaction(timeout).is_ok() {
        true if failure.is_answer() => Ended::Undone(failure),
        true => Ended::UndoneAsFarAsKnown(failure),
        false => Ended::Unknown(failure),
    })
}

fn attempt(
    producer: &Producer,
    writes: &[Arc<Write>],
    groups: &Groups,
    timeout: Duration,
) -> Result<(), TransactionFailure> {
    let undone = |failure| TransactionFailure { failure, undone_by_abort: true };
    producer.begin_transaction().map_err(failed)?;
    failpoint::reach("kafka.begun");
    for append in writes.iter().flat_map(|write| &write.appends) {
        produce::produce(producer, append).map_err(undone)?;
    }
    failpoint::reach("kafka.produced");
    for (metadata, offsets) in &groups.0 {
        send_offsets(producer, offsets, metadata, timeout)?;
    }
    failpoint::reach("kafka.offsets_sent");
    // Sooner than the coordinator gives the transaction up: there must be time to abort it.
    produce::flush(producer, timeout * 2 / 3).map_err(undone)?;
    failpoint::reach("kafka.flushed");
    producer.commit_transaction(timeout).map_err(failed)?;
    failpoint::reach("kafka.committed");
    Ok(())
}

/// A call that failed without asking for an abort may have done what it should.
fn failed(error: rdkafka::error::KafkaError) -> TransactionFailure {
    let undone_by_abort = match &error {
        rdkafka::error::KafkaError::Transaction(error) => error.txn_requires_abort() && !error.is_fatal(),
        _ => false,
    };
    TransactionFailure { failure: error.into(), undone_by_abort }
}
