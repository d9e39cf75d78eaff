//! What S3 needs beyond a client: buckets that are made, and large objects in parts.

use std::sync::Arc;
use std::time::Duration;

use azenha_engine::spool::Content;
use azenha_model::connection::{ObjectCredentials, ObjectOptions};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
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
/// What AWS, and whoever runs programs there, tells a program by variables of its environment: who it is.
const IDENTITY: [AmazonS3ConfigKey; 10] = [
    AmazonS3ConfigKey::AccessKeyId,
    AmazonS3ConfigKey::SecretAccessKey,
    AmazonS3ConfigKey::Token,
    AmazonS3ConfigKey::WebIdentityTokenFile,
    AmazonS3ConfigKey::RoleArn,
    AmazonS3ConfigKey::RoleSessionName,
    AmazonS3ConfigKey::StsEndpoint,
    AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
    AmazonS3ConfigKey::ContainerCredentialsFullUri,
    AmazonS3ConfigKey::ContainerAuthorizationTokenFile,
];
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
        builder = match &options.credentials {
            Some(ObjectCredentials::Key { id, secret }) => {
                builder.with_access_key_id(id).with_secret_access_key(secret.reveal())
            }
            _ => identified(builder, |name| std::env::var(name).ok()),
        };
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

    /// A client whose every request has a condition, because the client has no other place for that of a completion. Who asks is
    /// not asked for again, least of all with that condition.
    fn with_condition(&self, condition: Condition<'_>) -> Result<AmazonS3> {
        let unusable = |error| object_store::Error::Generic { store: "S3", source: Box::new(error) };
        let mut headers = HeaderMap::new();
        match condition {
            Condition::Absent => headers.insert("if-none-match", HeaderValue::from_static("*")),
            Condition::Has(tag) => headers.insert("if-match", HeaderValue::from_str(&tag.0).map_err(unusable)?),
        };
        let builder = self.builder.clone().with_credentials(Arc::clone(self.client.credentials()));
        builder.with_client_options(self.options.clone().with_default_headers(headers)).build()
    }
}

/// A client that asks as whom the environment says; without such variables it asks the machine. Where the bucket is and how it
/// is spoken to only the configuration says.
fn identified(builder: AmazonS3Builder, variable: impl Fn(&str) -> Option<String>) -> AmazonS3Builder {
    let found = |key: AmazonS3ConfigKey| {
        let value = variable(&key.as_ref().to_ascii_uppercase()).filter(|value| !value.is_empty())?;
        Some((key, value))
    };
    IDENTITY.into_iter().filter_map(found).fold(builder, |builder, (key, value)| builder.with_config(key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)], key: AmazonS3ConfigKey) -> Option<String> {
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        identified(AmazonS3Builder::new(), variable).get_config_value(&key)
    }

    #[test]
    fn the_environment_says_who_a_program_is_and_nothing_else() {
        let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_SESSION_TOKEN", "token")];
        assert_eq!(found(&keys, AmazonS3ConfigKey::Token).as_deref(), Some("token"));
        assert_eq!(found(&keys, AmazonS3ConfigKey::AccessKeyId).as_deref(), Some("id"));
        let role = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/lake")];
        assert_eq!(found(&role, AmazonS3ConfigKey::WebIdentityTokenFile).as_deref(), Some("/token"));
        assert_eq!(found(&role, AmazonS3ConfigKey::RoleArn).as_deref(), Some("arn:aws:iam::1:role/lake"));
        let task = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials")];
        let uri = found(&task, AmazonS3ConfigKey::ContainerCredentialsRelativeUri);
        assert_eq!(uri.as_deref(), Some("/v2/credentials"));
        for (name, key) in [
            ("AWS_ENDPOINT", AmazonS3ConfigKey::Endpoint),
            ("AWS_ENDPOINT_URL_S3", AmazonS3ConfigKey::S3Endpoint),
            ("AWS_BUCKET", AmazonS3ConfigKey::Bucket),
        ] {
            assert_eq!(found(&[(name, "elsewhere")], key), None, "{name}");
        }
        assert_eq!(found(&[("AWS_SESSION_TOKEN", "")], AmazonS3ConfigKey::Token), None, "an empty variable is none");
    }
}
