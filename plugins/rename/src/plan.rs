//! The configuration, checked against the columns of the input.

use azenha_sdk::{DataType, Field, Given, Plan, Problem, missing};
use serde_json::Value;

use crate::Rename;
use crate::config::{Config, Definition, Part};
use crate::make::{Maker, Piece, Recipe, can_cast, has_part};
use crate::scalar::Scalar;

pub fn open(config: &Config, input: &[Field]) -> Result<(Rename, Plan), Vec<Problem>> {
    let mut planner = Planner { input, reads: Vec::new(), problems: Vec::new() };
    for (index, name) in config.drop.iter().enumerate() {
        planner.find(name, &format!("/drop/{index}"));
    }
    let renamed: Vec<(&String, Source)> = config
        .columns
        .iter()
        .filter_map(|(name, definition)| Some((name, planner.source(name, definition)?)))
        .collect();
    if !planner.problems.is_empty() {
        return Err(planner.problems);
    }
    let mut gives = others(config, input);
    let mut makers = Vec::new();
    for (name, source) in renamed {
        gives.push(match source {
            Source::Passed(input) => Given::Passed { input, name: name.clone() },
            Source::Made(maker) => {
                let field = maker.field.clone();
                makers.push(maker);
                Given::Made(field)
            }
        });
    }
    let reads = planner.reads.iter().map(|index| input[*index as usize].data_type).collect();
    Ok((Rename { reads, makers }, Plan::main(planner.reads, gives)))
}

/// The columns that are passed on under their own names.
fn others(config: &Config, input: &[Field]) -> Vec<Given> {
    let is_used = |name: &String| {
        config.drop.contains(name)
            || config.columns.contains_key(name)
            || config.columns.values().any(|definition| definition.from.as_ref() == Some(name))
    };
    let others = input.iter().zip(0..).filter(|(field, _)| !field.name.starts_with('$') && !is_used(&field.name));
    let kept = others.filter(|_| config.keep_others);
    kept.map(|(field, input)| Given::Passed { input, name: field.name.clone() }).collect()
}

/// Where a column of the output comes from.
enum Source {
    Passed(u32),
    Made(Maker),
}

struct Planner<'a> {
    input: &'a [Field],
    reads: Vec<u32>,
    problems: Vec<Problem>,
}

impl Planner<'_> {
    /// Where the column comes from; none, and a problem, if its definition is wrong.
    fn source(&mut self, name: &str, definition: &Definition) -> Option<Source> {
        let path = format!("/columns/{}", name.replace('~', "~0").replace('/', "~1"));
        let Definition { from, cast, constant, concatenate, date_part, length } = definition;
        let made = |data_type, nullable, recipe| {
            Some(Source::Made(Maker { field: Field::new(name, data_type, nullable), recipe }))
        };
        match (from, cast, constant, concatenate, date_part, length) {
            (Some(from), cast, None, None, None, None) => {
                let index = self.find(from, &format!("{path}/from"))?;
                match cast {
                    Some(cast) => self.cast(name, index, cast, &format!("{path}/cast")),
                    None => Some(Source::Passed(index)),
                }
            }
            (None, None, Some(constant), None, None, None) => {
                let (data_type, value) = self.constant(constant, &format!("{path}/constant"))?;
                made(data_type, false, Recipe::Constant(value))
            }
            (None, None, None, Some(parts), None, None) => {
                let (nullable, pieces) = self.pieces(parts, &format!("{path}/concatenate"))?;
                made(DataType::Text, nullable, Recipe::Concatenate(pieces))
            }
            (None, None, None, None, Some(wanted), None) => {
                let index = self.find(&wanted.of, &format!("{path}/date_part/of"))?;
                let field = &self.input[index as usize];
                if !has_part(field.data_type, wanted.part) {
                    let message = format!("column `{}` is {}, which has no such part", field.name, field.data_type);
                    return self.problem(Problem::at(format!("{path}/date_part/part"), message));
                }
                made(DataType::Int64, field.nullable, Recipe::DatePart(self.read(index), wanted.part))
            }
            (None, None, None, None, None, Some(list)) => {
                let path = format!("{path}/length");
                let index = self.find(list, &path)?;
                let data_type = self.input[index as usize].data_type;
                if data_type != DataType::Json {
                    let message = format!("column `{list}` is {data_type}, and only json has lists");
                    return self.problem(Problem::at(path, message));
                }
                made(DataType::Int64, true, Recipe::Length(self.read(index)))
            }
            _ => {
                let recipes = "`from` (perhaps with `cast`), `constant`, `concatenate`, `date_part` and `length`";
                self.problem(Problem::at(path, format!("a column has one of {recipes}")))
            }
        }
    }

    fn cast(&mut self, name: &str, index: u32, cast: &str, path: &str) -> Option<Source> {
        let data_type: DataType = match cast.parse() {
            Ok(data_type) => data_type,
            Err(message) => return self.problem(Problem::at(path, message)),
        };
        let field = &self.input[index as usize];
        if field.data_type == data_type {
            return Some(Source::Passed(index));
        }
        if !can_cast(field.data_type, data_type) {
            let message = format!("column `{}` is {}, which cannot become {data_type}", field.name, field.data_type);
            return self.problem(Problem { input: Some(index), ..Problem::at(path, message) });
        }
        let field = Field::new(name, data_type, field.nullable);
        Some(Source::Made(Maker { field, recipe: Recipe::Cast(self.read(index)) }))
    }

    fn constant(&mut self, constant: &Value, path: &str) -> Option<(DataType, Scalar<'static>)> {
        match constant {
            Value::Bool(value) => Some((DataType::Boolean, Scalar::Boolean(*value))),
            Value::String(text) => Some((DataType::Text, Scalar::Text(text.clone().into()))),
            Value::Number(number) => Some(match number.as_i64() {
                Some(value) => (DataType::Int64, Scalar::Int64(value)),
                None => (DataType::Float64, Scalar::Float64(number.as_f64()?)),
            }),
            _ => self.problem(Problem::at(path, "a constant is text, a number or a boolean")),
        }
    }

    /// The parts of a concatenation, and whether one of them may be absent.
    fn pieces(&mut self, parts: &[Part], path: &str) -> Option<(bool, Vec<Piece>)> {
        let mut nullable = false;
        let pieces: Vec<Option<Piece>> = parts
            .iter()
            .enumerate()
            .map(|(position, part)| match part {
                Part::Text(text) => Some(Piece::Text(text.clone())),
                Part::Column { column } => {
                    let path = format!("{path}/{position}/column");
                    let index = self.find(column, &path)?;
                    let field = &self.input[index as usize];
                    if field.data_type == DataType::Bytes {
                        return self
                            .problem(Problem::at(path, format!("column `{column}` is bytes, which are no text")));
                    }
                    nullable |= field.nullable;
                    Some(Piece::Column(self.read(index)))
                }
            })
            .collect();
        Some((nullable, pieces.into_iter().collect::<Option<_>>()?))
    }

    fn find(&mut self, name: &str, path: &str) -> Option<u32> {
        match self.input.iter().position(|field| field.name == name) {
            Some(index) => Some(index as u32),
            None => self.problem(Problem::at(path, missing(name, self.input))),
        }
    }

    /// The index of an input column among those that are read.
    fn read(&mut self, index: u32) -> usize {
        self.reads.iter().position(|read| *read == index).unwrap_or_else(|| {
            self.reads.push(index);
            self.reads.len() - 1
        })
    }

    fn problem<T>(&mut self, problem: Problem) -> Option<T> {
        self.problems.push(problem);
        None
    }
}
