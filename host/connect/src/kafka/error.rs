//! Failures of the client library, and what they are to the engine.

use azenha_engine::log::LogError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Why a call to the cluster failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub(super) struct Failure {
    pub code: RDKafkaErrorCode,
    /// For people.
    pub reason: String,
}

impl Failure {
    pub fn new(code: RDKafkaErrorCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    pub fn timed_out(reason: impl Into<String>) -> Self {
        Self::new(RDKafkaErrorCode::OperationTimedOut, reason)
    }

    /// Whether a broker said so: after what the client says by itself, a request may still be on its way.
    pub fn is_answer(&self) -> bool {
        self.code as i32 > 0 && self.code != RDKafkaErrorCode::RequestTimedOut
    }

    /// Whether no broker answered who could have: the one that was asked may be gone, and another one in its place.
    /// The library says of partitions whose leader it does not find that they do not exist.
    pub fn is_silence(&self) -> bool {
        use RDKafkaErrorCode::*;
        matches!(
            self.code,
            OperationTimedOut
                | RequestTimedOut
                | TimedOutQueue
                | BrokerTransportFailure
                | BrokerDestroy
                | DestroyBroker
                | AllBrokersDown
                | Resolve
                | UnknownBroker
                | UnknownPartition
                | UnknownTopic
                | NoEnt
                | WaitingForCoordinator
                | LeaderNotAvailable
        )
    }

    /// Whether the cluster answered that it does not let this host do what it asked for.
    pub fn is_denied(&self) -> bool {
        use RDKafkaErrorCode::*;
        matches!(
            self.code,
            Authentication
                | SaslAuthenticationFailed
                | UnsupportedSASLMechanism
                | IllegalSASLState
                | SSL
                | TopicAuthorizationFailed
                | GroupAuthorizationFailed
                | ClusterAuthorizationFailed
                | TransactionalIdAuthorizationFailed
                | PolicyViolation
                | InvalidConfig
                | InvalidReplicationFactor
                | InvalidTransactionTimeout
                | InvalidSessionTimeout
                | InvalidTopic
                | InvalidRecord
                | InvalidTimestamp
        )
    }

    /// Whether the brokers will answer in a moment.
    pub fn is_passing(&self) -> bool {
        use RDKafkaErrorCode::*;
        matches!(
            self.code,
            UnstableOffsetCommit
                | CoordinatorLoadInProgress
                | CoordinatorNotAvailable
                | NotCoordinator
                | LeaderNotAvailable
                | NotLeaderForPartition
                | OffsetNotAvailable
        )
    }

    /// Whether it says that a topic or a partition does not exist.
    pub fn is_unknown(&self) -> bool {
        use RDKafkaErrorCode::*;
        matches!(self.code, UnknownTopicOrPartition | UnknownTopic | UnknownPartition | UnknownTopicId)
    }

    /// `what` is what was being done.
    pub fn into_log(self, what: impl Into<String>) -> LogError {
        let what = what.into();
        if self.is_denied() {
            LogError::Denied { what, reason: self.reason }
        } else {
            LogError::Storage { what, source: Box::new(self) }
        }
    }
}

impl From<KafkaError> for Failure {
    fn from(error: KafkaError) -> Self {
        let code = match &error {
            KafkaError::AdminOp(code) => *code,
            // The message of the library holds the value, which may be a secret.
            KafkaError::ClientConfig(_, _, property, _) => {
                let reason = format!("the client property `{property}` has a value that is not possible");
                return Self::new(RDKafkaErrorCode::InvalidConfig, reason);
            }
            KafkaError::ClientCreation(_) => RDKafkaErrorCode::InvalidConfig,
            other => other.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail),
        };
        Self::new(code, error.to_string())
    }
}

impl From<RDKafkaErrorCode> for Failure {
    fn from(code: RDKafkaErrorCode) -> Self {
        Self::new(code, code.to_string())
    }
}

/// `Storage` for what the library did not even see.
pub(super) fn storage(what: &str, reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LogError {
    LogError::Storage { what: what.to_owned(), source: reason.into() }
}
