//! The commands: each gathers what it needs at the edge, lets the library work, and writes what came of it.

mod check;
mod output;
mod replay;
mod run;

use std::process::ExitCode;

use skipper_core::{exit::Exit, failure::Failure, render::log::failure_lines};

use self::output::Printer;
use crate::{
    cli::{Cli, Command},
    settings::{self, Flags, Settings},
};

/// Runs the command that was asked for.
pub fn main(cli: Cli) -> ExitCode {
    // A panic is a defect: the default of 101 would look like something a workflow could rely on.
    let run = std::panic::catch_unwind(|| dispatch(cli));
    ExitCode::from(run.unwrap_or(Exit::Defect).code())
}

fn dispatch(cli: Cli) -> Exit {
    let printer =
        Printer::new(cli.common.output, std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true"));
    if let Some(Command::Replay { events }) = &cli.command {
        return replay::replay(events, &printer);
    }
    let quiet = cli.common.quiet;
    let settings = match Settings::read(flags(cli)) {
        Ok(settings) => settings,
        Err(error) => {
            let failure = Failure::failed_to(Exit::BadInput, "read the settings of this run").because_of(&error);
            return bad_input(&failure.hint(error.hint()), &printer);
        }
    };
    start_diagnosis(settings.debug);
    let file = match check::read(&settings.config) {
        Ok(file) => file,
        Err(failure) => return bad_input(&failure, &printer),
    };
    let checked = check::check(&file, &printer, settings.command == settings::Command::Check);
    let exit = match checked {
        Err(exit) => exit,
        Ok(_) if settings.command == settings::Command::Check => Exit::Serves,
        Ok(config) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => {
                    return tokio::task::LocalSet::new()
                        .block_on(&runtime, run::run(&config, &settings, quiet, &printer));
                }
                Err(error) => {
                    return bad_input(
                        &Failure::failed_to(Exit::Defect, "start the runtime").because_of(&error),
                        &printer,
                    );
                }
            }
        }
    };
    output::early_outputs(&settings, exit, &printer);
    exit
}

fn bad_input(failure: &Failure, printer: &Printer) -> Exit {
    printer.log(&failure_lines("error", failure, printer.is_workflow()));
    failure.exit
}

/// What the command line says, in the terms of the settings.
fn flags(cli: Cli) -> Flags {
    let (command, revision, rebuild) = match cli.command {
        None => (None, None, false),
        Some(Command::Ship(ship)) => (Some(settings::Command::Ship), ship.about.revision, ship.rebuild),
        Some(Command::Plan(about)) => (Some(settings::Command::Plan), about.revision, false),
        Some(Command::Ps) => (Some(settings::Command::Ps), None, false),
        Some(Command::Check | Command::Replay { .. }) => (Some(settings::Command::Check), None, false),
    };
    Flags {
        command,
        config: cli.common.config,
        environment: cli.common.environment,
        revision,
        events: cli.common.events,
        rebuild,
        host_timeout: cli.common.host_timeout,
    }
}

/// Diagnosis is for developers and goes to standard error; what users read comes from events.
fn start_diagnosis(debug: bool) {
    use tracing_subscriber::{EnvFilter, fmt};
    let default = if debug { "skipper=debug,skipper_deploy=debug,warn" } else { "error" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
