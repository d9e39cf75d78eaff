//! Identifications: an aggregation whose groups are found by any of several columns. No assignment of partitions brings
//! together what belongs together by way of others, so all rows meet in one partition, folded by equal identifiers.

use super::super::file::IdentifyDef;
use super::aggregate::Results;
use super::plugins::PluginStep;
use super::stream::Rows;
use super::{Outcome, Reported, Resolver};
use crate::plan::{Aggregation, Emit, TimeFormat, named_by};
use crate::types::{DataType, Field};
use crate::yaml::Spanned;

/// Columns that identify, at most.
const MOST_IDENTIFIERS: usize = 32;

impl Resolver<'_> {
    /// Makes the two tasks, and leaves a stream of the results behind.
    pub(super) fn identify(&mut self, step: PluginStep<'_>, definition: &IdentifyDef) -> Outcome<()> {
        let stream = self.stream_of_additions(step.from, "an identification")?;
        let input = &stream.rows.fields;
        let by = self.identifiers(&definition.identify, input)?;
        let identifiers: Vec<Field> = by.iter().map(|column| input[*column].clone()).collect();
        let plugin = step.plugin_use(input);
        let plan = self.open_aggregate(step, &plugin, &[named_by(&definition.into.value, &identifiers)])?;
        self.check_merges(step, &plan, "customers turn out to be one", "name an aggregate that merges")?;
        self.check_grant(step, input, &plan.reads, &by)?;
        let identity = Some(definition.into.value.clone());
        let aggregation = Aggregation { plugin, plan, by, identity, window: None, emit: Emit::Changes, lateness: 0 };

        let fields = aggregation.output().fields;
        self.check_distinct(fields.iter().map(|field| &field.name), definition.into.place)?;
        let (own, key) = (fields.len(), vec![0]);
        let partitioned_by = Some(key.clone());
        let changes = Some(key.clone());
        let rows = Rows { fields, own, partitions: 1, partitioned_by, changes, bounds: None, made_by: None };
        self.push_halves(step.step, stream, aggregation, 1);
        let task = self.tasks.len() - 1;
        let results = Results { task, rows, key, time_format: TimeFormat::default(), place: step.step.place };
        self.leave_results(&step.step.value, results);
        Ok(())
    }

    /// The columns that identify: at least one, of text, none twice.
    fn identifiers(&mut self, names: &Spanned<Vec<Spanned<String>>>, fields: &[Field]) -> Outcome<Vec<usize>> {
        let columns = self.columns(&names.value, fields)?;
        if columns.is_empty() || columns.len() > MOST_IDENTIFIERS {
            let message = format!("{} columns cannot identify anybody", columns.len());
            self.report
                .error(names.place, message)
                .suggest(format!("name from 1 to {MOST_IDENTIFIERS}: `[column, …]`"));
            return Err(Reported);
        }
        let mut outcome = Ok(());
        for (position, (name, column)) in names.value.iter().zip(&columns).enumerate() {
            let data_type = fields[*column].data_type;
            let (message, help) = if columns[..position].contains(column) {
                (format!("column `{}` identifies twice", name.value), "name each column once")
            } else if data_type != DataType::Text {
                (format!("`{}` is of type {data_type}, and identifiers are text", name.value), "make text of it before")
            } else {
                continue;
            };
            self.report.error(name.place, message).suggest(help);
            outcome = Err(Reported);
        }
        outcome.map(|()| columns)
    }
}
