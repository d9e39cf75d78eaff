//! Speaks with the API of a host.

use std::env;
use std::time::Duration;

use anyhow::{Context, Result};
use azenha_model::access::Secret;
use clap::Args;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::api::{ErrorBody, PluginDetail};
use crate::usage::Usage;

/// The environment variable that holds the token: a command line is seen by others.
const TOKEN: &str = "AZENHA_TOKEN";

/// How long an answer may take: a little more than a host takes.
const PATIENCE: Duration = Duration::from_secs(130);

/// Which host is asked.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// The API of a host of the group; its token is taken from the environment variable AZENHA_TOKEN.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", env = "AZENHA_SERVER")]
    server: String,
}

impl ServerArgs {
    /// A client of that host.
    pub fn client(&self) -> Result<Client> {
        let server = &self.server;
        let url = Url::parse(server).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| Usage(format!("`{server}` is no URL of a host: http://127.0.0.1:8080 is one")))?;
        // There may be one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(PATIENCE).build()?;
        Ok(Client { http, url, token: token()? })
    }
}

/// The token of the environment, if there is one.
pub fn token() -> Result<Option<Secret>> {
    let token = env::var_os(TOKEN).filter(|token| !token.is_empty());
    Ok(token.map(|token| checked(&token.to_string_lossy())).transpose()?)
}

/// A text that can go into a header.
fn checked(token: &str) -> Result<Secret, Usage> {
    if token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Secret::from(token.to_owned()));
    }
    Err(Usage(format!("the token in {TOKEN} has a blank, a line break or letters beyond ASCII: set it without them")))
}

/// A client of one host.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    url: Url,
    token: Option<Secret>,
}

/// The host did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{}{}", .body.error, .body.help.as_ref().map(|help| format!("\n  help: {help}")).unwrap_or_default())]
pub struct Refused {
    /// The status.
    pub status: StatusCode,
    /// Why.
    pub body: ErrorBody,
}

impl Client {
    /// GET.
    pub async fn get<Answer: DeserializeOwned>(&self, path: &[&str]) -> Result<Answer> {
        self.call(Method::GET, path, None).await
    }

    /// GET with parameters.
    pub async fn find<Answer: DeserializeOwned>(&self, path: &[&str], parameters: &[(&str, String)]) -> Result<Answer> {
        self.parsed(&self.send(Method::GET, path, parameters, None).await?)
    }

    /// POST with parameters.
    pub async fn post<Answer: DeserializeOwned>(&self, path: &[&str], parameters: &[(&str, String)]) -> Result<Answer> {
        self.parsed(&self.send(Method::POST, path, parameters, None).await?)
    }

    /// GET of what is no JSON.
    pub async fn bytes(&self, path: &[&str]) -> Result<Vec<u8>> {
        self.send(Method::GET, path, &[], None).await
    }

    /// A call with a body and its content type, or without. [`Refused`] if the host does not do it.
    pub async fn call<Answer: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<(&'static str, Vec<u8>)>,
    ) -> Result<Answer> {
        self.call_with(method, path, &[], body).await
    }

    /// The same with parameters.
    pub async fn call_with<Answer: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        parameters: &[(&str, String)],
        body: Option<(&'static str, Vec<u8>)>,
    ) -> Result<Answer> {
        self.parsed(&self.send(method, path, parameters, body).await?)
    }

    fn parsed<Answer: DeserializeOwned>(&self, answer: &[u8]) -> Result<Answer> {
        let answer = if answer.is_empty() { b"null" } else { answer };
        serde_json::from_slice(answer).with_context(|| format!("{} does not answer as a host", self.url))
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        parameters: &[(&str, String)],
        body: Option<(&'static str, Vec<u8>)>,
    ) -> Result<Vec<u8>> {
        let mut url = self.url.clone();
        let no_base = |()| Usage(format!("`{}` is no URL of a host", self.url));
        url.path_segments_mut().map_err(no_base)?.pop_if_empty().extend(path);
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.reveal());
        }
        if let Some((content_type, body)) = body {
            request = request.header(CONTENT_TYPE, content_type).body(body);
        }
        let unreachable = || format!("no host answers at {}; does one run there? --server names another", self.url);
        let response = request.send().await.with_context(unreachable)?;
        let status = response.status();
        let bytes = response.bytes().await.with_context(unreachable)?;
        if status.is_success() {
            return Ok(bytes.into());
        }
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| ErrorBody { error: format!("{} answered {status}", self.url), ..ErrorBody::default() });
        Err(Refused { status, body }.into())
    }

    /// The plugins that were uploaded.
    pub async fn plugins(&self) -> Result<Vec<PluginDetail>> {
        self.get(&["plugins"]).await
    }

    /// Removes a plugin that no definition runs.
    pub async fn remove_plugin(&self, digest: &str) -> Result<()> {
        let removed = self.call(Method::DELETE, &["plugins", digest], None).await;
        removed.with_context(|| format!("the plugin with the digest {digest} was not removed"))
    }

    /// Uploads a plugin.
    pub async fn push(&self, name: &str, bytes: Vec<u8>) -> Result<PluginDetail> {
        let pushed = self.call(Method::PUT, &["plugins", name], Some(("application/wasm", bytes))).await;
        pushed.with_context(|| format!("plugin `{name}` was not pushed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_no_header_can_hold_is_refused_and_not_shown() {
        assert_eq!(checked("writer-0123456789").unwrap().reveal(), "writer-0123456789");
        for wrong in ["hidden-0123456789\n", "hidden 0123456789", "hidden-\u{fffd}"] {
            assert!(!checked(wrong).unwrap_err().to_string().contains("hidden"), "{wrong}");
        }
    }
}
