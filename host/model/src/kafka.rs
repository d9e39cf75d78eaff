//! How a host reaches Kafka: brokers, and settings of the client that cannot break what is promised.

use std::collections::BTreeMap;
use std::fmt;

use crate::access::Secret;
use crate::names::unknown;
use crate::yaml::{FromNode, Node, Report, Spanned, Value};

/// A Kafka cluster and how it is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaConfig {
    /// `host:port`, several with commas between them.
    pub brokers: String,
    /// Copies of each topic that the host makes; none: what the brokers are set to.
    pub replication: Option<u16>,
    /// Settings of the client library by its own names, secrets among them.
    pub properties: BTreeMap<String, Secret>,
}

/// Values may be secrets: only the names are shown.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.properties.keys().collect();
        let mut shown = f.debug_struct("KafkaConfig");
        shown.field("brokers", &self.brokers).field("replication", &self.replication);
        shown.field("properties", &names).finish()
    }
}

/// The client's properties that a file may set, as the file writes them; the client library has dots where these
/// have underscores. What exactly-once rests on is not among them: isolation, idempotence, acknowledgements, offsets
/// that commit themselves, and how partitions are shared out.
pub const CLIENT_PROPERTIES: &[&str] = &[
    "broker_address_family",
    "client_id",
    "client_rack",
    "compression_level",
    "compression_type",
    "connections_max_idle_ms",
    "enable_ssl_certificate_verification",
    "fetch_max_bytes",
    "fetch_wait_max_ms",
    "heartbeat_interval_ms",
    "linger_ms",
    "max_partition_fetch_bytes",
    "metadata_max_age_ms",
    "queued_max_messages_kbytes",
    "reconnect_backoff_max_ms",
    "reconnect_backoff_ms",
    "sasl_mechanism",
    "sasl_password",
    "sasl_username",
    "security_protocol",
    "session_timeout_ms",
    "socket_connection_setup_timeout_ms",
    "socket_keepalive_enable",
    "socket_nagle_disable",
    "socket_timeout_ms",
    "ssl_ca_location",
    "ssl_ca_pem",
    "ssl_certificate_location",
    "ssl_certificate_pem",
    "ssl_cipher_suites",
    "ssl_endpoint_identification_algorithm",
    "ssl_key_location",
    "ssl_key_password",
    "ssl_key_pem",
    "transaction_timeout_ms",
];

const BROKERS: &str = "brokers";
const REPLICATION: &str = "replication";

impl FromNode for KafkaConfig {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        let Value::Mapping(entries) = &node.value else {
            report
                .error(node.place, format!("`kafka` is a mapping, {} is found", node.found()))
                .suggest("write `kafka: { brokers: \"${KAFKA:-localhost:9092}\" }`");
            return None;
        };
        let mut config = Self { brokers: String::new(), replication: None, properties: BTreeMap::new() };
        for (key, value) in entries {
            match key.value.as_str() {
                BROKERS => config.brokers = brokers(value, report)?,
                REPLICATION => config.replication = replication(value, report),
                name if CLIENT_PROPERTIES.contains(&name) => {
                    let value = property(value, report)?;
                    config.properties.insert(name.replace('_', "."), Secret::from(value));
                }
                _ => refuse(key, report),
            }
        }
        if node.get(BROKERS).is_none() {
            let help = "add `brokers: \"${KAFKA:-localhost:9092}\"`";
            report.error(node.place, "`kafka` needs `brokers`").suggest(help);
            return None;
        }
        Some(config)
    }
}

fn refuse(key: &Spanned<String>, report: &mut Report) {
    let known: Vec<&str> = [BROKERS, REPLICATION].into_iter().chain(CLIENT_PROPERTIES.iter().copied()).collect();
    let written = key.value.replace('.', "_");
    let help = if known.contains(&written.as_str()) {
        format!("write `{written}`")
    } else {
        unknown(&written, "its keys are", &known)
    };
    report.error(key.place, format!("`kafka` has no key `{}`", key.value)).suggest(help);
}

fn replication(node: &Node, report: &mut Report) -> Option<u16> {
    let copies = u32::from_node(node, report)?;
    let count = u16::try_from(copies).ok().filter(|copies| *copies > 0);
    if count.is_none() {
        report.error(node.place, format!("{copies} copies of a topic are none or too many")).suggest("3 are usual");
    }
    count
}

fn brokers(node: &Node, report: &mut Report) -> Option<String> {
    let brokers = String::from_node(node, report)?;
    let is_broker = |broker: &str| {
        let port = broker.trim().rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
        port.is_some_and(|port| port.parse::<u16>().is_ok())
    };
    if !brokers.split(',').all(is_broker) {
        let help = "write `host:port`, several with commas between them";
        report.error(node.place, "this names no brokers").suggest(help);
    }
    Some(brokers)
}

/// A scalar as the client library takes it: a text. Messages do not repeat it, it may be a secret.
fn property(node: &Node, report: &mut Report) -> Option<String> {
    match &node.value {
        Value::Text(text) | Value::Expanded(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Wrong => None,
        Value::Null | Value::Sequence(_) | Value::Mapping(_) => {
            report.error(node.place, "a property of the client is a text, a number or a boolean");
            None
        }
    }
}
