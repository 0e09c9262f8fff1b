//! `thunder`: one binary with the server and everything that operating it needs.

use std::process::ExitCode;

fn main() -> ExitCode {
    backend::cli::main()
}
