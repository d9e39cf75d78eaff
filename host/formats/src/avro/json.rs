//! Values of any type as JSON text, for `json` columns. Dates, times, decimals and bytes are written as JSON topics
//! have them, timestamps as ISO 8601.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::cursor::{Cursor, Fault};
use super::pick::Picked;
use super::plan::Read;
use super::read::{date, time, timestamp, unscaled};
use super::schema::{AvroSchema, Type, TypeId, Unit};
use super::skip::skip;
use crate::civil;
use crate::json::{MAX_DEPTH, push_decimal, push_float, push_integer, push_quoted, quoted};

/// Bytes of text that a record may give in any case, and for each of its own: names that the schema has once stand in
/// the text again and again.
const FREE_TEXT: usize = 1 << 16;
const TEXT_FOR_A_BYTE: usize = 64;

/// Appends the value at the cursor.
pub(super) fn push_value(
    schema: &AvroSchema,
    id: TypeId,
    cursor: &mut Cursor<'_>,
    out: &mut String,
) -> Result<(), Box<Fault>> {
    let limit = out.len() + FREE_TEXT + TEXT_FOR_A_BYTE * cursor.length();
    Writer { schema, out, limit }.value(id, cursor, 0)
}

/// Appends what is picked of the datum that begins at `from` in a record.
pub(crate) fn push_datum(
    schema: &AvroSchema,
    picked: &Picked,
    record: &[u8],
    from: usize,
    out: &mut String,
) -> Result<(), String> {
    let mut cursor = Cursor::new(record, from);
    let limit = out.len() + FREE_TEXT + TEXT_FOR_A_BYTE * cursor.length();
    let written = Writer { schema, out, limit }.picked(schema.root, picked, &mut cursor, 0);
    let written = written.and_then(|()| cursor.end());
    written.map_err(|fault| format!("record {fault}; read up to byte {}", cursor.at))
}

struct Writer<'a> {
    schema: &'a AvroSchema,
    out: &'a mut String,
    /// Bytes that the text may have.
    limit: usize,
}

impl Writer<'_> {
    fn value(&mut self, id: TypeId, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Box<Fault>> {
        if depth >= MAX_DEPTH {
            return Err(Fault::TooDeep.into());
        }
        if self.out.len() > self.limit {
            return Err(Fault::TooMuchText.into());
        }
        let schema = self.schema;
        match &schema.types[id] {
            Type::Union(branches) => {
                let branch = cursor.branch(branches.len())?;
                self.value(branches[branch], cursor, depth)
            }
            Type::Record(fields) => self.record(fields, cursor, depth),
            Type::Array(items) => {
                self.blocks(cursor, ['[', ']'], |writer, cursor| writer.value(*items, cursor, depth + 1))
            }
            Type::Map(values) => self.blocks(cursor, ['{', '}'], |writer, cursor| {
                push_quoted(writer.out, cursor.text()?);
                writer.out.push(':');
                writer.value(*values, cursor, depth + 1)
            }),
            other => push_scalar(self.out, other, cursor),
        }
    }

    /// Appends what is picked of a value; `depth` records are open around it.
    fn picked(&mut self, id: TypeId, picked: &Picked, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Box<Fault>> {
        let schema = self.schema;
        match (&schema.types[id], picked) {
            (Type::Union(branches), Picked::Fields(_)) => {
                let branch = cursor.branch(branches.len())?;
                self.picked(branches[branch], picked, cursor, depth)
            }
            (Type::Record(fields), Picked::Fields(picks)) => {
                self.out.push('{');
                for ((name, id), picked) in fields.iter().zip(picks) {
                    let Some(picked) = picked else {
                        skip(schema, *id, cursor, depth + 1)?;
                        continue;
                    };
                    if !self.out.ends_with('{') {
                        self.out.push(',');
                    }
                    push_quoted(self.out, name);
                    self.out.push(':');
                    self.picked(*id, picked, cursor, depth + 1)?;
                }
                self.out.push('}');
                Ok(())
            }
            _ => self.value(id, cursor, depth),
        }
    }

    fn record(&mut self, fields: &[(String, TypeId)], cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Box<Fault>> {
        self.out.push('{');
        for (index, (name, id)) in fields.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            push_quoted(self.out, name);
            self.out.push(':');
            self.value(*id, cursor, depth + 1)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn blocks<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        [open, close]: [char; 2],
        item: impl Fn(&mut Self, &mut Cursor<'a>) -> Result<(), Box<Fault>>,
    ) -> Result<(), Box<Fault>> {
        self.out.push(open);
        let mut first = true;
        while let Some((count, _)) = cursor.block()? {
            for _ in 0..count {
                if !std::mem::take(&mut first) {
                    self.out.push(',');
                }
                item(self, cursor)?;
            }
        }
        self.out.push(close);
        Ok(())
    }
}

fn push_scalar(out: &mut String, scalar: &Type, cursor: &mut Cursor<'_>) -> Result<(), Box<Fault>> {
    match scalar {
        Type::Boolean => out.push_str(if cursor.boolean()? { "true" } else { "false" }),
        Type::Int => push_integer(out, cursor.int()?.into()),
        Type::Long => push_integer(out, cursor.long()?),
        Type::Float => push_float(out, f32::from_le_bytes(cursor.chunk()?).into()),
        Type::Double => push_float(out, f64::from_le_bytes(cursor.chunk()?)),
        Type::Text => push_quoted(out, cursor.text()?),
        Type::Enum(symbols) => push_quoted(out, cursor.symbol(symbols)?),
        Type::Bytes => push_bytes(out, cursor.bytes()?),
        Type::Fixed(size) => push_bytes(out, cursor.take(*size)?),
        Type::Uuid => {
            let uuid = cursor.chunk()?;
            quoted(out, |out| push_uuid(out, uuid));
        }
        Type::Decimal { scale, size } => {
            let value = unscaled(*size, cursor)?;
            quoted(out, |out| push_decimal(out, value, *scale));
        }
        Type::Date => {
            let days = date(cursor)?;
            quoted(out, |out| civil::push_date(out, days));
        }
        Type::Time(unit) => {
            let micros = time(if *unit == Unit::Millis { Read::TimeMillis } else { Read::TimeMicros }, cursor)?;
            quoted(out, |out| civil::push_time(out, micros));
        }
        Type::Timestamp(unit) => {
            let micros = timestamp(Read::of_timestamp(*unit), cursor)?;
            quoted(out, |out| civil::push_iso(out, micros));
        }
        // The others are no scalars.
        Type::Null | Type::Union(_) | Type::Record(_) | Type::Array(_) | Type::Map(_) => out.push_str("null"),
    }
    Ok(())
}

fn push_bytes(out: &mut String, bytes: &[u8]) {
    quoted(out, |out| STANDARD.encode_string(bytes, out));
}

/// Appends the text of a uuid: `8-4-4-4-12` hexadecimal digits.
pub(super) fn push_uuid(out: &mut String, uuid: [u8; 16]) {
    for (index, byte) in uuid.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            out.extend(char::from_digit(u32::from(digit), 16));
        }
    }
}
