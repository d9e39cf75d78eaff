//! Tables on real Kafka: streams that are looked up in one, readers that come later, and a document that no record holds.

use std::collections::BTreeMap;

use anyhow::Result;
use azenha_e2e::kafka::Kafka;
use azenha_e2e::{Azenha, OwnKafka};
use serde_json::{Value, json};

const PIPELINE: &str = "
name: shop
sources:
  pedidos:
    topic: pedidos
    key: [id]
    partitioned_by: [id]
    partitions: 2
    schema: { id: int64, cliente_id: int64, loja_id: int64, criado_em: timestamp(ms) }
  itens:
    topic: itens
    key: [id]
    schema:
      id: int64
      pedido_id: int64
      produto_id: int64
      produto: text?
      departamento: text?
      marca: text?
      quantidade: int64
      valor: decimal(2)
      desconto: decimal(2)
  clicks: { topic: clicks, partitions: 3, schema: { id: int64, pedido: int64? } }
steps:
  made:
    assemble: order-document
    tables: { pedidos: { from: pedidos, by: [id] }, itens: { from: itens, by: [pedido_id] } }
  of_client: { lookup: pedidos, from: clicks, on: { pedido: id }, columns: [cliente_id] }
sinks:
  documents: { from: made, topic: documents, key: [id] }
  named_clicks: { from: of_client, topic: named_clicks }
";

const ORDERS: i64 = 50;
const CLICKS: i64 = 3_000;

/// The first order has so many lines that its document is larger than a record may be.
fn lines() -> String {
    let text = "x".repeat(1_000);
    let line = |id: i64| {
        let pedido = if id < 1_500 { 0 } else { id % ORDERS };
        json!({
            "id": id, "pedido_id": pedido, "produto_id": 1, "produto": text, "quantidade": 1, "valor": "1.50", "desconto": 0
        })
    };
    (0..1_600).map(|id| line(id).to_string() + "\n").collect()
}

/// The last values of a topic by their id, and how many records there are.
fn by_id(kafka: &Kafka, topic: &str) -> Result<(BTreeMap<i64, Value>, usize)> {
    let values = kafka.read(topic)?.iter().map(|record| record.json()).collect::<Result<Vec<Value>>>()?;
    let count = values.len();
    Ok((values.into_iter().map(|value| (value["id"].as_i64().unwrap_or(-1), value)).collect(), count))
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_find_the_whole_table_new_readers_are_told_and_a_document_too_large_is_a_dead_letter() -> Result<()> {
    let Some(cluster) = OwnKafka::start(1)? else { return Ok(()) };
    let kafka = Kafka::at(&cluster.brokers()?);
    // Made by somebody else: it holds what the broker holds by default, a mebibyte a record.
    kafka.create_topic("documents", 2).await?;
    let azenha = Azenha::new()?;
    let config = format!("log: {{ kafka: {{ brokers: '{}' }} }}", cluster.brokers()?);
    let config = azenha.write("host.yaml", &config)?.display().to_string();
    let order = |id: i64| json!({ "id": id, "cliente_id": 7 + id, "loja_id": 1, "criado_em": id }).to_string() + "\n";
    let click = |id: i64| json!({ "id": id, "pedido": (id % 10 > 0).then_some(id % ORDERS) }).to_string() + "\n";
    let orders = azenha.write("orders.ndjson", &(0..ORDERS).map(order).collect::<String>())?;
    let clicks = azenha.write("clicks.ndjson", &(0..CLICKS).map(click).collect::<String>())?;
    let lines = azenha.write("lines.ndjson", &lines())?;
    let pipeline = azenha.write("shop/pipeline.yaml", PIPELINE)?;
    let inputs = [("pedidos", orders.as_path()), ("itens", &lines), ("clicks", &clicks)];
    azenha.run_once(&pipeline, &inputs, &["--config", &config])?;

    let (named, count) = by_id(&kafka, "named_clicks")?;
    assert_eq!((named.len() as i64, count as i64), (CLICKS, CLICKS));
    for (id, click) in &named {
        assert_eq!(click["cliente_id"], json!((id % 10 > 0).then_some(7 + id % ORDERS)), "{click}");
    }
    let (documents, _) = by_id(&kafka, "documents")?;
    assert!((1..ORDERS).all(|id| documents.contains_key(&id)), "{:?}", documents.keys());
    let letters = kafka.read("shop.dead_letters")?;
    let reasons = letters.iter().map(|letter| letter.json()).collect::<Result<Vec<Value>>>()?;
    assert!(!reasons.is_empty());
    for letter in &reasons {
        let reason = letter["reason"].as_str().unwrap_or_default();
        assert!(
            letter["cause"] == "refused" && reason.contains(r#"{"id":0}"#) && reason.contains("`documents`"),
            "{letter}"
        );
    }

    let more = PIPELINE.replace(
        "\nsinks:",
        "\n  joined: { join: itens, with: pedidos, on: { pedido_id: id }, columns: [cliente_id] }\nsinks:\n  \
         joined_lines: { from: joined, topic: joined, key: [id], columns: [id, cliente_id] }",
    );
    let more = azenha.write("more/pipeline.yaml", &more)?;
    azenha.run_once(&more, &[], &["--config", &config])?;
    assert_eq!(by_id(&kafka, "joined")?.0.len(), 1_600);
    assert_eq!(by_id(&kafka, "named_clicks")?.1 as i64, CLICKS, "who knew everything is told nothing");
    Ok(())
}
