//! What a load does, told to Prometheus as hosts tell theirs.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::api::{Answering, Bounds, openmetrics, serve};
use crate::histogram::Histogram;

/// What connections may take: it is asked by few.
const BOUNDS: Bounds = Bounds { connections: 16, headers_within: Duration::from_secs(10) };

/// Counts what is sent.
#[derive(Debug)]
pub struct Meter {
    topic: String,
    /// Records a second that are wanted; none: as many as go.
    rate: Option<u32>,
    records: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
    appends: Histogram,
}

/// What became of a portion of records.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// How many they are.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// From when they were sent until they were durable, or were not taken.
    pub took: Duration,
    /// Whether they are durable.
    pub is_durable: bool,
}

impl Meter {
    /// Counts what goes to a topic, at a rate of records a second or as fast as it goes.
    pub fn new(topic: &str, rate: Option<u32>) -> Self {
        Self {
            topic: topic.to_owned(),
            rate,
            records: AtomicU64::default(),
            bytes: AtomicU64::default(),
            errors: AtomicU64::default(),
            appends: Histogram::default(),
        }
    }

    /// Counts a portion.
    pub fn count(&self, sent: Sent) {
        if sent.is_durable {
            self.records.fetch_add(sent.records, Relaxed);
            self.bytes.fetch_add(sent.bytes, Relaxed);
        } else {
            self.errors.fetch_add(1, Relaxed);
        }
        self.appends.count(sent.took);
    }

    /// Answers `GET /metrics` at an address until what is returned is dropped.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub async fn serve(self: &Arc<Self>, address: SocketAddr) -> Result<DropGuard> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("--metrics: cannot listen on {address}"))?;
        let router = Router::new().route("/metrics", get(metrics)).with_state(Arc::clone(self));
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, Answering { router, tls: None, bounds: BOUNDS, stop: stop.clone() }));
        Ok(stop.drop_guard())
    }
}

async fn metrics(State(meter): State<Arc<Meter>>) -> impl IntoResponse {
    let mut registry = Registry::with_prefix("azenha_load");
    registry.register_collector(Box::new(Read(meter)));
    openmetrics(&registry)
}

/// The counters, when they are asked for.
#[derive(Debug)]
struct Read(Arc<Meter>);

impl Collector for Read {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let meter = &self.0;
        self.counter(&mut encoder, "records", "Records that are durable", &meter.records)?;
        self.counter(&mut encoder, "bytes", "Bytes of their keys and values", &meter.bytes)?;
        self.counter(&mut encoder, "errors", "Appends that failed: the load ends with one", &meter.errors)?;
        let labels = self.labels();
        if let Some(rate) = meter.rate {
            let help = "Records a second that are wanted; without a value, as many as go";
            let mut family = encoder.encode_descriptor("target_rate", help, None, MetricType::Gauge)?;
            family.encode_family(&labels)?.encode_gauge(&u64::from(rate))?;
        }
        let help = "From when records were sent until they were durable";
        let mut family = encoder.encode_descriptor("append_seconds", help, None, MetricType::Histogram)?;
        let (sum, buckets) = meter.appends.read();
        let count = buckets.iter().map(|(_, count)| count).sum();
        family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

impl Read {
    fn labels(&self) -> [(&'static str, String); 1] {
        [("topic", self.0.topic.clone())]
    }

    fn counter(&self, encoder: &mut DescriptorEncoder, name: &str, help: &str, value: &AtomicU64) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        let value = value.load(Relaxed);
        family.encode_family(&self.labels())?.encode_counter::<NoLabelSet, _, f64>(&value, None)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn what_is_durable_is_counted_and_what_was_not_taken_is_an_error() {
        let meter = Arc::new(Meter::new("clicks", Some(50)));
        let sent = Sent { records: 7, bytes: 700, took: Duration::from_millis(3), is_durable: true };
        meter.count(sent);
        meter.count(sent);
        meter.count(Sent { is_durable: false, ..sent });
        let body = metrics(State(meter)).await.into_response().into_body();
        let text = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
        for line in [
            "azenha_load_records_total{topic=\"clicks\"} 14",
            "azenha_load_bytes_total{topic=\"clicks\"} 1400",
            "azenha_load_errors_total{topic=\"clicks\"} 1",
            "azenha_load_target_rate{topic=\"clicks\"} 50",
            "azenha_load_append_seconds_count{topic=\"clicks\"} 3",
            "azenha_load_append_seconds_bucket{le=\"0.005\",topic=\"clicks\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_refused() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = Arc::new(Meter::new("clicks", None)).serve(taken.local_addr().unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("--metrics: cannot listen on 127.0.0.1:"), "{error}");
    }
}
