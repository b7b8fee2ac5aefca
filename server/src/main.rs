//! The notice server's program. Everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    notice_server::cli::main()
}
