//! Parameters of queries: that they can be called so, and that what the file says of their values fits together.

use super::super::file::{ParameterDef, QueryDef, Scalar};
use super::{Outcome, Resolver};
use crate::query::{CURSOR, IfAbsent, LIMIT, Parameter, Path, Value};
use crate::types::DataType;
use crate::yaml::{Entries, Named, Spanned};

impl Resolver<'_> {
    pub(super) fn parameters(&mut self, definition: &QueryDef, path: Option<&Path>) -> Outcome<Vec<Parameter>> {
        let of_path: Vec<&str> = path.iter().flat_map(|path| path.parameters()).collect();
        let none = Entries::default();
        let Entries(written) = definition.parameters.as_ref().unwrap_or(&none);
        if let Some(missing) = of_path.iter().find(|name| written.iter().all(|known| known.name.value != **name)) {
            let message = format!("the path has a parameter `{missing}` that `parameters` does not declare");
            return self.wrong(definition.path.place, message, format!("add `parameters: {{ {missing}: text }}`"));
        }
        let parameters: Vec<Outcome<Parameter>> = written
            .iter()
            .map(|written| self.parameter(written, of_path.contains(&written.name.value.as_str())))
            .collect();
        parameters.into_iter().collect()
    }

    fn parameter(&mut self, written: &Named<ParameterDef>, in_path: bool) -> Outcome<Parameter> {
        let Named { name, value: definition } = written;
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if name.value.is_empty() || !name.value.chars().all(is_name) || [LIMIT, CURSOR].contains(&name.value.as_str()) {
            let help = format!("write letters, digits and `_`; `{LIMIT}` and `{CURSOR}` are the host's own");
            return self.wrong(name.place, format!("a parameter cannot be called `{}`", name.value), help);
        }
        let (data_type, nullable) = self.parameter_type(&definition.data_type)?;
        let if_absent = self.if_absent(written, (data_type, nullable), in_path)?;
        self.check_bounds(definition, data_type)?;
        let bound = |bound: &Option<Spanned<Scalar>>| bound.as_ref().map(|bound| bound.value.0.clone());
        let parameter = Parameter {
            name: name.value.clone(),
            data_type,
            if_absent,
            least: bound(&definition.min),
            most: bound(&definition.max),
            max_length: definition.max_length.as_ref().map_or(Parameter::MAX_LENGTH, |length| length.value as usize),
        };
        self.check_values(definition, &parameter)?;
        Ok(parameter)
    }

    fn if_absent(
        &mut self,
        written: &Named<ParameterDef>,
        (data_type, nullable): (DataType, bool),
        in_path: bool,
    ) -> Outcome<IfAbsent> {
        let place = written.name.place;
        match &written.value.default {
            Some(_) if in_path || nullable => {
                let message = "this parameter needs no default".to_owned();
                self.wrong(place, message, "a path has a value for it, and `?` makes it null")
            }
            None if in_path && nullable => {
                let message = "a parameter of the path is never absent".to_owned();
                self.wrong(place, message, format!("write `{data_type}`"))
            }
            Some(default) => Ok(IfAbsent::Text(default.value.0.clone())),
            None if nullable => Ok(IfAbsent::Null),
            None => Ok(IfAbsent::Required),
        }
    }

    /// That there are bounds only where values have an order, and a length only of text.
    fn check_bounds(&mut self, definition: &ParameterDef, data_type: DataType) -> Outcome<()> {
        let bound = definition.min.as_ref().or(definition.max.as_ref());
        if let Some(bound) = bound.filter(|_| !Parameter::has_bounds(data_type)) {
            return self.wrong(bound.place, format!("a {data_type} has no bounds"), "leave out `min` and `max`");
        }
        match definition.max_length.as_ref().filter(|_| data_type != DataType::Text) {
            Some(length) => self.wrong(length.place, format!("a {data_type} has no length"), "leave out `max_length`"),
            None => Ok(()),
        }
    }

    fn parameter_type(&mut self, written: &Spanned<String>) -> Outcome<(DataType, bool)> {
        let (name, nullable) = match written.value.strip_suffix('?') {
            Some(name) => (name, true),
            None => (written.value.as_str(), false),
        };
        match name.parse() {
            Ok(data_type) if !matches!(data_type, DataType::Bytes | DataType::Json) => Ok((data_type, nullable)),
            Ok(other) => self.wrong(written.place, format!("a parameter cannot be {other}"), "take it as text"),
            Err(error) => self.wrong(written.place, format!("{error}"), "`?` after a type allows absent values"),
        }
    }

    /// That what the file writes can be read, and the default lies between the bounds.
    fn check_values(&mut self, definition: &ParameterDef, parameter: &Parameter) -> Outcome<()> {
        // The present does not matter: a relative time is one at any time, and whether it lies between bounds is only known
        // then.
        for bound in [&definition.min, &definition.max].into_iter().flatten() {
            if let Err(help) = Value::read(parameter.data_type, &bound.value.0, 0) {
                return self.wrong(bound.place, format!("this is no {}", parameter.data_type), help);
            }
        }
        let Some(default) = &definition.default else { return Ok(()) };
        let at = |now| Value::read(parameter.data_type, &default.value.0, now);
        let is_relative = at(0) != at(1);
        let checked = if is_relative { at(0).map_err(str::to_owned) } else { parameter.read(&default.value.0, 0) };
        match checked {
            Err(help) => {
                self.wrong(default.place, format!("this is no {} that is taken here", parameter.data_type), help)
            }
            Ok(_) => Ok(()),
        }
    }
}
