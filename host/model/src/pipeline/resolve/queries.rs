//! Queries: that they can be asked and answered.

use std::time::Duration;

use super::super::file::QueryDef;
use super::{Outcome, Reported, Resolver};
use crate::names::unknown;
use crate::plan::{End, Target};
use crate::query::{Ask, OrderBy, Parameter, Path, Query, RowLimit, Sql};
use crate::types::{DataType, Field};
use crate::units::Micros;
use crate::yaml::{Entries, Named, Place, Spanned};

/// Rows of an answer, where the file does not say.
const LIMITS: RowLimit = RowLimit { default: 50, most: 500 };
/// Rows of an answer, whatever the file says.
const MOST_ROWS: u32 = 10_000;
/// Rows of a search: an engine gives 10,000 at once, of which one only tells that there are more.
const MOST_FOUND: u32 = 9_999;
const TIME_LIMIT: Duration = Duration::from_secs(2);
const MOST_TIME: Duration = Duration::from_secs(30);

/// The sinks whose progress is told with answers.
pub(super) fn told_fresh(queries: &[Named<QueryDef>]) -> impl Iterator<Item = &str> {
    queries.iter().filter_map(|query| query.value.freshness.as_ref()).map(|sink| sink.value.as_str())
}

impl Resolver<'_> {
    pub(super) fn queries(&mut self) -> Vec<Query> {
        let mut queries: Vec<Query> = Vec::new();
        for Named { name, value: definition } in &self.file.queries {
            let Ok(query) = self.query(name, definition) else { continue };
            if let Some(other) = queries.iter().find(|other| other.path.overlaps(&query.path)) {
                let message = format!("query `{}` answers at {} already", other.name, other.path);
                self.report.error(definition.path.place, message).suggest("give one of the two another path");
            }
            queries.push(query);
        }
        queries
    }

    fn query(&mut self, name: &Spanned<String>, definition: &QueryDef) -> Outcome<Query> {
        // Each of these reports what is wrong; all are asked before one of them ends it.
        let path = self.query_path(&definition.path);
        let connection = self.query_connection(definition);
        let parameters = self.parameters(definition, path.as_ref().ok());
        let columns = self.query_columns(&definition.columns);
        let limit = self.row_limit(definition);
        let time_limit = self.query_time(definition.time_limit.as_ref());
        let freshness = definition.freshness.as_ref().map(|sink| self.freshness(sink)).transpose();
        let (columns, parameters) = (columns?, parameters?);
        let order = self.query_order(definition, &columns);
        let ask = self.ask(name, definition, &parameters);
        connection?;
        Ok(Query {
            name: name.value.clone(),
            path: path?,
            connection: definition.connection.value.clone(),
            parameters,
            ask: ask?,
            columns,
            order: order?,
            limit: limit?,
            time_limit: time_limit?,
            freshness: freshness?,
        })
    }

    pub(super) fn wrong<T>(&mut self, place: Place, message: String, help: impl Into<String>) -> Outcome<T> {
        self.report.error(place, message).suggest(help);
        Err(Reported)
    }

    fn query_path(&mut self, written: &Spanned<String>) -> Outcome<Path> {
        let path = match Path::parse(&written.value) {
            Ok(path) => path,
            Err((message, help)) => return self.wrong(written.place, message, help),
        };
        match self.surroundings.path_taken(&path) {
            Some(by) => self.wrong(written.place, format!("{by} answers at {path} already"), "choose another path"),
            None => Ok(path),
        }
    }

    fn ask(&mut self, name: &Spanned<String>, definition: &QueryDef, parameters: &[Parameter]) -> Outcome<Ask> {
        match (&definition.sql, &definition.search) {
            (Some(sql), None) => {
                let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
                Sql::parse(&sql.value, &names).map(Ask::Sql).map_err(|error| {
                    self.report.error(sql.place, error.message).suggest(error.help);
                    Reported
                })
            }
            (None, Some(search)) => self.search(search, parameters).map(Ask::Search),
            (None, None) => {
                let help = "write `sql: SELECT …`, or `search: { index: … }`";
                self.wrong(name.place, "this query does not say what it asks".to_owned(), help)
            }
            (Some(sql), Some(_)) => {
                self.wrong(sql.place, "a query is either `sql` or `search`".to_owned(), "leave out one of them")
            }
        }
    }

    fn query_connection(&mut self, definition: &QueryDef) -> Outcome<()> {
        let connection = &definition.connection;
        if let Err(help) = self.surroundings.has_connection(&connection.value) {
            return self.wrong(connection.place, format!("there is no connection `{}`", connection.value), help);
        }
        let (checked, help) = match definition.search {
            Some(_) => {
                let help = "name a connection to Elasticsearch or a SQL database";
                (self.surroundings.check_search(&connection.value), help)
            }
            None => {
                let table = Target::Table { fulltext: Vec::new() };
                (self.surroundings.check_target(&connection.value, &table), "name a connection to a SQL database")
            }
        };
        checked.or_else(|problem| self.wrong(connection.place, problem, help))
    }

    fn query_columns(&mut self, written: &Spanned<Entries<Spanned<String>>>) -> Outcome<Vec<Field>> {
        let Entries(columns) = &written.value;
        if columns.is_empty() {
            return self.wrong(written.place, "a query needs a column".to_owned(), "write `{ column: type, … }`");
        }
        let mut fields = Vec::new();
        for Named { name, value: data_type } in columns {
            match data_type.value.parse() {
                Ok(found) => fields.push(Field::new(&name.value, found, true)),
                Err(error) => {
                    let help = "a column's value may always be absent: write no `?`";
                    return self.wrong(data_type.place, format!("{error}"), help);
                }
            }
        }
        Ok(fields)
    }

    fn query_order(&mut self, definition: &QueryDef, columns: &[Field]) -> Outcome<Vec<OrderBy>> {
        let mut order: Vec<OrderBy> = Vec::new();
        for written in definition.order_by.iter().flat_map(|order| &order.value) {
            let (name, descending) = match written.value.split_once(' ') {
                None => (written.value.as_str(), false),
                Some((name, "asc")) => (name, false),
                Some((name, "desc")) => (name, true),
                Some(_) => {
                    let message = format!("`{}` is no order", written.value);
                    return self.wrong(written.place, message, "write `column` or `column desc`");
                }
            };
            let Some(column) = columns.iter().position(|column| column.name == name) else {
                let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                let help = unknown(name, "its columns are", &known);
                return self.wrong(written.place, format!("the query has no column `{name}`"), help);
            };
            let data_type = columns[column].data_type;
            if matches!(data_type, DataType::Boolean | DataType::Float64 | DataType::Bytes | DataType::Json) {
                let help = "sort by whole numbers, decimals, text, dates or times";
                return self.wrong(written.place, format!("pages cannot go by a {data_type}"), help);
            }
            order.push(OrderBy { column, descending });
        }
        Ok(order)
    }

    fn row_limit(&mut self, definition: &QueryDef) -> Outcome<RowLimit> {
        let Some(written) = &definition.limit else { return Ok(LIMITS) };
        let most = written.max.as_ref().map_or(LIMITS.most, |most| most.value);
        let default = written.default.as_ref().map_or(LIMITS.default.min(most), |default| default.value);
        let greatest = if definition.search.is_some() { MOST_FOUND } else { MOST_ROWS };
        for (number, greatest) in [(written.max.as_ref(), greatest), (written.default.as_ref(), most)] {
            if let Some(wrong) = number.filter(|number| !(1..=greatest).contains(&number.value)) {
                let message = format!("an answer cannot have {} rows", wrong.value);
                return self.wrong(wrong.place, message, format!("write a number from 1 to {greatest}"));
            }
        }
        Ok(RowLimit { default, most })
    }

    fn query_time(&mut self, written: Option<&Spanned<Micros>>) -> Outcome<Duration> {
        match written {
            None => Ok(TIME_LIMIT),
            Some(time) if time.value.0 > 0 && time.value.duration() <= MOST_TIME => Ok(time.value.duration()),
            Some(time) => {
                let help = format!("write a time up to {}s, for instance `2s`", MOST_TIME.as_secs());
                self.wrong(time.place, "a query cannot take so long".to_owned(), help)
            }
        }
    }

    /// The task of a sink.
    fn freshness(&mut self, sink: &Spanned<String>) -> Outcome<String> {
        let names: Vec<&str> = self.file.sinks.iter().map(|sink| sink.name.value.as_str()).collect();
        if !names.contains(&sink.value.as_str()) {
            let help = unknown(&sink.value, "sinks are", &names);
            return self.wrong(sink.place, format!("there is no sink `{}`", sink.value), help);
        }
        let is_it = |end: &End| matches!(end, End::Store(output) if output.sink == sink.value);
        match self.tasks.iter().find(|task| is_it(&task.end)) {
            Some(task) => Ok(task.name.clone()),
            // The sink could not be resolved, which is in the report, or is one of a topic.
            None => self.wrong(sink.place, format!("sink `{}` writes to no store", sink.value), "name one that does"),
        }
    }
}
