//! Whether a lane goes on with new code: decided before anything that the code did is committed.

use crate::edition::{Code, Edition, Guard, Version};
use azenha_model::Offset;

/// So many rows are forgiven whatever their share is, once another one went through: a few bad records may come by chance.
const FORGIVEN: u64 = 10;

/// New code that a lane does not trust yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Probation {
    guard: Guard,
    version: Version,
    records: u64,
    /// Rows and groups that plugins were to take: a record may have many, and some belong to no record.
    tried: u64,
    blamed: u64,
}

impl Probation {
    /// That of a lane which reads on at an offset, if it has any left.
    pub fn of(edition: &Edition, code: &Code, position: Offset) -> Option<Self> {
        let guard = edition.guard?;
        let is_over = position >= code.from.saturating_add(guard.records);
        (!is_over).then_some(Self { guard, version: code.version, records: 0, tried: 0, blamed: 0 })
    }

    /// The version that the code began with.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Counts what one commit would make durable: records that were read, rows and groups that plugins were to take, and
    /// those that they refused or failed on. Says what is wrong if the code must not go on.
    pub fn count(&mut self, records: u64, tried: u64, blamed: u64) -> Result<(), String> {
        self.records += records;
        self.tried += tried.max(records);
        self.blamed += blamed;
        let share = self.guard.share * self.tried as f64;
        let forgiven = FORGIVEN.min(self.guard.records) as f64 - 1.0;
        let is_forgiven = self.blamed as f64 <= share.max(forgiven) && self.blamed < self.tried;
        if self.blamed == 0 || is_forgiven {
            return Ok(());
        }
        let Self { guard, records, tried, blamed, .. } = self;
        Err(format!(
            "plugins refused or failed on {blamed} of {tried} rows of {records} records, above a share of {}",
            guard.share
        ))
    }

    /// Whether the code has failed on all that it was to take, with so many rows more, of which it failed on some: then
    /// it is worth while to wait for another one before it is judged.
    pub fn has_only_failed(&self, tried: u64, blamed: u64) -> bool {
        blamed > 0 && self.blamed + blamed >= self.tried + tried
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
        Probation { guard: Guard { records, share }, version: 2, records: 0, tried: 0, blamed: 0 }
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
        assert_eq!(few.count(10, 10, 9), Ok(()));
        assert_eq!(few.count(890, 890, 81), Ok(()), "exactly the share");
        assert!(!few.is_over());
        assert!(few.count(1, 1, 1).is_err());
    }

    #[test]
    fn code_that_has_done_nothing_right_is_forgiven_nothing_and_judged_a_little_later() {
        assert!(probation(1_000, 0.5).count(1, 1, 1).is_err());
        let mut slow = probation(1_000, 0.5);
        assert!(slow.has_only_failed(1, 1) && !slow.has_only_failed(0, 0) && !slow.has_only_failed(2, 1));
        assert_eq!(slow.count(1, 1, 0), Ok(()));
        assert!(!slow.has_only_failed(5, 5));
        assert_eq!(slow.count(5, 5, 5), Ok(()));
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
        let code = Code { digest: "a".to_owned(), version: 3, from: 100 };
        assert!(Probation::of(&edition, &code, 109).is_some());
        assert_eq!(Probation::of(&edition, &code, 110), None);
        assert_eq!(Probation::of(&Edition { guard: None, ..edition }, &code, 100), None);
    }
}
