//! Connectors of Kafka Connect, as files beside a pipeline and as its API has them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::sleep;

use crate::usage::Usage;

/// How long one answer may take: Connect asks the database of a connector before it takes it.
const PATIENCE: Duration = Duration::from_secs(90);
/// Workers that share out their connectors refuse changes; this often they are asked again, a second apart.
const TRIES: u32 = 30;
/// Characters of a complaint that a message shows.
const SHOWN: usize = 500;

/// A connector as its file has it.
#[derive(Debug)]
pub struct Connector {
    /// What Connect calls it.
    pub name: String,
    config: Map<String, Value>,
}

/// What became of a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// There was none of its name.
    Made,
    /// There was one with another configuration.
    Changed,
    /// It was there as it is.
    Same,
}

/// The connectors in the folder `connectors` beside a pipeline's file, by file name; with `only`, those of these names.
pub fn connectors_beside(pipeline: &Path, only: &[String]) -> Result<Vec<Connector>> {
    let folder = pipeline.with_file_name("connectors");
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    let entries = folder.is_dir().then(|| fs::read_dir(&folder)).transpose()?;
    for entry in entries.into_iter().flatten() {
        let path = entry?.path();
        if let (Some("json"), Some(stem)) = (path.extension().and_then(|end| end.to_str()), path.file_stem()) {
            files.insert(stem.to_string_lossy().into_owned(), path);
        }
    }
    if let Some(missing) = only.iter().find(|name| !files.contains_key(*name)) {
        bail!(Usage(format!("there is no {}", folder.join(missing).with_extension("json").display())));
    }
    files.retain(|name, _| only.is_empty() || only.contains(name));
    let mut connectors: Vec<Connector> = Vec::new();
    for path in files.values() {
        let connector = read(path).with_context(|| path.display().to_string())?;
        if connectors.iter().any(|other| other.name == connector.name) {
            bail!(Usage(format!(
                "several files in {} are connectors called `{}`: choose one with --connector",
                folder.display(),
                connector.name
            )));
        }
        connectors.push(connector);
    }
    Ok(connectors)
}

fn read(path: &Path) -> Result<Connector> {
    let text = fs::read_to_string(path)?;
    let config: Map<String, Value> = serde_json::from_str(&text)?;
    let name = config.get("name").and_then(Value::as_str).map(str::to_owned);
    Ok(Connector { name: name.context("a connector needs a `name`")?, config })
}

/// The API of a Kafka Connect.
#[derive(Debug)]
pub struct Connect {
    http: Client,
    url: Url,
}

/// What Connect says when it does not do something.
#[derive(Debug, Default, Deserialize)]
struct Complaint {
    #[serde(default)]
    message: String,
}

impl Connect {
    /// A client of the API at a URL.
    pub fn at(url: &str) -> Result<Self> {
        let is_http = |url: &Url| matches!(url.scheme(), "http" | "https");
        let url = Url::parse(url).ok().filter(is_http);
        let url =
            url.ok_or_else(|| Usage("--connect takes the URL of a Kafka Connect: http://localhost:8083".into()))?;
        // There may be one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self { http: Client::builder().timeout(PATIENCE).build()?, url })
    }

    /// Makes a connector, or changes the one that is there to what its file says.
    pub async fn register(&self, connector: &Connector) -> Result<Registration> {
        let place = self.config_of(&connector.name)?;
        for _ in 0..TRIES {
            let found = self.asked(self.http.get(place.clone())).await?;
            let is_missing = found.status() == StatusCode::NOT_FOUND;
            if found.status().is_success() && config(found).await? == connector.config {
                return Ok(Registration::Same);
            }
            let put = self.asked(self.http.put(place.clone()).json(&connector.config)).await?;
            match put.status() {
                status if status.is_success() => {
                    return Ok(if is_missing { Registration::Made } else { Registration::Changed });
                }
                StatusCode::CONFLICT => sleep(Duration::from_secs(1)).await,
                status => bail!("Connect refuses connector `{}` ({status}): {}", connector.name, said(put).await),
            }
        }
        bail!("Connect does not take connector `{}`: its workers are still sharing out what they run", connector.name)
    }

    fn config_of(&self, connector: &str) -> Result<Url> {
        let mut url = self.url.clone();
        let parts = url.path_segments_mut().map_err(|()| Usage("--connect is no URL of an API".into()))?;
        { parts }.pop_if_empty().extend(["connectors", connector, "config"]);
        Ok(url)
    }

    /// The URL may hold a password, so that errors come without it.
    async fn asked(&self, request: reqwest::RequestBuilder) -> Result<Response> {
        let answer = request.send().await.map_err(reqwest::Error::without_url);
        answer.context("no Kafka Connect answers at the URL of --connect")
    }
}

async fn config(found: Response) -> Result<Map<String, Value>> {
    let config = found.json().await.map_err(reqwest::Error::without_url);
    config.context("what answers at the URL of --connect is no Kafka Connect")
}

async fn said(answer: Response) -> String {
    let complaint: Complaint = answer.json().await.unwrap_or_default();
    complaint.message.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("connectors")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join("connectors").join(name), text).unwrap();
        }
        folder
    }

    fn names(folder: &tempfile::TempDir, only: &[&str]) -> Result<Vec<String>> {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        let found = connectors_beside(&folder.path().join("pipeline.yaml"), &only)?;
        Ok(found.into_iter().map(|connector| connector.name).collect())
    }

    #[test]
    fn connectors_are_files_of_their_folder() {
        let folder =
            folder(&[("b.json", r#"{ "name": "two" }"#), ("a.json", r#"{ "name": "one" }"#), ("README.md", "")]);
        assert_eq!(names(&folder, &[]).unwrap(), ["one", "two"]);
        assert_eq!(names(&folder, &["b"]).unwrap(), ["two"]);
        assert!(names(&folder, &["c"]).unwrap_err().to_string().contains("c.json"));
        assert!(names(&tempfile::tempdir().unwrap(), &[]).unwrap().is_empty());
    }

    #[test]
    fn of_connectors_with_one_name_the_user_chooses() {
        let folder = folder(&[("mariadb.json", r#"{ "name": "shop" }"#), ("postgres.json", r#"{ "name": "shop" }"#)]);
        assert!(names(&folder, &[]).unwrap_err().to_string().contains("--connector"));
        assert_eq!(names(&folder, &["postgres"]).unwrap(), ["shop"]);
    }

    #[test]
    fn a_file_that_is_no_connector_is_named() {
        for text in ["{}", "[]", r#"{ "name": 1 }"#] {
            let folder = folder(&[("wrong.json", text)]);
            assert!(format!("{:#}", names(&folder, &[]).unwrap_err()).contains("wrong.json"), "{text}");
        }
    }
}
