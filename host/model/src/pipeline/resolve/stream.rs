//! Streams: a topic, the stages that are fused over it so far, and what is known of the rows there.

use super::super::Source;
use crate::plan::{Format, ObjectsInput, OutputColumn, PluginUse, Stage, StreamColumn, StreamInput, TopicOutput};
use crate::plugin::{Given, TransformPlan};
use crate::types::{Field, meta};

/// What is known of the rows at one point of a pipeline.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    /// What can be read: the rows' own columns, then the metadata.
    pub fields: Vec<Field>,
    /// How many of the fields are the rows' own.
    pub own: usize,
    /// How many partitions the rows are spread over.
    pub partitions: u32,
    /// Columns that decide in which partition a row is; none if that is not known.
    pub partitioned_by: Option<Vec<usize>>,
    /// Columns that a deleted row still has, if rows replace and delete earlier ones; none if rows are only
    /// ever added.
    pub changes: Option<Vec<usize>>,
    /// Start and end, if the rows are of windows of one size: the end follows from the start.
    pub bounds: Option<(usize, usize)>,
    /// The column that says which version of the pipeline made a row, if its topic says it; none: whoever reads it here
    /// makes it.
    pub made_by: Option<usize>,
}

impl Rows {
    /// A record with this key stands in the partition that these columns decide. The end of a window is
    /// left out if its start is there, because a key without it tells the same rows apart.
    pub fn partitioning(&self, key: &[usize]) -> Vec<usize> {
        let implied = self.bounds.filter(|(start, _)| key.contains(start)).map(|(_, end)| end);
        key.iter().copied().filter(|column| Some(*column) != implied).collect()
    }

    /// Whether rows that are equal in these columns are in the same partition.
    pub fn are_together(&self, columns: &[usize]) -> bool {
        let all_among = |decisive: &Vec<usize>| decisive.iter().all(|column| columns.contains(column));
        self.partitions == 1 || self.partitioned_by.as_ref().is_some_and(all_among)
    }
}

/// A topic, the stages over it so far, and what is known of the rows there.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    pub input: StreamInput,
    pub stages: Vec<Stage>,
    pub rows: Rows,
}

impl Stream {
    pub fn of_source(source: &Source, partitions: u32) -> Self {
        let partitioned_by = source.partitioned_by.clone();
        let key = partitioned_by.clone().unwrap_or_default();
        let mut stream = Self::of_topic(&source.topic.value, source.columns.clone(), &key, partitions, partitioned_by);
        stream.input.format = source.format.value.clone();
        stream.input.objects = source.objects.as_ref().map(|objects| objects.value.clone());
        stream.input.event_time = source.event_time;
        stream.input.key = source.key.clone().unwrap_or_default();
        stream.rows.changes.clone_from(&source.key);
        stream
    }

    /// The stream of a topic that this pipeline writes. `partitioned_by` are positions in the columns that are
    /// written.
    pub fn of_output(
        output: &TopicOutput,
        partitions: u32,
        partitioned_by: Option<Vec<usize>>,
        is_changelog: bool,
    ) -> Self {
        let as_written = |column: &OutputColumn| StreamColumn {
            field: column.field.clone(),
            path: vec![column.field.name.clone()],
            time_format: column.time_format,
        };
        let columns = output.columns.iter().map(as_written).collect();
        let mut stream = Self::of_topic(&output.topic, columns, &output.key, partitions, partitioned_by);
        stream.input.format = output.format.clone();
        if is_changelog {
            stream.input.key.clone_from(&output.key);
            stream.rows.changes = Some(output.key.clone());
        }
        stream
    }

    /// The stream of the rows in objects that this pipeline writes and a topic announces.
    pub fn of_objects(
        topic: &str,
        columns: Vec<StreamColumn>,
        objects: ObjectsInput,
        partitions: u32,
        partitioned_by: Option<Vec<usize>>,
    ) -> Self {
        let mut stream = Self::of_topic(topic, columns, &[], partitions, partitioned_by);
        stream.input.objects = Some(objects);
        stream
    }

    /// `key` are the columns that a record's key is made of: if one is personal data, so is the key.
    fn of_topic(
        topic: &str,
        columns: Vec<StreamColumn>,
        key: &[usize],
        partitions: u32,
        partitioned_by: Option<Vec<usize>>,
    ) -> Self {
        let (own, is_personal) = (columns.len(), key.iter().any(|column| columns[*column].field.pii));
        let input = StreamInput {
            topic: topic.to_owned(),
            format: Format::Json,
            objects: None,
            columns,
            key: Vec::new(),
            needed: Vec::new(),
            event_time: None,
        };
        let mut fields = with_metadata(input.schema().fields);
        fields.iter_mut().filter(|field| field.name == meta::KEY).for_each(|field| field.pii = is_personal);
        let holds_personal = fields[..own].iter().any(|field| field.pii);
        fields.iter_mut().filter(|field| field.name == meta::VALUE).for_each(|field| field.pii = holds_personal);
        let rows = Rows { fields, own, partitions, partitioned_by, changes: None, bounds: None, made_by: None };
        Self { input, stages: Vec::new(), rows }
    }

    /// This stream behind one outlet of a transform.
    pub fn through(&self, plugin: &PluginUse, plan: &TransformPlan, outlet: usize) -> Self {
        let gives = &plan.outlets[outlet].gives;
        let output = plan.outlets[outlet].schema(&plugin.input);
        let passed_as = |column: &usize| {
            gives.iter().position(|given| matches!(given, Given::Passed { input, .. } if input == column))
        };
        let partitioned_by = self.rows.partitioned_by.as_ref();
        let sets_operation = output.index_of(meta::OP).is_some();
        let rows = Rows {
            own: output.fields.len(),
            fields: with_metadata(output.fields.clone()),
            partitions: self.rows.partitions,
            partitioned_by: partitioned_by.and_then(|columns| columns.iter().map(passed_as).collect()),
            changes: sets_operation.then(|| (0..output.fields.len()).collect()),
            bounds: None,
            made_by: None,
        };
        let stage = Stage { plugin: plugin.clone(), plan: plan.clone(), outlet, output, needed: Vec::new() };
        let stages = self.stages.iter().cloned().chain([stage]).collect();
        Self { input: self.input.clone(), stages, rows }
    }
}

/// The columns of a stream, then the metadata columns that it does not have itself.
fn with_metadata(own: Vec<Field>) -> Vec<Field> {
    let mut fields = own;
    let metadata = meta::fields().into_iter().filter(|field| fields.iter().all(|own| own.name != field.name));
    let metadata: Vec<Field> = metadata.collect();
    fields.extend(metadata);
    fields
}
