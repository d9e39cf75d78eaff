//! The CDC lake, embedded: what Debezium recorded of a table, through all its layers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result};
use azenha_e2e::{Azenha, Lake, repository};
use serde_json::{Value, json};

/// What a table holds after all its events, by key: the row, or none if it was deleted.
fn replayed(records: &[Value]) -> BTreeMap<i64, Value> {
    let mut rows = BTreeMap::new();
    for record in records.iter().filter(|record| !record["value"].is_null()) {
        let (value, id) = (&record["value"], record["key"]["id"].as_i64().unwrap_or(-1));
        match value["op"].as_str() {
            Some("d") => rows.remove(&id),
            _ => rows.insert(id, value["after"].clone()),
        };
    }
    rows
}

/// The lake of the orders' recorded events.
struct Recorded {
    azenha: Azenha,
    lake: Lake,
}

impl Recorded {
    fn new() -> Result<Self> {
        let azenha = Azenha::new()?;
        let lake = Lake::embedded(&azenha)?;
        Ok(Self { azenha, lake })
    }

    fn run(&self, inputs: &[(&str, &Path)]) -> Result<()> {
        self.azenha.run_once(&repository().join("pipelines/lake"), inputs, &["--strict"]).map(drop)
    }

    /// The objects of gold, with the time at which each was put: other bytes or the same ones.
    fn gold(&self) -> Result<BTreeMap<String, (SystemTime, Vec<u8>)>> {
        let dated = |(path, content): (String, Vec<u8>)| {
            let put = fs::metadata(self.lake.folder.join("gold").join(&path))?.modified()?;
            Ok((path, (put, content)))
        };
        self.lake.contents("gold/pedidos")?.into_iter().map(dated).collect()
    }

    /// How often gold has announced each object.
    fn announced(&self) -> Result<BTreeMap<String, usize>> {
        let mut announced = BTreeMap::new();
        for record in self.azenha.topic("lake_gold_pedidos")? {
            let path = record["value"]["path"].as_str().context("an announcement without a path")?;
            *announced.entry(path.to_owned()).or_default() += 1;
        }
        Ok(announced)
    }
}

/// The path of a day in gold.
fn of_day(day: &str) -> String {
    format!("pedidos/dia={day}/rows.parquet")
}

fn sample(table: &str) -> PathBuf {
    repository().join(format!("pipelines/lake/sample/{table}.records.ndjson.gz"))
}

#[test]
fn every_layer_holds_what_debezium_said_and_announces_exactly_the_objects_that_exist() -> Result<()> {
    let recorded = Recorded::new()?;
    let (pedidos, produtos) = (sample("pedidos"), sample("produtos"));
    recorded.run(&[("pedidos", &pedidos), ("produtos", &produtos)])?;
    let Recorded { azenha, lake } = &recorded;
    let captured = azenha.topic("loja.public.pedidos")?;
    let rows = replayed(&captured);
    assert!(rows.len() > 100 && rows.len() < captured.len(), "{} rows of {} events", rows.len(), captured.len());

    for table in ["pedidos", "produtos"] {
        for layer in ["raw", "bronze", "silver", "gold"] {
            let announced = azenha.topic(&format!("lake_{layer}_{table}"))?;
            let announced: BTreeSet<&str> =
                announced.iter().filter_map(|record| record["value"]["path"].as_str()).collect();
            let found = lake.paths(&format!("{layer}/{table}"))?;
            let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
            assert!(!found.is_empty() && found == announced, "{layer} of {table}: {found:?}, announced {announced:?}");
        }
    }

    let values: Vec<String> = captured.iter().map(|record| record["value"].to_string()).collect();
    let mut raw: Vec<String> = Vec::new();
    for path in lake.paths("raw/pedidos")? {
        let content = fs::read_to_string(lake.folder.join("raw").join(&path))?;
        raw.push(serde_json::from_str::<Value>(&content)?.to_string());
    }
    assert_eq!(sorted(raw), sorted(values), "every message is kept once, as it came");

    let Some(query) = lake.duckdb() else { return Ok(()) };
    let events = captured.iter().filter(|record| !record["value"].is_null()).count();
    let bronze = query("select count(*), count(distinct id) from read_parquet('bronze/pedidos/*.parquet')")?;
    assert_eq!(bronze, [json!([events, count_keys(&captured)])]);
    let silver = query("describe select * from read_parquet('silver/pedidos/*.parquet')")?;
    let types: BTreeMap<&str, &str> =
        silver.iter().filter_map(|column| Some((column[0].as_str()?, column[1].as_str()?))).collect();
    assert_eq!((types["pedido"], types["loja"], types["dia"]), ("BIGINT", "VARCHAR", "DATE"), "{types:?}");

    let gold = query(
        "select pedido, cliente, loja, epoch_us(criado_em), cast(dia as varchar) \
         from read_parquet('gold/pedidos/*/*.parquet', hive_partitioning = true) order by pedido",
    )?;
    let expected: Vec<Value> = rows.iter().map(|(id, row)| order(*id, row)).collect::<Result<_>>()?;
    assert_eq!(gold, expected);
    Ok(())
}

fn count_keys(records: &[Value]) -> usize {
    records.iter().map(|record| record["key"]["id"].to_string()).collect::<BTreeSet<_>>().len()
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_unstable();
    texts
}

/// The row of an order as gold has it.
fn order(id: i64, row: &Value) -> Result<Value> {
    let created = row["criado_em"].as_i64().context("an order has no time")?;
    let day = azenha_e2e::day_of(created);
    Ok(json!([id, row["cliente_id"], row["loja_id"].to_string(), created, day]))
}

/// Events of one order: when it was made, in days since 1970, and by whom.
fn event(op: &str, id: i64, day: i64, customer: i64) -> String {
    let row = json!({ "id": id, "cliente_id": customer, "loja_id": 1, "criado_em": day * 86_400_000_000_i64 });
    let (before, after) = if op == "d" { (json!({ "id": id }), Value::Null) } else { (Value::Null, row) };
    let source = json!({ "connector": "postgresql", "lsn": 1 });
    let value = json!({ "op": op, "before": before, "after": after, "source": source, "ts_ms": 1 });
    json!({ "key": { "id": id }, "value": value }).to_string()
}

#[test]
fn a_change_of_one_row_replaces_the_object_of_its_day_and_no_other() -> Result<()> {
    let recorded = Recorded::new()?;
    let first: Vec<String> = (0..50).map(|id| event("c", id, 20_000 + id % 5, 7)).collect();
    let mut fed = first.join("\n") + "\n";
    let file = recorded.azenha.write("events.records.ndjson", &fed)?;
    let empty = recorded.azenha.write("none.records.ndjson", "")?;
    let run = || recorded.run(&[("pedidos", &file), ("produtos", &empty)]);
    run()?;
    let before = recorded.gold()?;
    assert_eq!(before.len(), 5, "{:?}", before.keys());

    let mut change = |event: String| -> Result<Vec<String>> {
        let (before, mut told) = (recorded.gold()?, recorded.announced()?);
        fed += &(event + "\n");
        recorded.azenha.write("events.records.ndjson", &fed)?;
        run()?;
        let after = recorded.gold()?;
        let replaced = after.iter().filter(|(path, object)| before.get(*path) != Some(object));
        let replaced: Vec<String> = replaced.map(|(path, _)| path.clone()).collect();
        replaced.iter().for_each(|path| *told.entry(path.clone()).or_default() += 1);
        assert_eq!(recorded.announced()?, told, "each object that is replaced is announced once, and no other");
        Ok(replaced)
    };
    assert_eq!(change(event("u", 3, 20_003, 8))?, [of_day("2024-10-07")]);
    assert_eq!(change(event("d", 4, 0, 0))?, [of_day("2024-10-08")]);
    assert_eq!(change(event("u", 5, 20_001, 7))?, [of_day("2024-10-04"), of_day("2024-10-05")], "it moves");
    // A host that has just started puts the object of a row that comes once more, whether it changes or not: it did not see
    // it put.
    let again = change(event("u", 6, 20_001, 7))?;
    assert!(again.iter().all(|path| *path == of_day("2024-10-05")), "{again:?}");
    Ok(())
}

/// How long gold waits before it replaces an object once more.
const GOLD_EVERY_SECONDS: u64 = 5;

#[test]
fn many_changes_of_one_day_replace_its_object_a_few_times() -> Result<()> {
    let recorded = Recorded::new()?;
    let azenha = &recorded.azenha;
    let folder = repository().join("pipelines/lake");
    azenha.write("lake/models/pedidos.yaml", &fs::read_to_string(folder.join("models/pedidos.yaml"))?)?;
    // The layers before gold hand on what they have several times a second.
    let text = fs::read_to_string(folder.join("pipeline.yaml"))?;
    let (above, gold) = text.split_once("  gold:\n").context("no gold")?;
    assert!(gold.contains(&format!("roll: {{ every: {GOLD_EVERY_SECONDS}s }}")), "{gold}");
    let quick = above.replace("roll: { every: 5s }", "roll: { every: 200ms }");
    azenha.write("lake/pipeline.yaml", &format!("{quick}  gold:\n{gold}"))?;
    let changes = (0..400).map(|customer| event(if customer == 0 { "c" } else { "u" }, 1, 20_000, customer) + "\n");
    let file = azenha.write("events.records.ndjson", &changes.collect::<String>())?;
    let begun = Instant::now();
    azenha.run_once(&azenha.path("lake"), &[("pedidos", &file)], &["--strict", "--rate", "100"])?;
    // What comes first is put at once, then once in so many seconds, and what is left when nothing more will come.
    let most = 2 + (begun.elapsed().as_secs() / GOLD_EVERY_SECONDS) as usize;
    let silver = azenha.topic("lake_silver_pedidos")?.len();
    assert!(silver > 5, "{silver} objects of silver do not show that gold waits");
    let announced = recorded.announced()?;
    assert!(announced.keys().eq([&of_day("2024-10-04")]), "{announced:?}");
    assert!(announced.values().all(|times| *times <= most), "{announced:?}, at most {most}");
    Ok(())
}

#[test]
fn a_table_is_added_by_a_model_alone() -> Result<()> {
    let azenha = Azenha::new()?;
    let folder = repository().join("pipelines/lake");
    azenha.write("lake/pipeline.yaml", &fs::read_to_string(folder.join("pipeline.yaml"))?)?;
    let model = "
topic: loja.public.itens_pedido
captured:
  key: [id]
  columns: { id: int64, pedido_id: 'int64?', produto_id: 'int64?', valor: 'decimal(2)?', operacao: { type: text, path: $.op } }
silver: { columns: { item: { from: id }, preco: { from: valor }, produto_id: { from: produto_id } } }
gold: { key: [item], columns: [item, pedido_id, preco, produto_id], partition_by: [produto_id] }
";
    azenha.write("lake/models/itens_pedido.yaml", model)?;
    let lake = Lake::embedded(&azenha)?;
    let items = sample("itens_pedido");
    azenha.run_once(&azenha.path("lake"), &[("itens_pedido", &items)], &["--strict"])?;
    let rows = replayed(&azenha.topic("loja.public.itens_pedido")?);
    let products: BTreeSet<String> = rows.values().map(|row| row["produto_id"].to_string()).collect();
    let of_products = lake.paths("gold/itens_pedido")?.len();
    assert!(of_products >= products.len() && products.len() > 100, "{of_products} of {}", products.len());
    let Some(query) = lake.duckdb() else { return Ok(()) };
    let counted =
        query("select count(*) from read_parquet('gold/itens_pedido/*/*.parquet', hive_partitioning = true)")?;
    assert_eq!(counted, [json!([rows.len()])]);
    Ok(())
}

/// Where a host dies, and how often it comes by before it does.
const DEATHS: [(&str, u32); 8] = [
    ("commit.prepared", 3),
    ("objects.promised", 1),
    ("objects.promised", 4),
    ("objects.put", 1),
    ("objects.put", 3),
    ("objects.put", 8),
    ("commit.done", 5),
    ("lane.restored", 2),
];

#[test]
fn a_host_that_dies_anywhere_in_a_cut_leaves_nothing_half_or_twice() -> Result<()> {
    let (pedidos, produtos) = (sample("pedidos"), sample("produtos"));
    let inputs: [(&str, &Path); 2] = [("pedidos", &pedidos), ("produtos", &produtos)];
    let clean = Recorded::new()?;
    clean.run(&inputs)?;
    let gold = clean.lake.contents("gold/pedidos")?;
    let dying = Recorded::new()?;
    let mut deaths = 0;
    for (point, nth) in DEATHS {
        let failpoint = format!("{point}:{nth}");
        let arguments = dying.azenha.run_arguments(&repository().join("pipelines/lake"), &inputs, &["--once"]);
        let finished = dying.azenha.run_with(arguments, &[("AZENHA_FAILPOINT", &failpoint)])?;
        deaths += u32::from(!finished.status.success());
    }
    assert!(deaths >= 5, "the host died {deaths} times");
    dying.run(&inputs)?;
    assert!(dying.lake.contents("gold/pedidos")? == gold, "gold is another one");

    let events = clean.azenha.topic("loja.public.pedidos")?.len();
    for layer in ["raw", "bronze", "silver"] {
        let announced = dying.azenha.topic(&format!("lake_{layer}_pedidos"))?;
        let found: BTreeSet<String> = dying.lake.paths(&format!("{layer}/pedidos"))?.into_iter().collect();
        let told: Vec<String> =
            announced.iter().map(|record| record["value"]["path"].as_str().unwrap_or("").to_owned()).collect();
        assert_eq!(told.len(), found.len(), "{layer}: an object was announced twice, or not at all");
        assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), found, "{layer}");
        let rows: u64 = announced.iter().filter_map(|record| record["value"]["rows"].as_u64()).sum();
        let tombstones = if layer == "raw" { 0 } else { tombstones(&clean)? };
        assert_eq!(rows as usize, events - tombstones, "{layer}: rows");
    }
    Ok(())
}

fn tombstones(recorded: &Recorded) -> Result<usize> {
    let captured = recorded.azenha.topic("loja.public.pedidos")?;
    Ok(captured.iter().filter(|record| record["value"].is_null()).count())
}
