//! An index for each day, month or year: a template that they are made by, and one name under which all are read.

use reqwest::Method;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::Index;
use super::http::{Api, Call, Refusal, Trouble};
use super::mapping::{EXISTS, complete, describe, describe_all};
use super::template;
use crate::store::Failure;

/// The index of a day, month or year. No other sink's index is called so: names in pipeline files have no point.
pub(super) fn index_name(name: &str, date: &str) -> String {
    format!("{name}.{date}")
}

/// Adds what the indexes of before lack, and makes the template of those to come.
pub(super) async fn prepare(api: &Api, index: &Index) -> Result<(), Failure> {
    let name = &index.name;
    let found = describe_all(api, name).await?;
    if found.contains_key(name) {
        return Err(Failure::Definition(format!(
            "`{name}` is an index, so it cannot be the name of several: delete it, or leave out `each`, or write to others"
        )));
    }
    for (one, described) in &found {
        complete(api, index, one, described).await?;
    }
    template::write(api, index, &index_name(name, "*"), &[name]).await
}

/// Makes one of the indexes if it is missing, and checks it: a template of somebody's own may have counted.
pub(super) async fn open(api: &Api, index: &Index, name: &str) -> Result<(), Failure> {
    if describe(api, name).await?.is_none() {
        match api.call::<Value>(Call::new(Method::PUT, &[name])).await {
            // Another lane may have made it at the same time.
            Err(Trouble::Refused(Refusal { kind, .. })) if kind == EXISTS => {}
            made => drop(made?),
        }
    }
    let Some(found) = describe(api, name).await? else {
        return Err(Failure::Unavailable(format!("the index `{name}` comes and goes").into()));
    };
    complete(api, index, name, &found).await?;
    if !found.has_alias(&index.name) {
        let add = json!({ "actions": [{ "add": { "index": name, "alias": index.name } }] });
        api.call::<IgnoredAny>(Call::new(Method::POST, &["_aliases"]).json(&add)).await?;
    }
    Ok(())
}
