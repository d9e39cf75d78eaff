//! The clickstream's transformation, once with its plugins in the sandbox and once with the same code compiled into
//! the host: records are decoded, enriched, grouped, counted and encoded, in one thread and without a log. Prints
//! nanoseconds a record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, BinaryArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow_array::{TimestampMicrosecondArray, UInt32Array};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType as ArrowType, Schema};
use arrow_select::take::take;
use azenha_bench::{Clicks, Clickstream};
use azenha_formats::json::{JsonDecoder, JsonEncoder};
use azenha_model::plan::{Aggregation, End, Input, Stage, StreamInput, Task, TopicOutput};
use azenha_model::plugin::Given;
use azenha_model::{Field, Records};
use azenha_sandbox::{Aggregate, Limits, Sandbox, Transform};
use azenha_sdk::{Batch, ByRow, Column, ColumnTransform, Folder, NoConfig, Problem, Strings, Values};
use click_count::ClickCount;
use enrich_click::EnrichClick;
use foldhash::fast::FixedState;

/// Rows of a batch: as the host's feed makes them, and the most that the engine processes at once.
const ROWS: [usize; 2] = [1_000, 4_096];

/// Batches of a round, and rounds of which the fastest counts: short ones, so that some run undisturbed.
const BATCHES: usize = 8;
const ROUNDS: usize = 200;

/// The pipeline's windows, in microseconds.
const WINDOW: i64 = 120_000_000;

fn main() -> Result<()> {
    let stream = Clickstream::load(&Sandbox::new(Limits::default(), None)?, 1)?;
    let mut pipeline = Pipeline::new(&stream)?;
    let mut sandboxed = Sandboxed::open(&stream)?;
    let mut native = Native::open(&stream)?;
    println!("ns a record, of which in plugins");
    println!("{:<14} {:>6} {:>16} {:>16} {:>18}", "", "rows", "sandbox", "native", "native / sandbox");
    for (name, clicks) in [("the sample", Clicks::sparse()?), ("dense clicks", Clicks::dense())] {
        for rows in ROWS {
            let batch = |number: usize| Records::unkeyed(clicks.records(number * rows, rows), 0);
            let batches: Vec<Records> = (0..BATCHES).map(batch).collect();
            let same = pipeline.process(&batches[0], &mut sandboxed)? == pipeline.process(&batches[0], &mut native)?;
            ensure!(same, "the sandbox gives other results than native code");
            let (mut best_sandboxed, mut best_native) = (Times::MAX, Times::MAX);
            // They take turns, because others may use the machine too.
            for _ in 0..ROUNDS {
                best_sandboxed = best_sandboxed.min(pipeline.time(&batches, &mut sandboxed)?);
                best_native = best_native.min(pipeline.time(&batches, &mut native)?);
            }
            let ratio = best_native.whole.as_secs_f64() / best_sandboxed.whole.as_secs_f64();
            let shown = |times: Times| times.per_record(rows * BATCHES);
            println!("{name:<14} {rows:>6} {:>16} {:>16} {ratio:>18.3}", shown(best_sandboxed), shown(best_native));
        }
    }
    Ok(())
}

/// How long a round took.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Times {
    whole: Duration,
    in_plugins: Duration,
}

impl Times {
    const MAX: Self = Self { whole: Duration::MAX, in_plugins: Duration::MAX };

    fn per_record(self, records: usize) -> String {
        let each = |time: Duration| time.as_nanos() as f64 / records as f64;
        format!("{:.1} ({:.1})", each(self.whole), each(self.in_plugins))
    }
}

/// The code of both plugins.
trait Plugins {
    /// Campaigns and times, of the columns that the plugin reads.
    fn enrich(&mut self, columns: Vec<ArrayRef>, rows: usize) -> Result<[ArrayRef; 2]>;

    /// The count of each group; row i belongs to `groups[i]`. `keys` has a row for each group.
    fn count(&mut self, groups: &[u32], keys: &RecordBatch) -> Result<ArrayRef>;
}

/// All but the plugins.
struct Pipeline {
    decoder: JsonDecoder,
    reads: Vec<usize>,
    converter: RowConverter,
    key_schema: Arc<Schema>,
    encoder: JsonEncoder,
    /// The column that each member of the output comes from.
    written: Vec<usize>,
    in_plugins: Duration,
}

impl Pipeline {
    fn new(stream: &Clickstream) -> Result<Self> {
        let Parts { input, stage, aggregation, output } = parts(stream)?;
        let key_fields: Vec<_> = aggregation.key_fields().iter().map(Field::arrow).collect();
        Ok(Self {
            decoder: JsonDecoder::new(&input.columns, &input.needed, &input.key),
            reads: stage.plan.reads.clone(),
            converter: RowConverter::new(vec![SortField::new(ArrowType::Utf8)])?,
            key_schema: Arc::new(Schema::new(key_fields)),
            encoder: JsonEncoder::new(&output.columns, &output.key),
            written: output.columns.iter().map(|column| column.input).collect(),
            in_plugins: Duration::ZERO,
        })
    }

    fn time(&mut self, batches: &[Records], plugins: &mut dyn Plugins) -> Result<Times> {
        self.in_plugins = Duration::ZERO;
        let started = Instant::now();
        for batch in batches {
            std::hint::black_box(self.process(batch, plugins)?);
        }
        Ok(Times { whole: started.elapsed(), in_plugins: self.in_plugins })
    }

    /// The keys and values of the results.
    fn process(&mut self, records: &Records, plugins: &mut dyn Plugins) -> Result<(BinaryArray, BinaryArray)> {
        let mut decoded = self.decoder.decode(records);
        let columns = self.reads.iter().map(|index| decoded.columns[*index].take().context("a column is missing"));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let started = Instant::now();
        let [campaigns, times] = plugins.enrich(columns, records.len())?;
        self.in_plugins += started.elapsed();

        let Groups { numbers, keys } = self.group(&campaigns, &times)?;
        let started = Instant::now();
        let counts = plugins.count(&numbers, &keys)?;
        self.in_plugins += started.elapsed();

        let all: Vec<ArrayRef> = keys.columns().iter().cloned().chain([counts]).collect();
        let arrays: Vec<ArrayRef> = self.written.iter().map(|index| Arc::clone(&all[*index])).collect();
        Ok(self.encoder.encode(&arrays, keys.num_rows(), None))
    }

    /// Groups rows by campaign and window, with the same means as the engine.
    fn group(&self, campaigns: &ArrayRef, times: &ArrayRef) -> Result<Groups> {
        let rows = self.converter.convert_columns(std::slice::from_ref(campaigns))?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let mut known: std::collections::HashMap<Vec<u8>, u32, FixedState> = Default::default();
        let (mut first, mut starts) = (Vec::new(), Vec::new());
        let mut numbers = Vec::with_capacity(times.len());
        let mut key = Vec::new();
        for (row, time) in times.values().iter().enumerate() {
            let start = time - time.rem_euclid(WINDOW);
            key.clear();
            key.extend_from_slice(rows.row(row).data());
            key.extend_from_slice(&start.to_le_bytes());
            let number = known.get(&key).copied().unwrap_or_else(|| {
                known.insert(key.clone(), first.len() as u32);
                first.push(row as u32);
                starts.push(start);
                first.len() as u32 - 1
            });
            numbers.push(number);
        }
        let ends = TimestampMicrosecondArray::from_iter_values(starts.iter().map(|start| start + WINDOW));
        let starts = TimestampMicrosecondArray::from(starts);
        let columns: Vec<ArrayRef> = vec![
            take(campaigns, &UInt32Array::from(first), None)?,
            Arc::new(starts.with_timezone("UTC")),
            Arc::new(ends.with_timezone("UTC")),
        ];
        Ok(Groups { numbers, keys: RecordBatch::try_new(Arc::clone(&self.key_schema), columns)? })
    }
}

struct Groups {
    /// The group of each row.
    numbers: Vec<u32>,
    /// Campaign and window of each group.
    keys: RecordBatch,
}

/// What the plan of one partition is made of.
struct Parts<'a> {
    input: &'a StreamInput,
    stage: &'a Stage,
    aggregation: &'a Aggregation,
    output: &'a TopicOutput,
}

fn parts(stream: &Clickstream) -> Result<Parts<'_>> {
    match &stream.plan.tasks[..] {
        [Task { input: Input::Stream(input), stages, end: End::Aggregate { aggregation, outputs }, .. }, ..] => {
            Ok(Parts { input, stage: &stages[0], aggregation, output: &outputs[0] })
        }
        _ => bail!("the clickstream is not enriched and counted in one task"),
    }
}

/// Where campaign and time stand among the columns that enriching makes.
fn made(stage: &Stage) -> Result<[usize; 2]> {
    let gives = stage.plan.outlets[0].gives.iter();
    let names: Vec<&str> = gives
        .filter_map(|given| match given {
            Given::Made(field) => Some(field.name.as_str()),
            Given::Passed { .. } => None,
        })
        .collect();
    let place = |name: &str| names.iter().position(|made| *made == name).with_context(|| format!("no `{name}`"));
    Ok([place("campaignId")?, place("timestamp")?])
}

struct Sandboxed {
    enrich: Transform,
    read: Arc<Schema>,
    made: [usize; 2],
    count: Aggregate,
}

impl Sandboxed {
    fn open(stream: &Clickstream) -> Result<Self> {
        let Parts { stage, aggregation, .. } = parts(stream)?;
        let (first, second) = (&stage.plugin, &aggregation.plugin);
        let enrich = stream.plugin(&first.plugin)?.open_transform(&first.config, &first.input)?;
        let keys = aggregation.key_fields();
        let count = stream.plugin(&second.plugin)?.open_aggregate(&second.config, &second.input, &keys)?;
        let read: Vec<_> = stage.plan.reads.iter().map(|index| first.input[*index].arrow()).collect();
        Ok(Self { enrich, read: Arc::new(Schema::new(read)), made: made(stage)?, count })
    }
}

impl Plugins for Sandboxed {
    fn enrich(&mut self, columns: Vec<ArrayRef>, _rows: usize) -> Result<[ArrayRef; 2]> {
        let batch = RecordBatch::try_new(Arc::clone(&self.read), columns)?;
        let output = self.enrich.process(&batch).map_err(|failure| anyhow!(failure.message))?;
        ensure!(output.rejected.is_empty(), "clicks were refused");
        Ok(self.made.map(|column| Arc::clone(&output.outlets[0].columns[column])))
    }

    fn count(&mut self, groups: &[u32], keys: &RecordBatch) -> Result<ArrayRef> {
        let failed = |failure: azenha_sandbox::Failure| anyhow!(failure.message);
        let options = RecordBatchOptions::new().with_row_count(Some(groups.len()));
        let rows = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
        let new = BinaryArray::from_iter_values(std::iter::repeat_n([], keys.num_rows()));
        let (folded, _) = self.count.fold(&rows, groups, None, &new).map_err(failed)?;
        Ok(self.count.finish(keys, &folded).map_err(failed)?.columns.remove(0))
    }
}

/// The plugins' own code, linked into this program.
struct Native {
    enrich: ByRow<EnrichClick>,
    made: [usize; 2],
    count: Folder<ClickCount>,
}

impl Native {
    fn open(stream: &Clickstream) -> Result<Self> {
        let Parts { stage, aggregation, .. } = parts(stream)?;
        let (enrich, _) = ByRow::open(NoConfig {}, &fields(&stage.plugin.input)?).map_err(refused)?;
        let (count, _) = Folder::open(NoConfig {}, &fields(&aggregation.plugin.input)?).map_err(refused)?;
        Ok(Self { enrich, made: made(stage)?, count })
    }
}

impl Plugins for Native {
    fn enrich(&mut self, columns: Vec<ArrayRef>, rows: usize) -> Result<[ArrayRef; 2]> {
        let columns = columns.into_iter().map(from_arrow).collect::<Result<_>>()?;
        let mut output = self.enrich.process(&Batch { rows: rows as u32, columns }).map_err(|error| anyhow!(error))?;
        ensure!(output.rejected.is_empty(), "clicks were refused");
        let columns = &mut output.outputs[0].columns;
        let [campaigns, times] = self.made.map(|column| std::mem::replace(&mut columns[column], nothing()));
        Ok([to_arrow(campaigns)?, to_arrow(times)?])
    }

    fn count(&mut self, groups: &[u32], keys: &RecordBatch) -> Result<ArrayRef> {
        let rows = Batch { rows: groups.len() as u32, columns: Vec::new() };
        let new = Strings { offsets: vec![0; keys.num_rows() + 1], bytes: Vec::new() };
        let folded = self.count.fold(&rows, groups, None, &new).map_err(|error| anyhow!(error))?;
        let finished = self.count.finish(&folded.accumulators).map_err(|error| anyhow!(error))?;
        to_arrow(finished.columns.into_iter().next().context("a count is missing")?)
    }
}

fn refused(problems: Vec<Problem>) -> anyhow::Error {
    anyhow!("{problems:?}")
}

fn fields(fields: &[Field]) -> Result<Vec<azenha_sdk::Field>> {
    let field = |field: &Field| {
        let data_type = field.data_type.to_string().parse().map_err(|error: String| anyhow!(error))?;
        Ok(azenha_sdk::Field::new(&*field.name, data_type, field.nullable))
    };
    fields.iter().map(field).collect()
}

fn nothing() -> Column {
    Column::of(Values::Booleans(Vec::new()))
}

/// The array as the SDK has it. Its memory moves: only bits of validity are copied.
fn from_arrow(array: ArrayRef) -> Result<Column> {
    let some_absent = array.nulls().filter(|nulls| nulls.null_count() > 0);
    let validity = some_absent.map(|nulls| nulls.inner().sliced().to_vec());
    let values = match array.data_type() {
        ArrowType::Utf8 => {
            let texts = array.as_string::<i32>().clone();
            drop(array);
            let (offsets, bytes, _) = texts.into_parts();
            let bytes = bytes.into_vec().unwrap_or_else(|shared: Buffer| shared.to_vec());
            Values::Texts(Strings { offsets: offsets.into_inner().into(), bytes })
        }
        ArrowType::Timestamp(..) => {
            let times = array.as_primitive::<TimestampMicrosecondType>().clone();
            drop(array);
            Values::Timestamps(times.into_parts().1.into())
        }
        other => bail!("enrich-click reads no {other}"),
    };
    Ok(Column { values, validity })
}

/// The column as an array. Its memory moves.
fn to_arrow(column: Column) -> Result<ArrayRef> {
    ensure!(column.validity.is_none(), "a value is absent");
    let no_nulls: Option<NullBuffer> = None;
    Ok(match column.values {
        Values::Texts(Strings { offsets, bytes }) => {
            let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
            Arc::new(StringArray::try_new(offsets, Buffer::from_vec(bytes), no_nulls)?)
        }
        Values::Timestamps(times) => {
            Arc::new(TimestampMicrosecondArray::new(times.into(), no_nulls).with_timezone("UTC"))
        }
        Values::Int64s(values) => Arc::new(Int64Array::new(values.into(), no_nulls)),
        _ => bail!("a column of another type"),
    })
}
