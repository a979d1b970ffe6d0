//! The commands: each gathers what it needs at the edge, lets the library work, and writes what came of it.

mod check;
mod defect;
mod doctor;
mod iam;
mod images;
mod instances;
mod logs;
mod lookout;
mod output;
mod past;
mod post;
mod previews;
mod regions;
mod replay;
mod run;
mod ssh;

use std::{cell::Cell, io::Write as _, panic::AssertUnwindSafe, path::Path, process::ExitCode};

use skipper_core::{
    config::Config,
    exit::Exit,
    failure::Failure,
    preview::Wish,
    render::{log::failure_lines, text},
};

use self::output::Printer;
use crate::{
    cli::{
        About, Clean, Cli, Command, Common, Deploy, Iam, Instances, InstancesAction, Logs, Named, PreviewsAction,
        Remove, Ship, Wait,
    },
    settings::{self, Flags, Settings, Verdict},
};

/// Runs the command that was asked for.
pub fn main(cli: Cli) -> ExitCode {
    let printer = Printer::new(cli.common.output, is_workflow()).in_colour();
    defect::watch();
    // A run ends its own events where it can; this is for a defect around it, or in that.
    let passed_on = Cell::new(None);
    let exit = std::panic::catch_unwind(AssertUnwindSafe(|| dispatch(cli, printer, &passed_on)))
        .unwrap_or_else(|_| end_early(&defect::failure(), settings::output_file().as_deref(), printer));
    ExitCode::from(passed_on.get().unwrap_or(exit.code()))
}

/// What the action does after all other steps of its job, under its second name.
pub fn post() -> ExitCode {
    let printer = Printer::new(crate::cli::Output::Text, is_workflow()).in_colour();
    defect::watch();
    let exit = std::panic::catch_unwind(|| post::post(printer))
        .unwrap_or_else(|_| end_early(&defect::failure(), None, printer));
    ExitCode::from(exit.code())
}

/// Tells what is wrong with the command line, which may hold anything at all.
pub fn refuse(error: &clap::Error) -> ExitCode {
    // Where a stream cannot be written nobody can be told.
    let _ = output::Diagnosis.write_all(error.render().to_string().as_bytes());
    let printer = Printer::new(crate::cli::Output::Text, is_workflow()).in_colour();
    output::early_outputs(settings::output_file().as_deref(), Exit::BadInput, printer);
    ExitCode::from(Exit::BadInput.code())
}

fn is_workflow() -> bool {
    std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true")
}

/// Does what was asked for. A command on a host that has ended leaves its exit code in `passed_on`.
fn dispatch(cli: Cli, printer: Printer, passed_on: &Cell<Option<u8>>) -> Exit {
    if let Some(Command::Replay { events }) = &cli.command {
        return replay::replay(events, &printer);
    }
    let quiet = cli.common.quiet;
    let asked_of_iam = match &cli.command {
        Some(Command::Iam(asked)) => asked.clone(),
        _ => Iam::default(),
    };
    let asked_of_logs = match &cli.command {
        Some(Command::Logs(Logs { since, tail, follow, .. })) => {
            logs::Asked { since: *since, tail: *tail, follow: *follow }
        }
        _ => logs::Asked { since: None, tail: 100, follow: false },
    };
    let asked_of_host = match &cli.command {
        Some(Command::Instances(Instances { action: InstancesAction::Ssh { command, .. } })) => command.clone(),
        _ => Vec::new(),
    };
    let settings = match Settings::read(flags(cli)) {
        Ok(settings) => settings,
        Err(error) => {
            let failure = Failure::failed_to(Exit::BadInput, "read the settings of this run").because_of(&error);
            return end_early(&failure.hint(error.hint()), settings::output_file().as_deref(), printer);
        }
    };
    start_diagnosis(settings.debug);
    if let Some(number) = settings.trigger.as_ref().and_then(|trigger| trigger.without_secrets()) {
        return end_on_fork(number, &settings, printer);
    }
    let early = |failure: &Failure| end_early(failure, settings.output_file(), printer);
    let file = match check::read(&settings.config) {
        Ok(file) => file,
        Err(failure) => return early(&failure),
    };
    let only_check = settings.command == settings::Command::Check;
    let regions = match check::check(&file, &settings, &printer, only_check) {
        Ok(config) if !only_check => {
            let meant = refuse_unknown_services(&config, &settings).and_then(|()| regions::meant(config, &settings));
            match meant {
                Ok(regions) => regions,
                Err(failure) => return early(&failure),
            }
        }
        checked => {
            let exit = checked.err().unwrap_or(Exit::Serves);
            output::early_outputs(settings.output_file(), exit, printer);
            return exit;
        }
    };
    let [config, ..] = regions.as_slice() else { return Exit::Serves };
    if settings.command == settings::Command::Iam {
        return iam::run(config, &settings, &asked_of_iam, printer);
    }
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => tokio::task::LocalSet::new().block_on(&runtime, async {
            match settings.command {
                settings::Command::Lease | settings::Command::Releases => past::run(&regions, &settings, printer).await,
                settings::Command::Tag | settings::Command::Push => {
                    images::run(config, &settings, quiet, printer).await
                }
                settings::Command::Logs => logs::run(config, &settings, asked_of_logs, printer).await,
                settings::Command::InstancesSsh => {
                    ssh::run(config, &settings, &asked_of_host, passed_on, printer).await
                }
                settings::Command::InstancesPs => instances::ps(&regions, &settings, printer).await,
                settings::Command::Doctor => doctor::run(&regions, &settings, printer).await,
                settings::Command::Previews => previews::show(&regions, &settings, printer).await,
                settings::Command::Sweep => previews::sweep(&regions, &settings, quiet, printer).await,
                _ => match previews::wish(config, &settings) {
                    Wish::Ship => regions::run(&regions, &settings, quiet, printer, None).await,
                    Wish::Remove(cause) => regions::run(&regions, &settings, quiet, printer, Some(&cause.into())).await,
                    Wish::Nothing(why) => leave(&why, &settings, printer),
                },
            }
        }),
        Err(error) => early(&Failure::failed_to(Exit::Defect, "start the runtime").because_of(&error)),
    }
}

/// Refuses services that the file does not have.
fn refuse_unknown_services(config: &Config, settings: &Settings) -> Result<(), Failure> {
    if let Some(unknown) = settings.services.keys().find(|service| !config.services.contains_key(*service)) {
        let known: Vec<String> = config.services.keys().map(|service| format!("`{service}`")).collect();
        let failure = Failure::new(Exit::BadInput, format!("skipper.yml has no service `{unknown}` to deploy"));
        return Err(
            failure.hint(format!("correct the service's name (input `services`): there is {}", known.join(", ")))
        );
    }
    Ok(())
}

/// A run on a pull request whose workflow gets no secrets can do nothing, and whoever opened it cannot change that.
fn end_on_fork(number: u64, settings: &Settings, printer: Printer) -> Exit {
    let why = format!("pull request {number} gets no secrets and no AWS role: it is from a fork, or Dependabot's");
    if settings.fork == Verdict::Fail {
        let failure = Failure::new(Exit::Refused, why).hint("leave out `fork: fail` where such a run is no failure");
        return end_early(&failure, settings.output_file(), printer);
    }
    leave(&why, settings, printer)
}

/// Ends well without having done anything; a workflow shows why with the job.
fn leave(why: &str, settings: &Settings, printer: Printer) -> Exit {
    let why = text::line(&format!("nothing is done: {why}"));
    printer.log(&[if printer.is_workflow() { format!("::notice::{why}") } else { format!("notice: {why}") }]);
    output::skipped_outputs(settings.output_file(), printer);
    Exit::Serves
}

/// Tells why a run ended before it began.
fn end_early(failure: &Failure, outputs: Option<&Path>, printer: Printer) -> Exit {
    printer.log(&failure_lines("error", failure, printer.is_workflow()));
    output::early_outputs(outputs, failure.exit, printer);
    failure.exit
}

/// What the command line says, in the terms of the settings.
fn flags(cli: Cli) -> Flags {
    let Common { config, environment, region, host_timeout, events, .. } = cli.common;
    let flags = Flags { config, environment, region, host_timeout, events, ..Flags::default() };
    match cli.command {
        None => flags,
        Some(Command::Ship(Ship { about, rebuild, expect_plan, wait: Wait { wait } })) => {
            Flags { command: Some(settings::Command::Ship), rebuild, expect_plan, wait, ..with_about(flags, about) }
        }
        Some(Command::Tag(Named { services, revision })) => {
            Flags { command: Some(settings::Command::Tag), services: named(services), revision, ..flags }
        }
        Some(Command::Push(Named { services, revision })) => {
            Flags { command: Some(settings::Command::Push), services: named(services), revision, ..flags }
        }
        Some(Command::Deploy(Deploy { named: services, about, expect_plan, wait: Wait { wait } })) => {
            let flags = with_about(flags, about);
            let services = named(services).or(flags.services);
            Flags { command: Some(settings::Command::Deploy), services, expect_plan, wait, ..flags }
        }
        Some(Command::Remove(Remove { uuid, wait: Wait { wait } })) => {
            Flags { command: Some(settings::Command::Remove), uuid: Some(uuid), wait, ..flags }
        }
        Some(Command::Clean(Clean { services, cutoff, hosts, wait: Wait { wait } })) => {
            let services = named(services);
            Flags { command: Some(settings::Command::Clean), services, cutoff, clean_hosts: hosts, wait, ..flags }
        }
        Some(Command::Logs(Logs { name, .. })) => Flags { command: Some(settings::Command::Logs), uuid: name, ..flags },
        Some(Command::Instances(instances)) => match instances.action {
            InstancesAction::Deploy { allow_terminate, allow_data_loss, prune_rules, wait: Wait { wait } } => {
                let command = Some(settings::Command::InstancesDeploy);
                Flags { command, allow_terminate, allow_data_loss, prune_rules, wait, ..flags }
            }
            InstancesAction::Remove { uuid, force, allow_data_loss, wait: Wait { wait } } => {
                let command = Some(settings::Command::InstancesRemove);
                Flags { command, uuid: Some(uuid), force, allow_data_loss, wait, ..flags }
            }
            InstancesAction::Reboot { uuid, wait: Wait { wait } } => {
                Flags { command: Some(settings::Command::InstancesReboot), uuid, wait, ..flags }
            }
            InstancesAction::Ps => Flags { command: Some(settings::Command::InstancesPs), ..flags },
            InstancesAction::Ssh { uuid, .. } => {
                Flags { command: Some(settings::Command::InstancesSsh), uuid: Some(uuid), ..flags }
            }
        },
        Some(Command::Plan(about)) => Flags { command: Some(settings::Command::Plan), ..with_about(flags, about) },
        Some(Command::Lease(lease)) => {
            Flags { command: Some(settings::Command::Lease), break_lease: lease.break_it, ..flags }
        }
        Some(Command::Doctor) => Flags { command: Some(settings::Command::Doctor), ..flags },
        Some(Command::Releases) => Flags { command: Some(settings::Command::Releases), ..flags },
        Some(Command::Previews(previews)) => match previews.action {
            None => Flags { command: Some(settings::Command::Previews), ..flags },
            Some(PreviewsAction::Sweep { wait: Wait { wait } }) => {
                Flags { command: Some(settings::Command::Sweep), wait, ..flags }
            }
        },
        Some(Command::Ps) => Flags { command: Some(settings::Command::Ps), ..flags },
        Some(Command::Iam(Iam { repository, repository_ids, .. })) => {
            Flags { command: Some(settings::Command::Iam), repository, repository_ids, ..flags }
        }
        Some(Command::Check | Command::Replay { .. }) => Flags { command: Some(settings::Command::Check), ..flags },
    }
}

fn named(services: Vec<String>) -> Option<String> {
    (!services.is_empty()).then(|| services.join(" "))
}

fn with_about(flags: Flags, about: About) -> Flags {
    let About { revision, services, allow_terminate, allow_data_loss, prune_rules, pull_request } = about;
    Flags { revision, services, allow_terminate, allow_data_loss, prune_rules, pull_request, ..flags }
}

/// Diagnosis is for developers and goes to standard error; what users read comes from events.
fn start_diagnosis(debug: bool) {
    use tracing_subscriber::{EnvFilter, fmt};
    let default = if debug { "skipper=debug,skipper_deploy=debug,warn" } else { "error" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    fmt().with_env_filter(filter).with_writer(|| output::Diagnosis).init();
}
