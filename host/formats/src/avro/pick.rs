//! Parts of a datum: which members are wanted as text, so that the others are only passed over.

use super::schema::{AvroSchema, Type, TypeId};

/// What is wanted of a value, whatever its schema.
#[derive(Debug)]
pub(crate) enum Pick {
    /// All of it.
    Whole,
    /// Of a record, these fields.
    Fields(Vec<(String, Pick)>),
}

/// What is wanted of a value of one schema.
#[derive(Debug)]
pub(crate) enum Picked {
    Whole,
    /// One for each field of the record, or of the record that a union has; none: it is not wanted.
    Fields(Vec<Option<Picked>>),
}

impl Pick {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::Fields(Vec::new())
    }

    /// Adds the value at the end of a path, and all of it.
    pub fn add<'a>(&mut self, mut path: impl Iterator<Item = &'a str>) {
        match path.next() {
            None => *self = Self::Whole,
            Some(name) => {
                if let Some(field) = self.field(name) {
                    field.add(path);
                }
            }
        }
    }

    /// What is wanted of a field; none if the whole is wanted.
    pub fn field(&mut self, name: &str) -> Option<&mut Self> {
        let Self::Fields(fields) = self else { return None };
        let position = fields.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            fields.push((name.to_owned(), Self::new()));
            fields.len() - 1
        });
        fields.get_mut(position).map(|(_, pick)| pick)
    }

    /// The same of values of a schema.
    pub fn of(&self, schema: &AvroSchema) -> Picked {
        self.of_type(schema, schema.root)
    }

    fn of_type(&self, schema: &AvroSchema, id: TypeId) -> Picked {
        let Self::Fields(wanted) = self else { return Picked::Whole };
        match &schema.types[id] {
            Type::Record(fields) => {
                let picked = |(name, id): &(String, TypeId)| {
                    let (_, pick) = wanted.iter().find(|(wanted, _)| wanted == name)?;
                    Some(pick.of_type(schema, *id))
                };
                Picked::Fields(fields.iter().map(picked).collect())
            }
            Type::Union(branches) => {
                let is_record = |branch: &&TypeId| matches!(schema.types[**branch], Type::Record(_));
                let mut records = branches.iter().filter(is_record);
                match (records.next(), records.next()) {
                    (Some(record), None) => self.of_type(schema, *record),
                    _ => Picked::Whole,
                }
            }
            _ => Picked::Whole,
        }
    }
}
