//! What an assemble makes of keys and tables, as the host sees it.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use azenha_sdk::{Assemble, Assembler, Batch, Column, ColumnBuilder, DataType, Field, Finished, Grouped, NoConfig};
use azenha_sdk::{Problem, RejectedRow, Rejection, Row, Strings, Table, TableFields, Tables, Values};

#[derive(Row)]
struct Customer<'a> {
    name: &'a str,
}

#[derive(Row)]
struct Parcel {
    grams: Option<i64>,
}

#[derive(Tables)]
struct Shipment<'a> {
    customers: Table<'a, Customer<'a>>,
    parcels: Table<'a, Parcel>,
}

#[derive(Row)]
struct Place<'a> {
    town: &'a str,
}

#[derive(Row)]
struct Label {
    text: String,
}

/// Labels what is sent to the customer of a town, and refuses what was not weighed.
struct Labels;

impl Assemble for Labels {
    type Config = NoConfig;
    type Key<'a> = Place<'a>;
    type Tables<'a> = Shipment<'a>;
    type Output<'a> = Label;

    fn open(_config: NoConfig) -> Result<Self, Problem> {
        Ok(Self)
    }

    fn assemble(&self, place: Place<'_>, shipment: Shipment<'_>) -> Result<Option<Label>, Rejection> {
        let Some(customer) = shipment.customers.first() else { return Ok(None) };
        let weight = shipment.parcels.iter().map(|parcel| parcel.grams).sum::<Option<i64>>();
        let (weight, parcels) = (weight.ok_or("a parcel was not weighed")?, shipment.parcels.len());
        Ok(Some(Label { text: format!("{}, {}: {parcels} of {weight} g", customer.name, place.town) }))
    }
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Text, false)
}

fn grams() -> Field {
    Field::new("grams", DataType::Int64, true)
}

fn table(name: &str, fields: Vec<Field>) -> TableFields {
    TableFields { name: name.to_owned(), fields }
}

fn tables() -> [TableFields; 3] {
    [
        table("parcels", vec![text("sender"), grams()]),
        table("depots", vec![text("street")]),
        table("customers", vec![text("name")]),
    ]
}

fn texts(values: &[&str]) -> Column {
    let mut column = ColumnBuilder::<&str>::default();
    values.iter().for_each(|value| column.push(value));
    column.finish()
}

fn weights(values: &[Option<i64>]) -> Column {
    let mut column = ColumnBuilder::<i64>::default();
    values.iter().for_each(|value| column.push_option(*value));
    column.finish()
}

fn grouped(column: Column, offsets: &[u32]) -> Grouped {
    let rows = offsets.last().copied().unwrap();
    Grouped { rows: Batch { rows, columns: vec![column] }, offsets: offsets.to_vec() }
}

fn problems(tables: &[TableFields], keys: &[Field]) -> Vec<Problem> {
    Assembler::<Labels>::open(NoConfig {}, tables, keys).err().unwrap()
}

#[test]
fn each_group_is_made_of_its_rows_in_every_table() {
    let keys = [text("country"), text("town")];
    let (labels, plan) = Assembler::<Labels>::open(NoConfig {}, &tables(), &keys).unwrap();
    assert_eq!(plan.reads, [vec![1], vec![], vec![0]]);
    assert_eq!(plan.gives, [text("text")]);
    let depots = Grouped { rows: Batch { rows: 0, columns: Vec::new() }, offsets: vec![0; 5] };
    let given = [
        grouped(weights(&[Some(5), Some(7), None, Some(9)]), &[0, 2, 2, 3, 4]),
        depots,
        grouped(texts(&["Ana", "Rui", "Eva"]), &[0, 1, 2, 3, 3]),
    ];
    let towns = texts(&["Porto", "Faro", "Braga", "Beja"]);
    let keys = Batch { rows: 4, columns: vec![texts(&["PT"; 4]), towns] };
    let expected = Finished {
        groups: vec![0, 1],
        columns: vec![texts(&["Ana, Porto: 2 of 12 g", "Rui, Faro: 0 of 0 g"])],
        rejected: vec![RejectedRow { row: 2, reason: "a parcel was not weighed".to_owned(), part: None }],
    };
    assert_eq!(labels.assemble(&keys, &given), Ok(expected));
}

#[test]
fn no_group_makes_no_row() {
    let (labels, _) = Assembler::<Labels>::open(NoConfig {}, &tables(), &[text("town")]).unwrap();
    let given = [grouped(weights(&[]), &[0]), grouped(texts(&[]), &[0]), grouped(texts(&[]), &[0])];
    let made = labels.assemble(&Batch { rows: 0, columns: vec![texts(&[])] }, &given).unwrap();
    let nothing = Values::Texts(Strings { offsets: vec![0], bytes: Vec::new() });
    assert_eq!((made.groups, made.columns), (vec![], vec![Column::of(nothing)]));
}

#[test]
fn everything_that_is_missing_or_does_not_fit_is_a_problem_with_its_table() {
    let weighed_in_text = table("parcels", vec![text("sender"), text("grams")]);
    let found = problems(&[table("depots", vec![text("street")]), weighed_in_text], &[text("country")]);
    let messages: Vec<_> = found.iter().map(|problem| (problem.message.as_str(), problem.input)).collect();
    assert_eq!(
        messages,
        [
            ("the key: there is no column `town`; there are country", None),
            ("there is no table `customers`; there are depots, parcels", None),
            ("table `parcels`: column `grams` is text, but the plugin reads it as int64", Some(2)),
        ]
    );
}
