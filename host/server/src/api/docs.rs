//! What the API takes and gives, for programs as OpenAPI and for people as a page.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use axum::{Extension, Json};
use serde_json::{Value, json};
use utoipa::OpenApi;

use super::guard::MayRead;
use super::{definitions, health, metrics, offsets, pipelines, plugins, queries, runs, tap, topics, versions};
use crate::host::Host;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Azenha",
        description = "What runs on this host and how it does, what is to run, records in, live rows out. If the host's \
            configuration names tokens, every call but those about health wants one: `Authorization: Bearer …`."
    ),
    paths(
        health::live,
        health::ready,
        metrics::metrics,
        pipelines::list,
        pipelines::show,
        definitions::put,
        definitions::delete,
        definitions::pause,
        definitions::resume,
        definitions::restart,
        offsets::show,
        offsets::patch,
        runs::list,
        runs::begin,
        versions::list,
        versions::rollback,
        plugins::list,
        plugins::put,
        plugins::remove,
        tap::tap,
        topics::append,
    )
)]
struct Description;

/// The description of this API; who may read what runs finds the queries of pipelines in it.
pub async fn openapi(State(host): State<Arc<Host>>, Extension(MayRead(may_read)): Extension<MayRead>) -> Json<Value> {
    let mut description = json!(Description::openapi());
    if may_read && let Some(paths) = description["paths"].as_object_mut() {
        paths.extend(queries::described(&host));
    }
    Json(description)
}

/// A page that shows it.
pub async fn page() -> Html<&'static str> {
    Html(include_str!("docs.html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_described() {
        let description = Description::openapi();
        let paths: Vec<&str> = description.paths.paths.keys().map(String::as_str).collect();
        let expected = [
            "/livez",
            "/metrics",
            "/pipelines",
            "/pipelines/{name}",
            "/pipelines/{name}/offsets",
            "/pipelines/{name}/pause",
            "/pipelines/{name}/restart",
            "/pipelines/{name}/resume",
            "/pipelines/{name}/rollback",
            "/pipelines/{name}/runs",
            "/pipelines/{name}/steps/{step}/tap",
            "/pipelines/{name}/versions",
            "/plugins",
            "/plugins/{name}",
            "/readyz",
            "/topics/{topic}/records",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn no_query_can_answer_at_a_path_of_the_host() {
        let described = Description::openapi();
        let own = described.paths.paths.keys().map(String::as_str).chain(["/openapi.json", "/docs"]);
        for path in own {
            let template = path.split('{').next().unwrap_or_default();
            assert!(azenha_model::query::Path::parse(template).is_err(), "{path}");
        }
    }
}
