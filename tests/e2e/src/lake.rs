//! A lake in a folder, and DuckDB over it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use azenha_model::civil;
use serde_json::Value;

use crate::host::Azenha;

/// Prints the rows of a query as JSON, one a line.
const QUERY: &str = "
import duckdb, json, sys
for row in duckdb.sql(sys.argv[1]).fetchall():
    print(json.dumps(row))
";

/// The folders that a host's connections for objects are, without a configuration.
pub struct Lake {
    /// The data directory: a folder in it for each connection.
    pub folder: PathBuf,
}

impl Lake {
    /// The lake of a host in its own directory.
    pub fn embedded(azenha: &Azenha) -> Result<Self> {
        Ok(Self { folder: azenha.data() })
    }

    /// The paths of all objects below `connection/prefix`, as the connection has them, in order.
    pub fn paths(&self, below: &str) -> Result<Vec<String>> {
        Ok(self.contents(below)?.into_keys().collect())
    }

    /// The objects below `connection/prefix` with their contents.
    pub fn contents(&self, below: &str) -> Result<BTreeMap<String, Vec<u8>>> {
        let (connection, _) = below.split_once('/').context("a connection and a prefix are wanted")?;
        let root = self.folder.join(connection);
        let mut found = BTreeMap::new();
        collect(&root, &self.folder.join(below), &mut found)?;
        Ok(found)
    }

    /// Asks DuckDB in the lake's folder; none where there is no DuckDB (`AZENHA_TEST_DUCKDB` is its Python).
    pub fn duckdb(&self) -> Option<impl Fn(&str) -> Result<Vec<Value>> + use<>> {
        let Some(python) = std::env::var_os("AZENHA_TEST_DUCKDB") else {
            eprintln!("AZENHA_TEST_DUCKDB is not set: DuckDB is not asked");
            return None;
        };
        let folder = self.folder.clone();
        Some(move |query: &str| {
            let output = Command::new(&python).args(["-c", QUERY, query]).current_dir(&folder).output()?;
            ensure!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
            let lines = String::from_utf8(output.stdout)?;
            lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
        })
    }
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, found)?;
        } else {
            let name = path.strip_prefix(root)?.to_str().context("a path is no text")?.to_owned();
            found.insert(name, fs::read(&path)?);
        }
    }
    Ok(())
}

/// The day in UTC, `YYYY-MM-DD`, of microseconds since 1970.
pub fn day_of(micros: i64) -> String {
    civil::format_date(micros.div_euclid(86_400_000_000) as i32)
}

/// Prints the rows of a query over a bucket as JSON, one a line. Arguments: server, key, secret, query.
const BUCKET_QUERY: &str = "
import duckdb, duckdb_extension_httpfs, glob, json, os, sys
folder = os.path.dirname(duckdb_extension_httpfs.__file__)
duckdb.load_extension(glob.glob(folder + '/extensions/*/httpfs.duckdb_extension')[0])
server, key, secret, query = sys.argv[1:]
duckdb.execute(f\"CREATE SECRET (TYPE s3, KEY_ID '{key}', SECRET '{secret}', ENDPOINT '{server}', USE_SSL false, \"
               \"URL_STYLE 'path', REGION 'us-east-1')\")
for row in duckdb.sql(query).fetchall():
    print(json.dumps(row))
";

/// Prints the paths in a bucket, one a line. Arguments: server, key, secret, bucket.
const BUCKET_PATHS: &str = "
import pyarrow.fs, sys
server, key, secret, bucket = sys.argv[1:]
store = pyarrow.fs.S3FileSystem(access_key=key, secret_key=secret, endpoint_override=server, scheme='http')
for found in store.get_file_info(pyarrow.fs.FileSelector(bucket, recursive=True)):
    if found.is_file:
        print(found.path[len(bucket) + 1:])
";

/// The rows of a Parquet dataset in folders, as pyarrow counts them. Arguments: server, key, secret, path.
const BUCKET_COUNT: &str = "
import pyarrow.dataset, pyarrow.fs, sys
server, key, secret, path = sys.argv[1:]
store = pyarrow.fs.S3FileSystem(access_key=key, secret_key=secret, endpoint_override=server, scheme='http')
print(pyarrow.dataset.dataset(path, filesystem=store, format='parquet', partitioning='hive').count_rows())
";

/// The layers of the lake.
pub const LAYERS: [&str; 4] = ["raw", "bronze", "silver", "gold"];

/// A lake in buckets of an S3 server, one for each layer.
pub struct BucketLake {
    python: String,
    server: String,
    key: String,
    secret: String,
    /// What the names of the buckets begin with.
    name: &'static str,
}

impl BucketLake {
    /// Buckets whose names begin so; none if there is no S3 server, or no DuckDB.
    pub fn called(name: &'static str) -> Result<Option<Self>> {
        if !crate::is_there("AZENHA_TEST_S3") || !crate::is_there("AZENHA_TEST_DUCKDB") {
            return Ok(None);
        }
        let url = std::env::var("AZENHA_TEST_S3")?;
        let not_understood = || format!("not http://KEY:SECRET@HOST:PORT: {url}");
        let (keys, server) =
            url.strip_prefix("http://").and_then(|rest| rest.split_once('@')).with_context(not_understood)?;
        let (key, secret) = keys.split_once(':').with_context(not_understood)?;
        let (server, key, secret) = (server.to_owned(), key.to_owned(), secret.to_owned());
        Ok(Some(Self { python: std::env::var("AZENHA_TEST_DUCKDB")?, server, key, secret, name }))
    }

    /// The host's connections, as its configuration has them.
    pub fn connections(&self) -> String {
        let Self { server, key, secret, name, .. } = self;
        let connection = |layer: &str| {
            format!(
                "{layer}: {{ url: 's3://{name}-{layer}', endpoint: 'http://{server}', allow_http: true, \
                 access_key_id: {key}, secret_access_key: {secret} }}"
            )
        };
        LAYERS.map(connection).join(", ")
    }

    /// Asks DuckDB; `{layer}` in the query stands for the URL of a layer's bucket.
    pub fn query(&self, query: &str) -> Result<Vec<Value>> {
        let query = LAYERS.iter().fold(query.to_owned(), |query, layer| {
            query.replace(&format!("{{{layer}}}"), &format!("s3://{}-{layer}", self.name))
        });
        let rows = self.python(BUCKET_QUERY, &query)?;
        rows.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// The paths of all objects of a layer.
    pub fn paths(&self, layer: &str) -> Result<Vec<String>> {
        let paths = self.python(BUCKET_PATHS, &format!("{}-{layer}", self.name))?;
        Ok(paths.lines().map(str::to_owned).collect())
    }

    /// The rows below a path of a layer, as pyarrow counts them.
    pub fn count(&self, layer: &str, path: &str) -> Result<usize> {
        Ok(self.python(BUCKET_COUNT, &format!("{}-{layer}/{path}", self.name))?.trim().parse()?)
    }

    fn python(&self, program: &str, argument: &str) -> Result<String> {
        let Self { python, server, key, secret, .. } = self;
        let output = Command::new(python).args(["-c", program, server, key, secret, argument]).output()?;
        ensure!(output.status.success(), "{argument}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}
