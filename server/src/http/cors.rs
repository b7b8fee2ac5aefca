//! Pages of other origins: which of them browsers let read our answers. Only those of `auth.allowed_origins`; the
//! server's own pages need no leave.

use std::convert::Infallible;
use std::sync::Arc;

use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use warp::reply::Response;

use super::exchange::empty;
use super::services::Services;

/// What pages may ask for.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
const HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type, last-event-id");
/// What pages may read besides the body.
const EXPOSED: HeaderValue = HeaderValue::from_static("retry-after");
/// A browser asks again after ten minutes.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
const TRUE: HeaderValue = HeaderValue::from_static("true");

/// The page that a request comes from, by its `Origin`.
#[derive(Debug, Clone)]
pub(super) struct FromPage(HeaderValue);

impl FromPage {
    /// Reads it off a request; none of what is no page's.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        headers.get(ORIGIN).cloned().map(Self)
    }

    fn is_one_of(&self, allowed: &[String]) -> bool {
        self.0.to_str().is_ok_and(|origin| {
            let mut allowed = allowed.iter();
            allowed.any(|allowed| allowed.eq_ignore_ascii_case(origin))
        })
    }
}

/// Answers questions before requests (preflights), and gives answers the headers that pages of allowed origins need.
pub(super) fn for_pages<F>(
    services: &Arc<Services>,
    routes: F,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + use<F>
where
    F: Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static,
    F::Future: Send,
{
    let allowed: Arc<[String]> = services.config.auth.allowed_origins.clone().into();
    warp::ext::optional::<FromPage>()
        .and(preflight().or(routes).unify())
        .map(move |page: Option<FromPage>, answer| match page {
            Some(page) => for_page(answer, &page, &allowed),
            None => answer,
        })
}

/// `OPTIONS`, as browsers ask before a request that no form could make.
fn preflight() -> BoxedFilter<(Response,)> {
    warp::options()
        .and(warp::header::value(ACCESS_CONTROL_REQUEST_METHOD.as_str()))
        .map(|_method: HeaderValue| {
            let mut answer = empty(StatusCode::NO_CONTENT);
            let headers = answer.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
            answer
        })
        .boxed()
}

fn for_page(mut answer: Response, page: &FromPage, allowed: &[String]) -> Response {
    let headers = answer.headers_mut();
    headers.append(VARY, HeaderValue::from_static("origin"));
    if page.is_one_of(allowed) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, page.0.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    } else {
        headers.remove(ACCESS_CONTROL_ALLOW_METHODS);
        headers.remove(ACCESS_CONTROL_ALLOW_HEADERS);
        headers.remove(ACCESS_CONTROL_MAX_AGE);
    }
    answer
}
