//! What is in a bundle, and what is not; repaired plugins; bundles that somebody has tampered with.

use std::fs;

use anyhow::{Context, Result, ensure};
use azenha_e2e::Azenha;

use crate::helpers::{Elsewhere, Scene, component, id, text};

const EVENTS: &str = "
name: events
sources:
  events:
    topic: events_in
    schema:
      source: text
      kind: text
      email: { type: text?, pii: true }
      card: { type: text?, pii: true }
      city: text?
steps:
  enriched:
    transform: enrich-event
    from: events
    columns: [source, kind, email]
    config: { personal: { email: hash }, salt: '${PLANTED}' }
sinks:
  out: { from: enriched, topic: events_out }
";

const SECRET: &str = "planted secret of sixteen bytes";

/// What must be in no bundle: the value of a variable, personal data, and columns that were not granted.
const PLANTED: [&str; 4] = [SECRET, "planted@example.com", "planted card", "planted city"];

#[test]
fn a_bundle_holds_no_secret_no_personal_data_and_no_column_that_was_not_granted() -> Result<()> {
    let environment = [("PLANTED", SECRET)];
    let mut scene = Scene::start_in(Azenha::new()?, &[("events", EVENTS)], "{}", &environment)?;
    let event =
        r#"{"source":"site","kind":"wrong","email":"planted@example.com","card":"planted card","city":"planted city"}"#;
    scene.send("events_in", &[event])?;
    let letters = scene.await_letters("events", 1)?;
    let bundle = scene.bundle("events", id(&letters[0]))?;
    let bytes = fs::read(&bundle)?;
    for planted in PLANTED {
        let is_there = bytes.windows(planted.len()).any(|window| window == planted.as_bytes());
        assert!(!is_there, "the bundle holds `{planted}`");
        assert!(!scene.show("events", id(&letters[0]))?.to_string().contains(planted), "the letter holds `{planted}`");
    }
    assert!(bytes.windows(10).any(|window| window == b"${PLANTED}"), "the variable stands by name");

    let elsewhere = Elsewhere::new()?;
    let without = elsewhere.replay(&bundle, &[], &[])?;
    assert_eq!(without.status.code(), Some(2), "{}", text(&without));
    assert!(text(&without).contains("`PLANTED` is not set"), "{}", text(&without));
    let with = elsewhere.replay(&bundle, &[], &[("PLANTED", "another one of sixteen bytes")])?;
    assert!(with.status.success() && text(&with).contains("`email` is personal data"), "{}", text(&with));

    // The host has the value, and does not give it to what may be any code.
    let here = scene.replay("events", id(&letters[0]), "")?;
    assert!(here.status == 409 && here.body.contains("`PLANTED` is not set"), "{here:?}");
    assert!(PLANTED.iter().all(|planted| !here.body.contains(planted)), "{here:?}");
    Ok(())
}

const CLICKS: &str = "
name: clicks
sources:
  clicks: { topic: clicks_in, schema: { campaignId: text?, userId: text?, event: text?, timestamp: timestamp(ms) } }
steps:
  enriched: { transform: enrich-click, from: clicks }
  counts: { aggregate: hostile-count, from: counted, by: [campaignId] }
sinks:
  out: { from: enriched, topic: clicks_out }
  counts_out: { from: counts, topic: counts_out, key: [campaignId] }
";

/// A host whose plugins refuse a click, and a group of clicks; with the ids of the letters.
fn refused() -> Result<(Scene, String, String)> {
    let source = "  counted: { topic: counted_in, partitions: 1, schema: { campaignId: text } }\nsteps:";
    let mut scene = Scene::start(&[("clicks", &CLICKS.replace("steps:", source))], "{}")?;
    scene.send("clicks_in", &[r#"{"campaignId":" ","event":"cart","timestamp":120000}"#])?;
    scene.send("counted_in", &[r#"{"campaignId":"refuse finish"}"#])?;
    let letters = scene.await_letters("clicks", 2)?;
    let of = |step: &str| {
        let found = letters.iter().find(|letter| letter["step"] == step);
        found.map(|letter| id(letter).to_owned()).context(step.to_owned())
    };
    let (row, group) = (of("enriched")?, of("counts")?);
    Ok((scene, row, group))
}

#[test]
fn a_repaired_plugin_goes_through_and_shows_its_rows() -> Result<()> {
    let (scene, row, group) = refused()?;
    let elsewhere = Elsewhere::new()?;
    let bundle = scene.bundle("clicks", &row)?;
    let repaired = elsewhere.replay(&bundle, &["--with", &component("bench-clicks")], &[])?;
    assert!(repaired.status.success(), "{}", text(&repaired));
    assert!(
        text(&repaired).contains(r#""event":"CART""#) && text(&repaired).contains(r#""minute":2"#),
        "{}",
        text(&repaired)
    );

    let same = elsewhere.replay(&bundle, &["--with", &component("enrich-click")], &[])?;
    assert_eq!(same.status.code(), Some(1), "{}", text(&same));
    assert!(text(&same).contains("does not go through"), "{}", text(&same));

    // Another world, and one that reads what nobody had read.
    for other in ["click-count", "bench-columns"] {
        let other = elsewhere.replay(&bundle, &["--with", &component(other)], &[])?;
        assert_eq!(other.status.code(), Some(2), "{}", text(&other));
    }
    let bundle = scene.bundle("clicks", &group)?;
    let repaired = elsewhere.replay(&bundle, &["--with", &component("click-count")], &[])?;
    assert!(repaired.status.success() && text(&repaired).contains("click_count"), "{}", text(&repaired));
    Ok(())
}

#[test]
fn the_code_that_failed_is_found_though_another_was_built_since() -> Result<()> {
    let azenha = Azenha::empty()?;
    let plugins = azenha.path("clicks/plugins");
    fs::create_dir_all(&plugins)?;
    fs::copy(component("enrich-click"), plugins.join("mine.wasm"))?;
    let yaml = CLICKS
        .replace("enrich-click", "mine")
        .replace("  counts: { aggregate: hostile-count, from: counted, by: [campaignId] }\n", "");
    let yaml = yaml.replace("  counts_out: { from: counts, topic: counts_out, key: [campaignId] }\n", "");
    let mut scene = Scene::start_in(azenha, &[("clicks", &yaml)], "{}", &[])?;
    scene.send("clicks_in", &[r#"{"campaignId":"","timestamp":120000}"#])?;
    let letter = id(&scene.await_letters("clicks", 1)?[0]).to_owned();
    scene.host.terminate()?;
    fs::copy(component("bench-clicks"), plugins.join("mine.wasm"))?;
    let yaml =
        yaml.replace("campaignId: text?, userId: text?, event: text?", "campaignId: text, userId: text, event: text");
    scene.azenha.write("clicks/pipeline.yaml", &yaml)?;
    scene.restart(&["clicks"], &[])?;
    let replayed = Elsewhere::new()?.replay(&scene.bundle("clicks", &letter)?, &[], &[])?;
    assert!(replayed.status.success(), "{}", text(&replayed));
    Ok(())
}

#[test]
fn a_bundle_that_was_tampered_with_is_refused_with_a_reason() -> Result<()> {
    let (scene, row, _) = refused()?;
    let whole = fs::read(scene.bundle("clicks", &row)?)?;
    let elsewhere = Elsewhere::new()?;
    let refuse = |bytes: &[u8], what: &str| -> Result<()> {
        let refused = elsewhere.replay_bytes(bytes)?;
        ensure!(refused.status.code() == Some(2), "{what}: {}", text(&refused));
        ensure!(text(&refused).contains("bundle"), "{what}: {}", text(&refused));
        Ok(())
    };
    refuse(b"", "nothing")?;
    refuse(&whole[..whole.len() / 2], "half of it")?;
    let mut random = fastrand::Rng::with_seed(8);
    let ends = whole.len() - 2 * 512 - 512;
    for turn in 0..40 {
        let mut flipped = whole.clone();
        // Neither what fills the files up to whole blocks matters, nor owners and times: what is read is checked.
        let place = random.usize(0..ends);
        flipped[place] ^= 1 << random.u32(0..8);
        let replayed = elsewhere.replay_bytes(&flipped)?;
        let code = replayed.status.code();
        ensure!(matches!(code, Some(0 | 2)), "flip {turn} at {place}: {}", text(&replayed));
    }
    let large = vec![0; (32 << 20) + 1];
    refuse(&large, "too much")
}
