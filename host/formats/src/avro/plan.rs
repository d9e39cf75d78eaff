//! How a record of one writer's schema becomes a row: which field goes to which column, and what is skipped. Made
//! once for each schema, so that decoding only follows steps.

use azenha_model::plan::{StreamColumn, TimeFormat};
use azenha_model::{DataType, Field};

use super::schema::{AvroSchema, Type, TypeId, Unit};

/// The steps from a record to a row.
#[derive(Debug)]
pub(super) struct Plan {
    pub schema: AvroSchema,
    pub steps: Vec<Step>,
}

/// What is done with the next value. Columns are indices among those that the plan was made for.
#[derive(Debug)]
pub(super) enum Step {
    /// It is appended to a column.
    Read(usize, Read),
    /// Nobody wants it.
    Skip(TypeId),
    /// A column gets a null; no value is read.
    Null(usize),
    /// It is of a union: these are the steps of its branches, or why none fits.
    Choose(Box<[Result<Vec<Step>, String>]>),
    /// It is read several times, because several columns want it or a part of it.
    Again(Box<[Vec<Step>]>),
}

/// How a value is appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Boolean,
    Int,
    Long,
    IntToFloat,
    LongToFloat,
    Float,
    Double,
    /// Whole numbers, and how many of them make one of the column.
    IntToDecimal(i128),
    LongToDecimal(i128),
    Decimal {
        size: Option<usize>,
        /// Units of the column in one of the writer's.
        factor: i128,
    },
    Text,
    Symbol(TypeId),
    Uuid,
    Bytes,
    Fixed(usize),
    /// A string whose text is JSON.
    JsonText,
    /// Anything else as JSON.
    Json(TypeId),
    Date,
    TimeMillis,
    TimeMicros,
    /// A number, and how many microseconds it counts.
    Timestamp(i64),
    TimestampNanos,
    Iso,
}

impl Read {
    pub fn of_timestamp(unit: Unit) -> Self {
        match unit {
            Unit::Millis => Self::Timestamp(1000),
            Unit::Micros => Self::Timestamp(1),
            Unit::Nanos => Self::TimestampNanos,
        }
    }

    /// How a number is read whose unit only the column says.
    fn of_count(format: TimeFormat) -> Option<Self> {
        match format {
            TimeFormat::Nanos => Some(Self::TimestampNanos),
            _ => format.micros_of(1).map(Self::Timestamp),
        }
    }
}

/// A column that a schema cannot be read as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The column's index.
    pub column: usize,
    /// Why not, for people.
    pub reason: String,
}

/// A column and what remains of its path.
#[derive(Clone, Copy)]
struct Target<'a> {
    index: usize,
    column: &'a StreamColumn,
    path: &'a [String],
}

impl AvroSchema {
    /// Why records of this schema cannot be read as these columns.
    pub fn unreadable(&self, columns: &[StreamColumn]) -> Vec<Unreadable> {
        Planner { schema: self }.record_steps(columns).err().unwrap_or_default()
    }
}

impl Plan {
    pub fn new(schema: AvroSchema, columns: &[StreamColumn]) -> Result<Self, Vec<Unreadable>> {
        let steps = Planner { schema: &schema }.record_steps(columns)?;
        Ok(Self { schema, steps })
    }
}

struct Planner<'a> {
    schema: &'a AvroSchema,
}

type Steps = Result<Vec<Step>, Vec<Unreadable>>;

impl Planner<'_> {
    fn record_steps(&self, columns: &[StreamColumn]) -> Steps {
        let whole_path = |column: &StreamColumn| match column.path.is_empty() {
            true => vec![column.field.name.clone()],
            false => column.path.clone(),
        };
        let paths: Vec<Vec<String>> = columns.iter().map(whole_path).collect();
        let targets = columns.iter().zip(&paths).enumerate();
        let targets: Vec<_> = targets.map(|(index, (column, path))| Target { index, column, path }).collect();
        if targets.is_empty() {
            return Ok(vec![Step::Skip(self.schema.root)]);
        }
        self.inside(self.schema.root, &targets)
    }

    /// The steps of a value that some columns want, or a part of it.
    fn value(&self, id: TypeId, targets: &[Target<'_>]) -> Steps {
        let (whole, parts): (Vec<Target<'_>>, Vec<Target<'_>>) =
            targets.iter().partition(|target| target.path.is_empty());
        let mut readings: Vec<Steps> = whole.iter().map(|target| self.whole(id, *target)).collect();
        if !parts.is_empty() {
            readings.push(self.inside(id, &parts));
        }
        if readings.len() > 1 {
            let readings = all(readings)?;
            return Ok(vec![Step::Again(readings.into())]);
        }
        readings.pop().unwrap_or_else(|| Ok(vec![Step::Skip(id)]))
    }

    /// The steps of a record, or a union with records, of which columns want fields.
    fn inside(&self, id: TypeId, targets: &[Target<'_>]) -> Steps {
        match &self.schema.types[id] {
            Type::Record(fields) => self.fields(fields, targets),
            Type::Union(branches) => self.choose(branches, targets, |branch| self.inside(branch, targets)),
            other => {
                let reason = |target: &Target<'_>| {
                    let column = &target.column.field.name;
                    let wanted = target.path.first().map_or("", String::as_str);
                    format!("column `{column}` is field `{wanted}` of a record, but there is {}", other.description())
                };
                let unreadable = |target: &Target<'_>| Unreadable { column: target.index, reason: reason(target) };
                Err(targets.iter().map(unreadable).collect())
            }
        }
    }

    fn fields(&self, fields: &[(String, TypeId)], targets: &[Target<'_>]) -> Steps {
        let first = |target: &Target<'_>| target.path.first().map_or("", String::as_str).to_owned();
        let mut steps = Vec::with_capacity(fields.len());
        for (name, id) in fields {
            let wanting = targets.iter().filter(|target| first(target) == *name);
            let wanting: Vec<Target<'_>> =
                wanting.map(|target| Target { path: target.path.get(1..).unwrap_or_default(), ..*target }).collect();
            steps.push(self.value(*id, &wanting));
        }
        for target in targets.iter().filter(|target| fields.iter().all(|(name, _)| first(target) != *name)) {
            steps.push(missing(target, &first(target)));
        }
        Ok(all(steps)?.into_iter().flatten().collect())
    }

    /// The steps of a union. A branch that does not fit harms only the records that have it; if none fits, no record
    /// can be read.
    fn choose(&self, branches: &[TypeId], targets: &[Target<'_>], read: impl Fn(TypeId) -> Steps) -> Steps {
        let steps_of = |branch: &TypeId| match self.schema.types[*branch] {
            Type::Null => Ok(targets.iter().map(|target| Step::Null(target.index)).collect()),
            _ => read(*branch),
        };
        let choices: Vec<Steps> = branches.iter().map(steps_of).collect();
        let is_value = |branch: &TypeId| !matches!(self.schema.types[*branch], Type::Null);
        let values = || choices.iter().zip(branches).filter(|(_, branch)| is_value(branch)).map(|(steps, _)| steps);
        if values().all(Result::is_err)
            && let Some(Err(unreadable)) = values().next()
        {
            return Err(unreadable.clone());
        }
        let reason = |unreadable: Vec<Unreadable>| {
            unreadable.into_iter().map(|unreadable| unreadable.reason).collect::<Vec<_>>().join("; ")
        };
        let choices: Vec<_> = choices.into_iter().map(|choice| choice.map_err(reason)).collect();
        Ok(vec![Step::Choose(choices.into())])
    }

    /// The steps of a value that is one column's.
    fn whole(&self, id: TypeId, target: Target<'_>) -> Steps {
        let writer = &self.schema.types[id];
        let column = target.column;
        if let Type::Union(branches) = writer {
            return self.choose(branches, &[target], |branch| self.branch(branch, branches, target));
        }
        if matches!(writer, Type::Null) {
            return if column.field.nullable {
                Ok(vec![Step::Null(target.index)])
            } else {
                Err(misfit(writer, target))
            };
        }
        match reading(id, writer, column) {
            Some(read) => Ok(vec![Step::Read(target.index, read)]),
            None => Err(misfit(writer, target)),
        }
    }

    /// A string is taken for JSON only where the field is nothing else: in a union with other types it is one value
    /// of several.
    fn branch(&self, id: TypeId, branches: &[TypeId], target: Target<'_>) -> Steps {
        let is_null = |branch: &&TypeId| matches!(self.schema.types[**branch], Type::Null);
        let alone = branches.iter().filter(|branch| !is_null(branch)).count() == 1;
        if !alone && target.column.field.data_type == DataType::Json {
            return Ok(vec![Step::Read(target.index, Read::Json(id))]);
        }
        self.whole(id, target)
    }
}

/// Everything, or every reason.
fn all<T>(results: Vec<Result<T, Vec<Unreadable>>>) -> Result<Vec<T>, Vec<Unreadable>> {
    let (mut found, mut reasons) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => found.push(value),
            Err(unreadable) => reasons.extend(unreadable),
        }
    }
    if reasons.is_empty() { Ok(found) } else { Err(reasons) }
}

fn missing(target: &Target<'_>, field: &str) -> Steps {
    let Field { name, nullable, .. } = &target.column.field;
    if *nullable {
        return Ok(vec![Step::Null(target.index)]);
    }
    let reason = format!("column `{name}` is not nullable, but there is no field `{field}`");
    Err(vec![Unreadable { column: target.index, reason }])
}

fn misfit(writer: &Type, target: Target<'_>) -> Vec<Unreadable> {
    let Field { name, data_type, .. } = &target.column.field;
    let reason = format!("column `{name}` is of type {data_type}, but the field is {}", writer.description());
    vec![Unreadable { column: target.index, reason }]
}

/// How a value of a type is appended to a column, if it can be.
fn reading(id: TypeId, writer: &Type, column: &StreamColumn) -> Option<Read> {
    Some(match (column.field.data_type, writer) {
        (DataType::Json, Type::Text) => Read::JsonText,
        (DataType::Json, _) => Read::Json(id),
        (DataType::Boolean, Type::Boolean) => Read::Boolean,
        (DataType::Int64, Type::Int | Type::Date | Type::Time(Unit::Millis)) => Read::Int,
        (DataType::Int64, Type::Long | Type::Time(_) | Type::Timestamp(_)) => Read::Long,
        (DataType::Float64, Type::Int) => Read::IntToFloat,
        (DataType::Float64, Type::Long) => Read::LongToFloat,
        (DataType::Float64, Type::Float) => Read::Float,
        (DataType::Float64, Type::Double) => Read::Double,
        (DataType::Decimal { scale }, Type::Int) => Read::IntToDecimal(power_of_ten(scale)?),
        (DataType::Decimal { scale }, Type::Long) => Read::LongToDecimal(power_of_ten(scale)?),
        (DataType::Decimal { scale }, Type::Decimal { scale: written, size }) => {
            let factor = power_of_ten(scale.checked_sub(*written)?)?;
            Read::Decimal { size: *size, factor }
        }
        (DataType::Text, Type::Text | Type::Bytes) => Read::Text,
        (DataType::Text, Type::Enum(_)) => Read::Symbol(id),
        (DataType::Text, Type::Uuid) => Read::Uuid,
        (DataType::Bytes, Type::Text | Type::Bytes) => Read::Bytes,
        (DataType::Bytes, Type::Fixed(size)) => Read::Fixed(*size),
        (DataType::Bytes, Type::Uuid) => Read::Fixed(16),
        (DataType::Date, Type::Date | Type::Int) => Read::Date,
        (DataType::Time, Type::Time(Unit::Millis)) => Read::TimeMillis,
        (DataType::Time, Type::Time(Unit::Micros)) => Read::TimeMicros,
        (DataType::Timestamp, Type::Timestamp(unit)) => Read::of_timestamp(*unit),
        (DataType::Timestamp, Type::Long) => Read::of_count(column.time_format)?,
        (DataType::Timestamp, Type::Text) if column.time_format == TimeFormat::Iso => Read::Iso,
        _ => return None,
    })
}

fn power_of_ten(exponent: u8) -> Option<i128> {
    10_i128.checked_pow(exponent.into())
}
