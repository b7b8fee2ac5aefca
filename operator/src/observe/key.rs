//! Names of objects, cheap to copy: one text shared by all who hold it.

use std::fmt;
use std::sync::Arc;

/// A `NoticeCluster`'s name in its namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterKey {
    /// The namespace of the object and of all its children.
    pub namespace: Arc<str>,
    /// The object's name, and most children's.
    pub name: Arc<str>,
}

impl ClusterKey {
    /// The key of `namespace/name`.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
