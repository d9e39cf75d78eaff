//! Personal data, for those who may see it: no letter has it, so it is read where the record stands.

use std::collections::BTreeMap;

use arrow_array::BinaryArray;
use azenha_formats::Decoder;
use azenha_formats::json::row_json;
use azenha_model::Records;
use azenha_model::dead_letter::{Arguments, Basis, Bytes, DeadLetter, Original, PluginCall};
use azenha_model::plan::{Input, Plan, StreamInput};
use serde_json::value::RawValue;

use super::pack::{PackError, Told, decides_by_record};

const MICROS_PER_MILLI: i64 = 1_000;

/// Tells of a letter what it leaves out: the record, or the values of columns that a plugin read of it. `plan` is that of
/// its pipeline. What a step made of personal data is nowhere but in the letter, and stays masked.
///
/// # Errors
/// If the record does not say any more what it said.
pub fn reveal(mut told: Told, record: &Records, plan: &Plan) -> Result<Told, PackError> {
    if decides_by_record(&told.basis) {
        return Ok(Told { record: Some(original(record)), ..told });
    }
    if let (Basis::Call(call), Some(input)) = (&mut told.basis, input_of(plan, &told.letter)) {
        for name in columns(call, record, input)? {
            told.masked.remove(&name);
        }
    }
    Ok(told)
}

/// The stream that a letter's step reads as it comes.
fn input_of<'a>(plan: &'a Plan, letter: &DeadLetter) -> Option<&'a StreamInput> {
    plan.tasks.iter().find_map(|task| match &task.input {
        Input::Stream(input) if input.topic == letter.topic && task.first_step() == letter.step => Some(input),
        _ => None,
    })
}

fn original(record: &Records) -> Original {
    let bytes = |column: &BinaryArray| column.iter().next().flatten().map(Bytes::of);
    Original {
        timestamp: record.timestamps[0] / MICROS_PER_MILLI,
        key: bytes(&record.keys),
        value: bytes(&record.values),
    }
}

/// Puts the values of personal columns into what a plugin was given; their names.
fn columns(call: &mut PluginCall, record: &Records, input: &StreamInput) -> Result<Vec<String>, PackError> {
    let unreadable = |reason: &str| PackError::Failed(format!("the record cannot be read as it was: {reason}"));
    let members = |json: &str| {
        let read = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(json);
        read.map_err(|error| unreadable(&error.to_string()))
    };
    let Some(given) = &call.given.columns else { return Ok(Vec::new()) };
    let mut row = members(given.get())?;
    let is_wanted = |index: &usize| {
        let field = &input.columns[*index].field;
        field.pii && row.contains_key(&field.name)
    };
    let needed: Vec<usize> = (0..input.columns.len()).filter(is_wanted).collect();
    let mut decoder = Decoder::new(&StreamInput { needed: needed.clone(), ..input.clone() });
    if !decoder.missing(record).is_empty() {
        return Err(unreadable("its schema is in a registry"));
    }
    let decoded = decoder.decode(record);
    if let Some(refused) = decoded.rejected.first() {
        return Err(unreadable(&refused.reason));
    }
    let mut names = Vec::with_capacity(needed.len());
    for index in needed {
        let field = &input.columns[index].field;
        let array = decoded.columns[index].clone().ok_or_else(|| unreadable("a column is missing"))?;
        row.extend(members(&row_json(std::slice::from_ref(field), &[array], 0, false))?);
        names.push(field.name.clone());
    }
    let text = serde_json::to_string(&row).map_err(|error| unreadable(&error.to_string()))?;
    call.given.columns = Arguments::row(text).columns;
    Ok(names)
}
