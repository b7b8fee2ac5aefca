//! `lint`: what an API server and the operator would say to a file.

use super::manifests::Manifest;
use crate::api::NoticeCluster;
use crate::validate::{Facts, Finding, admission, validate};

/// What was found in one manifest.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Would be refused, or dropped.
    pub(super) wrong: Vec<Finding>,
    /// Allowed, but should be known.
    pub(super) told: Vec<Finding>,
}

pub(super) fn check(manifest: &Manifest) -> Result<Report, serde_json::Error> {
    let wrong = admission::admit(&manifest.value)?;
    if !wrong.is_empty() {
        return Ok(Report {
            wrong,
            ..Report::default()
        });
    }
    let cluster: NoticeCluster = serde_json::from_value(manifest.value.clone())?;
    Ok(match validate(&cluster, &Facts::offline()) {
        Ok(validated) => Report {
            told: validated.told,
            ..Report::default()
        },
        Err(wrong) => Report {
            wrong,
            ..Report::default()
        },
    })
}
