//! Misbehaves in the way that its configuration names, for the host's tests:
//! `{"do": "endless_loop"}`. It reads the first text column of its input and makes one called `made`.

use std::hint::black_box;

use azenha_sdk::{Batch, Column, ColumnBuilder, ColumnTransform, DataType, Field, Given, Output, Plan, Problem};
use azenha_sdk::{Selection, Strings, Values};
use serde::Deserialize;

/// The configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What to do with each batch.
    #[serde(rename = "do")]
    deed: Deed,
}

/// Ways to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Nothing wrong: `made` is the text column.
    Behave,
    /// Never returns.
    EndlessLoop,
    /// Computes for seconds, then behaves.
    Slow,
    /// Asks for memory until there is none.
    EndlessAllocation,
    /// Calls itself until the stack ends.
    DeepRecursion,
    /// Panics at a row whose text holds `panic`; otherwise behaves.
    PanicOn,
    /// Fails each batch with an error.
    FailEverything,
    /// Gives a column that has one row too many.
    WrongLength,
    /// Gives offsets that decrease.
    OffsetsBackwards,
    /// Gives offsets past the end of the bytes.
    OffsetsOutOfRange,
    /// Gives text that is not UTF-8.
    InvalidUtf8,
    /// Gives ten million rows for each batch.
    TenMillionRows,
    /// Gives rows that come from no input row.
    UnknownRows,
}

/// The transform.
pub struct Hostile {
    deed: Deed,
}

impl ColumnTransform for Hostile {
    type Config = Config;

    fn open(config: Config, input: &[Field]) -> Result<(Self, Plan), Vec<Problem>> {
        let text = input.iter().position(|field| field.data_type == DataType::Text);
        let text = text.ok_or_else(|| vec![Problem::new("there is no text column to read")])? as u32;
        let passed = Given::Passed { input: text, name: input[text as usize].name.clone() };
        let made = Given::Made(Field::new("made", DataType::Text, true));
        // Ten million rows must fit into the memory, or it is that limit which is tested.
        let gives = if config.deed == Deed::TenMillionRows { vec![passed] } else { vec![passed, made] };
        Ok((Self { deed: config.deed }, Plan::main(vec![text], gives)))
    }

    fn process(&mut self, batch: &Batch) -> Result<Output, String> {
        let rows = batch.rows as usize;
        match self.deed {
            Deed::Behave => {}
            Deed::EndlessLoop => loop {
                black_box(());
            },
            Deed::Slow => compute_for_seconds(),
            Deed::EndlessAllocation => allocate_endlessly(),
            Deed::DeepRecursion => {
                black_box(recurse(0));
            }
            Deed::PanicOn => panic_on_row(batch)?,
            Deed::FailEverything => return Err("this plugin fails on everything".to_owned()),
            Deed::WrongLength => return Ok(made(vec![0; rows + 2], Vec::new())),
            Deed::OffsetsBackwards => return Ok(made((0..=rows as i32).rev().collect(), vec![b'a'; rows])),
            Deed::OffsetsOutOfRange => return Ok(made((0..=rows as i32).map(|row| row * 1000).collect(), vec![b'a'])),
            Deed::InvalidUtf8 => return Ok(made((0..=rows as i32).collect(), vec![0xff; rows])),
            Deed::TenMillionRows => return Ok(Output::main(Selection::Rows(vec![0; 10_000_000]), Vec::new())),
            Deed::UnknownRows => return Ok(Output::main(Selection::Rows(vec![batch.rows; rows]), copy(batch)?)),
        }
        Ok(Output::main(Selection::All, copy(batch)?))
    }
}

/// A column of text made of any offsets and bytes.
fn made(offsets: Vec<i32>, bytes: Vec<u8>) -> Output {
    Output::main(Selection::All, vec![Column::of(Values::Texts(Strings { offsets, bytes }))])
}

/// What a well-behaved plugin makes.
fn copy(batch: &Batch) -> Result<Vec<Column>, String> {
    let mut copied = ColumnBuilder::<&str>::default();
    for text in batch.column::<&str>(0)?.iter() {
        copied.push_option(text);
    }
    Ok(vec![copied.finish()])
}

fn compute_for_seconds() {
    for step in 0..10_000_000_000u64 {
        black_box(step);
    }
}

fn allocate_endlessly() -> ! {
    let mut held = Vec::new();
    loop {
        held.push(black_box(vec![1u8; 1 << 20]));
    }
}

/// Not a tail call: the optimiser cannot make a loop of it.
#[expect(unconditional_recursion, reason = "that is the point")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(depth + 1) + frame[(depth % 64) as usize]
}

fn panic_on_row(batch: &Batch) -> Result<(), String> {
    for text in batch.column::<&str>(0)?.iter().flatten() {
        assert!(!text.contains("panic"), "the row says `{text}`");
    }
    Ok(())
}

azenha_sdk::column_transform!(Hostile);
