//! A request, read by what its query takes.

use super::{Ask, CURSOR, IfAbsent, LIMIT, Query, Value};
use crate::names::{listed, unknown};

/// What a request says, as text: `Path::matches`, decoded, and the pairs of its query string.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The values of the path's parameters, in order.
    pub path: &'a [String],
    /// Names and values behind the `?`.
    pub pairs: &'a [(String, String)],
    /// The present in microseconds since 1970.
    pub now: i64,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// A value for each parameter of the query.
    pub arguments: Vec<Value>,
    /// How many rows at most.
    pub limit: u32,
    /// Where the page before ended, as the request says it.
    pub cursor: Option<String>,
}

/// Why a request is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl Query {
    /// Reads a request.
    ///
    /// # Errors
    /// What is wrong with it first.
    pub fn read(&self, request: Request<'_>) -> Result<Asked, Refusal> {
        self.check_names(request.pairs)?;
        let given = |name: &str| request.pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let of_path = |name: &str| self.path.parameters().position(|parameter| parameter == name);
        let mut arguments = Vec::with_capacity(self.parameters.len());
        for (position, parameter) in self.parameters.iter().enumerate() {
            let name = &parameter.name;
            let text = match of_path(name) {
                Some(position) => request.path.get(position).map(String::as_str),
                None => given(name),
            };
            let read = |text: &str| {
                let value = parameter.read(text, request.now).and_then(|value| self.checked(position, value));
                value.map_err(|help| {
                    let message = format!("`{name}` is no {} that is taken here", parameter.data_type);
                    Refusal { message, help }
                })
            };
            arguments.push(match (text, &parameter.if_absent) {
                (Some(text), _) => read(text)?,
                (None, IfAbsent::Text(default)) => read(default)?,
                (None, IfAbsent::Null) => Value::Null,
                (None, IfAbsent::Required) => {
                    let message = format!("`{name}` is missing");
                    return Err(Refusal { message, help: format!("add `{name}=…`, a {}", parameter.data_type) });
                }
            });
        }
        let cursor = given(CURSOR).map(str::to_owned);
        Ok(Asked { arguments, limit: self.read_limit(given(LIMIT))?, cursor })
    }

    /// A parameter's value, if what is asked can be asked with it.
    fn checked(&self, parameter: usize, value: Value) -> Result<Value, String> {
        match &self.ask {
            Ask::Search(search) => search.check(parameter, &value).map(|()| value),
            Ask::Sql(_) => Ok(value),
        }
    }

    fn read_limit(&self, text: Option<&str>) -> Result<u32, Refusal> {
        let Some(text) = text else { return Ok(self.limit.default) };
        let limit = text.parse().ok().filter(|limit| (1..=self.limit.most).contains(limit));
        limit.ok_or_else(|| Refusal {
            message: format!("`{LIMIT}` is no number of rows that is taken here"),
            help: format!("write a number from 1 to {}", self.limit.most),
        })
    }

    /// The names that a request may have behind the `?`.
    pub fn request_names(&self) -> Vec<&str> {
        let of_path: Vec<&str> = self.path.parameters().collect();
        let names = self.parameters.iter().map(|parameter| parameter.name.as_str());
        let mut names: Vec<&str> = names.filter(|name| !of_path.contains(name)).collect();
        names.push(LIMIT);
        if !self.order.is_empty() {
            names.push(CURSOR);
        }
        names
    }

    fn check_names(&self, pairs: &[(String, String)]) -> Result<(), Refusal> {
        let known = self.request_names();
        for (index, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let help = unknown(name, "parameters are", &known);
                return Err(Refusal { message: "a parameter is not known here".to_owned(), help });
            }
            if pairs[..index].iter().any(|(other, _)| other == name) {
                let help = format!("give each of {} once", listed(&known));
                return Err(Refusal { message: format!("`{name}` stands twice"), help });
            }
        }
        Ok(())
    }
}
