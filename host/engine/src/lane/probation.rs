//! Whether a lane goes on with new code: decided before anything that the code did is committed.

use crate::edition::{Begun, Edition, Guard};
use azenha_model::Offset;

/// So many rows are forgiven whatever their share is: a few bad records may come by chance.
const FORGIVEN: u64 = 10;

/// New code that a lane does not trust yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Probation {
    guard: Guard,
    records: u64,
    /// Rows and groups that plugins were to take: a record may have many, and some belong to no record.
    tried: u64,
    blamed: u64,
}

impl Probation {
    /// That of a lane which reads on at an offset, if it has any left.
    pub fn of(edition: &Edition, begun: &Begun, position: Offset) -> Option<Self> {
        let guard = edition.guard?;
        let is_over = position >= begun.from.saturating_add(guard.records);
        (!is_over).then_some(Self { guard, records: 0, tried: 0, blamed: 0 })
    }

    /// Counts what one commit would make durable: records that were read, rows and groups that plugins were to take, and
    /// those that they refused or failed on. Says what is wrong if the code must not go on.
    pub fn count(&mut self, records: u64, tried: u64, blamed: u64) -> Result<(), String> {
        self.records += records;
        self.tried += tried.max(records);
        self.blamed += blamed;
        let allowed = (self.guard.share * self.tried as f64).max(FORGIVEN.min(self.guard.records) as f64 - 1.0);
        if self.blamed as f64 <= allowed {
            return Ok(());
        }
        let Self { guard, records, tried, blamed } = self;
        Err(format!(
            "plugins refused or failed on {blamed} of {tried} rows of {records} records, above a share of {}",
            guard.share
        ))
    }

    /// Whether the code is trusted from here on.
    pub fn is_over(&self) -> bool {
        self.records >= self.guard.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probation(records: u64, share: f64) -> Probation {
        Probation { guard: Guard { records, share }, records: 0, tried: 0, blamed: 0 }
    }

    #[test]
    fn code_that_fails_on_everything_is_not_gone_on_with() {
        assert!(probation(1_000, 0.1).count(500, 500, 500).is_err());
        assert!(probation(1, 0.1).count(1, 1, 1).is_err());
    }

    #[test]
    fn groups_that_give_their_results_anew_are_judged_by_their_number_whatever_was_read() {
        let mut anew = probation(1_000, 0.1);
        assert_eq!(anew.count(0, 1_000, 30), Ok(()), "refused all along");
        assert!(anew.count(1, 20, 90).is_err());
    }

    #[test]
    fn few_bad_rows_are_forgiven_and_many_are_not() {
        let mut few = probation(1_000, 0.1);
        assert_eq!(few.count(9, 9, 9), Ok(()));
        assert_eq!(few.count(891, 891, 81), Ok(()), "exactly the share");
        assert!(!few.is_over());
        assert!(few.count(1, 1, 1).is_err());
    }

    #[test]
    fn the_share_counts_from_the_first_record_on() {
        let mut late = probation(1_000, 0.1);
        assert_eq!(late.count(999, 999, 0), Ok(()));
        assert_eq!(late.count(50, 50, 50), Ok(()));
        assert!(late.is_over());
    }

    #[test]
    fn who_reads_on_behind_the_first_records_trusts_the_code() {
        let edition = Edition { version: 3, guard: Some(Guard { records: 10, share: 0.5 }), ..Edition::default() };
        let begun = Begun { task: "a".to_owned(), partition: 0, version: 3, from: 100 };
        assert!(Probation::of(&edition, &begun, 109).is_some());
        assert_eq!(Probation::of(&edition, &begun, 110), None);
        assert_eq!(Probation::of(&Edition { guard: None, ..edition }, &begun, 100), None);
    }
}
