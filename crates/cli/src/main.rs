//! The `thinroot` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    thinroot_cli::main_with(std::env::args_os())
}
