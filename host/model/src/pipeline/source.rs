//! Sources: what can be checked of them without looking at anything else.

use super::check_topic;
use super::column::ColumnDef;
use super::file::{EventTimeDef, Partitions, SourceDef};
use super::format::{source_format, source_objects};
use crate::names::unknown;
use crate::plan::{EventTime, Format, ObjectsInput, StreamColumn};
use crate::relation::OnTruncate;
use crate::types::DataType;
use crate::units::Micros;
use crate::yaml::{Entries, Named, Place, Report, Spanned};

/// A topic that a pipeline reads, by the name that the pipeline uses for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// What `from` and `--input` call it.
    pub name: Spanned<String>,
    /// The topic's name.
    pub topic: Spanned<String>,
    /// What records are written in.
    pub format: Spanned<Format>,
    /// The objects that records announce, if rows stand there.
    pub objects: Option<Spanned<ObjectsInput>>,
    /// The folder where those stand of which nobody tells any more.
    pub folder: Option<Spanned<String>>,
    /// The columns, and where they stand in a record.
    pub columns: Vec<StreamColumn>,
    /// Where the file names each column.
    pub column_places: Vec<Place>,
    /// Indices of the columns that identify a row, if rows replace each other.
    pub key: Option<Vec<usize>>,
    /// What is done when the table of a change stream is truncated.
    pub on_truncate: OnTruncate,
    /// How many partitions the file gives the topic if it does not exist yet.
    pub partitions: Option<Spanned<u32>>,
    /// Indices of the columns that decide in which partition a record stands; none: the file does not say.
    pub partitioned_by: Option<Vec<usize>>,
    /// When a row happened.
    pub event_time: Option<EventTime>,
}

const DEFAULT_IDLE_AFTER: Micros = Micros(60_000_000);

impl Source {
    /// The source, if its columns are right and exist where they are named; otherwise the report says why.
    pub(super) fn checked(source: Named<SourceDef>, report: &mut Report) -> Option<Self> {
        let Named { name, value: definition } = source;
        check_topic(&definition.topic, report);
        let format = source_format(&definition, name.place, report);
        check_change_stream(&name, &definition, &format.value, report);
        let objects = source_objects(&definition, report);
        let folder = folder(&definition, report);
        let columns = columns(&definition, &format.value, &name, report)?;
        let partitioned_by = definition
            .partitioned_by
            .filter(|names| !names.is_empty())
            .map(|names| partitioning(&names, &columns, report));
        let event_time = definition.event_time.and_then(|definition| event_time(&definition, &columns, report));
        let key = match &definition.key {
            Some(names) => Some(key(names, &columns, report)?),
            None => None,
        };
        let on_truncate = definition.on_truncate.as_ref().map(|wanted| wanted.value).unwrap_or_default();
        let named = definition.schema.as_ref().map_or(&[][..], |Entries(named)| named);
        let column_places = named.iter().map(|column| column.name.place).collect();
        let (topic, partitions) = (definition.topic, definition.partitions.map(|Partitions(wanted)| wanted));
        // Debezium writes all changes of a row to the partition of its key; of other writers nobody knows.
        let partitioned_by = partitioned_by.or_else(|| key.clone().filter(|_| format.value.is_change_stream()));
        Some(Self {
            name,
            topic,
            format,
            objects,
            folder,
            columns,
            column_places,
            key,
            on_truncate,
            partitions,
            partitioned_by,
            event_time,
        })
    }
}

/// Where the objects of the past stand.
fn folder(definition: &SourceDef, report: &mut Report) -> Option<Spanned<String>> {
    let folder = definition.folder.as_ref()?;
    if definition.objects.is_none() {
        report
            .error(folder.place, "records stand in a topic, not in a folder")
            .suggest("if they announce objects, say where those stand: `objects: CONNECTION`");
    } else if !is_folder(&folder.value) {
        report
            .error(folder.place, format!("objects cannot stand at `{}`", folder.value))
            .suggest("write names with `/` between them, without `=`: `shop/clicks`");
    }
    Some(folder.clone())
}

/// Whether objects can stand there: names with `/` between them, none of which looks like the folder of a partition.
pub(super) fn is_folder(path: &str) -> bool {
    let is_part =
        |part: &str| !matches!(part, "" | "." | "..") && !part.contains(|c: char| c.is_control() || "\\=".contains(c));
    path.split('/').all(is_part)
}

fn columns(
    definition: &SourceDef,
    format: &Format,
    source: &Spanned<String>,
    report: &mut Report,
) -> Option<Vec<StreamColumn>> {
    let definitions: &[Named<ColumnDef>] = definition.schema.as_ref().map_or(&[], |Entries(columns)| columns);
    if *format == Format::Bytes {
        if let Some(column) = definitions.first() {
            report
                .error(column.name.place, "nothing is read of records in `format: bytes`, so they have no columns")
                .suggest("leave `schema` out, or name the format that the records are in");
        }
        return definitions.is_empty().then(Vec::new);
    }
    let columns: Vec<StreamColumn> = definitions.iter().filter_map(|column| column.checked(report)).collect();
    if definitions.is_empty() {
        report
            .error(source.place, format!("the schema of source `{}` has no column", source.value))
            .suggest("name the columns that steps and sinks use: `schema: { id: text, … }`");
    }
    (columns.len() == definitions.len()).then_some(columns)
}

fn position(name: &Spanned<String>, columns: &[StreamColumn], report: &mut Report) -> Option<usize> {
    let found = columns.iter().position(|column| column.field.name == name.value);
    if found.is_none() {
        let known: Vec<&str> = columns.iter().map(|column| column.field.name.as_str()).collect();
        report.error(name.place, format!("the schema has no column `{}`", name.value)).suggest(unknown(
            &name.value,
            "its columns are",
            &known,
        ));
    }
    found
}

/// The columns that identify a row: at least one, never absent, none twice.
fn key(names: &Spanned<Vec<Spanned<String>>>, columns: &[StreamColumn], report: &mut Report) -> Option<Vec<usize>> {
    if names.value.is_empty() {
        report.error(names.place, "a key needs a column").suggest("write `[column, …]`");
        return None;
    }
    let mut key = Vec::new();
    for name in &names.value {
        let column = position(name, columns, report)?;
        if key.contains(&column) {
            report
                .error(name.place, format!("column `{}` stands in the key twice", name.value))
                .suggest("name each column once");
            return None;
        }
        if columns[column].field.nullable {
            report
                .error(name.place, format!("column `{}` may be absent, so it cannot be part of a key", name.value))
                .suggest("leave out the `?` after its type");
            return None;
        }
        key.push(column);
    }
    Some(key)
}

/// A change stream in Avro is that of a table, and only such a table can be truncated.
fn check_change_stream(name: &Spanned<String>, definition: &SourceDef, format: &Format, report: &mut Report) {
    if matches!(format, Format::DebeziumAvro { .. }) && definition.key.is_none() {
        report
            .error(name.place, format!("source `{}` is a change stream and needs a `key`", name.value))
            .suggest("name the columns that identify a row: `key: [id]`");
    }
    let is_table = format.is_change_stream() && definition.key.is_some();
    if let Some(wanted) = definition.on_truncate.as_ref().filter(|_| !is_table) {
        report
            .error(wanted.place, "only the table of a change stream can be truncated")
            .suggest("leave `on_truncate` out, or give the change stream a `key`");
    }
}

fn partitioning(names: &[Spanned<String>], columns: &[StreamColumn], report: &mut Report) -> Vec<usize> {
    names.iter().filter_map(|name| position(name, columns, report)).collect()
}

fn event_time(definition: &EventTimeDef, columns: &[StreamColumn], report: &mut Report) -> Option<EventTime> {
    let column = position(&definition.field, columns, report)?;
    let field = &columns[column].field;
    let written = format!("`{}`", field.name);
    if field.data_type != DataType::Timestamp {
        report
            .error(definition.field.place, format!("{written} is of type {}, not a timestamp", field.data_type))
            .suggest("give the column the type `timestamp(ms)`, `timestamp(s)`, `timestamp(us)` or `timestamp(iso)`");
    } else if field.nullable {
        report
            .error(definition.field.place, format!("{written} may be absent, but every row needs an event time"))
            .suggest("leave out the `?` after its type: records without it become dead letters");
    }
    let lateness = definition.lateness.unwrap_or(Micros(0)).0;
    let idle_after = definition.idle_after.unwrap_or(DEFAULT_IDLE_AFTER).0;
    Some(EventTime { column, lateness, idle_after, told: None })
}
