//! What an API server would say to a manifest, without one: fields it does not know, the schema, the CEL rules.
//!
//! The schema is the CRD's own. Only what a structural schema may hold is looked at.

mod rules;
mod shape;

use serde_json::Value;

use super::finding::Finding;
use crate::api::crd;

/// Everything that admission would refuse about `manifest`, and fields that it would drop.
///
/// # Errors
/// When the CRD itself can't be made, which would be a mistake in this program.
pub fn admit(manifest: &Value) -> Result<Vec<Finding>, serde_json::Error> {
    let schema = crd::schema()?;
    let mut findings = shape::check(&schema, manifest);
    // Rules over fields of the wrong type say nothing that helps.
    if findings.is_empty() {
        findings.extend(rules::check(&schema, manifest, None));
    }
    Ok(findings)
}

/// What the CEL rules say to a change from `old` to `new`.
///
/// # Errors
/// As [`admit`].
pub fn admit_change(old: &Value, new: &Value) -> Result<Vec<Finding>, serde_json::Error> {
    let schema = crd::schema()?;
    Ok(rules::check(&schema, new, Some(old)))
}
