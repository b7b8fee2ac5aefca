//! A data folder that outlives the servers on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

/// A folder of one test, removed with its last owner.
#[derive(Debug, Clone)]
pub struct Folder(Arc<TempDir>);

impl Folder {
    /// An empty one.
    pub fn new() -> Self {
        Self(Arc::new(TempDir::with_prefix("notice-test-").unwrap()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Where a server keeps its data in it.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }
}
