//! Where a load goes: into the log, or to a host that runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use arrow_array::Array;
use arrow_array::builder::BinaryBuilder;
use azenha_engine::log::{Append, Log};
use azenha_engine::partition::partition_of;
use azenha_model::Records;
use azenha_model::access::Secret;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use serde::Deserialize;

use crate::ingest::now;
use crate::usage::Usage;

/// Records without a key go to the next partition after so many.
const TOGETHER: u64 = 100;

/// How long a host may take to make records durable.
const PATIENCE: Duration = Duration::from_secs(30);

/// What takes records.
#[derive(Debug)]
pub enum Target {
    /// The log itself.
    Log(LogTarget),
    /// The API of a host.
    Server(ServerTarget),
}

impl Target {
    /// Sends records, of which the first has the number `first` among all, and gives back when they are durable.
    ///
    /// # Errors
    /// If they were not taken; if a connection broke, they may have been.
    pub async fn send(&self, portion: &[Records], first: u64) -> Result<()> {
        match self {
            Self::Log(log) => log.send(portion, first).await,
            Self::Server(server) => server.send(portion).await,
        }
    }
}

/// A topic of the log.
#[derive(Debug)]
pub struct LogTarget {
    log: Arc<dyn Log>,
    topic: String,
    partitions: u32,
}

impl LogTarget {
    /// A topic that exists, and its partitions.
    pub fn new(log: Arc<dyn Log>, topic: &str, partitions: u32) -> Self {
        Self { log, topic: topic.to_owned(), partitions: partitions.max(1) }
    }

    async fn send(&self, portion: &[Records], first: u64) -> Result<()> {
        Ok(self.log.append(distribute(portion, &self.topic, self.partitions, first)).await?)
    }
}

/// The appends for records of which the first has the number `first`: those with a key go where the key belongs.
fn distribute(portion: &[Records], topic: &str, partitions: u32, first: u64) -> Vec<Append> {
    let new = || (BinaryBuilder::new(), BinaryBuilder::new());
    let mut columns: Vec<(BinaryBuilder, BinaryBuilder)> = (0..partitions).map(|_| new()).collect();
    let records = portion.iter().flat_map(|records| records.keys.iter().zip(&records.values));
    for (number, (key, value)) in (first..).zip(records) {
        let partition = match key {
            Some(key) => partition_of(key, partitions),
            None => (number / TOGETHER % u64::from(partitions)) as u32,
        };
        let (keys, values) = &mut columns[partition as usize];
        keys.append_option(key);
        values.append_option(value);
    }
    let timestamp = now();
    let append = |(partition, (mut keys, mut values)): (u32, (BinaryBuilder, BinaryBuilder))| {
        let (keys, values) = (keys.finish(), values.finish());
        let records = Records { timestamps: vec![timestamp; values.len()], keys, values };
        (!records.is_empty()).then(|| Append { topic: topic.to_owned(), partition, records })
    };
    (0..).zip(columns).filter_map(append).collect()
}

/// The API of a host that reads a topic as a source.
#[derive(Debug)]
pub struct ServerTarget {
    client: Client,
    url: Url,
    token: Option<Secret>,
}

/// What the API says when it refuses.
#[derive(Debug, Default, Deserialize)]
struct Refusal {
    error: String,
    help: Option<String>,
}

impl ServerTarget {
    /// A host's API at `server`, and the topic there. The token, if there is one, goes with each request.
    ///
    /// # Errors
    /// If the URL is none of HTTP.
    pub fn new(server: &str, topic: &str, token: Option<Secret>) -> Result<Self> {
        let url = Url::parse(server).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let wrong = || Usage(format!("`{server}` is no URL of a host: write http://127.0.0.1:8080, for instance"));
        let mut url = url.ok_or_else(wrong)?;
        url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(["topics", topic, "records"]);
        // It is an error if there is a provider already, and as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self { client: Client::builder().timeout(PATIENCE).build()?, url, token })
    }

    async fn send(&self, portion: &[Records]) -> Result<()> {
        let mut body = Vec::new();
        for value in portion.iter().flat_map(|records| &records.values).flatten() {
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        let mut request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/x-ndjson").body(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.reveal());
        }
        let response = request.send().await?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let Refusal { error, help } = response.json().await.unwrap_or_default();
        let help = help.map(|help| format!("; {help}")).unwrap_or_default();
        bail!("{} answered {status}: {error}{help}", self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::keys_of;
    use super::*;
    use arrow_array::BinaryArray;

    fn records(values: impl IntoIterator<Item = String>, key: &str) -> Records {
        let values = BinaryArray::from_iter_values(values);
        Records { keys: keys_of(&values, key), ..Records::unkeyed(values, 0) }
    }

    #[test]
    fn keyed_records_go_where_their_keys_belong_and_others_in_turn() {
        let keyed = records((0..500).map(|number| format!(r#"{{"k":{}}}"#, number % 9)), "k");
        for append in distribute(&[keyed], "clicks", 3, 0) {
            assert!(!append.records.is_empty());
            assert!(append.records.keys.iter().all(|key| partition_of(key.unwrap(), 3) == append.partition));
        }
        let plain = |count: u64| records((0..count).map(|number| number.to_string()), "k");
        let counts = |first, portion: &[Records]| {
            let appends = distribute(portion, "clicks", 3, first);
            appends.iter().map(|append| (append.partition, append.records.len())).collect::<Vec<_>>()
        };
        assert_eq!(counts(0, &[plain(250), plain(100)]), [(0, 150), (1, 100), (2, 100)]);
        assert_eq!(counts(350, &[plain(50)]), [(0, 50)], "the next portion goes on where the last ended");
    }

    #[test]
    fn the_address_of_a_topic_is_made_of_a_hosts() {
        let url = |server: &str| ServerTarget::new(server, "click_events", None).map(|target| target.url.to_string());
        for server in ["http://host:8080", "http://host:8080/"] {
            assert_eq!(url(server).unwrap(), "http://host:8080/topics/click_events/records");
        }
        for wrong in ["host:8080", "ftp://host", "nonsense"] {
            assert!(url(wrong).unwrap_err().is::<Usage>(), "{wrong}");
        }
    }
}
