//! Begins a plugin: a crate that builds and passes its cases at once.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use azenha_model::plugin::World;

use crate::usage::Usage;

/// The files of a new crate and what stands in them; `NAME` is the plugin's.
struct Template {
    source: &'static str,
    case: &'static str,
    readme: &'static str,
}

const TRANSFORM: Template = Template {
    source: include_str!("template/transform.rs.txt"),
    case: include_str!("template/transform.json"),
    readme: include_str!("template/transform.md"),
};

const AGGREGATE: Template = Template {
    source: include_str!("template/aggregate.rs.txt"),
    case: include_str!("template/aggregate.json"),
    readme: include_str!("template/aggregate.md"),
};

const ASSEMBLE: Template = Template {
    source: include_str!("template/assemble.rs.txt"),
    case: include_str!("template/assemble.json"),
    readme: include_str!("template/assemble.md"),
};

const MEMBER_MANIFEST: &str = include_str!("template/member.toml");
const STANDALONE_MANIFEST: &str = include_str!("template/standalone.toml");

/// Makes the crate in a folder of its name in `parent`; by default in the `plugins` of the workspace around the
/// current folder, or else in the current folder. Gives the crate's folder.
pub fn scaffold(name: &str, world: World, parent: Option<&Path>) -> Result<PathBuf> {
    check_name(name)?;
    let here = env::current_dir()?;
    let workspace = here.ancestors().find(|folder| has_sdk(folder));
    let parent = match (parent, workspace) {
        (Some(parent), _) => here.join(parent),
        (None, Some(workspace)) => workspace.join("plugins"),
        (None, None) => here.clone(),
    };
    let folder = parent.join(name);
    if folder.exists() {
        return Err(Usage(format!("{} is there already", folder.display())).into());
    }
    fs::create_dir_all(folder.join("src"))?;
    fs::create_dir_all(folder.join("cases"))?;
    let member = workspace.is_some_and(|workspace| is_same(&parent, &workspace.join("plugins")));
    let manifest =
        if member { MEMBER_MANIFEST.to_owned() } else { STANDALONE_MANIFEST.replace("SDK", &sdk(workspace)) };
    let template = match world {
        World::Transform => TRANSFORM,
        World::Aggregate => AGGREGATE,
        World::Assemble => ASSEMBLE,
    };
    for (file, content) in [
        ("Cargo.toml", manifest.as_str()),
        ("README.md", template.readme),
        ("src/lib.rs", template.source),
        ("cases/first.json", template.case),
    ] {
        let path = folder.join(file);
        fs::write(&path, content.replace("NAME", name)).with_context(|| path.display().to_string())?;
    }
    Ok(folder)
}

fn check_name(name: &str) -> Result<(), Usage> {
    let letters = name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-');
    if letters && name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Ok(());
    }
    Err(Usage(format!("a plugin cannot be called `{name}`: use small letters, digits and `-`, a letter first")))
}

/// Whether `folder` is a workspace with the SDK in it.
fn has_sdk(folder: &Path) -> bool {
    folder.join("plugins/sdk/Cargo.toml").is_file()
}

fn is_same(left: &Path, right: &Path) -> bool {
    left.canonicalize().is_ok_and(|left| right.canonicalize().is_ok_and(|right| left == right))
}

/// What a crate outside of a workspace writes to depend on the SDK: the path of the one around the current folder,
/// or of the one that this program was built beside, or else a version.
fn sdk(workspace: Option<&Path>) -> String {
    let built_beside = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).filter(|folder| has_sdk(folder));
    match workspace.or(built_beside) {
        Some(workspace) => format!("path = {:?}", workspace.join("plugins/sdk").display().to_string()),
        None => format!("version = {:?}", env!("CARGO_PKG_VERSION")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_crate_has_everything_that_a_plugin_needs() {
        let parent = tempfile::tempdir().unwrap();
        for world in [World::Transform, World::Aggregate, World::Assemble] {
            let folder = scaffold(&world.to_string(), world, Some(parent.path())).unwrap();
            let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
            assert!(manifest.contains("plugins/sdk") && !manifest.contains("NAME"), "{manifest}");
            assert!(folder.join("src/lib.rs").is_file() && folder.join("cases/first.json").is_file());
        }
    }

    #[test]
    fn nothing_is_written_over() {
        let parent = tempfile::tempdir().unwrap();
        scaffold("mine", World::Transform, Some(parent.path())).unwrap();
        let again = scaffold("mine", World::Transform, Some(parent.path()));
        assert!(again.unwrap_err().to_string().contains("is there already"));
    }

    #[test]
    fn a_name_that_cargo_or_a_path_would_trip_over_is_refused() {
        for name in ["", "Mine", "my plugin", "../mine", "1st", "-x"] {
            assert!(scaffold(name, World::Transform, None).is_err(), "{name}");
        }
    }
}
