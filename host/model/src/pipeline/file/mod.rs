//! The shape of a pipeline file. The comments here are what editors show its author: `json_schema` takes
//! the descriptions from them.

mod batch;
mod objects;
mod queries;
mod sinks;
mod sources;
mod steps;
mod tables;

use schemars::JsonSchema;

use crate::yaml::{Entries, Spanned, from_keys};
pub(crate) use batch::{BatchDef, BuiltTableDef, CheckDef};
pub(crate) use objects::{CompressionDef, LayoutDef, ObjectsSinkDef, RollDef};
pub(crate) use queries::{ParameterDef, QueryDef, Scalar, SearchDef};
pub(crate) use sinks::{CollectionSinkDef, EachDef, IndexSinkDef, SinkColumns, SinkDef, TableSinkDef, TopicSinkDef};
pub(crate) use sources::{EventTimeDef, FormatDef, Partitions, SourceDef};
pub(crate) use steps::{AggregateDef, IdentifyDef, StepDef, TransformDef, WindowDef};
pub(crate) use tables::{AssembleDef, AssembledDef, GroupRows, JoinDef, LookupDef, TableDef};

/// A pipeline: which plugins run over which topics, and where the results go.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields, title = "Azenha pipeline")]
pub(crate) struct Definition {
    /// The pipeline's name: letters, digits, `_` and `-`. Topics, positions and metrics carry it.
    pub name: Spanned<String>,
    /// The topics that are read, by the name that steps and sinks use for them.
    pub sources: Entries<SourceDef>,
    /// What is done with the rows.
    pub steps: Option<Entries<StepDef>>,
    /// Where rows go.
    pub sinks: Entries<SinkDef>,
    /// What the host answers over HTTP, from the stores that sinks write.
    pub queries: Option<Entries<QueryDef>>,
    /// Makes of it a batch over the past of its sources.
    pub batch: Option<BatchDef>,
}
from_keys!(Definition, "a pipeline", required: [name, sources, sinks], optional: [steps, queries, batch]);

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::queries::*;
    use super::sinks::*;
    use super::sources::*;
    use super::steps::*;
    use super::*;
    use crate::pipeline::column::ColumnDef;
    use crate::yaml::FromKeys;

    #[test]
    fn the_schema_has_exactly_the_keys_that_the_parser_takes() {
        let schema = super::super::json_schema();
        let shapes: &[(&str, &[&str])] = &[
            ("", Definition::KEYS),
            ("/$defs/SourceDef", SourceDef::KEYS),
            ("/$defs/ColumnDef/anyOf/1", ColumnDef::KEYS),
            ("/$defs/EventTimeDef", EventTimeDef::KEYS),
            ("/$defs/TransformDef", TransformDef::KEYS),
            ("/$defs/AggregateDef", AggregateDef::KEYS),
            ("/$defs/IdentifyDef", IdentifyDef::KEYS),
            ("/$defs/JoinDef", JoinDef::KEYS),
            ("/$defs/LookupDef", LookupDef::KEYS),
            ("/$defs/AssembleDef", AssembleDef::KEYS),
            ("/$defs/TableDef", TableDef::KEYS),
            ("/$defs/AssembledDef", AssembledDef::KEYS),
            ("/$defs/TumblingDef", TumblingDef::KEYS),
            ("/$defs/HoppingDef", HoppingDef::KEYS),
            ("/$defs/SessionDef", SessionDef::KEYS),
            ("/$defs/TopicSinkDef", TopicSinkDef::KEYS),
            ("/$defs/TableSinkDef", TableSinkDef::KEYS),
            ("/$defs/CollectionSinkDef", CollectionSinkDef::KEYS),
            ("/$defs/IndexSinkDef", IndexSinkDef::KEYS),
            ("/$defs/EachDef", EachDef::KEYS),
            ("/$defs/ObjectsSinkDef", ObjectsSinkDef::KEYS),
            ("/$defs/RollDef", RollDef::KEYS),
            ("/$defs/QueryDef", QueryDef::KEYS),
            ("/$defs/SearchDef", SearchDef::KEYS),
            ("/$defs/RowLimitDef", RowLimitDef::KEYS),
            ("/$defs/BatchDef", BatchDef::KEYS),
            ("/$defs/BuiltTableDef", BuiltTableDef::KEYS),
            ("/$defs/CheckDef", CheckDef::KEYS),
            ("/$defs/ParameterDef/anyOf/1", ParameterDef::KEYS),
        ];
        for (pointer, keys) in shapes {
            let shape = schema.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {schema:#}"));
            let mut described: Vec<&str> =
                shape["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            let mut taken = keys.to_vec();
            described.sort_unstable();
            taken.sort_unstable();
            assert_eq!(described, taken, "{pointer}");
            assert_eq!(shape["additionalProperties"], Json::Bool(false), "{pointer}");
        }
    }

    #[test]
    fn every_key_has_a_description() {
        fn check(schema: &Json, path: &str) {
            for (key, value) in schema.as_object().into_iter().flatten() {
                if key == "properties" {
                    for (name, property) in value.as_object().unwrap() {
                        assert!(property["description"].is_string(), "{path}/{name}");
                    }
                }
                check(value, &format!("{path}/{key}"));
            }
            schema.as_array().into_iter().flatten().for_each(|item| check(item, path));
        }
        check(&super::super::json_schema(), "");
    }
}
