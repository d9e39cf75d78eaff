//! What Azure needs beyond a client: large objects in blocks, which become one under a condition.

use std::sync::Arc;
use std::time::Duration;

use azenha_engine::spool::Content;
use azenha_model::connection::{ObjectCredentials, ObjectOptions};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use object_store::azure::{AzureAuthorizer, AzureCredential, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{Error, Extensions, HeaderMap, HeaderValue, ObjectStore, PutResult, Result};
use reqwest::{Client, Method, Response, StatusCode, Url};

use super::bucket::Condition;
use super::failure::code;
use super::parts::put_parts;
use super::service::{TIMEOUT, client_options, retry};

/// A container of Azure, or of a server that speaks its protocol.
pub struct Azure {
    client: Arc<MicrosoftAzure>,
    /// For what the client cannot ask.
    http: Client,
    account: String,
    /// The URL of the container.
    container: Url,
    timeout: Duration,
}

impl Azure {
    pub fn open(container: &str, options: &ObjectOptions) -> Result<Self> {
        let mut builder = MicrosoftAzureBuilder::new()
            .with_container_name(container)
            .with_client_options(client_options(options))
            .with_retry(retry());
        if let Some(endpoint) = &options.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        let mut account = String::new();
        if let Some(ObjectCredentials::Key { id, secret }) = &options.credentials {
            builder = builder.with_account(id).with_access_key(secret.reveal());
            account.clone_from(id);
        }
        let client = Arc::new(builder.build()?);
        let service = options.endpoint.clone().unwrap_or_else(|| format!("https://{account}.blob.core.windows.net"));
        Ok(Self {
            client,
            http: Client::new(),
            container: below(&Url::parse(&service).map_err(failed)?, [container])?,
            account,
            timeout: options.timeout.unwrap_or(TIMEOUT),
        })
    }

    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.client) as _
    }

    /// Writes a large object in blocks; nothing is there before all of them are. Blocks that become nothing are forgotten
    /// after a week.
    pub async fn upload(&self, location: &Path, content: &Content, condition: Condition<'_>) -> Result<PutResult> {
        let upload = self.client.create_multipart(location).await?;
        let blocks = put_parts(&*self.client, location, &upload, content).await?;
        self.complete(location, &blocks, condition).await
    }

    /// Makes an object of blocks. The client does so too, but without a condition.
    async fn complete(&self, location: &Path, blocks: &[PartId], condition: Condition<'_>) -> Result<PutResult> {
        let mut url = below(&self.container, location.parts())?;
        url.set_query(Some("comp=blocklist"));
        let list = list_of(blocks);
        let mut headers = HeaderMap::new();
        headers.insert("content-length", HeaderValue::from(list.len()));
        match condition {
            Condition::Absent => headers.insert("if-none-match", HeaderValue::from_static("*")),
            Condition::Has(tag) => headers.insert("if-match", HeaderValue::from_str(&tag.0).map_err(failed)?),
        };
        let headers = self.signed(&url, headers).await?;
        let sent = self.http.put(url).headers(headers).body(list).timeout(self.timeout).send().await;
        // The URL may hold a signature.
        settled(sent.map_err(|error| failed(error.without_url()))?, location).await
    }

    /// The headers of a request that puts something, with those that show who asks.
    async fn signed(&self, url: &Url, headers: HeaderMap) -> Result<HeaderMap> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = Method::PUT;
        *request.uri_mut() = url.as_str().parse().map_err(failed)?;
        *request.headers_mut() = headers;
        let credential: Arc<AzureCredential> = self.client.credentials().get_credential().await?;
        AzureAuthorizer::new(&credential, &self.account).try_authorize(&mut request)?;
        Ok(request.headers().clone())
    }
}

/// What became of the blocks. Whoever makes an object of blocks forgets all others that were put for it: to those who
/// put them it looks as if their list named blocks that never were.
async fn settled(answer: Response, location: &Path) -> Result<PutResult> {
    let status = answer.status();
    if status.is_success() {
        let tag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        return Ok(PutResult { e_tag: tag, version: None, extensions: Extensions::default() });
    }
    let body = answer.text().await.unwrap_or_default();
    let is_refused = matches!(status, StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT)
        || code(&body) == Some("InvalidBlockList");
    // In the words of the client, as `failure` knows them.
    let said = format!("Server returned non-2xx status code: {status}: {body}");
    Err(match is_refused {
        true => Error::Precondition { path: location.to_string(), source: said.into() },
        false => failed(said),
    })
}

fn below<Part: AsRef<str>>(url: &Url, parts: impl IntoIterator<Item = Part>) -> Result<Url> {
    let mut url = url.clone();
    let mut segments = url.path_segments_mut().map_err(|()| failed("the endpoint cannot have paths"))?;
    segments.extend(parts);
    drop(segments);
    Ok(url)
}

fn list_of(blocks: &[PartId]) -> String {
    let block = |block: &PartId| format!("<Uncommitted>{}</Uncommitted>", BASE64_STANDARD.encode(&block.content_id));
    let blocks: String = blocks.iter().map(block).collect();
    format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{blocks}</BlockList>")
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: "MicrosoftAzure", source: error.into() }
}
