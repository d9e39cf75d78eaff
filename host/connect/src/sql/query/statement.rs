//! The statement that answers a question: the query's own as a table, of which a page is read.

use std::time::Duration;

use azenha_model::DataType;
use azenha_model::query::{Ask, Piece, Query, Search, Sql, Test, Value};

use crate::query::Question;
use crate::sql::dialect::DOUBLE;

/// Where databases differ in how they are asked.
pub(super) struct Language {
    /// The placeholder of the value with this number, from 1.
    pub placeholder: fn(usize) -> String,
    /// A placeholder as a value of a type.
    pub given: fn(&str, DataType) -> String,
    /// A column so that it is read as whole number, floating-point number, bytes or, all else, text.
    pub read: fn(&str, DataType) -> String,
    /// What stands behind `SELECT`.
    pub hint: fn(Duration) -> String,
    /// The conditions that some columns of a table have all words of a text: at least one, which nothing satisfies if the
    /// text has none.
    pub words: fn(&str, &[String], &str) -> Vec<Words>,
}

/// A condition on words, around the value that it compares with.
#[derive(Debug, PartialEq)]
pub(super) struct Words {
    pub before: String,
    pub value: String,
    pub after: &'static str,
}

/// A statement and its values.
#[derive(Debug, PartialEq)]
pub(super) struct Statement {
    pub sql: String,
    /// In the order of the placeholders.
    pub values: Vec<Value>,
}

impl Statement {
    /// Asks for one row more than are wanted, to know whether there are more.
    pub fn new(language: &Language, query: &Query, question: Question<'_>) -> Self {
        let mut made = Made { language, statement: Self { sql: String::from("SELECT "), values: Vec::new() } };
        made.push(&(language.hint)(query.time_limit));
        let columns = query.columns.iter().map(|field| (language.read)(&column(&field.name), field.data_type));
        made.push(&columns.collect::<Vec<_>>().join(", "));
        made.push("\nFROM (\n");
        match &query.ask {
            Ask::Sql(sql) => made.sql(sql, query, question.arguments),
            Ask::Search(search) => made.search(search, query, question.arguments),
        }
        made.push("\n) AS q");
        if let Some(after) = question.after {
            made.push("\nWHERE ");
            made.after(query, after);
        }
        for (index, order) in query.order.iter().enumerate() {
            made.push(if index == 0 { "\nORDER BY " } else { ", " });
            made.push(&column(&query.columns[order.column].name));
            made.push(if order.descending { " DESC" } else { "" });
        }
        made.push("\nLIMIT ");
        made.value(Value::Int64(i64::from(question.rows) + 1), DataType::Int64);
        made.statement
    }
}

fn column(name: &str) -> String {
    format!("q.{}", DOUBLE.columns([name]))
}

struct Made<'a> {
    language: &'a Language,
    statement: Statement,
}

impl Made<'_> {
    fn push(&mut self, sql: &str) {
        self.statement.sql.push_str(sql);
    }

    fn value(&mut self, value: Value, data_type: DataType) {
        self.statement.values.push(value);
        let placeholder = (self.language.placeholder)(self.statement.values.len());
        self.statement.sql.push_str(&(self.language.given)(&placeholder, data_type));
    }

    fn sql(&mut self, sql: &Sql, query: &Query, arguments: &[Value]) {
        for piece in &sql.0 {
            match piece {
                Piece::Text(text) => self.push(text),
                Piece::Parameter(position) => {
                    self.value(arguments[*position].clone(), query.parameters[*position].data_type);
                }
            }
        }
    }

    /// The rows of a table that satisfy all conditions.
    fn search(&mut self, search: &Search, query: &Query, arguments: &[Value]) {
        let columns = DOUBLE.columns(query.columns.iter().map(|field| field.name.as_str()));
        self.push(&format!("SELECT {columns} FROM {}", DOUBLE.table(&search.index)));
        for (turn, (condition, value)) in search.asked(arguments).enumerate() {
            self.push(if turn == 0 { "\nWHERE " } else { "\nAND " });
            let (column, comparison) = match &condition.test {
                Test::Words(columns) => {
                    self.words(&search.index, columns, value);
                    continue;
                }
                Test::Any(columns) => {
                    self.any(columns, &value.to_string());
                    continue;
                }
                Test::Equal(column) => (column, "="),
                Test::From(column) => (column, ">="),
                Test::Before(column) => (column, "<"),
            };
            self.push(&format!("{} {comparison} ", DOUBLE.columns([column.as_str()])));
            self.value(value.clone(), query.parameters[condition.parameter].data_type);
        }
    }

    /// That one of the values which a text names stands in its column.
    fn any(&mut self, columns: &[String], text: &str) {
        let named = Search::named(columns, text).unwrap_or_default();
        // What names nothing was refused before.
        self.push(if named.is_empty() { "(1 = 0" } else { "(" });
        for (turn, (column, value)) in named.into_iter().enumerate() {
            self.push(if turn == 0 { "" } else { " OR " });
            self.push(&format!("{} = ", DOUBLE.columns([column])));
            self.value(Value::Text(value.to_owned()), DataType::Text);
        }
        self.push(")");
    }

    fn words(&mut self, table: &str, columns: &[String], text: &Value) {
        for (turn, Words { before, value, after }) in
            (self.language.words)(table, columns, &text.to_string()).into_iter().enumerate()
        {
            self.push(if turn == 0 { "" } else { "\nAND " });
            self.push(&before);
            self.value(Value::Text(value), DataType::Text);
            self.push(after);
        }
    }

    /// The rows behind the one with these values: `a > 1 OR a = 1 AND (b < 2 OR b = 2 AND (…))`.
    fn after(&mut self, query: &Query, after: &[Value]) {
        for (depth, (order, value)) in query.order.iter().zip(after).enumerate() {
            let field = &query.columns[order.column];
            let name = column(&field.name);
            if depth > 0 {
                let (before, value) = (&query.columns[query.order[depth - 1].column], &after[depth - 1]);
                self.push(&format!(" OR {} = ", column(&before.name)));
                self.value(value.clone(), before.data_type);
                self.push(" AND (");
            }
            self.push(&format!("{name} {} ", if order.descending { "<" } else { ">" }));
            self.value(value.clone(), field.data_type);
        }
        self.push(&")".repeat(after.len().saturating_sub(1)));
    }
}
