//! What S3 needs beyond a client: buckets that are made, and large objects in parts.

use std::sync::Arc;
use std::time::Duration;

use azenha_engine::spool::Content;
use azenha_model::connection::{ObjectCredentials, ObjectOptions};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{ClientOptions, HeaderMap, HeaderValue, MultipartId, ObjectStore, PutResult, Result};
use reqwest::{Client, Method, Response};

use super::bucket::Condition;
use super::parts::put_parts;
use super::service::{client_options, retry};

/// The region whose name S3 does not want to hear when a bucket is made.
const FIRST_REGION: &str = "us-east-1";
/// How long the signature of a request counts.
const SIGNED_FOR: Duration = Duration::from_secs(60);

/// A bucket of S3, or of a server that speaks its protocol.
pub struct S3 {
    client: Arc<AmazonS3>,
    builder: AmazonS3Builder,
    options: ClientOptions,
    region: String,
    timeout: Option<Duration>,
}

impl S3 {
    pub fn open(bucket: &str, options: &ObjectOptions) -> Result<Self> {
        let region = options.region.as_deref().unwrap_or(FIRST_REGION);
        let client = client_options(options);
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region)
            .with_client_options(client.clone())
            .with_retry(retry());
        if let Some(endpoint) = &options.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(ObjectCredentials::Key { id, secret }) = &options.credentials {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret.reveal());
        }
        Ok(Self {
            client: Arc::new(builder.clone().build()?),
            builder,
            options: client,
            region: region.to_owned(),
            timeout: options.timeout,
        })
    }

    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.client) as _
    }

    /// Asks for the bucket to be made; what became of it the answer says.
    pub async fn make_bucket(&self) -> Result<std::result::Result<Response, reqwest::Error>> {
        let url = self.client.signed_url(Method::PUT, &Path::ROOT, SIGNED_FOR).await?;
        let place = match self.region.as_str() {
            FIRST_REGION => String::new(),
            region => format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            ),
        };
        let request = Client::new().put(url).body(place).timeout(self.timeout.unwrap_or(SIGNED_FOR));
        // The URL holds the signature.
        Ok(request.send().await.map_err(reqwest::Error::without_url))
    }

    /// Writes a large object in parts; nothing is there before all of them are.
    pub async fn upload(&self, location: &Path, content: &Content, condition: Condition<'_>) -> Result<PutResult> {
        let upload = self.client.create_multipart(location).await?;
        let done = self.upload_parts(location, &upload, content, condition).await;
        if done.is_err() {
            // The parts cost room until then; where this fails too, a rule of the bucket should end old uploads.
            let _ = self.client.abort_multipart(location, &upload).await;
        }
        done
    }

    async fn upload_parts(
        &self,
        location: &Path,
        upload: &MultipartId,
        content: &Content,
        condition: Condition<'_>,
    ) -> Result<PutResult> {
        let parts = put_parts(&*self.client, location, upload, content).await?;
        self.with_condition(condition)?.complete_multipart(location, upload, parts).await
    }

    /// A client whose every request has a condition, because the client has no other place for that of a completion.
    fn with_condition(&self, condition: Condition<'_>) -> Result<AmazonS3> {
        let unusable = |error| object_store::Error::Generic { store: "S3", source: Box::new(error) };
        let mut headers = HeaderMap::new();
        match condition {
            Condition::Absent => headers.insert("if-none-match", HeaderValue::from_static("*")),
            Condition::Has(tag) => headers.insert("if-match", HeaderValue::from_str(&tag.0).map_err(unusable)?),
        };
        self.builder.clone().with_client_options(self.options.clone().with_default_headers(headers)).build()
    }
}
