//! Text frames of clients, in both protocols, up to the draft or the ids that come of them.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use notice_server::domain::AccountId;
use notice_server::fuzzing;
use notice_server::http::intake::Intake;
use notice_server::http::ws::{ClientFrame, parse_client_frame};

static INTAKE: LazyLock<Intake> = LazyLock::new(|| Intake::new(fuzzing::limits()));

fuzz_target!(|text: &str| {
    for v1 in [false, true] {
        match parse_client_frame(text, v1) {
            Ok(ClientFrame::Ack { ids }) => {
                if let Ok(ids) = INTAKE.ack_ids(ids) {
                    assert!(ids.len() <= INTAKE.limits().ids_per_ack);
                }
            }
            Ok(ClientFrame::Send { input, .. }) => {
                if let Ok(draft) = INTAKE.client_draft(&input, &AccountId::trusted("u1")) {
                    fuzzing::check_draft(&draft, INTAKE.limits());
                }
            }
            Ok(ClientFrame::Refresh { .. }) => {}
            Err(error) => assert!(!error.problem.detail.is_empty()),
        }
    }
});
