//! Changes of a pipeline file's text that leave everything else as it was written.

use super::PipelineFile;
use crate::diagnostic::Diagnostics;
use crate::yaml::{Place, Report, Spanned};

/// The text of a pipeline file in which a step names another plugin.
///
/// # Errors
/// If the file is not well formed, the step names no plugin, or the name is not written out where it stands.
pub fn with_plugin(text: &str, step: &str, plugin: &str) -> Result<String, Diagnostics> {
    let file = PipelineFile::parse("pipeline", text, &|_| None)?;
    let mut report = Report::new("pipeline");
    let found = file.steps.iter().find(|found| found.name.value == step);
    let Some((named, _)) = found.and_then(|found| found.value.plugin()) else {
        report.error(Place::default(), format!("no step `{step}` names a plugin"));
        return report.into_result(None);
    };
    let rewritten = replaced(text, named, plugin);
    if rewritten.is_none() {
        report
            .error(named.place, "the plugin's name is not written out here, so no other can take its place")
            .suggest("write the other plugin's name into the file");
    }
    report.into_result(rewritten)
}

fn replaced(text: &str, old: &Spanned<String>, new: &str) -> Option<String> {
    let (before, rest) = text.split_at_checked(start(text, old.place)?)?;
    let in_quotes = |quote: &str, name: &str| format!("{quote}{name}{quote}");
    ["", "'", "\""].into_iter().find_map(|quote| {
        let after = rest.strip_prefix(&in_quotes(quote, &old.value))?;
        Some([before, &in_quotes(quote, new), after].concat())
    })
}

/// The byte at which a place begins.
fn start(text: &str, place: Place) -> Option<usize> {
    let mut lines = text.split_inclusive('\n');
    let above: usize = lines.by_ref().take(place.line.checked_sub(1)?).map(str::len).sum();
    let (column, _) = lines.next()?.char_indices().nth(place.column.checked_sub(1)?)?;
    Some(above + column)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
name: shop
sources: { clicks: { topic: clicks, schema: { filter: text } } }
steps:
  clean: { config: { is: café }, transform: filter, from: clicks }  # filter
  counts:
    aggregate: \"count\"
    from: clean
    by: [filter]
  more: { transform: '${PLUGIN:-filter}', from: clean }
  customers: { table: clicks, key: [filter] }
sinks: { out: { from: clean, topic: out } }
";

    #[test]
    fn the_plugin_of_one_step_changes_and_nothing_else() {
        let of = |step: &str, plugin: &str| with_plugin(TEXT, step, plugin).unwrap();
        assert_eq!(of("clean", "filter-next"), TEXT.replace("transform: filter,", "transform: filter-next,"));
        assert_eq!(of("counts", "tagged-count"), TEXT.replace("\"count\"", "\"tagged-count\""));
        assert_eq!(of("clean", "filter"), TEXT);
        let lines = |text: &str| text.replace('\n', "\r\n");
        assert_eq!(with_plugin(&lines(TEXT), "counts", "other").unwrap(), lines(&of("counts", "other")));
    }

    #[test]
    fn a_name_that_is_not_written_out_stays() {
        let problem = |step: &str| with_plugin(TEXT, step, "other").unwrap_err().to_string();
        assert!(
            problem("more").starts_with("pipeline:10:22: the plugin's name is not written out"),
            "{}",
            problem("more")
        );
        assert_eq!(problem("customers"), "pipeline: no step `customers` names a plugin");
        assert_eq!(problem("absent"), "pipeline: no step `absent` names a plugin");
        assert!(with_plugin("steps: [", "clean", "other").is_err());
    }
}
