//! The `skipper` binary: hands the command line to the library and turns the outcome into an exit code.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = match skipper::cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let bad = error.use_stderr();
            // Help and version are no failures; where they cannot be written nobody can be told.
            let _ = error.print();
            return ExitCode::from(if bad { skipper_core::exit::Exit::BadInput.code() } else { 0 });
        }
    };
    skipper::commands::main(cli)
}
