//! Connections to stores: a URL, and what else it takes to get into an object store.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::access::{Hidden, Secret};
use crate::names::listed;
use crate::units::Micros;
use crate::yaml::{Place, Report, Spanned, from_keys};

/// How a store is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its URL, which may hold a password.
    pub url: Secret,
    /// What else it takes to get into an object store; for a database nothing.
    pub objects: ObjectOptions,
}

/// What it takes to get into an object store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectOptions {
    /// The URL of its API, without a slash at the end; none: that of the provider.
    pub endpoint: Option<String>,
    /// Where an S3 is; none: `us-east-1`.
    pub region: Option<String>,
    /// Who asks; none: the identity that the provider gives to its machines.
    pub credentials: Option<ObjectCredentials>,
    /// How long one request may take; none: 30 seconds.
    pub timeout: Option<Duration>,
}

/// Who asks an object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectCredentials {
    /// An access key of S3, or an account of Azure and its key.
    Key {
        /// Its name.
        id: String,
        /// What only its owner knows.
        secret: Secret,
    },
    /// The JSON file of a service account of Google.
    ServiceAccount(Secret),
}

/// What is behind a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// Tables of PostgreSQL.
    Postgres,
    /// Tables of MariaDB or MySQL, which may have full-text indexes.
    MySql,
    /// Tables, or documents instead of MongoDB's, or indexes instead of Elasticsearch's.
    Sqlite,
    /// Indexes of Elasticsearch or OpenSearch.
    Elasticsearch,
    /// Documents.
    MongoDb,
    /// Objects in a folder of this machine.
    Folder,
    /// Objects in a bucket of S3, or of a server that speaks its protocol.
    S3,
    /// Objects in a bucket of Google.
    Google,
    /// Objects in a container of Azure.
    Azure,
}

use StoreKind::{Azure, Elasticsearch, Folder, Google, MongoDb, MySql, Postgres, S3, Sqlite};

/// The schemes of the stores that a connection can name.
const SCHEMES: &[(&str, StoreKind)] = &[
    ("sqlite", Sqlite),
    ("postgres", Postgres),
    ("postgresql", Postgres),
    ("mysql", MySql),
    ("mariadb", MySql),
    ("mongodb", MongoDb),
    ("mongodb+srv", MongoDb),
    ("http", Elasticsearch),
    ("https", Elasticsearch),
    ("file", Folder),
    ("s3", S3),
    ("gs", Google),
    ("az", Azure),
];

impl StoreKind {
    /// What a URL names; none if no store has such URLs.
    pub fn of(url: &str) -> Option<Self> {
        let (scheme, _) = url.split_once(':')?;
        SCHEMES.iter().find(|(known, _)| *known == scheme).map(|(_, kind)| *kind)
    }

    /// Whether it keeps objects, rather than rows or documents.
    pub fn has_objects(self) -> bool {
        matches!(self, Folder | S3 | Google | Azure)
    }
}

impl Connection {
    /// The folder of a URL such as `file:./data/lake` or `file:///var/lake`; none if it is another URL, or names none.
    pub fn folder(&self) -> Option<&str> {
        let location = self.url.reveal().strip_prefix("file:")?;
        Some(location.strip_prefix("//").unwrap_or(location)).filter(|path| !path.is_empty())
    }

    /// The bucket of a URL such as `s3://lake/raw`, and the prefix of the objects in it, which may be empty; none if
    /// the URL has another shape.
    pub fn bucket(&self) -> Option<(&str, &str)> {
        let (_, location) = self.url.reveal().split_once("://")?;
        let (bucket, prefix) = location.split_once('/').unwrap_or((location, ""));
        let prefix = prefix.trim_end_matches('/');
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
        let is_wrong = bucket.is_empty() || !bucket.chars().all(is_name) || prefix.contains(['?', '#', '\\']);
        let has_empty_part = !prefix.is_empty() && prefix.split('/').any(|part| ["", ".", ".."].contains(&part));
        (!is_wrong && !has_empty_part).then_some((bucket, prefix))
    }
}

/// A connection as the file has it.
pub(crate) struct ConnectionDef {
    pub url: Spanned<String>,
    endpoint: Option<Spanned<String>>,
    region: Option<Spanned<String>>,
    access_key_id: Option<Spanned<String>>,
    secret_access_key: Option<Spanned<Hidden>>,
    account: Option<Spanned<String>>,
    access_key: Option<Spanned<Hidden>>,
    service_account_key: Option<Spanned<Hidden>>,
    allow_http: Option<Spanned<bool>>,
    timeout: Option<Spanned<Micros>>,
}
from_keys!(
    ConnectionDef, "a connection",
    required: [url],
    optional: [
        endpoint, region, access_key_id, secret_access_key, account, access_key, service_account_key, allow_http, timeout
    ]
);

impl ConnectionDef {
    /// The connection; nothing of it is in a message, because all of it may be secret.
    pub fn checked(mut self, report: &mut Report) -> Connection {
        self.leave_out_what_is_empty();
        let place = self.url.place;
        let kind = StoreKind::of(&self.url.value);
        match kind {
            Some(kind) => self.check_keys(kind, report),
            None => {
                let schemes = listed(SCHEMES.iter().map(|(scheme, _)| scheme));
                report
                    .error(place, "this is no URL of a store")
                    .suggest(format!("write a URL that begins with one of {schemes}"));
            }
        }
        self.check_endpoint(report);
        let credentials = self.credentials(report);
        let timeout = self.timeout.filter(|timeout| is_above_zero(timeout, report));
        let connection = Connection {
            url: Secret::from(self.url.value),
            objects: ObjectOptions {
                endpoint: self.endpoint.map(|endpoint| endpoint.value.trim_end_matches('/').to_owned()),
                region: self.region.map(|region| region.value),
                credentials,
                timeout: timeout.map(|timeout| timeout.value.duration()),
            },
        };
        match kind {
            Some(Folder) if connection.folder().is_none() => {
                report
                    .error(place, "this URL names no folder")
                    .suggest("write `file:./data/lake` for one of the working directory, or `file:///var/lake`");
            }
            Some(S3 | Google | Azure) if connection.bucket().is_none() => {
                report
                    .error(place, "this is no URL of a bucket")
                    .suggest("write `s3://BUCKET` or `s3://BUCKET/PREFIX`, and the keys beside the URL");
            }
            _ => {}
        }
        connection
    }

    /// A variable that is not set leaves its key out, so that one file serves a folder and a bucket.
    fn leave_out_what_is_empty(&mut self) {
        for text in [&mut self.endpoint, &mut self.region, &mut self.access_key_id, &mut self.account] {
            text.take_if(|text| text.value.is_empty());
        }
        for secret in [&mut self.secret_access_key, &mut self.access_key, &mut self.service_account_key] {
            secret.take_if(|secret| secret.value.0.reveal().is_empty());
        }
        self.allow_http.take_if(|allowed| !allowed.value);
    }

    /// What a store of this kind has no use for was meant for another one.
    fn check_keys(&self, kind: StoreKind, report: &mut Report) {
        const BUCKETS: &[StoreKind] = &[S3, Google, Azure];
        let given: [(&str, Option<Place>, &[StoreKind]); 9] = [
            ("endpoint", place(&self.endpoint), BUCKETS),
            ("region", place(&self.region), &[S3]),
            ("access_key_id", place(&self.access_key_id), &[S3]),
            ("secret_access_key", place(&self.secret_access_key), &[S3]),
            ("account", place(&self.account), &[Azure]),
            ("access_key", place(&self.access_key), &[Azure]),
            ("service_account_key", place(&self.service_account_key), &[Google]),
            ("allow_http", place(&self.allow_http), BUCKETS),
            ("timeout", place(&self.timeout), BUCKETS),
        ];
        for (key, place, kinds) in given {
            let Some(place) = place.filter(|_| !kinds.contains(&kind)) else { continue };
            let schemes = SCHEMES.iter().filter(|(_, kind)| kinds.contains(kind)).map(|(scheme, _)| scheme);
            report
                .error(place, format!("a connection with such a URL has no `{key}`"))
                .suggest(format!("leave it out; it is for URLs that begin with {}", listed(schemes)));
        }
    }

    fn check_endpoint(&self, report: &mut Report) {
        let Some(endpoint) = &self.endpoint else { return };
        let server = endpoint.value.strip_prefix("http://");
        let is_open = server.is_some();
        let server = server.or_else(|| endpoint.value.strip_prefix("https://")).unwrap_or_default();
        if server.is_empty() || server.contains(['@', '?', '#']) || server.contains(char::is_whitespace) {
            report
                .error(endpoint.place, "this is no URL of an object store's API")
                .suggest("write `https://HOST` or `http://HOST:PORT`, and the keys beside it");
        } else if is_open && self.allow_http.is_none() {
            report
                .error(endpoint.place, "without TLS, everybody on the way can read the objects")
                .suggest("write `https://…`, or `allow_http: true` if that is no harm");
        }
    }

    fn credentials(&mut self, report: &mut Report) -> Option<ObjectCredentials> {
        let place = self.url.place;
        let is_needed = StoreKind::of(&self.url.value) == Some(Azure);
        let mut pair = |id: Option<Spanned<String>>, secret: Option<Spanned<Hidden>>, help: &str| match (id, secret) {
            (Some(id), Some(secret)) => Some(ObjectCredentials::Key { id: id.value, secret: secret.value.0 }),
            (None, None) if !is_needed => None,
            _ => {
                report.error(place, "of a key's name and its secret one is missing").suggest(help);
                None
            }
        };
        let s3 = "write `access_key_id: \"${…}\"` and `secret_access_key: \"${…}\"`, or neither on a machine of AWS";
        let azure = "write `account: …` and `access_key: \"${…}\"`";
        if is_needed {
            return pair(self.account.take(), self.access_key.take(), azure);
        }
        pair(self.access_key_id.take(), self.secret_access_key.take(), s3)
            .or_else(|| self.service_account_key.take().map(|key| ObjectCredentials::ServiceAccount(key.value.0)))
    }
}

fn place<T>(value: &Option<Spanned<T>>) -> Option<Place> {
    value.as_ref().map(|value| value.place)
}

fn is_above_zero(timeout: &Spanned<Micros>, report: &mut Report) -> bool {
    if timeout.value == Micros(0) {
        report.error(timeout.place, "this cannot be zero").suggest("leave it out for the default");
    }
    timeout.value != Micros(0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::HostConfig;
    use crate::diagnostic::Diagnostics;

    fn parse(connection: &str) -> Result<Connection, Diagnostics> {
        let environment = |name: &str| (name == "SECRET").then(|| "s3cret".to_owned());
        let text = format!("connections: {{ lake: {connection} }}");
        let config = HostConfig::parse("host.yaml", &text, &environment, Path::new("data"))?;
        Ok(config.objects_connection("lake").unwrap())
    }

    #[test]
    fn a_bucket_is_reached_as_the_file_says_and_its_secret_is_not_shown() {
        let lake = parse(
            "{ url: 's3://lake/raw/', endpoint: 'http://localhost:9000/', allow_http: true, region: eu-west-1, \
             access_key_id: me, secret_access_key: '${SECRET}', timeout: 5s }",
        )
        .unwrap();
        assert_eq!(lake.bucket(), Some(("lake", "raw")));
        let credentials =
            Some(ObjectCredentials::Key { id: "me".to_owned(), secret: Secret::from("s3cret".to_owned()) });
        let expected = ObjectOptions {
            endpoint: Some("http://localhost:9000".to_owned()),
            region: Some("eu-west-1".to_owned()),
            credentials,
            timeout: Some(Duration::from_secs(5)),
        };
        assert_eq!(lake.objects, expected);
        assert!(!format!("{lake:?}").contains("s3cret"));
    }

    #[test]
    fn what_other_clouds_ask_for_is_kept() {
        let google = parse("{ url: 'gs://lake', service_account_key: '${SECRET}' }").unwrap();
        let key = ObjectCredentials::ServiceAccount(Secret::from("s3cret".to_owned()));
        assert_eq!(google.objects.credentials, Some(key));
        let azure = parse("{ url: 'az://lake', account: shop, access_key: '${SECRET}' }").unwrap();
        assert!(matches!(azure.objects.credentials, Some(ObjectCredentials::Key { id, .. }) if id == "shop"));
    }

    #[test]
    fn a_folder_is_named_as_the_file_of_a_sqlite_is() {
        for (url, folder) in
            [("file:./lake", "./lake"), ("file:lake", "lake"), ("file:/lake", "/lake"), ("file:///lake", "/lake")]
        {
            assert_eq!(parse(&format!("{{ url: '{url}' }}")).unwrap().folder(), Some(folder), "{url}");
        }
    }

    #[test]
    fn a_key_whose_variable_is_not_set_is_left_out() {
        let lake = parse("{ url: '${LAKE:-file:./lake}', endpoint: '${ENDPOINT:-}', secret_access_key: '${KEY:-}' }");
        assert_eq!(lake.unwrap().objects, ObjectOptions::default());
    }

    #[test]
    fn what_makes_no_sense_is_refused_at_its_place_without_being_repeated() {
        for (connection, message) in [
            ("{ url: 'sqlite:hidden.db', region: hidden }", "has no `region`"),
            ("{ url: 'file:./hidden', secret_access_key: hidden }", "has no `secret_access_key`"),
            ("{ url: 'gs://hidden', access_key_id: hidden, secret_access_key: hidden }", "has no `access_key_id`"),
            ("{ url: 'file:' }", "names no folder"),
            ("{ url: 'file:./data' }", "the log's own folder"),
            ("{ url: 's3:///hidden' }", "no URL of a bucket"),
            ("{ url: 's3://hidden:hidden@hidden/x' }", "no URL of a bucket"),
            ("{ url: 's3://lake/hidden//x' }", "no URL of a bucket"),
            ("{ url: 's3://lake/../hidden' }", "no URL of a bucket"),
            ("{ url: 's3://lake', access_key_id: hidden }", "one is missing"),
            ("{ url: 's3://lake', endpoint: 'http://hidden' }", "without TLS"),
            ("{ url: 's3://lake', endpoint: 'hidden' }", "no URL of an object store's API"),
            ("{ url: 's3://lake', endpoint: 'https://me:hidden@host' }", "no URL of an object store's API"),
            ("{ url: 's3://lake', timeout: 0s }", "cannot be zero"),
        ] {
            let errors = parse(connection).unwrap_err().to_string();
            assert!(errors.contains(message), "{connection}: {errors}");
            assert!(!errors.contains("hidden"), "{connection}: {errors}");
        }
    }
}
