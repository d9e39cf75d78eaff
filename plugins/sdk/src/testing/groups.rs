//! The groups of a case and their results.

use serde_json::Value;

use super::case::JsonRow;
use super::columns::{has_rows, json_at};
use crate::data::{Batch, Field};
use crate::finished::Finished;

/// Groups in the order in which they first appear.
#[derive(Default)]
pub struct Groups {
    pub keys: Vec<JsonRow>,
    /// The group of each row.
    pub of_rows: Vec<u32>,
}

impl Groups {
    /// Adds the rows of a batch: key i is the column `columns[i]`, and it is called `names[i]`.
    pub fn add(&mut self, batch: &Batch, fields: &[Field], columns: &[usize], names: &[String]) -> Result<(), String> {
        for row in 0..batch.rows as usize {
            let value = |column: &usize| json_at(&fields[*column], &batch.columns[*column], row);
            let key = columns.iter().zip(names).map(|(column, name)| Ok((name.clone(), value(column)?)));
            let key = key.collect::<Result<JsonRow, String>>()?;
            let group = self.keys.iter().position(|known| *known == key).unwrap_or_else(|| {
                self.keys.push(key);
                self.keys.len() - 1
            });
            self.of_rows.push(group as u32);
        }
        Ok(())
    }

    /// The rows that were made of groups: keys, then what the plugin gives.
    pub fn results(&self, gives: &[Field], finished: &Finished) -> Result<Vec<Value>, String> {
        let made = || gives.iter().zip(&finished.columns);
        if let Some((field, _)) = made().find(|(_, column)| !has_rows(column, finished.groups.len())) {
            return Err(format!("made column `{}` has not {} rows", field.name, finished.groups.len()));
        }
        let row = |(row, group): (usize, &u32)| {
            let mut values = self.keys[*group as usize].clone();
            for (field, column) in made() {
                values.insert(field.name.clone(), json_at(field, column, row)?);
            }
            values.retain(|_, value| !value.is_null());
            Ok(Value::Object(values))
        };
        finished.groups.iter().enumerate().map(row).collect()
    }
}
