//! A lake in a folder, and DuckDB over it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
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

/// Has DuckDB find a server.
const BUCKET_OPENING: &str = "
import duckdb, duckdb_extension_httpfs, glob, os
folder = os.path.dirname(duckdb_extension_httpfs.__file__)
duckdb.load_extension(glob.glob(folder + '/extensions/*/httpfs.duckdb_extension')[0])
duckdb.execute(\"CREATE SECRET (TYPE s3, KEY_ID 'KEY', SECRET 'SECRET', ENDPOINT 'SERVER', USE_SSL false, \"
               \"URL_STYLE 'path', REGION 'us-east-1')\")
";

/// Prints size and path of the objects in a bucket, one a line. Arguments: server, key, secret, bucket.
const BUCKET_OBJECTS: &str = "
import pyarrow.fs, sys
server, key, secret, bucket = sys.argv[1:]
store = pyarrow.fs.S3FileSystem(access_key=key, secret_key=secret, endpoint_override=server, scheme='http')
for found in store.get_file_info(pyarrow.fs.FileSelector(bucket, recursive=True)):
    if found.is_file:
        print(found.size, found.path[len(bucket) + 1:])
";

/// Prints the rows of a Parquet dataset in folders of one column, as pyarrow reads them, as JSON, one a line, in order. Arguments:
/// server, key, secret, path, columns, and the one that is the folder.
const BUCKET_ROWS: &str = "
import json, pyarrow, pyarrow.dataset, pyarrow.fs, sys
server, key, secret, path, columns, folder = sys.argv[1:]
store = pyarrow.fs.S3FileSystem(access_key=key, secret_key=secret, endpoint_override=server, scheme='http')
folders = pyarrow.dataset.partitioning(pyarrow.schema([(folder, pyarrow.string())]), flavor='hive')
rows = pyarrow.dataset.dataset(path, filesystem=store, format='parquet', partitioning=folders).to_table()
def values(name):
    column = rows[name]
    if pyarrow.types.is_timestamp(column.type):
        column = column.cast(pyarrow.timestamp('us', column.type.tz)).cast(pyarrow.int64())
    return column.to_pylist()
for row in sorted(zip(*map(values, columns.split(','))), key=lambda row: row[0]):
    print(json.dumps(row))
";

/// Prints the SHA-256 of every object below a path, one a line. Arguments: server, key, secret, path.
const BUCKET_DIGESTS: &str = "
import concurrent.futures, hashlib, pyarrow.fs, sys
server, key, secret, path = sys.argv[1:]
store = pyarrow.fs.S3FileSystem(access_key=key, secret_key=secret, endpoint_override=server, scheme='http')
found = store.get_file_info(pyarrow.fs.FileSelector(path, recursive=True))
def digest(path):
    with store.open_input_stream(path) as content:
        return hashlib.sha256(content.read()).hexdigest()
with concurrent.futures.ThreadPoolExecutor(16) as threads:
    for known in threads.map(digest, [found.path for found in found if found.is_file]):
        print(known)
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
    /// Where hosts find the server instead, if they do, and what they wait for an answer.
    detour: Option<(SocketAddr, &'static str)>,
}

impl BucketLake {
    /// Buckets whose names begin so; none if there is no S3 server, or no DuckDB.
    pub fn called(name: &'static str) -> Result<Option<Self>> {
        if !crate::is_there("AZENHA_TEST_S3") || !crate::is_there("AZENHA_TEST_DUCKDB") {
            return Ok(None);
        }
        Self::on(&std::env::var("AZENHA_TEST_S3")?, name).map(Some)
    }

    /// Buckets on the server of a URL.
    pub fn on(url: &str, name: &'static str) -> Result<Self> {
        let not_understood = || format!("not http://KEY:SECRET@HOST:PORT: {url}");
        let (keys, server) =
            url.strip_prefix("http://").and_then(|rest| rest.split_once('@')).with_context(not_understood)?;
        let (key, secret) = keys.split_once(':').with_context(not_understood)?;
        let (server, key, secret) = (server.to_owned(), key.to_owned(), secret.to_owned());
        Ok(Self { python: std::env::var("AZENHA_TEST_DUCKDB")?, server, key, secret, name, detour: None })
    }

    /// `HOST:PORT` of the server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The same buckets, but hosts find the server at another address, and wait so long for an answer.
    pub fn behind(self, address: SocketAddr, timeout: &'static str) -> Self {
        Self { detour: Some((address, timeout)), ..self }
    }

    /// The host's connections, as its configuration has them.
    pub fn connections(&self) -> String {
        let Self { server, key, secret, name, .. } = self;
        let (server, timeout) = self.detour.map_or((server.clone(), "30s"), |(at, timeout)| (at.to_string(), timeout));
        let connection = |layer: &str| {
            format!(
                "{layer}: {{ url: 's3://{name}-{layer}', endpoint: 'http://{server}', allow_http: true, \
                 timeout: {timeout}, access_key_id: {key}, secret_access_key: {secret} }}"
            )
        };
        LAYERS.map(connection).join(", ")
    }

    /// What a program in Python begins with for DuckDB to find the server.
    pub fn opening(&self) -> String {
        let Self { server, key, secret, .. } = self;
        BUCKET_OPENING
            .replace("'KEY'", &format!("'{key}'"))
            .replace("'SECRET'", &format!("'{secret}'"))
            .replace("SERVER", server)
    }

    /// Asks DuckDB; `{layer}` in the query stands for the URL of a layer's bucket.
    pub fn query(&self, query: &str) -> Result<Vec<Value>> {
        let query = LAYERS.iter().fold(query.to_owned(), |query, layer| {
            query.replace(&format!("{{{layer}}}"), &format!("s3://{}-{layer}", self.name))
        });
        let rows = self.python(&format!("{}{QUERY}", self.opening()), &[&query])?;
        rows.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// The size of each object of a layer in bytes, by path.
    pub fn objects(&self, layer: &str) -> Result<BTreeMap<String, u64>> {
        let objects = self.store(BUCKET_OBJECTS, &format!("{}-{layer}", self.name))?;
        let object = |line: &str| {
            let (size, path) = line.split_once(' ').context("a line without a path")?;
            Ok((path.to_owned(), size.parse()?))
        };
        objects.lines().map(object).collect()
    }

    /// Some columns of all rows below a path of a layer, as pyarrow reads them, in the order of the first; timestamps are
    /// microseconds. The values of `folder` are text.
    pub fn rows(&self, layer: &str, path: &str, columns: &str, folder: &str) -> Result<Vec<Value>> {
        let path = format!("{}-{layer}/{path}", self.name);
        let rows = self.python(BUCKET_ROWS, &[&self.server, &self.key, &self.secret, &path, columns, folder])?;
        rows.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// The SHA-256 of what every object below a path of a layer holds.
    pub fn digests(&self, layer: &str, path: &str) -> Result<Vec<String>> {
        Ok(self.store(BUCKET_DIGESTS, &format!("{}-{layer}/{path}", self.name))?.lines().map(str::to_owned).collect())
    }

    /// The ETag of each object below a path of a layer, as the server lists them.
    pub fn tags(&self, layer: &str, path: &str) -> Result<BTreeMap<String, String>> {
        let (user, bucket) = (format!("{}:{}", self.key, self.secret), format!("{}-{layer}", self.name));
        let url = format!("http://{}/{bucket}?list-type=2&max-keys=1000&prefix={path}%2F", self.server);
        let listed = Command::new("curl")
            .args(["-sSf", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &user, &url])
            .output()?;
        ensure!(listed.status.success(), "{url}: {}", String::from_utf8_lossy(&listed.stderr));
        let listed = String::from_utf8(listed.stdout)?;
        ensure!(listed.contains("<IsTruncated>false"), "more than a page is listed: {listed:.500}");
        let tagged = |object: &str| Some((between(object, "<Key>", "</Key>")?, between(object, "<ETag>", "</ETag>")?));
        listed.split("<Contents>").skip(1).map(|object| tagged(object).context("an object without a tag")).collect()
    }

    fn store(&self, program: &str, argument: &str) -> Result<String> {
        self.python(program, &[&self.server, &self.key, &self.secret, argument])
    }

    fn python(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.python).args(["-c", program]).args(arguments).output()?;
        ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn between(text: &str, begin: &str, end: &str) -> Option<String> {
    let (_, rest) = text.split_once(begin)?;
    Some(rest.split_once(end)?.0.to_owned())
}
