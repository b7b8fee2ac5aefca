//! The public routes. The most frequent ones come first, since warp tries them in order.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::claim::Manners;
use super::exchange::{Answer, Head, head, recover, respond, segment};
use super::listener::Peer;
use super::services::Services;
use super::{assets, client_api, cors, openapi, page, poll, service_api, sse, ws};

/// Everything that the public listener serves.
#[must_use]
pub fn public_routes(
    services: &Arc<Services>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + use<> {
    let base = base_path(&services.config.base_path);
    let description = openapi::route(&services.config.base_path);
    let below = first_that_fits(
        [
            stage(services),
            socket(services),
            long_poll(services),
            ack(services),
            send(services),
            event_stream(services),
            session(services),
            inbox(services),
            page(services),
            notice_state(services),
            recall(services),
            accounts(services),
            account(services),
            kick(services),
            issue(services),
            revoke(services),
            assets::routes(),
        ],
        description,
    );
    // The source design's clients use the path with and without the gateway's prefix.
    let all = base
        .and(below)
        .or(socket(services))
        .unify()
        .recover(recover)
        .unify();
    cors::for_pages(services, all)
}

/// Tries routes in their order, `last` at the end. Each is boxed with those behind it: warp's own type
/// for so many alternatives takes the compiler minutes, and a request pays only for what it passes.
fn first_that_fits<const N: usize>(routes: [Route; N], last: Route) -> Route {
    let last_first = routes.into_iter().rev();
    last_first.fold(last, |rest, route| route.or(rest).unify().boxed())
}

fn base_path(path: &str) -> BoxedFilter<()> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .fold(warp::any().boxed(), |base, segment| {
            base.and(warp::path(segment.to_owned())).boxed()
        })
}

type Route = BoxedFilter<(Response,)>;

/// A handler of the head alone.
fn plain<F, Fut>(services: &Arc<Services>, route: BoxedFilter<()>, handler: F) -> Route
where
    F: Fn(Arc<Services>, Head) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    let services = Arc::clone(services);
    route
        .and(head())
        .then(move |head| {
            let answer = handler(Arc::clone(&services), head);
            async { respond(answer.await) }
        })
        .boxed()
}

/// A handler of the head and one segment of the path.
fn with_segment<F, Fut>(
    services: &Arc<Services>,
    route: BoxedFilter<(String,)>,
    handler: F,
) -> Route
where
    F: Fn(Arc<Services>, Head, String) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    let services = Arc::clone(services);
    route
        .and(head())
        .then(move |segment, head| {
            let answer = handler(Arc::clone(&services), head, segment);
            async { respond(answer.await) }
        })
        .boxed()
}

/// A handler of the head and the body.
macro_rules! with_body {
    ($services:expr, $route:expr, $handler:path) => {{
        let services = Arc::clone($services);
        $route
            .and(head())
            .and(warp::body::stream())
            .then(move |head, body| {
                let answer = $handler(Arc::clone(&services), head, body);
                async { respond(answer.await) }
            })
            .boxed()
    }};
}

fn stage(services: &Arc<Services>) -> Route {
    with_body!(
        services,
        warp::path!("notices").and(warp::post()),
        service_api::stage
    )
}

fn socket(services: &Arc<Services>) -> Route {
    let services = Arc::clone(services);
    warp::path!("ws" / "socket")
        .and(warp::get())
        .and(head())
        .and(warp::ext::get::<Peer>())
        .and(warp::ext::get::<Manners>())
        .then(move |head, Peer(peer): Peer, manners| {
            let answer = ws::upgrade(Arc::clone(&services), head, peer, manners);
            async { respond(answer.await) }
        })
        .boxed()
}

fn event_stream(services: &Arc<Services>) -> Route {
    let services = Arc::clone(services);
    warp::path!("sse")
        .and(warp::get())
        .and(head())
        .and(warp::ext::get::<Peer>())
        .then(move |head, Peer(peer): Peer| {
            let answer = sse::open(Arc::clone(&services), head, peer);
            async { respond(answer.await) }
        })
        .boxed()
}

fn long_poll(services: &Arc<Services>) -> Route {
    plain(
        services,
        warp::path!("poll").and(warp::get()).boxed(),
        poll::poll,
    )
}

fn page(services: &Arc<Services>) -> Route {
    let (showing, sending) = (Arc::clone(services), Arc::clone(services));
    let show = warp::path!("page")
        .and(warp::get())
        .and(head())
        .and(warp::ext::get::<Peer>())
        .then(move |head, Peer(peer): Peer| page::show(Arc::clone(&showing), head, peer));
    let send = warp::path!("page")
        .and(warp::post())
        .and(head())
        .and(warp::body::stream())
        .then(move |head, body| page::send(Arc::clone(&sending), head, body));
    show.or(send).unify().boxed()
}

fn ack(services: &Arc<Services>) -> Route {
    with_body!(
        services,
        warp::path!("ack").and(warp::post()),
        client_api::ack
    )
}

fn send(services: &Arc<Services>) -> Route {
    with_body!(
        services,
        warp::path!("send").and(warp::post()),
        client_api::send
    )
}

fn session(services: &Arc<Services>) -> Route {
    plain(
        services,
        warp::path!("session").and(warp::get()).boxed(),
        client_api::session,
    )
}

fn inbox(services: &Arc<Services>) -> Route {
    plain(
        services,
        warp::path!("inbox").and(warp::get()).boxed(),
        client_api::inbox,
    )
}

fn notice_state(services: &Arc<Services>) -> Route {
    let route = warp::path("notices")
        .and(segment())
        .and(warp::path::end())
        .and(warp::get());
    with_segment(services, route.boxed(), service_api::state)
}

fn recall(services: &Arc<Services>) -> Route {
    let route = warp::path("notices")
        .and(segment())
        .and(warp::path::end())
        .and(warp::delete());
    with_segment(services, route.boxed(), service_api::recall)
}

fn accounts(services: &Arc<Services>) -> Route {
    plain(
        services,
        warp::path!("accounts").and(warp::get()).boxed(),
        service_api::accounts,
    )
}

fn account(services: &Arc<Services>) -> Route {
    let route = warp::path("accounts")
        .and(segment())
        .and(warp::path::end())
        .and(warp::get());
    with_segment(services, route.boxed(), service_api::account)
}

fn kick(services: &Arc<Services>) -> Route {
    let route = warp::path("accounts")
        .and(segment())
        .and(warp::path("sessions"))
        .and(warp::path::end());
    with_segment(
        services,
        route.and(warp::delete()).boxed(),
        service_api::kick,
    )
}

fn issue(services: &Arc<Services>) -> Route {
    with_body!(
        services,
        warp::path!("sessions").and(warp::post()),
        service_api::issue
    )
}

fn revoke(services: &Arc<Services>) -> Route {
    with_body!(
        services,
        warp::path!("sessions" / "revoke").and(warp::post()),
        service_api::revoke
    )
}
