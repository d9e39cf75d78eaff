//! Which records can be put back. A record goes to the end of its source's topic, where everybody reads it who reads that
//! topic: what it had made already would be made once more. So without being told to it is put back only where nothing
//! had come of it.

use azenha_engine::edition::{Edition, Undone, Version};
use azenha_model::dead_letter::{Cause, DeadLetter};
use azenha_model::plan::{Input, Plan, Task};

use crate::ingest::SourceTopic;

/// Why a record is not put back.
#[derive(Debug, thiserror::Error)]
pub enum NotPutBack {
    /// It stands for many rows.
    #[error("the letter is about a group of rows of step `{0}`, not about one record")]
    Group(String),
    /// There is no record.
    #[error("the letter is about what stands in the object {0}, not about a record of a topic")]
    Object(String),
    /// Nobody but the pipeline writes there.
    #[error("topic `{0}` is no source of the pipeline whose records others may write")]
    NoSource(String),
    /// An older row would replace a newer one.
    #[error("topic `{0}` is a table: the old record would take the place of what came for its key since")]
    Table(String),
    /// It would be late once more.
    #[error("the record came too late, and would again: its time stays what it is")]
    Late,
    /// Other code has read it again.
    #[error("what version {of} did is undone: version {by} read the record anew")]
    Undone {
        /// The version that the letter is of.
        of: Version,
        /// The one that reads again what that had read.
        by: Version,
    },
    /// The log does not hold it any more.
    #[error("the log does not hold the record any more")]
    Gone,
    /// What had come of it would come again.
    #[error("some of the record went through, and would go through a second time: {}", .0.join("; "))]
    Repeats(Vec<String>),
}

impl NotPutBack {
    /// What would be right.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Group(_) => "repair the plugin: groups are made anew when their rows change, or the plugin does",
            Self::Object(_) => "write a corrected object under another path, and announce that",
            Self::NoSource(_) => "retry the letter of the step that read the source's record, if there is one",
            Self::Table(_) => "write the row anew where the table's rows come from",
            Self::Late => "raise `lateness`, or read the past once more in a pipeline of its own",
            Self::Undone { .. } => {
                "look for a letter of the later version, which it wrote if it could not do it either"
            }
            Self::Gone => "write the record anew; the letter shows it, unless it is personal",
            Self::Repeats(_) => "send `repeat=true` if that does no harm, for instance because rows have keys",
        }
    }
}

/// A task that reads the record's topic.
pub struct Reader<'a> {
    /// The pipeline.
    pub pipeline: &'a str,
    /// The task.
    pub task: &'a Task,
}

impl<'a> Reader<'a> {
    /// The tasks of a plan that read records of a topic.
    pub fn of(plan: &'a Plan, topic: &str) -> Vec<Self> {
        let reads = |task: &&Task| matches!(&task.input, Input::Stream(stream) if stream.topic == topic);
        plan.tasks.iter().filter(reads).map(|task| Self { pipeline: &plan.pipeline, task }).collect()
    }

    /// Whether the letter is this task's.
    fn is_of(&self, pipeline: &str, letter: &DeadLetter) -> bool {
        let Self { task, .. } = self;
        let is_stage = |step: &str| task.stages.iter().any(|stage| stage.plugin.step == step);
        self.pipeline == pipeline && (letter.step == task.end_step() || is_stage(&letter.step))
    }

    /// What may have come of the record here. `has_letter`: whether there is a letter of the record of some step.
    fn made(&self, pipeline: &str, letter: &DeadLetter, has_letter: &impl Fn(&str) -> bool) -> Option<String> {
        let Self { task, .. } = self;
        if self.pipeline != pipeline {
            return Some(format!("pipeline `{}` reads it, too", self.pipeline));
        }
        let undecoded = letter.cause == Cause::Decode && has_letter(task.end_step());
        if undecoded || letter.step == task.first_step() {
            return None;
        }
        Some(match self.is_of(pipeline, letter) {
            true => format!("`{}` may have made several rows of it, of which others went on", task.first_step()),
            false => format!("`{}` reads it, too", task.end_step()),
        })
    }
}

/// Checks that the record of a letter can be put back; with `repeat`, also if something had come of it.
pub fn check(
    letter: &DeadLetter,
    pipeline: &str,
    sources: &[SourceTopic],
    readers: &[Reader<'_>],
    edition: &Edition,
    has_letter: impl Fn(&str) -> bool,
    repeat: bool,
) -> Result<(), NotPutBack> {
    let topic = letter.topic.clone();
    if letter.group {
        return Err(NotPutBack::Group(letter.step.clone()));
    }
    if let Some(object) = &letter.object {
        return Err(NotPutBack::Object(object.clone()));
    }
    let Some(source) = sources.iter().find(|source| source.topic == topic) else {
        return Err(NotPutBack::NoSource(topic));
    };
    if source.is_table {
        return Err(NotPutBack::Table(topic));
    }
    if letter.cause == Cause::Late {
        return Err(NotPutBack::Late);
    }
    let mut tasks = readers.iter().filter(|reader| reader.is_of(pipeline, letter)).map(|reader| reader.task);
    if let Some(Undone { by, .. }) = tasks.find_map(|task| edition.undone(task.end_step(), letter.version)) {
        return Err(NotPutBack::Undone { of: letter.version, by });
    }
    let others = readers.iter().filter_map(|reader| reader.made(pipeline, letter, &has_letter));
    let part = letter.part.as_ref().filter(|_| letter.cause == Cause::Rejected);
    let parts = part.map(|part| format!("only {part} was refused of it"));
    let repeated: Vec<String> = parts.into_iter().chain(others).collect();
    if repeat || repeated.is_empty() { Ok(()) } else { Err(NotPutBack::Repeats(repeated)) }
}
