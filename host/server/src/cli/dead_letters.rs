//! `azenha dead-letters`

use std::fs;
use std::io::{Write, stdout};
use std::path::PathBuf;

use anyhow::{Context, Result};
use azenha_model::civil::format_timestamp;
use clap::{Args, Subcommand};

use super::Outcome;
use crate::api::{LetterDetail, Letters};
use crate::client::ServerArgs;
use crate::dead_letters::Decision;
use crate::results::table;

#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// Lists the latest dead letters of a pipeline.
    List(ListArgs),
    /// Shows a dead letter as its topic holds it.
    Show(Named),
    /// Fetches what a dead letter was decided on, for `azenha replay`.
    Bundle {
        #[command(flatten)]
        named: Named,
        /// The file that is written; by default the letter's id, with `_` for `/`, and `.tar`.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// With personal data, which only a deployer may see.
        #[arg(long)]
        personal: bool,
    },
    /// Puts the record of a dead letter back at the end of its source, once.
    Retry {
        #[command(flatten)]
        named: Named,
        /// Also if something of the record had gone through, which then does so a second time.
        #[arg(long)]
        repeat: bool,
    },
    /// Hides a dead letter.
    Discard(Named),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// The pipeline's name.
    pipeline: String,
    /// Only of this step or sink.
    #[arg(long)]
    step: Option<String>,
    /// Only with this cause: `decode`, `rejected`, `failed`, …
    #[arg(long)]
    cause: Option<String>,
    /// Only about records with this timestamp or a later one, such as `2024-01-31T23:59:59Z`.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Those that were retried or discarded, too.
    #[arg(long)]
    all: bool,
    /// How many; at most 200 at a time.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Goes on behind an earlier list, which ends with it.
    #[arg(long)]
    cursor: Option<String>,
    /// Prints one JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct Named {
    /// The pipeline's name.
    pipeline: String,
    /// The letter's id, as `list` shows it.
    id: String,
    #[command(flatten)]
    server: ServerArgs,
}

impl Named {
    fn path<'a>(&'a self, what: &[&'a str]) -> Vec<&'a str> {
        [&["pipelines", &self.pipeline, "dead-letters", &self.id], what].concat()
    }
}

/// Looks at dead letters, and decides on them.
pub async fn dead_letters(command: DeadLettersCommand) -> Result<Outcome> {
    match command {
        DeadLettersCommand::List(args) => list(&args).await?,
        DeadLettersCommand::Show(named) => {
            let LetterDetail { letter, decision, .. } = named.server.client()?.get(&named.path(&[])).await?;
            writeln!(stdout(), "{}", serde_json::to_string_pretty(&letter)?)?;
            decision.iter().for_each(|decision| say(&named.id, decision));
        }
        DeadLettersCommand::Bundle { named, output, personal } => bundle(&named, output, personal).await?,
        DeadLettersCommand::Retry { named, repeat } => {
            let repeat = [("repeat", repeat.to_string())];
            say(&named.id, &named.server.client()?.post(&named.path(&["retry"]), &repeat).await?);
        }
        DeadLettersCommand::Discard(named) => {
            say(&named.id, &named.server.client()?.post(&named.path(&["discard"]), &[]).await?);
        }
    }
    Ok(Outcome::Done)
}

fn say(id: &str, decision: &Decision) {
    let by = decision.by.as_ref().map_or(String::new(), |by| format!(" by {by}"));
    println!("{id}: {}{by}, {}", decision.verdict, format_timestamp(decision.at));
}

async fn list(args: &ListArgs) -> Result<()> {
    let ListArgs { pipeline, step, cause, since, all, limit, cursor, json, server } = args;
    let named = [("step", step), ("cause", cause), ("since", since), ("cursor", cursor)];
    let mut parameters: Vec<(&str, String)> =
        named.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
    parameters.extend([("all", all.to_string()), ("limit", limit.to_string())]);
    let path = ["pipelines", pipeline, "dead-letters"];
    let Letters { letters, next } = server.client()?.find(&path, &parameters).await?;
    if *json {
        for letter in &letters {
            writeln!(stdout(), "{}", serde_json::to_string(letter)?)?;
        }
        return Ok(());
    }
    let mut table = table(["letter", "record of", "cause", "reason"].map(str::to_owned));
    for letter in letters {
        let part = letter.part.map_or(String::new(), |part| format!("{part}: "));
        let decided = letter.decision.map_or(String::new(), |decision| format!(", {}", decision.verdict));
        let cause = format!("{}{decided}", letter.cause);
        table.add_row([letter.id, format_timestamp(letter.timestamp), cause, format!("{part}{}", letter.reason)]);
    }
    writeln!(stdout(), "{table}")?;
    if let Some(next) = next {
        println!("there are more: --cursor {next}");
    }
    Ok(())
}

async fn bundle(named: &Named, output: Option<PathBuf>, personal: bool) -> Result<()> {
    let file = output.unwrap_or_else(|| PathBuf::from(format!("{}.tar", named.id.replace('/', "_"))));
    let which = if personal { "personal-bundle" } else { "bundle" };
    let bytes = named.server.client()?.bytes(&named.path(&[which])).await?;
    fs::write(&file, &bytes).with_context(|| format!("{} cannot be written", file.display()))?;
    println!("{}: {} bytes; `azenha replay {}` replays it", file.display(), bytes.len(), file.display());
    Ok(())
}
