//! A bundle: one file with everything that the call of a plugin takes to be made once more, and nothing else. It is a tar of
//! four plain files: `manifest.json`, `input.json`, `plugin.wasm`, and `SHA256SUMS` over the others, as `sha256sum` writes it.

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tar::{Archive, Builder, EntryType, Header};

use super::letter::{Column, Function, Opened};

/// The format of the bundles that this host writes, and the only one so far.
const FORMAT: u32 = 1;

const MANIFEST: &str = "manifest.json";
const INPUT: &str = "input.json";
const PLUGIN: &str = "plugin.wasm";
const SUMS: &str = "SHA256SUMS";

/// The most bytes that each file may have.
const LIMITS: [(&str, u64); 4] = [(MANIFEST, 4 << 20), (INPUT, 8 << 20), (PLUGIN, 16 << 20), (SUMS, 4 << 10)];

/// The most bytes that a bundle has: its files, and what a tar keeps beside them.
pub const MOST_BYTES: u64 = 32 << 20;

/// What a bundle holds.
#[derive(Debug)]
pub struct Bundle {
    /// What was called, and what came of it.
    pub manifest: Manifest,
    /// What the function was given.
    pub input: Input,
    /// The component, or core module, that was called.
    pub plugin: Vec<u8>,
}

/// What was called, and what came of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Of the bundle.
    pub format: u32,
    /// The version of the host that made it.
    pub host: String,
    /// The contract that the plugin keeps.
    pub contract: String,
    /// The plugin's name in the pipeline file.
    pub plugin: String,
    /// SHA-256 of `plugin.wasm`, in hex.
    pub digest: String,
    /// What was called.
    pub function: Function,
    /// What the plugin was opened with.
    pub opened: Opened,
    /// What it says that it gives, if it opens without the values of variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gives: Vec<Outlet>,
    /// How much it might take.
    pub limits: Limits,
    /// The dead letter.
    pub letter: About,
}

/// The columns of an output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outlet {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
}

/// How much a call might take on the host.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Milliseconds.
    pub call_millis: u64,
}

/// What the dead letter says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Its id: generation, pipeline, step, topic, partition, offset, ordinal.
    pub id: String,
    /// `rejected` or `failed`.
    pub cause: String,
    /// How the plugin failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// In words.
    pub reason: String,
    /// The part that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

/// What the function was given. Timestamps are ISO 8601 text, and values of `pii` columns are masked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The row's columns that the plugin reads, or the columns of the group's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Box<RawValue>>,
    /// Base64 of the accumulator before the call; of `merge`, the one that came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accumulator: Option<String>,
    /// Of `merge`: base64 of the accumulator that it came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// Of `assemble`: the rows of each table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<Vec<Vec<Box<RawValue>>>>,
}

/// Why a file is not taken as a bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It is something else.
    #[error("this is no bundle: {0}")]
    NotOne(String),
    /// It, or a file in it, is too large to be one.
    #[error("{what} has {bytes} bytes, and a bundle's has at most {limit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// How large.
        bytes: u64,
        /// What would be right.
        limit: u64,
    },
    /// A file is not there.
    #[error("the bundle has no `{0}`: a part of it is lost")]
    Missing(&'static str),
    /// A file is not what it was.
    #[error("the bundle is damaged: `{0}` is not what `{SUMS}` says; fetch it once more")]
    Damaged(&'static str),
    /// Of another format.
    #[error("the bundle has format {0}, and this program knows {FORMAT}: take a newer one")]
    Newer(u32),
    /// A file says something else than it may.
    #[error("`{file}` of the bundle is not what it should be: {reason}")]
    Malformed {
        /// The file.
        file: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl Input {
    /// Whether a row of it has a column of that name.
    pub fn holds(&self, column: &str) -> bool {
        let rows = self.columns.iter().chain(self.tables.iter().flatten().flatten()).map(AsRef::as_ref);
        let names = |row: &RawValue| serde_json::from_str::<BTreeMap<String, IgnoredAny>>(row.get()).ok();
        rows.filter_map(names).any(|row| row.contains_key(column))
    }
}

impl Manifest {
    /// The format and the host of bundles that are made here.
    pub fn made_here() -> (u32, String) {
        (FORMAT, env!("CARGO_PKG_VERSION").to_owned())
    }
}

impl Bundle {
    /// The file.
    ///
    /// # Errors
    /// Never but for want of memory: texts and numbers always become JSON.
    pub fn write(&self) -> io::Result<Vec<u8>> {
        let files = [
            (MANIFEST, serde_json::to_vec_pretty(&self.manifest)?),
            (INPUT, serde_json::to_vec_pretty(&self.input)?),
            (PLUGIN, self.plugin.clone()),
        ];
        let sums: String = files.iter().map(|(name, bytes)| format!("{}  {name}\n", sum(bytes))).collect();
        let mut tar = Builder::new(Vec::new());
        for (name, bytes) in files.into_iter().chain([(SUMS, sums.into_bytes())]) {
            let mut header = Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, bytes.as_slice())?;
        }
        tar.into_inner()
    }

    /// Reads a file that anybody may have written.
    ///
    /// # Errors
    /// [`BundleError`] says what is wrong with it.
    pub fn read(file: &[u8]) -> Result<Self, BundleError> {
        let mut files = files(file)?;
        let sums = take(&mut files, SUMS)?;
        let mut checked = |name| {
            let bytes = take(&mut files, name)?;
            let line = format!("{}  {name}", sum(&bytes));
            let is_right = sums.split(|byte| *byte == b'\n').any(|found| found == line.as_bytes());
            if is_right { Ok(bytes) } else { Err(BundleError::Damaged(name)) }
        };
        let (manifest, input, plugin) = (checked(MANIFEST)?, checked(INPUT)?, checked(PLUGIN)?);
        let Format { format } = json(MANIFEST, &manifest)?;
        if format != FORMAT {
            return Err(BundleError::Newer(format));
        }
        let manifest: Manifest = json(MANIFEST, &manifest)?;
        if manifest.digest != sum(&plugin) {
            let reason = "its `digest` is not that of the plugin".to_owned();
            return Err(BundleError::Malformed { file: MANIFEST, reason });
        }
        Ok(Self { manifest, input: json(INPUT, &input)?, plugin })
    }
}

/// What every format says.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn json<'a, T: Deserialize<'a>>(file: &'static str, bytes: &'a [u8]) -> Result<T, BundleError> {
    serde_json::from_slice(bytes).map_err(|error| BundleError::Malformed { file, reason: error.to_string() })
}

fn take(files: &mut BTreeMap<&'static str, Vec<u8>>, name: &'static str) -> Result<Vec<u8>, BundleError> {
    files.remove(name).ok_or(BundleError::Missing(name))
}

/// The files of a tar: those of a bundle, each once, and no others.
fn files(file: &[u8]) -> Result<BTreeMap<&'static str, Vec<u8>>, BundleError> {
    let too_large = |what: &str, bytes, limit| BundleError::TooLarge { what: what.to_owned(), bytes, limit };
    if file.len() as u64 > MOST_BYTES {
        return Err(too_large("the file", file.len() as u64, MOST_BYTES));
    }
    let unreadable = |error: io::Error| BundleError::NotOne(format!("it is not a whole tar file ({error})"));
    let mut files = BTreeMap::new();
    for entry in Archive::new(file).entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let found = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let known = LIMITS.iter().find(|(name, _)| *name == found);
        let Some((name, limit)) = known.filter(|_| entry.header().entry_type() == EntryType::Regular) else {
            return Err(BundleError::NotOne(format!("it holds {found:?}")));
        };
        if entry.size() > *limit {
            return Err(too_large(&format!("`{name}`"), entry.size(), *limit));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 != entry.size() {
            return Err(BundleError::NotOne(format!("it ends in the middle of `{name}`")));
        }
        if files.insert(*name, bytes).is_some() {
            return Err(BundleError::NotOne(format!("it holds `{name}` twice")));
        }
    }
    if files.is_empty() { Err(BundleError::NotOne("it is empty".to_owned())) } else { Ok(files) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Vec<u8> {
        let plugin = b"not a plugin".to_vec();
        let raw = |json: &str| RawValue::from_string(json.to_owned()).unwrap();
        let (format, host) = Manifest::made_here();
        let manifest = Manifest {
            format,
            host,
            contract: "azenha:plugin@0.1.0".to_owned(),
            plugin: "lines".to_owned(),
            digest: sum(&plugin),
            function: Function::Process,
            opened: Opened { config: raw("{}"), input: vec![], tables: vec![], keys: vec![] },
            gives: vec![],
            limits: Limits { memory_bytes: 1 << 20, call_millis: 1_000 },
            letter: About {
                id: "0/shop/lines/orders/0/17/0".to_owned(),
                cause: "failed".to_owned(),
                failure: Some("trap".to_owned()),
                reason: "unreachable".to_owned(),
                part: None,
            },
        };
        let input = Input { columns: Some(raw(r#"{"a":1}"#)), accumulator: None, into: None, tables: None };
        Bundle { manifest, input, plugin }.write().unwrap()
    }

    fn refusal(file: &[u8]) -> String {
        Bundle::read(file).unwrap_err().to_string()
    }

    #[test]
    fn a_bundle_is_read_as_it_was_written() {
        let read = Bundle::read(&bundle()).unwrap();
        assert_eq!(read.manifest.letter.reason, "unreachable");
        assert_eq!((read.input.columns.unwrap().get(), read.plugin.as_slice()), (r#"{"a":1}"#, &b"not a plugin"[..]));
    }

    #[test]
    fn a_bundle_that_ends_early_is_refused_wherever() {
        let whole = bundle();
        let sums = whole.windows(SUMS.len()).rposition(|window| window == SUMS.as_bytes()).unwrap();
        // What follows the last file are zeros that nobody needs.
        for end in (0..sums + 512).step_by(13) {
            assert!(Bundle::read(&whole[..end]).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn a_changed_byte_of_a_file_is_found() {
        let whole = bundle();
        for text in ["not a plugin", "unreachable", "\"a\":1"] {
            let place = whole.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
            let mut changed = whole.clone();
            changed[place + 1] ^= 1;
            assert!(refusal(&changed).contains("SHA256SUMS"), "{text}");
        }
    }

    #[test]
    fn what_is_no_bundle_is_refused_with_a_reason() {
        assert!(refusal(b"").contains("no bundle"));
        assert!(refusal(&[7; 2048]).contains("tar"));
        let tar = |name: &str, size: usize| {
            let mut tar = Builder::new(Vec::new());
            let mut header = Header::new_ustar();
            header.set_size(size as u64);
            tar.append_data(&mut header, name, vec![0; size].as_slice()).unwrap();
            tar.into_inner().unwrap()
        };
        assert!(refusal(&tar("passwd", 3)).contains("passwd"));
        assert!(refusal(&tar(SUMS, 5_000)).contains("at most 4096"));
        assert!(refusal(&tar(SUMS, 3)).contains("no `manifest.json`"));
        assert!(refusal(&vec![0; MOST_BYTES as usize + 1]).contains("at most"));
    }
}
