//! A bundle: one file with everything that a decision was made of, and nothing else, so that it can be made once more. It is
//! a tar of plain files: `manifest.json`, `basis.json`, where there is one `record.json`, where a plugin was called
//! `plugin.wasm`, and `SHA256SUMS` over the others, as `sha256sum` writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use azenha_model::Field;
use azenha_model::connection::StoreKind;
use azenha_model::dead_letter::{Basis, Cause, DeadLetter, Original};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tar::{Archive, Builder, EntryType, Header};

/// The format of the bundles that this host writes, and the only one that it reads.
const FORMAT: u32 = 2;

const MANIFEST: &str = "manifest.json";
const BASIS: &str = "basis.json";
const RECORD: &str = "record.json";
const PLUGIN: &str = "plugin.wasm";
const SUMS: &str = "SHA256SUMS";

/// The most bytes that each file may have.
const LIMITS: [(&str, u64); 5] =
    [(MANIFEST, 1 << 20), (BASIS, 6 << 20), (RECORD, 8 << 20), (PLUGIN, 16 << 20), (SUMS, 4 << 10)];

/// The most bytes that a bundle has: its files, and what a tar keeps beside them.
pub const MOST_BYTES: u64 = 32 << 20;

/// What a bundle holds.
#[derive(Debug)]
pub struct Bundle {
    /// What was decided.
    pub manifest: Manifest,
    /// What it was decided on.
    pub basis: Basis,
    /// The record as it came, where that was decided on.
    pub record: Option<Original>,
    /// The component, or core module, that was called; empty if none was.
    pub plugin: Vec<u8>,
}

/// What was decided, and where.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Of the bundle.
    pub format: u32,
    /// The version of the host that made it.
    pub host: String,
    /// The dead letter.
    pub letter: About,
    /// The columns of personal data for whose values something else stands.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub masked: BTreeSet<String>,
    /// What the plugin says that it gives, if it opens without the values of variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gives: Vec<Outlet>,
    /// How much a call might take.
    pub limits: Limits,
    /// What the row was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreKind>,
}

/// The columns of an output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outlet {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Field>,
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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Its id: generation, pipeline, step, topic, partition, offset, ordinal.
    pub id: String,
    /// The version of the pipeline that made it; 0 if a file defines that.
    #[serde(default)]
    pub version: u64,
    /// Why it is one.
    pub cause: Cause,
    /// How the plugin failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// In words.
    pub reason: String,
    /// The part that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

impl About {
    /// What a letter says.
    pub fn of(letter: &DeadLetter) -> Self {
        let DeadLetter { id, version, cause, failure, reason, part, .. } = letter.clone();
        Self { id, version, cause, failure, reason, part }
    }
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
    #[error("the bundle has format {0}, and this program reads {FORMAT}: take a program of the version that made it")]
    Another(u32),
    /// A file says something else than it may.
    #[error("`{file}` of the bundle is not what it should be: {reason}")]
    Malformed {
        /// The file.
        file: &'static str,
        /// What is wrong.
        reason: String,
    },
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
    /// If a file of it would be larger than whoever replays it reads.
    pub fn write(&self) -> io::Result<Vec<u8>> {
        let mut files =
            vec![(MANIFEST, serde_json::to_vec_pretty(&self.manifest)?), (BASIS, serde_json::to_vec(&self.basis)?)];
        if let Some(record) = &self.record {
            files.push((RECORD, serde_json::to_vec(record)?));
        }
        if matches!(self.basis, Basis::Call(_)) {
            files.push((PLUGIN, self.plugin.clone()));
        }
        for (name, most) in LIMITS {
            let bytes = files.iter().find(|(file, _)| *file == name).map_or(0, |(_, bytes)| bytes.len() as u64);
            if bytes > most {
                return Err(io::Error::other(format!("`{name}` would have {bytes} bytes, and {most} are the most")));
            }
        }
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
        let manifest = checked(MANIFEST)?;
        let Format { format } = json(MANIFEST, &manifest)?;
        if format != FORMAT {
            return Err(BundleError::Another(format));
        }
        let basis: Basis = json(BASIS, &checked(BASIS)?)?;
        let record = match checked(RECORD) {
            Ok(record) => Some(json(RECORD, &record)?),
            // A letter may be about no record, or not carry it.
            Err(BundleError::Missing(_)) => None,
            Err(damaged) => return Err(damaged),
        };
        let mut plugin = Vec::new();
        if let Basis::Call(call) = &basis {
            plugin = checked(PLUGIN)?;
            if *call.digest != *sum(&plugin) {
                let reason = "its `digest` is not that of the plugin".to_owned();
                return Err(BundleError::Malformed { file: BASIS, reason });
            }
        }
        Ok(Self { manifest: json(MANIFEST, &manifest)?, basis, record, plugin })
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
    use azenha_model::dead_letter::{Arguments, Bytes, CONTRACT, Function, Opened, PluginCall};

    use super::*;

    fn bundle() -> Vec<u8> {
        let plugin = b"not a plugin".to_vec();
        let (format, host) = Manifest::made_here();
        let manifest = Manifest {
            format,
            host,
            letter: About {
                id: "0/shop/lines/orders/0/17/0".to_owned(),
                version: 3,
                cause: Cause::Failed,
                failure: Some("trap".to_owned()),
                reason: "unreachable".to_owned(),
                part: None,
            },
            masked: BTreeSet::new(),
            gives: vec![],
            limits: Limits { memory_bytes: 1 << 20, call_millis: 1_000 },
            store: None,
        };
        let call = PluginCall {
            plugin: "lines".into(),
            digest: sum(&plugin).into(),
            contract: CONTRACT.into(),
            function: Function::Process,
            like: None,
            opened: Some(Opened::with("{}").into()),
            given: Arguments::row(r#"{"a":1}"#.to_owned()),
        };
        let record = Original { timestamp: 7, key: None, value: Some(Bytes::of(b"a record")) };
        Bundle { manifest, basis: Basis::Call(call), record: Some(record), plugin }.write().unwrap()
    }

    fn refusal(file: &[u8]) -> String {
        Bundle::read(file).unwrap_err().to_string()
    }

    #[test]
    fn a_bundle_is_read_as_it_was_written() {
        let read = Bundle::read(&bundle()).unwrap();
        assert_eq!(read.manifest.letter.reason, "unreachable");
        let Basis::Call(call) = read.basis else { panic!("{:?}", read.basis) };
        assert_eq!(call.given.columns.unwrap().get(), r#"{"a":1}"#);
        assert_eq!((read.record.unwrap().timestamp, read.plugin.as_slice()), (7, &b"not a plugin"[..]));
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
        for text in ["not a plugin", "unreachable", "\"a\":1", "a record"] {
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
