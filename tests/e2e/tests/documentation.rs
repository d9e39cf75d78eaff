//! The documentation leads where it says.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use azenha_e2e::repository;

/// The pages whose links are followed: the first one, those of `docs`, and what stands beside the pipelines.
fn pages() -> Result<Vec<PathBuf>> {
    let root = repository();
    let entries = |folder: &str| -> Result<Vec<PathBuf>> {
        fs::read_dir(root.join(folder))?.map(|entry| Ok(entry?.path())).collect()
    };
    let docs = entries("docs")?.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let of_pipelines = entries("pipelines")?.into_iter().map(|folder| folder.join("README.md"));
    Ok([root.join("README.md")].into_iter().chain(docs).chain(of_pipelines).collect())
}

/// A page without its blocks of code, in which nothing is a link or a heading.
fn prose(page: &Path) -> Result<String> {
    let text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    Ok(text.split("```").step_by(2).collect())
}

/// Where the links of a page lead, those to other sites aside.
fn links(prose: &str) -> impl Iterator<Item = &str> {
    let targets = prose.split("](").skip(1).filter_map(|behind| behind.split_once(')'));
    targets.map(|(target, _)| target).filter(|target| !target.contains("://"))
}

/// What a link calls a heading: its letters and digits, small, with hyphens for spaces.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    heading.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect()
}

/// Follows a link of a page.
fn follow(page: &Path, link: &str) -> Result<()> {
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = match file {
        "" => page.to_owned(),
        file => page.with_file_name(file),
    };
    ensure!(target.exists(), "there is no such file");
    if !heading.is_empty() {
        let text = prose(&target)?;
        let mut headings = text.lines().filter(|line| line.starts_with('#')).map(anchor);
        ensure!(headings.any(|found| found == heading), "there is no such heading");
    }
    Ok(())
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_there_are() -> Result<()> {
    let mut followed = 0;
    for page in pages()? {
        for link in links(&prose(&page)?) {
            follow(&page, link).with_context(|| format!("{} links to {link}", page.display()))?;
            followed += 1;
        }
    }
    ensure!(followed > 50, "{followed} links were found");
    Ok(())
}

#[test]
fn what_leads_nowhere_is_told() -> Result<()> {
    let page = repository().join("docs/swaps.md");
    follow(&page, "#going-back")?;
    for nowhere in ["nowhere.md", "#nowhere", "operations.md#nowhere"] {
        ensure!(follow(&page, nowhere).is_err(), "{nowhere}");
    }
    Ok(())
}
