//! What a transform makes of a batch, as the host sees it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

use azenha_sdk::{Batch, ByRow, Column, ColumnBuilder, ColumnTransform, Field, Given, NoConfig, Output, Plan, Problem};
use azenha_sdk::{DataType, Decimal, Json, RejectedRow, Rejection, Row, Selection, Strings, Transform, Values};

#[derive(Row)]
struct Word<'a> {
    word: Option<&'a str>,
    #[row(name = "timesSaid")]
    times_said: i64,
}

#[derive(Row)]
struct Said<'a> {
    said: &'a str,
}

/// Says each word as often as it should, and refuses negative numbers.
struct Repeat;

impl Transform for Repeat {
    type Config = NoConfig;
    type Input<'a> = Word<'a>;
    type Output<'a> = Vec<Said<'a>>;

    fn open(_config: NoConfig) -> Result<Self, Problem> {
        Ok(Self)
    }

    fn process<'a>(&self, word: Word<'a>) -> Result<Vec<Said<'a>>, Rejection> {
        let times = usize::try_from(word.times_said).map_err(|_| Rejection::of_part("timesSaid", "below zero"))?;
        Ok((0..times).map(|_| Said { said: word.word.unwrap_or("…") }).collect())
    }

    fn passes(&self, column: &str) -> Option<String> {
        (column == "word").then(|| "original".to_owned())
    }
}

fn fields() -> Vec<Field> {
    vec![
        Field::new("timesSaid", DataType::Int64, false),
        Field::new("word", DataType::Text, true),
        Field::new("unread", DataType::Json, true),
    ]
}

/// The columns in the order of the plan: the struct's.
fn batch(rows: &[(Option<&str>, i64)]) -> Batch {
    let mut words = ColumnBuilder::<&str>::default();
    rows.iter().for_each(|(word, _)| words.push_option(*word));
    let times = Column::of(Values::Int64s(rows.iter().map(|(_, times)| *times).collect()));
    Batch { rows: rows.len() as u32, columns: vec![words.finish(), times] }
}

fn open() -> (ByRow<Repeat>, Plan) {
    ByRow::<Repeat>::open(NoConfig {}, &fields()).unwrap()
}

#[test]
fn the_plan_reads_the_fields_of_the_struct_and_passes_what_the_transform_says() {
    let expected = Plan::main(
        vec![1, 0],
        vec![
            Given::Passed { input: 1, name: "original".to_owned() },
            Given::Made(Field::new("said", DataType::Text, false)),
        ],
    );
    assert_eq!(open().1, expected);
}

#[test]
fn each_row_gives_as_many_rows_as_were_made_of_it_and_refused_rows_give_none() {
    let output = open().0.process(&batch(&[(Some("a"), 2), (Some("b"), -1), (None, 1), (Some("c"), 0)])).unwrap();
    let said = Strings { offsets: vec![0, 1, 2, 5], bytes: "aa…".into() };
    let expected = Output {
        rejected: vec![RejectedRow { row: 1, reason: "below zero".to_owned(), part: Some("timesSaid".to_owned()) }],
        ..Output::main(Selection::Rows(vec![0, 0, 2]), vec![Column::of(Values::Texts(said))])
    };
    assert_eq!(output, expected);
}

#[test]
fn an_empty_batch_gives_an_empty_output() {
    let expected = Strings { offsets: vec![0], bytes: Vec::new() };
    let output = open().0.process(&batch(&[])).unwrap();
    assert_eq!(output.outputs[0].columns, [Column::of(Values::Texts(expected))]);
}

#[test]
fn a_batch_whose_columns_have_other_types_is_an_error() {
    let wrong =
        Batch { rows: 1, columns: vec![Column::of(Values::Int64s(vec![1])), Column::of(Values::Int64s(vec![1]))] };
    assert_eq!(open().0.process(&wrong).unwrap_err(), "column 0 of the batch is not text");
}

#[derive(Row)]
struct Everything {
    flag: Option<bool>,
    price: Option<Decimal<2>>,
    note: String,
}

#[test]
fn what_is_written_to_columns_is_read_back() {
    let rows = |row: i64| Everything {
        flag: (row % 3 != 0).then_some(row % 2 == 0),
        price: (row % 5 != 1).then(|| Decimal(i128::from(row) - (1 << 100))),
        note: "n".repeat(row as usize % 4),
    };
    let mut builders = Default::default();
    (0..20).for_each(|row| rows(row).write(&mut builders));
    let batch = Batch { rows: 20, columns: <Everything as Row>::finish(builders) };
    let columns = Everything::columns(&batch, &[Some(0), Some(1), Some(2)]).unwrap();
    for row in 0..20 {
        let (read, expected) = (Everything::read(&columns, row), rows(row as i64));
        assert_eq!((read.flag, read.price, read.note), (expected.flag, expected.price, expected.note), "row {row}");
    }
}

#[derive(Row)]
struct Basket<'a> {
    items: Json<&'a str>,
}

#[derive(Row)]
struct Units {
    units: i64,
}

/// A row for each item; what is no number is refused, and the others go on.
struct Unpack;

impl Transform for Unpack {
    type Config = NoConfig;
    type Input<'a> = Basket<'a>;
    type Output<'a> = Vec<Result<Units, Rejection>>;

    fn open(_config: NoConfig) -> Result<Self, Problem> {
        Ok(Self)
    }

    fn process(&self, basket: Basket<'_>) -> Result<Vec<Result<Units, Rejection>>, Rejection> {
        let items = basket.items.items()?.into_iter().enumerate();
        let units = |(index, item): (usize, Json<&str>)| match item.read() {
            Ok(units) => Ok(Units { units }),
            Err(_) => Err(Rejection::of_part(format!("items[{index}]"), "no number")),
        };
        Ok(items.map(units).collect())
    }
}

#[test]
fn parts_of_a_row_are_refused_and_the_others_give_rows() {
    let fields = [Field::new("items", DataType::Json, false)];
    let (mut unpack, _) = ByRow::<Unpack>::open(NoConfig {}, &fields).unwrap();
    let mut items = ColumnBuilder::<Json<&str>>::default();
    ["[1, \"two\", 3, null]", "{}", "[]", "[4]"].iter().for_each(|text| items.push(Json(text)));
    let output = unpack.process(&Batch { rows: 4, columns: vec![items.finish()] }).unwrap();
    let [emitted] = &output.outputs[..] else { panic!("{output:?}") };
    assert_eq!(emitted.rows, Selection::Rows(vec![0, 0, 3]));
    assert_eq!(emitted.columns, [Column::of(Values::Int64s(vec![1, 3, 4]))]);
    let refused: Vec<(u32, Option<&str>)> =
        output.rejected.iter().map(|refused| (refused.row, refused.part.as_deref())).collect();
    assert_eq!(refused, [(0, Some("items[1]")), (0, Some("items[3]")), (1, None)]);
}
