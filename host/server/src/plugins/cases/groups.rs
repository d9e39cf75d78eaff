//! The groups of a case and their results.

use anyhow::Result;
use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;
use azenha_model::Field;
use azenha_sandbox::Finished;
use serde_json::Value;

use super::columns::json_rows;

/// Groups in the order in which they first appear.
pub struct Groups {
    /// The columns of the keys.
    pub fields: Vec<Field>,
    /// One row for each group.
    pub keys: RecordBatch,
    /// The group of each row.
    pub of_rows: Vec<u32>,
}

impl Groups {
    /// The groups that rows with these keys fall into.
    pub fn of(fields: Vec<Field>, keys: &RecordBatch) -> Result<Self> {
        let (mut seen, mut first_rows, mut of_rows) = (Vec::new(), Vec::new(), Vec::new());
        for (row, key) in (0..).zip(json_rows(&fields, keys.columns(), keys.num_rows())?) {
            let group = seen.iter().position(|known| *known == key).unwrap_or_else(|| {
                seen.push(key);
                first_rows.push(row);
                seen.len() - 1
            });
            of_rows.push(group as u32);
        }
        let keys = take_record_batch(keys, &UInt32Array::from(first_rows))?;
        Ok(Self { fields, keys, of_rows })
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.keys.num_rows()
    }

    /// The rows that a plugin made of groups: keys, then what it gives.
    pub fn results(&self, gives: &[Field], finished: &Finished) -> Result<Vec<Value>> {
        let keys = take_record_batch(&self.keys, &UInt32Array::from(finished.groups.clone()))?;
        let fields = [&self.fields, gives].concat();
        let columns = [keys.columns(), &finished.columns].concat();
        let mut results = json_rows(&fields, &columns, finished.groups.len())?;
        results.iter_mut().filter_map(Value::as_object_mut).for_each(|row| row.retain(|_, value| !value.is_null()));
        Ok(results)
    }
}
