//! Who answers where: two queries cannot answer one request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use anyhow::{Result, bail};
use azenha_model::query::{Path, Query};

/// The paths at which the pipelines of a host answer.
#[derive(Debug, Clone, Default)]
pub struct Routes(Arc<Mutex<BTreeMap<String, Paths>>>);

/// Names of queries and their paths.
type Paths = Arc<Vec<(String, Path)>>;

/// The right of a pipeline to answer at its paths, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    routes: Routes,
    pipeline: String,
    paths: Paths,
    /// What the pipeline claimed before, as long as that is held: it counts again if this is dropped first, because the
    /// version did not start that it is of.
    before: Weak<Vec<(String, Path)>>,
}

impl Routes {
    /// Who answers requests that a path would take, if it is another pipeline than this.
    pub fn taken(&self, path: &Path, pipeline: &str) -> Option<String> {
        let routes = self.lock();
        let others = routes.iter().filter(|(other, _)| *other != pipeline);
        let mut queries = others.flat_map(|(other, paths)| paths.iter().map(move |(query, path)| (other, query, path)));
        let (other, query, _) = queries.find(|(_, _, taken)| taken.overlaps(path))?;
        Some(format!("query `{query}` of pipeline `{other}`"))
    }

    /// Takes the paths of a pipeline's queries; what it claimed before counts no more while this is held.
    ///
    /// # Errors
    /// If another pipeline answers at one of them.
    pub fn claim(&self, pipeline: &str, queries: &[Query]) -> Result<Claim> {
        for query in queries {
            if let Some(other) = self.taken(&query.path, pipeline) {
                let (name, path) = (&query.name, &query.path);
                bail!(
                    "query `{name}` of pipeline `{pipeline}` and {other} both answer at {path}: give one another path"
                );
            }
        }
        let paths: Paths = Arc::new(queries.iter().map(|query| (query.name.clone(), query.path.clone())).collect());
        let before = self.lock().insert(pipeline.to_owned(), Arc::clone(&paths));
        let before = before.as_ref().map(Arc::downgrade).unwrap_or_default();
        Ok(Claim { routes: self.clone(), pipeline: pipeline.to_owned(), paths, before })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Paths>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut routes = self.routes.lock();
        // The pipeline may have been started again, with a claim of its own.
        if routes.get(&self.pipeline).is_some_and(|paths| Arc::ptr_eq(paths, &self.paths)) {
            match self.before.upgrade() {
                Some(before) => routes.insert(self.pipeline.clone(), before),
                None => routes.remove(&self.pipeline),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_keeps_its_paths_if_the_next_version_does_not_start() {
        let routes = Routes::default();
        let runs = routes.claim("shop", &[]).unwrap();
        drop(routes.claim("shop", &[]).unwrap());
        assert!(Arc::ptr_eq(&routes.lock()["shop"], &runs.paths));
        let next = routes.claim("shop", &[]).unwrap();
        drop(runs);
        assert!(Arc::ptr_eq(&routes.lock()["shop"], &next.paths));
        drop(next);
        assert!(routes.lock().is_empty());
    }
}
