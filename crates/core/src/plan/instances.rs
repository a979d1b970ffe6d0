//! What somebody asks for about one host, whatever the file says of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Draft, Paused, Plan, Reason, etcd, replacing, replicas, volumes};
use crate::{
    desired::Desired,
    etcd::MemberState,
    name::{HostName, ServiceName},
    observed::{HostReport, Observed, ObservedHost, ObservedReplica},
    orchestrator::Orchestrator,
};

/// What it takes to be without one host: its member of etcd moves first, then its replicas stop, then its instance is terminated.
///
/// Named volumes on it need to be allowed to go. Without force the last member of etcd stays, and so does the last replica of a service
/// that serves, and a host that does not tell what it runs. It is total, as every plan.
pub fn without_host(
    desired: &Desired,
    observed: &Observed,
    orchestrator: &dyn Orchestrator,
    host: &HostName,
    force: bool,
) -> Plan {
    let asked = observed.gaps.iter().filter(|gap| gap.host.as_ref() != Some(host));
    let asked = Observed { gaps: asked.cloned().collect(), ..observed.clone() };
    if let Some(first) = etcd::first_part(&asked) {
        return first;
    }
    let mut draft = Draft::default();
    let Some(found) = observed.hosts.get(host) else { return draft.finish() };
    draft.block_gaps(&asked);
    refuse_unless_forced(observed, host, found, force, &mut draft);
    volumes::may_go(desired, host, found.report.as_ref(), &mut draft);
    replacing::take_away(desired, observed, orchestrator, host, false, &Reason::AskedFor, &mut draft);
    draft.finish()
}

/// What a host is to come back to when it has rebooted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebooted {
    /// The boot that it is to get behind it; absent where it does not tell.
    boot: Option<String>,
    /// The replicas that serve on it.
    serving: Vec<Paused>,
}

/// What these hosts are to come back to, as they were found.
pub fn to_reboot(observed: &Observed, hosts: impl IntoIterator<Item = HostName>) -> BTreeMap<HostName, Rebooted> {
    let rebooted = |host: HostName| {
        let report = observed.hosts.get(&host).and_then(|found| found.report.as_ref());
        let serving = serving_on(observed, &host);
        (host, Rebooted { boot: report.and_then(|report| report.boot.clone()), serving })
    };
    hosts.into_iter().map(rebooted).collect()
}

/// What serves on a host, as it is started again once it was stopped.
pub(super) fn serving_on(observed: &Observed, host: &HostName) -> Vec<Paused> {
    let serving = replicas::found_on(observed, host).into_iter().filter(|found| replicas::serves(found));
    let paused = |found: &ObservedReplica| Paused {
        replica: found.replica.clone(),
        handle: found.handle.clone(),
        probe: found.probe.clone(),
    };
    serving.map(paused).collect()
}

/// What is left to do until these hosts have rebooted and serve what they did: one host after another, each drained first. Every
/// host has to answer, and all members of etcd. It is total, as every plan.
pub fn rebooting(observed: &Observed, hosts: &BTreeMap<HostName, Rebooted>) -> Plan {
    if let Some(first) = etcd::first_part(observed) {
        return first;
    }
    let mut draft = Draft::default();
    draft.block_gaps(observed);
    let silent = |found: &ObservedHost| {
        let members = found.report.iter().flat_map(|report| &report.etcd);
        members.filter(|member| member.state != MemberState::Healthy).map(|member| member.address.clone()).collect()
    };
    let silent: BTreeSet<String> = observed.hosts.values().flat_map(|found| -> Vec<String> { silent(found) }).collect();
    for address in silent {
        let hint = "see `journalctl -u etcd-member` on its host; `skipper deploy` finishes what was begun";
        draft.block("etcd", format!("its member at {address} does not answer, and no other may be missing"), hint);
    }
    let mut last = None;
    for (host, rebooted) in hosts {
        let what = || format!("host `{host}`");
        let report = observed.hosts.get(host).and_then(|found| Some((found, found.report.as_ref()?)));
        let Some((found, report)) = report else {
            draft.block(what(), "it does not tell what it runs", "see whether its instance is well, and run again");
            continue;
        };
        if !report.held_ports.is_empty() {
            draft.block(what(), "replicas of other environments run on it", "reboot it when they are gone");
            continue;
        }
        let serving: Vec<&ObservedReplica> =
            replicas::found_on(observed, host).into_iter().filter(|found| replicas::serves(found)).collect();
        let serves = |paused: &&Paused| serving.iter().any(|found| found.handle == paused.handle);
        let (draining, missing): (Vec<&Paused>, Vec<&Paused>) = rebooted.serving.iter().partition(serves);
        let owned = |replicas: Vec<&Paused>| -> Vec<Paused> { replicas.into_iter().cloned().collect() };
        let resumed = match &rebooted.boot {
            Some(boot) if report.boot.as_ref() == Some(boot) => {
                if !draining.is_empty() {
                    let action = Action::StopReplicas { host: host.clone(), replicas: owned(draining) };
                    last = Some(draft.step(action, Reason::HostReboots, last));
                }
                let (host, instance) = (host.clone(), found.instance.clone());
                let action = Action::RebootHost { host, instance, boot: boot.clone() };
                last = Some(draft.step(action, Reason::AskedFor, last));
                rebooted.serving.clone()
            }
            Some(_) => owned(missing),
            None => {
                draft.block(what(), "it does not tell its boot", "`skipper instances deploy` configures it anew");
                continue;
            }
        };
        if !resumed.is_empty() {
            let action = Action::ResumeReplicas { host: host.clone(), replicas: resumed };
            last = Some(draft.step(action, Reason::ServedBefore, last));
        }
    }
    draft.finish()
}

fn refuse_unless_forced(observed: &Observed, host: &HostName, found: &ObservedHost, force: bool, draft: &mut Draft) {
    const FORCE: &str = "`--force` removes it all the same";
    let what = format!("host `{host}`");
    let tells = |report: &&HostReport| report.configured.is_none() || !report.is_silent();
    let Some(report) = found.report.as_ref().filter(tells) else {
        if !force {
            let gap = observed.gaps.iter().find(|gap| gap.host.as_ref() == Some(host));
            let why = gap.map_or_else(|| format!("its instance is {}", found.state.word()), |gap| gap.what.clone());
            draft.block(what, format!("{why}, and what it runs is not known"), FORCE);
        }
        return;
    };
    if !report.held_ports.is_empty() {
        draft.block(what, "replicas of other environments run on it", "remove those first");
        return;
    }
    if force {
        return;
    }
    let others = || observed.hosts.iter().filter(|(other, _)| *other != host);
    if report.membership != crate::etcd::Membership::None && !others().any(|(_, found)| found.is_configured()) {
        draft.block(
            what.clone(),
            "it has the last member of etcd, and there is no other host that could have one",
            FORCE,
        );
    }
    let serving = |found: &ObservedHost| -> BTreeSet<ServiceName> {
        let replicas = found.report.iter().flat_map(|report| &report.replicas);
        let serving = replicas.filter(|found: &&ObservedReplica| replicas::serves(found));
        serving.map(|found| found.replica.service.clone()).collect()
    };
    let elsewhere: BTreeSet<ServiceName> = others().flat_map(|(_, found)| serving(found)).collect();
    for service in serving(found).difference(&elsewhere) {
        draft.block(what.clone(), format!("no other host serves `{service}`"), FORCE);
    }
}
