//! Tables as the server describes them.

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Row};

use super::failures::failure;
use super::values::Limit;
use crate::sql::dialect::BACKTICKS;
use crate::sql::session::Failure;
use crate::sql::table::{FoundColumn, FoundTable};

/// A column, and how long texts may be in it.
pub(super) struct DescribedColumn {
    pub found: FoundColumn,
    pub limit: Limit,
}

/// The database, if it is named, and the table.
fn schema_and_name(table: &str) -> (Option<&str>, &str) {
    table.split_once('.').map_or((None, table), |(schema, name)| (Some(schema), name))
}

/// The table, if there is one.
pub(super) async fn find(connection: &mut MySqlConnection, table: &str) -> Result<Option<FoundTable>, Failure> {
    let columns = columns(connection, table).await?;
    if columns.is_empty() {
        return Ok(None);
    }
    check_engine(connection, table).await?;
    let unique = indexes(connection, table, "NOT NON_UNIQUE").await?;
    Ok(Some(FoundTable { columns: columns.into_iter().map(|column| column.found).collect(), unique }))
}

/// The columns of the table, in their order; none if there is no such table.
pub(super) async fn columns(connection: &mut MySqlConnection, table: &str) -> Result<Vec<DescribedColumn>, Failure> {
    let sql = "SELECT COLUMN_NAME, CONCAT(COLUMN_TYPE, COALESCE(CONCAT(' COLLATE ', COLLATION_NAME), '')),
            IS_NULLABLE = 'NO' AND COLUMN_DEFAULT IS NULL AND EXTRA NOT LIKE '%auto_increment%'
                AND EXTRA NOT LIKE '%GENERATED%',
            CAST(CHARACTER_MAXIMUM_LENGTH AS SIGNED), CAST(CHARACTER_OCTET_LENGTH AS SIGNED)
        FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ?
        ORDER BY ORDINAL_POSITION";
    let (schema, name) = schema_and_name(table);
    let query = sqlx::query(sql).bind(schema).bind(name);
    let rows = query.fetch_all(connection).await.map_err(failure)?;
    let column = |row: &MySqlRow| {
        let found = FoundColumn { name: row.try_get(0)?, declared: row.try_get(1)?, required: row.try_get(2)? };
        let limit = Limit { characters: row.try_get(3)?, bytes: row.try_get(4)? };
        Ok(DescribedColumn { found, limit })
    };
    rows.iter().map(column).collect()
}

/// Refuses a table that a transaction cannot take back: rows and position would part.
async fn check_engine(connection: &mut MySqlConnection, table: &str) -> Result<(), Failure> {
    let sql = "SELECT COALESCE(tables.ENGINE, TABLE_TYPE), COALESCE(TRANSACTIONS = 'YES' AND SAVEPOINTS = 'YES', FALSE)
        FROM information_schema.TABLES tables LEFT JOIN information_schema.ENGINES engines
            ON engines.ENGINE = tables.ENGINE
        WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ?";
    let (schema, name) = schema_and_name(table);
    let query = sqlx::query(sql).bind(schema).bind(name);
    let Some(row) = query.fetch_optional(connection).await.map_err(failure)? else { return Ok(()) };
    let (engine, has_transactions): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
    if has_transactions {
        return Ok(());
    }
    let quoted = BACKTICKS.table(table);
    Err(Failure::Definition(format!(
        "table `{table}` is kept by {engine}, which has no transactions: ALTER TABLE {quoted} ENGINE=InnoDB"
    )))
}

/// Whether there is an index of the words of exactly these columns.
pub(super) async fn has_fulltext(
    connection: &mut MySqlConnection,
    table: &str,
    columns: &[String],
) -> Result<bool, Failure> {
    let found = indexes(connection, table, "INDEX_TYPE = 'FULLTEXT'").await?;
    Ok(found.iter().any(|found| found.len() == columns.len() && columns.iter().all(|column| found.contains(column))))
}

/// The columns of each index over whole columns that satisfies a condition.
async fn indexes(connection: &mut MySqlConnection, table: &str, condition: &str) -> Result<Vec<Vec<String>>, Failure> {
    let sql = format!(
        "SELECT INDEX_NAME, COLUMN_NAME, SUB_PART IS NULL AND COLUMN_NAME IS NOT NULL
        FROM information_schema.STATISTICS
        WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ? AND {condition}
        ORDER BY INDEX_NAME, SEQ_IN_INDEX"
    );
    let (schema, name) = schema_and_name(table);
    let query = sqlx::query(AssertSqlSafe(sql)).bind(schema).bind(name);
    let rows = query.fetch_all(connection).await.map_err(failure)?;
    let mut indexes: Vec<(String, Vec<Option<String>>)> = Vec::new();
    for row in rows {
        let (index, column, is_whole): (String, Option<String>, bool) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let column = column.filter(|_| is_whole);
        match indexes.last_mut().filter(|(last, _)| *last == index) {
            Some((_, columns)) => columns.push(column),
            None => indexes.push((index, vec![column])),
        }
    }
    Ok(indexes.into_iter().filter_map(|(_, columns)| columns.into_iter().collect()).collect())
}
