//! The chat page, the browser client, and what the page without scripts is made of: a few files inside the program, the
//! headers that keep the page safe, and the tags by which a browser asks whether a file has changed.

use std::sync::LazyLock;

use sha2::Digest as _;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection};

/// No script and no style but ours, no connection but to this server, no frame around it. A page that shows what
/// people write must not depend on its own escaping alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Other sites may import the client: it holds no secret, and what it calls asks for a token of its own.
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    /// Whether pages of other origins may read it.
    shared: bool,
}

macro_rules! asset {
    ($name:literal, $kind:expr, $path:literal, $shared:literal) => {
        Asset {
            name: $name,
            kind: $kind,
            bytes: include_bytes!(concat!("../../", $path)),
            shared: $shared,
        }
    };
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The chat page first; it has no name of its own in an address. What the pages are made of is below `assets/`, so that who
/// publishes a server by paths need not know each file. The client is where other sites are told to import it from.
static ASSETS: [Asset; 10] = [
    asset!("", HTML, "assets/chat/index.html", false),
    asset!("assets/chat.js", SCRIPT, "assets/chat/chat.js", false),
    asset!("assets/storage.js", SCRIPT, "assets/chat/storage.js", false),
    asset!(
        "assets/timeline.js",
        SCRIPT,
        "assets/chat/timeline.js",
        false
    ),
    asset!("assets/view.js", SCRIPT, "assets/chat/view.js", false),
    asset!("assets/words.js", SCRIPT, "assets/chat/words.js", false),
    asset!("assets/chat.css", STYLE, "assets/chat/chat.css", false),
    asset!(
        "assets/icon.svg",
        "image/svg+xml",
        "assets/chat/icon.svg",
        false
    ),
    asset!("assets/page.css", STYLE, "assets/page/page.css", false),
    asset!("client.js", SCRIPT, "../client/client.js", true),
];

/// A tag for each of `ASSETS`, made of its bytes, so it is the same on every node of a version.
static TAGS: LazyLock<[HeaderValue; ASSETS.len()]> = LazyLock::new(|| {
    std::array::from_fn(|at| {
        let bytes = ASSETS.get(at).map_or(&[][..], |asset| asset.bytes);
        let digest = sha2::Sha256::digest(bytes);
        let digits: String = digest
            .iter()
            .take(12)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        HeaderValue::from_str(&format!("\"{digits}\"")).unwrap_or(HeaderValue::from_static("\"\""))
    })
});

/// The page at the base path, and its files beside it.
#[must_use]
pub(super) fn routes() -> BoxedFilter<(Response,)> {
    let known = warp::header::optional::<HeaderValue>(IF_NONE_MATCH.as_str());
    let page = warp::path::end()
        .and(warp::get())
        .and(warp::path::full())
        .and(known)
        .map(|path: FullPath, known: Option<HeaderValue>| page(path.as_str(), known.as_ref()));
    let beside = warp::path::param::<String>();
    let below = warp::path("assets")
        .and(warp::path::param::<String>())
        .map(|name: String| format!("assets/{name}"));
    let file = below
        .or(beside)
        .unify()
        .and(warp::path::end())
        // Before the method: what is no file of ours is unknown, whatever is asked of it.
        .and_then(file)
        .and(warp::get())
        .and(known)
        .map(|at: usize, known: Option<HeaderValue>| answer(at, known.as_ref()));
    page.or(file).unify().boxed()
}

fn page(path: &str, known: Option<&HeaderValue>) -> Response {
    if path.ends_with('/') {
        return answer(0, known);
    }
    // Its files are found beside it, which needs the slash. The fragment, and the token in it, stay with the browser.
    let mut response = Response::default();
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    if let Ok(location) = HeaderValue::from_str(&format!("{path}/")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

async fn file(name: String) -> Result<usize, Rejection> {
    let mut assets = ASSETS.iter();
    assets
        .position(|asset| !name.is_empty() && asset.name == name)
        .ok_or_else(warp::reject::not_found)
}

/// The file at that place of `ASSETS`, or only that it is still what the browser has.
fn answer(at: usize, known: Option<&HeaderValue>) -> Response {
    let (Some(asset), Some(tag)) = (ASSETS.get(at), TAGS.get(at)) else {
        return Response::default();
    };
    let mut response = Response::default();
    if known.is_some_and(|known| names(known, tag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = bytes::Bytes::from_static(asset.bytes).into();
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(ETAG, tag.clone());
    // A new release brings new files under the same names.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if asset.shared {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(
            CROSS_ORIGIN_RESOURCE_POLICY,
            HeaderValue::from_static("cross-origin"),
        );
    }
    response
}

/// Whether an `If-None-Match` names the tag. A proxy that packed the file has made the tag a weak one.
fn names(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else {
        return false;
    };
    known == "*"
        || known
            .split(',')
            .any(|one| one.trim().trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, known: Option<&'static str>) -> Response {
        let at = ASSETS.iter().position(|asset| asset.name == name);
        let known = known.map(HeaderValue::from_static);
        answer(at.expect("a file of ours"), known.as_ref())
    }

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        let first = given("assets/chat.js", None);
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[ETAG].to_str().expect("text").to_owned();
        for known in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"other\", {tag}"),
            "*".to_owned(),
        ] {
            let again = given("assets/chat.js", Some(String::leak(known)));
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(again.headers()[ETAG], tag);
        }
        assert_eq!(
            given("assets/chat.js", Some("\"other\"")).status(),
            StatusCode::OK
        );
        assert_eq!(
            given("assets/chat.css", Some(String::leak(tag))).status(),
            StatusCode::OK
        );
    }

    #[test]
    fn pages_of_other_origins_may_import_the_client_and_read_nothing_else() {
        for asset in &ASSETS {
            let response = given(asset.name, None);
            let open = response.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(open.is_some(), asset.name == "client.js", "{}", asset.name);
        }
    }
}
