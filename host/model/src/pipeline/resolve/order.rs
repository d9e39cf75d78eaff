//! The order in which rows flow: steps and sinks after what they read.

use std::collections::{BTreeMap, BTreeSet};

use super::super::PipelineFile;
use super::super::file::{SinkDef, StepDef};
use crate::names::unknown;
use crate::yaml::{Named, Report, Spanned};

/// What reads a stream.
#[derive(Clone, Copy)]
pub(super) enum Reader<'a> {
    Step(&'a Named<StepDef>),
    Sink(&'a Named<SinkDef>),
}

impl<'a> Reader<'a> {
    fn name(self) -> &'a Spanned<String> {
        match self {
            Self::Step(step) => &step.name,
            Self::Sink(sink) => &sink.name,
        }
    }

    fn inputs(self) -> Vec<&'a Spanned<String>> {
        match self {
            Self::Step(step) => step.value.inputs(),
            Self::Sink(sink) => vec![sink.value.from()],
        }
    }
}

/// Steps and sinks, each after what it reads. What reads an unknown name or itself is reported and left out.
pub(super) fn ordered<'a>(file: &'a PipelineFile, report: &mut Report) -> Vec<Reader<'a>> {
    let steps = file.steps.iter().map(Reader::Step);
    let readers: Vec<Reader<'a>> = steps.chain(file.sinks.iter().map(Reader::Sink)).collect();
    let mut walk = Walk {
        sources: file.sources.iter().map(|source| (source.name.value.as_str(), file.announcer(source))).collect(),
        readers: readers.iter().map(|reader| (reader.name().value.as_str(), *reader)).collect(),
        path: Vec::new(),
        done: BTreeSet::new(),
        read: BTreeSet::new(),
        order: Vec::new(),
        is_complete: true,
        report,
    };
    readers.iter().for_each(|reader| walk.visit(*reader));
    if walk.is_complete {
        walk.report_unread(file);
    }
    walk.order
}

struct Walk<'a, 'r> {
    /// With the sinks whose objects they read.
    sources: BTreeMap<&'a str, Option<&'a Named<SinkDef>>>,
    readers: BTreeMap<&'a str, Reader<'a>>,
    /// From the reader where the walk began to the one that is visited.
    path: Vec<&'a str>,
    done: BTreeSet<&'a str>,
    read: BTreeSet<&'a str>,
    order: Vec<Reader<'a>>,
    /// Whether every `from` names something; if one does not, who reads what is not known.
    is_complete: bool,
    report: &'r mut Report,
}

impl<'a> Walk<'a, '_> {
    fn visit(&mut self, reader: Reader<'a>) {
        let name = reader.name().value.as_str();
        if !self.done.insert(name) {
            return;
        }
        self.path.push(name);
        let inputs = reader.inputs();
        if inputs.iter().filter(|from| self.visit_input(from)).count() == inputs.len() {
            self.order.push(reader);
        }
        self.path.pop();
    }

    /// Whether `from` names something that can be read.
    fn visit_input(&mut self, from: &'a Spanned<String>) -> bool {
        if let Some(announcer) = self.sources.get(from.value.as_str()).copied() {
            return announcer.is_none_or(|sink| self.visit_written(from, Reader::Sink(sink)));
        }
        let step = from.value.split_once('.').map(|(step, _)| step);
        let found = self.readers.get(from.value.as_str()).or_else(|| self.readers.get(step?));
        let Some(input) = found.copied() else {
            self.is_complete = false;
            self.report_unknown(from);
            return false;
        };
        self.read.insert(input.name().value.as_str());
        self.visit_written(from, input)
    }

    /// Whether what `from` leads to can be read; it comes before its reader.
    fn visit_written(&mut self, from: &Spanned<String>, input: Reader<'a>) -> bool {
        let name = input.name().value.as_str();
        if let Some(start) = self.path.iter().position(|visited| *visited == name) {
            let cycle: Vec<&str> = self.path[start..].iter().rev().copied().collect();
            let message = format!("these read each other in a cycle: {name} -> {}", cycle.join(" -> "));
            self.report.error(from.place, message).suggest("rows flow from sources to sinks: read a source here");
            return false;
        }
        let written = match input {
            Reader::Sink(Named { value: SinkDef::Table(sink), .. }) => Some(("table", &sink.from)),
            Reader::Sink(Named { value: SinkDef::Collection(sink), .. }) => Some(("collection", &sink.from)),
            Reader::Sink(Named { value: SinkDef::Index(sink), .. }) => Some(("index", &sink.from)),
            Reader::Sink(_) | Reader::Step(_) => None,
        };
        if let Reader::Sink(Named { value: SinkDef::Objects(sink), .. }) = input
            && !sink.is_readable()
            && self.readers.contains_key(from.value.as_str())
        {
            self.report.error(from.place, format!("nothing tells what is in the objects of `{name}`")).suggest(
                "write `announce: TOPIC` there; of records as they came, a source `{ topic: TOPIC, objects: CONNECTION, \
                 schema: … }` says what is in them",
            );
            return false;
        }
        if let Some((written, read)) = written {
            self.report
                .error(from.place, format!("`{name}` writes a {written}, which cannot be read"))
                .suggest(format!("read what it reads: `from: {}`", read.value));
            return false;
        }
        self.visit(input);
        true
    }

    fn report_unknown(&mut self, from: &Spanned<String>) {
        let is_readable = |reader: &&Reader<'_>| match reader {
            Reader::Step(_) => true,
            Reader::Sink(sink) => match &sink.value {
                SinkDef::Topic(_) => true,
                SinkDef::Objects(sink) => sink.is_readable(),
                SinkDef::Table(_) | SinkDef::Collection(_) | SinkDef::Index(_) => false,
            },
        };
        let readers = self.readers.values().filter(is_readable).map(|reader| reader.name().value.as_str());
        let known: Vec<&str> = self.sources.keys().copied().chain(readers).collect();
        self.report
            .error(from.place, format!("there is no source, step or topic sink `{}`", from.value))
            .suggest(unknown(&from.value, "there are", &known));
    }

    fn report_unread(&mut self, file: &PipelineFile) {
        for step in &file.steps {
            if !self.read.contains(step.name.value.as_str()) {
                self.report
                    .error(step.name.place, format!("nothing reads step `{}`", step.name.value))
                    .suggest(format!("add a sink `from: {}`, or remove the step", step.name.value));
            }
        }
    }
}
