//! What the API takes and gives, for programs as OpenAPI and for people as a page.

use axum::Json;
use axum::response::Html;
use utoipa::OpenApi;

use super::{health, metrics, pipelines, tap, topics};

#[derive(OpenApi)]
#[openapi(
    info(title = "Azenha", description = "What runs on this host and how it does, records in, live rows out."),
    paths(health::live, health::ready, metrics::metrics, pipelines::list, pipelines::show, tap::tap, topics::append,)
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
            "/pipelines/{name}/steps/{step}/tap",
            "/readyz",
            "/topics/{topic}/records",
        ];
        assert_eq!(paths, expected);
    }
}
