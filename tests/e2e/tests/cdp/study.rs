//! The script that says which store answers faster, asked of a host whose stores are files.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use azenha_e2e::{Azenha, repository};

const VOLUMES: [&str; 2] = ["200", "400"];
const ENDPOINTS: [&str; 3] = ["/eventos_like/", "/eventos_db/", "/eventos_es/"];

/// Prints the points of each line of a plot, which must be XML.
const LINES: &str = "
import sys, xml.etree.ElementTree as xml
for line in xml.parse(sys.argv[1]).iter('{http://www.w3.org/2000/svg}polyline'):
    print(line.get('points'))
";

/// Asks every question once.
fn study(azenha: &Azenha) -> Result<()> {
    let host = azenha.start(&[&repository().join("pipelines/cdp")], &[])?;
    let (server, itself) = (format!("http://{}", host.address), azenha.command([""; 0])?);
    // It would wait for ever for a host that stands still.
    let mut study = Command::new("timeout");
    study.arg("200").arg(repository().join("pipelines/cdp/study"));
    study.args(["--rounds", "1", "--seconds", "5", "--server", &server, "--azenha"]).arg(itself.get_program());
    let said = study.arg("--to").arg(azenha.path("")).args(VOLUMES).output()?;
    let errors = String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.success(), "{}: {errors}: {}", said.status, host.log());
    Ok(())
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

/// A row for each volume and endpoint, of six questions that were asked.
fn check_table(table: &str) -> Result<()> {
    let rows: Vec<Vec<&str>> = table.lines().skip(2).map(cells).collect();
    let expected = VOLUMES.iter().flat_map(|volume| ENDPOINTS.map(|endpoint| (*volume, format!("`{endpoint}`"))));
    ensure!(rows.len() == VOLUMES.len() * ENDPOINTS.len(), "{table}");
    for (row, (volume, endpoint)) in rows.iter().zip(expected) {
        let [events, of, median, slow, asked, late, same] = row.as_slice() else { bail!("{table}") };
        ensure!((*events, *of, *asked, *late) == (volume, endpoint.as_str(), "6", ""), "{table}");
        let slowest: f64 = slow.strip_prefix("max ").context("so few answers have no percentile")?.parse()?;
        let median: f64 = median.parse()?;
        ensure!(median > 0.0 && median <= slowest, "{table}");
        // Of words that nobody wrote all find nothing.
        let same: usize = same.strip_suffix(" of 6").with_context(|| table.to_owned())?.parse()?;
        ensure!((1..=6).contains(&same), "{table}");
    }
    Ok(())
}

/// A line for each endpoint, with a point for each volume.
fn check_plot(plot: &Path) -> Result<()> {
    let lines = Command::new("python3").args(["-c", LINES]).arg(plot).output().context("python3")?;
    ensure!(lines.status.success(), "{}", String::from_utf8_lossy(&lines.stderr));
    let lines = String::from_utf8(lines.stdout)?;
    let points: Vec<usize> = lines.lines().map(|line| line.split_whitespace().count()).collect();
    ensure!(points == [VOLUMES.len(); ENDPOINTS.len()], "{lines}");
    let text = fs::read_to_string(plot)?;
    ensure!(ENDPOINTS.iter().all(|endpoint| text.contains(&format!(">{endpoint}: "))), "{text}");
    Ok(())
}

#[test]
fn the_study_tells_of_every_volume_and_endpoint_and_draws_a_line_for_each_endpoint() -> Result<()> {
    let azenha = Azenha::new()?;
    study(&azenha)?;
    check_table(&fs::read_to_string(azenha.path("study.md"))?)?;
    check_plot(&azenha.path("study.svg"))
}
