//! Definitions: checked, versioned, kept.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use azenha_e2e::{Answer, Azenha, send};
use serde_json::json;

use crate::helpers::{
    ADMIN, COPY, COUNTED, READER, TOKENS, WRITER, await_number, await_state, call, change, click, client, put, said,
    show, start,
};

#[tokio::test(flavor = "multi_thread")]
async fn definitions_survive_a_kill_and_deleted_pipelines_stay_deleted() -> Result<()> {
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha)?;
    let created = put(&host, "copy", COPY, &[])?;
    assert_eq!((created.status, created.etag.as_deref()), (201, Some("\"1\"")), "{created:?}");
    let other =
        COPY.replace("name: copy", "name: other").replace("copy_output", "other_output").replace("rows", "others");
    assert_eq!(put(&host, "other", &other, &[])?.status, 201);
    await_state(&mut host, "copy", "running")?;
    click(&host, "copied", &["spring", "summer"])?;
    await_number(&azenha, "SELECT COUNT(*) FROM rows", 2).await?;
    let deleted = call(&host, ADMIN, "DELETE", "/pipelines/other", &[], "")?;
    assert!(deleted.status == 200 && deleted.json()?["note"].as_str().is_some_and(|note| note.contains("stay")));
    host.kill()?;

    let mut host = start(&azenha)?;
    assert_eq!(call(&host, READER, "GET", "/pipelines/other", &[], "")?.status, 404);
    let copy = show(&host, "/pipelines/copy")?;
    assert_eq!((&copy["version"], &copy["definition"]["text"]), (&json!(1), &json!(COPY)));
    assert_eq!(copy["definition"]["by"], "admin");
    await_state(&mut host, "copy", "running")?;
    click(&host, "copied", &["autumn"])?;
    await_number(&azenha, "SELECT COUNT(*) FROM rows", 3).await?;
    // One that is defined anew goes on where the deleted one stopped.
    let again = put(&host, "other", &other, &[("If-None-Match", "*")])?;
    assert_eq!((again.status, again.etag.as_deref()), (201, Some("\"3\"")), "{again:?}");
    await_number(&azenha, "SELECT COUNT(*) FROM others", 3).await
}

#[test]
fn a_wrong_definition_changes_nothing_and_says_where_it_is_wrong() -> Result<()> {
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha)?;
    assert_eq!(put(&host, "copy", COPY, &[])?.status, 201);
    await_state(&mut host, "copy", "running")?;
    let wrong = COPY.replace("{ from: clicks, connection", "{ from: klicks, connection");
    let refused = put(&host, "copy", &wrong, &[])?;
    assert_eq!(refused.status, 422, "{refused:?}");
    let found = &refused.json()?["diagnostics"][0];
    assert_eq!((&found["line"], &found["column"]), (&json!(6), &json!(17)), "{found}");
    assert!(found["help"].as_str().is_some_and(|help| help.contains("`clicks`")), "{found}");
    for (name, definition, status) in [
        ("another", COPY, 422),
        ("copy", "name: copy", 422),
        ("copy", &COPY.replace("topic: copied", "topic: azenha.definitions"), 422),
        ("copy", &COPY.replace("partitions: 2", "partitions: 3"), 422),
        ("copy", &format!("{COPY}# {}", "x".repeat(300 << 10)), 413),
    ] {
        assert_eq!(put(&host, name, definition, &[])?.status, status, "{name}: {:.100}", definition);
    }
    let no_yaml = call(&host, ADMIN, "PUT", "/pipelines/copy", &[("Content-Type", "text/plain")], COPY)?;
    assert_eq!(no_yaml.status, 415);
    let unknown_plugin = put(&host, "counted", COUNTED, &[])?;
    assert!(
        unknown_plugin.status == 422 && unknown_plugin.body.contains("azenha plugin push filter"),
        "{unknown_plugin:?}"
    );
    let copy = show(&host, "/pipelines/copy")?;
    assert_eq!((&copy["version"], &copy["state"]), (&json!(1), &json!("running")));
    assert_eq!(show(&host, "/pipelines")?.as_array().map(Vec::len), Some(1));
    Ok(())
}

#[test]
fn a_change_is_made_only_of_the_version_that_it_is_meant_for() -> Result<()> {
    let azenha = Azenha::empty()?;
    let host = start(&azenha)?;
    let versions = |header: &'static str, value: &'static str, definition: &str| -> Result<(u16, Option<String>)> {
        let answer = put(&host, "copy", definition, &[(header, value)])?;
        Ok((answer.status, answer.etag))
    };
    let changed = COPY.replace("table: rows", "table: other_rows");
    assert_eq!(versions("If-Match", "\"1\"", COPY)?.0, 412);
    assert_eq!(versions("If-None-Match", "*", COPY)?, (201, Some("\"1\"".to_owned())));
    assert_eq!(versions("If-None-Match", "*", &changed)?.0, 412);
    assert_eq!(versions("If-Match", "\"1\"", &changed)?, (200, Some("\"2\"".to_owned())));
    assert_eq!(versions("If-Match", "\"1\"", COPY)?.0, 412);
    assert_eq!(versions("If-Match", "*", &changed)?, (200, Some("\"2\"".to_owned())), "what is the same is no change");
    Ok(())
}

#[test]
fn a_host_without_definitions_deletes_one_that_keeps_others_from_running() -> Result<()> {
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha)?;
    put(&host, "copy", COPY, &[])?;
    await_state(&mut host, "copy", "running")?;
    host.kill()?;

    let config = azenha.write("host.yaml", TOKENS)?;
    let mut host = azenha.start(&[], &["--without-definitions", "--config", &config.display().to_string()])?;
    assert_eq!(show(&host, "/pipelines")?, json!([]));
    assert_eq!(call(&host, ADMIN, "DELETE", "/pipelines/copy", &[], "")?.status, 200);
    host.terminate()?;

    let host = start(&azenha)?;
    assert_eq!(show(&host, "/pipelines")?, json!([]));
    Ok(())
}

#[test]
fn a_definition_may_be_json_too() -> Result<()> {
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha)?;
    let definition = json!({
        "name": "copy",
        "sources": { "clicks": { "topic": "copied", "schema": { "campaignId": "text" } } },
        "sinks": { "output": { "from": "clicks", "topic": "copy_output" } },
    });
    let as_json = [("Content-Type", "application/json")];
    let text = format!("{definition:#}");
    assert_eq!(call(&host, ADMIN, "PUT", "/pipelines/copy", &as_json, &text)?.status, 201);
    await_state(&mut host, "copy", "running")?;
    let wrong = text.replace("\"from\": \"clicks\"", "\"from\": \"klicks\"").replace("  ", "\t");
    let refused = call(&host, ADMIN, "PUT", "/pipelines/copy", &as_json, &wrong)?;
    assert_eq!((refused.status, &refused.json()?["diagnostics"][0]["line"]), (422, &json!(5)), "{refused:?}");
    Ok(())
}

#[test]
fn of_many_writers_of_one_version_one_wins() -> Result<()> {
    let azenha = Azenha::empty()?;
    let host = start(&azenha)?;
    put(&host, "copy", COPY, &[])?;
    let texts: Vec<String> =
        (0..8).map(|number| COPY.replace("table: rows", &format!("table: rows_{number}"))).collect();
    let (address, bearer) = (host.address.as_str(), format!("Bearer {ADMIN}"));
    let headers = [("Content-Type", "application/yaml"), ("If-Match", "\"1\""), ("Authorization", bearer.as_str())];
    let write = |text: &String| send(address, "PUT", "/pipelines/copy", &headers, text.as_bytes());
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let writers: Vec<_> = texts.iter().map(|text| scope.spawn(move || write(text))).collect();
        let status = |written: Result<Answer>| written.map_or(0, |answer| answer.status);
        writers.into_iter().map(|writer| writer.join().map_or(0, status)).collect()
    });
    let counted = statuses.iter().fold(BTreeMap::<u16, usize>::new(), |mut counted, status| {
        *counted.entry(*status).or_default() += 1;
        counted
    });
    assert_eq!(counted, BTreeMap::from([(200, 1), (412, 7)]));
    assert_eq!(show(&host, "/pipelines/copy")?["version"], 2);
    Ok(())
}

#[test]
fn changes_of_any_version_that_coincide_are_all_made() -> Result<()> {
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha)?;
    assert_eq!(put(&host, "copy", COPY, &[])?.status, 201);
    await_state(&mut host, "copy", "running")?;
    let restart = || change(&host, "copy/restart");
    let answers: Vec<Result<Answer>> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..6).map(|_| scope.spawn(restart)).collect();
        asking.into_iter().map(|asking| asking.join().expect("no answer")).collect()
    });
    for answer in answers {
        let answer = answer?;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(show(&host, "/pipelines/copy")?["definition"]["restarts"], 6);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_the_command_line_applies_counts_clicks() -> Result<()> {
    let azenha = Azenha::new()?;
    let mut host = start(&azenha)?;
    let file = azenha.write("counted/pipeline.yaml", COUNTED)?.display().to_string();
    let refused = client(&azenha, &host, WRITER, &["pipeline", "apply", &file])?;
    assert!(refused.status.code() == Some(1) && said(&refused).contains("the role `operator`"), "{}", said(&refused));
    let applied = client(&azenha, &host, ADMIN, &["pipeline", "apply", &file])?;
    assert!(applied.status.success() && said(&applied).contains("version 1"), "{}", said(&applied));
    await_state(&mut host, "counted", "running")?;
    click(&host, "clicks_in", &["spring", "autumn", "spring"])?;
    await_number(&azenha, "SELECT click_count FROM counts WHERE campaignId = 'spring'", 2).await?;

    let again = client(&azenha, &host, ADMIN, &["pipeline", "apply", &file])?;
    assert_eq!(said(&again), "pipeline `counted`: version 1\n", "nothing was changed");
    let list = said(&client(&azenha, &host, READER, &["pipeline", "list"])?);
    assert!(list.contains("counted") && list.contains("running"), "{list}");
    let status = said(&client(&azenha, &host, READER, &["pipeline", "status", "counted"])?);
    assert!(status.contains("counts_output") || status.contains("warehouse"), "{status}");
    let plugins = said(&client(&azenha, &host, READER, &["plugin", "list"])?);
    assert!(plugins.contains("click-count") && plugins.contains("filter"), "{plugins}");

    let wrong = azenha.write("wrong.yaml", &COUNTED.replace("from: kept,", "from: keptt,"))?.display().to_string();
    let (applied, validated) =
        (client(&azenha, &host, ADMIN, &["pipeline", "apply", &wrong])?, azenha.run(["validate", &wrong])?);
    assert_eq!((applied.status.code(), said(&applied)), (Some(1), validated.stderr));
    for (command, state) in [("pause", "paused"), ("resume", "running"), ("restart", "running")] {
        let output = client(&azenha, &host, WRITER, &["pipeline", command, "counted"])?;
        assert!(output.status.success(), "{}", said(&output));
        await_state(&mut host, "counted", state)?;
    }
    click(&host, "clicks_in", &["spring"])?;
    await_number(&azenha, "SELECT click_count FROM counts WHERE campaignId = 'spring'", 3).await?;
    let deleted = said(&client(&azenha, &host, ADMIN, &["pipeline", "delete", "counted"])?);
    assert!(deleted.contains("deleted"), "{deleted}");
    let unknown = client(&azenha, &host, WRITER, &["pipeline", "pause", "counted"])?;
    assert!(unknown.status.code() == Some(1) && said(&unknown).contains("`counted`"), "{}", said(&unknown));
    Ok(())
}

#[test]
fn a_definition_that_does_not_start_is_shown_and_the_others_run() -> Result<()> {
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha)?;
    put(&host, "copy", COPY, &[])?;
    let plain = "name: plain\nsources:\n  clicks: { topic: copied, schema: { campaignId: text } }\n\
                 sinks:\n  output: { from: clicks, topic: plain_output }\n";
    let refused = put(&host, "plain", plain, &[])?;
    assert_eq!(refused.status, 201, "{refused:?}");
    host.terminate()?;

    let config = azenha.write("host.yaml", &format!("{TOKENS}connections: {{}}\n"))?.display().to_string();
    let mut host = azenha.start(&[], &["--config", &config])?;
    let copy = show(&host, "/pipelines/copy")?;
    assert_eq!(copy["state"], "failed", "{copy}");
    assert!(
        copy["error"].as_str().is_some_and(|error| error.contains("copy:6:") && error.contains("`warehouse`")),
        "{copy}"
    );
    await_state(&mut host, "plain", "running")
}

#[test]
fn a_file_and_the_log_do_not_define_one_pipeline() -> Result<()> {
    let azenha = Azenha::empty()?;
    let file = azenha.write("copy/pipeline.yaml", COPY)?;
    let config = azenha.write("host.yaml", TOKENS)?.display().to_string();
    let mut host = azenha.start(&[Path::new(&file)], &["--config", &config])?;
    for answer in [put(&host, "copy", COPY, &[])?, change(&host, "copy/pause")?] {
        assert!(answer.status == 409 && answer.body.contains("pipeline.yaml"), "{answer:?}");
    }
    host.terminate()?;
    let mut host = start(&azenha)?;
    assert_eq!(put(&host, "copy", COPY, &[])?.status, 201);
    host.terminate()?;
    let data = azenha.data().display().to_string();
    let refused = azenha.run(["run", &file.display().to_string(), "--data", &data, "--once"])?;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("azenha pipeline delete copy"), "{refused:?}");
    Ok(())
}
