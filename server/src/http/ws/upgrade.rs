//! The handshake (RFC 6455, section 4.2), with authorisation inside it: no socket opens without a token that holds.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::poll_fn;
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use warp::http::StatusCode;
use warp::http::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use warp::reply::Response;

use super::connection::Connection;
use super::frames::close_frame;
use super::protocol::close_code;
use crate::delivery::{AckMode, CloseReason, Transport};
use crate::http::admission::{Manner, Refused};
use crate::http::caller::{self, SUBPROTOCOL};
use crate::http::claim::{Claimed, Manners, claim};
use crate::http::courier::Courier;
use crate::http::exchange::{Answer, Head};
use crate::http::outbound::Outbound;
use crate::http::problem::{Code, Problem};
use crate::http::services::Services;

/// RFC 6455, section 1.3.
const ACCEPT_SALT: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// For the last bytes to a client, and its answer to the close frame.
const FAREWELL: Duration = Duration::from_secs(2);

/// `GET /ws/socket`.
pub(in crate::http) async fn upgrade(
    services: Arc<Services>,
    head: Head,
    peer: IpAddr,
    manners: Manners,
) -> Answer {
    let answer = shake_hands(&services, &head, peer, manners).await;
    answer.map_err(|refused| services.refused(refused))
}

async fn shake_hands(
    services: &Arc<Services>,
    head: &Head,
    peer: IpAddr,
    manners: Manners,
) -> Result<Response, Refused> {
    let accept = accept_key(&head.headers)?;
    let v1 = speaks_v1(&head.headers)?;
    if !manners.chunks {
        return Err(upgrade_required("a WebSocket begins with HTTP/1.1").into());
    }
    services.admits()?;
    let client = services.client(&head.headers, &head.query).await?;
    let explicit = v1 || head.parameter("ack").as_deref() == Some("client");
    let manner = Manner {
        transport: Transport::WebSocket,
        ack: if explicit {
            AckMode::Explicit
        } else {
            AckMode::Automatic
        },
        control_frames: v1,
    };
    let attachment = services.admit(&client, manner).await?;
    tracing::debug!(
        account = %client.grant.account,
        address = %services.client_address(peer, &head.headers),
        v1,
        "session opened"
    );
    let courier = Courier::new(attachment, Arc::clone(services));
    Ok(claim(
        switching_protocols(accept, v1),
        move |claimed| async move {
            tokio::spawn(serve(claimed, courier));
            None
        },
    ))
}

fn upgrade_required(detail: &str) -> Problem {
    Problem::new(Code::UpgradeRequired, detail)
}

/// What goes into `Sec-WebSocket-Accept`.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    let has = |name, item: &str| {
        let values = headers
            .get_all(name)
            .into_iter()
            .filter_map(|value: &HeaderValue| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(item))
    };
    if !has(UPGRADE, "websocket") || !has(CONNECTION, "upgrade") {
        return Err(upgrade_required(
            "this path is a WebSocket: ask with Connection: Upgrade and Upgrade: websocket",
        ));
    }
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        return Err(upgrade_required("Sec-WebSocket-Version must be 13"));
    }
    let key = headers
        .get(SEC_WEBSOCKET_KEY)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    if !STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16) {
        return Err(Problem::invalid(
            "Sec-WebSocket-Key must be 16 bytes in base64",
        ));
    }
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update(ACCEPT_SALT)
        .finalize();
    HeaderValue::from_str(&STANDARD.encode(digest))
        .map_err(|_| Problem::new(Code::Internal, "the accept key could not be written"))
}

/// Whether the client asks for `notice.v1`; false when it asks for no subprotocol at all.
fn speaks_v1(headers: &HeaderMap) -> Result<bool, Problem> {
    if caller::subprotocols(headers).any(|item| item == SUBPROTOCOL) {
        return Ok(true);
    }
    match caller::subprotocols(headers).next() {
        // Browsers give up when none of what they offered is chosen: better said now.
        Some(_) => Err(Problem::invalid(
            "the only subprotocol is notice.v1; ask for it, or for none",
        )),
        None => Ok(false),
    }
}

fn switching_protocols(accept: HeaderValue, v1: bool) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if v1 {
        headers.insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
    }
    response
}

/// The life of a session, from the end of its handshake.
async fn serve(claimed: Claimed, courier: Courier) {
    let answer = claimed.head.bytes(None, &HeaderMap::new());
    let mut connection = Connection::new(claimed.socket.into_parts(), answer, courier);
    let reason = (&mut connection).await;
    // Boxed: an idle session need not carry room for its end.
    Box::pin(finish(connection, reason)).await;
}

async fn finish(connection: Connection, reason: CloseReason) {
    let (io, out, mut courier) = connection.into_parts();
    courier.end(reason).await;
    drop(courier);
    if reason != CloseReason::PeerDead {
        let _in_time = timeout(FAREWELL, say_goodbye(io, out, reason)).await;
    }
}

/// Writes what is left and the close frame, and waits for the client to close: a socket that is dropped with unread
/// bytes in it would reset the connection, and the client would not see the code.
async fn say_goodbye(
    mut io: TcpStream,
    mut out: Outbound,
    reason: CloseReason,
) -> std::io::Result<()> {
    if let Some((code, text)) = close_code(reason) {
        out.push(close_frame(code, text));
    }
    poll_fn(|cx| out.poll_flush(&mut io, cx)).await?;
    io.shutdown().await?;
    let mut rest = [0; 256];
    while io.read(&mut rest).await? > 0 {}
    Ok(())
}
