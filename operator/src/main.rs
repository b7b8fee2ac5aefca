//! The operator's program. Everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    notice_operator::cli::main()
}
