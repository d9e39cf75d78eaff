//! How a candidate does, as the API tells it.

use std::collections::{BTreeMap, BTreeSet};

use azenha_engine::shadow::{Answer, Report, Sample, Spent};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A candidate beside a step of this host. Other hosts that run the pipeline know nothing of it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ShadowDetail {
    /// Its plugin, as the definition calls it.
    pub plugin: String,
    /// The plugin's SHA-256 in hex.
    pub digest: String,
    /// The share of the rows that it gets, at most.
    pub sample: f64,
    /// Processor time that it may take, as a share of the live plugin's.
    pub budget: f64,
    /// Why it is asked no more: it failed again and again, or cannot be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<String>,
    /// Rows of the calls, by the plugin's function: `process` or `fold`; of `merge`, `finish` and `assemble`, groups.
    pub calls: BTreeMap<String, CallCounts>,
    /// What both cost.
    pub cost: Cost,
    /// Rows that the plugins made, of those calls that both answered.
    pub rows: RowCounts,
    /// Those that both made, by column.
    pub columns: BTreeMap<String, Counts>,
    /// Columns that were not compared: only one of the two gives them, their types differ, or nobody reads them.
    pub not_compared: BTreeSet<String>,
    /// Accumulators, byte by byte; the results of those that differ are compared as rows.
    pub accumulators: Counts,
    /// Rows, or groups, that the plugins made nothing of.
    pub problems: Both<Problems>,
    /// How the candidate failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// Bytes of memory that an instance held, at most.
    pub memory: Both<usize>,
    /// Rows that differ, side by side: the first that were found, some of each kind of difference.
    pub samples: Vec<SampleDetail>,
}

/// Rows, or groups, that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallCounts {
    /// Of the live plugin.
    pub seen: u64,
    /// Of the candidate, too.
    pub sampled: u64,
    /// Not of the candidate, because that would have cost more than it may.
    pub over_budget: u64,
    /// Not of the candidate, because it was at work.
    pub while_busy: u64,
}

/// Processor time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cost {
    /// Seconds in all calls of the live plugin since the candidate began.
    pub live_seconds: f64,
    /// Seconds in the candidate's calls.
    pub candidate_seconds: f64,
    /// Seconds for handing calls over, and comparing answers.
    pub sampling_seconds: f64,
    /// Nanoseconds a row, or group, of the calls that both answered; none before the first.
    pub nanoseconds_a_row: Option<Both<f64>>,
}

/// Rows that the plugins made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowCounts {
    /// Of both, and equal in all columns that were compared.
    pub equal: u64,
    /// Of both, and different.
    pub different: u64,
    /// Only of the live plugin.
    pub only_live: u64,
    /// Only of the candidate.
    pub only_candidate: u64,
}

/// Values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// Those that are equal.
    pub equal: u64,
    /// Those that are not.
    pub different: u64,
}

/// Something of both plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Both<T> {
    /// The one that runs.
    pub live: T,
    /// The one that is tried.
    pub candidate: T,
}

/// Rows, or groups, that a plugin made nothing of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problems {
    /// It refused them, or parts of them.
    pub rejected: u64,
    /// It failed on them: traps, time-outs, errors, broken output.
    pub failed: u64,
}

/// A row that differs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SampleDetail {
    /// The topic that it was read from; none of a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// The record's offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The outlet, if the plugins have several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlet: Option<String>,
    /// The columns that the plugins read; of a group, its key.
    pub input: Value,
    /// The columns that differ; none if only one of the two made the row.
    pub columns: Vec<String>,
    /// What the plugins made of it.
    pub made: Both<AnswerDetail>,
}

/// What a plugin made of a row; nothing, if all of this is left out.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct AnswerDetail {
    /// The row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<Value>,
    /// Why it refused the row, or a part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// How it failed on the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl From<Report> for ShadowDetail {
    fn from(report: Report) -> Self {
        let found = report.found;
        let calls = report.asked.into_iter().map(|(kind, asked)| {
            let counts = CallCounts {
                seen: asked.seen,
                sampled: asked.sampled,
                over_budget: asked.over_budget,
                while_busy: asked.while_busy,
            };
            (kind.name().to_owned(), counts)
        });
        let counts =
            |counts: azenha_engine::shadow::ColumnCounts| Counts { equal: counts.equal, different: counts.different };
        let problems =
            |refused: azenha_engine::shadow::Refused| Problems { rejected: refused.rejected, failed: refused.failed };
        Self {
            plugin: report.plugin,
            digest: report.digest,
            sample: report.options.sample,
            budget: report.options.budget,
            suspended: report.suspended,
            calls: calls.collect(),
            cost: report.spent.into(),
            rows: RowCounts {
                equal: found.rows.equal,
                different: found.rows.different,
                only_live: found.rows.only_live,
                only_candidate: found.rows.only_candidate,
            },
            columns: found.columns.into_iter().map(|(name, column)| (name, counts(column))).collect(),
            not_compared: found.not_compared,
            accumulators: counts(found.accumulators),
            problems: Both { live: problems(found.live), candidate: problems(found.candidate) },
            last_failure: found.last_failure,
            memory: Both { live: found.live_memory, candidate: found.candidate_memory },
            samples: found.samples.into_iter().map(SampleDetail::from).collect(),
        }
    }
}

impl From<Spent> for Cost {
    fn from(spent: Spent) -> Self {
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        let a_row = |nanos: u64| nanos as f64 / spent.rows as f64;
        let both = Both { live: a_row(spent.live_sampled), candidate: a_row(spent.candidate) };
        Self {
            live_seconds: seconds(spent.live),
            candidate_seconds: seconds(spent.candidate),
            sampling_seconds: seconds(spent.sampling),
            nanoseconds_a_row: (spent.rows > 0).then_some(both),
        }
    }
}

impl From<Sample> for SampleDetail {
    fn from(sample: Sample) -> Self {
        let Sample { place, outlet, input, columns, live, candidate } = sample;
        Self {
            topic: place.as_ref().map(|place| place.topic.to_string()),
            partition: place.as_ref().map(|place| place.partition),
            offset: place.map(|place| place.offset),
            outlet,
            input: json(&input),
            columns,
            made: Both { live: live.into(), candidate: candidate.into() },
        }
    }
}

impl From<Answer> for AnswerDetail {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Row(row) => Self { row: Some(json(&row)), ..Self::default() },
            Answer::Nothing => Self::default(),
            Answer::Rejected(reason) => Self { rejected: Some(reason), ..Self::default() },
            Answer::Failed(message) => Self { failed: Some(message), ..Self::default() },
        }
    }
}

/// Rows are written as JSON that anybody can read.
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}
