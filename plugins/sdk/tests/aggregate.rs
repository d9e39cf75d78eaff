//! What an aggregate makes of accumulators, as the host sees it.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use azenha_sdk::{Accumulator, Aggregate, Batch, Column, DataType, Field, Folder, NoConfig, Problem, Rejection, Row};
use azenha_sdk::{Strings, Values};

#[derive(Row)]
struct Payment {
    amount: i64,
}

#[derive(Default, Accumulator)]
struct Paid {
    payments: u32,
    sum: i64,
}

#[derive(Row)]
struct Mean {
    mean: i64,
}

struct MeanPayment;

impl Aggregate for MeanPayment {
    type Config = NoConfig;
    type Input<'a> = Payment;
    type State = Paid;
    type Output = Mean;

    const STATE_VERSION: u32 = 2;
    const READS_VERSIONS: &'static [u32] = &[1];
    const MERGES: bool = true;
    const RETRACTS: bool = true;

    fn open(_config: NoConfig) -> Result<Self, Problem> {
        Ok(Self)
    }

    fn fold(&self, paid: &mut Paid, payment: Payment) -> Result<(), Rejection> {
        paid.sum = paid.sum.checked_add(payment.amount).ok_or("the sum is too large")?;
        paid.payments += 1;
        Ok(())
    }

    fn retract(&self, paid: &mut Paid, payment: Payment) -> Result<(), Rejection> {
        paid.payments = paid.payments.checked_sub(1).ok_or("nothing to take back")?;
        paid.sum -= payment.amount;
        Ok(())
    }

    fn merge(&self, left: &mut Paid, right: Paid) -> Result<(), String> {
        left.payments += right.payments;
        left.sum += right.sum;
        Ok(())
    }

    fn finish(&self, paid: &Paid) -> Result<Option<Mean>, Rejection> {
        Ok(paid.sum.checked_div(i64::from(paid.payments)).map(|mean| Mean { mean }))
    }

    /// Version 1 held the sum alone, of one payment.
    fn migrate(&self, _from_version: u32, state: &[u8]) -> Result<Paid, String> {
        Ok(Paid { payments: 1, sum: i64::decode(&mut &*state)? })
    }
}

fn folder() -> Folder<MeanPayment> {
    Folder::open(NoConfig {}, &[Field::new("amount", DataType::Int64, false)]).unwrap().0
}

fn payments(amounts: &[i64]) -> Batch {
    Batch { rows: amounts.len() as u32, columns: vec![Column::of(Values::Int64s(amounts.to_vec()))] }
}

fn new(groups: usize) -> Strings {
    Strings { offsets: vec![0; groups + 1], bytes: Vec::new() }
}

/// The groups that have a row, and their means.
fn means(accumulators: &Strings) -> (Vec<u32>, Vec<Column>) {
    let finished = folder().finish(accumulators).unwrap();
    (finished.groups, finished.columns)
}

fn column(means: &[i64]) -> Vec<Column> {
    vec![Column::of(Values::Int64s(means.to_vec()))]
}

#[test]
fn rows_are_folded_into_the_accumulators_of_their_groups() {
    let folded = folder().fold(&payments(&[10, 7, 20]), &[2, 0, 2], None, &new(3)).unwrap();
    assert_eq!(means(&folded.accumulators), (vec![0, 2], column(&[7, 15])));
    let folded = folder().fold(&payments(&[45]), &[2], None, &folded.accumulators).unwrap();
    assert_eq!(means(&folded.accumulators), (vec![0, 2], column(&[7, 25])));
}

#[test]
fn rows_that_are_taken_back_leave_no_trace() {
    let folded = folder().fold(&payments(&[10, 20, 10]), &[0, 0, 0], Some(&[0b100]), &new(1)).unwrap();
    assert_eq!(means(&folded.accumulators), (vec![0], column(&[20])));
}

#[test]
fn a_refused_row_is_named_and_the_others_count() {
    let folded = folder().fold(&payments(&[i64::MAX, 1, 0]), &[0, 0, 0], None, &new(1)).unwrap();
    let refused: Vec<_> = folded.rejected.iter().map(|refused| (refused.row, refused.reason.as_str())).collect();
    assert_eq!(refused, [(1, "the sum is too large")]);
    assert_eq!(means(&folded.accumulators), (vec![0], column(&[i64::MAX / 2])));
}

#[test]
fn merging_agrees_with_folding() {
    let left = folder().fold(&payments(&[10, 7]), &[0, 1], None, &new(2)).unwrap().accumulators;
    let right = folder().fold(&payments(&[20, 9]), &[0, 1], None, &new(2)).unwrap().accumulators;
    assert_eq!(means(&folder().merge(&left, &right).unwrap()), (vec![0, 1], column(&[15, 8])));
    assert!(folder().merge(&left, &new(1)).is_err());
}

#[test]
fn older_accumulators_are_rewritten() {
    let old = Strings { offsets: vec![0, 8], bytes: 42i64.to_le_bytes().to_vec() };
    assert_eq!(means(&folder().migrate(1, &old).unwrap()), (vec![0], column(&[42])));
}

#[test]
fn accumulators_of_a_wrong_length_are_errors() {
    for length in [1, 11, 13] {
        let wrong = Strings { offsets: vec![0, length], bytes: vec![0; length as usize] };
        assert!(folder().finish(&wrong).is_err(), "{length} bytes");
    }
}

#[test]
fn a_group_that_is_not_there_is_an_error() {
    assert_eq!(folder().fold(&payments(&[1]), &[1], None, &new(1)).unwrap_err(), "there is no group 1");
}
