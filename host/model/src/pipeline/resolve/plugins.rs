//! Plugins that refuse, and what they may read.

use super::super::file::{AggregateDef, AssembleDef, IdentifyDef, TransformDef};
use super::{Outcome, PluginError, Reported, Resolver};
use crate::names::unknown;
use crate::plan::PluginUse;
use crate::plugin::{Problem, World};
use crate::types::Field;
use crate::yaml::{Node, Spanned, Value};

/// The parts of a step that concern its plugin.
#[derive(Clone, Copy)]
pub(super) struct PluginStep<'a> {
    pub step: &'a Spanned<String>,
    pub plugin: &'a Spanned<String>,
    pub from: &'a Spanned<String>,
    pub grant: Option<&'a Spanned<Vec<Spanned<String>>>>,
    pub config: Option<&'a Node>,
    pub world: World,
}

impl PluginStep<'_> {
    pub fn plugin_use(&self, input: &[Field]) -> PluginUse {
        let config = self.config.filter(|node| node.value != Value::Null);
        PluginUse {
            step: self.step.value.clone(),
            plugin: self.plugin.value.clone(),
            config: config.map_or_else(|| "{}".to_owned(), |node| node.json().to_string()),
            config_by_name: config.map_or_else(|| "{}".to_owned(), |node| node.json_by_name().to_string()),
            input: input.to_vec(),
        }
    }
}

impl Resolver<'_> {
    pub(super) fn report_plugin_error(
        &mut self,
        step: PluginStep<'_>,
        input: &[Field],
        error: PluginError,
    ) -> Reported {
        let PluginStep { plugin, world, .. } = step;
        match error {
            PluginError::Unknown { known } => {
                let help = unknown(&plugin.value, "plugins are", &known);
                self.report
                    .error(plugin.place, format!("there is no plugin `{}`", plugin.value))
                    .suggest(format!("{help}; a plugin can also be the path of a `.wasm` file"));
            }
            PluginError::WrongWorld { found } => {
                let (found_as, wanted) = (found.with_article(), world.with_article());
                self.report
                    .error(plugin.place, format!("plugin `{}` is {found_as}, not {wanted}", plugin.value))
                    .suggest(format!("write `{found}: {}`, or name another plugin", plugin.value));
            }
            PluginError::Problems(problems) => {
                problems.iter().for_each(|problem| self.report_problem(step, input, problem));
            }
            PluginError::Broken(reason) => {
                self.report.error(plugin.place, format!("plugin `{}` cannot be used: {reason}", plugin.value));
            }
        }
        Reported
    }

    /// A problem stands where the configuration is wrong, else where the input comes from.
    fn report_problem(&mut self, step: PluginStep<'_>, input: &[Field], problem: &Problem) {
        let plugin = &step.plugin.value;
        let in_config = problem.config_path.as_ref().zip(step.config);
        let field = problem.input.and_then(|index| input.get(index));
        let (place, message) = match (in_config, field) {
            (Some((path, config)), _) => (config.at_pointer(path).place, format!("{plugin}: {}", problem.message)),
            (None, Some(field)) => (step.from.place, format!("{plugin}: column `{}`: {}", field.name, problem.message)),
            (None, None) => (step.plugin.place, format!("{plugin}: {}", problem.message)),
        };
        self.report.error(place, message);
    }

    /// Checks that a plugin reads only columns that it is granted: those that the step names, else all but
    /// personal data. `keys` are columns that it is handed because rows are grouped by them.
    pub(super) fn check_grant(
        &mut self,
        step: PluginStep<'_>,
        input: &[Field],
        reads: &[usize],
        keys: &[usize],
    ) -> Outcome<()> {
        let names = step.grant.map(|grant| grant.value.as_slice());
        let named = names.map(|names| self.columns(names, input)).transpose()?;
        let is_named = |column: &usize| named.as_ref().map(|named| named.contains(column));
        let is_granted = |column: &usize| is_named(column).unwrap_or(!input[*column].pii);
        let refused = reads.iter().filter(|column| !is_granted(column));
        // Grouping by a column is a grant in itself, unless it is personal data.
        let refused = refused.chain(keys.iter().filter(|column| input[**column].pii && is_named(column) != Some(true)));
        let mut outcome = Ok(());
        for column in refused {
            self.report_refused(step, &input[*column]);
            outcome = Err(Reported);
        }
        outcome
    }

    fn report_refused(&mut self, step: PluginStep<'_>, field: &Field) {
        let place = step.grant.map_or(step.plugin.place, |grant| grant.place);
        let why = if field.pii { " (it is personal data)" } else { "" };
        let message =
            format!("plugin `{}` reads column `{}`, which is not granted{why}", step.plugin.value, field.name);
        let help = match step.grant {
            Some(_) => format!("add `{}` to `columns`", field.name),
            None => format!("name it, and every other column that the plugin reads: `columns: [{}, …]`", field.name),
        };
        self.report.error(place, message).suggest(help);
    }
}

impl TransformDef {
    /// The parts that concern the plugin.
    pub(super) fn plugin_step<'a>(&'a self, step: &'a Spanned<String>) -> PluginStep<'a> {
        let (grant, config) = (self.columns.as_ref(), self.config.as_ref());
        PluginStep { step, plugin: &self.transform, from: &self.from, grant, config, world: World::Transform }
    }
}

impl AggregateDef {
    /// The parts that concern the plugin.
    pub(super) fn plugin_step<'a>(&'a self, step: &'a Spanned<String>) -> PluginStep<'a> {
        let (grant, config) = (self.columns.as_ref(), self.config.as_ref());
        PluginStep { step, plugin: &self.aggregate, from: &self.from, grant, config, world: World::Aggregate }
    }
}

impl IdentifyDef {
    /// The parts that concern the plugin.
    pub(super) fn plugin_step<'a>(&'a self, step: &'a Spanned<String>) -> PluginStep<'a> {
        let (grant, config) = (self.columns.as_ref(), self.config.as_ref());
        PluginStep { step, plugin: &self.profile, from: &self.from, grant, config, world: World::Aggregate }
    }
}

impl AssembleDef {
    /// The parts that concern the plugin; what it may read is said table by table.
    pub(super) fn plugin_step<'a>(&'a self, step: &'a Spanned<String>) -> PluginStep<'a> {
        let plugin = &self.assemble;
        PluginStep { step, plugin, from: plugin, grant: None, config: self.config.as_ref(), world: World::Assemble }
    }
}
