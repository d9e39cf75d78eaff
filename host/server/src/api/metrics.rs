//! Metrics for Prometheus: read from the lanes' own counters when they are asked for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use azenha_engine::shadow::{Report, Tally};
use azenha_engine::status::{COMMIT_BUCKETS, Counters, LaneState, LaneStatus, NO_TIME, TaskStatus};
use azenha_model::plan::End;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::ends::Ends;
use super::pipelines::state_name;
use crate::batch::{Ended as BatchEnded, RunOutcome};
use crate::host::{Host, Running};
use crate::ingest::now;
use crate::queries::Ended;

/// Metrics of every pipeline, step and partition, in the OpenMetrics text format. While the log does not answer, there
/// is no lag among them.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses(
        (status = 200, content_type = "application/openmetrics-text", body = String),
    )
)]
pub async fn metrics(State(host): State<Arc<Host>>) -> impl IntoResponse {
    let mut registry = Registry::with_prefix("azenha");
    registry.register("build", "The program that runs", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
    let (steps, lanes) = snapshot(&host).await;
    registry.register_collector(Box::new(Steps(steps)));
    registry.register_collector(Box::new(Lanes(lanes)));
    registry.register_collector(Box::new(Asked(host.running())));
    registry.register_collector(Box::new(Shadowed::of(&host)));
    registry.register_collector(Box::new(Batches::of(&host)));
    openmetrics(&registry)
}

/// Metrics as Prometheus reads them.
pub fn openmetrics(registry: &Registry) -> impl IntoResponse + use<> {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = encode(&mut text, registry);
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}

/// What one metric is of: names and values.
type Labels = Vec<(&'static str, String)>;

/// A lane of this host, and how far behind it was a moment ago.
#[derive(Debug)]
struct Lane {
    labels: Labels,
    state: LaneState,
    status: Arc<LaneStatus>,
    /// None before the lane is restored, and while the log does not say where the partition ends.
    lag: Option<u64>,
    /// Microseconds between the watermark and now; none without event time.
    watermark_delay: Option<i64>,
}

/// The steps and sinks, and those of their lanes that no other host runs.
async fn snapshot(host: &Host) -> (Vec<Labels>, Vec<Lane>) {
    let (mut steps, mut lanes) = (Vec::new(), Vec::new());
    let all = host.running();
    let live = all.iter().filter_map(|running| running.live());
    let ends = Ends::of(host.log().as_ref(), live.flat_map(|live| live.tasks())).await;
    for running in &all {
        let (pipeline, Some(live)) = (running.name(), running.live()) else { continue };
        for (task, planned) in live.tasks().iter().zip(&live.plan().tasks) {
            steps.push(step_labels(pipeline, task, &planned.end));
            for status in &task.lanes {
                let labels = vec![
                    ("pipeline", pipeline.to_owned()),
                    ("step", task.task.clone()),
                    ("partition", status.partition.to_string()),
                ];
                lanes.extend(Lane::of(labels, &task.input, status, &ends));
            }
        }
    }
    (steps, lanes)
}

fn step_labels(pipeline: &str, task: &TaskStatus, end: &End) -> Labels {
    let mut labels =
        vec![("pipeline", pipeline.to_owned()), ("step", task.task.clone()), ("input", task.input.clone())];
    if let End::Store(output) = end {
        labels.push(("connection", output.connection.clone()));
    }
    labels
}

impl Lane {
    fn of(labels: Labels, topic: &str, status: &Arc<LaneStatus>, ends: &Ends) -> Option<Self> {
        let (state, watermark) = (status.state(), status.watermark.load(Relaxed));
        if state == LaneState::Elsewhere {
            return None;
        }
        let lag = ends.lag(topic, status);
        let watermark_delay = (watermark != NO_TIME).then(|| now() - watermark);
        Some(Self { labels, state, status: status.clone(), lag, watermark_delay })
    }
}

/// The pipelines whose queries are answered.
struct Asked(Vec<Arc<Running>>);

impl fmt::Debug for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|running| running.name())).finish()
    }
}

impl Collector for Asked {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let help = "How long answers to queries take, by how they end";
        let mut family = encoder.encode_descriptor("query_seconds", help, None, MetricType::Histogram)?;
        for running in &self.0 {
            for served in &running.queries.served {
                for (ended, name) in Ended::ALL {
                    let (sum, buckets) = served.timings.of(ended).read();
                    let labels = [
                        ("pipeline", running.name().to_owned()),
                        ("query", served.query.name.clone()),
                        ("path", served.query.path.to_string()),
                        ("ended", name.to_owned()),
                    ];
                    let count = buckets.iter().map(|(_, count)| count).sum();
                    family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
                }
            }
        }
        Ok(())
    }
}

/// Candidates that work beside steps: their labels, and how they do.
#[derive(Debug)]
struct Shadowed(Vec<(Labels, Report)>);

impl Shadowed {
    fn of(host: &Host) -> Self {
        let mut reports = Vec::new();
        for running in host.running() {
            let of_step = |(step, report): (&str, Report)| {
                (vec![("pipeline", running.name().to_owned()), ("step", step.to_owned())], report)
            };
            reports.extend(running.live().into_iter().flat_map(|live| live.shadows().reports()).map(of_step));
        }
        Self(reports)
    }
}

impl Collector for Shadowed {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let help = "Processor time while a candidate works beside a step: of the live plugin, of the candidate, and what \
                    sampling adds";
        let mut family = encoder.encode_descriptor("shadow_seconds", help, None, MetricType::Counter)?;
        for (labels, Report { spent, .. }) in &self.0 {
            for (part, nanos) in [("live", spent.live), ("candidate", spent.candidate), ("sampling", spent.sampling)] {
                let labels = [&labels[..], &[("part", part.to_owned())]].concat();
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, f64, f64>(&(nanos as f64 / 1e9), None)?;
            }
        }
        let help = "Rows that the live plugin and a candidate beside it made of the same";
        let mut family = encoder.encode_descriptor("shadow_rows", help, None, MetricType::Counter)?;
        for (labels, Report { found: Tally { rows, .. }, .. }) in &self.0 {
            let found = [("equal", rows.equal), ("different", rows.different)];
            let alone = [("only_live", rows.only_live), ("only_candidate", rows.only_candidate)];
            for (result, count) in found.into_iter().chain(alone) {
                let labels = [&labels[..], &[("result", result.to_owned())]].concat();
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, f64>(&count, None)?;
            }
        }
        Ok(())
    }
}

/// Batches, and how their runs ended.
#[derive(Debug)]
struct Batches(Vec<(Labels, BatchEnded)>);

impl Batches {
    fn of(host: &Host) -> Self {
        let ended =
            |running: Arc<Running>| Some((vec![("pipeline", running.name().to_owned())], running.batch()?.ended()));
        Self(host.running().into_iter().filter_map(ended).collect())
    }
}

impl Collector for Batches {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let help = "1 for how the last run of a batch ended, 0 for the others";
        let mut family = encoder.encode_descriptor("batch_outcome", help, None, MetricType::Gauge)?;
        for (labels, BatchEnded { last, .. }) in &self.0 {
            let Some(last) = last else { continue };
            for outcome in RunOutcome::ALL {
                let labels = [&labels[..], &[("outcome", outcome.name().to_owned())]].concat();
                family.encode_family(&labels)?.encode_gauge(&u64::from(outcome == *last))?;
            }
        }
        let help = "When the last run of a batch ended whose tables were put in place: seconds since 1970";
        let mut family =
            encoder.encode_descriptor("batch_published_timestamp_seconds", help, None, MetricType::Gauge)?;
        for (labels, BatchEnded { published, .. }) in &self.0 {
            let Some(published) = published else { continue };
            family.encode_family(labels)?.encode_gauge(&(*published as f64 / 1e6))?;
        }
        Ok(())
    }
}

/// The labels of each step or sink.
#[derive(Debug)]
struct Steps(Vec<Labels>);

impl Collector for Steps {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let help = "1 for each step and sink: what it reads, and for sinks of tables the connection, to join by";
        let mut family = encoder.encode_descriptor("step_info", help, None, MetricType::Gauge)?;
        for labels in &self.0 {
            family.encode_family(labels)?.encode_gauge(&1_u64)?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Lanes(Vec<Lane>);

impl Collector for Lanes {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        self.counters(&mut encoder)?;
        let seconds = |lane: &Lane| Some(lane.status.counters.plugin_nanos.load(Relaxed) as f64 / 1e9);
        self.counter(&mut encoder, "plugin_seconds", "Time spent in plugins", seconds)?;
        self.states(&mut encoder)?;
        self.gauges(&mut encoder)?;
        self.commits(&mut encoder)
    }
}

/// A counter of lanes: its name, what it counts, and where it stands.
type Named = (&'static str, &'static str, fn(&Counters) -> &AtomicU64);

const COUNTERS: [Named; 8] = [
    ("records", "Records read", |counters| &counters.records),
    ("bytes", "Bytes of their keys and values", |counters| &counters.bytes),
    ("batches", "Batches that records were processed in", |counters| &counters.batches),
    ("rows_written", "Rows written to topics or stores", |counters| &counters.rows_out),
    ("dead_letters", "Rows refused and written to the dead letters", |counters| &counters.dead_letters),
    ("late", "Those of them that came too late for their windows", |counters| &counters.late),
    ("plugin_failures", "Plugin calls that failed: traps, time-outs, errors, broken output", |counters| {
        &counters.failures
    }),
    ("retries", "Times that a lane began again at its last commit, because something outside failed", |counters| {
        &counters.retries
    }),
];

/// Of every lane, each of these has a value: `elsewhere` is never this host's.
const STATES: [&str; 6] = ["joining", "restoring", "running", "retrying", "failed", "stopped"];

impl Lanes {
    fn counters(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        for (name, help, counter) in COUNTERS {
            self.counter(encoder, name, help, |lane| Some(counter(&lane.status.counters).load(Relaxed)))?;
        }
        Ok(())
    }

    fn states(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let help = "1 for the state that a lane is in, 0 for the others";
        let mut family = encoder.encode_descriptor("lane_state", help, None, MetricType::Gauge)?;
        for lane in &self.0 {
            for state in STATES {
                let labels = [&lane.labels[..], &[("state", state.to_owned())]].concat();
                family.encode_family(&labels)?.encode_gauge(&u64::from(state_name(&lane.state) == state))?;
            }
        }
        Ok(())
    }

    fn gauges(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let counted = |counter: fn(&Counters) -> &AtomicU64| {
            move |lane: &Lane| Some(counter(&lane.status.counters).load(Relaxed))
        };
        let delay = |lane: &Lane| lane.watermark_delay.map(|delay| delay as f64 / 1e6);
        self.gauge(encoder, "lag_records", "Records in the input that are not committed yet", |lane| lane.lag)?;
        self.gauge(encoder, "watermark_delay_seconds", "Time between the watermark and now", delay)?;
        self.gauge(encoder, "state_groups", "Groups in the state", counted(|counters| &counters.state_groups))?;
        self.gauge(encoder, "state_bytes", "Bytes of the state", counted(|counters| &counters.state_bytes))
    }

    fn commits(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let bounds = COMMIT_BUCKETS.iter().map(|micros| *micros as f64 / 1e6).chain([f64::INFINITY]);
        let bounds: Vec<f64> = bounds.collect();
        let mut family =
            encoder.encode_descriptor("commit_seconds", "How long commits take", None, MetricType::Histogram)?;
        for lane in &self.0 {
            let counters = &lane.status.counters;
            let counts = counters.commit_buckets.iter().map(|count| count.load(Relaxed));
            let buckets: Vec<(f64, u64)> = bounds.iter().copied().zip(counts).collect();
            // Not the counter of commits: it may be one ahead of the buckets.
            let commits = buckets.iter().map(|(_, count)| count).sum();
            let sum = counters.commit_nanos.load(Relaxed) as f64 / 1e9;
            family.encode_family(&lane.labels)?.encode_histogram::<NoLabelSet>(sum, commits, &buckets, None)?;
        }
        Ok(())
    }

    fn counter<Value: EncodeCounterValue>(
        &self,
        encoder: &mut DescriptorEncoder,
        name: &str,
        help: &str,
        value: impl Fn(&Lane) -> Option<Value>,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (lane, value) in self.0.iter().filter_map(|lane| Some((lane, value(lane)?))) {
            family.encode_family(&lane.labels)?.encode_counter::<NoLabelSet, Value, f64>(&value, None)?;
        }
        Ok(())
    }

    fn gauge<Value: EncodeGaugeValue>(
        &self,
        encoder: &mut DescriptorEncoder,
        name: &str,
        help: &str,
        value: impl Fn(&Lane) -> Option<Value>,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (lane, value) in self.0.iter().filter_map(|lane| Some((lane, value(lane)?))) {
            family.encode_family(&lane.labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }
}
