//! `instances ssh`: a shell on a host through a session of Systems Manager, or one command there through Run Command.

mod plugin;
mod shown;

use std::{
    cell::Cell,
    io::{self, IsTerminal as _},
    time::Duration,
};

use skipper_core::{
    command::shell_text,
    config::Config,
    desired::Scope,
    exit::Exit,
    failure::Failure,
    name::HostName,
    observed::{Agent, InstanceId},
    orchestrator::fleet::Fleet,
    render::log::failure_lines,
};
use skipper_deploy::{
    cancel::Cancel,
    command::{Command, find_host},
};
use tokio::time::timeout;

use self::shown::Shown;
use super::{
    lookout::Lookout,
    output::{self, Printer},
    run,
};
use crate::{
    aws::{Aws, RunCommand},
    settings::Settings,
};

/// For ending a command whose user has gone: a runner follows its wish to stop with SIGKILL after ten seconds.
const END_WITHIN: Duration = Duration::from_secs(6);

/// Opens a shell, or carries a command out and leaves its exit code.
pub(crate) async fn run(
    config: &Config,
    settings: &Settings,
    words: &[String],
    passed_on: &Cell<Option<u8>>,
    printer: Printer,
) -> Exit {
    run::install_tls();
    let done = match words {
        [] => shell(config, settings, printer).await.map(|never| match never {}),
        words => command(config, settings, words, printer).await.map(|code| passed_on.set(Some(code))),
    };
    match done {
        Ok(()) => {
            output::early_outputs(settings.output_file(), Exit::Serves, printer);
            Exit::Serves
        }
        Err(failure) => super::end_early(&failure, settings.output_file(), printer),
    }
}

/// The host that is meant, and the way to it.
async fn connect(
    config: &Config,
    settings: &Settings,
    printer: Printer,
) -> Result<(Aws, RunCommand, Scope, (HostName, InstanceId)), Failure> {
    let lookout = Lookout::connect(config, settings, printer).await?;
    let uuid = settings.uuid.as_deref().unwrap_or_default();
    let (host, instance, agent) = find_host(&lookout.eyes(), &lookout.hosts_of, uuid).await?;
    if agent != Agent::Online {
        let failure =
            Failure::new(Exit::Blocked, format!("the SSM agent of host `{host}` (`{instance}`) does not answer"));
        return Err(
            failure.hint("see whether the instance runs and is healthy, with `skipper instances ps`, and try again")
        );
    }
    let Lookout { aws, remote, hosts_of, .. } = lookout;
    Ok((aws, remote, hosts_of, (host, instance)))
}

/// Never returns where it succeeds: the plugin takes the place of this process, so that a terminal's signals are its own.
async fn shell(config: &Config, settings: &Settings, printer: Printer) -> Result<std::convert::Infallible, Failure> {
    // What is missing on this machine is told before anything is opened.
    let plugin = plugin::find()?;
    if !io::stdin().is_terminal() {
        let failure = Failure::new(Exit::BadInput, "a shell needs a terminal, and standard input is none");
        return Err(failure.hint("run a command in its place: `skipper instances ssh UUID -- COMMAND`"));
    }
    let (aws, remote, _, (host, instance)) = connect(config, settings, printer).await?;
    let during = |failure: Failure| failure.during(format!("open a shell on host `{host}`"));
    let session = remote.start_session(&instance).await.map_err(|error| during(error.failure))?;
    let failure = plugin.take_over(&session, aws.region());
    remote.terminate_session(&session).await;
    Err(during(failure))
}

/// Carries a command out; its exit code.
async fn command(config: &Config, settings: &Settings, words: &[String], printer: Printer) -> Result<u8, Failure> {
    if printer.is_json() {
        let failure = Failure::new(Exit::BadInput, "what a command prints is its own, and no document of skipper's");
        return Err(failure.hint("leave out `--output json`"));
    }
    let cancel = Cancel::default();
    run::listen_for_signals(&cancel);
    let cancelled = || Failure::new(Exit::Cancelled, "cancelled before the command began");
    let connected = cancel.within(Duration::ZERO, connect(config, settings, printer)).await;
    let (_, remote, scope, (host, instance)) = connected.ok_or_else(cancelled)??;
    let asked = run::nonce();
    let command = Command { remote: &remote, orchestrator: &Fleet, scope: &scope, instance: &instance, asked: &asked };
    let conceal = |text| settings.concealed(text);
    let mut shown = Shown::new(printer, &conceal);
    let text = shell_text(words);
    let carrying = command.carry_out(&text, |stream, bytes| shown.take(stream, bytes));
    let carried = cancel.within(Duration::ZERO, carrying).await;
    shown.finish();
    let goes_on = |failure: Failure| {
        let unit = format!("skipper-command-{asked}");
        failure.hint(format!("it may go on: `skipper instances ssh {host} -- systemctl stop {unit}` ends it"))
    };
    match carried {
        Some(Ok(code)) => {
            // What it printed is no longer needed. Left over, it goes with the next command.
            if let Err(failure) = command.end().await {
                tracing::debug!("{failure}");
            }
            Ok(code)
        }
        Some(Err(failure)) => Err(goes_on(failure.during(format!("run a command on host `{host}`")))),
        None => {
            let failure = Failure::new(Exit::Cancelled, format!("cancelled while the command ran on host `{host}`"));
            match timeout(END_WITHIN, command.end()).await {
                Ok(Ok(())) => {
                    let ended = Failure::new(Exit::Serves, format!("the command on host `{host}` was ended"));
                    printer.log(&failure_lines("notice", &ended, false));
                    Err(failure)
                }
                Ok(Err(why)) => Err(goes_on(failure.because(format!("it could not be ended: {why}")))),
                Err(_) => Err(goes_on(failure.because("the host did not say in time whether it has ended"))),
            }
        }
    }
}
