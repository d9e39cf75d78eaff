//! What crossing the boundary costs: nanoseconds a record, beside the same work natively on the same arrays.
//! Deadlines are on, as in production. Prints a table and fails nothing.

use std::fmt::Write;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::builder::BooleanBufferBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Int64Array, RecordBatch};
use arrow_array::{RecordBatchOptions, StringArray, TimestampMicrosecondArray};
use arrow_schema::Schema;
use azenha_model::plugin::TableFields;
use azenha_model::{DataType, Field};
use azenha_sandbox::{Grouped, Limits, Plugin, Sandbox};

const ROWS: [usize; 3] = [100, 1_000, 10_000];

/// Groups that the rows of a fold fall into.
const GROUPS: usize = 100;

/// Orders that are assembled, and lines of each.
const ORDERS: usize = 1_000;
const LINES: usize = 10;

/// How long a measurement runs, and how many there are: the best counts, because others may use the machine too.
const SPAN: Duration = Duration::from_millis(10);
const REPEATS: usize = 40;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let sandbox = Sandbox::new(Limits::default(), None)?;
    println!("{:<34} {:>6} {:>10} {:>10} {:>7}", "ns a record", "rows", "sandbox", "native", "ratio");
    if let Some(plugin) = load(&sandbox, "bench-columns")? {
        transform(&plugin)?;
    }
    if let Some(plugin) = load(&sandbox, "click-count")? {
        fold(&plugin)?;
    }
    if let Some(plugin) = load(&sandbox, "order-total")? {
        assemble("assemble: sums over 10 lines", &plugin, native_totals)?;
    }
    if let Some(plugin) = load(&sandbox, "order-document")? {
        assemble("assemble: documents of 10 lines", &plugin, native_documents)?;
    }
    Ok(())
}

fn load(sandbox: &Sandbox, name: &str) -> Outcome<Option<Plugin>> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"));
    let path = target.join("plugins").join(format!("{name}.wasm"));
    if !path.exists() {
        println!("{name}: not built; `cargo run --release -- plugin build` builds it");
        return Ok(None);
    }
    Ok(Some(sandbox.load(name, &std::fs::read(path)?)?))
}

/// Runs `work` again and again; gives nanoseconds a row.
fn measure(rows: usize, mut work: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..REPEATS {
        let mut runs = 0_u32;
        let start = Instant::now();
        while start.elapsed() < SPAN {
            work()?;
            runs += 1;
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(runs) / rows as f64);
    }
    Ok(best)
}

fn report(what: &str, rows: usize, sandboxed: f64, native: f64) {
    println!("{what:<34} {rows:>6} {sandboxed:>10.2} {native:>10.2} {:>7.2}", sandboxed / native);
}

/// Three columns in, two out.
fn transform(plugin: &Plugin) -> Outcome<()> {
    let input = [
        Field::new("campaignId", DataType::Text, false),
        Field::new("timestamp", DataType::Timestamp, false),
        Field::new("platform", DataType::Text, false),
    ];
    let mut transform = plugin.open_transform("{}", &input)?;
    for rows in ROWS {
        let batch = clicks(rows)?;
        let sandboxed = measure(rows, || {
            black_box(transform.process(black_box(&batch))?);
            Ok(())
        })?;
        let native = measure(rows, || {
            black_box(native_transform(black_box(&batch)));
            Ok(())
        })?;
        report("transform: reads 3, makes 2", rows, sandboxed, native);
    }
    Ok(())
}

fn clicks(rows: usize) -> Outcome<RecordBatch> {
    let campaigns = StringArray::from_iter_values((0..rows).map(|row| match row % 3 {
        0 => format!("paid-{:04}", row % 97),
        _ => format!("organic-{:04}", row % 89),
    }));
    let times = (0..rows).map(|row| 1_700_000_000_000_000 + row as i64 * 1_234_567);
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    let platforms = StringArray::from_iter_values((0..rows).map(|row| ["mobile", "desktop", "tablet"][row % 3]));
    let columns: [(&str, ArrayRef); 3] =
        [("campaignId", Arc::new(campaigns)), ("timestamp", Arc::new(times)), ("platform", Arc::new(platforms))];
    Ok(RecordBatch::try_from_iter(columns)?)
}

fn native_transform(batch: &RecordBatch) -> (Int64Array, BooleanArray) {
    let campaigns = batch.column(0).as_string::<i32>();
    let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
    let platforms = batch.column(2).as_string::<i32>();
    let minutes = Int64Array::from_iter_values(times.values().iter().map(|micros| micros.div_euclid(60_000_000)));
    let mut paid_mobile = BooleanBufferBuilder::new(batch.num_rows());
    for row in 0..batch.num_rows() {
        paid_mobile.append(platforms.value(row) == "mobile" && campaigns.value(row).starts_with("paid"));
    }
    (minutes, BooleanArray::new(paid_mobile.finish(), None))
}

/// A count over groups that the host made.
fn fold(plugin: &Plugin) -> Outcome<()> {
    let key = [Field::new("campaignId", DataType::Text, false)];
    let mut aggregate = plugin.open_aggregate("{}", &key, &key)?;
    for rows in ROWS {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
        let groups: Vec<u32> = (0..rows).map(|row| (row * 31 % GROUPS) as u32).collect();
        let new = BinaryArray::from_iter_values([[]; GROUPS]);
        let (counted, _) = aggregate.fold(&batch, &groups, None, &new)?;
        let sandboxed = measure(rows, || {
            black_box(aggregate.fold(black_box(&batch), black_box(&groups), None, &counted)?);
            Ok(())
        })?;
        let counted = native_fold(&groups, &BinaryArray::from_iter_values([0_u64.to_le_bytes(); GROUPS]));
        let native = measure(rows, || {
            black_box(native_fold(black_box(&groups), &counted));
            Ok(())
        })?;
        report("fold: count over 100 groups", rows, sandboxed, native);
    }
    Ok(())
}

fn native_fold(groups: &[u32], accumulators: &BinaryArray) -> BinaryArray {
    let count = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    let mut counts: Vec<u64> = (0..accumulators.len()).map(|group| count(accumulators.value(group))).collect();
    for group in groups {
        counts[*group as usize] += 1;
    }
    BinaryArray::from_iter_values(counts.iter().map(|count| count.to_le_bytes()))
}

/// Orders and their lines made into one row an order; nanoseconds a line.
fn assemble<T>(what: &str, plugin: &Plugin, native: impl Fn(&RecordBatch) -> T) -> Outcome<()> {
    let (orders, lines) = (orders()?, lines()?);
    let (order_offsets, line_offsets): (Vec<u32>, Vec<u32>) =
        (0..=ORDERS as u32).map(|order| (order, order * LINES as u32)).unzip();
    let tables = [table("pedidos", &orders), table("itens", &lines)];
    let keys = orders.project(&[0])?;
    let mut assemble = plugin.open_assemble("{}", &tables, &tables[0].fields[..1])?;
    let reads = assemble.plan().reads.clone();
    let (orders_read, lines_read) = (orders.project(&reads[0])?, lines.project(&reads[1])?);
    let grouped = [
        Grouped { rows: &orders_read, offsets: &order_offsets },
        Grouped { rows: &lines_read, offsets: &line_offsets },
    ];
    let sandboxed = measure(lines.num_rows(), || {
        black_box(assemble.assemble(black_box(&keys), black_box(&grouped))?);
        Ok(())
    })?;
    let native = measure(lines.num_rows(), || {
        black_box(native(black_box(&lines)));
        Ok(())
    })?;
    report(what, lines.num_rows(), sandboxed, native);
    Ok(())
}

fn orders() -> Outcome<RecordBatch> {
    let numbers = |from: i64| Arc::new(Int64Array::from_iter_values(from..from + ORDERS as i64)) as ArrayRef;
    let times = (0..ORDERS).map(|order| 1_483_232_521_000_000 + order as i64);
    let times = Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"));
    let columns: [(&str, ArrayRef); 4] =
        [("id", numbers(31_198_437_603)), ("cliente_id", numbers(1)), ("loja_id", numbers(300)), ("criado_em", times)];
    Ok(RecordBatch::try_from_iter(columns)?)
}

fn lines() -> Outcome<RecordBatch> {
    let rows = ORDERS * LINES;
    let numbers = |of: fn(i64) -> i64| Arc::new(Int64Array::from_iter_values((0..rows as i64).map(of))) as ArrayRef;
    let texts = |of: fn(usize) -> &'static str| Arc::new(StringArray::from_iter_values((0..rows).map(of))) as ArrayRef;
    let amounts = |of: fn(i128) -> i128| -> Outcome<ArrayRef> {
        let units = Decimal128Array::from_iter_values((0..rows as i128).map(of));
        Ok(Arc::new(units.with_precision_and_scale(38, 2)?))
    };
    let columns: [(&str, ArrayRef); 9] = [
        ("id", numbers(|row| row)),
        ("produto_id", numbers(|row| 800_000 + row * 7_919 % 100_000)),
        ("produto", texts(|row| ["MAINSTREAM WHITE BREAD", "BAGELS", "DIET CNTRL LIQS NUTRITIONAL"][row % 3])),
        ("departamento", texts(|row| ["GROCERY", "PRODUCE", "DRUG GM"][row % 3])),
        ("marca", texts(|row| ["Private", "National"][row % 2])),
        ("quantidade", numbers(|row| 1 + row % 4)),
        ("valor", amounts(|row| 100 + row * 37 % 2_000)?),
        ("desconto", amounts(|row| row * 13 % 150)?),
        ("pedido_id", numbers(|row| 31_198_437_603 + row / LINES as i64)),
    ];
    Ok(RecordBatch::try_from_iter(columns)?)
}

/// The columns of a table, none of which has absent values.
fn table(name: &str, batch: &RecordBatch) -> TableFields {
    let kind = |name: &str| match name {
        "produto" | "departamento" | "marca" => DataType::Text,
        "valor" | "desconto" => DataType::Decimal { scale: 2 },
        "criado_em" => DataType::Timestamp,
        _ => DataType::Int64,
    };
    let schema = batch.schema();
    let fields = schema.fields().iter().map(|field| Field::new(field.name(), kind(field.name()), false));
    TableFields { name: name.to_owned(), fields: fields.collect() }
}

fn native_totals(lines: &RecordBatch) -> Vec<(i64, i128, i128, i128)> {
    let quantities = lines.column(5).as_primitive::<Int64Type>().values();
    let [paid, off] = [6, 7].map(|column| lines.column(column).as_primitive::<Decimal128Type>().values());
    let total = |order: usize| {
        let rows = order * LINES..(order + 1) * LINES;
        let (paid, off): (i128, i128) = (paid[rows.clone()].iter().sum(), off[rows.clone()].iter().sum());
        (quantities[rows].iter().sum(), paid + off, off, paid)
    };
    (0..ORDERS).map(total).collect()
}

fn native_documents(lines: &RecordBatch) -> Vec<String> {
    let [id, product_id, quantity] = [0, 1, 5].map(|column| lines.column(column).as_primitive::<Int64Type>().values());
    let [product, department, brand] = [2, 3, 4].map(|column| lines.column(column).as_string::<i32>());
    let [paid, off] = [6, 7].map(|column| lines.column(column).as_primitive::<Decimal128Type>().values());
    let write_line = |document: &mut String, row: usize| {
        let amount = |units: i128| format!("{}.{:02}", units / 100, units % 100);
        // Writing to a string cannot fail.
        let _ = write!(
            document,
            r#"{{"id":{},"produto_id":{},"produto":"{}","departamento":"{}","marca":"{}","quantidade":{},"bruto":{},"desconto":{},"valor":{}}},"#,
            id[row],
            product_id[row],
            product.value(row),
            department.value(row),
            brand.value(row),
            quantity[row],
            amount(paid[row] + off[row]),
            amount(off[row]),
            amount(paid[row]),
        );
    };
    let document = |order: usize| {
        let mut document = String::new();
        (order * LINES..(order + 1) * LINES).for_each(|row| write_line(&mut document, row));
        document
    };
    (0..ORDERS).map(document).collect()
}
