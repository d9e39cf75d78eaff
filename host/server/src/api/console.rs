//! The console: pages for people, whose files are part of the program.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse};

use super::error::ApiError;

/// A file of the console: its name, its kind, and what it holds.
macro_rules! files {
    ($($kind:literal: [$($name:literal),*]),* $(,)?) => {
        [$($(($name, $kind, include_str!(concat!("../console/", $name)))),*),*]
    };
}

/// What pages ask for by name.
static FILES: &[(&str, &str, &str)] = &files! {
    "text/css": ["style.css"],
    "image/svg+xml": ["wheel.svg"],
    "text/javascript": [
        "api.js", "changes.js", "comparison.js", "docs.js", "dom.js", "flow.js", "format.js", "graph.js", "letters.js",
        "login.js", "main.js", "pipeline.js", "pipelines.js", "plugins.js", "rates.js", "replay.js", "rows.js",
        "shadow.js", "step.js", "swap.js", "trends.js", "versions.js"
    ],
};

/// The page that shows all others.
pub async fn page() -> Html<&'static str> {
    Html(include_str!("../console/index.html"))
}

/// The page that describes the API.
pub async fn docs() -> Html<&'static str> {
    Html(include_str!("../console/docs.html"))
}

/// A file of the console.
pub async fn file(name: Result<Path<String>, PathRejection>) -> Result<impl IntoResponse, ApiError> {
    let Path(name) = name?;
    let found = FILES.iter().find(|(known, ..)| *known == name);
    let (_, kind, text) = found.ok_or_else(|| ApiError::not_found(format!("the console has no file `{name}`")))?;
    Ok(([(CONTENT_TYPE, *kind)], *text))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_that_a_page_names_is_there_and_nothing_is_asked_of_elsewhere() {
        let pages = [include_str!("../console/index.html"), include_str!("../console/docs.html")];
        let texts = FILES.iter().map(|(_, _, text)| *text).chain(pages);
        let mut named = BTreeSet::new();
        for text in texts {
            assert!(!text.replace("http://www.w3.org/", "").contains("://"), "an address elsewhere: {text:.200}");
            named.extend(text.split("/console/").skip(1).filter_map(|rest| rest.split(['"', ')']).next()));
        }
        let known: BTreeSet<&str> = FILES.iter().map(|(name, ..)| *name).collect();
        assert_eq!(named, known);
    }
}
