//! The call of a plugin, made once more.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use arrow_array::{ArrayRef, BinaryArray, RecordBatch, UInt32Array};
use arrow_select::take::take;
use azenha_engine::replay::batch;
use azenha_formats::json::row_json;
use azenha_model::dead_letter::{Cause, Function, Opened, PluginCall};
use azenha_model::plugin::{Given, Outlet, Rejection};
use azenha_model::{Environment, Field, with_variables};
use azenha_sandbox::{Aggregate, Emitted, Failure, FailureKind, Finished, Grouped, OpenError, Plugin};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::dead_letters::bundle::{About, Bundle};

/// What came of a call.
#[derive(Debug)]
pub enum Outcome {
    /// The plugin failed.
    Failed(Failure),
    /// It gave something.
    Gave(Gave),
}

/// What a plugin gave.
#[derive(Debug, Default)]
pub struct Gave {
    /// Rows as JSON, each with its output. Columns that never enter the plugin are not among them.
    pub rows: Vec<(String, String)>,
    /// What it refused.
    pub rejected: Vec<Rejection>,
    /// The length of the accumulator that it made, in bytes.
    pub accumulator: Option<usize>,
}

impl Outcome {
    /// Whether this is what the letter says.
    pub fn is_as(&self, letter: &About) -> bool {
        match self {
            Self::Failed(failure) => {
                // How much memory was asked for at last depends on what stood in it before.
                let varies = matches!(failure.kind, FailureKind::Memory | FailureKind::Timeout);
                letter.failure.as_deref() == Some(failure.kind.name()) && (varies || failure.message == letter.reason)
            }
            Self::Gave(gave) => {
                let is_it = |refused: &Rejection| refused.reason == letter.reason && refused.part == letter.part;
                letter.cause == Cause::Rejected && gave.rejected.iter().any(is_it)
            }
        }
    }

    /// Whether what the letter is about goes through: neither fails nor is refused, whatever the reason.
    pub fn repairs(&self, letter: &About) -> bool {
        match self {
            Self::Failed(_) => false,
            Self::Gave(gave) => {
                !gave.rejected.iter().any(|refused| refused.part == letter.part || refused.part.is_none())
            }
        }
    }
}

/// The configuration of a step, with the values that an environment has for its variables. Where it has none, the
/// variable's own text stands; their problems come with it.
pub fn config(opened: &Opened, environment: &Environment<'_>) -> Result<(String, Vec<String>)> {
    if !opened.config.get().contains('$') {
        return Ok((opened.config.get().to_owned(), Vec::new()));
    }
    let mut config: Value = serde_json::from_str(opened.config.get())?;
    let mut missing = Vec::new();
    fill(&mut config, environment, &mut missing);
    Ok((config.to_string(), missing))
}

fn fill(value: &mut Value, environment: &Environment<'_>, missing: &mut Vec<String>) {
    match value {
        Value::String(text) if text.contains('$') => match with_variables(text, environment) {
            Ok(filled) if filled == *text => {}
            // As in a file, what is a number or a boolean with its variables replaced is one.
            Ok(filled) => {
                *value = match serde_json::from_str(&filled) {
                    Ok(scalar @ (Value::Bool(_) | Value::Number(_))) => scalar,
                    _ => Value::String(filled),
                }
            }
            Err(problem) => missing.push(problem),
        },
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, environment, missing)),
        Value::Object(members) => members.values_mut().for_each(|member| fill(member, environment, missing)),
        _ => {}
    }
}

/// A call that a bundle holds.
#[derive(Clone, Copy)]
pub struct Played<'a> {
    /// What was called, and with what.
    pub call: &'a PluginCall,
    /// What the plugin was opened with.
    pub opened: &'a Opened,
    /// The columns for whose values something else stands.
    masked: &'a BTreeSet<String>,
}

impl<'a> Played<'a> {
    /// The call of a bundle.
    ///
    /// # Errors
    /// If it does not say what the plugin was opened with.
    pub fn of(bundle: &'a Bundle, call: &'a PluginCall) -> Result<Self> {
        let opened = call.opened.as_deref().context("the bundle does not say what the plugin was opened with")?;
        Ok(Self { call, opened, masked: &bundle.manifest.masked })
    }

    /// The columns that were given.
    fn columns(&self) -> Result<&'a RawValue> {
        let columns = self.call.given.columns.as_deref();
        columns.context("the bundle does not hold the columns that the plugin read")
    }

    fn batch(&self, fields: &[Field], rows: &[&RawValue]) -> Result<RecordBatch> {
        Ok(batch(fields, rows, self.masked)?)
    }

    /// Calls a plugin with what was given. `written_by`: the version of accumulators of the plugin that wrote the bundle's,
    /// if that is another one.
    ///
    /// # Errors
    /// If the call cannot be made: the plugin does not open, or the bundle does not hold what it reads.
    pub fn replay(&self, plugin: &Plugin, config: &str, written_by: Option<u32>) -> Result<Outcome> {
        let outcome = match self.call.function {
            Function::Process => process(self, plugin, config),
            Function::Assemble => assemble(self, plugin, config),
            Function::Fold | Function::Merge | Function::Finish => aggregate(self, plugin, config, written_by),
        };
        match outcome {
            Ok(gave) => Ok(Outcome::Gave(gave)),
            Err(error) => Ok(Outcome::Failed(error.downcast::<Failure>()?)),
        }
    }

    /// The version of the accumulators that an aggregate writes; none if it does not open.
    pub fn state_version(&self, plugin: &Plugin, config: &str) -> Option<u32> {
        open_aggregate(self.opened, plugin, config).ok().map(|opened| opened.plan().state_version)
    }
}

fn unopened(error: OpenError) -> anyhow::Error {
    anyhow::anyhow!("the plugin does not open: {error}")
}

fn process(played: &Played<'_>, plugin: &Plugin, config: &str) -> Result<Gave> {
    let input = &played.opened.input;
    let mut transform = plugin.open_transform(config, input).map_err(unopened)?;
    let reads: Vec<Field> = transform.plan().reads.iter().map(|index| input[*index].clone()).collect();
    let row = played.batch(&reads, &[played.columns()?])?;
    let output = transform.process(&row)?;
    let mut gave = Gave { rejected: output.rejected, ..Gave::default() };
    for (outlet, emitted) in transform.plan().outlets.iter().zip(&output.outlets) {
        let read = |index: usize| transform.plan().reads.iter().position(|read| *read == index);
        let rows = outlet_rows(outlet, emitted, |index| Some((&input[index], row.column(read(index)?))))?;
        gave.rows.extend(rows.into_iter().map(|row| (outlet.name.clone(), row)));
    }
    Ok(gave)
}

/// The rows of an output: what the plugin made, and what it passed on of what it read.
fn outlet_rows<'a>(
    outlet: &Outlet,
    emitted: &Emitted,
    read: impl Fn(usize) -> Option<(&'a Field, &'a ArrayRef)>,
) -> Result<Vec<String>> {
    let all = UInt32Array::from(vec![0]);
    let rows = emitted.rows.as_ref().unwrap_or(&all);
    let mut made = emitted.columns.iter();
    let (mut known, mut arrays) = (Vec::new(), Vec::new());
    for given in &outlet.gives {
        match given {
            Given::Made(field) => {
                known.push(field.clone());
                arrays.extend(made.next().cloned());
            }
            Given::Passed { input, name } => {
                if let Some((field, array)) = read(*input) {
                    known.push(Field { name: name.clone(), ..field.clone() });
                    arrays.push(take(array, rows, None)?);
                }
            }
        }
    }
    Ok((0..rows.len()).map(|row| row_json(&known, &arrays, row, true)).collect())
}

fn open_aggregate(opened: &Opened, plugin: &Plugin, config: &str) -> Result<Aggregate> {
    plugin.open_aggregate(config, &opened.input, &opened.keys).map_err(unopened)
}

fn aggregate(played: &Played<'_>, plugin: &Plugin, config: &str, written_by: Option<u32>) -> Result<Gave> {
    let Played { call: PluginCall { given, function, .. }, opened, .. } = played;
    let mut aggregate = open_aggregate(opened, plugin, config)?;
    let version = aggregate.plan().state_version;
    let from = written_by.filter(|from| *from != version);
    if let Some(from) = from.filter(|from| !aggregate.plan().reads_versions.contains(from)) {
        bail!("the plugin keeps accumulators of version {version}, and does not read those of version {from}");
    }
    let mut accumulator = |encoded: &Option<String>| {
        let known = decoded(encoded)?;
        match from {
            Some(from) if !known.value(0).is_empty() => Ok(aggregate.migrate(from, &known)?),
            _ => anyhow::Ok(known),
        }
    };
    let (own, into) = (accumulator(&given.accumulator)?, accumulator(&given.into)?);
    let is_known = !own.value(0).is_empty();
    match function {
        Function::Finish if is_known => {
            let keys = &opened.keys;
            let key = played.batch(keys, &[played.columns()?])?;
            let finished = aggregate.finish(&key, &own)?;
            Ok(finished_rows(keys, &key, &aggregate.plan().gives, finished))
        }
        Function::Merge if is_known && !into.value(0).is_empty() => {
            let merged = aggregate.merge(&into, &own)?;
            Ok(Gave { accumulator: Some(merged.value(0).len()), ..Gave::default() })
        }
        Function::Finish | Function::Merge => {
            bail!("the bundle holds no accumulator: it was made of personal data, or has more than 64 KiB")
        }
        _ => {
            let reads: Vec<Field> = aggregate.plan().reads.iter().map(|index| opened.input[*index].clone()).collect();
            let (folded, rejected) = aggregate.fold(&played.batch(&reads, &[played.columns()?])?, &[0], None, &own)?;
            Ok(Gave { rejected, accumulator: Some(folded.value(0).len()), ..Gave::default() })
        }
    }
}

/// One accumulator; an empty one if there is none.
fn decoded(encoded: &Option<String>) -> Result<BinaryArray> {
    let bytes = BASE64.decode(encoded.as_deref().unwrap_or_default()).context("an accumulator is no base64")?;
    Ok(BinaryArray::from_iter_values([bytes]))
}

fn assemble(played: &Played<'_>, plugin: &Plugin, config: &str) -> Result<Gave> {
    let Opened { tables, keys, .. } = played.opened;
    let mut assemble = plugin.open_assemble(config, tables, keys).map_err(unopened)?;
    let key = played.batch(keys, &[played.columns()?])?;
    let rows = played.call.given.tables.as_ref();
    let rows = rows.context("the bundle does not hold the group's rows: they were too many")?;
    if rows.len() != tables.len() {
        bail!("the bundle holds the rows of {} tables, and the plugin was opened with {}", rows.len(), tables.len());
    }
    let mut grouped = Vec::with_capacity(tables.len());
    for ((table, rows), reads) in tables.iter().zip(rows).zip(&assemble.plan().reads) {
        let reads: Vec<Field> = reads.iter().map(|index| table.fields[*index].clone()).collect();
        let rows: Vec<&RawValue> = rows.iter().map(AsRef::as_ref).collect();
        let batch = played.batch(&reads, &rows).with_context(|| format!("table `{}`", table.name))?;
        grouped.push((batch, [0, rows.len() as u32]));
    }
    let given: Vec<Grouped<'_>> = grouped.iter().map(|(rows, offsets)| Grouped { rows, offsets }).collect();
    let finished = assemble.assemble(&key, &given)?;
    Ok(finished_rows(keys, &key, &assemble.plan().gives, finished))
}

/// The row of the one group, if it has one: its key, then what the plugin gives.
fn finished_rows(keys: &[Field], key: &RecordBatch, gives: &[Field], finished: Finished) -> Gave {
    let (known, columns) = ([keys, gives].concat(), [key.columns(), &finished.columns].concat());
    let rows = (0..finished.groups.len()).map(|row| ("main".to_owned(), row_json(&known, &columns, row, true)));
    Gave { rows: rows.collect(), rejected: finished.rejected, accumulator: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(config_by_name: &str) -> (String, Vec<String>) {
        config(&Opened::with(config_by_name), &|name| (name == "SALT").then(|| "a secret".to_owned())).unwrap()
    }

    #[test]
    fn variables_have_the_values_of_the_machine_that_replays() {
        let (config, missing) = configured(r#"{"salt":"${SALT}","levels":["${LEVEL:-3}","x"],"column":"$offset"}"#);
        assert_eq!(serde_json::from_str::<Value>(&config).unwrap()["salt"], "a secret");
        assert_eq!(serde_json::from_str::<Value>(&config).unwrap()["levels"][0], 3);
        assert_eq!(serde_json::from_str::<Value>(&config).unwrap()["column"], "$offset");
        assert!(missing.is_empty());
    }

    #[test]
    fn a_variable_without_a_value_is_told_and_stands_for_itself() {
        let (config, missing) = configured(r#"{"salt":"${PEPPER}"}"#);
        assert!(config.contains("${PEPPER}") && missing[0].contains("`PEPPER`"), "{config} {missing:?}");
    }
}
