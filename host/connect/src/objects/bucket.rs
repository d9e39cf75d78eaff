//! A bucket as an object store.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use azenha_engine::objects::{Creation, Listed, Object, Replacement, Tag};
use azenha_engine::spool::Content;
use azenha_engine::store::StoreError;
use azenha_model::connection::{ObjectOptions, StoreKind};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutResult, UpdateVersion};
use reqwest::StatusCode;

use super::failure::{code, failure, is_missing_bucket};
use super::fetch::{fetch, tag};
use super::parts::read;
use super::service::Service;
use super::{LARGE, check_path};

/// Objects of a bucket below a prefix.
pub struct Bucket {
    connection: String,
    bucket: String,
    prefix: String,
    store: Arc<dyn ObjectStore>,
    service: Service,
    /// Where large objects stand while they are read.
    spool: PathBuf,
}

/// Without the client, which shows its keys.
impl fmt::Debug for Bucket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Bucket").field("connection", &self.connection).finish_non_exhaustive()
    }
}

/// What must hold for an object to be written.
#[derive(Debug, Clone, Copy)]
pub enum Condition<'a> {
    /// There is none.
    Absent,
    /// There is one with this content.
    Has(&'a Tag),
}

impl Bucket {
    pub fn open(
        connection: &str,
        kind: StoreKind,
        (bucket, prefix): (&str, &str),
        options: &ObjectOptions,
        spool: &std::path::Path,
    ) -> Result<Self, StoreError> {
        let (store, service) = Service::open(connection, kind, bucket, options)?;
        let (connection, bucket, prefix) = (connection.to_owned(), bucket.to_owned(), prefix.to_owned());
        Ok(Self { connection, bucket, prefix, store, service, spool: spool.to_owned() })
    }

    fn definition(&self, reason: &str) -> StoreError {
        StoreError::Definition(format!("connection `{}`: {reason}", self.connection))
    }

    fn failed(&self, doing: &str, error: &Error) -> StoreError {
        failure(&self.connection, doing, error)
    }

    /// A path in the bucket. Letters stay as they are: what must be escaped is so on the way only.
    fn location(&self, path: &str) -> Result<Path, StoreError> {
        check_path(path).map_err(|reason| self.definition(&reason))?;
        let key = if self.prefix.is_empty() { path.to_owned() } else { format!("{}/{path}", self.prefix) };
        Path::parse(key).map_err(|error| self.definition(&error.to_string()))
    }

    /// Whether the bucket is there; an error of any other kind than its absence is one.
    async fn is_there(&self) -> Result<bool, StoreError> {
        let first = self.store.list(Some(&self.location("nowhere")?)).try_next().await;
        match first {
            Ok(_) => Ok(true),
            Err(error) if is_missing_bucket(&error) => Ok(false),
            Err(error) => Err(self.failed("looking for the bucket", &error)),
        }
    }

    async fn make(&self) -> Result<(), StoreError> {
        let bucket = &self.bucket;
        let s3 = match &self.service {
            Service::S3(s3) => s3,
            Service::Google => {
                let help = format!("make it with `gcloud storage buckets create gs://{bucket}`");
                return Err(self.definition(&format!("there is no bucket `{bucket}`: {help}")));
            }
            Service::Azure(_) => {
                let help = format!("make it with `az storage container create --name {bucket}`");
                return Err(self.definition(&format!("there is no container `{bucket}`: {help}")));
            }
        };
        let doing = format!("making the bucket `{bucket}`");
        let unavailable = |reason: String| {
            let what = format!("connection `{}`: {doing}", self.connection);
            StoreError::Unavailable { what, source: reason.into() }
        };
        let asked = s3.make_bucket().await.map_err(|error| self.failed(&doing, &error))?;
        let answer = asked.map_err(|error| unavailable(error.to_string()))?;
        let status = answer.status();
        // Somebody else may have made it in between.
        if status.is_success() || status == StatusCode::CONFLICT {
            return Ok(());
        }
        let body = answer.text().await.unwrap_or_default();
        let said = code(&body).map_or_else(|| status.to_string(), |code| format!("{code}, {status}"));
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(unavailable(format!("the store answers {said}")));
        }
        Err(self.definition(&format!("{doing} is refused ({said}): check the keys' rights, or make it yourself")))
    }

    async fn find(&self, location: &Path) -> Result<Option<ObjectMeta>, Error> {
        match self.store.head(location).await {
            Err(Error::NotFound { .. }) => Ok(None),
            found => found.map(Some),
        }
    }

    async fn read(&self, location: &Path) -> Result<Option<Object>, Error> {
        fetch(&*self.store, location, &self.spool).await
    }

    /// Writes an object if a condition holds; else the error is one of those that [`is_refusal`] knows.
    async fn put(&self, location: &Path, content: &Content, condition: Condition<'_>) -> Result<PutResult, Error> {
        match &self.service {
            Service::S3(s3) if content.bytes() > LARGE => return s3.upload(location, content, condition).await,
            Service::Azure(azure) if content.bytes() > LARGE => {
                return azure.upload(location, content, condition).await;
            }
            _ => {}
        }
        let whole = read(content, 0..content.bytes()).await?;
        let mode = match condition {
            Condition::Absent => PutMode::Create,
            Condition::Has(tag) => PutMode::Update(self.version(location, tag).await?),
        };
        self.store.put_opts(location, whole.into(), mode.into()).await
    }

    /// What a store calls the content that has a tag. Google compares generations, which its lists do not have.
    async fn version(&self, location: &Path, tag: &Tag) -> Result<UpdateVersion, Error> {
        let of_tag = UpdateVersion { e_tag: Some(tag.0.clone()), version: None };
        if !matches!(self.service, Service::Google) {
            return Ok(of_tag);
        }
        match self.find(location).await? {
            Some(found) if self::tag(found.e_tag.clone())? == *tag => {
                Ok(UpdateVersion { version: found.version, ..of_tag })
            }
            _ => Err(Error::Precondition { path: location.to_string(), source: "it has another content".into() }),
        }
    }

    /// Whoever was refused may have been so by himself, in a try whose answer was lost, or for no lasting reason.
    async fn settle(
        &self,
        location: &Path,
        content: &Content,
        expected: Option<&Tag>,
        refusal: &Error,
    ) -> Result<Option<Replacement>, Error> {
        let found = self.read(location).await?;
        let is_as_expected = found.as_ref().map(|found| &found.tag) == expected;
        match found {
            Some(found) if found.content == *content => Ok(Some(Replacement::Done(found.tag))),
            _ if is_as_expected => {
                tracing::debug!(%location, %refusal, "refused, although the object is as expected");
                Ok(None)
            }
            _ => Ok(Some(Replacement::Changed)),
        }
    }

    fn contended(&self, doing: &str) -> StoreError {
        let what = format!("connection `{}`: {doing}", self.connection);
        StoreError::Unavailable { what, source: "somebody else is changing it at this moment".into() }
    }
}

/// What [`Objects`](azenha_engine::objects::Objects) promises.
impl Bucket {
    pub async fn prepare(&self) -> Result<(), StoreError> {
        if self.is_there().await? {
            return Ok(());
        }
        self.make().await?;
        match self.is_there().await? {
            true => Ok(()),
            false => Err(self.definition(&format!("there is no bucket `{}`, and it cannot be made", self.bucket))),
        }
    }

    pub async fn create(&self, path: &str, content: Content) -> Result<Creation, StoreError> {
        let (location, doing) = (self.location(path)?, format!("writing `{path}`"));
        let failed = |error: Error| self.failed(&doing, &error);
        // A large object is not sent for nothing.
        if content.bytes() > LARGE && self.find(&location).await.map_err(failed)?.is_some() {
            return Ok(Creation::Exists);
        }
        match self.put(&location, &content, Condition::Absent).await {
            Ok(_) => Ok(Creation::Made),
            Err(error) if is_refusal(&error) => match self.find(&location).await.map_err(failed)? {
                Some(_) => Ok(Creation::Exists),
                None => Err(self.contended(&doing)),
            },
            Err(error) => Err(failed(error)),
        }
    }

    pub async fn replace(
        &self,
        path: &str,
        content: Content,
        expected: Option<&Tag>,
    ) -> Result<Replacement, StoreError> {
        let (location, doing) = (self.location(path)?, format!("writing `{path}`"));
        let failed = |error: Error| self.failed(&doing, &error);
        let condition = expected.map_or(Condition::Absent, Condition::Has);
        match self.put(&location, &content, condition).await {
            Ok(done) => Ok(Replacement::Done(tag(done.e_tag).map_err(failed)?)),
            Err(error) if is_refusal(&error) => {
                let settled = self.settle(&location, &content, expected, &error).await.map_err(failed)?;
                settled.ok_or_else(|| self.contended(&doing))
            }
            Err(error) => Err(failed(error)),
        }
    }

    pub async fn get(&self, path: &str) -> Result<Option<Object>, StoreError> {
        let location = self.location(path)?;
        self.read(&location).await.map_err(|error| self.failed(&format!("reading `{path}`"), &error))
    }

    pub async fn list(&self, below: &str) -> Result<Vec<Listed>, StoreError> {
        let failed = |error: Error| self.failed(&format!("listing `{below}`"), &error);
        let location = match (below, self.prefix.as_str()) {
            ("", "") => None,
            ("", prefix) => Some(Path::parse(prefix).map_err(|error| self.definition(&error.to_string()))?),
            _ => Some(self.location(below)?),
        };
        let found: Vec<ObjectMeta> = self.store.list(location.as_ref()).try_collect().await.map_err(failed)?;
        let listed = found.into_iter().map(|object| {
            let path = object.location.as_ref();
            let path = path.strip_prefix(&self.prefix).unwrap_or(path).trim_start_matches('/').to_owned();
            Ok(Listed { path, bytes: object.size, tag: tag(object.e_tag)? })
        });
        let mut listed: Vec<Listed> = listed.collect::<Result<_, Error>>().map_err(failed)?;
        listed.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(listed)
    }
}

/// Whether a store says that the condition of a write does not hold, or that it cannot tell now.
fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::AlreadyExists { .. } | Error::Precondition { .. })
}
