//! Transforms: stages that are fused over a stream.

use super::plugins::PluginStep;
use super::{Outcome, Resolver};

impl Resolver<'_> {
    /// Leaves a stream behind for the step, and one for each outlet.
    pub(super) fn transform(&mut self, step: PluginStep<'_>) -> Outcome<()> {
        let stream = self.stream_of_additions(step.from, "a transform")?;
        let plugin = step.plugin_use(&stream.rows.fields);
        let opened = self.surroundings.open_transform(&plugin.plugin, &plugin.config, &plugin.input);
        let plan = opened.map_err(|error| self.report_plugin_error(step, &plugin.input, error))?;
        self.check_grant(step, &plugin.input, &plan.reads, &[])?;
        for (index, outlet) in plan.outlets.iter().enumerate() {
            let behind = stream.through(&plugin, &plan, index);
            if index == 0 {
                self.streams.insert(step.step.value.clone(), behind.clone());
            }
            self.streams.insert(format!("{}.{}", step.step.value, outlet.name), behind);
        }
        Ok(())
    }
}
