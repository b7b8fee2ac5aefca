//! Every error that a caller can meet: its stable code, its status, and its body (`application/problem+json`).

use std::time::Duration;

use serde::Serialize;
use warp::http::StatusCode;
use warp::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
    SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
};
use warp::reply::Response;

use crate::cluster::CloseError;
use crate::delivery::JoinRefused;
use crate::inbox::{InboxError, StageError};

/// The stable codes. Clients branch on them; texts may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// The request is not what the method takes.
    InvalidArgument,
    /// No credential, or a bad one.
    Unauthenticated,
    /// A cookie came from a page of an origin that is not allowed.
    OriginNotAllowed,
    /// There is no such thing, or no such path.
    NotFound,
    /// The path has no such method.
    MethodNotAllowed,
    /// A body, a frame or a list is larger than allowed.
    TooLarge,
    /// The WebSocket handshake lacks what it must have.
    UpgradeRequired,
    /// The receiver has as many unread notices as it may.
    InboxFull,
    /// The idempotency key was used with another body.
    IdempotencyConflict,
    /// The caller does this more often than it may.
    RateLimited,
    /// The account has as many sessions as it may.
    TooManySessions,
    /// A form was not one that the page gave to its sender.
    FormNotOurs,
    /// A service call removed the session.
    Removed,
    /// A newer session took this one's place.
    Superseded,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The node can't take more now.
    Overloaded,
    /// The node is draining.
    Draining,
    /// The store is as large as it may grow, or its disk is nearly full.
    StoreFull,
    /// The store is away.
    StoreUnavailable,
    /// A mistake of the server.
    Internal,
}

impl Code {
    /// Those with which a draft can be refused: the closed set of a metric's label.
    pub const STAGING: [Self; 12] = [
        Self::InvalidArgument,
        Self::Unauthenticated,
        Self::TooLarge,
        Self::InboxFull,
        Self::IdempotencyConflict,
        Self::RateLimited,
        Self::RequestTimeout,
        Self::StoreFull,
        Self::StoreUnavailable,
        Self::OriginNotAllowed,
        Self::FormNotOurs,
        Self::Internal,
    ];

    /// The code's text.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::OriginNotAllowed => "ORIGIN_NOT_ALLOWED",
            Self::NotFound => "NOT_FOUND",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::TooLarge => "TOO_LARGE",
            Self::UpgradeRequired => "UPGRADE_REQUIRED",
            Self::InboxFull => "INBOX_FULL",
            Self::IdempotencyConflict => "IDEMPOTENCY_CONFLICT",
            Self::RateLimited => "RATE_LIMITED",
            Self::TooManySessions => "TOO_MANY_SESSIONS",
            Self::FormNotOurs => "FORM_NOT_OURS",
            Self::Removed => "REMOVED",
            Self::Superseded => "SUPERSEDED",
            Self::RequestTimeout => "REQUEST_TIMEOUT",
            Self::Overloaded => "OVERLOADED",
            Self::Draining => "DRAINING",
            Self::StoreFull => "STORE_FULL",
            Self::StoreUnavailable => "STORE_UNAVAILABLE",
            Self::Internal => "INTERNAL",
        }
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidArgument => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::OriginNotAllowed | Self::FormNotOurs | Self::Removed => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::IdempotencyConflict | Self::Superseded => StatusCode::CONFLICT,
            Self::InboxFull | Self::RateLimited | Self::TooManySessions => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Overloaded | Self::Draining | Self::StoreFull | Self::StoreUnavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::InvalidArgument => "The request is not valid",
            Self::Unauthenticated => "Credentials are missing or not valid",
            Self::OriginNotAllowed => "This origin may not use the cookie",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "The path has no such method",
            Self::TooLarge => "Too large",
            Self::UpgradeRequired => "A WebSocket handshake is required",
            Self::InboxFull => "The receiver's inbox is full",
            Self::IdempotencyConflict => "The idempotency key belongs to another request",
            Self::RateLimited => "Too many requests",
            Self::TooManySessions => "Too many sessions of this account",
            Self::FormNotOurs => "The form is not the page's own",
            Self::Removed => "The session was removed",
            Self::Superseded => "A newer session took its place",
            Self::RequestTimeout => "The request came too slowly",
            Self::Overloaded => "The node is full",
            Self::Draining => "The node is draining",
            Self::StoreFull => "The store is full",
            Self::StoreUnavailable => "The store is not available",
            Self::Internal => "The server made a mistake",
        }
    }
}

/// An error on its way to a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind.
    pub code: Code,
    /// What happened, where, and what to do. Never a secret.
    pub detail: String,
    /// When to try again; 429 and 503 always say.
    pub retry_after: Option<Duration>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: Code,
}

impl Problem {
    /// A problem that says what happened.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let retry_after = match code.status() {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Some(Duration::from_secs(1))
            }
            _ => None,
        };
        Self {
            code,
            detail: detail.into(),
            retry_after,
        }
    }

    /// The request is not what the method takes.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, detail)
    }

    /// The same, to be tried again after so long.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The problem as an answer.
    #[must_use]
    pub fn into_response(self) -> Response {
        let (status, headers, body) = self.to_parts();
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    /// The same in parts, for who writes it himself.
    #[must_use]
    pub fn to_parts(&self) -> (StatusCode, HeaderMap, Vec<u8>) {
        let body = Body {
            r#type: format!("urn:notice:error:{}", self.code.name()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code: self.code,
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        (self.code.status(), self.headers(), body)
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.retry_after {
            let seconds = after.as_millis().div_ceil(1000).max(1);
            let seconds = u64::try_from(seconds).unwrap_or(1);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthenticated {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.code == Code::UpgradeRequired {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        headers
    }
}

impl From<InboxError> for Problem {
    fn from(error: InboxError) -> Self {
        Self::new(Code::StoreUnavailable, error.to_string()).retry_after(error.retry_after)
    }
}

impl From<StageError> for Problem {
    fn from(error: StageError) -> Self {
        let detail = error.to_string();
        match error {
            StageError::InboxFull { .. } => {
                Self::new(Code::InboxFull, detail).retry_after(Duration::from_secs(30))
            }
            StageError::IdempotencyConflict => Self::new(Code::IdempotencyConflict, detail),
            StageError::StoreFull(_) => {
                Self::new(Code::StoreFull, detail).retry_after(Duration::from_secs(60))
            }
            StageError::Unavailable(error) => error.into(),
        }
    }
}

/// When nodes that could not be reached can be again, as a rule.
const NODES_COME_BACK: Duration = Duration::from_secs(2);

impl From<CloseError> for Problem {
    fn from(error: CloseError) -> Self {
        match error {
            CloseError::Tokens(error) => error.into(),
            CloseError::NotAllReached(error) => {
                let detail = format!("{error}: sessions may be open there; asking again is safe");
                Self::new(Code::StoreUnavailable, detail).retry_after(NODES_COME_BACK)
            }
        }
    }
}

impl From<JoinRefused> for Problem {
    fn from(refused: JoinRefused) -> Self {
        let code = match refused {
            JoinRefused::Draining => Code::Draining,
            JoinRefused::NodeFull => Code::Overloaded,
            JoinRefused::AccountFull => Code::TooManySessions,
        };
        Self::new(code, refused.to_string())
    }
}
