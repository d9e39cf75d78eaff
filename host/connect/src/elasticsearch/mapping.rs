//! The index that a sink writes: making it, and checking one that exists.

use std::collections::BTreeMap;

use azenha_model::plan::Language;
use azenha_model::{DataType, Field};
use reqwest::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::Index;
use super::http::{Api, Call, Refusal, Trouble};
use super::template;
use crate::store::Failure;

/// The engine's error for an index that is there already.
pub(super) const EXISTS: &str = "resource_already_exists_exception";

/// The analyzer of texts whose words can be searched for.
const ANALYZER: &str = "azenha";

/// A text that is compared as a whole, and is longer, is kept but not found: the engine's own limit is 32,766 bytes.
const MOST_COMPARED: u32 = 8_191;

/// How long the engine knows which version was deleted. Older writes of a row may not come later: those of a host that
/// hung, or of one that was sent back.
const KNOWN_DELETES: &str = "24h";

/// An index as the engine describes it.
#[derive(Debug, Deserialize)]
pub(super) struct Described {
    #[serde(default)]
    aliases: BTreeMap<String, IgnoredAny>,
    #[serde(default)]
    mappings: Mappings,
    settings: Settings,
}

#[derive(Debug, Default, Deserialize)]
struct Mappings {
    #[serde(default)]
    properties: BTreeMap<String, Property>,
}

/// A field; one of objects may have no type.
#[derive(Debug, Deserialize)]
struct Property {
    #[serde(rename = "type", default = "object")]
    kind: String,
}

fn object() -> String {
    "object".to_owned()
}

#[derive(Debug, Deserialize)]
struct Settings {
    index: IndexSettings,
}

#[derive(Debug, Deserialize)]
struct IndexSettings {
    uuid: String,
    gc_deletes: Option<String>,
}

impl Described {
    /// What tells it from an index of the same name that was there before.
    pub fn uuid(&self) -> &str {
        &self.settings.index.uuid
    }

    /// Whether it can be read under this name, too.
    pub fn has_alias(&self, alias: &str) -> bool {
        self.aliases.contains_key(alias)
    }

    /// The type of a field; none if it has no such field.
    pub fn kind(&self, field: &str) -> Option<&str> {
        self.mappings.properties.get(field).map(|property| property.kind.as_str())
    }
}

/// Makes the index if it is missing, else checks it and adds the fields that it lacks, and the template by which it is made
/// anew. Then it can be used: another host may still be making it.
pub(super) async fn prepare(api: &Api, index: &Index) -> Result<(), Failure> {
    ensure(api, index).await?;
    let path = ["_cluster", "health", &index.name];
    let until_ready = Call::new(Method::GET, &path).with(&[("wait_for_status", "yellow"), ("timeout", "30s")]);
    Ok(api.call::<Value>(until_ready).await.map(drop)?)
}

async fn ensure(api: &Api, index: &Index) -> Result<(), Failure> {
    let written = template::write(api, index, &index.name, &[]).await;
    if let Some(found) = describe(api, &index.name).await? {
        pass_over(written, &index.name)?;
        return complete(api, index, &index.name, &found).await;
    }
    written?;
    match make(api, index).await {
        // Another host may have made it at the same time.
        Err(Trouble::Refused(Refusal { kind, .. })) if kind == EXISTS => match describe(api, &index.name).await? {
            Some(found) => complete(api, index, &index.name, &found).await,
            None => Err(Failure::Unavailable("the index comes and goes".into())),
        },
        made => Ok(made?),
    }
}

/// An index that was made by hand is used also where its template is refused: for want of rights, or because the engine lacks
/// the analyzers, for which it may have been made by hand.
fn pass_over(written: Result<(), Failure>, index: &str) -> Result<(), Failure> {
    match written {
        Err(Failure::Definition(reason)) => {
            tracing::warn!(index, reason, "no template was written: if the index is deleted, make it by hand at once");
            Ok(())
        }
        written => written,
    }
}

/// The index of a name; none if there is none.
pub(super) async fn describe(api: &Api, name: &str) -> Result<Option<Described>, Trouble> {
    let mut found = describe_all(api, name).await?;
    match found.len() {
        0 | 1 => Ok(found.pop_first().map(|(_, described)| described)),
        several => {
            let reason = format!("`{name}` stands for {several} indexes: name one of them");
            let status = reqwest::StatusCode::BAD_REQUEST;
            Err(Trouble::Refused(Refusal { status, kind: "alias".to_owned(), reason }))
        }
    }
}

/// All indexes that can be read under a name, by their own names.
pub(super) async fn describe_all(api: &Api, name: &str) -> Result<BTreeMap<String, Described>, Trouble> {
    Ok(api.find(Call::new(Method::GET, &[name])).await?.unwrap_or_default())
}

async fn make(api: &Api, index: &Index) -> Result<(), Trouble> {
    api.call::<Value>(Call::new(Method::PUT, &[&index.name]).json(&shape(index))).await.map(drop)
}

/// Settings and fields of an index that the host makes.
pub(super) fn shape(index: &Index) -> Value {
    let mut settings = json!({ "index": { "gc_deletes": KNOWN_DELETES, "refresh_interval": "1s" } });
    if !index.search.is_empty() {
        settings["analysis"] = analysis(index.language);
    }
    let mappings = json!({ "dynamic": "strict", "properties": properties(index, index.columns.iter()) });
    json!({ "settings": settings, "mappings": mappings })
}

/// Where words begin and end is the same in every store: letters and digits in a row. The engine's own tokenizer would keep
/// together what a point or an apostrophe parts, such as the last word of a sentence and the first of the next one.
const ENDS_OF_WORDS: &str = r"[^\p{L}\p{N}]+";
/// Accents that are characters of their own.
const ACCENTS: &str = r"[\u0300-\u036f]+";

/// Plurals that Portuguese stemmers know by an accent, which nobody has to write.
const PLURALS: [(&str, &str); 3] = [("oes$", "ões"), ("aes$", "ães"), ("ois$", "óis")];

/// Words without case and accents, and, in a language, without their endings. Accents go first, so that a word is found
/// whether somebody writes them or not; where a stemmer needs one, it gets it back.
fn analysis(language: Option<Language>) -> Value {
    let mut filters = vec!["lowercase".to_owned(), "asciifolding".to_owned()];
    let mut defined = Map::new();
    let mut define = |name: String, filter: Value| {
        filters.push(name.clone());
        defined.insert(name, filter);
    };
    if language == Some(Language::Portuguese) {
        for (ending, with_accent) in PLURALS {
            let filter = json!({ "type": "pattern_replace", "pattern": ending, "replacement": with_accent });
            define(format!("azenha_{}", ending.trim_end_matches('$')), filter);
        }
    }
    let stemmer = language.map(|language| match language {
        Language::Portuguese => "light_portuguese",
        Language::English => "english",
        Language::Spanish => "light_spanish",
    });
    if let Some(stemmer) = stemmer {
        define("azenha_endings".to_owned(), json!({ "type": "stemmer", "language": stemmer }));
    }
    let replace = |pattern: &str, by: &str| json!({ "type": "pattern_replace", "pattern": pattern, "replacement": by });
    let characters = json!({ "azenha_accents": replace(ACCENTS, ""), "azenha_words": replace(ENDS_OF_WORDS, " ") });
    let analyzer = json!({
        "type": "custom",
        "char_filter": ["azenha_accents", "azenha_words"],
        // Words have blanks between them by now.
        "tokenizer": "whitespace",
        "filter": filters,
    });
    json!({ "analyzer": { ANALYZER: analyzer }, "char_filter": characters, "filter": defined })
}

fn properties<'a>(index: &Index, fields: impl Iterator<Item = &'a Field>) -> Map<String, Value> {
    fields.map(|field| (field.name.clone(), property(field.data_type, index.is_searched(field)))).collect()
}

fn property(data_type: DataType, is_searched: bool) -> Value {
    match data_type {
        DataType::Boolean => json!({ "type": "boolean" }),
        DataType::Int64 => json!({ "type": "long" }),
        DataType::Float64 | DataType::Decimal { .. } => json!({ "type": "double" }),
        DataType::Text if is_searched => json!({ "type": "text", "analyzer": ANALYZER }),
        DataType::Text | DataType::Time => json!({ "type": "keyword", "ignore_above": MOST_COMPARED }),
        DataType::Bytes => json!({ "type": "binary" }),
        DataType::Date => json!({ "type": "date", "format": "strict_date" }),
        DataType::Timestamp => json!({ "type": "date", "format": "strict_date_optional_time" }),
        DataType::Json => json!({ "type": "object", "enabled": false }),
    }
}

/// The types of a field that keep every value of a column, or refuse it; none stands for any.
fn kinds(data_type: DataType, is_searched: bool) -> &'static [&'static str] {
    match data_type {
        DataType::Boolean => &["boolean"],
        DataType::Int64 => &["long"],
        DataType::Float64 => &["double"],
        DataType::Decimal { .. } => &["double", "keyword", "scaled_float"],
        DataType::Text if is_searched => &["text"],
        DataType::Text => &["keyword", "wildcard", "text"],
        DataType::Time => &["keyword"],
        DataType::Bytes => &["binary"],
        DataType::Date | DataType::Timestamp => &["date"],
        DataType::Json => &[],
    }
}

/// Checks an index that was found under a name of its own, and adds the fields that it lacks.
pub(super) async fn complete(api: &Api, index: &Index, name: &str, found: &Described) -> Result<(), Failure> {
    let problems: Vec<String> = index.columns.iter().filter_map(|field| problem(index, field, name, found)).collect();
    if !problems.is_empty() {
        return Err(Failure::Definition(problems.join("\n")));
    }
    let is_missing = |field: &&Field| found.kind(&field.name).is_none();
    let missing = properties(index, index.columns.iter().filter(is_missing));
    if !missing.is_empty() {
        let body = json!({ "properties": missing });
        api.call::<Value>(Call::new(Method::PUT, &[name, "_mapping"]).json(&body)).await?;
    }
    if found.settings.index.gc_deletes.is_none() {
        let body = json!({ "index": { "gc_deletes": KNOWN_DELETES } });
        api.call::<Value>(Call::new(Method::PUT, &[name, "_settings"]).json(&body)).await?;
    }
    Ok(())
}

fn problem(index: &Index, field: &Field, name: &str, found: &Described) -> Option<String> {
    let kinds = kinds(field.data_type, index.is_searched(field));
    let kind = found.kind(&field.name).filter(|kind| !kinds.is_empty() && !kinds.contains(kind))?;
    let wanted = property(field.data_type, index.is_searched(field));
    Some(format!(
        "field `{}` of index `{name}` is {kind}, but the sink writes {}, which needs {wanted}: a field cannot be changed, so \
         write to another index, or under another name",
        field.name, field.data_type
    ))
}
