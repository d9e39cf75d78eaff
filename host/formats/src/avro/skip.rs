//! Passing over values that nobody wants.

use super::cursor::{Cursor, Fault};
use super::schema::{AvroSchema, Type, TypeId, Unit};
use crate::json::MAX_DEPTH;

/// Goes behind a value; `depth` records, arrays, maps and unions are open around it.
pub(super) fn skip(schema: &AvroSchema, id: TypeId, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Box<Fault>> {
    if depth > MAX_DEPTH {
        return Err(Fault::TooDeep.into());
    }
    match &schema.types[id] {
        Type::Null => Ok(()),
        Type::Boolean => cursor.boolean().map(drop),
        Type::Int | Type::Date | Type::Time(Unit::Millis) => cursor.int().map(drop),
        Type::Long | Type::Time(_) | Type::Timestamp(_) => cursor.long().map(drop),
        Type::Float => cursor.take(4).map(drop),
        Type::Double => cursor.take(8).map(drop),
        Type::Bytes | Type::Text | Type::Decimal { size: None, .. } => cursor.bytes().map(drop),
        Type::Fixed(size) | Type::Decimal { size: Some(size), .. } => cursor.take(*size).map(drop),
        Type::Uuid => cursor.take(16).map(drop),
        Type::Enum(symbols) => cursor.symbol(symbols).map(drop),
        Type::Union(branches) => {
            let branch = cursor.branch(branches.len())?;
            skip(schema, branches[branch], cursor, depth + 1)
        }
        Type::Record(fields) => fields.iter().try_for_each(|(_, field)| skip(schema, *field, cursor, depth + 1)),
        Type::Array(items) => blocks(cursor, |cursor| skip(schema, *items, cursor, depth + 1)),
        Type::Map(values) => blocks(cursor, |cursor| {
            cursor.bytes()?;
            skip(schema, *values, cursor, depth + 1)
        }),
    }
}

/// Skips blocks of items: whole, if they say how long they are.
fn blocks<'a>(
    cursor: &mut Cursor<'a>,
    item: impl Fn(&mut Cursor<'a>) -> Result<(), Box<Fault>>,
) -> Result<(), Box<Fault>> {
    while let Some((count, length)) = cursor.block()? {
        match length {
            Some(length) => drop(cursor.take(length)?),
            None => (0..count).try_for_each(|_| item(cursor))?,
        }
    }
    Ok(())
}
