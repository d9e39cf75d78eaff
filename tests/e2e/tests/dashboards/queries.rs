//! The queries of a dashboard, and the systems that answer them.

use std::fs;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use azenha_e2e::{get, repository};
use serde_json::Value;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::started::PATIENCE;

/// Parts of queries whose answers do not change while nothing fails, or need not: quantiles of times that are all alike.
const STEADY: [&str; 12] = [
    "azenha_build_info",
    "azenha_lane_state",
    "azenha_load_append_seconds_bucket",
    "azenha_load_errors_total",
    "azenha_load_target_rate",
    "azenha_query_seconds_bucket",
    "azenha_retries_total",
    "elasticsearch_cluster_health_status",
    "elasticsearch_indices_indexing_delete_total",
    "elasticsearch_indices_search_query_time_seconds",
    "kafka_brokers",
    "kafka_topic_partition_under_replicated_partition",
];

/// A query of the dashboard.
#[derive(Debug)]
pub struct Query {
    panel: String,
    /// To Prometheus, or else to PostgreSQL.
    metrics: bool,
    /// Of what nobody tells here: it must be understood, and has no values.
    of_nobody: bool,
    /// As it stands in the dashboard.
    text: String,
    /// The first values that it gave.
    first: Option<String>,
}

/// The queries of a dashboard; those in a row that is closed at first are of what exporters tell. `told` says with which of
/// their metrics' names those begin that somebody tells here.
pub fn queries(dashboard: &str, told: &[&str]) -> Result<Vec<Query>> {
    let file = repository().join(format!("compose/grafana/dashboards/{dashboard}.json"));
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().context("no panels")? {
        if panel["type"] == "row" {
            for inner in panel["panels"].as_array().into_iter().flatten() {
                queries.extend(queries_of(inner, |text| !told.iter().any(|metrics| text.contains(metrics)))?);
            }
        } else {
            queries.extend(queries_of(panel, |_| false)?);
        }
    }
    Ok(queries)
}

fn queries_of(panel: &Value, is_of_nobody: impl Fn(&str) -> bool) -> Result<Vec<Query>> {
    let targets = panel["targets"].as_array().context("a panel without queries")?;
    let query = |target: &Value| {
        let (metrics, text) = match (&target["expr"], &target["rawSql"]) {
            (Value::String(expression), _) => (true, expression.clone()),
            (_, Value::String(sql)) => (false, sql.clone()),
            _ => anyhow::bail!("a query of no kind: {target}"),
        };
        let of_nobody = is_of_nobody(&text);
        Ok(Query { panel: panel["title"].to_string(), metrics, of_nobody, text, first: None })
    };
    targets.iter().map(query).collect()
}

/// The systems that are asked.
pub struct Asked {
    /// `HOST:PORT` of Prometheus.
    pub prometheus: String,
    /// PostgreSQL, with the rights that Grafana has, where it is asked.
    pub grafana: Option<PgConnection>,
}

impl Query {
    /// Whether it gave values, and, unless they are steady, other ones than at first. An error if it is not understood.
    async fn is_answered(&mut self, asked: &mut Asked) -> Result<bool> {
        let answer = if self.metrics { asked.metrics(&self.text)? } else { asked.rows(&self.text).await? };
        if self.of_nobody {
            return Ok(true);
        }
        let Some(answer) = answer else { return Ok(false) };
        let steady = STEADY.iter().any(|metric| self.text.contains(metric));
        Ok(self.first.get_or_insert_with(|| answer.clone()) != &answer || steady)
    }
}

impl Asked {
    /// Asks until every query has been answered, and lets something happen each time.
    pub async fn until_answered(mut self, mut open: Vec<Query>, mut happen: impl FnMut() -> Result<()>) -> Result<()> {
        let start = Instant::now();
        while !open.is_empty() {
            ensure!(start.elapsed() < PATIENCE, "no values, or always the same: {open:#?}");
            happen()?;
            let mut still = Vec::new();
            for mut query in open {
                if !query.is_answered(&mut self).await.with_context(|| query.panel.clone())? {
                    still.push(query);
                }
            }
            open = still;
        }
        Ok(())
    }

    /// Runs a statement with the rights that Grafana has.
    pub async fn write(&mut self, sql: &'static str) -> Result<()> {
        sqlx::raw_sql(sql).execute(self.grafana.as_mut().context("no PostgreSQL")?).await?;
        Ok(())
    }

    /// The values of an expression now; none without any that is a number.
    fn metrics(&self, expression: &str) -> Result<Option<String>> {
        // What Grafana makes of a scrape each second: four scrapes.
        let expression = expression.replace("$__rate_interval", "4s").replace("$pipeline", ".*");
        ensure!(!expression.contains('$'), "a variable that this test does not know: {expression}");
        let answer = get(&self.prometheus, &format!("/api/v1/query?query={}", encoded(&expression)))?.json()?;
        ensure!(answer["status"] == "success", "{expression}: {answer}");
        let series = answer["data"]["result"].as_array().context("no result")?;
        let values: Vec<&str> = series.iter().filter_map(|one| one["value"][1].as_str()).collect();
        let numbers: Vec<&str> = values.into_iter().filter(|value| *value != "NaN").collect();
        Ok((!numbers.is_empty()).then(|| numbers.join(" ")))
    }

    /// The rows of a query for the last half hour; none without any that has a number.
    async fn rows(&mut self, sql: &str) -> Result<Option<String>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let (before, rest) = sql.split_once("$__timeFilter(").context("a query of all times")?;
        let (column, after) = rest.split_once(')').context("a macro that is not closed")?;
        let range = format!("{column} BETWEEN to_timestamp({}) AND to_timestamp({now})", now - 1_800);
        let sql = format!("SELECT coalesce(json_agg(rows), '[]')::text FROM ({before}{range}{after}) AS rows");
        ensure!(!sql.contains('$'), "a variable that this test does not know: {sql}");
        let rows: String =
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(self.grafana.as_mut().context("no PostgreSQL")?).await?;
        let parsed: Vec<Value> = serde_json::from_str(&rows)?;
        let has_number = |row: &Value| row.as_object().is_some_and(|row| row.values().any(Value::is_number));
        Ok(parsed.iter().any(has_number).then_some(rows))
    }
}

/// A text as part of a URL's query.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
