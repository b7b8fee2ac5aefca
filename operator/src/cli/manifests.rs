//! The NoticeClusters of a file.

use std::fmt;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// A NoticeCluster as it stands in a file.
pub(super) struct Manifest {
    /// What a person calls it: `rides`, or its number in the file.
    pub(super) name: String,
    pub(super) value: Value,
}

/// Why a file gives no manifests.
#[derive(Debug, thiserror::Error)]
pub(super) enum ManifestError {
    #[error("it can't be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("it is no YAML: {0}")]
    Yaml(#[from] serde_yaml_ng::Error),
    #[error("there is no NoticeCluster (apiVersion noticecluster.dev/v1alpha1) in it")]
    Nothing,
}

/// Reads a file of one or more YAML documents; `-` is the standard input. Objects of other kinds are passed over.
pub(super) fn read(path: &Path) -> Result<Vec<Manifest>, ManifestError> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(path)?;
    }
    let found = parse(&text)?;
    if found.is_empty() {
        return Err(ManifestError::Nothing);
    }
    Ok(found)
}

fn parse(text: &str) -> Result<Vec<Manifest>, ManifestError> {
    let mut found = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let value = Value::deserialize(document)?;
        if is_ours(&value) {
            let number = found.len() + 1;
            let name = value.pointer("/metadata/name").and_then(Value::as_str);
            let name = name.map_or_else(|| format!("NoticeCluster {number}"), str::to_owned);
            found.push(Manifest { name, value });
        }
    }
    Ok(found)
}

fn is_ours(value: &Value) -> bool {
    let field = |key: &str| value.get(key).and_then(Value::as_str);
    field("kind") == Some("NoticeCluster")
        && field("apiVersion") == Some("noticecluster.dev/v1alpha1")
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
