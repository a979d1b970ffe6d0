//! The commands: each gathers what it needs at the edge, lets the library work, and writes what came of it.

mod check;
mod defect;
mod output;
mod past;
mod replay;
mod run;

use std::{io::Write as _, path::Path, process::ExitCode};

use skipper_core::{exit::Exit, failure::Failure, render::log::failure_lines};

use self::output::Printer;
use crate::{
    cli::{Cli, Command},
    settings::{self, Flags, Settings},
};

/// Runs the command that was asked for.
pub fn main(cli: Cli) -> ExitCode {
    let printer = Printer::new(cli.common.output, is_workflow());
    defect::watch();
    // A run ends its own events where it can; this is for a defect around it, or in that.
    let exit = std::panic::catch_unwind(|| dispatch(cli, printer))
        .unwrap_or_else(|_| end_early(&defect::failure(), settings::output_file().as_deref(), printer));
    ExitCode::from(exit.code())
}

/// Tells what is wrong with the command line, which may hold anything at all.
pub fn refuse(error: &clap::Error) -> ExitCode {
    // Where a stream cannot be written nobody can be told.
    let _ = output::Diagnosis.write_all(error.render().to_string().as_bytes());
    let printer = Printer::new(crate::cli::Output::Text, is_workflow());
    output::early_outputs(settings::output_file().as_deref(), Exit::BadInput, printer);
    ExitCode::from(Exit::BadInput.code())
}

fn is_workflow() -> bool {
    std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true")
}

fn dispatch(cli: Cli, printer: Printer) -> Exit {
    if let Some(Command::Replay { events }) = &cli.command {
        return replay::replay(events, &printer);
    }
    let quiet = cli.common.quiet;
    let settings = match Settings::read(flags(cli)) {
        Ok(settings) => settings,
        Err(error) => {
            let failure = Failure::failed_to(Exit::BadInput, "read the settings of this run").because_of(&error);
            return end_early(&failure.hint(error.hint()), settings::output_file().as_deref(), printer);
        }
    };
    start_diagnosis(settings.debug);
    let early = |failure: &Failure| end_early(failure, settings.output_file(), printer);
    let file = match check::read(&settings.config) {
        Ok(file) => file,
        Err(failure) => return early(&failure),
    };
    let only_check = settings.command == settings::Command::Check;
    let config = match check::check(&file, &printer, only_check) {
        Ok(config) if !only_check => config,
        checked => {
            let exit = checked.err().unwrap_or(Exit::Serves);
            output::early_outputs(settings.output_file(), exit, printer);
            return exit;
        }
    };
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => tokio::task::LocalSet::new().block_on(&runtime, async {
            match settings.command {
                settings::Command::Lease | settings::Command::Releases => past::run(&config, &settings, printer).await,
                _ => run::run(&config, &settings, quiet, &printer).await,
            }
        }),
        Err(error) => early(&Failure::failed_to(Exit::Defect, "start the runtime").because_of(&error)),
    }
}

/// Tells why a run ended before it began.
fn end_early(failure: &Failure, outputs: Option<&Path>, printer: Printer) -> Exit {
    printer.log(&failure_lines("error", failure, printer.is_workflow()));
    output::early_outputs(outputs, failure.exit, printer);
    failure.exit
}

/// What the command line says, in the terms of the settings.
fn flags(cli: Cli) -> Flags {
    let (mut wait, mut break_lease) = (None, false);
    let (command, revision, rebuild) = match cli.command {
        None => (None, None, false),
        Some(Command::Ship(ship)) => {
            wait = ship.wait;
            (Some(settings::Command::Ship), ship.about.revision, ship.rebuild)
        }
        Some(Command::Lease(lease)) => {
            break_lease = lease.break_it;
            (Some(settings::Command::Lease), None, false)
        }
        Some(Command::Releases) => (Some(settings::Command::Releases), None, false),
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
        wait,
        break_lease,
        host_timeout: cli.common.host_timeout,
    }
}

/// Diagnosis is for developers and goes to standard error; what users read comes from events.
fn start_diagnosis(debug: bool) {
    use tracing_subscriber::{EnvFilter, fmt};
    let default = if debug { "skipper=debug,skipper_deploy=debug,warn" } else { "error" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    fmt().with_env_filter(filter).with_writer(|| output::Diagnosis).init();
}
