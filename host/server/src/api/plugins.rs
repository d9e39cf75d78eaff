//! Plugins: uploaded into the log, so that every host of the group runs the same bytes.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::ETAG;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody};
use super::guard::Caller;
use crate::control::Definition;
use crate::host::Host;

/// The largest plugin, in bytes.
pub const PLUGIN_LIMIT: usize = 16 << 20;

/// A plugin that was uploaded.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PluginDetail {
    /// What definitions call it; empty if the name it had means other bytes by now.
    pub name: String,
    /// SHA-256 of its bytes, in hex.
    pub digest: String,
    /// How many bytes.
    pub size: u64,
    /// `transform` or `aggregate`.
    pub world: String,
    /// Whether it brings a JSON Schema of its configuration.
    pub config_schema: bool,
    /// The pipelines that run these bytes.
    pub used_by: Vec<String>,
    /// The pipelines that run what the name meant before; they go on with it until they are defined anew.
    pub earlier_used_by: Vec<String>,
}

/// Uploads a plugin, a component or the module that `cargo build` makes, and gives it a name. It is loaded into the
/// sandbox first. What runs stays as it is: a definition takes a name for what it means when it is put.
#[utoipa::path(
    put, path = "/plugins/{name}", tag = "plugins",
    params(("name" = String, Path, description = "What definitions call it", pattern = "^[a-z0-9_-]+$")),
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "WebAssembly, up to 16 MiB"),
    responses(
        (status = 200, body = PluginDetail),
        (status = 413, description = "It has more than 16 MiB", body = ErrorBody),
        (status = 422, description = "It is no plugin, or cannot be called so", body = ErrorBody),
        (status = 503, description = "The log failed", body = ErrorBody),
    )
)]
pub async fn put(
    State(host): State<Arc<Host>>,
    Extension(Caller(by)): Extension<Caller>,
    name: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let (Path(name), bytes) = (name?, body?);
    check_name(&name)?;
    let (sandbox, called, wasm) = (host.runner().sandbox.clone(), name.clone(), bytes.clone());
    let loaded = spawn_blocking(move || sandbox.load(&called, &wasm)).await.map_err(anyhow::Error::from)?;
    let plugin = loaded.map_err(|error| ApiError::unprocessable(error.to_string()))?;
    host.control().plugins.push(&name, &plugin, &bytes, by.clone()).await?;
    tracing::info!(plugin = name, digest = plugin.digest(), by, "pushed");
    let uploaded = details(&host).into_iter().find(|uploaded| uploaded.name == name);
    let uploaded = uploaded.map(|uploaded| ([(ETAG, format!("\"{}\"", uploaded.digest))], Json(uploaded)));
    uploaded.ok_or_else(|| ApiError::unavailable("the plugin is not in the log; push it again"))
}

/// Every plugin that was uploaded, and who uses it.
#[utoipa::path(get, path = "/plugins", tag = "plugins", responses((status = 200, body = Vec<PluginDetail>)))]
pub async fn list(State(host): State<Arc<Host>>) -> Result<Json<Vec<PluginDetail>>, ApiError> {
    host.control().plugins.catch_up().await?;
    Ok(Json(details(&host)))
}

/// Removes a plugin, with the names that mean it. One that a definition runs stays, and so does one that a pipeline would
/// go back to. A definition that is sent in the same moment may name it in vain: push it again then.
#[utoipa::path(
    delete, path = "/plugins/{name}", tag = "plugins",
    params((
        "name" = String, Path, description = "SHA-256 of its bytes, in hex: its digest, not a name",
        pattern = "^[0-9a-f]{64}$"
    )),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "There is no such plugin", body = ErrorBody),
        (status = 409, description = "A definition runs it, or that which a pipeline would go back to", body = ErrorBody),
        (status = 503, description = "The log failed", body = ErrorBody),
    )
)]
pub async fn remove(
    State(host): State<Arc<Host>>,
    Extension(Caller(by)): Extension<Caller>,
    digest: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let Path(digest) = digest?;
    host.control().definitions.catch_up().await?;
    let runs_it = |definition: &Arc<Definition>| definition.plugins.values().any(|pinned| *pinned == digest);
    let users: Vec<String> =
        defined(&host).into_iter().filter(runs_it).map(|definition| definition.pipeline.clone()).collect();
    if !users.is_empty() {
        return Err(ApiError::conflict(format!("the plugin is run by {}", users.join(", ")))
            .help("delete these pipelines, or apply them with another plugin, first"));
    }
    let before = |in_force: &Arc<Definition>| {
        host.control().definitions.look(|definitions| definitions.other_code_before(in_force)).filter(runs_it)
    };
    if let Some(earlier) = defined(&host).iter().find_map(before) {
        let (pipeline, version) = (&earlier.pipeline, earlier.version());
        return Err(ApiError::conflict(format!(
            "version {version} of `{pipeline}`, which it would go back to, runs the plugin"
        ))
        .help("apply another version first: what runs now is gone back to then"));
    }
    if !host.control().plugins.remove(&digest).await? {
        return Err(ApiError::not_found(format!("there is no plugin with the digest `{digest}`"))
            .help("GET /plugins lists all, with their digests"));
    }
    tracing::info!(digest, by, "removed");
    Ok(StatusCode::NO_CONTENT)
}

/// The definitions that are in force, of pipelines that were not deleted.
fn defined(host: &Host) -> Vec<Arc<Definition>> {
    let mut definitions = host.control().definitions.look(|definitions| definitions.all());
    definitions.retain(|definition| definition.text.is_some());
    definitions
}

fn details(host: &Host) -> Vec<PluginDetail> {
    let definitions = defined(host);
    let pipelines = |used: Vec<&Arc<Definition>>| used.iter().map(|used| used.pipeline.clone()).collect();
    host.control().plugins.look(|library| {
        let detail = |name: &str, digest: &String| {
            let manifest = library.manifest(digest)?;
            let uses = |definition: &&Arc<Definition>| {
                definition.plugins.contains_key(name) || definition.plugins.values().any(|pinned| pinned == digest)
            };
            let now = |definition: &&Arc<Definition>| definition.plugins.values().any(|pinned| pinned == digest);
            let (now, earlier): (Vec<_>, Vec<_>) = definitions.iter().filter(uses).partition(now);
            Some(PluginDetail {
                name: name.to_owned(),
                digest: digest.clone(),
                size: manifest.size,
                world: manifest.world.clone(),
                config_schema: manifest.config_schema,
                used_by: pipelines(now),
                earlier_used_by: pipelines(earlier),
            })
        };
        let named = library.names();
        let nameless = library.digests().filter(|digest| named.values().all(|meant| meant.digest != **digest));
        let named = named.iter().map(|(name, named)| (name.as_str(), &named.digest));
        named.chain(nameless.map(|digest| ("", digest))).filter_map(|(name, digest)| detail(name, digest)).collect()
    })
}

/// Refuses what no plugin that is uploaded can be called.
pub fn check_name(name: &str) -> Result<(), ApiError> {
    let is_allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-".contains(letter);
    if name.is_empty() || !name.chars().all(is_allowed) {
        return Err(ApiError::unprocessable(format!("a plugin cannot be called `{name}`"))
            .help("write small letters, digits and any of `_-`"));
    }
    Ok(())
}
