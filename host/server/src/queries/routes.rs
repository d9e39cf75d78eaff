//! Who answers where: two queries cannot answer one request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

    /// Takes the paths of a pipeline's queries; what it claimed before is replaced.
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
        let paths = Arc::new(queries.iter().map(|query| (query.name.clone(), query.path.clone())).collect());
        self.lock().insert(pipeline.to_owned(), Arc::clone(&paths));
        Ok(Claim { routes: self.clone(), pipeline: pipeline.to_owned(), paths })
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
            routes.remove(&self.pipeline);
        }
    }
}
