//! Searches of queries: that each parameter is compared with what it can be compared with.

use super::super::file::SearchDef;
use super::{Outcome, Resolver};
use crate::names::unknown;
use crate::query::{Condition, Parameter, Search, Test};
use crate::types::DataType;
use crate::yaml::{Entries, Named, Spanned};

/// Whether a parameter of this type can be compared so.
type Takes = fn(DataType) -> bool;

impl Resolver<'_> {
    pub(super) fn search(&mut self, written: &Spanned<SearchDef>, parameters: &[Parameter]) -> Outcome<Search> {
        let definition = &written.value;
        self.check_name("index", &definition.index);
        let mut conditions = Vec::new();
        let (words, named) = ("words are those of a text", "values are named in a text");
        conditions.extend(self.of_several(definition.matches.as_ref(), parameters, Test::Words, words)?);
        conditions.extend(self.of_several(definition.any.as_ref(), parameters, Test::Any, named)?);
        let exact = (is_exact as Takes, "whole numbers, texts, booleans, dates and timestamps are equal");
        let ordered = (Parameter::has_bounds as Takes, "ranges are those of numbers, dates and timestamps");
        conditions.extend(self.comparisons(definition.equal.as_ref(), parameters, Test::Equal, exact)?);
        conditions.extend(self.comparisons(definition.from.as_ref(), parameters, Test::From, ordered)?);
        conditions.extend(self.comparisons(definition.before.as_ref(), parameters, Test::Before, ordered)?);
        self.check_all_used(written, &conditions, parameters)?;
        Ok(Search { index: definition.index.value.clone(), conditions })
    }

    /// Conditions that look for what a text says in several columns.
    fn of_several(
        &mut self,
        written: Option<&Entries<Spanned<Vec<Spanned<String>>>>>,
        parameters: &[Parameter],
        test: fn(Vec<String>) -> Test,
        help: &str,
    ) -> Outcome<Vec<Condition>> {
        let condition = |named: &Named<Spanned<Vec<Spanned<String>>>>| {
            let parameter = self.condition_parameter(&named.name, parameters, (is_text, help))?;
            let columns: Vec<String> = named.value.value.iter().map(|column| column.value.clone()).collect();
            if columns.is_empty() {
                let message = "what is looked for stands in at least one column".to_owned();
                return self.wrong(named.value.place, message, "write `[column, …]`");
            }
            Ok(Condition { parameter, test: test(columns) })
        };
        entries(written).map(condition).collect()
    }

    /// Conditions that compare a parameter with one column.
    fn comparisons(
        &mut self,
        written: Option<&Entries<Spanned<String>>>,
        parameters: &[Parameter],
        test: fn(String) -> Test,
        takes: (Takes, &str),
    ) -> Outcome<Vec<Condition>> {
        let condition = |named: &Named<Spanned<String>>| {
            let parameter = self.condition_parameter(&named.name, parameters, takes)?;
            Ok(Condition { parameter, test: test(named.value.value.clone()) })
        };
        entries(written).map(condition).collect()
    }

    fn condition_parameter(
        &mut self,
        name: &Spanned<String>,
        parameters: &[Parameter],
        (takes, help): (Takes, &str),
    ) -> Outcome<usize> {
        let Some(position) = parameters.iter().position(|parameter| parameter.name == name.value) else {
            let known: Vec<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            let message = format!("the search uses a parameter `{}` that is not declared", name.value);
            return self.wrong(name.place, message, unknown(&name.value, "parameters are", &known));
        };
        let data_type = parameters[position].data_type;
        if !takes(data_type) {
            return self.wrong(name.place, format!("`{}`, a {data_type}, cannot be compared so", name.value), help);
        }
        Ok(position)
    }

    fn check_all_used(
        &mut self,
        search: &Spanned<SearchDef>,
        conditions: &[Condition],
        parameters: &[Parameter],
    ) -> Outcome<()> {
        let is_used = |position: usize| conditions.iter().any(|condition| condition.parameter == position);
        let Some(unused) = (0..parameters.len()).find(|position| !is_used(*position)) else { return Ok(()) };
        let name = &parameters[unused].name;
        let message = format!("the search does not use the parameter `{name}`");
        let help = format!("add `equal: {{ {name}: COLUMN }}`, or leave it out of `parameters`");
        self.wrong(search.place, message, help)
    }
}

fn entries<T>(entries: Option<&Entries<T>>) -> impl Iterator<Item = &Named<T>> {
    entries.into_iter().flat_map(|Entries(entries)| entries)
}

fn is_text(data_type: DataType) -> bool {
    data_type == DataType::Text
}

/// Types of which stores keep every value so that it equals itself.
fn is_exact(data_type: DataType) -> bool {
    use DataType::{Boolean, Date, Int64, Text, Timestamp};
    matches!(data_type, Boolean | Int64 | Text | Date | Timestamp)
}
