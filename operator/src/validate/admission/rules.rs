//! CEL rules, evaluated as an API server does.

use kube::core::cel::Validator;
use serde_json::Value;

use crate::validate::Finding;

pub(super) fn check(schema: &Value, object: &Value, old: Option<&Value>) -> Vec<Finding> {
    match Validator::new().validate(schema, object, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors
            .into_iter()
            .map(|error| finding(&error.field_path, &error.message))
            .collect(),
    }
}

/// Our messages are "what is the matter: what to do".
fn finding(path: &str, message: &str) -> Finding {
    let path = if path.is_empty() {
        "metadata.name"
    } else {
        path
    };
    let (what, fix) = message.split_once(": ").unwrap_or((message, "change it"));
    Finding::new("Refused", path, what, fix)
}
