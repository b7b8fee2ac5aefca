//! The machine-readable contract: one document in the program, with the configured base path put into its paths.

use serde_json::{Map, Value};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::reply::Response;

use super::exchange::json_text;

/// The document, with paths below the base path.
pub(super) const DOCUMENT: &str = include_str!("../../assets/openapi.json");

/// `GET /openapi.json`.
#[must_use]
pub(super) fn route(base_path: &str) -> BoxedFilter<(Response,)> {
    let text = with_base_path(DOCUMENT, base_path).unwrap_or_else(|| DOCUMENT.as_bytes().to_vec());
    let text = bytes::Bytes::from(text);
    warp::path!("openapi.json")
        .and(warp::get())
        .map(move || json_text(StatusCode::OK, text.to_vec()))
        .boxed()
}

fn with_base_path(document: &str, base_path: &str) -> Option<Vec<u8>> {
    let mut document: Value = serde_json::from_str(document).ok()?;
    let paths = document.get_mut("paths")?.as_object_mut()?;
    let full: Map<_, _> = std::mem::take(paths)
        .into_iter()
        .map(|(path, item)| (format!("{base_path}{path}"), item))
        .collect();
    *paths = full;
    serde_json::to_vec(&document).ok()
}
