//! The chat page, and what the page without scripts is made of: a few files inside the program, and the headers that keep the page safe.

use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection};

/// No script and no style but ours, no connection but to this server, no frame around it. A page that shows what
/// people write must not depend on its own escaping alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! asset {
    ($name:literal, $kind:literal) => {
        Asset {
            name: $name,
            kind: $kind,
            bytes: include_bytes!(concat!("../../assets/chat/", $name)),
        }
    };
}

const HTML: &str = "text/html; charset=utf-8";

static PAGE: &[u8] = include_bytes!("../../assets/chat/index.html");

static ASSETS: [Asset; 4] = [
    asset!("chat.css", "text/css; charset=utf-8"),
    asset!("chat.js", "text/javascript; charset=utf-8"),
    asset!("icon.svg", "image/svg+xml"),
    Asset {
        name: "page.css",
        kind: "text/css; charset=utf-8",
        bytes: include_bytes!("../../assets/page/page.css"),
    },
];

/// The page at the base path, and its files beside it.
#[must_use]
pub(super) fn routes() -> BoxedFilter<(Response,)> {
    let page = warp::path::end()
        .and(warp::get())
        .and(warp::path::full())
        .map(|path: FullPath| page(path.as_str()));
    let file = warp::path::param::<String>()
        .and(warp::path::end())
        // Before the method: what is no file of ours is unknown, whatever is asked of it.
        .and_then(file)
        .and(warp::get())
        .map(|asset: &Asset| answer(asset.kind, asset.bytes));
    page.or(file).unify().boxed()
}

fn page(path: &str) -> Response {
    if path.ends_with('/') {
        return answer(HTML, PAGE);
    }
    // Its files are found beside it, which needs the slash. The fragment, and the token in it, stay with the browser.
    let mut response = Response::default();
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    if let Ok(location) = HeaderValue::from_str(&format!("{path}/")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

async fn file(name: String) -> Result<&'static Asset, Rejection> {
    let mut assets = ASSETS.iter();
    assets
        .find(|asset| asset.name == name)
        .ok_or_else(warp::reject::not_found)
}

fn answer(kind: &'static str, bytes: &'static [u8]) -> Response {
    let mut response = Response::new(bytes::Bytes::from_static(bytes).into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // A new release brings new files under the same names.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
