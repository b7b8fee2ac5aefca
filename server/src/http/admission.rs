//! Letting sessions in, whatever carries them: the same bounds and the same order of checks for all.

use super::problem::{Code, Problem};
use super::services::{Client, Services};
use crate::delivery::{AckMode, Attachment, CloseReason, JoinRefused, SessionSpec, Transport};
use crate::metrics::RefusalReason;

/// How a transport wants its session to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// What carries it.
    pub(super) transport: Transport,
    /// Who acknowledges.
    pub(super) ack: AckMode,
    /// Whether the client understands what is no notice.
    pub(super) control_frames: bool,
}

/// A session that was not let in: what its client is told, and what is counted.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) problem: Problem,
    reason: RefusalReason,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        let reason = match problem.code {
            Code::OriginNotAllowed => RefusalReason::Origin,
            Code::Draining => RefusalReason::Draining,
            Code::Overloaded => RefusalReason::NodeFull,
            Code::TooManySessions => RefusalReason::AccountFull,
            Code::StoreUnavailable => RefusalReason::StoreUnavailable,
            Code::Unauthenticated => RefusalReason::Unauthenticated,
            _ => RefusalReason::Handshake,
        };
        Self { problem, reason }
    }
}

impl From<JoinRefused> for Refused {
    fn from(refused: JoinRefused) -> Self {
        Problem::from(refused).into()
    }
}

impl Services {
    /// Whether this node takes sessions at all: asked first, since it costs nothing.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn admits(&self) -> Result<(), Refused> {
        Ok(self.registry.admits()?)
    }

    /// Lets a session of this client in.
    ///
    /// # Errors
    /// Why not.
    pub(super) async fn admit(
        &self,
        client: &Client,
        manner: Manner,
    ) -> Result<Attachment, Refused> {
        self.take_connect_permit().map_err(|problem| Refused {
            problem,
            reason: RefusalReason::ConnectRate,
        })?;
        self.cluster.room_for(&client.grant.account).await?;
        let spec = SessionSpec {
            transport: manner.transport,
            ack: manner.ack,
            control_frames: manner.control_frames,
            window: u16::try_from(self.config.delivery.window).unwrap_or(u16::MAX),
            token: client.token.clone(),
            losses: self.tokens.losses(),
            expires: client.grant.expires,
            since: self.inbox.now(),
        };
        let attachment = self.registry.join(&client.grant.account, spec)?;
        self.cluster.joined(attachment.session());
        // Who revoked the token before the session had joined found no session to close.
        if let Err(problem) = self.still_holds(&client.token).await {
            self.metrics.session_closed(CloseReason::TokenEnded);
            return Err(problem.into());
        }
        Ok(attachment)
    }

    /// Counts a session that was not let in; what its client is told.
    pub(super) fn refused(&self, refused: Refused) -> Problem {
        self.metrics.session_refused(refused.reason);
        refused.problem
    }
}
