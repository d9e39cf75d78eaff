//! What is wrong, by the errors' numbers and classes, which both servers share as far as they are named here:
//! <https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html>,
//! <https://mariadb.com/kb/en/mariadb-error-code-reference/>.

use sqlx::mysql::MySqlDatabaseError;

use crate::sql::session::{Failure, Fault};

/// A subquery that stands for one value has two rows: an upsert met a row of another key.
pub(super) const TWO_ROWS_IN_ONE: u16 = 1242;

/// Messages that hold no values of the row.
const WITHOUT_VALUES: [u16; 14] =
    [1048, 1216, 1217, 1264, 1265, 1364, 1406, 1451, 1452, 1526, 1644, 3140, 3819, TWO_ROWS_IN_ONE];

fn database(error: &sqlx::Error) -> Option<&MySqlDatabaseError> {
    error.as_database_error().and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>())
}

/// The error's number, if the server gave one.
pub(in crate::sql) fn number(error: &sqlx::Error) -> Option<u16> {
    database(error).map(MySqlDatabaseError::number)
}

/// The class of the error's SQLSTATE, which errors of the handshake do not have.
fn class(error: &MySqlDatabaseError) -> &str {
    error.code().and_then(|state| state.get(..2)).unwrap_or("HY")
}

/// Sorts errors by number, and by the class of their SQLSTATE where that says enough.
pub(in crate::sql) fn failure(error: sqlx::Error) -> Failure {
    if let sqlx::Error::Configuration(problem) = &error {
        return Failure::Definition(problem.to_string());
    }
    let Some(database) = database(&error) else { return Failure::Unavailable(error.into()) };
    match (database.number(), class(database)) {
        // Too many connections, those of a user, its other limits, too many statements: others end.
        (1040 | 1203 | 1226 | 1461, _) => Failure::Unavailable(error.into()),
        // Larger than a page, no default, an unreadable value, no partition for it, a check, a missing character.
        (1118 | 1364 | 1366 | 1525 | 1526 | 3819 | 3854 | 3988, _) => Failure::Rows(fault(database)),
        // This host may not connect, no such full-text index, an unknown collation, a binary log of statements, tables that
        // must have a key.
        (1130 | 1191 | 1273 | 1665 | 3098 | 3750, _) => Failure::Definition(database.message().to_owned()),
        // Not supported, wrong user or password, no such database, table or column, no right to it.
        (_, "0A" | "28" | "3D" | "42") => Failure::Definition(database.message().to_owned()),
        // The connection, a read-only transaction, deadlocks, a killed statement, distributed transactions, and all
        // that has no class: locks, resources, files, a read-only server.
        (_, "08" | "25" | "40" | "70" | "XA" | "HY") => Failure::Unavailable(error.into()),
        _ => Failure::Rows(fault(database)),
    }
}

/// A row that is too large for a packet would end the connection, again and again.
pub(super) fn fault_of_size(size: usize, packet: usize) -> Failure {
    let reason = format!("the row has about {size} bytes, and the server takes {packet} at once (max_allowed_packet)");
    Failure::Rows(Fault { reason, names_column: true })
}

fn fault(error: &MySqlDatabaseError) -> Fault {
    let message = error.message();
    let reason = match error.number() {
        1022 | 1062 | 1169 | 1586 => format!("another row has the same value in a unique index{}", key(message)),
        4025 => format!("a check is violated: {message}"),
        number if WITHOUT_VALUES.contains(&number) => without_row(message).to_owned(),
        _ => without_value(message),
    };
    // What is about values need not name a column.
    let about_value = class(error) == "22" || matches!(error.number(), 1366 | 1525 | 3854 | 3988);
    let names_column = !about_value || reason.to_lowercase().contains("column");
    Fault { reason, names_column }
}

/// The index that `Duplicate entry '…' for key '…'` names; the value may hold anything.
fn key(message: &str) -> String {
    message.rsplit_once(" for key ").map_or(String::new(), |(_, key)| format!(": {}", key.replace('\'', "`")))
}

/// `… at row 1`: which of the statement's rows it was, and the caller knows.
fn without_row(message: &str) -> &str {
    message.rsplit_once(" at row ").map_or(message, |(message, _)| message)
}

/// What stands in quotes may be a value, up to the column's name: `Incorrect … value: '…' for column …`.
fn without_value(message: &str) -> String {
    let message = without_row(message);
    let (message, column) = match message.rsplit_once("' for column ") {
        Some((message, column)) => (message, format!(" for column {column}")),
        None => (message.rsplit_once('\'').map_or(message, |(message, _)| message), String::new()),
    };
    let what = message.split('\'').next().unwrap_or_default().trim_end_matches([':', ' ']);
    format!("{what}{column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_lose_the_values_that_they_quote() {
        let incorrect = "Incorrect string value: 'it's' for column x' for column `shop`.`t`.`name` at row 3";
        assert_eq!(without_value(incorrect), "Incorrect string value for column `shop`.`t`.`name`");
        assert_eq!(without_value("Truncated incorrect DOUBLE value: 'secret'"), "Truncated incorrect DOUBLE value");
        assert_eq!(key("Duplicate entry 'a' for key 'b' for key 'shop.name'"), ": `shop.name`");
    }
}
