//! The `skipper` binary: hands the command line to the library and turns the outcome into an exit code.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = match skipper::cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return skipper::commands::refuse(&error),
        // Help and version are no failures; where they cannot be written nobody can be told.
        Err(wanted) => {
            let _ = wanted.print();
            return ExitCode::SUCCESS;
        }
    };
    skipper::commands::main(cli)
}
