//! The orders pipeline over recorded change events, embedded.

use anyhow::Result;
use azenha_e2e::orders::{Views, recount};
use azenha_e2e::{Azenha, Database, repository};

#[tokio::test(flavor = "multi_thread")]
async fn recorded_events_make_the_documents_that_sql_makes_of_them() -> Result<()> {
    let (azenha, pipeline) = (Azenha::new()?, repository().join("pipelines/orders"));
    let inputs = ["pedidos", "itens_pedido", "produtos"]
        .map(|source| (source, pipeline.join(format!("sample/{source}.records.ndjson.gz"))));
    azenha.run_once(&pipeline, &inputs.each_ref().map(|(source, file)| (*source, file.as_path())), &["--strict"])?;
    let wanted = recount(&pipeline.join("sample")).await?;
    let mut database = Database::open(&azenha.data().join("documentos.db")).await?;
    assert_eq!(wanted.difference(&Views::in_sqlite(&mut database).await?), None);
    assert!(wanted.orders.len() > 100, "{}", wanted.orders.len());
    Ok(())
}
