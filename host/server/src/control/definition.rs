//! What the log says of pipelines, and the rule by which every host agrees on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use azenha_engine::edition::{Edition, Guard, Undone};
use azenha_model::Offset;
use azenha_model::pipeline::is_pipeline_name;
use azenha_model::plan::Generation;
use serde::{Deserialize, Serialize};

use super::follow::Table;

/// Counts the changes of a pipeline's definition; the first is 1.
pub type Version = u64;

/// The newest format of changes that this version knows: since 2 they say what becomes of state, and when code is not
/// trusted; since 3, what is undone.
pub const FORMAT: u32 = 3;

/// So many versions of a pipeline are kept, to go back to.
pub const KEPT: usize = 32;

/// One change: everything that holds for a pipeline from then on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// The format of this record. What name, id and version mean is the same in all of them, so that every host
    /// accepts the same changes; a host does not run what is newer than [`FORMAT`], and does not change it.
    pub format: u32,
    /// The pipeline's name.
    pub pipeline: String,
    /// Differs between all changes, so that whoever made one finds it again.
    pub id: String,
    /// The version that this one follows: 0 for the first.
    pub replaces: Version,
    /// The pipeline file, as it was sent; none if the pipeline was deleted.
    pub text: Option<String>,
    /// Nothing runs while this is set.
    #[serde(default)]
    pub paused: bool,
    /// Raised to start everything again.
    #[serde(default)]
    pub restarts: u64,
    /// Raised when positions are set.
    #[serde(default)]
    pub generation: Generation,
    /// The plugins that it names, with the digest of what each name meant when the definition was sent: a later
    /// upload changes nothing that runs.
    #[serde(default)]
    pub plugins: BTreeMap<String, String>,
    /// When lanes do not go on with the code of this version.
    #[serde(default)]
    pub guard: Option<Guard>,
    /// Steps whose state was given up, with the version that said so last.
    #[serde(default)]
    pub resets: BTreeMap<String, Version>,
    /// Steps of which every group gave its result anew, with the version that said so last.
    #[serde(default)]
    pub recomputes: BTreeMap<String, Version>,
    /// Steps that went on from the state before some versions, with those.
    #[serde(default)]
    pub undone: BTreeMap<String, Vec<Undone>>,
    /// Versions that lanes did not go on with: no host goes back to one of them by itself.
    #[serde(default)]
    pub distrusted: BTreeSet<Version>,
    /// Why this version was made, if no person asked for it or it is that of an earlier one.
    #[serde(default)]
    pub note: Option<String>,
    /// The name of the token that was used.
    #[serde(default)]
    pub by: Option<String>,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub at: i64,
}

impl Definition {
    /// The version that this change makes.
    pub fn version(&self) -> Version {
        self.replaces.saturating_add(1)
    }

    /// What the engine is told of this version.
    pub fn edition(&self) -> Edition {
        Edition {
            version: self.version(),
            guard: self.guard,
            resets: self.resets.clone(),
            recomputes: self.recomputes.clone(),
            undone: self.undone.clone(),
        }
    }

    /// Whether both run the same code.
    pub fn has_code_of(&self, other: &Self) -> bool {
        (&self.text, &self.plugins) == (&other.text, &other.plugins)
    }

    /// Makes it run what an earlier version ran. Steps go on with the state that there is, but for those that go back to
    /// before the work of a version.
    pub fn go_back_to(&mut self, earlier: &Self, undone: &BTreeMap<String, Version>, note: String) {
        self.text.clone_from(&earlier.text);
        self.plugins.clone_from(&earlier.plugins);
        self.guard = None;
        self.note = Some(note);
        // A lane that has not gone over keeps what it has.
        let is_asked_still = |_: &String, version: &mut Version| *version <= earlier.version();
        self.resets.retain(is_asked_still);
        self.recomputes.retain(is_asked_still);
        let by = self.version();
        for (step, from) in undone {
            self.undone.entry(step.clone()).or_default().push(Undone { from: *from, by });
        }
    }

    /// What no host writes: a name that no pipeline has, or a version beyond the last.
    fn problem(&self) -> Option<&'static str> {
        if !is_pipeline_name(&self.pipeline) {
            return Some("no pipeline can be called so");
        }
        self.replaces.checked_add(1).is_none().then_some("there is no version after the one that it replaces")
    }

    /// The record's key. No two changes share one, because compaction would keep the last of them, which may be one
    /// that was not accepted; what is out of force is deleted by a tombstone instead.
    pub fn key(&self) -> String {
        format!("{}/{}", self.pipeline, self.id)
    }

    /// Whether both run the same, so that a host which runs one has nothing to do for the other.
    pub fn runs_like<'a>(&'a self, other: &'a Self) -> bool {
        let running = |definition: &Self| (definition.paused, definition.restarts, definition.generation);
        let asked = |definition: &'a Self| (&definition.resets, &definition.recomputes, &definition.undone);
        self.has_code_of(other) && running(self) == running(other) && asked(self) == asked(other)
    }
}

/// What is in force.
#[derive(Debug, Default)]
pub struct Definitions(BTreeMap<String, History>);

/// The last versions that were accepted, the one in force among them.
#[derive(Debug)]
struct History {
    in_force: Arc<Definition>,
    kept: BTreeMap<Version, Arc<Definition>>,
}

impl History {
    fn of(first: Definition) -> Self {
        let in_force = Arc::new(first);
        Self { kept: BTreeMap::from([(in_force.version(), Arc::clone(&in_force))]), in_force }
    }

    fn accept(&mut self, definition: Definition) {
        self.in_force = Arc::new(definition);
        while let Some(least) = self.least_needed() {
            self.kept.remove(&least.version());
        }
        self.kept.insert(self.in_force.version(), Arc::clone(&self.in_force));
    }

    /// What has to go for another version to be kept: one that was paused, say, and has the code of the next one, or else
    /// the oldest.
    fn least_needed(&self) -> Option<Arc<Definition>> {
        if self.kept.len() < KEPT {
            return None;
        }
        let later = self.kept.values().skip(1);
        let repeated = self.kept.values().zip(later).find(|(earlier, next)| earlier.has_code_of(next));
        repeated.map(|(earlier, _)| earlier).or_else(|| self.kept.values().next()).cloned()
    }
}

impl Definitions {
    /// Takes the next change of the log, if it follows the version in force. A change that follows a later version
    /// than is known follows one whose record is deleted already: nobody can have written it before that was accepted.
    pub fn take(&mut self, definition: Definition) {
        match self.0.get_mut(&definition.pipeline) {
            Some(history) if definition.replaces >= history.in_force.version() => history.accept(definition),
            Some(_) => {}
            None => drop(self.0.insert(definition.pipeline.clone(), History::of(definition))),
        }
    }

    /// Forgets a version whose record is deleted.
    fn forget(&mut self, key: &str) {
        for history in self.0.values_mut() {
            let in_force = history.in_force.version();
            history.kept.retain(|version, definition| *version == in_force || definition.key() != key);
        }
    }

    /// The last versions of a pipeline, the one in force last.
    pub fn versions(&self, pipeline: &str) -> Vec<Arc<Definition>> {
        self.0.get(pipeline).map(|history| history.kept.values().cloned().collect()).unwrap_or_default()
    }

    /// The last version before one that ran other code than it, which lanes went on with.
    pub fn other_code_before(&self, definition: &Definition) -> Option<Arc<Definition>> {
        let versions = self.versions(&definition.pipeline);
        let is_distrusted = |earlier: &Definition| {
            let mut distrusted = versions.iter().filter(|it| definition.distrusted.contains(&it.version()));
            distrusted.any(|it| it.has_code_of(earlier))
        };
        let mut earlier = versions.iter().rev().filter(|earlier| earlier.version() < definition.version());
        let is_it = |it: &Definition| it.text.is_some() && !it.has_code_of(definition) && !is_distrusted(it);
        earlier.find(|earlier| is_it(earlier)).cloned()
    }

    /// The version of a pipeline that is kept no longer once there is another one.
    pub fn least_needed(&self, pipeline: &str) -> Option<Arc<Definition>> {
        self.0.get(pipeline)?.least_needed()
    }

    /// What is in force for a pipeline, which may be that it was deleted.
    pub fn get(&self, pipeline: &str) -> Option<Arc<Definition>> {
        self.0.get(pipeline).map(|history| Arc::clone(&history.in_force))
    }

    /// What is in force for every pipeline, those that were deleted included.
    pub fn all(&self) -> Vec<Arc<Definition>> {
        self.0.values().map(|history| Arc::clone(&history.in_force)).collect()
    }

    /// Whether a change that the log holds was accepted.
    pub fn is_accepted(&self, definition: &Definition) -> bool {
        let history = self.0.get(&definition.pipeline);
        let accepted = history.and_then(|history| history.kept.get(&definition.version()));
        accepted.is_some_and(|accepted| accepted.id == definition.id)
    }
}

impl Table for Definitions {
    const TOPIC: &'static str = "azenha.definitions";

    fn apply(&mut self, offset: Offset, key: &str, value: Option<&[u8]>) {
        let Some(value) = value else { return self.forget(key) };
        let read = serde_json::from_slice(value).map_err(|error| error.to_string());
        let sound = |definition: Definition| match definition.problem() {
            Some(problem) => Err(problem.to_owned()),
            None => Ok(definition),
        };
        match read.and_then(sound) {
            Ok(definition) => self.take(definition),
            Err(problem) => {
                tracing::error!(problem, offset, "a record of `{}` is no definition; it is passed over", Self::TOPIC);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(id: usize, replaces: Version) -> Definition {
        Definition {
            format: FORMAT,
            pipeline: "shop".to_owned(),
            id: id.to_string(),
            replaces,
            text: Some(format!("text {id}")),
            paused: false,
            restarts: 0,
            generation: 0,
            plugins: BTreeMap::new(),
            guard: None,
            resets: BTreeMap::new(),
            recomputes: BTreeMap::new(),
            undone: BTreeMap::new(),
            distrusted: BTreeSet::new(),
            note: None,
            by: None,
            at: 0,
        }
    }

    fn after(log: &[Definition]) -> Definitions {
        let mut definitions = Definitions::default();
        log.iter().cloned().for_each(|definition| definitions.take(definition));
        definitions
    }

    /// Several writers, each of which has read a part of the log when it writes.
    fn written_by_several(random: &mut fastrand::Rng) -> Vec<Definition> {
        let mut log = Vec::new();
        let mut read = [0; 4];
        for id in 0..random.usize(1..30) {
            let writer = random.usize(..read.len());
            read[writer] = random.usize(read[writer]..=log.len());
            let known = after(&log[..read[writer]]);
            log.push(change(id, known.get("shop").map_or(0, |in_force| in_force.version())));
        }
        log
    }

    #[test]
    fn of_changes_that_replace_the_same_version_the_first_is_accepted() {
        let (first, second) = (change(1, 0), change(2, 0));
        let definitions = after(&[first.clone(), second.clone()]);
        assert!(definitions.is_accepted(&first) && !definitions.is_accepted(&second));
        assert_eq!(definitions.get("shop").unwrap().id, "1");
    }

    #[test]
    fn a_change_stays_accepted_when_the_next_one_has_replaced_it() {
        let (first, second) = (change(1, 0), change(2, 1));
        let definitions = after(&[first.clone(), second]);
        assert!(definitions.is_accepted(&first));
    }

    #[test]
    fn every_version_is_accepted_once_whatever_the_order_of_writers() {
        for seed in 0..500 {
            let log = written_by_several(&mut fastrand::Rng::with_seed(seed));
            let definitions = after(&log);
            let accepted: Vec<Version> =
                log.iter().filter(|change| definitions.is_accepted(change)).map(Definition::version).collect();
            assert_eq!(accepted, (1..=accepted.len() as Version).collect::<Vec<_>>(), "seed {seed}: {log:?}");
        }
    }

    #[test]
    fn a_host_that_no_longer_finds_what_is_out_of_force_agrees_with_one_that_saw_it() {
        for seed in 0..500 {
            let mut random = fastrand::Rng::with_seed(seed);
            let log = written_by_several(&mut random);
            let in_force = after(&log).get("shop").unwrap();
            // Compaction may have removed any of the others.
            let left: Vec<Definition> =
                log.into_iter().filter(|change| change.id == in_force.id || random.bool()).collect();
            assert_eq!(after(&left).get("shop").unwrap(), in_force, "seed {seed}: {left:?}");
        }
    }

    #[test]
    fn one_goes_back_to_the_last_version_with_other_code() {
        let paused = Definition { paused: true, text: Some("text 2".to_owned()), ..change(3, 2) };
        let definitions = after(&[change(1, 0), change(2, 1), paused.clone()]);
        let earlier = definitions.other_code_before(&paused).unwrap();
        assert_eq!((earlier.version(), earlier.id.as_str()), (1, "1"));
        assert!(definitions.other_code_before(&earlier).is_none());
    }

    #[test]
    fn nobody_goes_back_to_code_that_lanes_did_not_go_on_with_unless_asked_for() {
        let back = Definition { text: Some("text 1".to_owned()), distrusted: BTreeSet::from([2]), ..change(3, 2) };
        let again = Definition { text: Some("text 2".to_owned()), ..change(4, 3) };
        let definitions = after(&[change(0, 0), change(1, 1), change(2, 2), back.clone(), again]);
        assert_eq!(definitions.other_code_before(&back).unwrap().text.as_deref(), Some("text 0"));
    }

    #[test]
    fn going_back_takes_resets_and_recomputes_of_later_versions_back_but_not_what_was_undone_before() {
        let asked = |version| BTreeMap::from([("counts".to_owned(), version)]);
        let mut definition = Definition { resets: asked(2), recomputes: asked(1), ..change(3, 2) };
        definition.go_back_to(&change(1, 0), &asked(2), "back".to_owned());
        assert_eq!((definition.resets.len(), definition.recomputes.len()), (0, 1));
        definition.replaces = 4;
        definition.go_back_to(&change(1, 0), &asked(4), "back again".to_owned());
        assert_eq!(definition.undone["counts"], [Undone { from: 2, by: 3 }, Undone { from: 4, by: 5 }]);
    }

    #[test]
    fn pauses_do_not_push_out_the_code_to_go_back_to() {
        let mut log = vec![change(0, 0)];
        for id in 1..100 {
            let text = Some("text 1".to_owned());
            log.push(Definition { text, paused: id % 2 == 0, ..change(id, id as Version) });
        }
        let definitions = after(&log);
        let in_force = definitions.get("shop").unwrap();
        assert_eq!(definitions.versions("shop").len(), KEPT);
        assert_eq!(definitions.other_code_before(&in_force).unwrap().text.as_deref(), Some("text 0"));
    }

    #[test]
    fn a_version_whose_record_is_deleted_is_not_gone_back_to() {
        let mut definitions = after(&[change(1, 0), change(2, 1)]);
        definitions.apply(7, "shop/1", None);
        assert_eq!(definitions.versions("shop").len(), 1);
        assert!(definitions.other_code_before(&change(2, 1)).is_none());
    }

    #[test]
    fn a_record_that_cannot_be_read_changes_nothing() {
        let mut definitions = after(&[change(1, 0)]);
        definitions.apply(7, "shop/2", Some(b"{}"));
        definitions.apply(8, "shop/1", None);
        for wrong in [change(9, Version::MAX), Definition { pipeline: "../shop".to_owned(), ..change(9, 0) }] {
            definitions.apply(9, &wrong.key(), Some(&serde_json::to_vec(&wrong).unwrap()));
        }
        assert_eq!(definitions.all().len(), 1);
        assert_eq!(definitions.get("shop").unwrap().id, "1");
    }
}
