//! The documents: what they must be, what they are in a store, and what is different.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mongodb::bson::Bson;
use serde_json::{Map, Value};

use crate::{Database, Mongo};

/// Differences that are shown.
const SHOWN: usize = 5;
/// How long documents may take to be right.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the tables of the shop look like as documents, by the id of the order. Decimals and times are text, and what is
/// null is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Views {
    /// The collection `Pedido`.
    pub orders: BTreeMap<i64, Value>,
    /// The collection `TotalPedido`.
    pub totals: BTreeMap<i64, Value>,
}

impl Views {
    /// Documents from rows of an id, an order and its total, as JSON.
    pub fn of_rows(rows: &[(i64, String, String)]) -> Result<Self> {
        let mut views = Self::default();
        for (id, order, total) in rows {
            views.orders.insert(*id, without_nulls(serde_json::from_str(order)?));
            views.totals.insert(*id, without_nulls(serde_json::from_str(total)?));
        }
        Ok(views)
    }

    /// What is in the collections of a MongoDB.
    pub async fn in_mongodb(mongo: &Mongo) -> Result<Self> {
        Ok(Self { orders: collection(mongo, "Pedido").await?, totals: collection(mongo, "TotalPedido").await? })
    }

    /// What is in the collections that a SQLite database keeps.
    pub async fn in_sqlite(database: &mut Database) -> Result<Self> {
        let mut views = Self::default();
        for (collection, documents) in [("Pedido", &mut views.orders), ("TotalPedido", &mut views.totals)] {
            let sql = format!("SELECT CAST(_id AS INTEGER), document FROM {collection}");
            for (id, document) in database.rows::<(i64, String)>(&sql).await? {
                let mut document: Value = serde_json::from_str(&document)?;
                document.as_object_mut().and_then(|members| members.remove("_id")).context("no _id")?;
                documents.insert(id, without_nulls(exact(document)));
            }
        }
        Ok(views)
    }

    /// Waits until these are the documents that a SQLite database keeps.
    pub async fn await_in_sqlite(&self, path: &Path) -> Result<()> {
        let (mut database, begun) = (Database::open(path).await?, Instant::now());
        while let Some(difference) = self.difference(&Self::in_sqlite(&mut database).await?) {
            ensure!(begun.elapsed() < PATIENCE, "{difference}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// What is different in `found`: documents that are missing, stale, or left over. None if nothing is.
    pub fn difference(&self, found: &Self) -> Option<String> {
        let of_orders = differences("Pedido", &self.orders, &found.orders);
        let of_totals = differences("TotalPedido", &self.totals, &found.totals);
        let all: Vec<String> = of_orders.chain(of_totals).collect();
        let shown = all[..all.len().min(SHOWN)].join("\n");
        (!all.is_empty()).then(|| format!("{} documents are not right, among them\n{shown}", all.len()))
    }
}

fn differences<'a>(
    collection: &'a str,
    wanted: &'a BTreeMap<i64, Value>,
    found: &'a BTreeMap<i64, Value>,
) -> impl Iterator<Item = String> + 'a {
    let ids: BTreeSet<&i64> = wanted.keys().chain(found.keys()).collect();
    ids.into_iter().filter_map(move |id| match (wanted.get(id), found.get(id)) {
        (Some(wanted), Some(found)) if wanted == found => None,
        (Some(wanted), Some(found)) => Some(format!("{collection} {id} is stale: {}", first_difference(wanted, found))),
        (Some(_), None) => Some(format!("{collection} {id} is missing")),
        (None, _) => Some(format!("{collection} {id} is left over")),
    })
}

/// Where two values that are not equal differ first.
fn first_difference(wanted: &Value, found: &Value) -> String {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            let names: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
            let member = |of: &Map<String, Value>, name| of.get(name).cloned().unwrap_or_default();
            let pairs = names.into_iter().map(|name| (name, member(wanted, name), member(found, name)));
            let differing = pairs.filter(|(_, wanted, found)| wanted != found);
            let mut places =
                differing.map(|(name, wanted, found)| format!(".{name}{}", first_difference(&wanted, &found)));
            places.next().unwrap_or_default()
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            let mut items = wanted.iter().zip(found).enumerate().filter(|(_, (wanted, found))| wanted != found);
            let place =
                items.next().map(|(index, (wanted, found))| format!("[{index}]{}", first_difference(wanted, found)));
            place.unwrap_or_default()
        }
        (Value::Array(wanted), Value::Array(found)) => {
            format!(" has {} items instead of {}", found.len(), wanted.len())
        }
        _ => format!(" is {found} instead of {wanted}"),
    }
}

/// A document of SQLite, in which decimals may be numbers and times are those of ISO 8601.
fn exact(value: Value) -> Value {
    match value {
        Value::Object(mut members) => {
            if let Some(Value::String(time)) = members.get_mut("criado_em") {
                *time = time_text(time);
            }
            Value::Object(members.into_iter().map(|(name, member)| (name, exact(member))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(exact).collect()),
        Value::Number(number) if number.is_f64() => format!("{:.2}", number.as_f64().unwrap_or(f64::NAN)).into(),
        other => other,
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(_, member)| !member.is_null());
            Value::Object(kept.map(|(name, member)| (name, without_nulls(member))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

async fn collection(mongo: &Mongo, name: &str) -> Result<BTreeMap<i64, Value>> {
    let mut documents = BTreeMap::new();
    for mut document in mongo.documents(name).await? {
        let id = document.remove("_id").and_then(|id| id.as_i64()).context("an _id that is no 64-bit integer")?;
        ensure!(document.get_i64("id")? == id, "{name} {id}: the field `id` says something else");
        documents.insert(id, without_nulls(plain(document.into())?));
    }
    Ok(documents)
}

/// A value of a document as JSON. Money must be a decimal: a number with binary places is an error.
fn plain(value: Bson) -> Result<Value> {
    Ok(match value {
        Bson::Document(document) => {
            let members = document.into_iter().map(|(name, member)| Ok((name, plain(member)?)));
            Value::Object(members.collect::<Result<Map<_, _>>>()?)
        }
        Bson::Array(items) => Value::Array(items.into_iter().map(plain).collect::<Result<_>>()?),
        Bson::String(text) => text.into(),
        Bson::Int32(number) => number.into(),
        Bson::Int64(number) => number.into(),
        Bson::Decimal128(number) => number.to_string().into(),
        Bson::DateTime(time) => time_text(&time.try_to_rfc3339_string()?).into(),
        Bson::Null => Value::Null,
        other => anyhow::bail!("{other:?} is in no document of ours"),
    })
}

/// `2017-01-02T03:04:05.1Z` as `2017-01-02 03:04:05.100`: to the millisecond, which is all that MongoDB keeps.
fn time_text(rfc3339: &str) -> String {
    let text = rfc3339.trim_end_matches('Z').replace('T', " ");
    let (seconds, fraction) = text.split_once('.').unwrap_or((&text, ""));
    format!("{seconds}.{fraction:0<3.3}")
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_is_named_by_its_place() {
        let wanted = json!({ "id": 1, "itens": [{ "id": 2 }, { "id": 3, "marca": "Private" }] });
        let mut found = wanted.clone();
        found["itens"][1]["marca"] = "National".into();
        assert_eq!(first_difference(&wanted, &found), r#".itens[1].marca is "National" instead of "Private""#);
        found["itens"] = json!([]);
        assert_eq!(first_difference(&wanted, &found), ".itens has 0 items instead of 2");
    }

    fn views(orders: &[(i64, Value)]) -> Views {
        Views { orders: orders.iter().cloned().collect(), totals: BTreeMap::new() }
    }

    #[test]
    fn a_missing_a_stale_and_a_document_that_is_left_over_are_told() {
        let wanted = views(&[(1, json!({ "linhas": 1 })), (2, json!({ "linhas": 2 }))]);
        let told = |found: &[(i64, Value)]| wanted.difference(&views(found));
        assert_eq!(told(&[(1, json!({ "linhas": 1 })), (2, json!({ "linhas": 2 }))]), None);
        assert!(told(&[(1, json!({ "linhas": 1 }))]).is_some_and(|text| text.contains("Pedido 2 is missing")));
        let stale = told(&[(1, json!({ "linhas": 3 })), (2, json!({ "linhas": 2 }))]);
        assert!(stale.is_some_and(|text| text.ends_with("Pedido 1 is stale: .linhas is 3 instead of 1")));
        let left = told(&[(1, json!({ "linhas": 1 })), (2, json!({ "linhas": 2 })), (3, json!({}))]);
        assert!(left.is_some_and(|text| text.contains("Pedido 3 is left over")));
    }

    #[test]
    fn what_mongodb_holds_reads_as_sql_writes_it() -> Result<()> {
        let price = "12.50".parse::<mongodb::bson::Decimal128>()?;
        let time = mongodb::bson::DateTime::from_millis(1_483_326_245_100);
        let document = doc! { "valor": price, "criado_em": time, "marca": Bson::Null, "itens": [{ "id": 7_i64 }] };
        let expected = json!({ "valor": "12.50", "criado_em": "2017-01-02 03:04:05.100", "itens": [{ "id": 7 }] });
        assert_eq!(without_nulls(plain(document.into())?), expected);
        assert!(plain(Bson::Double(12.5)).is_err(), "money is no binary number");
        Ok(())
    }

    #[test]
    fn what_sqlite_holds_reads_as_sql_writes_it() {
        let document = json!({ "valor": 12.5, "bruto": "7.00", "criado_em": "2017-01-02T03:04:05.123456Z", "id": 7 });
        let expected = json!({ "valor": "12.50", "bruto": "7.00", "criado_em": "2017-01-02 03:04:05.123", "id": 7 });
        assert_eq!(exact(document), expected);
    }
}
