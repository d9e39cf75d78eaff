//! What the records of a source or sink are written in.

use super::file::FormatDef;
use crate::plan::{Format, SchemaKind};
use crate::registry::checked_url;
use crate::yaml::{Place, Report, Spanned};

/// The format that the keys `format` and `registry` give. `place` is that of what has them, for when they are left
/// out.
pub(super) fn checked_format(
    format: Option<&Spanned<FormatDef>>,
    registry: Option<&Spanned<String>>,
    place: Place,
    report: &mut Report,
) -> Spanned<Format> {
    let kind = match format.map(|format| format.value) {
        None | Some(FormatDef::Json) => {
            if let Some(registry) = registry {
                report
                    .error(registry.place, "records in JSON have no schema in a registry")
                    .suggest("add `format: avro` or `format: json-schema`, or leave this out");
            }
            return Spanned { value: Format::Json, place };
        }
        Some(FormatDef::Avro) => SchemaKind::Avro,
        Some(FormatDef::JsonSchema) => SchemaKind::JsonSchema,
    };
    let registry = registry.and_then(|registry| checked_url(registry, report));
    Spanned { value: Format::Registered { kind, registry }, place: format.map_or(place, |format| format.place) }
}
