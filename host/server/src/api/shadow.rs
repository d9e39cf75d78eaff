//! Code of a step that is tried beside what runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use azenha_engine::Pipeline;
use azenha_engine::difference::Side;
use azenha_engine::shadow::{Candidate, ShadowOptions};
use azenha_model::pipeline::{PipelineFile, differences, with_plugin};
use serde::Deserialize;
use utoipa::IntoParams;

use super::definitions::{InForce, Wanted, check_is_of_log, define, text};
use super::error::{ApiError, ErrorBody};
use super::guard::Caller;
use super::paths::{OfPipeline, OfStep};
use super::pipelines::{find, running};
use super::plugins::check_name;
use super::shadow_detail::ShadowDetail;
use super::versions::SwapOptions;
use crate::control::{Condition, Definition};
use crate::host::{Host, Proposal, Running};

/// The share of the rows that a candidate gets, unless something else is said.
const SAMPLE: f64 = 0.1;

/// What a candidate may cost for each row of its share, compared with the live plugin, unless something else is said.
const BUDGET: f64 = 1.2;

/// The largest budget: a candidate that costs more than this is no candidate.
const MOST: f64 = 100.0;

/// What a candidate is, and how much it is asked.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ShadowParameters {
    /// The name of an uploaded plugin that the step runs instead of the one that the file names.
    plugin: Option<String>,
    /// The share of the live plugin's rows that the candidate gets, at most: above 0, up to 1; 0.1 if left out.
    sample: Option<f64>,
    /// Processor time that it may take, with all that sampling adds, as a share of the live plugin's: above 0, up to 100;
    /// 1.2 times the sample if left out. Beyond it the candidate is asked less often.
    budget: Option<f64>,
}

impl ShadowParameters {
    /// The pipeline file that is tried.
    fn applied(&self, text: String, step: &str) -> Result<String, ApiError> {
        let Some(plugin) = &self.plugin else { return Ok(text) };
        check_name(plugin)?;
        Ok(with_plugin(&text, step, plugin).map_err(anyhow::Error::from)?)
    }

    fn options(&self) -> Result<ShadowOptions, ApiError> {
        let sample = self.sample.unwrap_or(SAMPLE);
        let budget = self.budget.unwrap_or(BUDGET * sample);
        for (name, value, most) in [("sample", sample, 1.0), ("budget", budget, MOST)] {
            if !(value > 0.0 && value <= most) {
                return Err(ApiError::bad_request(format!("`{name}` is {value}"))
                    .help(format!("give a number above 0, up to {most}")));
            }
        }
        Ok(ShadowOptions { sample, budget })
    }
}

/// Tries code beside that of a step: another plugin, or the same with another configuration. The body is a whole pipeline
/// file that, with `plugin` if that is given, differs from the one in force in nothing but the plugin of that step, its
/// configuration and the columns that it may read. Plugins are those that were uploaded; each name is taken for what it
/// means now. From now on the candidate gets some of the live plugin's calls, and what it makes of them is compared and
/// thrown away: nothing of it reaches a topic, a table or a state. It works on this host, beside the lanes that run here, until it is discarded or
/// promoted, the pipeline goes over to another version, or the host ends. One that was there before is discarded.
#[utoipa::path(
    post, path = "/pipelines/{name}/steps/{step}/shadow", tag = "pipelines",
    params(OfStep, ShadowParameters),
    request_body(
        description = "A pipeline file",
        content((String = "application/yaml"), (serde_json::Value = "application/json"))
    ),
    responses(
        (status = 201, description = "The candidate works", body = ShadowDetail),
        (status = 400, description = "A share is out of range", body = ErrorBody),
        (status = 404, description = "There is no such pipeline", body = ErrorBody),
        (status = 409, description = "It differs in more than that step's code, or cannot work beside what runs", body = ErrorBody),
        (status = 413, description = "It has more than 256 KiB", body = ErrorBody),
        (status = 415, description = "The content type is neither of the two", body = ErrorBody),
        (status = 422, description = "It is wrong: every error with line and column", body = ErrorBody),
    )
)]
pub async fn start(
    State(host): State<Arc<Host>>,
    path: Result<Path<OfStep>, PathRejection>,
    parameters: Result<Query<ShadowParameters>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<ShadowDetail>), ApiError> {
    let Path(OfStep { name, step }) = path?;
    let Query(parameters) = parameters?;
    let options = parameters.options()?;
    check_is_of_log(&host, &name)?;
    let text = parameters.applied(text(&headers, &body?)?, &step)?;
    let running = running(&host, &name)?;
    let live = lanes(&running)?;
    let in_force = host.control().definitions.in_force(&name).await?;
    if live.version() != in_force.version() {
        return Err(ApiError::conflict(format!("pipeline `{name}` goes over to another version")).help("try again"));
    }
    check_difference(&step, in_force.text.as_deref().unwrap_or_default(), &text)?;
    let (mut plugins, loaded) = host.runner().check(&name, &text).await?;
    let tried = Side { plan: &loaded.plan, plugins: &loaded.plugins };
    let candidate = Candidate::of(&step, live.plan(), tried).map_err(|unfit| ApiError::conflict(unfit.to_string()))?;
    check_plugin(&name, &text, candidate.plugin_name(), &plugins, &in_force)?;
    // Others may have been uploaded anew meanwhile: that is not what is tried.
    for (other, digest) in in_force.plugins.iter().filter(|(other, _)| *other != candidate.plugin_name()) {
        plugins.entry(other.clone()).and_modify(|pinned| pinned.clone_from(digest));
    }
    live.shadows().start(candidate, options).map_err(|error| ApiError::unavailable(error.to_string()))?;
    host.proposals.put(&name, &step, Proposal { version: in_force.version(), text, plugins });
    Ok((StatusCode::CREATED, Json(detail(live, &step)?)))
}

/// How the candidate beside a step does on this host: rows that are equal and different, by column, with samples side by
/// side, what it refused and failed on, and what it cost. Personal data is masked.
#[utoipa::path(
    get, path = "/pipelines/{name}/steps/{step}/shadow", tag = "pipelines",
    params(OfStep),
    responses(
        (status = 200, body = ShadowDetail),
        (status = 404, description = "No candidate works beside that step on this host", body = ErrorBody),
        (status = 409, description = "The pipeline does not run", body = ErrorBody),
    )
)]
pub async fn show(
    State(host): State<Arc<Host>>,
    path: Result<Path<OfStep>, PathRejection>,
) -> Result<Json<ShadowDetail>, ApiError> {
    let Path(OfStep { name, step }) = path?;
    let running = running(&host, &name)?;
    Ok(Json(detail(lanes(&running)?, &step)?))
}

/// The candidates beside the steps of a pipeline on this host, by step; none while it does not run.
#[utoipa::path(
    get, path = "/pipelines/{name}/shadows", tag = "pipelines",
    params(OfPipeline),
    responses((status = 200, body = BTreeMap<String, ShadowDetail>), (status = 404, body = ErrorBody))
)]
pub async fn list(
    State(host): State<Arc<Host>>,
    path: Result<Path<OfPipeline>, PathRejection>,
) -> Result<Json<BTreeMap<String, ShadowDetail>>, ApiError> {
    let Path(OfPipeline { name }) = path?;
    let running = find(&host, &name)?.running();
    let live = running.as_deref().and_then(Running::live);
    let reports = live.into_iter().flat_map(|live| live.shadows().reports());
    Ok(Json(reports.map(|(step, report)| (step.to_owned(), report.into())).collect()))
}

/// Discards the candidate beside a step.
#[utoipa::path(
    delete, path = "/pipelines/{name}/steps/{step}/shadow", tag = "pipelines",
    params(OfStep),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "No candidate works beside that step on this host", body = ErrorBody),
        (status = 409, description = "The pipeline does not run", body = ErrorBody),
    )
)]
pub async fn discard(
    State(host): State<Arc<Host>>,
    path: Result<Path<OfStep>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let Path(OfStep { name, step }) = path?;
    let running = running(&host, &name)?;
    if lanes(&running)?.shadows().end(&step) { Ok(StatusCode::NO_CONTENT) } else { Err(none(&name, &step)) }
}

/// Makes the candidate beside a step the live code, on every host, in the way in which a pipeline goes over to any other
/// version: as if its definition were put with the plugins that it was tried with. Only while the version is in force
/// beside which it was tried.
#[utoipa::path(
    post, path = "/pipelines/{name}/steps/{step}/shadow/promote", tag = "pipelines",
    params(OfStep, SwapOptions),
    responses(
        (status = 200, description = "It is in force; or what a dry run says", body = InForce),
        (status = 404, description = "No candidate works beside that step on this host", body = ErrorBody),
        (status = 409, description = "The pipeline does not run", body = ErrorBody),
        (status = 412, description = "Another version is in force", body = ErrorBody),
    )
)]
pub async fn promote(
    State(host): State<Arc<Host>>,
    Extension(Caller(by)): Extension<Caller>,
    path: Result<Path<OfStep>, PathRejection>,
    options: Result<Query<SwapOptions>, QueryRejection>,
) -> Result<Response, ApiError> {
    let (Path(OfStep { name, step }), Query(options)) = (path?, options?);
    check_is_of_log(&host, &name)?;
    let running = running(&host, &name)?;
    let works = lanes(&running)?.shadows().report(&step).is_some();
    let proposal = host.proposals.get(&name, &step).filter(|_| works).ok_or_else(|| none(&name, &step))?;
    let loaded = host.runner().load(&name, &proposal.text, &proposal.plugins).await?;
    let wanted = Wanted {
        pipeline: name,
        condition: Condition::Version(proposal.version),
        by,
        text: proposal.text.clone(),
        plugins: proposal.plugins.clone(),
    };
    define(&host, wanted, &loaded, &options).await
}

fn lanes(running: &Running) -> Result<&Pipeline, ApiError> {
    let name = running.name();
    running.live().ok_or_else(|| {
        ApiError::conflict(format!("pipeline `{name}` is a batch, which has no lanes that something could be beside"))
    })
}

fn detail(live: &Pipeline, step: &str) -> Result<ShadowDetail, ApiError> {
    let name = &live.plan().pipeline;
    live.shadows().report(step).map(ShadowDetail::from).ok_or_else(|| none(name, step))
}

fn none(name: &str, step: &str) -> ApiError {
    ApiError::not_found(format!("no candidate works beside step `{step}` of pipeline `{name}` on this host")).help(
        "POST one; it ends when the pipeline goes over to another version or the host ends, and other hosts know nothing \
         of it",
    )
}

/// A candidate differs in the code of one step only: all else is what it gets.
fn check_difference(step: &str, before: &str, after: &str) -> Result<(), ApiError> {
    let differs = differences(before, after).map_err(anyhow::Error::from)?;
    let of_step = format!("/steps/{step}/");
    let may = |part: &String| part.strip_prefix(&of_step).is_some_and(is_code);
    let others: BTreeSet<&str> = differs.iter().filter(|part| !may(part)).map(String::as_str).collect();
    if others.is_empty() {
        return Ok(());
    }
    let others: Vec<&str> = others.into_iter().collect();
    Err(ApiError::conflict(format!("the candidate differs from what is in force at {}", others.join(", "))).help(format!(
        "change nothing but the plugin of step `{step}`, its configuration and what it may read; put other changes into force first, or later"
    )))
}

/// Whether a part of a step says which code it runs: the plugin, its configuration, or what it may read.
fn is_code(part: &str) -> bool {
    let names: Vec<&str> = part.split('/').collect();
    match names.as_slice() {
        ["tables", _table, "columns", ..] => true,
        [name, ..] => ["transform", "aggregate", "assemble", "config", "columns"].contains(name),
        [] => false,
    }
}

/// Refuses another plugin under a name that other steps use, too: they would go over to it together.
fn check_plugin(
    pipeline: &str,
    text: &str,
    plugin: &str,
    digests: &BTreeMap<String, String>,
    in_force: &Definition,
) -> Result<(), ApiError> {
    let file = PipelineFile::parse(pipeline, text, &|_| None).map_err(anyhow::Error::from)?;
    let uses = file.plugins().filter(|reference| reference.plugin.value == plugin).count();
    let is_other = in_force.plugins.get(plugin).is_some_and(|known| digests.get(plugin) != Some(known));
    if uses > 1 && is_other {
        return Err(ApiError::conflict(format!("plugin `{plugin}` was uploaded anew, and other steps use it, too"))
            .help("upload it under another name, and name that in the step"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "steps: { clean: { transform: rename, from: rows, config: { a: 1 } }, more: { transform: b } }";

    #[test]
    fn only_the_code_of_the_step_may_differ() {
        let check = |after: &str| check_difference("clean", TEXT, after).map_err(|error| error.status().as_u16());
        assert_eq!(check(TEXT), Ok(()));
        assert_eq!(check(&TEXT.replace("a: 1", "b: [2]")), Ok(()));
        assert_eq!(check(&TEXT.replace("rename", "rename-next").replace(", config: { a: 1 }", "")), Ok(()));
        assert_eq!(check(&TEXT.replace("rows", "others")), Err(409));
        assert_eq!(check(&TEXT.replace("transform: b", "transform: c")), Err(409));
        assert_eq!(check("steps: ["), Err(422));
    }

    #[test]
    fn of_an_assembly_the_tables_stay_and_what_may_be_read_of_them_changes() {
        let text = "steps: { total: { assemble: sum, tables: { lines: { from: a, by: [id], columns: [b] } } } }";
        let check = |before: &str, after: &str| {
            let checked = check_difference("total", text, &text.replace(before, after));
            checked.map_err(|error| error.status().as_u16())
        };
        assert_eq!(check("assemble: sum", "assemble: sum-next, config: { c: 1 }"), Ok(()));
        assert_eq!(check("columns: [b]", "columns: [b, c]"), Ok(()));
        assert_eq!(check(", columns: [b]", ""), Ok(()));
        assert_eq!(check("by: [id]", "by: [b]"), Err(409));
        assert_eq!(check("from: a", "from: b"), Err(409));
        assert_eq!(check("lines:", "columns:"), Err(409), "a table of that name");
        assert_eq!(check("assemble: sum", "assemble: sum, max_group_rows: 5"), Err(409));
    }

    fn parameters(sample: Option<f64>, budget: Option<f64>) -> ShadowParameters {
        ShadowParameters { plugin: None, sample, budget }
    }

    #[test]
    fn shares_that_are_none_are_refused() {
        let of = |sample, budget| parameters(sample, budget).options().map_err(|error| error.status().as_u16());
        assert_eq!(of(None, None), Ok(ShadowOptions { sample: 0.1, budget: 0.12 }));
        assert_eq!(of(Some(1.0), Some(3.0)), Ok(ShadowOptions { sample: 1.0, budget: 3.0 }));
        for (sample, budget) in [(Some(0.0), None), (Some(1.1), None), (None, Some(-1.0)), (Some(f64::NAN), None)] {
            assert_eq!(of(sample, budget), Err(400), "{sample:?} {budget:?}");
        }
    }
}
