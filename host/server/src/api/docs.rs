//! What the API takes and gives, as OpenAPI.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde_json::{Value, json};
use utoipa::OpenApi;

use super::asker::Asker;
use super::roles::{Needs, RULES};
use super::{
    audit, dead_letters, definitions, graph, health, metrics, offsets, pipelines, plugins, queries, runs, shadow, tap,
    topics, versions,
};
use crate::host::Host;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Azenha",
        description = "What runs on this host and how it does, what is to run, records in, live rows out. If the host's \
            configuration names tokens, every call but those about health wants one: `Authorization: Bearer …`; \
            `x-role` says which role it must have."
    ),
    paths(
        health::live,
        health::ready,
        metrics::metrics,
        pipelines::list,
        pipelines::show,
        graph::show,
        definitions::put,
        definitions::delete,
        definitions::pause,
        definitions::resume,
        definitions::restart,
        offsets::show,
        offsets::patch,
        dead_letters::list,
        dead_letters::show,
        dead_letters::bundle,
        dead_letters::personal_bundle,
        dead_letters::replay,
        dead_letters::retry,
        dead_letters::discard,
        runs::list,
        runs::begin,
        versions::list,
        versions::rollback,
        plugins::list,
        plugins::put,
        plugins::remove,
        shadow::list,
        shadow::show,
        shadow::start,
        shadow::discard,
        shadow::promote,
        tap::tap,
        topics::append,
        audit::changes,
        audit::whoami,
    )
)]
struct Description;

/// The description of this API; who may read what runs finds the queries of pipelines in it.
pub async fn openapi(State(host): State<Arc<Host>>, reader: Option<Extension<Asker>>) -> Json<Value> {
    let mut description = json!(Description::openapi());
    describe_access(&mut description);
    if reader.is_some()
        && let Some(paths) = description["paths"].as_object_mut()
    {
        paths.extend(queries::described(&host));
    }
    Json(description)
}

/// Adds to each route which role it takes, and how it answers those who have none.
fn describe_access(description: &mut Value) {
    description["components"]["securitySchemes"] = json!({ "token": { "type": "http", "scheme": "bearer" } });
    for (method, path, needs) in &RULES {
        let (Needs::Role(role) | Needs::Token(role)) = needs else { continue };
        let method = method.as_str().to_ascii_lowercase();
        let Some(operation) = description["paths"].get_mut(path).and_then(|path| path.get_mut(method)) else {
            continue;
        };
        operation["x-role"] = json!(role.to_string());
        operation["security"] = json!([{ "token": [] }]);
        let refused = [("401", "The token is missing or not known"), ("429", "This caller asks too much")];
        let forbidden = ("403", format!("The token's role is less than `{role}`, or a page of another site asks"));
        let refused = refused.map(|(status, reason)| (status, reason.to_owned()));
        for (status, reason) in refused.into_iter().chain([forbidden]) {
            let body = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/ErrorBody" } } });
            operation["responses"][status] = json!({ "description": reason, "content": body });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_has_a_rule_and_every_rule_an_operation() {
        let mut described = BTreeSet::new();
        for (path, methods) in json!(Description::openapi())["paths"].as_object().unwrap() {
            let methods = methods.as_object().unwrap().keys();
            described.extend(methods.map(|method| (method.to_ascii_uppercase(), path.clone())));
        }
        // Pages and their files are for browsers.
        let pages = ["/openapi.json", "/docs", "/console", "/console/{file}"];
        let operations = RULES.iter().filter(|(_, path, _)| !pages.contains(path));
        let ruled: BTreeSet<_> = operations.map(|(method, path, _)| (method.to_string(), (*path).to_owned())).collect();
        assert_eq!(described, ruled);
    }

    #[test]
    fn no_query_can_answer_at_a_path_of_the_host() {
        let described = Description::openapi();
        let own = described.paths.paths.keys().map(String::as_str).chain(["/openapi.json", "/docs", "/console"]);
        for path in own {
            let template = path.split('{').next().unwrap_or_default();
            assert!(azenha_model::query::Path::parse(template).is_err(), "{path}");
        }
    }
}
