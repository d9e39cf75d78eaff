//! The providers of buckets, and how their clients are set up.

use std::sync::Arc;
use std::time::Duration;

use azenha_engine::store::StoreError;
use azenha_model::connection::{ObjectCredentials, ObjectOptions, StoreKind};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::azure::Azure;
use super::s3::S3;

/// How long one request may take, unless the connection says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a server may take to be reached.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Who keeps a bucket, where that makes a difference.
pub enum Service {
    S3(Box<S3>),
    Google,
    Azure(Box<Azure>),
}

impl Service {
    /// The client of a bucket; nothing is connected yet.
    pub fn open(
        connection: &str,
        kind: StoreKind,
        bucket: &str,
        options: &ObjectOptions,
    ) -> Result<(Arc<dyn ObjectStore>, Self), StoreError> {
        match kind {
            StoreKind::Google => Ok((Arc::new(google(bucket, options).map_err(unusable(connection))?), Self::Google)),
            StoreKind::Azure => {
                let azure = Azure::open(bucket, options).map_err(unusable(connection))?;
                Ok((azure.store(), Self::Azure(Box::new(azure))))
            }
            _ => {
                let s3 = S3::open(bucket, options).map_err(unusable(connection))?;
                Ok((s3.store(), Self::S3(Box::new(s3))))
            }
        }
    }
}

/// Of a client that cannot be made the error is not shown: it may repeat a part of a key.
fn unusable(connection: &str) -> impl Fn(object_store::Error) -> StoreError {
    move |_| {
        StoreError::Definition(format!(
            "the endpoint or the keys of connection `{connection}` cannot be read: `service_account_key` is the JSON \
             file of a service account, `access_key` of an account of Azure is in Base64, and of an access key of S3 both \
             parts are needed, in the file or as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ))
    }
}

fn google(bucket: &str, options: &ObjectOptions) -> object_store::Result<impl ObjectStore> {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_client_options(client_options(options))
        .with_retry(retry());
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    if let Some(ObjectCredentials::ServiceAccount(key)) = &options.credentials {
        builder = builder.with_service_account_key(key.reveal());
    }
    builder.build()
}

/// How every provider is spoken to.
pub fn client_options(options: &ObjectOptions) -> ClientOptions {
    crate::use_ring();
    let timeout = options.timeout.unwrap_or(TIMEOUT);
    ClientOptions::new()
        .with_timeout(timeout)
        .with_connect_timeout(timeout.min(CONNECT_TIMEOUT))
        .with_allow_http(options.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://")))
}

/// A few tries: whoever asks tries again for longer.
pub fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(1),
            ..BackoffConfig::default()
        },
        max_retries: 2,
        retry_timeout: Duration::from_secs(10),
    }
}
