//! The topics of a plan and how many partitions each has.

use super::Surroundings;
use crate::plan::{TopicKind, TopicSpec};
use crate::topic;
use crate::yaml::{Place, Report, Spanned};

pub(super) struct Topics<'a> {
    surroundings: &'a dyn Surroundings,
    specs: Vec<TopicSpec>,
}

impl<'a> Topics<'a> {
    pub fn new(surroundings: &'a dyn Surroundings) -> Self {
        Self { surroundings, specs: Vec::new() }
    }

    /// As many partitions as the topic has, else as the file says, else `default`.
    pub fn partitions(
        &self,
        topic: &Spanned<String>,
        wanted: Option<&Spanned<u32>>,
        default: u32,
        report: &mut Report,
    ) -> u32 {
        let found = self.surroundings.partitions(&topic.value);
        if let (Some(found), Some(wanted)) = (found, wanted)
            && found != wanted.value
        {
            report
                .error(wanted.place, format!("topic `{}` exists and has {found} partition(s)", topic.value))
                .suggest(format!("write `partitions: {found}`, leave it out, or delete the topic"));
        }
        found.or(wanted.map(|wanted| wanted.value)).unwrap_or(default)
    }

    /// Adds a topic, unless it is there already.
    pub fn add(&mut self, name: &str, partitions: u32, kind: TopicKind) {
        if self.specs.iter().all(|spec| spec.name != name) {
            self.specs.push(TopicSpec { name: name.to_owned(), partitions, kind });
        }
    }

    /// Adds a topic whose partitions the plan decides; one that exists must have as many.
    pub fn add_internal(&mut self, name: String, partitions: u32, kind: TopicKind, place: Place, report: &mut Report) {
        if name.len() > topic::LONGEST {
            let message = format!("{}: `{name}`", topic::too_long(name.len()));
            report.error(place, message).suggest("shorten the names of the pipeline and of its steps");
        } else if let Some(found) = self.surroundings.partitions(&name)
            && found != partitions
        {
            report
                .error(place, format!("topic `{name}` exists with {found} partition(s), but {partitions} are needed"))
                .suggest("delete the topic, or give what is read as many partitions as before");
        }
        self.add(&name, partitions, kind);
    }

    /// The topic, if the plan has it already.
    pub fn get(&self, name: &str) -> Option<&TopicSpec> {
        self.specs.iter().find(|spec| spec.name == name)
    }

    pub fn into_specs(self) -> Vec<TopicSpec> {
        self.specs
    }
}
