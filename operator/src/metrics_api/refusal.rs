//! Why a request is refused, as Kubernetes says it. Pure.

use hyper::StatusCode;
use serde_json::{Value, json};

/// A refusal, with what a person reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The request makes no sense.
    BadRequest(String),
    /// It is not known who asks.
    Unauthorized(String),
    /// Who asks may not.
    Forbidden(String),
    /// There is no such thing.
    NotFound(String),
    /// Only reading is possible.
    MethodNotAllowed,
    /// The API server could not be asked whether it is allowed.
    Unavailable(String),
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The `reason` of a `Status`.
    #[must_use]
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "BadRequest",
            Self::Unauthorized(_) => "Unauthorized",
            Self::Forbidden(_) => "Forbidden",
            Self::NotFound(_) => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::Unavailable(_) => "ServiceUnavailable",
        }
    }

    fn message(&self) -> &str {
        match self {
            Self::BadRequest(message)
            | Self::Unauthorized(message)
            | Self::Forbidden(message)
            | Self::NotFound(message)
            | Self::Unavailable(message) => message,
            Self::MethodNotAllowed => "these metrics can only be read: use GET",
        }
    }

    /// The `Status` object.
    #[must_use]
    pub(super) fn body(&self) -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message(), "reason": self.reason(), "code": self.status().as_u16(),
        })
    }
}
