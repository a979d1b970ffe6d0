//! The `skipper` binary: hands the command line to the library and turns the outcome into an exit code.

use std::{path::Path, process::ExitCode};

use clap::Parser as _;

/// The name under which GitHub's runner starts the binary after all other steps: it takes a path there, and no arguments.
const POST: &str = "skipper-post";

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    if Path::new(&name).file_name().is_some_and(|name| name == POST) {
        return skipper::commands::post();
    }
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
