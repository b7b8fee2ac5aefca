//! Bodies of `POST /notices`: whatever comes gives drafts within the limits, or a problem.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use notice_server::fuzzing;
use notice_server::http::intake::{Intake, StageCall};

static INTAKE: LazyLock<Intake> = LazyLock::new(|| Intake::new(fuzzing::limits()));

// The first byte chooses whether there is an `Idempotency-Key` header.
fuzz_target!(|input: (u8, &[u8])| {
    let (choice, body) = input;
    let header = [None, Some("key"), Some("")][usize::from(choice % 3)];
    let producer = Arc::from("fuzz");
    match INTAKE.stage_call(body, header, &producer) {
        Ok(StageCall::One(draft)) => fuzzing::check_draft(&draft, INTAKE.limits()),
        Ok(StageCall::Many(drafts)) => {
            assert!(drafts.len() <= INTAKE.limits().notices_per_call);
            for draft in drafts.iter().flatten() {
                fuzzing::check_draft(draft, INTAKE.limits());
            }
        }
        Err(problem) => assert!(!problem.detail.is_empty()),
    }
});
