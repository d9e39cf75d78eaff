//! Letters that the host decides once more by itself, with the same plugin and with others.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use azenha_e2e::{Azenha, get, send};

use crate::helpers::{Scene, component, id};

const WISHES: &str = "
name: wishes
sources:
  wishes: { topic: wishes_in, partitions: 1, schema: { campaignId: text } }
steps:
  counts: { aggregate: hostile-count, from: wishes, by: [campaignId] }
sinks:
  out: { from: counts, topic: counts_out, key: [campaignId] }
";

const TOKENS: &str = "http: { tokens: [{ name: deployer, token: deployer-0123456789, role: deployer }] }";

/// Uploads plugins, each under a name, into the log of a host that is started for it.
fn upload(plugins: &[(&str, &str)]) -> Result<Azenha> {
    let azenha = Azenha::new()?;
    let config = azenha.write("tokens.yaml", TOKENS)?.display().to_string();
    let mut host = azenha.start(&[], &["--config", &config])?;
    for (plugin, name) in plugins {
        let headers = [("Authorization", "Bearer deployer-0123456789"), ("Content-Type", "application/wasm")];
        let pushed = send(&host.address, "PUT", &format!("/plugins/{name}"), &headers, &fs::read(component(plugin))?)?;
        ensure!(pushed.status == 200, "{pushed:?}");
    }
    host.terminate()?;
    Ok(azenha)
}

#[test]
fn a_repaired_plugin_that_was_uploaded_gives_the_row_and_others_do_not() -> Result<()> {
    let azenha = upload(&[("click-count", "mended"), ("hostile-count", "as-before"), ("filter", "of-rows")])?;
    let mut scene = Scene::start_in(azenha, &[("wishes", WISHES)], "{}", &[])?;
    scene.send("wishes_in", &[r#"{"campaignId":"fail finish"}"#, "no JSON"])?;
    let letters = scene.await_letters("wishes", 2)?;
    let of = |cause: &str| letters.iter().find(|letter| letter["cause"] == cause).map(id).context("no letter");
    let (failed, undecoded) = (of("failed")?, of("decode")?);

    let mended = scene.replay("wishes", failed, "?plugin=mended")?;
    ensure!(mended.status == 200, "{mended:?}");
    let mended = mended.json()?;
    let (outcome, with) = (&mended["outcome"], &mended["with"]);
    assert_eq!((&mended["reproduced"], &outcome["failure"]["kind"]), (&true.into(), &"trap".into()), "{mended}");
    assert_eq!(outcome["failure"]["message"], mended["letter"]["reason"], "{mended}");
    ensure!(outcome["failure"]["stack"].to_string().contains("hostile_count"), "a stack with names: {mended}");
    assert_eq!((&with["goes_through"], &with["outcome"]["row_count"]), (&true.into(), &1.into()), "{mended}");
    assert_eq!(with["outcome"]["rows"][0]["row"]["campaignId"], "fail finish", "{mended}");

    let as_before = scene.replay("wishes", failed, "?plugin=as-before")?.json()?;
    assert_eq!((&as_before["reproduced"], &as_before["with"]["goes_through"]), (&true.into(), &false.into()));
    let undecoded_again = scene.replay("wishes", undecoded, "")?.json()?;
    assert_eq!(undecoded_again["reproduced"], true, "{undecoded_again}");

    let answer = |letter: &str, query: &str| Ok::<_, anyhow::Error>(scene.replay("wishes", letter, query)?.status);
    assert_eq!(answer(failed, "?plugin=of-rows")?, 409, "a plugin of another kind");
    assert_eq!(answer(undecoded, "?plugin=mended")?, 409, "no plugin was called");
    assert_eq!(answer(failed, "?plugin=absent")?, 422);
    assert_eq!(answer(failed, "?with=mended")?, 400);
    assert_eq!(answer("0/wishes/counts/wishes_in/0/7/0", "")?, 404);
    let audit = get(&scene.host.address, "/audit")?;
    ensure!(audit.status == 200 && !audit.body.contains("replay"), "nothing was changed: {audit:?}");
    ensure!(scene.list("wishes", "")?.len() == 2, "nothing was decided");
    Ok(())
}

const ENDLESS: &str = "
name: endless
sources:
  rows: { topic: rows_in, partitions: 1, schema: { campaignId: text } }
  others: { topic: others_in, partitions: 1, schema: { campaignId: text } }
steps:
  looped: { transform: hostile, from: rows, config: { do: endless_loop } }
  copied: { transform: hostile, from: others, config: { do: behave } }
sinks:
  looped_out: { from: looped, topic: looped_out }
  copied_out: { from: copied, topic: copied_out }
";

#[test]
fn many_replays_of_a_plugin_that_never_returns_keep_nothing_else_from_its_work() -> Result<()> {
    let mut scene = Scene::start(&[("endless", ENDLESS)], "limits: { plugin_time: 300ms }\n")?;
    scene.send("rows_in", &[r#"{"campaignId":"a"}"#])?;
    let letter = id(&scene.await_letters("endless", 1)?[0]).to_owned();
    let sent = &scene;
    thread::scope(|scope| {
        let replays: Vec<_> = (0..5).map(|_| scope.spawn(|| sent.replay("endless", &letter, ""))).collect();
        for _ in 0..20 {
            let asked = Instant::now();
            ensure!(get(&sent.host.address, "/pipelines")?.status == 200);
            ensure!(asked.elapsed() < Duration::from_secs(5), "the host answers after {:?}", asked.elapsed());
            sent.send("others_in", &[r#"{"campaignId":"b"}"#])?;
        }
        for replay in replays {
            let answer = replay.join().map_err(|_| anyhow!("a request panicked"))??;
            let report = answer.json()?;
            ensure!(report["reproduced"] == true && report["outcome"]["failure"]["kind"] == "timeout", "{answer:?}");
        }
        anyhow::Ok(())
    })?;
    let address = scene.host.address.clone();
    scene.host.wait_until("the others went through", |_| {
        let shown = get(&address, "/pipelines/endless")?.json()?;
        let tasks = shown["tasks"].as_array().context("no tasks")?;
        let lanes = tasks.iter().filter(|task| task["task"] == "copied_out").flat_map(|task| task["lanes"].as_array());
        Ok(lanes.flatten().any(|lane| lane["records"] == 20 && lane["lag"] == 0))
    })
}
