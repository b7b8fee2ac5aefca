//! Bytes behind a handshake, through the WebSocket parser with the server's own bounds, and its texts through the
//! reader of frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use notice_server::fuzzing;

fuzz_target!(|bytes: &[u8]| fuzzing::read_frames(bytes));
