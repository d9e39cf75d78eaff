//! Topics whose records have schemas in a registry: whether the registry and the pipeline go together.

use super::super::Source;
use super::versions::VersionColumn;
use super::{Outcome, Reported, Resolver, SchemaProblem};
use crate::names::listed;
use crate::plan::{Format, SchemaKind, TopicOutput};
use crate::yaml::Place;

impl Resolver<'_> {
    pub(super) fn check_source_schema(&mut self, source: &Source) {
        let format = &source.format;
        if format.value.registered().is_none() {
            return;
        }
        let found = self.surroundings.check_readable(&source.topic.value, &format.value, &source.columns);
        for SchemaProblem { column, message, help } in found.err().into_iter().flatten() {
            let place = column.and_then(|column| source.column_places.get(column));
            self.report.error(*place.unwrap_or(&format.place), message).suggest(help);
        }
    }

    /// `place` is where the file says what the format is, `columns` where it names the columns, and the version.
    pub(super) fn check_sink_schema(
        &mut self,
        output: &TopicOutput,
        place: Place,
        columns: (Place, VersionColumn<'_>),
    ) -> Outcome<()> {
        let Format::Registered { kind, .. } = &output.format else { return Ok(()) };
        if *kind == SchemaKind::Avro {
            self.check_avro_names(output, columns)?;
        }
        let Err(problems) = self.surroundings.check_writable(output) else { return Ok(()) };
        for SchemaProblem { message, help, .. } in problems {
            self.report.error(place, message).suggest(help);
        }
        Err(Reported)
    }

    fn check_avro_names(&mut self, output: &TopicOutput, (place, version): (Place, VersionColumn<'_>)) -> Outcome<()> {
        let names = output.columns.iter().map(|column| &column.field.name);
        let wrong: Vec<&String> = names.filter(|name| !is_avro_name(name)).collect();
        if let Some(version) = version.filter(|version| wrong.contains(&&version.value)) {
            let message = format!("Avro has no field with the name `{}`", version.value);
            return self.wrong(
                version.place,
                message,
                format!("write `version_column: {}`", avro_name(&version.value)),
            );
        }
        let Some(first) = wrong.first() else { return Ok(()) };
        let message = format!("Avro has no fields with these names: {}", listed(&wrong));
        let help = format!(
            "letters of ASCII, digits and `_` make a name, and no digit begins it: rename with \
             `columns: {{ {first}: {} }}`",
            avro_name(first)
        );
        self.report.error(place, message).suggest(help);
        Err(Reported)
    }
}

fn is_avro_name(name: &str) -> bool {
    let mut letters = name.bytes();
    let begins = letters.next().is_some_and(|letter| letter.is_ascii_alphabetic() || letter == b'_');
    begins && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
}

/// The nearest name that Avro takes.
fn avro_name(name: &str) -> String {
    let letters: String =
        name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    if is_avro_name(&letters) { letters } else { format!("_{letters}") }
}
