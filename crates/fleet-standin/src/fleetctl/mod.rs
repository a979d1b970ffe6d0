//! `fleetctl`: reads its command line, finds the cluster, carries out one command.

mod flags;
mod lists;
mod units;

use std::time::Duration;

use crate::client::{Api, Fleet};
use crate::console::Console;
use crate::etcd::Etcd;
use crate::http::{BadEndpoint, Endpoint};
use crate::registry::Registry;
use crate::{REFUSED, VERSION};

use flags::{Mistake, Parsed, UNSUPPORTED, usage};

/// What fleetctl exits with when it could not do what it was told; mistakes of the command line exit 0.
const FAILED: u8 = 1;

/// Runs `fleetctl args` and returns its exit code.
pub async fn main(args: &[String], console: &mut Console) -> u8 {
    if args.is_empty() {
        console.out_raw(&usage(None));
        return 0;
    }
    if matches!(&*args[0], "--version" | "-v") {
        return version(console);
    }
    let line = match flags::parse(args, |name| std::env::var(name).ok()) {
        Ok(line) => line,
        Err(Mistake::UnknownCommand(name)) => {
            let message = format!("unknown command {name:?} for \"fleetctl\"");
            console.err(&format!(
                "Error: {message}\nRun 'fleetctl --help' for usage.\ncannot execute cmdFleet: {message}"
            ));
            return 0;
        }
        Err(Mistake::Flag { command, message }) => {
            console.out_raw(&usage(command));
            console.err(&format!("Error: {message}\n\ncannot execute cmdFleet: {message}"));
            return 0;
        }
        Err(Mistake::Help { command }) => {
            console.out_raw(&usage(command));
            return 0;
        }
    };
    match line.command.map(|command| command.name) {
        None => {
            console.out_raw(&usage(None));
            0
        }
        Some("help") => {
            let topic = line.arguments.first().map(String::as_str);
            let known = topic.filter(|topic| flags::COMMANDS.iter().any(|command| command.name == *topic));
            if let Some(topic) = topic.filter(|_| known.is_none()) {
                console.err_raw(&format!("Unknown help topic [`{topic}`]."));
            }
            console.out_raw(&usage(known));
            0
        }
        Some("verify") => {
            console.err("Command \"verify\" is deprecated, DEPRECATED - No longer works");
            console.err("WARNING: The signed/verified units feature is DEPRECATED and cannot be used.");
            2
        }
        Some(name @ ("fd-forward" | "restart" | "ssh")) => refuse(console, &format!("`fleetctl {name}`")),
        Some(name) => {
            if let Some(flag) = UNSUPPORTED.iter().find(|flag| !line.value(flag).is_empty()) {
                return refuse(console, &format!("`--{flag}`"));
            }
            with_cluster(name, &line, console).await
        }
    }
}

fn version(console: &mut Console) -> u8 {
    console.out(&format!("fleetctl version {VERSION}"));
    0
}

fn refuse(console: &mut Console, what: &str) -> u8 {
    console.err(&format!("{what}: the lab's fleet stand-in does not do that (`--fleet` takes the real one)"));
    REFUSED
}

/// Finds the cluster by driver and endpoint, then carries out the command `name`.
async fn with_cluster(name: &str, line: &Parsed, console: &mut Console) -> u8 {
    let endpoint = line.value("endpoint");
    let unusable = |console: &mut Console, error: BadEndpoint| {
        console.err(&format!("Unable to initialize client: {error}"));
        if matches!(error, BadEndpoint::Unsupported(_)) { REFUSED } else { FAILED }
    };
    match &*line.value("driver") {
        "API" => match Endpoint::parse(endpoint.split(',').next().unwrap_or_default()) {
            Ok(endpoint) => carry_out(name, line, &Api::new(endpoint), console).await,
            Err(error) => unusable(console, error),
        },
        "etcd" => {
            let timeout = line.value("request-timeout").parse().unwrap_or(3.0);
            let timeout = Duration::try_from_secs_f64(timeout).unwrap_or_default();
            match Etcd::new(endpoint.split(','), timeout) {
                Ok(etcd) => {
                    let registry = Registry::new(etcd, &line.value("etcd-key-prefix"));
                    // fleetctl first compares its own version with the cluster's, which only shows when it can't.
                    if let Err(error) = registry.machines().await {
                        let what = "error attempting to check latest fleet version in Registry";
                        console.err(&logged("ERROR fleetctl.go:211", &format!("{what}: {error}")));
                    }
                    carry_out(name, line, &registry, console).await
                }
                Err(error) => unusable(console, error),
            }
        }
        other => {
            console.err(&format!("Unable to initialize client: unrecognized driver {other:?}"));
            FAILED
        }
    }
}

/// A log line of fleetctl, which unlike fleetd puts the time before it.
fn logged(place: &str, message: &str) -> String {
    let now = jiff::Zoned::now().strftime("%Y/%m/%d %H:%M:%S").to_string();
    format!("{now} {place}: {}", message.trim_end())
}

async fn carry_out(name: &str, line: &Parsed, fleet: &impl Fleet, console: &mut Console) -> u8 {
    match name {
        "list-machines" => lists::machines(line, fleet, console).await,
        "list-unit-files" => lists::unit_files(line, fleet, console).await,
        "list-units" => lists::units(line, fleet, console).await,
        "cat" => units::cat(line, fleet, console).await,
        "status" => units::status(line, fleet, console).await,
        "journal" => units::journal(line, fleet, console).await,
        "destroy" => units::destroy(line, fleet, console).await,
        "submit" => units::submit(line, fleet, console).await,
        "load" | "start" => units::load_or_start(name, line, fleet, console).await,
        "stop" | "unload" => units::stop_or_unload(name, line, fleet, console).await,
        _ => version(console),
    }
}
