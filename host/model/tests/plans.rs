//! Pipeline files beside the plans that they make.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fmt::Write;

use azenha_model::plan::{
    Aggregation, Batch, BuiltTable, Check, End, Format, Input, ObjectsOutput, OutputColumn, Plan, ReaderHints, Stage,
    StoreOutput, StreamInput, Target, Task, Test, TopicOutput,
};
use azenha_model::query::{Ask, Query, Sql};
use azenha_model::relation::{Assembling, Feed, Lookup, Operator, Relation};
use azenha_model::{Field, Schema};

#[test]
fn every_pipeline_makes_its_plan() {
    let count = common::check_goldens("plans", "plan", |name, text| {
        let plan = common::resolve(name, text).unwrap_or_else(|errors| panic!("{errors}"));
        check_order(&plan);
        describe(&plan)
    });
    assert!(count >= 5, "{count} files");
}

/// A task stands after the tasks that write its input.
fn check_order(plan: &Plan) {
    for (index, task) in plan.tasks.iter().enumerate() {
        let mut written_later = plan.tasks[index..].iter().flat_map(|task| task.end.writes());
        assert!(written_later.all(|topic| topic != task.input.topic()), "{} is too early", task.name);
    }
    for task in &plan.tasks {
        let is_known = |topic: &str| plan.topics.iter().any(|spec| spec.name == topic);
        assert!(is_known(task.input.topic()) && task.end.writes().all(is_known));
    }
}

fn describe(plan: &Plan) -> String {
    let mut text = format!("pipeline {}, dead letters to {}\n", plan.pipeline, plan.dead_letters);
    for topic in &plan.topics {
        writeln!(text, "topic {}: {:?}, {} partition(s)", topic.name, topic.kind, topic.partitions).unwrap();
    }
    for task in &plan.tasks {
        text.push_str(&describe_task(task));
    }
    plan.queries.iter().for_each(|query| text.push_str(&describe_query(query)));
    plan.histories.iter().for_each(|history| writeln!(text, "\npast {history:?}").unwrap());
    plan.batch.iter().for_each(|batch| text.push_str(&describe_batch(batch)));
    text
}

fn describe_batch(batch: &Batch) -> String {
    let Batch { connection, schedule, tables, built, checks } = batch;
    let mut text = format!("\nbatch in {connection}, {schedule:?}\n");
    let sql = |sql: &Sql| sql.with(|table| format!("<{}>", tables[table].name));
    for BuiltTable { name, key, references, sql: select } in built {
        writeln!(text, "  {name} by {key:?}: {}", sql(select)).unwrap();
        references.iter().for_each(|reference| writeln!(text, "    {reference:?}").unwrap());
    }
    for Check { name, test } in checks {
        match test {
            Test::Equal(left, right) => writeln!(text, "  {name}: {} = {}", sql(left), sql(right)).unwrap(),
            Test::None(none) => writeln!(text, "  {name}: none of {}", sql(none)).unwrap(),
        }
    }
    text
}

fn describe_query(query: &Query) -> String {
    let Query { name, path, connection, limit, time_limit, .. } = query;
    let mut text = format!("\nquery {name} at {path}, answered by {connection} within {time_limit:?}, {limit:?}\n");
    query.parameters.iter().for_each(|parameter| writeln!(text, "  takes {parameter:?}").unwrap());
    match &query.ask {
        Ask::Sql(sql) => sql.0.iter().for_each(|piece| writeln!(text, "  {piece:?}").unwrap()),
        Ask::Search(search) => writeln!(text, "  {search:?}").unwrap(),
    }
    let order = query.order.iter().map(|order| (&query.columns[order.column].name, order.descending));
    writeln!(text, "  gives {}, by {:?}", describe_fields(&query.columns), order.collect::<Vec<_>>()).unwrap();
    writeln!(text, "  as fresh as {:?}", query.freshness).unwrap();
    text
}

fn describe_task(task: &Task) -> String {
    let mut text = format!("\ntask {}{}\n", task.name, if task.is_stateful() { ", stateful" } else { "" });
    text += &match &task.input {
        Input::Stream(stream) => describe_stream(stream),
        Input::Exchange { topic } => format!("  reads exchange {topic}\n"),
    };
    task.stages.iter().for_each(|stage| text += &describe_stage(stage));
    text += &match &task.end {
        End::Topics(outputs) => outputs.iter().map(describe_topic).collect(),
        End::Exchange { aggregation, topic } => {
            format!("{}  writes exchange {topic}\n", describe_aggregation(aggregation))
        }
        End::Aggregate { aggregation, outputs } => {
            let outputs: String = outputs.iter().map(describe_topic).collect();
            format!("{}{outputs}", describe_aggregation(aggregation))
        }
        End::Store(output) => describe_store(output),
        End::Objects(output) => describe_objects(output),
        End::Table { table, feeds, outputs } => {
            let schema = Schema::new(table.fields.clone());
            let whole = if table.is_whole { "the whole" } else { "a part of" };
            let kept = format!("  keeps {whole} table {} by {}\n", table.name, names(&schema, &table.key));
            kept + &describe_outlets(&schema, feeds, outputs)
        }
        End::Repartition { lookup, columns, topic } => {
            let by = names(&Schema::new(lookup.stream.clone()), &lookup.by);
            format!("  sends columns {columns:?} to {topic} by {by}\n")
        }
        End::Lookup { lookup, outputs } => {
            let outputs: String = outputs.iter().map(describe_topic).collect();
            describe_lookup(lookup) + &outputs
        }
        End::Relate { relation, feeds, outputs } => {
            describe_relation(relation) + &describe_outlets(&Schema::new(relation.output()), feeds, outputs)
        }
    };
    text
}

fn describe_objects(output: &ObjectsOutput) -> String {
    let ObjectsOutput { connection, path, layout, compression, roll, .. } = output;
    let mut text = format!("  writes objects of {layout} ({compression:?}) at {path} of {connection}\n");
    writeln!(text, "    rolled by {} rows, {} bytes, {} µs", roll.rows, roll.bytes, roll.every).unwrap();
    for part in &output.partition_by {
        writeln!(text, "    in folders {}, from column {}", part.name, part.input).unwrap();
    }
    writeln!(text, "    {}", describe_columns(&output.columns)).unwrap();
    if output.hints != ReaderHints::default() {
        writeln!(text, "    sorted by {:?}, bloom filters of {:?}", output.hints.sort_by, output.hints.bloom).unwrap();
    }
    if let Some(topic) = &output.announce {
        writeln!(text, "    announced in {topic}").unwrap();
    }
    text
}

fn describe_lookup(lookup: &Lookup) -> String {
    let (table, columns) = (&lookup.table, describe_fields(&lookup.table.fields));
    format!(
        "  looks up ({:?}) in {} in version(s) of {}: {columns}\n    makes {}\n",
        lookup.kind,
        table.name,
        table.versions,
        describe_fields(&lookup.output())
    )
}

fn describe_relation(relation: &Relation) -> String {
    let what = match &relation.operator {
        Operator::Join(kind) => format!("joins ({kind:?})"),
        Operator::Assemble(Assembling { plugin, config, max_group_rows, .. }) => {
            format!("assembles by {plugin} {config}, at most {max_group_rows} rows")
        }
        Operator::Latest => "keeps the latest".to_owned(),
        Operator::Objects(output) => format!("replaces objects at {}", output.path),
    };
    let mut text = format!("  {what}, groups {}\n", describe_fields(&relation.keys));
    for table in &relation.tables {
        let columns = describe_fields(&table.fields);
        writeln!(text, "    {} in version(s) of {}: {columns}", table.name, table.versions).unwrap();
    }
    text
}

fn describe_outlets(schema: &Schema, feeds: &[Feed], outputs: &[TopicOutput]) -> String {
    let feed = |feed: &Feed| {
        let (by, columns) = (names(schema, &feed.by), names(schema, &feed.columns));
        format!("  feeds {} as table {} by {by}, columns {columns}\n", feed.topic, feed.table)
    };
    feeds.iter().map(feed).chain(outputs.iter().map(describe_topic)).collect()
}

fn describe_stream(stream: &StreamInput) -> String {
    let schema = stream.schema();
    let format = describe_format(&stream.format);
    let mut text = format!("  reads {}{format}, columns {}\n", stream.topic, describe_fields(&schema.fields));
    writeln!(text, "    needs {}", names(&schema, &stream.needed)).unwrap();
    for column in stream.columns.iter().filter(|column| column.path != [column.field.name.as_str()]) {
        writeln!(text, "    {} stands at {}", column.field.name, column.path.join(" / ")).unwrap();
    }
    if !stream.key.is_empty() {
        writeln!(text, "    changelog by {}", names(&schema, &stream.key)).unwrap();
    }
    if let Some(time) = stream.event_time {
        let name = &schema.fields[time.column].name;
        let told = if time.told.is_some() { ", as rows tell" } else { "" };
        writeln!(text, "    event time {name}, lateness {} µs, idle after {} µs{told}", time.lateness, time.idle_after)
            .unwrap();
    }
    text
}

fn describe_format(format: &Format) -> String {
    match format {
        Format::Json => String::new(),
        Format::Bytes => " as bytes".to_owned(),
        Format::Registered { kind, registry: None } => format!(" in {kind}"),
        Format::Registered { kind, registry: Some(url) } => format!(" in {kind} of {url}"),
        Format::Debezium { decimals } => format!(" in Debezium's JSON, decimals {decimals:?}"),
        Format::DebeziumAvro { registry: None } => " in Debezium's Avro".to_owned(),
        Format::DebeziumAvro { registry: Some(url) } => format!(" in Debezium's Avro of {url}"),
    }
}

fn describe_stage(stage: &Stage) -> String {
    let outlet = &stage.plan.outlets[stage.outlet].name;
    let given = Schema::new(stage.plugin.input.clone());
    format!(
        "  through {} ({} {}), outlet {outlet}, columns {}\n    reads {}, gives {}\n",
        stage.plugin.step,
        stage.plugin.plugin,
        stage.plugin.config,
        describe_fields(&stage.output.fields),
        names(&given, &stage.plan.reads),
        names(&stage.output, &stage.needed),
    )
}

fn describe_aggregation(aggregation: &Aggregation) -> String {
    let identity = aggregation.identity.as_ref().map_or(String::new(), |name| format!(", identified as {name}"));
    format!(
        "  aggregates in {} by {}{identity}, {:?}, emits {:?}, lateness {} µs\n    makes {}\n",
        aggregation.plugin.plugin,
        describe_fields(&aggregation.group_fields()),
        aggregation.window,
        aggregation.emit,
        aggregation.lateness,
        describe_fields(&aggregation.output().fields),
    )
}

fn describe_topic(output: &TopicOutput) -> String {
    format!(
        "  writes topic {}{} by [{}]: {}\n",
        output.topic,
        describe_format(&output.format),
        key(&output.columns, &output.key),
        describe_columns(&output.columns)
    )
}

fn describe_store(output: &StoreOutput) -> String {
    format!(
        "  writes {} of {} by [{}], {:?}: {}\n",
        describe_target(output),
        output.connection,
        key(&output.columns, &output.key),
        output.mode,
        describe_columns(&output.columns),
    )
}

fn describe_target(output: &StoreOutput) -> String {
    match &output.target {
        Target::Table { fulltext } if fulltext.is_empty() => format!("table {}", output.name),
        Target::Table { fulltext } => format!("table {} (words of {fulltext:?})", output.name),
        Target::Index { search, language, each } => {
            let each = each.as_ref().map(|each| format!(" for each {:?} of {}", each.part, each.column));
            let each = each.unwrap_or_default();
            format!("index {}{each} (words of {search:?} in {language:?})", output.name)
        }
        Target::Collection { indexes } => format!("collection {} (indexes {indexes:?})", output.name),
    }
}

fn key(columns: &[OutputColumn], key: &[usize]) -> String {
    let names: Vec<&str> = key.iter().map(|position| columns[*position].field.name.as_str()).collect();
    names.join(", ")
}

fn describe_columns(columns: &[OutputColumn]) -> String {
    let written: Vec<String> =
        columns.iter().map(|column| format!("{} = #{}", column.field.name, column.input)).collect();
    written.join(", ")
}

fn describe_fields(fields: &[Field]) -> String {
    let describe = |field: &Field| {
        let (nullable, pii) = (if field.nullable { "?" } else { "" }, if field.pii { " pii" } else { "" });
        format!("{} {}{nullable}{pii}", field.name, field.data_type)
    };
    let fields: Vec<String> = fields.iter().map(describe).collect();
    format!("({})", fields.join(", "))
}

fn names(schema: &Schema, indices: &[usize]) -> String {
    let names: Vec<&str> = indices.iter().map(|index| schema.fields[*index].name.as_str()).collect();
    format!("[{}]", names.join(", "))
}
