//! Letters of a batch: found, shown and fetched as those of what runs all the time, once its run has ended.

use anyhow::{Context, Result};
use azenha_e2e::warehouse::Scene as Past;
use azenha_e2e::{post, repository};

use crate::helpers::{Elsewhere, Scene, id, path, text};

const WAREHOUSE: &str = "warehouse";

#[tokio::test(flavor = "multi_thread")]
async fn the_letters_of_a_batch_are_found_after_its_run_and_replayed_elsewhere() -> Result<()> {
    let past = Past::new(5)?;
    past.backfill(&[])?;
    let recount = past.past.recount()?.dead_letters;
    let scene = Scene::of_files(past.azenha, &[repository().join("pipelines/warehouse")])?;

    let letters = scene.list(WAREHOUSE, "limit=200")?;
    assert_eq!(letters.len(), recount.min(200));
    let of = |step: &str, cause: &str| -> Result<String> {
        let query = format!("step={step}&cause={cause}&limit=1");
        let found = scene.list(WAREHOUSE, &query)?;
        Ok(id(found.first().with_context(|| query.clone())?).to_owned())
    };
    let rejected = of("vistas", "rejected")?;
    for letter in [rejected.clone(), of("interactions", "decode")?, of("linhas", "rejected")?] {
        assert_eq!(scene.show(WAREHOUSE, &letter)?["letter"]["id"], letter);
        let replayed = Elsewhere::new()?.replay(&scene.bundle(WAREHOUSE, &letter)?, &[], &[])?;
        assert!(replayed.status.success() && text(&replayed).contains("\nreproduced"), "{letter}: {}", text(&replayed));
    }

    // An order has a person's document in it, and its line stands in an object: it is in no bundle.
    let personal = scene.command(&["bundle", WAREHOUSE, &of("order_states", "decode")?])?;
    assert_eq!(personal.status.code(), Some(1), "{}", personal.text());
    assert!(personal.text().contains("personal data"), "{}", personal.text());

    let refused = scene.decide(WAREHOUSE, &rejected, "retry")?;
    assert!(refused.status == 409 && refused.body.contains("is a batch"), "{refused:?}");
    assert_eq!(post(&scene.host.address, &path(WAREHOUSE, &rejected, "discard"), "application/json", "")?.status, 200);
    assert_ne!(of("vistas", "rejected").ok(), Some(rejected), "what was discarded is hidden");
    Ok(())
}
