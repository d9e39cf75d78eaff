//! What the API takes and gives, for programs as OpenAPI and for people as a page.

use axum::Json;
use axum::response::Html;
use utoipa::OpenApi;

use super::{definitions, health, metrics, offsets, pipelines, plugins, tap, topics};

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
        plugins::list,
        plugins::put,
        plugins::remove,
        tap::tap,
        topics::append,
    )
)]
struct Description;

/// The description of this API.
pub async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
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
            "/pipelines/{name}/steps/{step}/tap",
            "/plugins",
            "/plugins/{name}",
            "/readyz",
            "/topics/{topic}/records",
        ];
        assert_eq!(paths, expected);
    }
}
