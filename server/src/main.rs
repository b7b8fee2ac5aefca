//! The notice server's program. Everything it does is in the library.

use std::process::ExitCode;

/// Many small objects of many threads come and go: see `docs/adr` for what was measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    notice_server::cli::main()
}
