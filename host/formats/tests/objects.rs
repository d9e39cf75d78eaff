//! Rows to objects and back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, Date32Array, Decimal128Array, DictionaryArray, Int64Array, RecordBatch, StringArray,
};
use azenha_formats::objects::{
    Batch, FilePiece, ObjectError, ObjectWriter, ParquetRows, Parts, TextRecords, compressed, extension, records_in,
};
use azenha_model::plan::{Compression, Layout, OutputColumn, ReaderHints, StreamColumn, TimeFormat};
use azenha_model::{DataType, Field};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};

fn columns() -> Vec<OutputColumn> {
    let fields = [
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Text, true),
        Field::new("price", DataType::Decimal { scale: 2 }, true),
    ];
    let column = |(input, field)| OutputColumn { input, field, time_format: TimeFormat::default() };
    fields.into_iter().enumerate().map(column).collect()
}

fn rows(from: i64, to: i64) -> Vec<ArrayRef> {
    let names: StringArray = (from..to).map(|id| (id % 3 > 0).then(|| format!("name {}", id % 1_000))).collect();
    let prices = Decimal128Array::from_iter_values((from..to).map(|id| i128::from(id) * 25));
    let prices = prices.with_precision_and_scale(38, 2).unwrap();
    vec![Arc::new(Int64Array::from_iter_values(from..to)), Arc::new(names), Arc::new(prices)]
}

/// An object of the rows `0..count`, in batches of a size.
fn object(layout: Layout, compression: Compression, count: i64, batch: i64) -> Bytes {
    let mut writer = ObjectWriter::new(Vec::new(), layout, compression, &columns(), &ReaderHints::default()).unwrap();
    for from in (0..count).step_by(batch as usize) {
        let to = count.min(from + batch);
        assert_eq!(writer.write(&rows(from, to), (to - from) as usize).unwrap(), []);
    }
    writer.finish().unwrap().into()
}

const KINDS: [(Layout, Compression); 5] = [
    (Layout::Parquet, Compression::Zstd),
    (Layout::Parquet, Compression::None),
    (Layout::Json, Compression::Zstd),
    (Layout::Json, Compression::Gzip),
    (Layout::Json, Compression::None),
];

#[test]
fn the_same_rows_make_the_same_bytes_however_they_are_cut_into_batches() {
    for (layout, compression) in KINDS {
        let whole = object(layout, compression, 250_000, 250_000);
        for batch in [999, 4_096, 122_880, 130_000] {
            assert!(object(layout, compression, 250_000, batch) == whole, "{layout} {compression:?}, {batch} rows");
        }
    }
}

fn stream() -> Vec<StreamColumn> {
    let mut fields: Vec<Field> = columns().into_iter().map(|column| column.field).collect();
    fields.push(Field::new("day", DataType::Date, true));
    fields.push(Field::new("missing", DataType::Int64, true));
    let column = |field: Field| StreamColumn { path: vec![field.name.clone()], field, time_format: TimeFormat::Iso };
    fields.into_iter().map(column).collect()
}

fn parts() -> Parts {
    BTreeMap::from([("day".to_owned(), Some("1970-01-03".to_owned()))])
}

/// What a file gives in batches of at most so many rows.
fn pieces(
    file: Bytes,
    columns: &[StreamColumn],
    needed: &[usize],
    batch_rows: usize,
) -> Result<Vec<FilePiece>, ObjectError> {
    ParquetRows::open(Arc::new(file), columns, needed, parts(), batch_rows)?.collect()
}

/// The rows of a file that has no others.
fn read(file: Bytes, columns: &[StreamColumn], needed: &[usize]) -> Result<Vec<Batch>, ObjectError> {
    let rows = |piece| match piece {
        FilePiece::Rows(batch) => batch,
        FilePiece::Refused(error) => panic!("{error}"),
    };
    Ok(pieces(file, columns, needed, 4_096)?.into_iter().map(rows).collect())
}

#[test]
fn what_a_parquet_file_lacks_is_taken_from_its_folders_or_null() {
    let file = object(Layout::Parquet, Compression::Zstd, 10_000, 4_096);
    let read = read(file, &stream(), &[0, 2, 3, 4]).unwrap();
    assert_eq!(read.iter().map(|(_, rows)| *rows).collect::<Vec<_>>(), [4_096, 4_096, 1_808]);
    let (arrays, rows) = read.last().unwrap();
    let array = |index: usize| arrays[index].clone().unwrap();
    assert_eq!(array(0).as_primitive::<Int64Type>().value(rows - 1), 9_999);
    assert_eq!(array(3).as_primitive::<Date32Type>(), &Date32Array::from(vec![2; *rows]));
    assert_eq!(array(4).null_count(), *rows);
    assert!(arrays[1].is_none(), "nobody reads it");
}

#[test]
fn a_file_that_does_not_fit_says_why() {
    let file = object(Layout::Parquet, Compression::Zstd, 9, 9);
    let told = |file: &Bytes, columns: &[StreamColumn]| {
        let needed: Vec<usize> = (0..columns.len()).collect();
        read(file.clone(), columns, &needed).unwrap_err().to_string()
    };
    let changed = |column: usize, data_type: DataType, nullable: bool| {
        let mut columns = stream();
        let field = &mut columns[column].field;
        (field.data_type, field.nullable) = (data_type, nullable);
        columns
    };
    let wrong = [
        (changed(4, DataType::Int64, false), "column `missing` has no value"),
        (changed(2, DataType::Date, true), "column `price` is of type Decimal128(38, 2) and not date"),
        (changed(3, DataType::Int64, true), "column `day` is of type Utf8 and not int64"),
    ];
    for (columns, reason) in wrong {
        assert_eq!(told(&file, &columns), reason);
    }
    for broken in [Bytes::new(), Bytes::from_static(b"PAR1PAR1"), file.slice(..file.len() / 2)] {
        assert!(!told(&broken, &stream()).is_empty());
    }
}

#[test]
fn a_row_that_does_not_fit_is_refused_alone_however_many_are_read_at_once() {
    let wrong = [17, 18, 4_095, 4_096, 9_999];
    let name = |row: i64| match row {
        18 => None,
        row if wrong.contains(&row) => Some("many".to_owned()),
        row => Some(row.to_string()),
    };
    let mut arrays = rows(0, 10_000);
    arrays[1] = Arc::new((0..10_000).map(name).collect::<StringArray>());
    let mut writer =
        ObjectWriter::new(Vec::new(), Layout::Parquet, Compression::Zstd, &columns(), &ReaderHints::default()).unwrap();
    assert_eq!(writer.write(&arrays, 10_000).unwrap(), []);
    let file: Bytes = writer.finish().unwrap().into();
    let mut columns = stream();
    (columns[1].field.data_type, columns[1].field.nullable) = (DataType::Int64, false);

    for batch_rows in [1, 100, 4_096, 10_000] {
        let (mut given, mut refused, mut row) = (Vec::new(), Vec::new(), 0);
        for piece in pieces(file.clone(), &columns, &[0, 1], batch_rows).unwrap() {
            match piece {
                FilePiece::Rows((arrays, rows)) => {
                    given.extend_from_slice(arrays[1].clone().unwrap().as_primitive::<Int64Type>().values());
                    row += rows as i64;
                }
                FilePiece::Refused(error) => {
                    refused.push((row, error.to_string()));
                    row += 1;
                }
            }
        }
        let fitting: Vec<i64> = (0..10_000).filter(|row| !wrong.contains(row)).collect();
        assert!(given == fitting, "{batch_rows} rows at once");
        let reason = |row| if row == 18 { "has no value" } else { "is of type Utf8 and not int64" };
        assert_eq!(
            refused,
            wrong.map(|row| (row, format!("column `name` {}", reason(row)))),
            "{batch_rows} rows at once"
        );
    }
}

#[test]
fn a_wrong_value_in_a_dictionary_is_one_of_the_rows_that_have_it() {
    let names: DictionaryArray<Int32Type> = ["1", "many", "1"].into_iter().collect();
    let batch = RecordBatch::try_from_iter([("name", Arc::new(names) as ArrayRef)]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let mut columns = stream();
    columns[1].field.data_type = DataType::Int64;
    let given = pieces(writer.into_inner().unwrap().into(), &columns, &[1], 4_096).unwrap();
    let refused: Vec<bool> = given.iter().map(|piece| matches!(piece, FilePiece::Refused(_))).collect();
    assert_eq!(refused, [false, true, false]);
}

/// Files that somebody else, or a broken disk, left: rows or a reason, and the process goes on.
#[test]
fn no_damage_to_a_file_ends_the_process() {
    let file = object(Layout::Parquet, Compression::Zstd, 3_000, 3_000);
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..2_000 {
        let mut damaged = file.to_vec();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..damaged.len());
            damaged[at] = random.u8(..);
        }
        let _ = pieces(damaged.into(), &stream(), &[0, 1, 2], 4_096);
    }
}

#[test]
fn a_record_is_one_line_as_it_came_and_what_cannot_be_one_is_a_string() {
    let values = BinaryArray::from_opt_vec(vec![
        Some(b"{\"a\": 1}".as_slice()),
        Some(b"{\n \"a\": 2\r\n}"),
        Some(b"{\n\t\"a\\b\": \"\xc3\xa7\xc3\r"),
        Some(b"{broken"),
        None,
    ]);
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let mut writer =
            ObjectWriter::new(Vec::new(), Layout::Lines, compression, &[], &ReaderHints::default()).unwrap();
        assert_eq!(writer.write(&[Arc::new(values.clone())], values.len()).unwrap(), []);
        let name = format!("lines{}", extension(Layout::Lines, compression));
        let lines = text(&name, Layout::Lines, writer.finish().unwrap()).unwrap();
        let quoted = b"\"{\\n\\u0009\\\"a\\\\b\\\": \\\"\xc3\xa7\xc3\\r\"".as_slice();
        let expected = [b"{\"a\": 1}".as_slice(), b"{  \"a\": 2  }", quoted, b"{broken", b"null"];
        assert_eq!(lines, expected, "{name}");
    }
}

/// The records of an object of text.
fn text(name: &str, layout: Layout, content: impl Into<Bytes>) -> Result<Vec<Bytes>, ObjectError> {
    TextRecords::open(name, layout, Arc::new(content.into()))?.collect()
}

#[test]
fn a_packed_object_that_is_not_what_its_name_says_is_refused() {
    let packed = compressed(b"a line\n", Compression::Gzip).unwrap();
    for (name, content) in [("a.ndjson.zst", packed.clone()), ("a.ndjson.gz", packed.slice(..packed.len() / 2))] {
        assert!(text(name, Layout::Lines, content.clone()).is_err());
        assert_eq!(records_in(name, Layout::Lines, Arc::new(content)), 0);
    }
    let plain = text("a.json", Layout::Record, packed.clone()).unwrap();
    assert_eq!(plain, [packed], "a name without an ending says nothing");
}

#[test]
fn records_are_lines_or_all_of_an_object() {
    for (content, lines) in
        [("", &[][..]), ("a", &["a"]), ("a\n", &["a"]), ("\n\na\nb\n\n", &["", "", "a", "b", ""]), ("a\r\n", &["a\r"])]
    {
        assert_eq!(text("a", Layout::Lines, content).unwrap(), lines, "{content:?}");
        let whole: &[&str] = if content.is_empty() { &[] } else { &[content] };
        assert_eq!(text("a", Layout::Record, content).unwrap(), whole, "{content:?}");
    }
}

#[test]
fn only_records_that_say_something_count() {
    let counted = |layout, content: &'static str| records_in("a", layout, Arc::new(Bytes::from(content)));
    for (content, records) in [("", 0), ("{}", 1), ("{}\n", 1), ("\n{}\nnull\n\n1\nnull", 2), ("nullable\n", 1)] {
        assert_eq!(counted(Layout::Lines, content), records, "{content:?}");
    }
    assert_eq!(["null", "nullable", "{\n}\n", ""].map(|content| counted(Layout::Record, content)), [0, 1, 1, 0]);
}

/// Rows in no order: the ids of three row groups, and each name several times.
fn scattered(hints: &ReaderHints, batch: i64) -> Bytes {
    let mut writer = ObjectWriter::new(Vec::new(), Layout::Parquet, Compression::Zstd, &columns(), hints).unwrap();
    for from in (0..300_000_i64).step_by(batch as usize) {
        let ids = (from..300_000.min(from + batch)).map(|number| number * 7_919 % 300_007);
        let rows: Vec<Vec<ArrayRef>> = ids.map(|id| rows(id, id + 1)).collect();
        let column = |index: usize| {
            let parts: Vec<&dyn Array> = rows.iter().map(|row| row[index].as_ref()).collect();
            arrow_select::concat::concat(&parts).unwrap()
        };
        writer.write(&[column(0), column(1), column(2)], rows.len()).unwrap();
    }
    writer.finish().unwrap().into()
}

#[test]
fn each_row_group_is_sorted_whatever_the_batches_and_rows_keep_together() {
    let hints = ReaderHints { sort_by: vec![1, 0], bloom: vec![] };
    let file = scattered(&hints, 4_096);
    assert!(file == scattered(&hints, 50_000), "the file depends on batches");
    let (mut sorted, mut seen) = (Vec::new(), 0);
    for (arrays, rows) in read(file, &stream(), &[0, 1, 2]).unwrap() {
        let array = |index: usize| arrays[index].clone().unwrap();
        let (ids, names) = (array(0), array(1));
        for row in 0..rows {
            let id = ids.as_primitive::<Int64Type>().value(row);
            let name = names.is_valid(row).then(|| names.as_string::<i32>().value(row).to_owned());
            assert_eq!(name, (id % 3 > 0).then(|| format!("name {}", id % 1_000)), "the row of {id} was taken apart");
            if seen % 122_880 == 0 {
                assert!(sorted.is_sorted());
                sorted.clear();
            }
            sorted.push((name, id));
            seen += 1;
        }
    }
    assert!(sorted.is_sorted() && seen == 300_000);
}

#[test]
fn a_bloom_filter_says_which_row_groups_cannot_hold_a_value() {
    let file = scattered(&ReaderHints { sort_by: vec![], bloom: vec![0] }, 50_000);
    let groups = ReadOptionsBuilder::new()
        .with_reader_properties(ReaderProperties::builder().set_read_bloom_filter(true).build());
    let reader = SerializedFileReader::new_with_options(file, groups.build()).unwrap();
    let may_hold = |id: i64| {
        let groups = (0..reader.num_row_groups()).map(|group| reader.get_row_group(group).unwrap());
        let filters: Vec<bool> = groups.map(|group| group.get_column_bloom_filter(0).unwrap().check(&id)).collect();
        filters.iter().filter(|may| **may).count()
    };
    let found: Vec<usize> = (0..1_000).map(may_hold).collect();
    assert!(found.iter().all(|groups| *groups >= 1), "a filter denies what is there");
    let wrong: usize = (1_000_000..1_001_000).map(may_hold).sum();
    assert!(wrong < 150, "the filters of three row groups say yes {wrong} times of 3,000");
}
