//! The code that is tried, and how it is asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use azenha_model::Field;
use azenha_model::plan::{Aggregation, Plan, Stage};
use azenha_model::relation::{Assembling, Relation};
use azenha_sandbox::{OpenError, Plugin};

use super::answers::Judged;
use super::assemblies::Assemblies;
use super::groups::Groups;
use super::rows::Transforms;
use super::tally::Tally;
use super::{Call, nanos};
use crate::clock::Clock;
use crate::difference::Side;
use crate::error::EngineError;

/// A candidate for the code of a step.
#[derive(Debug)]
pub struct Candidate {
    step: String,
    plugin: Plugin,
    code: Code,
}

/// What runs, and what is tried.
#[derive(Debug)]
enum Code {
    Transform { live: Box<Stage>, tried: Box<Stage> },
    Aggregate { live: Box<Aggregation>, tried: Box<Aggregation> },
    Assemble { of: Box<Relation>, live: Box<Assembling>, tried: Box<Assembling> },
}

/// Why code cannot work beside that of a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// There is no plugin in the step.
    #[error("step `{0}` runs no plugin that another one could be tried beside")]
    NoPlugin(String),
    /// It gets other columns.
    #[error("step `{0}` gets other columns in the candidate than in what runs")]
    Input(String),
    /// What it keeps of a group is not what the live plugin keeps.
    #[error("the candidate keeps accumulators of version {candidate}, and the live plugin of version {live}")]
    StateVersion {
        /// That of the live plugin.
        live: u32,
        /// That of the candidate.
        candidate: u32,
    },
    /// One merges, the other does not.
    #[error("one of the candidate and the live plugin merges accumulators, and the other does not")]
    Merging,
    /// It reads what the live plugin is not given.
    #[error("the candidate reads column `{0}`, but gets only the columns that the live plugin reads")]
    Reads(String),
}

impl Candidate {
    /// The code of a step as another version of the pipeline has it.
    pub fn of(step: &str, live: &Plan, tried: Side<'_>) -> Result<Self, Unfit> {
        let code = Code::of(step, live, tried.plan)?;
        let missing = || Unfit::NoPlugin(step.to_owned());
        let plugin = tried.plugins.get(code.plugin()).ok_or_else(missing)?.clone();
        Ok(Self { step: step.to_owned(), plugin, code })
    }

    /// The step.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// The digest of its plugin.
    pub fn digest(&self) -> &str {
        self.plugin.digest()
    }

    /// Its plugin, as the definition calls it.
    pub fn plugin_name(&self) -> &str {
        self.plugin.name()
    }
}

impl Code {
    fn of(step: &str, live: &Plan, tried: &Plan) -> Result<Self, Unfit> {
        if let Some((live, tried)) = stage(live, step).zip(stage(tried, step)) {
            check_transform(live, tried)?;
            return Ok(Self::Transform { live: Box::new(live.clone()), tried: Box::new(tried.clone()) });
        }
        if let Some((live, tried)) = aggregation(live, step).zip(aggregation(tried, step)) {
            check_aggregate(live, tried)?;
            return Ok(Self::Aggregate { live: Box::new(live.clone()), tried: Box::new(tried.clone()) });
        }
        let assemblies = assembly(live, step).zip(assembly(tried, step));
        let (live, tried) = assemblies.ok_or_else(|| Unfit::NoPlugin(step.to_owned()))?;
        check_assemble(live, tried)?;
        let of = Box::new(live.0.clone());
        Ok(Self::Assemble { of, live: Box::new(live.1.clone()), tried: Box::new(tried.1.clone()) })
    }

    /// The name of the plugin that is tried.
    fn plugin(&self) -> &str {
        match self {
            Self::Transform { tried, .. } => &tried.plugin.plugin,
            Self::Aggregate { tried, .. } => &tried.plugin.plugin,
            Self::Assemble { tried, .. } => &tried.plugin,
        }
    }
}

fn stage<'a>(plan: &'a Plan, step: &str) -> Option<&'a Stage> {
    plan.tasks.iter().flat_map(|task| &task.stages).find(|stage| stage.plugin.step == step)
}

fn aggregation<'a>(plan: &'a Plan, step: &str) -> Option<&'a Aggregation> {
    let mut aggregations = plan.tasks.iter().filter_map(|task| task.end.aggregation());
    aggregations.find(|aggregation| aggregation.plugin.step == step)
}

/// What an assembly brings together, and how it is assembled.
type Assembly<'a> = (&'a Relation, &'a Assembling);

fn assembly<'a>(plan: &'a Plan, step: &str) -> Option<Assembly<'a>> {
    let mut relations = plan.tasks.iter().filter_map(|task| task.end.relation());
    let relation = relations.find(|relation| relation.step == step)?;
    Some((relation, relation.assembling()?))
}

fn check_transform(live: &Stage, tried: &Stage) -> Result<(), Unfit> {
    if live.plugin.input == tried.plugin.input { Ok(()) } else { Err(Unfit::Input(live.plugin.step.clone())) }
}

fn check_aggregate(live: &Aggregation, tried: &Aggregation) -> Result<(), Unfit> {
    let (versions, merge) = ([live, tried].map(|it| it.plan.state_version), [live, tried].map(|it| it.plan.merges));
    if live.plugin.input != tried.plugin.input || live.by != tried.by {
        return Err(Unfit::Input(live.plugin.step.clone()));
    }
    if versions[0] != versions[1] {
        return Err(Unfit::StateVersion { live: versions[0], candidate: versions[1] });
    }
    if merge[0] != merge[1] {
        return Err(Unfit::Merging);
    }
    let other = other_column(&live.plan.reads, &tried.plan.reads, &live.plugin.input);
    other.map_or(Ok(()), |column| Err(Unfit::Reads(column.to_owned())))
}

fn check_assemble((of, live): Assembly<'_>, (other, tried): Assembly<'_>) -> Result<(), Unfit> {
    if of.keys != other.keys || of.tables != other.tables {
        return Err(Unfit::Input(of.step.clone()));
    }
    for (table, (live, tried)) in of.tables.iter().zip(live.plan.reads.iter().zip(&tried.plan.reads)) {
        if let Some(column) = other_column(live, tried, &table.fields) {
            return Err(Unfit::Reads(format!("{}.{column}", table.name)));
        }
    }
    Ok(())
}

/// A column that a candidate reads and the live plugin does not.
fn other_column<'a>(live: &[usize], tried: &[usize], fields: &'a [Field]) -> Option<&'a str> {
    tried.iter().find(|column| !live.contains(column)).map(|column| fields[*column].name.as_str())
}

/// Asks the candidate what the live plugin was asked.
pub enum Examiner {
    /// A transform.
    Transform(Box<Transforms>),
    /// An aggregate.
    Aggregate(Box<Groups>),
    /// An assemble.
    Assemble(Box<Assemblies>),
}

impl Examiner {
    /// Opens the candidate.
    pub fn open(candidate: Candidate) -> Result<Self, EngineError> {
        let Candidate { step, plugin, code } = candidate;
        let refused = |source: OpenError| EngineError::Open { step: step.clone(), source };
        Ok(match code {
            Code::Transform { live, tried } => {
                let opened = plugin.open_transform(&tried.plugin.config, &tried.plugin.input).map_err(refused)?;
                Self::Transform(Box::new(Transforms::new(opened, *live, *tried)))
            }
            Code::Aggregate { live, tried } => {
                let used = &tried.plugin;
                let opened = plugin.open_aggregate(&used.config, &used.input, &tried.key_fields()).map_err(refused)?;
                Self::Aggregate(Box::new(Groups::new(opened, &live, &tried)?))
            }
            Code::Assemble { of, live, tried } => {
                let opened = plugin.open_assemble(&tried.config, &of.table_fields(), &of.keys).map_err(refused)?;
                Self::Assemble(Box::new(Assemblies::new(opened, of.keys, &live.plan, &tried.plan)))
            }
        })
    }

    /// Bytes of memory that the candidate holds.
    pub fn memory(&self) -> usize {
        match self {
            Self::Transform(rows) => rows.memory(),
            Self::Aggregate(groups) => groups.memory(),
            Self::Assemble(assemblies) => assemblies.memory(),
        }
    }

    /// Asks, and compares the answers. `Ok(Err(…))`: of a call that did for the live plugin, nothing went through.
    pub fn examine(&mut self, call: Call, watch: &mut Stopwatch, tally: &Mutex<Tally>) -> Result<Judged, EngineError> {
        match (self, call) {
            (Self::Transform(rows), Call::Process { input, source, live }) => {
                rows.process(&input, &source, live, watch, tally)
            }
            (Self::Aggregate(groups), Call::Fold { keys, rows, groups: of, before, live }) => {
                groups.fold(&keys, (&rows, &of, &before), live, watch, tally)
            }
            (Self::Aggregate(groups), Call::Merge { keys, left, right, live }) => {
                groups.merge(&keys, (&left, &right), live, watch, tally)
            }
            (Self::Aggregate(groups), Call::Finish { keys, accumulators, live }) => {
                groups.finish(&keys, &accumulators, live, watch, tally)
            }
            (Self::Assemble(assemblies), Call::Assemble { input, live }) => {
                assemblies.assemble(&input, live, watch, tally)
            }
            (Self::Transform(_) | Self::Aggregate(_) | Self::Assemble(_), _) => {
                Err(EngineError::Setup("another kind of plugin runs in the step".to_owned()))
            }
        }
    }
}

/// Processor time of the candidate's calls, and of everything.
pub struct Stopwatch {
    clock: Arc<dyn Clock>,
    begun: Duration,
    in_calls: Duration,
}

impl Stopwatch {
    /// Begins now, on whatever thread it is reset on.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, begun: Duration::ZERO, in_calls: Duration::ZERO }
    }

    /// Times a call of the candidate.
    pub fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let begun = self.clock.busy();
        let answer = call();
        self.in_calls += self.clock.busy().saturating_sub(begun);
        answer
    }

    /// Nanoseconds of the candidate's calls and of everything since this was last asked.
    pub fn reset(&mut self) -> (u64, u64) {
        let now = self.clock.busy();
        let all = now.saturating_sub(std::mem::replace(&mut self.begun, now));
        (nanos(std::mem::take(&mut self.in_calls)), nanos(all))
    }
}

#[cfg(test)]
mod tests {
    use azenha_model::DataType;
    use azenha_model::plugin::AssemblePlan;
    use azenha_model::relation::{Operator, RelatedTable};

    use super::*;

    fn field(name: &str) -> Field {
        Field::new(name, DataType::Int64, false)
    }

    fn table(name: &str, columns: &[&str]) -> RelatedTable {
        RelatedTable {
            name: name.to_owned(),
            origin: format!("shop.{name}"),
            by: vec!["order".to_owned()],
            fields: columns.iter().map(|column| field(column)).collect(),
            versions: 1,
        }
    }

    /// Orders and their lines, of which these columns are read.
    fn relation(orders: &[usize], lines: &[usize]) -> Relation {
        let plan = AssemblePlan { reads: vec![orders.to_vec(), lines.to_vec()], gives: vec![field("sum")] };
        let (plugin, config) = ("order-total".to_owned(), "{}".to_owned());
        let by = Assembling { plugin, config_by_name: config.clone(), config, plan, max_group_rows: 10 };
        Relation {
            step: "total".to_owned(),
            keys: vec![field("order")],
            tables: vec![table("orders", &["order", "customer"]), table("lines", &["order", "units", "price"])],
            operator: Operator::Assemble(by),
        }
    }

    fn check(live: &Relation, tried: &Relation) -> Result<(), Unfit> {
        let [live, tried] = [live, tried].map(|relation| (relation, relation.assembling().unwrap()));
        check_assemble(live, tried)
    }

    #[test]
    fn a_candidate_may_read_less_than_the_live_assembly_in_any_order() {
        let live = relation(&[1], &[1, 2]);
        for (orders, lines) in [(&[1][..], &[1, 2][..]), (&[1], &[2, 1]), (&[], &[2]), (&[], &[])] {
            assert_eq!(check(&live, &relation(orders, lines)), Ok(()), "{orders:?} {lines:?}");
        }
    }

    #[test]
    fn a_candidate_that_reads_another_column_is_told_which_one() {
        let live = relation(&[], &[1]);
        assert_eq!(check(&live, &relation(&[1], &[1])), Err(Unfit::Reads("orders.customer".to_owned())));
        assert_eq!(check(&live, &relation(&[], &[1, 2])), Err(Unfit::Reads("lines.price".to_owned())));
    }

    #[test]
    fn a_candidate_over_other_tables_or_groups_is_none() {
        let live = relation(&[], &[1]);
        let mut of_more = live.clone();
        of_more.tables[0].fields.push(field("shop"));
        let mut of_others = live.clone();
        of_others.tables[1].origin = "shop.returns".to_owned();
        let mut by_others = live.clone();
        by_others.keys = vec![field("customer")];
        for other in [of_more, of_others, by_others] {
            assert_eq!(check(&live, &other), Err(Unfit::Input("total".to_owned())), "{other:?}");
        }
    }
}
