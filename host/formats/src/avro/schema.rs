//! A writer's schema as decoding needs it: types in one list that name each other by index, so that a type may
//! contain itself.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{DecimalSchema, InnerDecimalSchema, Name, NamespaceRef, UuidSchema};
use apache_avro::schema_compatibility::SchemaCompatibility;
use azenha_model::types::DECIMAL_PRECISION;

/// A schema that records were written with.
#[derive(Debug)]
pub struct AvroSchema {
    pub(super) types: Vec<Type>,
    pub(super) root: TypeId,
}

/// An index among a schema's types.
pub(super) type TypeId = usize;

#[derive(Debug)]
pub(super) enum Type {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    /// Names and types of the fields.
    Record(Vec<(String, TypeId)>),
    Date,
    Time(Unit),
    Timestamp(Unit),
    Decimal {
        scale: u8,
        /// Bytes; none if they are counted in the datum.
        size: Option<usize>,
    },
    /// As 16 bytes; one that is written as a string is text.
    Uuid,
}

/// What a time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

/// A text that is no Avro schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no Avro schema that can be read: {0}")]
pub struct BadSchema(String);

impl AvroSchema {
    /// Reads a schema; `references` are the texts of schemas that it names.
    ///
    /// # Errors
    /// If it is no Avro schema, or names a type that is not there.
    pub fn parse(text: &str, references: &[&str]) -> Result<Self, BadSchema> {
        let bad = |error: apache_avro::Error| BadSchema(error.to_string());
        let (schema, others) = Schema::parse_str_with_list(text, references).map_err(bad)?;
        let others = others.iter().filter_map(|other| Some((other.name()?.clone(), other)));
        let mut types = Types { types: Vec::new(), named: HashMap::new(), others: others.collect() };
        let root = types.add(&schema, None)?;
        Ok(Self { types: types.types, root })
    }
}

/// Why records of the schema `older` cannot be read with `newer`; none if they can, or if that cannot be told.
pub fn incompatibility(older: &str, newer: &str) -> Option<String> {
    let (older, newer) = (Schema::parse_str(older).ok()?, Schema::parse_str(newer).ok()?);
    SchemaCompatibility::can_read(&older, &newer).err().map(|error| error.to_string())
}

/// Types while a schema is taken over.
struct Types<'a> {
    types: Vec<Type>,
    named: HashMap<Name, TypeId>,
    others: HashMap<Name, &'a Schema>,
}

impl Types<'_> {
    /// `namespace` is that of the type around this one.
    fn add(&mut self, schema: &Schema, namespace: NamespaceRef<'_>) -> Result<TypeId, BadSchema> {
        if let Schema::Ref { name } = schema {
            return self.referred(&name.fully_qualified_name(namespace));
        }
        let id = self.types.len();
        self.types.push(Type::Null);
        let mut inner = namespace;
        let full_name = schema.name().map(|name| name.fully_qualified_name(namespace).into_owned());
        if let Some(name) = &full_name {
            self.named.insert(name.clone(), id);
            inner = name.namespace();
        }
        self.types[id] = self.made(schema, inner)?;
        Ok(id)
    }

    fn referred(&mut self, name: &Name) -> Result<TypeId, BadSchema> {
        if let Some(id) = self.named.get(name) {
            return Ok(*id);
        }
        let other = self.others.get(name).copied();
        self.add(other.ok_or_else(|| BadSchema(format!("it names `{}`, which is nowhere", name.fullname(None))))?, None)
    }

    fn made(&mut self, schema: &Schema, namespace: NamespaceRef<'_>) -> Result<Type, BadSchema> {
        Ok(match schema {
            Schema::Null | Schema::Ref { .. } => Type::Null,
            Schema::Boolean => Type::Boolean,
            Schema::Int => Type::Int,
            Schema::Long => Type::Long,
            Schema::Float => Type::Float,
            Schema::Double => Type::Double,
            Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => Type::Bytes,
            Schema::String | Schema::Uuid(UuidSchema::String) => Type::Text,
            Schema::Uuid(UuidSchema::Fixed(fixed)) if fixed.size == 16 => Type::Uuid,
            Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                Type::Fixed(fixed.size)
            }
            Schema::Enum(symbols) => Type::Enum(symbols.symbols.clone()),
            Schema::Array(array) => Type::Array(self.add(&array.items, namespace)?),
            Schema::Map(map) => Type::Map(self.add(&map.types, namespace)?),
            Schema::Union(union) => {
                let branches = union.variants().iter().map(|branch| self.add(branch, namespace));
                Type::Union(branches.collect::<Result<_, _>>()?)
            }
            Schema::Record(record) => {
                let fields = record.fields.iter();
                let fields = fields.map(|field| Ok((field.name.clone(), self.add(&field.schema, namespace)?)));
                Type::Record(fields.collect::<Result<_, _>>()?)
            }
            Schema::Date => Type::Date,
            Schema::TimeMillis => Type::Time(Unit::Millis),
            Schema::TimeMicros => Type::Time(Unit::Micros),
            Schema::TimestampMillis | Schema::LocalTimestampMillis => Type::Timestamp(Unit::Millis),
            Schema::TimestampMicros | Schema::LocalTimestampMicros => Type::Timestamp(Unit::Micros),
            Schema::TimestampNanos | Schema::LocalTimestampNanos => Type::Timestamp(Unit::Nanos),
            Schema::Decimal(decimal) => decimal_type(decimal),
        })
    }
}

/// A decimal whose scale nothing here can have is the bytes that it is written as.
fn decimal_type(decimal: &DecimalSchema) -> Type {
    let scale = u8::try_from(decimal.scale).ok().filter(|scale| *scale <= DECIMAL_PRECISION);
    match (scale, &decimal.inner) {
        (Some(scale), InnerDecimalSchema::Bytes) => Type::Decimal { scale, size: None },
        (Some(scale), InnerDecimalSchema::Fixed(fixed)) => Type::Decimal { scale, size: Some(fixed.size) },
        (None, InnerDecimalSchema::Bytes) => Type::Bytes,
        (None, InnerDecimalSchema::Fixed(fixed)) => Type::Fixed(fixed.size),
    }
}

impl Type {
    /// What it is, for people.
    pub fn description(&self) -> String {
        let name = match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Int => "an int",
            Self::Long => "a long",
            Self::Float => "a float",
            Self::Double => "a double",
            Self::Bytes => "bytes",
            Self::Text => "a string",
            Self::Fixed(size) => return format!("{size} fixed bytes"),
            Self::Enum(_) => "an enum",
            Self::Array(_) => "an array",
            Self::Map(_) => "a map",
            Self::Union(_) => "a union",
            Self::Record(_) => "a record",
            Self::Date => "a date",
            Self::Time(_) => "a time",
            Self::Timestamp(_) => "a timestamp",
            Self::Decimal { scale, .. } => return format!("a decimal with {scale} digits after the point"),
            Self::Uuid => "a uuid",
        };
        name.to_owned()
    }
}
