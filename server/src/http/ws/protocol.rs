//! The rules of a connection that need no socket: which pong reads what, and which code ends a session.

use crate::delivery::CloseReason;
use crate::domain::NoticeId;

/// The pings of one connection, one outstanding at most, and what their pongs prove.
///
/// For a client without acknowledgements a notice is read when the pong answers a ping that was written behind it:
/// then the client's own protocol stack has taken everything up to there. That the socket's buffer took it proves
/// nothing.
#[derive(Debug, Default)]
pub(super) struct Pings {
    outstanding: bool,
    number: u32,
    /// Written before the outstanding ping.
    covered: Vec<NoticeId>,
    /// Written after it.
    written: Vec<NoticeId>,
}

impl Pings {
    /// A notice was put on the way that its pong shall read.
    pub(super) fn wrote(&mut self, id: NoticeId) {
        self.written.push(id);
    }

    /// Whether notices wait for a ping that may be sent.
    pub(super) fn owes_a_ping(&self) -> bool {
        !self.outstanding && !self.written.is_empty()
    }

    /// The number of a ping to send now; none while another is outstanding.
    pub(super) fn ping(&mut self) -> Option<u32> {
        if self.outstanding {
            return None;
        }
        self.outstanding = true;
        self.number = self.number.wrapping_add(1);
        self.covered = std::mem::take(&mut self.written);
        Some(self.number)
    }

    /// What this pong proves read; none when it answers no ping of ours.
    pub(super) fn pong(&mut self, payload: &[u8]) -> Option<Vec<NoticeId>> {
        if !self.outstanding || payload != self.number.to_be_bytes() {
            return None;
        }
        self.outstanding = false;
        Some(std::mem::take(&mut self.covered))
    }
}

/// The close frame's code and text; none where no frame is sent.
pub(super) fn close_code(reason: CloseReason) -> Option<(u16, &'static str)> {
    match reason {
        CloseReason::ClientGone | CloseReason::PeerDead => None,
        CloseReason::Shutdown => Some((1001, "the server ends")),
        CloseReason::Misuse => Some((1008, "the protocol was not kept")),
        CloseReason::TooLarge => Some((1009, "the message is too large")),
        CloseReason::Drained => Some((1012, "this node restarts: come back at once")),
        CloseReason::Rebalanced => {
            Some((1012, "this node has too many sessions: come back at once"))
        }
        CloseReason::TooSlow => Some((1013, "too many notices left behind: come back later")),
        CloseReason::TokenEnded => Some((4401, "the token ended: get a new one first")),
        CloseReason::Kicked => Some((4403, "removed by a service call")),
        CloseReason::Superseded => Some((4409, "a newer session took this one's place")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Write,
        Ping,
        Pong,
        StrayPong,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            Just(Step::Write),
            Just(Step::Ping),
            Just(Step::Pong),
            Just(Step::StrayPong)
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn a_pong_reads_exactly_what_was_written_before_its_ping(steps in steps()) {
            let mut pings = Pings::default();
            let mut wire: Vec<Result<u128, u32>> = Vec::new();
            let mut read = Vec::new();
            for (place, step) in steps.iter().enumerate() {
                match step {
                    Step::Write => {
                        wire.push(Ok(place as u128));
                        pings.wrote(NoticeId::from_bits(place as u128));
                    }
                    Step::Ping => {
                        if let Some(number) = pings.ping() {
                            wire.push(Err(number));
                        }
                    }
                    Step::Pong => {
                        let last = wire.iter().rev().find_map(|item| item.err());
                        if let Some(number) = last && let Some(ids) = pings.pong(&number.to_be_bytes()) {
                            read.extend(ids.into_iter().map(NoticeId::bits));
                            let behind = wire.iter().position(|item| *item == Err(number)).unwrap();
                            let before: Vec<u128> = wire[..behind].iter().filter_map(|item| item.ok()).collect();
                            prop_assert_eq!(&read, &before);
                        }
                    }
                    Step::StrayPong => prop_assert!(pings.pong(b"stray").is_none()),
                }
            }
        }
    }
}
