//! What must hold of the new tables of a batch before they are seen.

use anyhow::Result;
use azenha_connect::sql::warehouse::{Compared, Warehouse, building};
use azenha_model::plan::{Batch, BuiltTable, Check, Test};
use azenha_model::query::Sql;

use super::report::CheckReport;

/// Statements over new tables.
pub struct Statements<'a, Q> {
    /// What is made and checked.
    pub batch: &'a Batch,
    /// Where.
    pub warehouse: &'a Warehouse,
    /// A name as statements have it.
    pub quoted: Q,
}

impl<Q: Fn(&str) -> String> Statements<'_, Q> {
    /// A new table, as statements have it.
    pub fn quoted_new(&self, table: &str) -> String {
        (self.quoted)(&building(table))
    }

    /// A statement, with the names of new tables in it.
    pub fn sql(&self, sql: &Sql) -> String {
        sql.with(|position| self.quoted_new(&self.batch.tables[position].name))
    }

    /// Checks what the file says, and that keys are keys.
    pub async fn checks(&self) -> Result<Vec<CheckReport>> {
        let mut checks = Vec::new();
        for table in &self.batch.built {
            checks.push(self.check_key(table).await?);
            checks.extend(self.check_references(table).await?);
        }
        for Check { name, test } in &self.batch.checks {
            let (passed, found) = match test {
                Test::Equal(left, right) => {
                    let Compared { equal, values } =
                        self.warehouse.compare(name, &self.sql(left), &self.sql(right)).await?;
                    let [left, right] = values.map(|value| value.unwrap_or_else(|| "nothing".to_owned()));
                    (equal, format!("{left} and {right}"))
                }
                Test::None(sql) => none(self.warehouse.count(name, &self.sql(sql)).await?),
            };
            checks.push(CheckReport { name: name.clone(), passed, found });
        }
        Ok(checks)
    }

    async fn check_key(&self, BuiltTable { name: table, key, .. }: &BuiltTable) -> Result<CheckReport> {
        let columns: Vec<String> = key.iter().map(|column| (self.quoted)(column)).collect();
        let (listed, absent) = (columns.join(", "), columns.join(" IS NULL OR "));
        let new = self.quoted_new(table);
        let wrong = format!(
            "SELECT {listed} FROM {new} GROUP BY {listed} HAVING COUNT(*) > 1 \
             UNION ALL SELECT {listed} FROM {new} WHERE {absent} IS NULL"
        );
        let name = format!("`{table}` has each ({}) once", key.join(", "));
        let (passed, found) = none(self.warehouse.count(&name, &wrong).await?);
        Ok(CheckReport { name, passed, found })
    }

    async fn check_references(&self, table: &BuiltTable) -> Result<Vec<CheckReport>> {
        let mut checks = Vec::new();
        for reference in &table.references {
            let other = &self.batch.tables[reference.table].name;
            let (column, key) = ((self.quoted)(&reference.column), (self.quoted)(&reference.key));
            let orphans = format!(
                "SELECT 1 AS one FROM {} AS naming WHERE {column} IS NOT NULL AND NOT EXISTS \
                 (SELECT 1 FROM {} AS named WHERE named.{key} = naming.{column})",
                self.quoted_new(&table.name),
                self.quoted_new(other),
            );
            let name = format!("each {} of `{}` is in `{other}`", reference.column, table.name);
            let (passed, found) = none(self.warehouse.count(&name, &orphans).await?);
            checks.push(CheckReport { name, passed, found });
        }
        Ok(checks)
    }
}

/// What a check found that wants no rows.
fn none(rows: i64) -> (bool, String) {
    (rows == 0, if rows == 0 { "no exception".to_owned() } else { format!("{rows} exceptions") })
}
