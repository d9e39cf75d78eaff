//! Where a plugin that a pipeline names is found: as a `.wasm` file, or as a crate that is built first.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A plugin's place on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A file that is taken as it is.
    File(PathBuf),
    /// A crate, whose component is built when it is missing or older than what it is made from.
    Crate(PluginCrate),
}

/// A Rust crate that makes a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginCrate {
    /// The folder's name, by which pipelines call the plugin.
    pub name: String,
    /// The folder with its `Cargo.toml`.
    pub folder: PathBuf,
    /// The folder that holds `plugins/`, or the crate's own if it stands alone.
    pub workspace: PathBuf,
}

/// Looks for the plugin `name` of a pipeline whose file is in `pipeline_folder`.
pub fn find(name: &str, pipeline_folder: &Path) -> Option<Found> {
    if name.ends_with(".wasm") {
        return existing_file(pipeline_folder.join(name));
    }
    let file_name = format!("{name}.wasm");
    existing_file(pipeline_folder.join("plugins").join(&file_name))
        .or_else(|| {
            let crates = |folder: &Path| PluginCrate::at(&folder.join("plugins").join(name)).map(Found::Crate);
            pipeline_folder.ancestors().find_map(crates)
        })
        .or_else(|| {
            let built = |folder: &Path| existing_file(target_folder(folder).join("plugins").join(&file_name));
            pipeline_folder.ancestors().find_map(built)
        })
}

/// The names of the plugins that [`find`] would find.
pub fn names_near(pipeline_folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = crates_of_workspace(pipeline_folder)
        .unwrap_or_default()
        .into_iter()
        .map(|plugin| plugin.name)
        .chain(files_in(&pipeline_folder.join("plugins")))
        .chain(pipeline_folder.ancestors().flat_map(|folder| files_in(&target_folder(folder).join("plugins"))))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The names of the plugins that lie in `folder` as files.
fn files_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let plugins = paths.filter(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    plugins.filter_map(|path| path.file_stem()?.to_str().map(str::to_owned)).collect()
}

/// Every crate in the `plugins/` of `folder` or of the nearest folder above it that has one.
/// The SDK's own crates make no plugin.
pub fn crates_of_workspace(folder: &Path) -> io::Result<Vec<PluginCrate>> {
    let Some(plugins) = folder.ancestors().map(|folder| folder.join("plugins")).find(|folder| folder.is_dir()) else {
        return Ok(Vec::new());
    };
    let mut crates = Vec::new();
    for entry in fs::read_dir(plugins)? {
        crates.extend(PluginCrate::at(&entry?.path()).filter(PluginCrate::makes_a_module));
    }
    crates.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(crates)
}

impl PluginCrate {
    /// The crate in `folder`, if there is one.
    pub fn at(folder: &Path) -> Option<Self> {
        if !folder.join("Cargo.toml").is_file() {
            return None;
        }
        let folder = folder.canonicalize().ok()?;
        let name = folder.file_name()?.to_str()?.to_owned();
        let workspace = match folder.parent() {
            Some(parent) if parent.ends_with("plugins") => parent.parent().unwrap_or(parent).to_owned(),
            _ => folder.clone(),
        };
        Some(Self { name, folder, workspace })
    }

    /// Where its component is left.
    pub fn artifact(&self) -> PathBuf {
        target_folder(&self.workspace).join("plugins").join(format!("{}.wasm", self.name))
    }

    /// Whether the component is missing, or older than the crate, the SDK or the contract.
    pub fn is_stale(&self) -> bool {
        let built = fs::metadata(self.artifact()).and_then(|artifact| artifact.modified());
        built.map_or(true, |built| self.has_changed_since(built))
    }

    fn has_changed_since(&self, built: SystemTime) -> bool {
        self.sources().iter().flat_map(|source| changes(source)).any(|(_, changed)| changed > built)
    }

    /// What its component is made from.
    pub fn sources(&self) -> Vec<PathBuf> {
        let shared = ["plugins/sdk", "plugins/sdk-derive", "wit", "Cargo.toml"].map(|path| self.workspace.join(path));
        std::iter::once(self.folder.clone()).chain(shared).collect()
    }

    fn makes_a_module(&self) -> bool {
        fs::read_to_string(self.folder.join("Cargo.toml")).is_ok_and(|manifest| manifest.contains("\"cdylib\""))
    }
}

/// Where cargo leaves what it makes.
pub fn target_folder(workspace: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from)
}

fn existing_file(path: PathBuf) -> Option<Found> {
    path.is_file().then_some(Found::File(path))
}

/// When a file, or each file below a folder but build output and test cases, was changed last.
pub fn changes(path: &Path) -> Vec<(PathBuf, SystemTime)> {
    let Ok(metadata) = fs::metadata(path) else { return Vec::new() };
    if metadata.is_file() {
        return metadata.modified().map(|changed| (path.to_owned(), changed)).into_iter().collect();
    }
    let counts = |path: &PathBuf| !path.ends_with("target") && !path.ends_with("cases");
    let entries = fs::read_dir(path).into_iter().flatten().filter_map(|entry| entry.ok().map(|entry| entry.path()));
    entries.filter(counts).flat_map(|entry| changes(&entry)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn write(path: PathBuf) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn a_file_beside_the_pipeline_goes_before_a_crate_of_the_workspace() {
        let workspace = tempfile::tempdir().unwrap();
        let root = workspace.path().canonicalize().unwrap();
        let pipeline = root.join("pipelines/shop");
        write(root.join("plugins/count/Cargo.toml"));
        fs::create_dir_all(&pipeline).unwrap();

        let Some(Found::Crate(found)) = find("count", &pipeline) else { panic!("no crate found") };
        assert_eq!((found.name.as_str(), &found.workspace), ("count", &root));

        write(pipeline.join("plugins/count.wasm"));
        assert_eq!(find("count", &pipeline), Some(Found::File(pipeline.join("plugins/count.wasm"))));
    }

    #[test]
    fn a_name_that_ends_in_wasm_is_a_path_from_the_pipeline_file() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path().join("mine/x.wasm"));
        assert_eq!(find("mine/x.wasm", folder.path()), Some(Found::File(folder.path().join("mine/x.wasm"))));
        assert_eq!(find("x.wasm", folder.path()), None);
    }

    #[test]
    fn a_plugin_that_is_nowhere_is_not_found() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(find("absent", folder.path()), None);
    }

    #[test]
    fn a_crate_that_was_never_built_is_stale() {
        let workspace = tempfile::tempdir().unwrap();
        write(workspace.path().join("plugins/count/Cargo.toml"));
        assert!(PluginCrate::at(&workspace.path().join("plugins/count")).unwrap().is_stale());
    }

    #[test]
    fn a_crate_has_changed_if_a_source_was_saved_later_whatever_became_of_its_cases_and_output() {
        let workspace = tempfile::tempdir().unwrap();
        let folder = workspace.path().join("plugins/count");
        let saved = |file: &str, at: u64| {
            write(folder.join(file));
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
            fs::File::open(folder.join(file)).unwrap().set_modified(time).unwrap();
            time
        };
        let built = saved("target/made", 20);
        saved("cases/first.json", 30);
        saved("Cargo.toml", 10);
        let plugin = PluginCrate::at(&folder).unwrap();
        saved("src/lib.rs", 20);
        assert!(!plugin.has_changed_since(built));
        saved("src/lib.rs", 21);
        assert!(plugin.has_changed_since(built));
    }
}
