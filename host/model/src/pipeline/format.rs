//! What the records of a source or sink are written in.

use super::column::ColumnDef;
use super::file::{FormatDef, SourceDef, TopicSinkDef};
use crate::plan::{Format, Layout, ObjectsInput, SchemaKind};
use crate::registry::checked_url;
use crate::yaml::{Entries, Place, Report, Spanned};

/// The format of a source. `place` is that of what has the keys, for when they are left out.
pub(super) fn source_format(source: &SourceDef, place: Place, report: &mut Report) -> Spanned<Format> {
    let mut format = checked_format(source.format.as_ref(), source.registry.as_ref(), place, report);
    match (&mut format.value, &source.decimals) {
        (Format::Debezium { decimals }, Some(said)) => *decimals = said.value,
        (_, Some(said)) => {
            report
                .error(said.place, "`decimals` is for `format: debezium`")
                .suggest("leave it out: in other formats, every decimal says itself what it is");
        }
        (_, None) => {}
    }
    if !format.value.is_change_stream() {
        refuse_units_of_times(source.schema.as_ref(), report);
    }
    format
}

/// The format of a topic sink.
pub(super) fn sink_format(sink: &TopicSinkDef, place: Place, report: &mut Report) -> Spanned<Format> {
    let format = checked_format(sink.format.as_ref(), sink.registry.as_ref(), place, report);
    if let Some(written) = &sink.format
        && matches!(written.value, FormatDef::Bytes | FormatDef::Parquet)
    {
        report
            .error(written.place, "rows cannot be written to a topic in this format")
            .suggest("write `json`, `avro` or `json-schema`");
    }
    if format.value.is_change_stream() {
        report
            .error(format.place, "a topic cannot be written as a change stream: only a database has one")
            .suggest("write `format: json` (or `avro`, `json-schema`) with a `key`: deletes become tombstones");
    }
    format
}

/// The objects that a source reads.
pub(super) fn source_objects(source: &SourceDef, report: &mut Report) -> Option<Spanned<ObjectsInput>> {
    let format = source.format.as_ref().map_or(FormatDef::Json, |format| format.value);
    let layout = match format {
        FormatDef::Parquet => Layout::Parquet,
        FormatDef::Json | FormatDef::Bytes | FormatDef::Debezium => Layout::Lines,
        FormatDef::Avro | FormatDef::JsonSchema | FormatDef::DebeziumAvro => Layout::Record,
    };
    match (&source.objects, layout) {
        (Some(connection), Layout::Record) => {
            report
                .error(connection.place, "objects in this format cannot be read")
                .suggest("write `format: json`, `debezium`, `bytes` or `parquet`");
            None
        }
        (None, Layout::Parquet) => {
            let place = source.format.as_ref().map_or(source.topic.place, |format| format.place);
            report
                .error(place, "the records of a topic are no Parquet files")
                .suggest("if they announce such objects, say where those stand: `objects: CONNECTION`");
            None
        }
        (connection, layout) => {
            let input = |connection: &Spanned<String>| Spanned {
                value: ObjectsInput { connection: connection.value.clone(), layout },
                place: connection.place,
            };
            connection.as_ref().map(input)
        }
    }
}

/// The format that the keys `format` and `registry` give.
fn checked_format(
    format: Option<&Spanned<FormatDef>>,
    registry: Option<&Spanned<String>>,
    default_place: Place,
    report: &mut Report,
) -> Spanned<Format> {
    let place = format.map_or(default_place, |format| format.place);
    let written = format.map_or(FormatDef::Json, |format| format.value);
    if let (FormatDef::Json | FormatDef::Bytes | FormatDef::Parquet | FormatDef::Debezium, Some(registry)) =
        (written, registry)
    {
        report.error(registry.place, "records in this format have no schema in a registry").suggest(match written {
            FormatDef::Debezium => "write `format: debezium-avro`, or leave this out",
            _ => "add `format: avro` or `format: json-schema`, or leave this out",
        });
    }
    let mut registry = || registry.and_then(|registry| checked_url(registry, report));
    let value = match written {
        // What a Parquet file holds, it says itself.
        FormatDef::Json | FormatDef::Parquet => Format::Json,
        FormatDef::Bytes => Format::Bytes,
        FormatDef::Avro => Format::Registered { kind: SchemaKind::Avro, registry: registry() },
        FormatDef::JsonSchema => Format::Registered { kind: SchemaKind::JsonSchema, registry: registry() },
        FormatDef::Debezium => Format::Debezium { decimals: Default::default() },
        FormatDef::DebeziumAvro => Format::DebeziumAvro { registry: registry() },
    };
    Spanned { value, place }
}

/// Only change streams have times as numbers.
fn refuse_units_of_times(schema: Option<&Entries<ColumnDef>>, report: &mut Report) {
    let columns = schema.iter().flat_map(|Entries(columns)| columns);
    for written in columns.map(|column| &column.value.data_type) {
        if written.value.starts_with("time(") {
            report
                .error(written.place, format!("`{}` is for change streams: elsewhere a time is text", written.value))
                .suggest("write `time`: \"23:59:59.5\"");
        }
    }
}
