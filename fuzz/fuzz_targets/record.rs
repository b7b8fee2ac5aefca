//! Rows and journals of the embedded store, as a damaged disk might give them back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use notice_server::fuzzing;

fuzz_target!(|bytes: &[u8]| {
    fuzzing::read_rows(bytes);
    fuzzing::read_journal(bytes);
});
