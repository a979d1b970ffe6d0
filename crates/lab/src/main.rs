//! `cargo lab`: the lab for people, and the programs that run inside it.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::run(cli::Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            cli::explain(&error);
            ExitCode::FAILURE
        }
    }
}
