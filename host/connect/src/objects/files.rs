//! Objects as files of a folder: whole or not there, and durable once they are there.

use std::collections::HashSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use azenha_engine::objects::{Creation, Listed, Object, Replacement, Tag};
use azenha_engine::spool::{Content, Spool};
use bytes::Bytes;

use super::{LARGE, PARTS};

/// The files below a folder.
#[derive(Debug)]
pub struct Files {
    root: PathBuf,
    /// Where large ones stand while they are read.
    spool: PathBuf,
    /// Folders whose own names are durable, for what is written into them later.
    durable: Mutex<HashSet<PathBuf>>,
}

impl Files {
    pub fn new(root: &str, spool: &Path) -> Self {
        Self { root: root.into(), spool: spool.to_owned(), durable: Mutex::default() }
    }

    /// Makes the folder, and clears away what processes that were killed left half written.
    pub fn prepare(&self) -> io::Result<()> {
        let parts = self.root.join(PARTS);
        make_folder(&parts)?;
        for entry in fs::read_dir(&parts)? {
            let path = entry?.path();
            // Whoever still writes a part holds its lock.
            if File::open(&path).is_ok_and(|part| part.try_lock().is_ok()) {
                forgive_missing(fs::remove_file(&path))?;
            }
        }
        Ok(())
    }

    pub fn create(&self, path: &str, content: &Content) -> io::Result<Creation> {
        let part = Part::write(&self.root, content)?;
        let target = self.root.join(path);
        let created = match self.link(&part, &target) {
            Ok(()) => Creation::Made,
            Err(error) if error.kind() == ErrorKind::AlreadyExists && target.is_file() => Creation::Exists,
            Err(error) => return Err(error),
        };
        // Also where it exists: whoever made it may have been killed before its name was durable.
        self.settle(&target)?;
        Ok(created)
    }

    pub fn replace(&self, path: &str, content: &Content, expected: Option<&Tag>) -> io::Result<Replacement> {
        let part = Part::write(&self.root, content)?;
        let target = self.root.join(path);
        let is_replaced = match expected {
            None => match self.link(&part, &target) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
                linked => linked.map(|()| true)?,
            },
            Some(expected) => self.exchange(&part, &target, expected)?,
        };
        if is_replaced {
            self.settle(&target)?;
            return Ok(Replacement::Done(part.tag()?));
        }
        // The same content may be our own, of a try that was cut short.
        match self.get(path)?.filter(|found| found.content == *content) {
            None => Ok(Replacement::Changed),
            Some(found) => {
                self.settle(&target)?;
                Ok(Replacement::Done(found.tag))
            }
        }
    }

    pub fn get(&self, path: &str) -> io::Result<Option<Object>> {
        let opened = match File::open(self.root.join(path)) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            opened => opened,
        };
        let mut file = opened?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Ok(None);
        }
        let tag = tag(&metadata)?;
        if metadata.len() > LARGE {
            // Somebody may write into it meanwhile: what is read is what the digest was made of.
            let mut spool = Spool::new(&self.spool);
            io::copy(&mut file, &mut spool)?;
            return Ok(Some(Object { content: spool.finish()?, tag }));
        }
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        Ok(Some(Object { content: Bytes::from(content).into(), tag }))
    }

    pub fn list(&self, below: &str) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        let mut folders = vec![below.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(self.root.join(&folder)) {
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name().into_string().map_err(|name| {
                    io::Error::new(ErrorKind::InvalidFilename, format!("the name {} is not Unicode", name.display()))
                })?;
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                // One that is gone by now is none; a link counts as what it leads to.
                let Some(metadata) = present(fs::metadata(entry.path()))? else { continue };
                match metadata.is_dir() {
                    true if path != PARTS => folders.push(path),
                    true => {}
                    false => listed.push(Listed { path, bytes: metadata.len(), tag: tag(&metadata)? }),
                }
            }
        }
        listed.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(listed)
    }

    /// Gives a part its name, unless there is something of this name.
    fn link(&self, part: &Part, target: &Path) -> io::Result<()> {
        match fs::hard_link(&part.path, target) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(folder_of(target))?;
                fs::hard_link(&part.path, target)
            }
            linked => linked,
        }
    }

    /// Puts a part where a file with this tag is; false if there is another one, or none.
    fn exchange(&self, part: &Part, target: &Path, expected: &Tag) -> io::Result<bool> {
        // Between comparing and renaming nobody else may do so, in this process or another one.
        let turn = File::open(&self.root)?;
        turn.lock()?;
        let found = present(fs::metadata(target))?.as_ref().map(tag).transpose()?;
        if found.as_ref() != Some(expected) {
            return Ok(false);
        }
        fs::rename(&part.path, target)?;
        Ok(true)
    }

    /// Makes the name of a file durable, and those of the folders that lead to it.
    fn settle(&self, target: &Path) -> io::Result<()> {
        let mut folder = folder_of(target);
        sync_folder(folder)?;
        while folder != self.root && !self.is_durable(folder) {
            sync_folder(folder_of(folder))?;
            self.durable.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
            folder = folder_of(folder);
        }
        Ok(())
    }

    fn is_durable(&self, folder: &Path) -> bool {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner).contains(folder)
    }
}

/// A durable file that has no name of its own yet; what is not given one goes away.
struct Part {
    path: PathBuf,
    /// Locked as long as somebody writes or names it.
    file: File,
}

impl Part {
    fn write(root: &Path, content: &Content) -> io::Result<Self> {
        let mut part = Self::new(&root.join(PARTS))?;
        part.file.lock()?;
        content.copy_to(&mut part.file)?;
        // Filesystems count time in steps, within which a file can be replaced twice.
        part.file.set_modified(SystemTime::now())?;
        part.file.sync_all()?;
        Ok(part)
    }

    fn new(folder: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let path = folder.join(format!("{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { path, file }),
                Err(error) if error.kind() == ErrorKind::NotFound => make_folder(folder)?,
                // Left by a process that had the same number.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn tag(&self) -> io::Result<Tag> {
        tag(&self.file.metadata()?)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It is gone already if it was renamed; what cannot be removed is cleared away by the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// Files are replaced and never changed, so that time and size tell one content from another.
fn tag(metadata: &Metadata) -> io::Result<Tag> {
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Tag(format!("{:x}-{:x}", modified.as_nanos(), metadata.len())))
}

/// Makes a folder and those that lead to it, durably.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder_of(folder);
    make_folder(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_folder(above)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn present<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

fn forgive_missing(done: io::Result<()>) -> io::Result<()> {
    present(done).map(drop)
}
