//! The host's own configuration: where the log is, which stores there are, and what plugins may use. It
//! stands apart from pipelines, so that the same pipeline runs embedded and in production.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::access::Secret;
use crate::connection::{Connection, ConnectionDef, ObjectOptions, StoreKind};
use crate::diagnostic::Diagnostics;
use crate::http::{HttpConfig, HttpDef};
use crate::kafka::KafkaConfig;
use crate::names::unknown;
use crate::pipeline::check_connection;
use crate::plan::Target;
use crate::registry::{RegistryConfig, RegistryDef};
use crate::units::{Bytes, Micros};
use crate::yaml::{self, Entries, Environment, FromNode, Named, Node, Report, Spanned, choose, from_keys};

/// The configuration of a host, with defaults for what its file leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// Where topics are.
    pub log: LogConfig,
    /// What this host keeps for itself: compiled plugins, its identity, the embedded log.
    pub data: PathBuf,
    /// How long results may wait before they are committed together.
    pub commit_interval: Duration,
    /// The HTTP API.
    pub http: HttpConfig,
    /// What plugins and tasks may use.
    pub limits: Limits,
    /// Where schemas are, for topics in formats that have them.
    pub registry: Option<RegistryConfig>,
    /// By name; none if the file declares no connections.
    connections: Option<BTreeMap<String, Connection>>,
}

/// Where topics are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogConfig {
    /// In a directory of this machine.
    Embedded {
        /// The data directory.
        directory: PathBuf,
    },
    /// On a Kafka cluster.
    Kafka(KafkaConfig),
}

/// What plugins and tasks may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory of one plugin instance.
    pub plugin_memory: u64,
    /// How long one call of a plugin may take.
    pub plugin_time: Duration,
    /// Bytes of state of one step.
    pub state: u64,
    /// The most rows that a batch has.
    pub batch_rows: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { plugin_memory: 64 << 20, plugin_time: Duration::from_secs(1), state: 1 << 30, batch_rows: 4096 }
    }
}

/// The embedded log is the file `log.db` of its directory.
const LOG: &str = "log";

/// What a host keeps in its data directory, beside the files of the log.
const OWN: &[&str] = &[LOG, "instance", "compiled"];

impl HostConfig {
    /// What holds without a file: the embedded log in `data`, and there a SQLite database, or a folder of objects, for
    /// every connection that a pipeline names.
    pub fn default_for(data: &Path) -> Self {
        Self {
            log: LogConfig::Embedded { directory: data.to_owned() },
            data: data.to_owned(),
            commit_interval: Duration::from_millis(100),
            http: HttpConfig::default(),
            limits: Limits::default(),
            registry: None,
            connections: None,
        }
    }

    /// Reads a configuration. `file_name` is only for messages; `data` is where the embedded log is if the
    /// file does not say.
    ///
    /// # Errors
    /// Every error that the file has.
    pub fn parse(file_name: &str, text: &str, environment: &Environment<'_>, data: &Path) -> Result<Self, Diagnostics> {
        let mut report = Report::new(file_name);
        let config = yaml::parse(text, environment, &mut report)
            .and_then(|mut root| {
                root.hide();
                ConfigDef::from_node(&root, &mut report)
            })
            .map(|definition| Self::checked(definition, data, &mut report));
        report.into_result(config)
    }

    fn checked(definition: ConfigDef, data: &Path, report: &mut Report) -> Self {
        let default = Self::default_for(data);
        let commit_interval = above_zero(definition.commit_interval, Micros(0), report);
        let log = definition.log.map_or(default.log, |log| log.0);
        let data = match &log {
            LogConfig::Embedded { directory } => directory.clone(),
            LogConfig::Kafka(_) => default.data,
        };
        let connections = definition.connections.map(|connections| check_connections(connections, &log, report));
        Self {
            log,
            data,
            commit_interval: commit_interval.map_or(default.commit_interval, Micros::duration),
            http: definition.http.unwrap_or_default().checked(report),
            limits: definition.limits.map_or(default.limits, |limits| limits.or(default.limits, report)),
            registry: definition.registry.and_then(|registry| registry.checked(report)),
            connections,
        }
    }

    /// The URL of a connection. While the file declares none, every name is a SQLite database beside the
    /// embedded log, whose own database no name reaches; beside Kafka there is none, because each host would have
    /// another one.
    pub fn connection(&self, name: &str) -> Option<Secret> {
        let file = format!("{name}.db");
        self.declared_or(name, &[LOG], |data| format!("sqlite:{}", data.join(file).display()))
            .map(|connection| connection.url)
    }

    /// A connection for objects. While the file declares none, every name is a folder beside the embedded log.
    pub fn objects_connection(&self, name: &str) -> Option<Connection> {
        self.declared_or(name, OWN, |data| format!("file:{}", data.join(name).display()))
    }

    /// `own` are names that mean something else beside the log.
    fn declared_or(&self, name: &str, own: &[&str], beside_log: impl FnOnce(&Path) -> String) -> Option<Connection> {
        match &self.connections {
            Some(connections) => connections.get(name).cloned(),
            None if matches!(self.log, LogConfig::Kafka(_)) => None,
            None if own.iter().any(|own| name.eq_ignore_ascii_case(own)) => None,
            None => {
                let url = Secret::from(beside_log(&self.data));
                Some(Connection { url, objects: ObjectOptions::default() })
            }
        }
    }

    /// Whether a connection, if there is one, has such targets: documents are in MongoDB, indexes in Elasticsearch, and both
    /// in SQLite instead of them.
    ///
    /// # Errors
    /// What the connection is, for people.
    pub fn check_target(&self, connection: &str, target: &Target) -> Result<(), String> {
        let kind = self.connection(connection).and_then(|url| StoreKind::of(url.reveal()));
        let lack = kind.and_then(|kind| kind.lack_of(target));
        lack.map_or(Ok(()), |lack| Err(format!("connection `{connection}` is {lack}")))
    }

    /// Whether a connection, if there is one, finds rows by words of their texts.
    ///
    /// # Errors
    /// What the connection is, for people.
    pub fn check_search(&self, connection: &str) -> Result<(), String> {
        let kind = self.connection(connection).and_then(|url| StoreKind::of(url.reveal()));
        let lack = kind.and_then(StoreKind::lack_of_search);
        lack.map_or(Ok(()), |lack| Err(format!("connection `{connection}` is {lack}")))
    }

    /// Whether a connection, if there is one, has objects.
    ///
    /// # Errors
    /// What the connection is, for people.
    pub fn check_objects(&self, connection: &str) -> Result<(), String> {
        let kind = self.objects_connection(connection).and_then(|found| StoreKind::of(found.url.reveal()));
        match kind {
            Some(kind) if !kind.has_objects() => {
                Err(format!("connection `{connection}` is a database, which has no objects"))
            }
            _ => Ok(()),
        }
    }

    /// What to say of a connection that is not there.
    pub fn connection_help(&self, name: &str) -> String {
        let none = BTreeMap::new();
        let connections = match (&self.connections, &self.log) {
            (Some(connections), _) => connections,
            (None, LogConfig::Kafka(_)) => &none,
            (None, LogConfig::Embedded { .. }) => {
                let own = if name.eq_ignore_ascii_case(LOG) { "the log's own database" } else { "the host's own" };
                return format!("`{name}` in the data directory is {own}: choose another name");
            }
        };
        let known: Vec<&String> = connections.keys().collect();
        format!(
            "{}; declare it under `connections` in the host's configuration",
            unknown(name, "connections are", &known)
        )
    }
}

/// What a connection must not be, as far as spelling tells: the file or the folder of the embedded log.
fn of_log(connection: &Connection, log: &LogConfig) -> Option<&'static str> {
    let LogConfig::Embedded { directory } = log else { return None };
    if let Some(folder) = connection.folder() {
        return is_same(Path::new(folder), directory).then_some("this is the log's own folder");
    }
    let location = connection.url.reveal().strip_prefix("sqlite:")?;
    let path = location.strip_prefix("//").unwrap_or(location);
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    is_same(Path::new(path), &directory.join(format!("{LOG}.db"))).then_some("this is the log's own database")
}

fn is_same(path: &Path, other: &Path) -> bool {
    let is_named = |component: &Component<'_>| *component != Component::CurDir;
    path.components().filter(is_named).eq(other.components().filter(is_named))
}

fn check_connections(
    connections: Entries<ConnectionDef>,
    log: &LogConfig,
    report: &mut Report,
) -> BTreeMap<String, Connection> {
    let Entries(connections) = connections;
    let mut checked = BTreeMap::new();
    for Named { name, value: definition } in connections {
        check_connection(&name, report);
        let place = definition.url.place;
        let connection = definition.checked(report);
        if let Some(reason) = of_log(&connection, log) {
            report.error(place, reason).suggest("name another one");
        }
        checked.insert(name.value, connection);
    }
    checked
}

struct ConfigDef {
    log: Option<LogDef>,
    commit_interval: Option<Spanned<Micros>>,
    connections: Option<Entries<ConnectionDef>>,
    http: Option<HttpDef>,
    limits: Option<LimitsDef>,
    registry: Option<RegistryDef>,
}
from_keys!(
    ConfigDef, "the host's configuration",
    required: [],
    optional: [log, commit_interval, connections, http, limits, registry]
);

struct LogDef(LogConfig);

impl FromNode for LogDef {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        let kind = choose("a log", node, &["embedded", "kafka"], report)?;
        let of_kind = node.get(kind)?;
        match kind {
            "kafka" => KafkaConfig::from_node(of_kind, report).map(LogConfig::Kafka),
            _ => {
                String::from_node(of_kind, report).map(|directory| LogConfig::Embedded { directory: directory.into() })
            }
        }
        .map(Self)
    }
}

struct LimitsDef {
    plugin_memory: Option<Spanned<Bytes>>,
    plugin_time: Option<Spanned<Micros>>,
    state: Option<Spanned<Bytes>>,
    batch_rows: Option<Spanned<u32>>,
}
from_keys!(LimitsDef, "`limits`", required: [], optional: [plugin_memory, plugin_time, state, batch_rows]);

impl LimitsDef {
    fn or(self, default: Limits, report: &mut Report) -> Limits {
        let plugin_memory = above_zero(self.plugin_memory, Bytes(0), report);
        let plugin_time = above_zero(self.plugin_time, Micros(0), report);
        let state = above_zero(self.state, Bytes(0), report);
        let batch_rows = above_zero(self.batch_rows, 0, report);
        Limits {
            plugin_memory: plugin_memory.map_or(default.plugin_memory, |size| size.0),
            plugin_time: plugin_time.map_or(default.plugin_time, Micros::duration),
            state: state.map_or(default.state, |size| size.0),
            batch_rows: batch_rows.unwrap_or(default.batch_rows),
        }
    }
}

fn above_zero<T: PartialEq>(quantity: Option<Spanned<T>>, zero: T, report: &mut Report) -> Option<T> {
    let quantity = quantity?;
    if quantity.value == zero {
        report.error(quantity.place, "this cannot be zero").suggest("leave it out for the default");
    }
    Some(quantity.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;

    fn parse(text: &str) -> HostConfig {
        let environment = |name: &str| (name == "PASSWORD").then(|| "secret".to_owned());
        HostConfig::parse("host.yaml", text, &environment, Path::new("data"))
            .unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn url(config: &HostConfig, name: &str) -> Option<String> {
        config.connection(name).map(|url| url.reveal().to_owned())
    }

    #[test]
    fn no_error_repeats_a_text() {
        for text in [
            "commit_interval: hidden",
            "commit_interval: \"${HIDDEN}\"",
            "connections: { warehouse: hidden }",
            "connections: { warehouse: { url: 'hidden:x' } }",
            "http: { listen: hidden, tokens: [hidden] }",
            "http: { tokens: [{ name: a, token: [hidden], role: hidden }] }",
            "limits: hidden",
            "limits: { batch_rows: hidden, state: hidden${ }",
            "log: { kafka: { brokers: hidden, replication: hidden } }",
            "log: { kafka: hidden }",
            "registry: { url: hidden, password: [hidden] }",
            "registry: 'hidden${hidden+}'",
        ] {
            let environment = |_: &str| Some("hidden".to_owned());
            let errors = HostConfig::parse("host.yaml", text, &environment, Path::new("data")).unwrap_err();
            assert!(!errors.to_string().contains("hidden"), "{text}: {errors}");
        }
    }

    #[test]
    fn an_empty_mapping_is_the_default() {
        assert_eq!(parse("{}"), HostConfig::default_for(Path::new("data")));
    }

    #[test]
    fn every_key_is_taken() {
        let config = parse(
            "log: { embedded: ./elsewhere }\n\
             commit_interval: 50ms\n\
             connections: { warehouse: { url: 'postgres://shop:${PASSWORD}@db/shop' } }\n\
             http: { listen: '0.0.0.0:9000', tokens: [{ name: ci, token: '${PASSWORD}-0123456789', role: operator }], \
                     behind_proxy: true, requests_per_second: 5 }\n\
             limits: { plugin_memory: 1MiB, plugin_time: 2s, state: 2GiB, batch_rows: 7 }\n",
        );
        assert_eq!(config.log, LogConfig::Embedded { directory: "./elsewhere".into() });
        assert_eq!(config.commit_interval, Duration::from_millis(50));
        assert_eq!(url(&config, "warehouse").as_deref(), Some("postgres://shop:secret@db/shop"));
        assert_eq!(config.http.listen, "0.0.0.0:9000".parse().unwrap());
        assert_eq!(config.http.requests_per_second, 5);
        let [token] = &config.http.tokens[..] else { panic!("{:?}", config.http) };
        assert_eq!((token.name.as_str(), token.secret.reveal()), ("ci", "secret-0123456789"));
        assert_eq!(token.role, Role::Operator);
        let shown = format!("{config:?}");
        assert!(!shown.contains("secret-") && !shown.contains("secret@"), "a secret is shown: {shown}");
        let plugin_time = Duration::from_secs(2);
        assert_eq!(config.limits, Limits { plugin_memory: 1 << 20, plugin_time, state: 2 << 30, batch_rows: 7 });
    }

    #[test]
    fn kafka_is_reached_as_the_file_says_and_its_secrets_are_not_shown() {
        let config = parse(
            "log: { kafka: { brokers: 'a:9092,b:9092', replication: 3, security_protocol: SASL_SSL, \
             sasl_password: '${PASSWORD}' } }",
        );
        let LogConfig::Kafka(kafka) = &config.log else { panic!("{:?}", config.log) };
        assert_eq!((kafka.brokers.as_str(), kafka.replication), ("a:9092,b:9092", Some(3)));
        assert_eq!(kafka.properties["sasl.password"].reveal(), "secret");
        assert!(!format!("{config:?}").contains("secret"), "a password is shown");
        assert_eq!(config.data, Path::new("data"));
        assert_eq!(config.connection("warehouse"), None, "each host would have a database of its own");
    }

    #[test]
    fn without_declared_connections_every_name_is_a_database_beside_the_log() {
        let config = HostConfig::default_for(Path::new("data"));
        assert_eq!(url(&config, "warehouse").as_deref(), Some("sqlite:data/warehouse.db"));
        let lake = config.objects_connection("lake").unwrap();
        assert_eq!(lake.folder(), Some("data/lake"));
        assert_eq!((config.connection("log"), config.objects_connection("log")), (None, None));
        for own in ["instance", "Compiled"] {
            assert!(config.connection(own).is_some() && config.objects_connection(own).is_none(), "{own}");
        }
        assert!(config.connection_help("log").contains("the log's own database"));
        assert!(config.connection_help("instance").contains("the host's own"));
    }

    #[test]
    fn objects_are_in_object_stores_and_nothing_else_is() {
        let config = parse("connections: { lake: { url: 's3://lake' }, warehouse: { url: 'sqlite:./w.db' } }");
        let table = Target::Table { fulltext: Vec::new() };
        assert!(config.check_objects("lake").is_ok() && config.check_target("warehouse", &table).is_ok());
        let refused = config.check_target("lake", &table).unwrap_err();
        assert!(refused.contains("neither tables nor collections"), "{refused}");
        assert!(config.check_objects("warehouse").unwrap_err().contains("has no objects"));
    }

    #[test]
    fn with_declared_connections_there_are_no_others() {
        let config = parse("connections: { warehouse: { url: 'sqlite:./w.db' } }");
        assert_eq!(config.connection("warehuose"), None);
        assert!(config.connection_help("warehuose").contains("did you mean `warehouse`?"));
    }
}
