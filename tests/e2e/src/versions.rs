//! Which version of a pipeline processed which record: what rows say, and what the pipeline says.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A row as it was written.
#[derive(Debug)]
pub struct Seen {
    /// What tells the record that it was made of from all others.
    pub record: String,
    /// The partition and the offset at which that was read.
    pub read_at: (i64, i64),
    /// The tag that the code gave it.
    pub tag: String,
    /// The version that it says.
    pub version: i64,
}

impl Seen {
    /// What stands in the columns `read_in`, `read_at`, `tag` and `versao`.
    pub fn of(record: String, row: &Value) -> Result<Self> {
        let number = |column: &str| row[column].as_i64().with_context(|| format!("{row} has no `{column}`"));
        let tag = row["tag"].as_str().with_context(|| format!("{row} has no tag"))?.to_owned();
        Ok(Self { record, read_at: (number("read_in")?, number("read_at")?), tag, version: number("versao")? })
    }
}

/// The first offsets that a lane read with versions, each with that version.
type Lane = BTreeSet<(i64, i64)>;

/// From where on the lanes of each task ran versions, by partition.
#[derive(Debug, Default)]
pub struct Begun(BTreeMap<String, BTreeMap<i64, Lane>>);

impl Begun {
    /// Takes in what `GET /pipelines/NAME/versions` says. It tells of the last versions only: of more it has to be
    /// asked now and then.
    pub fn learn(&mut self, versions: &[Value]) -> Result<()> {
        for version in versions {
            for lane in version["lanes"].as_array().into_iter().flatten() {
                let number = |value: &Value| value.as_i64().with_context(|| version.to_string());
                let task = lane["task"].as_str().with_context(|| version.to_string())?.to_owned();
                let at = (number(&lane["from"])?, number(&version["version"])?);
                self.0.entry(task).or_default().entry(number(&lane["partition"])?).or_default().insert(at);
            }
        }
        Ok(())
    }

    /// Each of the records that were sent has one row, with the tag of its version, which is the one that the task ran
    /// at its offset.
    pub fn check_seen(&self, task: &str, rows: &[Seen], sent: u64, tag_of: impl Fn(i64) -> String) -> Result<()> {
        let records = rows.iter().map(|row| row.record.as_str()).collect::<BTreeSet<_>>().len();
        ensure!(
            rows.len() as u64 == sent && records == rows.len(),
            "{task}: {} rows of {records} records, and {sent} were sent",
            rows.len()
        );
        let lanes = self.0.get(task).with_context(|| format!("nothing is said of {task}"))?;
        for row in rows {
            let (partition, offset) = row.read_at;
            let ran = lanes.get(&partition).with_context(|| format!("nothing is said of {task}/{partition}"))?;
            let at = ran.range(..=(offset, i64::MAX)).next_back();
            ensure!(at.is_some_and(|(_, ran)| *ran == row.version), "{task}: {row:?}, but there {at:?} ran of {ran:?}");
            ensure!(row.tag == tag_of(row.version), "{task}: {row:?}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Checks rows of one partition, at offsets from 0 on: version 1 ran until offset 2, and version 2 from there on.
    fn check(versions: &[i64], sent: u64) -> Result<()> {
        let lanes = |from: i64| json!([{"task": "seen", "partition": 0, "from": from}]);
        let mut begun = Begun::default();
        begun.learn(&[json!({"version": 1, "lanes": lanes(0)}), json!({"version": 2, "lanes": lanes(2)})])?;
        let row = |(offset, version): (i64, &i64)| {
            let row = json!({"read_in": 0, "read_at": offset, "tag": format!("v{version}"), "versao": version});
            Seen::of(offset.to_string(), &row)
        };
        let rows = (0..).zip(versions).map(row).collect::<Result<Vec<_>>>()?;
        begun.check_seen("seen", &rows, sent, |version| format!("v{version}"))
    }

    #[test]
    fn rows_say_the_version_that_ran_at_their_offset() -> Result<()> {
        check(&[1, 1, 2, 2], 4)
    }

    #[test]
    fn a_row_of_another_version_and_one_that_is_missing_are_seen() {
        assert!(check(&[1, 2, 2, 2], 4).is_err());
        assert!(check(&[1, 1, 1, 2], 4).is_err());
        assert!(check(&[1, 1, 2], 4).is_err());
    }
}
