//! The batch layer of the commerce system: a star schema that is made anew of raw objects, checked, and put in place all
//! at once. A recount of the objects must give the same.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use azenha_e2e::warehouse::{CONTACTS, COUNTED, FACTS, Scene, VERSIONS, Words, check, ours, star};
use azenha_e2e::{Azenha, DAYS, Database, Postgres, Running, get, is_there, post, repository, seed};
use fastrand::Rng;
use serde_json::Value;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

#[tokio::test(flavor = "multi_thread")]
async fn the_star_schema_is_what_a_recount_of_raw_gives_and_days_that_are_read_again_change_nothing() -> Result<()> {
    let scene = Scene::unusual(5)?;
    let done = scene.backfill(&[])?;
    assert!(done.stdout.contains("published"), "{}", done.text());
    let (facts, versions) = (scene.rows(FACTS).await?, scene.rows(VERSIONS).await?);
    let found = star(facts, versions, scene.rows(CONTACTS).await?, &scene.rows(COUNTED).await?)?;
    check(&found, &scene.past.recount()?);

    let whole = scene.dump().await?;
    let [first, second, last] = DAYS;
    for days in [first.to_owned(), second.to_owned(), format!("{second}..{last}"), format!("{first}..{second}")] {
        let again = scene.backfill(&["--dates", &days])?;
        assert!(again.stdout.contains(&days), "{}", again.text());
        scene.must_be(&whole, &days).await?;
    }
    scene.backfill(&["--parallel", "3"])?;
    scene.must_be(&whole, "again").await?;
    let (orders, _) = scene.past.records();
    fs::rename(scene.raw().join("commerce"), scene.raw().join("archive"))?;
    let archive = ["--from", "pedidos=archive/orders", "--from", "interacoes=archive/interactions"];
    assert!(scene.backfill(&archive)?.stdout.contains(&format!("{orders} records in 9 objects")));
    assert!(!scene.azenha.data().join("batches/warehouse").exists(), "what a run needs goes with it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_comes_out_in_postgres() -> Result<()> {
    let Ok(server) = std::env::var("AZENHA_TEST_POSTGRES") else {
        println!("skipped: AZENHA_TEST_POSTGRES is not set");
        return Ok(());
    };
    let database = Postgres::create(&server, &format!("azenha_e2e_warehouse_{}", std::process::id())).await?;
    let mut scene = Scene::unusual(6)?;
    let raw = scene.raw();
    let (raw, url) = (raw.display(), database.url());
    let config = format!("connections: {{ warehouse: {{ url: \"{url}\" }}, raw: {{ url: \"file://{raw}\" }} }}\n");
    let config = scene.azenha.write("host.yaml", &config)?;
    scene.more = vec!["--config".to_owned(), config.display().to_string()];
    let rows = async |sql: &str| -> Result<Vec<String>> {
        database.query(sql).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
    };
    for _ in 0..2 {
        scene.backfill(&[])?;
        let (facts, versions, contacts) = (rows(FACTS).await?, rows(VERSIONS).await?, rows(CONTACTS).await?);
        check(&star(facts, versions, contacts, &rows(COUNTED).await?)?, &scene.past.recount()?);
    }
    scene.backfill(&["--dates", DAYS[0]])?;
    assert_eq!(rows(FACTS).await?.len(), scene.past.recount()?.facts.len());

    let reader = format!("azenha_reader_{}", std::process::id());
    let grants = format!(
        "CREATE ROLE {reader}; GRANT SELECT ON fact_order_line TO {reader} WITH GRANT OPTION;
         GRANT SELECT (customer, city), UPDATE (city) ON dim_customer TO {reader}; GRANT SELECT ON dim_date TO PUBLIC"
    );
    database.execute(&grants).await?;
    let rights = "SELECT grantee || ' ' || privilege_type || ' ' || table_name || ' ' || is_grantable
            FROM information_schema.table_privileges WHERE grantee <> current_user AND table_schema = 'public'
        UNION ALL SELECT grantee || ' ' || privilege_type || ' ' || table_name || '.' || column_name
            FROM information_schema.column_privileges WHERE grantee <> current_user AND table_schema = 'public' ORDER BY 1";
    let before = rows(rights).await?;
    assert!(before.len() > 5, "{before:?}");
    scene.backfill(&[])?;
    assert_eq!(rows(rights).await?, before, "rights on tables that were replaced");
    database.execute(&format!("DROP OWNED BY {reader}; DROP ROLE {reader}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_comes_out_in_mariadb_and_a_fault_leaves_it_as_it_was() -> Result<()> {
    if !is_there("AZENHA_TEST_MARIADB") {
        return Ok(());
    }
    let (server, name) =
        (std::env::var("AZENHA_TEST_MARIADB")?, format!("azenha_e2e_warehouse_{}", std::process::id()));
    let (base, _) = server.rsplit_once('/').context("the URL names no database")?;
    let mut connection = MySqlConnection::connect(&server).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}; USE {name}"))).execute(&mut connection).await?;
    sqlx::raw_sql("SET SESSION sql_mode = 'PIPES_AS_CONCAT,ANSI_QUOTES'").execute(&mut connection).await?;
    let mut scene = Scene::unusual(10)?;
    let raw = scene.raw();
    let config = format!(
        "connections: {{ warehouse: {{ url: \"{base}/{name}\" }}, raw: {{ url: \"file://{}\" }} }}\n",
        raw.display()
    );
    let config = scene.azenha.write("host.yaml", &config)?;
    scene.more = vec!["--config".to_owned(), config.display().to_string()];
    // Its whole numbers have another name in casts.
    let ours = fs::read_to_string(ours().join("pipeline.yaml"))?.replace("AS BIGINT", "AS SIGNED");
    let pipeline = scene.azenha.write("mariadb/pipeline.yaml", &ours)?;
    let expected = scene.past.recount()?;
    for more in [&[][..], &[], &["--dates", DAYS[1]]] {
        scene.azenha.succeed(scene.arguments(&pipeline, more))?;
        let mut read = Vec::new();
        for sql in [FACTS, VERSIONS, CONTACTS, COUNTED] {
            let rows = sqlx::query(sql).fetch_all(&mut connection).await?;
            read.push(rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<String>>>()?);
        }
        let [facts, versions, contacts, counted] = &read[..] else { anyhow::bail!("four are read") };
        check(&star(facts.clone(), versions.clone(), contacts.clone(), counted)?, &expected);
    }
    let facts = "SELECT COUNT(*) FROM fact_order_line";
    let before: i64 = sqlx::query_scalar(facts).fetch_one(&mut connection).await?;
    let faulty = ours.replacen(FAULTS[0].1[0].0, FAULTS[0].1[0].1, 1);
    let faulty = scene.azenha.write("faulty/pipeline.yaml", &faulty)?;
    let refused = scene.azenha.run(scene.arguments(&faulty, &[]))?;
    assert!(refused.stdout.contains(FAULTS[0].2), "{}", refused.text());
    assert_eq!(sqlx::query_scalar::<_, i64>(facts).fetch_one(&mut connection).await?, before);
    sqlx::raw_sql(AssertSqlSafe(format!("DROP DATABASE {name}"))).execute(&mut connection).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_reads_the_history_of_topics_and_goes_on_after_kills() -> Result<()> {
    let (scene, mut random) = (Scene::new(11)?, Rng::with_seed(seed()));
    // The log in which the past was made.
    let (made, pipeline) = (scene.azenha.path("made"), ours().display().to_string());
    let data = made.display().to_string();
    let arguments = |orders: &str| {
        let from = ["--from", orders, "--from", "interacoes=topic:interactions"];
        [["backfill", &pipeline, "--data", &data].as_slice(), &from].concat().into_iter().map(str::to_owned).collect()
    };
    let wrong: Vec<String> = arguments("pedidos=topic:others");
    let refused = scene.azenha.run(&wrong)?;
    assert!(refused.status.code() == Some(2) && refused.stderr.contains("no topic `others`"), "{}", refused.text());
    let right: Vec<String> = arguments("pedidos=topic:orders");
    for _ in 0..6 {
        let mut running = scene.azenha.spawn(&right)?;
        std::thread::sleep(Duration::from_millis(random.u64(5..700)));
        running.kill()?;
    }
    let done = scene.azenha.succeed(&right)?;
    assert!(done.stdout.contains("read `pedidos`: 3000 records"), "{}", done.text());
    let dated = scene.azenha.run(right.iter().map(String::as_str).chain(["--dates", DAYS[0]]))?;
    assert!(dated.status.code() == Some(2) && dated.stderr.contains("days are folders"), "{}", dated.text());

    let mut database = Database::open(&made.join("warehouse.db")).await?;
    let mut rows = async |sql: &str| -> Result<Vec<String>> {
        Ok(database.rows::<(String,)>(sql).await?.into_iter().map(|(row,)| row).collect())
    };
    let (facts, versions, contacts) = (rows(FACTS).await?, rows(VERSIONS).await?, rows(CONTACTS).await?);
    check(&star(facts, versions, contacts, &rows(COUNTED).await?)?, &scene.past.recount()?);
    let places = "SELECT DISTINCT object FROM warehouse_dead_letters ORDER BY 1";
    assert_eq!(rows(places).await?, ["topic:interactions/0", "topic:orders/0"]);
    Ok(())
}

/// What goes wrong, what is written instead of what, and the check that must find it.
const FAULTS: [(&str, Words<'_>, &str); 5] = [
    (
        "lost rows",
        &[("o.order_id = l.order_id", "o.order_id = l.order_id AND o.status <> 'canceled'")],
        "FAILED: every line of an order as it stands is a fact",
    ),
    (
        "a key that stands twice",
        &[("AND (c.valid_to IS NULL OR o.created_at < c.valid_to)", "OR c.customer = o.customer")],
        "FAILED: `fact_order_line` has each (order_id, line) once",
    ),
    ("orphans", &[("FROM {orders_now}\n", "FROM {orders_now} WHERE 1 = 0\n")], "FAILED: each date_key"),
    (
        "records that are no rows",
        &[("key: [order_id, kept_in, kept_at]\n", "key: [order_id]\n")],
        "FAILED: every order that was kept is a row or a dead letter",
    ),
    (
        "lines that are lost before they are rows",
        &[(
            "  linhas_guardadas:\n    transform: rename\n    from: linhas\n",
            "  poucas: { transform: filter, from: linhas, config: { column: quantity, above: 1 } }
  linhas_guardadas:\n    transform: rename\n    from: poucas\n",
        )],
        "FAILED: every item of an order that was kept is a line or a dead letter",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_a_fault_is_refused_and_the_tables_of_before_stay() -> Result<()> {
    let scene = Scene::new(7)?;
    scene.backfill(&[])?;
    let before = scene.dump().await?;
    for (fault, words, told) in FAULTS {
        let pipeline = scene.changed("faulty", words)?;
        let refused = scene.azenha.run(scene.arguments(&pipeline, &[]))?;
        assert_eq!(refused.status.code(), Some(1), "{fault}: {}", refused.text());
        assert!(refused.stdout.contains(told) && refused.stdout.contains("refused"), "{fault}: {}", refused.text());
        scene.must_be(&before, fault).await?;
    }
    let data = scene.azenha.data().display().to_string();
    let faulty = scene.changed("faulty", FAULTS[0].1)?.display().to_string();
    let refused = scene.azenha.run(["run", &faulty, "--once", "--data", &data])?;
    assert!(!refused.status.success() && refused.stderr.contains("was refused"), "{}", refused.text());

    let keyless = scene.changed("keyless", &[("    key: [customer, kept_in, kept_at]\n", "")])?;
    let refused = scene.azenha.run(scene.arguments(&keyless, &["--dates", DAYS[0]]))?;
    assert!(
        refused.status.code() == Some(2) && refused.stderr.contains("`interactions` has no `key`"),
        "{}",
        refused.text()
    );

    // An object that nobody can read is missing in the tables, and so it is found.
    let broken = scene.raw().join(format!("commerce/orders/date={}/commerce_orders-0000-9.ndjson.zst", DAYS[0]));
    fs::write(&broken, "this is not compressed")?;
    let refused = scene.azenha.run(scene.arguments(&ours(), &[]))?;
    assert!(refused.stdout.contains("FAILED: every order that was kept"), "{}", refused.text());
    scene.must_be(&before, "again").await?;

    fs::remove_file(broken)?;
    assert!(scene.backfill(&[])?.stdout.contains("published"));
    scene.must_be(&before, "again").await?;
    let outcomes = "SELECT report ->> '$.outcome' || '|' || COUNT(*) FROM azenha_runs
        GROUP BY report ->> '$.outcome' ORDER BY 1";
    assert_eq!(scene.rows(outcomes).await?, ["published|2", "refused|7"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_goes_on_and_readers_see_all_before_or_all_after() -> Result<()> {
    let seed = seed();
    let (scene, mut random) = (Scene::new(8)?, Rng::with_seed(seed));
    scene.past.lay(&scene.raw(), DAYS.len())?;
    scene.backfill(&[])?;
    let expected = scene.dump().await?;
    // Of half of the past, so that a run that has been put in place shows.
    fs::remove_dir_all(scene.raw())?;
    scene.past.lay(&scene.raw(), 1)?;
    scene.backfill(&[])?;
    let half = scene.dump().await?["fact_order_line"].len();
    scene.past.lay(&scene.raw(), DAYS.len())?;

    let (stop, file) = (Arc::new(AtomicBool::new(false)), scene.azenha.data().join("warehouse.db"));
    let whole = expected["fact_order_line"].len();
    let reader = tokio::spawn(read_on(file, [half as i64, whole as i64], Arc::clone(&stop)));
    for _ in 0..12 {
        let mut running = scene.azenha.spawn(scene.arguments(&ours(), &[]))?;
        std::thread::sleep(Duration::from_millis(random.u64(5..900)));
        running.kill()?;
    }
    scene.backfill(&[])?;
    stop.store(true, Relaxed);
    let reads = reader.await??;
    assert!(reads > 50, "{reads} reads");
    scene.must_be(&expected, &format!("seed {seed}")).await?;
    Ok(())
}

/// Reads facts and the lines of orders as they stand in one statement, on and on: there are as many of one as of the other, of
/// one batch or the other.
async fn read_on(file: PathBuf, known: [i64; 2], stop: Arc<AtomicBool>) -> Result<usize> {
    let (mut reads, mut database) = (0, Database::open(&file).await?);
    database.execute("PRAGMA busy_timeout = 30000").await?;
    while !stop.load(Relaxed) {
        let both = "SELECT (SELECT COUNT(*) FROM fact_order_line), (SELECT COUNT(*) FROM stg_order_lines AS l
                    JOIN orders_now AS o ON o.order_id = l.order_id AND o.kept_in = l.kept_in AND o.kept_at = l.kept_at)";
        let rows: Vec<(i64, i64)> = database.rows(both).await?;
        let [(facts, lines)] = rows[..] else { anyhow::bail!("no row") };
        ensure!(facts == lines && known.contains(&facts), "{facts} facts and {lines} lines, not one of {known:?}");
        reads += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(reads)
}

fn runs(answer: &Value) -> usize {
    answer["runs"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_runs_batches_when_they_are_due_or_asked_for_and_tells_their_reports() -> Result<()> {
    let scene = Scene::new(9)?;
    scene.backfill(&[])?;
    // Long ago: the run of last night was missed.
    let long_ago = "UPDATE azenha_runs SET run = '20260101T000000Z', report = json_set(report, '$.started', 1)";
    scene.database().await?.execute(long_ago).await?;
    let mut host = scene.azenha.start(&[&ours()], &[])?;
    let path = "/pipelines/warehouse/runs";
    // A report is kept before the run ends.
    let ended = |host: &Running, wanted: usize| -> Result<bool> {
        let told = get(&host.address, path)?.json()?;
        Ok(runs(&told) == wanted && told["running"] == false)
    };
    host.wait_until("the batch ran", |host| ended(host, 2))?;
    let told = get(&host.address, path)?.json()?;
    assert_eq!(told["runs"][0]["outcome"], "published", "{told}");
    assert!(told["next"].as_i64() > told["runs"][0]["started"].as_i64(), "{told}");

    let begun = post(&host.address, path, "application/json", r#"{"dates":"2026-02-02"}"#)?;
    assert_eq!(begun.status, 202, "{}", begun.body);
    host.wait_until("it ran again", |host| ended(host, 3))?;
    assert_eq!(get(&host.address, path)?.json()?["runs"][0]["dates"], "2026-02-02..2026-02-02");
    let wrong = post(&host.address, path, "application/json", r#"{"dates":"ontem"}"#)?;
    assert_eq!(wrong.status, 400, "{}", wrong.body);
    assert_eq!(get(&host.address, "/pipelines/nothing/runs")?.status, 404);

    let contacts = get(&host.address, "/contatos/?desde=2026-01-01T00:00:00Z&limit=5")?.json()?;
    assert_eq!(contacts["rows"].as_array().map(Vec::len), Some(5), "{contacts}");
    let state = get(&host.address, "/pipelines")?.json()?[0]["state"].clone();
    assert!(state == "waiting" || state == "running", "{state}");
    host.terminate()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_over_some_days_that_was_asked_for_survives_the_end_of_its_host() -> Result<()> {
    let scene = Scene::new(12)?;
    scene.backfill(&[])?;
    let whole = scene.dump().await?;
    let (path, json) = ("/pipelines/warehouse/runs", "application/json");
    let mut host = scene.azenha.start(&[&ours()], &[])?;
    let begun = post(&host.address, path, json, r#"{"dates":"2026-02-02"}"#)?;
    assert_eq!(begun.status, 202, "{}", begun.body);
    host.kill()?;
    let mut host = scene.azenha.start(&[&ours()], &[])?;
    host.wait_until("the run over a day ended", |host| {
        let told = get(&host.address, path)?.json()?;
        Ok(told["runs"][0]["dates"] == "2026-02-02..2026-02-02" && told["running"] == false)
    })?;
    host.terminate()?;
    scene.must_be(&whole, "after the run over a day").await?;

    let words = [("    key: [customer, kept_in, kept_at]\n", "")];
    let mut host = scene.azenha.start(&[&scene.changed("keyless", &words)?], &[])?;
    let refused = post(&host.address, path, json, r#"{"dates":"2026-02-02"}"#)?;
    assert!(refused.status == 400 && refused.body.contains("`interactions` has no `key`"), "{refused:?}");
    host.terminate()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_leaves_a_report_and_shows_until_one_succeeds() -> Result<()> {
    let scene = Scene::new(13)?;
    scene.backfill(&[])?;
    let before = scene.dump().await?;
    let faulty = scene.changed(
        "faulty",
        &[("FROM {dim_product} AS p\n  checks", "FROM {dim_product} AS p WHERE p.nothing = 1\n  checks")],
    )?;
    let failed = scene.azenha.run(scene.arguments(&faulty, &[]))?;
    assert!(failed.status.code() == Some(1) && failed.stderr.contains("mart_campaigns"), "{}", failed.text());
    let reports =
        "SELECT report ->> '$.outcome' || '|' || COALESCE(report ->> '$.reason', '') FROM azenha_runs ORDER BY run";
    let found = scene.rows(reports).await?;
    assert!(found[1].starts_with("failed|") && found[1].contains("mart_campaigns"), "{found:?}");
    scene.must_be(&before, "a statement that fails").await?;

    // The host goes on with it, and fails likewise.
    let mut host = scene.azenha.start(&[&faulty], &[])?;
    host.wait_until("the failure is told", |host| {
        Ok(get(&host.address, "/pipelines")?.json()?[0]["error"]
            .as_str()
            .is_some_and(|told| told.contains("mart_campaigns")))
    })?;
    let told = get(&host.address, "/pipelines/warehouse/runs")?.json()?;
    assert!(told["runs"][0]["outcome"] == "failed" && told["problem"].is_string(), "{told}");
    let metrics = get(&host.address, "/metrics")?.body;
    for line in [
        r#"azenha_batch_outcome{pipeline="warehouse",outcome="failed"} 1"#,
        r#"azenha_batch_published_timestamp_seconds{pipeline="warehouse"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    host.terminate()?;

    scene.backfill(&[])?;
    let mut host = scene.azenha.start(&[&ours()], &[])?;
    host.wait_until("nothing is wrong", |host| {
        let metrics = get(&host.address, "/metrics")?.body;
        Ok(metrics.contains(r#"azenha_batch_outcome{pipeline="warehouse",outcome="published"} 1"#))
    })?;
    assert!(get(&host.address, "/pipelines")?.json()?[0]["error"].is_null());
    host.terminate()?;
    Ok(())
}

#[test]
fn a_pipeline_whose_topics_do_not_exist_has_no_past() -> Result<()> {
    let azenha = Azenha::new()?;
    let data = azenha.data().display().to_string();
    let commerce = repository().join("pipelines/commerce").display().to_string();
    let refused = azenha.run(["backfill", &commerce, "--data", &data])?;
    assert_eq!(refused.status.code(), Some(2), "{}", refused.text());
    assert!(refused.stderr.contains("there is no topic"), "{}", refused.stderr);
    Ok(())
}
