//! Sinks in object stores, and streams of what they wrote.

use super::super::Source;
use super::super::file::{CompressionDef, LayoutDef, ObjectsSinkDef, Partitions, RollDef, SinkColumns, SinkDef};
use super::super::source::is_folder;
use super::stream::{Rows, Stream};
use super::{Outcome, Reported, Resolver};
use crate::plan::{
    Compression, End, Layout, ObjectsInput, ObjectsOutput, OutputColumn, PartitionColumn, Roll, StreamColumn,
    TimeFormat, TopicKind,
};
use crate::types::{DataType, Field, meta};
use crate::units::{Bytes, Micros};
use crate::yaml::{Named, Place, Report, Spanned};

/// Rows, bytes and microseconds after which objects end.
const DEFAULT_ROLL: Roll = Roll { rows: 1_000_000, bytes: 64 << 20, every: 60_000_000 };

/// Microseconds after which the object of a folder may be replaced again.
const REPLACED_EVERY: i64 = 10_000_000;

/// Bytes that the open objects of a lane may have: hosts that read an object take it as a whole.
const MOST_BYTES: u64 = 1 << 30;

/// What a folder of dates is called that a record's own timestamp decides.
const DATE: &str = "date";

impl Resolver<'_> {
    pub(super) fn objects_sink(&mut self, name: &Spanned<String>, sink: &ObjectsSinkDef) -> Outcome<()> {
        self.check_objects(name, sink)?;
        let is_table = self.streams.get(&sink.from.value).is_some_and(|stream| stream.rows.changes.is_some());
        if is_table || self.tables.contains_key(&sink.from.value) {
            return self.replaced_objects(name, sink);
        }
        let stream = self.stream_of_additions(&sink.from, "an object that only grows")?;
        let stream = self.tell_version(&sink.from.value, sink.version_column.as_ref(), stream);
        let output = self.objects_output(name, sink, &stream.rows)?;
        self.leave_objects(name, sink, &output, &stream.rows);
        self.sources_of(name);
        let partitions = stream.rows.partitions;
        let reads = output.columns.iter().map(|column| column.input);
        let reads = reads.chain(output.partition_by.iter().map(|column| column.input)).collect();
        self.push_stream_task(&name.value, stream, reads, End::Objects(output));
        self.add_changelog(&name.value, partitions, name.place);
        Ok(())
    }

    /// Takes the sources in that read what a sink writes.
    fn sources_of(&mut self, sink: &Spanned<String>) {
        for (index, source) in self.file.sources.iter().enumerate() {
            if self.file.announcer(source).is_some_and(|announcer| announcer.name.value == sink.value) {
                self.source(index, source, TopicKind::Output);
            }
        }
    }

    pub(super) fn check_source_objects(&mut self, source: &Source) {
        if let Some(objects) = &source.objects {
            self.check_objects_connection(&objects.value.connection, objects.place);
        }
    }

    fn check_objects_connection(&mut self, connection: &str, place: Place) {
        if let Err(help) = self.surroundings.has_objects(connection) {
            self.report.error(place, format!("there is no connection `{connection}` for objects")).suggest(help);
        }
    }

    /// A table's rows: those of each folder are one object, and the lane that owns the folder replaces it.
    fn replaced_objects(&mut self, name: &Spanned<String>, sink: &ObjectsSinkDef) -> Outcome<()> {
        let table = self.table(&sink.from)?;
        let rows = table.as_rows();
        if let Some(format) = sink.format.as_ref().filter(|format| Layout::from(format.value).is_raw()) {
            let message = format!("`{}` is a table, whose rows are no records", sink.from.value);
            self.report.error(format.place, message).suggest("write `parquet` or `json`");
            return Err(Reported);
        }
        if let Some(version) = &sink.version_column {
            let message = format!(
                "`{}` is a table, of which whole objects are replaced: the version that did it need not be the one that \
                 made a row",
                sink.from.value
            );
            let help = "leave `version_column` out, or give it to a topic sink with a key and read that";
            return self.wrong(version.place, message, help);
        }
        let Some(names) = &sink.partition_by else {
            let message =
                format!("`{}` is a table: a change of a row replaces the object that it stands in", sink.from.value);
            self.report
                .error(sink.objects.place, message)
                .suggest("say which rows share one: `partition_by: [column, …]`, for instance a date");
            return Err(Reported);
        };
        let by = self.columns(&names.value, &rows.fields)?;
        let mut output = self.objects_output(name, sink, &rows)?;
        self.check_replaced(sink, &rows, &output)?;
        if sink.roll.as_ref().is_none_or(|roll| roll.every.is_none()) {
            output.roll.every = REPLACED_EVERY;
        }
        self.announce(sink, rows.partitions);
        self.refuse_followers(name);
        self.related_objects(name, (&sink.from, table), by, output)
    }

    /// Objects that are replaced cannot be followed: what was announced may be gone when it is read.
    fn refuse_followers(&mut self, sink: &Spanned<String>) {
        let file = self.file;
        let follows = |source: &&Source| file.announcer(source).is_some_and(|by| by.name.value == sink.value);
        for source in file.sources.iter().filter(follows) {
            self.report
                .error(
                    source.topic.place,
                    format!("sink `{}` replaces its objects, so they cannot be followed", sink.value),
                )
                .suggest("read what the sink reads");
        }
    }

    fn check_replaced(&mut self, sink: &ObjectsSinkDef, rows: &Rows, output: &ObjectsOutput) -> Outcome<()> {
        let limits = sink.roll.iter().flat_map(|roll| {
            let rows = roll.rows.as_ref().map(|rows| ("rows", rows.place));
            rows.into_iter().chain(roll.bytes.as_ref().map(|bytes| ("bytes", bytes.place)))
        });
        let of_time = output.partition_by.iter().find(|part| is_date_of_time(rows, part));
        let (place, message, help) = if let Some(part) = of_time {
            let place = sink.partition_by.as_ref().map_or(sink.from.place, |names| names.place);
            let message =
                format!("folder `{}` would be made of a timestamp, but a table's rows move by column", part.name);
            (place, message, "make a column of type date, for instance with `rename`, and part by that")
        } else if let Some((key, place)) = limits.into_iter().next() {
            let message = format!("the rows of a folder are one object, whatever their number: `{key}` ends none");
            (place, message, "write only `roll: { every: … }`: how often, at most, a folder's object is replaced")
        } else {
            return Ok(());
        };
        self.report.error(place, message).suggest(help);
        Err(Reported)
    }

    fn check_objects(&mut self, name: &Spanned<String>, sink: &ObjectsSinkDef) -> Outcome<()> {
        let connection = &sink.connection;
        self.check_objects_connection(&connection.value, connection.place);
        if !is_folder(&sink.objects.value) {
            self.report
                .error(sink.objects.place, format!("objects cannot stand at `{}`", sink.objects.value))
                .suggest("write names with `/` between them, without `=`: `shop/clicks`");
            return Err(Reported);
        }
        let same = |other: &&Named<SinkDef>| match &other.value {
            SinkDef::Objects(other) => {
                (&other.connection.value, &other.objects.value) == (&connection.value, &sink.objects.value)
            }
            _ => false,
        };
        let first = self.file.sinks.iter().find(same).filter(|first| first.name.value != name.value);
        if let Some(first) = first {
            let message = format!("sink `{}` writes objects there already", first.name.value);
            self.report.error(sink.objects.place, message).suggest("write another place");
            return Err(Reported);
        }
        self.check_announced(name, sink)
    }

    /// A topic of announcements has one writer; sources of the same file may read it.
    fn check_announced(&mut self, name: &Spanned<String>, sink: &ObjectsSinkDef) -> Outcome<()> {
        let Some(topic) = &sink.announce else { return Ok(()) };
        let reads_records = |source: &&Source| source.topic.value == topic.value && source.objects.is_none();
        let message = if let Some(source) = self.file.sources.iter().find(reads_records) {
            format!("source `{}` reads the records of topic `{}`, not objects", source.name.value, topic.value)
        } else if self.file.writes_topic(&topic.value, &name.value) {
            format!("another sink writes topic `{}` already", topic.value)
        } else {
            return Ok(());
        };
        self.report.error(topic.place, message).suggest("announce the objects in another topic");
        Err(Reported)
    }

    fn objects_output(&mut self, name: &Spanned<String>, sink: &ObjectsSinkDef, rows: &Rows) -> Outcome<ObjectsOutput> {
        let layout = sink.format.as_ref().map_or(Layout::Parquet, |format| format.value.into());
        let compression = self.compression(sink, layout)?;
        let partition_by = self.partition_columns(sink, rows)?;
        let mut columns = self.object_columns(name, sink, layout, rows)?;
        if layout == Layout::Parquet {
            // Readers take the columns of folders from the path.
            columns.retain(|column| !partition_by.iter().any(|part| is_same(part, column)));
        }
        let place = sink.partition_by.as_ref().map_or(name.place, |names| names.place);
        let written = columns.iter().filter(|column| !partition_by.iter().any(|part| is_same(part, column)));
        let written = written.map(|column| &column.field.name);
        self.check_distinct(written.chain(partition_by.iter().map(|part| &part.name)), place)?;
        let hints = self.reader_hints(sink, layout, &columns)?;
        let roll = sink.roll.as_ref().map_or(DEFAULT_ROLL, |roll| roll.checked(&mut self.report));
        Ok(ObjectsOutput {
            sink: name.value.clone(),
            connection: sink.connection.value.clone(),
            path: sink.objects.value.clone(),
            layout,
            compression,
            columns,
            hints,
            partition_by,
            roll,
            announce: sink.announce.as_ref().map(|topic| topic.value.clone()),
        })
    }

    fn compression(&mut self, sink: &ObjectsSinkDef, layout: Layout) -> Outcome<Compression> {
        let default = if layout == Layout::Record { Compression::None } else { Compression::Zstd };
        let Some(written) = &sink.compression else { return Ok(default) };
        let compression = match written.value {
            CompressionDef::None => Compression::None,
            CompressionDef::Gzip => Compression::Gzip,
            CompressionDef::Zstd => Compression::Zstd,
        };
        if (layout, compression) == (Layout::Parquet, Compression::Gzip) {
            self.report
                .error(written.place, "a Parquet file is not compressed with gzip here")
                .suggest("write `zstd` or `none`");
            return Err(Reported);
        }
        Ok(compression)
    }

    fn object_columns(
        &mut self,
        name: &Spanned<String>,
        sink: &ObjectsSinkDef,
        layout: Layout,
        rows: &Rows,
    ) -> Outcome<Vec<OutputColumn>> {
        if !layout.is_raw() {
            let mut columns = self.output_columns(sink.columns.as_ref(), rows, name)?;
            if columns.is_empty() {
                self.report
                    .error(sink.from.place, format!("`{}` has no columns to write", sink.from.value))
                    .suggest("write `format: record` or `format: lines` to keep records as they came");
                return Err(Reported);
            }
            self.add_version(sink.version_column.as_ref(), rows, &mut columns)?;
            return Ok(columns);
        }
        let columns = sink.columns.as_ref().and_then(SinkColumns::place).map(|place| (place, "columns"));
        let version = sink.version_column.as_ref().map(|version| (version.place, "version_column"));
        if let Some((place, key)) = columns.or(version) {
            self.report
                .error(place, format!("with `format: {layout}` records are kept as they came, whatever their columns"))
                .suggest(format!("leave `{key}` out, or write `format: json` or `format: parquet`"));
            return Err(Reported);
        }
        let value = rows.fields.iter().position(|field| field.name == meta::VALUE).ok_or(Reported)?;
        let field = rows.fields[value].clone();
        Ok(vec![OutputColumn { input: value, field, time_format: TimeFormat::default() }])
    }

    fn partition_columns(&mut self, sink: &ObjectsSinkDef, rows: &Rows) -> Outcome<Vec<PartitionColumn>> {
        let Some(names) = &sink.partition_by else { return Ok(Vec::new()) };
        let inputs = self.columns(&names.value, &rows.fields)?;
        let mut columns = Vec::with_capacity(inputs.len());
        for (name, input) in names.value.iter().zip(inputs) {
            let field = &rows.fields[input];
            let problem = match field.data_type {
                _ if field.pii => "is personal data, and paths are seen by everybody",
                DataType::Text | DataType::Int64 | DataType::Boolean | DataType::Date | DataType::Timestamp => {
                    columns.push(PartitionColumn { name: folder(field), input });
                    continue;
                }
                _ => "is of a type that makes no folders",
            };
            self.report
                .error(name.place, format!("column `{}` {problem}", name.value))
                .suggest("name columns of the types date, timestamp, text, int64 or boolean");
        }
        if columns.len() == names.value.len() { Ok(columns) } else { Err(Reported) }
    }

    /// Adds the topic that announces a sink's objects; gives its partitions.
    fn announce(&mut self, sink: &ObjectsSinkDef, default: u32) -> u32 {
        let Some(topic) = &sink.announce else { return 0 };
        let wanted = sink.partitions.as_ref().map(|Partitions(wanted)| wanted);
        let partitions = self.topics.partitions(topic, wanted, default, &mut self.report);
        self.topics.add(&topic.value, partitions, TopicKind::Output);
        partitions
    }

    /// Adds the topic that announces a sink's objects, and the stream of their rows.
    fn leave_objects(&mut self, name: &Spanned<String>, sink: &ObjectsSinkDef, output: &ObjectsOutput, rows: &Rows) {
        let Some(topic) = &sink.announce else { return };
        let announced = self.announce(sink, rows.partitions);
        if output.layout.is_raw() {
            return;
        }
        let mut columns: Vec<StreamColumn> = output.columns.iter().map(as_read).collect();
        let parts =
            output.partition_by.iter().filter(|part| !columns.iter().any(|column| column.field.name == part.name));
        let parts: Vec<StreamColumn> = parts.map(|part| part_as_read(part, &rows.fields[part.input])).collect();
        if output.layout == Layout::Parquet {
            columns.extend(parts);
        }
        let position = |input: &usize| {
            let column = output.columns.iter().find(|column| column.input == *input);
            let name = column.map(|column| &column.field.name);
            let part = output.partition_by.iter().find(|part| part.input == *input && !is_date_of_time(rows, part));
            let name = name.or(part.map(|part| &part.name))?;
            columns.iter().position(|column| column.field.name == *name)
        };
        // Each lane announces in a partition of its own, unless there are fewer.
        let partitioned_by = rows.partitioned_by.as_ref().filter(|_| announced == rows.partitions);
        let partitioned_by = partitioned_by.and_then(|columns| columns.iter().map(position).collect());
        let objects = ObjectsInput { connection: output.connection.clone(), layout: output.layout };
        let stream = Stream::of_objects(&topic.value, columns, objects, announced, partitioned_by);
        self.streams.insert(name.value.clone(), stream);
    }
}

fn as_read(column: &OutputColumn) -> StreamColumn {
    let (field, time_format) = (column.field.clone(), column.time_format);
    StreamColumn { path: vec![field.name.clone()], field, time_format }
}

fn part_as_read(part: &PartitionColumn, of: &Field) -> StreamColumn {
    let data_type = if of.data_type == DataType::Timestamp { DataType::Date } else { of.data_type };
    let field = Field { name: part.name.clone(), data_type, ..of.clone() };
    StreamColumn { path: vec![field.name.clone()], field, time_format: TimeFormat::Iso }
}

fn is_date_of_time(rows: &Rows, part: &PartitionColumn) -> bool {
    rows.fields[part.input].data_type == DataType::Timestamp
}

/// Whether a folder says all that a column says.
fn is_same(part: &PartitionColumn, column: &OutputColumn) -> bool {
    part.input == column.input && column.field.data_type != DataType::Timestamp
}

/// What the folders of a column are called.
fn folder(field: &Field) -> String {
    match (field.name.strip_prefix('$'), field.data_type) {
        (Some(_), DataType::Timestamp) => DATE.to_owned(),
        (None, DataType::Timestamp) => format!("{}_{DATE}", field.name),
        (metadata, _) => metadata.unwrap_or(&field.name).to_owned(),
    }
}

impl RollDef {
    fn checked(&self, report: &mut Report) -> Roll {
        let Self { rows, bytes, every } = self;
        if let Some(rows) = rows.as_ref().filter(|rows| rows.value == 0) {
            report.error(rows.place, "an object needs a row").suggest("write how many rows end an object");
        }
        if let Some(bytes) = bytes.as_ref().filter(|bytes| !(1..=MOST_BYTES).contains(&bytes.value.0)) {
            report.error(bytes.place, "an object may have from `1B` to `1GiB`").suggest("leave it out for `64MiB`");
        }
        if let Some(every) = every.as_ref().filter(|every| every.value == Micros(0)) {
            report.error(every.place, "this cannot be zero").suggest("leave it out for `1m`");
        }
        Roll {
            rows: rows.as_ref().map_or(DEFAULT_ROLL.rows, |rows| rows.value.into()),
            bytes: bytes.as_ref().map_or(DEFAULT_ROLL.bytes, |Spanned { value: Bytes(bytes), .. }| *bytes),
            every: every.as_ref().map_or(DEFAULT_ROLL.every, |Spanned { value: Micros(micros), .. }| *micros),
        }
    }
}

impl From<LayoutDef> for Layout {
    fn from(layout: LayoutDef) -> Self {
        match layout {
            LayoutDef::Record => Self::Record,
            LayoutDef::Lines => Self::Lines,
            LayoutDef::Json => Self::Json,
            LayoutDef::Parquet => Self::Parquet,
        }
    }
}
