//! `logs`: what replicas have printed, of all hosts in the order of time, once or as it comes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use skipper_core::{
    config::Config,
    exit::Exit,
    failure::Failure,
    log::{LogLine, LogOf},
    name::ReplicaName,
    observed::{InstanceId, Observed, ObservedReplica},
    orchestrator::fleet::Fleet,
    render::{log::failure_lines, text},
};
use skipper_deploy::{
    cancel::Cancel,
    logs::{Logs, Read},
};
use tokio::time::sleep;

use super::{
    lookout::Lookout,
    output::{self, Printer},
    run,
};
use crate::settings::Settings;

/// Between two looks for what is new.
const PAUSE: Duration = Duration::from_secs(2);

/// Looks from one look at what runs to the next.
const LOOKS_AT_HOSTS: u64 = 10;
/// Lines of each replica that are shown of one look; who prints more is not followed by a person.
const AT_A_LOOK: u32 = 10_000;

/// Which lines are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// No older than this; any when absent.
    pub(crate) since: Option<Duration>,
    /// The most of each replica.
    pub(crate) tail: u32,
    /// Whether to go on with what comes.
    pub(crate) follow: bool,
}

/// Shows what the replicas have printed that are meant.
pub(crate) async fn run(config: &Config, settings: &Settings, asked: Asked, printer: Printer) -> Exit {
    run::install_tls();
    let cancel = Cancel::default();
    run::listen_for_signals(&cancel);
    let shown = cancel.within(Duration::ZERO, show(config, settings, asked, printer)).await;
    match shown {
        // Who follows ends by saying so.
        None if asked.follow => Exit::Serves,
        None => Exit::Cancelled,
        Some(Ok(())) => {
            output::early_outputs(settings.output_file(), Exit::Serves, printer);
            Exit::Serves
        }
        Some(Err(failure)) => super::end_early(&failure, settings.output_file(), printer),
    }
}

async fn show(config: &Config, settings: &Settings, asked: Asked, printer: Printer) -> Result<(), Failure> {
    if asked.follow && printer.is_json() {
        let failure = Failure::new(Exit::BadInput, "`--follow` has no end, and `--output json` is one document");
        return Err(failure.hint("leave one of them out"));
    }
    let lookout = Lookout::connect(config, settings, printer).await?;
    let (eyes, scope) = (lookout.eyes(), &lookout.scope);
    let observed = eyes.observe_shared(&lookout.hosts_of, scope).await?;
    run::tell_gaps(&observed, printer);
    let now = micros(Timestamp::now());
    let since = asked.since.map(|since| now.saturating_sub(u64::try_from(since.as_micros()).unwrap_or(u64::MAX)));
    let mut hosts = meant(settings.uuid.as_deref(), since, config, &observed)?;
    let logs = Logs { remote: &lookout.remote, orchestrator: &Fleet, scope };
    let mut read = logs.read(asked.tail, &run::nonce(), &hosts).await;
    let mut is_read = tell(settings, &mut read, asked.follow, printer);
    if read.lines.is_empty() && read.failures.len() >= hosts.len().max(1) {
        return Err(Failure::new(Exit::Blocked, "no host told what its replicas have printed"));
    }
    if !asked.follow {
        return Ok(());
    }
    for look in 1_u64.. {
        if !is_read {
            break;
        }
        // By each host's own clock: what it told last, else from now on.
        for (instance, of_host) in &mut hosts {
            let own = read.lines.iter().filter(|(told_by, _)| told_by == instance);
            let last = own.map(|(_, line)| line.at.saturating_add(1)).max();
            of_host.since = last.or(of_host.since).or(Some(now));
        }
        sleep(PAUSE).await;
        if look.is_multiple_of(LOOKS_AT_HOSTS) {
            // A deployment puts others in the place of those that were meant.
            let observed = eyes.observe_shared(&lookout.hosts_of, scope).await?;
            let former = std::mem::replace(&mut hosts, meant(settings.uuid.as_deref(), Some(now), config, &observed)?);
            for (instance, of_host) in &mut hosts {
                of_host.since = former.get(instance).map_or(of_host.since, |former| former.since);
            }
        }
        read = logs.read(AT_A_LOOK, &run::nonce(), &hosts).await;
        is_read = tell(settings, &mut read, true, printer);
    }
    Ok(())
}

/// Shows the lines, and says which hosts told none. Whether somebody reads them.
fn tell(settings: &Settings, read: &mut Read, follow: bool, printer: Printer) -> bool {
    for failure in &read.failures {
        printer.log(&failure_lines("warning", failure, printer.is_workflow()));
    }
    for (_, line) in &mut read.lines {
        line.text = settings.concealed(std::mem::take(&mut line.text));
    }
    if !follow {
        printer.json(&read.lines.iter().map(|(_, line)| line).collect::<Vec<_>>());
    }
    let shown = |(_, line): &(InstanceId, LogLine)| text::line(&format!("{} | {}", line.replica, line.text));
    read.lines.iter().all(|line| printer.text(&shown(line)))
}

/// The replicas of a service, the one of that name, or all of them, by host.
fn meant(
    name: Option<&str>,
    since: Option<u64>,
    config: &Config,
    observed: &Observed,
) -> Result<BTreeMap<InstanceId, LogOf>, Failure> {
    let is_meant = |found: &ObservedReplica| {
        let replica = &found.replica;
        name.is_none_or(|name| name == replica.service.as_ref() || name == replica.to_string())
    };
    let mut hosts: BTreeMap<InstanceId, LogOf> = BTreeMap::new();
    for (host, found) in observed.replicas().filter(|(_, found)| is_meant(found)) {
        let Some(instance) = observed.hosts.get(host).map(|host| host.instance.clone()) else { continue };
        let of_host = hosts.entry(instance).or_insert_with(|| LogOf { offset: 0, since, replicas: Vec::new() });
        of_host.replicas.push((found.replica.clone(), found.handle.clone()));
    }
    match name.filter(|_| hosts.is_empty()) {
        None => Ok(hosts),
        Some(name) if config.services.keys().any(|service| service.as_ref() == name) => Ok(hosts),
        Some(name) if name.parse::<ReplicaName>().is_ok() && !observed.gaps.is_empty() => {
            let failure = Failure::new(Exit::Blocked, format!("no host that answers has a replica `{name}`"));
            Err(failure.hint("see why the others do not answer, and ask again"))
        }
        Some(name) => {
            let services = config.services.keys().map(ToString::to_string);
            let replicas = observed.replicas().map(|(_, found)| found.replica.to_string());
            let known: BTreeSet<String> = services.chain(replicas).collect();
            let known: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
            let failure = Failure::new(Exit::BadInput, format!("there is no service and no replica `{name}`"));
            Err(failure.hint(format!("name one of {}", known.join(", "))))
        }
    }
}

fn micros(moment: Timestamp) -> u64 {
    u64::try_from(moment.as_microsecond()).unwrap_or_default()
}
