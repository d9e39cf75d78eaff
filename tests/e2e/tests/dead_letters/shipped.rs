//! Every kind of dead letter that the shipped pipelines make, from bad input to a replay elsewhere that says the same.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, Database, repository};
use serde_json::Value;

use crate::helpers::{Elsewhere, Scene, id, text};

/// What it takes to decide once more.
#[derive(Debug, Clone, Copy)]
enum Takes {
    /// The bundle.
    Nothing,
    /// The bundle with the record, whose source has personal data.
    Record,
    /// The bundle; but some columns that a plugin read are masked in it.
    Values,
    /// The database of a connection, which refused the row itself.
    Store(&'static str),
}

/// A letter that must be there: step, cause, a part of the reason, and what it takes to come to it once more.
type Case = (&'static str, &'static str, &'static str, Takes);

/// A pipeline, and what makes its letters.
#[derive(Default)]
struct Shipped {
    name: &'static str,
    /// The folder of the repository's pipelines.
    folder: &'static str,
    /// Words of the file that are other ones here.
    words: &'static [(&'static str, &'static str)],
    /// Statements that make a database refuse a row, by the name of its connection.
    triggers: &'static [(&'static str, &'static str)],
    /// Records by their topics.
    records: Vec<(&'static str, String)>,
    /// What must come of them.
    cases: &'static [Case],
}

impl Shipped {
    async fn check(&self) -> Result<()> {
        let mut scene = self.start()?;
        for (connection, trigger) in self.triggers {
            let file = scene.azenha.data().join(format!("{connection}.db"));
            let mut database = Database::open(&file).await?;
            database.execute(trigger).await.with_context(|| format!("{connection}: {trigger}"))?;
        }
        for (topic, record) in &self.records {
            scene.send(topic, &[record])?;
        }
        for case in self.cases {
            let letter = await_letter(&mut scene, self.name, case)?;
            self.replay(&scene, &letter, case.3).with_context(|| format!("{}: {case:?}: {letter}", self.name))?;
        }
        Ok(())
    }

    /// A host that runs the pipeline, once its tables are there.
    fn start(&self) -> Result<Scene> {
        let folder = repository().join("pipelines").join(self.folder);
        if self.words.is_empty() {
            return Scene::of_files(Azenha::new()?, &[folder]);
        }
        let mut yaml = std::fs::read_to_string(folder.join("pipeline.yaml"))?;
        for (word, other) in self.words {
            ensure!(yaml.contains(word), "{}: there is no {word}", self.name);
            yaml = yaml.replace(word, other);
        }
        Scene::start(&[(self.name, &yaml)], "{}")
    }

    fn replay(&self, scene: &Scene, letter: &Value, takes: Takes) -> Result<()> {
        let (letter, reason) = (id(letter), letter["reason"].as_str().context("no reason")?);
        let here = scene.replay(self.name, letter, "")?;
        let is_seen = here.status == 200 && here.json()?["reproduced"] == true;
        // The host neither puts personal data into a bundle nor asks a store.
        let is_possible = matches!(takes, Takes::Nothing | Takes::Values);
        ensure!(if is_possible { is_seen } else { here.status == 409 }, "{here:?}");
        match takes {
            Takes::Nothing => reproduce(&scene.bundle(self.name, letter)?, &[], reason).map(drop),
            Takes::Record => {
                let refused = scene.command(&["bundle", self.name, letter])?;
                ensure!(
                    refused.status.code() == Some(1) && refused.text().contains("--personal"),
                    "{}",
                    refused.text()
                );
                reproduce(&scene.personal_bundle(self.name, letter)?, &[], reason).map(drop)
            }
            Takes::Values => {
                let masked = reproduce(&scene.bundle(self.name, letter)?, &[], reason)?;
                ensure!(masked.contains("is personal data") && masked.contains("may differ"), "{masked}");
                let whole = reproduce(&scene.personal_bundle(self.name, letter)?, &[], reason)?;
                ensure!(!whole.contains("is personal data"), "{whole}");
                Ok(())
            }
            Takes::Store(connection) => {
                let bundle = scene.bundle(self.name, letter)?;
                let alone = Elsewhere::new()?.replay(&bundle, &[], &[])?;
                let said = text(&alone);
                ensure!(alone.status.code() == Some(2) && said.contains("--store") && said.contains(reason), "{said}");
                let url = format!("sqlite:{}", scene.azenha.data().join(format!("{connection}.db")).display());
                reproduce(&bundle, &["--store", &url], reason).map(drop)
            }
        }
    }
}

/// Replays a bundle on a machine that has nothing else; what it printed, if that is the reason once more.
fn reproduce(bundle: &Path, more: &[&str], reason: &str) -> Result<String> {
    let replayed = Elsewhere::new()?.replay(bundle, more, &[])?;
    let said = text(&replayed);
    ensure!(replayed.status.success(), "{said}");
    let (_, again) = said.split_once("\nreproduced").with_context(|| said.clone())?;
    ensure!(again.contains(reason), "not the same reason: {said}");
    Ok(said)
}

fn await_letter(scene: &mut Scene, pipeline: &str, case: &Case) -> Result<Value> {
    let (step, cause, reason, _) = case;
    let path = format!("/pipelines/{pipeline}/dead-letters?limit=200&step={step}&cause={cause}");
    let mut found = None;
    scene.host.wait_until(&format!("{pipeline} has a letter {case:?}"), |host| {
        let letters = azenha_e2e::get(&host.address, &path)?.json()?["letters"].take();
        let is_it = |letter: &&Value| letter["reason"].as_str().is_some_and(|said| said.contains(reason));
        found = letters.as_array().into_iter().flatten().find(is_it).cloned();
        Ok(found.is_some())
    })?;
    found.context("it was seen")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_clickstream() -> Result<()> {
    let click = |campaign: &str, minute: i64| {
        ("click_events", format!(r#"{{"campaignId":{campaign},"timestamp":{}}}"#, minute * 60_000))
    };
    Shipped {
        name: "clickstream",
        folder: "clickstream",
        words: &[("partitions: 4", "partitions: 1")],
        triggers: &[(
            "warehouse",
            "CREATE TRIGGER ours BEFORE INSERT ON click_counts WHEN NEW.campaign_id = 'unwanted'
             BEGIN SELECT RAISE(ABORT, 'no such campaign is ours'); END",
        )],
        records: vec![
            click("\"a\"", 1_000),
            click("\"unwanted\"", 2_000),
            click("\"a\"", 1_000),
            click("null", 2_000),
            ("click_events", "{\"campaignId\":7".to_owned()),
            ("click_events", r#"{"campaignId":"a","timestamp":"soon"}"#.to_owned()),
        ],
        cases: &[
            ("click_counts_table", "decode", "", Takes::Nothing),
            ("enriched", "rejected", "", Takes::Nothing),
            ("click_counts_table", "late", "the watermark is at", Takes::Nothing),
            ("warehouse", "refused", "no such campaign", Takes::Store("warehouse")),
        ],
    }
    .check()
    .await
}

/// A partition that was silent comes back with what has closed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn of_windows_that_closed_elsewhere() -> Result<()> {
    let shipped = Shipped {
        name: "clickstream",
        folder: "clickstream",
        words: &[("lateness: 30s", "lateness: 30s, idle_after: 1s"), ("partitions: 4", "partitions: 2")],
        ..Shipped::default()
    };
    let mut scene = shipped.start()?;
    let click = |minute: i64| format!(r#"{{"campaignId":"a","timestamp":{}}}"#, minute * 60_000);
    scene.send("click_events", &[&click(2_000)])?;
    // A thousand records go to one partition, the next ones to another.
    let late = format!("{}\n", click(10)).repeat(1_000);
    let path = "/pipelines/clickstream/dead-letters?cause=window_closed";
    let mut letter = None;
    scene.host.wait_until("a window had closed", |host| {
        // A partition that is quiet for longer than `idle_after` holds no window open.
        std::thread::sleep(Duration::from_secs(3));
        let answer = azenha_e2e::post(&host.address, "/topics/click_events/records", "application/x-ndjson", &late)?;
        ensure!(answer.status == 200, "{answer:?}");
        letter = azenha_e2e::get(&host.address, path)?.json()?["letters"].get(0).cloned();
        Ok(letter.is_some())
    })?;
    shipped.replay(&scene, &letter.context("it was seen")?, Takes::Nothing)
}

/// A change as Debezium writes it.
fn change(table: &'static str, op: &str, position: u64, after: &str) -> (&'static str, String) {
    let source = format!(r#"{{"connector":"postgresql","ts_ms":1,"snapshot":"false","txId":1,"lsn":{position}}}"#);
    (table, format!(r#"{{"before":null,"after":{after},"source":{source},"op":"{op}","ts_ms":1}}"#))
}

const PEDIDOS: &str = "loja.public.pedidos";
const ITENS: &str = "loja.public.itens_pedido";
const PRODUTOS: &str = "loja.public.produtos";

fn pedido(number: u64) -> (&'static str, String) {
    change(
        PEDIDOS,
        "c",
        number,
        &format!(r#"{{"id":{number},"cliente_id":1,"loja_id":1,"criado_em":1483318921000000}}"#),
    )
}

fn item(number: u64, pedido: u64, valor: &str) -> (&'static str, String) {
    let after = format!(
        r#"{{"id":{number},"pedido_id":{pedido},"produto_id":5,"quantidade":1,"valor":{valor},"desconto":0.00}}"#
    );
    change(ITENS, "c", number, &after)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_orders() -> Result<()> {
    let most = format!("{}.99", "9".repeat(36));
    let unavailable = r#"{"id":4,"nome":"__debezium_unavailable_value","departamento":"D","marca":null}"#;
    Shipped {
        name: "orders",
        folder: "orders",
        words: &[("    assemble: order-total\n", "    assemble: order-total\n    max_group_rows: 3\n")],
        triggers: &[(
            "documentos",
            "CREATE TRIGGER ours BEFORE INSERT ON Pedido WHEN NEW._id = '10'
             BEGIN SELECT RAISE(ABORT, 'no such order is ours'); END",
        )],
        records: vec![
            (PRODUTOS, "{\"op\":".to_owned()),
            change(PRODUTOS, "u", 1, unavailable),
            // Two lines whose sum is too large.
            item(71, 7, &most),
            item(72, 7, &most),
            pedido(7),
            // One line of more digits than documents have.
            item(81, 8, &most),
            pedido(8),
            item(91, 9, "1.00"),
            item(92, 9, "1.00"),
            item(93, 9, "1.00"),
            pedido(9),
            pedido(10),
        ],
        cases: &[
            ("produtos", "decode", "JSON", Takes::Nothing),
            ("produtos", "decode", "left out nome", Takes::Nothing),
            ("documento", "rejected", "too large", Takes::Nothing),
            ("total", "rejected", "too large", Takes::Nothing),
            ("total", "rejected", "the group has 4 rows", Takes::Nothing),
            ("documentos", "refused", "digits", Takes::Nothing),
            ("totais", "refused", "digits", Takes::Nothing),
            ("documentos", "refused", "no such order", Takes::Store("documentos")),
        ],
    }
    .check()
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_lake() -> Result<()> {
    let after = |id: u32, at: &str| format!(r#"{{"id":{id},"cliente_id":1,"loja_id":1,"criado_em":{at}}}"#);
    Shipped {
        name: "lake-pedidos",
        folder: "lake",
        records: vec![
            (PEDIDOS, "{\"op\":".to_owned()),
            change(PEDIDOS, "c", 1, &after(1, "\"soon\"")),
            // No time that anything can hold.
            change(PEDIDOS, "c", 2, &after(2, "9000000000000000000")),
        ],
        cases: &[
            ("bronze", "decode", "JSON", Takes::Nothing),
            ("bronze", "decode", "soon", Takes::Nothing),
            ("bronze", "decode", "years", Takes::Nothing),
        ],
        ..Shipped::default()
    }
    .check()
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_commerce() -> Result<()> {
    let order = |id: &str, quantity: u32| {
        let item =
            format!(r#"{{"id":"1","productId":"2","name":"n","seller":"s","quantity":{quantity},"sellingPrice":5}}"#);
        let customer = r#"{"id":"c1","document":"58448838890"}"#;
        let at = "2026-01-31T12:00:00Z";
        let more = format!(r#""value":5,"items":[{item}],"clientProfileData":{customer},"status":"handling""#);
        ("commerce_orders", format!(r#"{{"orderId":"{id}","creationDate":"{at}","lastChange":"{at}",{more}}}"#))
    };
    let interaction = |kind: &str| {
        let more = r#""customer":"c1","at":"2026-01-31T12:00:00Z""#;
        ("commerce_interactions", format!(r#"{{"id":"i-{kind}","type":"{kind}",{more},"query":"q"}}"#))
    };
    Shipped {
        name: "commerce",
        folder: "commerce",
        words: &[],
        triggers: &[(
            "commerce",
            "CREATE TRIGGER ours BEFORE INSERT ON orders WHEN NEW.order_id = 'unwanted'
             BEGIN SELECT RAISE(ABORT, 'no such order is ours'); END",
        )],
        records: vec![
            order("good", 0),
            order("unwanted", 1),
            ("commerce_orders", "{\"orderId\":7".to_owned()),
            interaction("search"),
            interaction("dance"),
            ("commerce_interactions", "{\"id\":7}".to_owned()),
        ],
        cases: &[
            ("orders", "decode", "", Takes::Record),
            ("order_lines", "decode", "", Takes::Record),
            ("linhas", "rejected", "a quantity below 1", Takes::Nothing),
            ("orders", "refused", "no such order", Takes::Store("commerce")),
            ("interactions", "decode", "", Takes::Nothing),
            ("vistas", "rejected", "none of view", Takes::Nothing),
        ],
    }
    .check()
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_customer_data_platform() -> Result<()> {
    let event = |id: &str, kind: &str| {
        let more = r#""source":"site","at":"2026-01-31T12:00:00Z","email":"planted@example.com","cookie":"c""#;
        ("cdp_events", format!(r#"{{"id":"{id}","type":"{kind}",{more}}}"#))
    };
    Shipped {
        name: "cdp",
        folder: "cdp",
        words: &[],
        triggers: &[
            (
                "cdp",
                "CREATE TRIGGER ours BEFORE INSERT ON eventos WHEN NEW.id = 'unwanted'
                 BEGIN SELECT RAISE(ABORT, 'no such event is ours'); END;
                 CREATE TRIGGER nobody BEFORE INSERT ON perfis BEGIN SELECT RAISE(ABORT, 'nobody is ours'); END",
            ),
            (
                "busca",
                "CREATE TRIGGER ours BEFORE INSERT ON eventos WHEN NEW.id = 'unwanted'
                 BEGIN SELECT RAISE(ABORT, 'no such event is ours'); END",
            ),
        ],
        records: vec![
            event("good", "view"),
            event("unwanted", "view"),
            event("wrong", "dance"),
            ("cdp_events", r#"{"id":7}"#.to_owned()),
            (
                "cdp_events",
                r#"{"id":"early","type":"view","source":"site","at":"1970-01-01T00:00:00Z","cookie":"c"}"#.to_owned(),
            ),
            ("cdp_events", r#"{"id":"nobody","type":"view","source":"site","at":"2026-01-31T12:00:00Z"}"#.to_owned()),
        ],
        cases: &[
            ("enriched", "decode", "", Takes::Record),
            ("enriquecidos", "rejected", "none of", Takes::Values),
            ("enriquecidos", "rejected", "no time from", Takes::Values),
            ("enriquecidos", "rejected", "nobody's", Takes::Values),
            ("eventos_db", "refused", "no such event", Takes::Store("cdp")),
            ("eventos_es", "refused", "no such event", Takes::Store("busca")),
            ("perfis", "refused", "nobody is ours", Takes::Store("cdp")),
        ],
    }
    .check()
    .await
}
