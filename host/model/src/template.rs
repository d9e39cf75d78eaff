//! One pipeline file for many tables. A file with `for_each: FOLDER/*.yaml` is a template: it stands for one pipeline
//! for each file of that folder, a *model*. `${each.KEY}` is what the model says under a key (`${each.a.b}` under one in
//! another), `${each.name}` the name of its file. Text is put in as it is, anything else as JSON, which is YAML too.

use crate::names::unknown;
use crate::yaml::{self, Report, Spanned, Value as Node};

/// What a template begins its references with.
const REFERENCE: &str = "${each.";

/// What stands for the name of the model's file.
const NAME: &str = "name";

/// What the models' files end with.
pub const MODEL_EXTENSION: &str = "yaml";

/// A pipeline file that stands for several pipelines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The folder of the models, relative to the file.
    pub folder: String,
    /// The file without its `for_each`.
    text: String,
}

/// Why a template, or a model, makes no pipeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(String);

impl Template {
    /// The template in a file; none if it is an ordinary pipeline.
    ///
    /// # Errors
    /// If `for_each` does not name the files of a folder.
    pub fn of(text: &str) -> Result<Option<Self>, TemplateError> {
        let Some(line) = text.lines().find(|line| line.starts_with("for_each:")) else { return Ok(None) };
        let pattern = line["for_each:".len()..].split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
        let Some(folder) = pattern.strip_suffix("/*.yaml").filter(|folder| !folder.is_empty() && !folder.contains('*'))
        else {
            let message = format!("`for_each: {pattern}` names no models: write `for_each: FOLDER/*.yaml`");
            return Err(TemplateError(message));
        };
        // The line stays, so that errors name the lines of the file.
        let text = text.replacen(line, "", 1);
        Ok(Some(Self { folder: folder.to_owned(), text }))
    }

    /// The pipeline file for a model: the name of its file and what is in it.
    ///
    /// # Errors
    /// If the model is no mapping, or does not say what the template asks for.
    pub fn filled(&self, name: &str, model: &str) -> Result<String, TemplateError> {
        let mut report = Report::new(name);
        let parsed = yaml::parse(model, &|_| None, &mut report);
        let values = report.into_result(parsed).map_err(|errors| TemplateError(format!("model {errors}")))?;
        if !matches!(values.value, Node::Mapping(_)) {
            return Err(TemplateError(format!("model `{name}` is no mapping, but {}", values.found())));
        }
        let mut filled = String::with_capacity(self.text.len());
        let mut rest = self.text.as_str();
        while let Some((before, after)) = rest.split_once(REFERENCE) {
            filled.push_str(before);
            let line = filled.lines().count().max(1);
            let unclosed = || TemplateError(format!("line {line}: `{REFERENCE}` is not closed by `}}`"));
            let (path, behind) = after.split_once('}').ok_or_else(unclosed)?;
            let value = if path == NAME { Ok(name.to_owned()) } else { found(&values, path).map(flow) };
            filled.push_str(&value.map_err(|reason| TemplateError(format!("line {line}: model `{name}` {reason}")))?);
            rest = behind;
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

/// What a model says at a path.
fn found<'a>(values: &'a yaml::Node, path: &str) -> Result<&'a yaml::Node, String> {
    let mut value = values;
    for part in path.split('.') {
        let Node::Mapping(entries) = &value.value else {
            return Err(format!("has nothing at `{path}`: `{part}` would be in no mapping"));
        };
        let known: Vec<&str> = entries.iter().map(|(key, _)| key.value.as_str()).collect();
        value = value.get(part).ok_or_else(|| format!("has no `{part}`: {}", unknown(part, "it has", &known)))?;
    }
    Ok(value)
}

/// Text as it is, anything else as JSON, whose members keep their order.
fn flow(node: &yaml::Node) -> String {
    match &node.value {
        Node::Text(text) | Node::Expanded(text) => text.clone(),
        _ => json(node),
    }
}

fn json(node: &yaml::Node) -> String {
    match &node.value {
        Node::Mapping(entries) => {
            let member = |(key, value): &(Spanned<String>, yaml::Node)| {
                format!("{}: {}", serde_json::Value::from(key.value.as_str()), json(value))
            };
            format!("{{ {} }}", entries.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        Node::Sequence(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", ")),
        _ => node.json().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name: lake-${each.name}\nfor_each: models/*.yaml  # tables\nschema: ${each.bronze.columns}\nkey: [${each.key}]\n";

    fn template() -> Template {
        Template::of(TEXT).unwrap().unwrap()
    }

    #[test]
    fn a_model_fills_a_template_and_lines_keep_their_numbers() {
        let filled =
            template().filled("shop", "key: id\nbronze: { columns: { id: int64, at: 'timestamp(ms)' } }").unwrap();
        let expected = "name: lake-shop\n\nschema: { \"id\": \"int64\", \"at\": \"timestamp(ms)\" }\nkey: [id]\n";
        assert_eq!((template().folder.as_str(), filled.as_str()), ("models", expected));
    }

    #[test]
    fn an_ordinary_pipeline_is_no_template() {
        assert_eq!(Template::of("name: shop\n"), Ok(None));
    }

    #[test]
    fn what_a_model_does_not_say_is_named_with_its_line() {
        for (model, wanted) in [
            ("key: id", "line 3: model `shop` has no `bronze`"),
            ("key: id\nbronze: { colums: {} }", "did you mean `colums`?"),
            ("key: id\nbronze: 7", "nothing at `bronze.columns`"),
            ("[key]", "model `shop` is no mapping"),
        ] {
            let error = template().filled("shop", model).unwrap_err().to_string();
            assert!(error.contains(wanted), "{model}: {error}");
        }
        assert!(Template::of("for_each: models\n").unwrap_err().to_string().contains("FOLDER/*.yaml"));
        let unclosed = Template::of("for_each: m/*.yaml\nname: ${each.name\n").unwrap().unwrap();
        assert!(unclosed.filled("shop", "{}").unwrap_err().to_string().contains("is not closed"));
    }
}
