//! Where changes stand in the logs of databases.

use crate::decoded::ChangePosition;

/// The members of `source` that positions are made of.
#[derive(Clone, Copy)]
pub(super) enum Member {
    Lsn,
    File,
    Pos,
    Row,
    CommitLsn,
    ChangeLsn,
    EventSerialNo,
}

/// Their names, in the order of the enum.
pub(super) const MEMBERS: [&str; 7] = ["lsn", "file", "pos", "row", "commit_lsn", "change_lsn", "event_serial_no"];

/// The position of a change that a connector tells; `member` gives numbers and strings of `source` as text. None for
/// connectors whose logs are not known here, and if something is missing.
///
/// It orders the changes of one row, and that is all that is asked of it:
/// - PostgreSQL: `lsn` is where the change itself stands. Transactions come in the order of their commits, so the
///   changes of different rows do not ascend. Of one row they do: who changes it holds its lock until the commit.
/// - MySQL, MariaDB: the binlog is one sequence in the order of commits, its files are numbered, and `row` counts the
///   rows of one event.
/// - SQL Server: changes come in the order of commits, and within one as they were made. The parts of a change of the
///   key share both numbers, hence the serial number.
pub(super) fn position<'a>(connector: &str, member: impl Fn(Member) -> Option<&'a str>) -> Option<ChangePosition> {
    let number = |wanted| member(wanted)?.parse::<u64>().ok();
    match connector {
        "postgresql" => Some(ChangePosition([number(Member::Lsn)?, 0, 0])),
        "mysql" | "mariadb" => {
            let (_, file) = member(Member::File)?.rsplit_once('.')?;
            let row = number(Member::Row).unwrap_or_default();
            Some(ChangePosition([file.parse().ok()?, number(Member::Pos)?, row]))
        }
        "sqlserver" => {
            let commit = sql_server_lsn(member(Member::CommitLsn)?)?;
            // A snapshot has neither.
            let change = member(Member::ChangeLsn).and_then(sql_server_lsn).unwrap_or_default();
            let serial = number(Member::EventSerialNo).unwrap_or_default();
            Some(packed(commit, change, u32::try_from(serial).unwrap_or(u32::MAX)))
        }
        _ => None,
    }
}

/// The 80 bits of `00000027:00000ac0:0002`.
fn sql_server_lsn(text: &str) -> Option<u128> {
    let mut parts = text.split(':');
    let mut part = |digits| {
        let part = parts.next().filter(|part| part.len() == digits)?;
        u128::from_str_radix(part, 16).ok()
    };
    let lsn = part(8)? << 48 | part(8)? << 16 | part(4)?;
    parts.next().is_none().then_some(lsn)
}

/// 80 bits, 80 bits and 32 bits.
fn packed(commit: u128, change: u128, serial: u32) -> ChangePosition {
    let high = (commit >> 16) as u64;
    let middle = (commit << 48) as u64 | (change >> 32) as u64;
    let low = (change << 32) as u64 | u64::from(serial);
    ChangePosition([high, middle, low])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(connector: &str, members: &[(&str, &'static str)]) -> Option<ChangePosition> {
        position(connector, |member| {
            members.iter().find(|(name, _)| *name == MEMBERS[member as usize]).map(|(_, text)| *text)
        })
    }

    #[test]
    fn a_binlog_s_files_are_ordered_by_their_numbers() {
        let at = |file, pos, row| of("mysql", &[("file", file), ("pos", pos), ("row", row)]);
        let ascending = [
            at("binlog.000009", "999", "0"),
            at("binlog.000010", "4", "0"),
            at("binlog.000010", "4", "1"),
            at("binlog.1000000", "4", "0"),
        ];
        assert!(ascending.is_sorted() && ascending.iter().all(Option::is_some), "{ascending:?}");
        assert_eq!(of("mariadb", &[("file", "m.b.01"), ("pos", "5")]), Some(ChangePosition([1, 5, 0])));
    }

    #[test]
    fn sql_server_s_changes_are_ordered_by_commit_then_change_then_serial_number() {
        let at = |commit, change, serial| {
            of("sqlserver", &[("commit_lsn", commit), ("change_lsn", change), ("event_serial_no", serial)])
        };
        let ascending = [
            of("sqlserver", &[("commit_lsn", "00000027:00000AC0:0001"), ("change_lsn", "NULL")]),
            at("00000027:00000ac0:0001", "00000027:00000ac0:0001", "1"),
            at("00000027:00000ac0:0001", "00000027:00000ac0:0001", "2"),
            at("00000027:00000ac0:0001", "00000027:00000ac1:0000", "1"),
            at("00000027:00000ac0:0002", "00000000:00000000:0003", "1"),
            at("ffffffff:ffffffff:ffff", "ffffffff:ffffffff:ffff", "1"),
        ];
        assert!(ascending.is_sorted_by(|left, right| left < right), "{ascending:?}");
        assert!(ascending.iter().all(Option::is_some));
    }

    #[test]
    fn what_is_no_position_is_none() {
        for (connector, members) in [
            ("postgresql", &[("lsn", "-1")][..]),
            ("postgresql", &[("pos", "1")]),
            ("mysql", &[("file", "binlog"), ("pos", "1")]),
            ("mysql", &[("file", "binlog.1")]),
            ("sqlserver", &[("commit_lsn", "NULL")]),
            ("sqlserver", &[("commit_lsn", "00000027:00000ac0")]),
            ("sqlserver", &[("commit_lsn", "00000027:00000ac0:0001:0")]),
            ("sqlserver", &[("commit_lsn", "00000027:0000+ac0:zzzz")]),
            ("oracle", &[("scn", "1"), ("lsn", "1")]),
        ] {
            assert_eq!(of(connector, members), None, "{connector} {members:?}");
        }
    }
}
