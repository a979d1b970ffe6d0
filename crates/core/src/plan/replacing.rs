//! Hosts that cannot become what the file says: each is taken away and launched anew, one after another.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Action, Draft, Pass, Reason, Removal, StepId, etcd::Etcd, forecast, network::Network, replicas, roll_out, volumes,
};
use crate::{
    config::InstanceType,
    desired::Desired,
    name::{HostName, ServiceName},
    observed::{Observed, ObservedHost},
    orchestrator::Orchestrator,
};

/// Why a host has to be launched anew to get a size; nothing where its instance can be given it.
pub fn why_replaced(found: &ObservedHost, size: &InstanceType) -> Option<Reason> {
    let (from, size) = (found.size.clone(), size.to_string());
    if from == size {
        return None;
    }
    let is_another =
        |found: InstanceType| size.parse().is_ok_and(|size: InstanceType| size.architecture() != found.architecture());
    if from.parse().is_ok_and(is_another) {
        return Some(Reason::ProcessorDiffers { from, size });
    }
    found.instance_store.then_some(Reason::DiskWouldBeLost { from, size })
}

/// The hosts that a plan replaces, in order, with why. One that does not answer, runs what this run cannot start again, or has data
/// that may not be lost, blocks the plan.
pub(super) fn due(desired: &Desired, observed: &Observed, draft: &mut Draft) -> BTreeMap<HostName, Reason> {
    let mut due = BTreeMap::new();
    for host in desired.hosts() {
        let Some((group, found)) = desired.group_of(&host).zip(observed.hosts.get(&host)) else { continue };
        let Some(reason) = why_replaced(found, &group.size) else { continue };
        if desired.shares_hosts() {
            // That is told where hosts are resized.
        } else if desired.hosts_only {
            draft.notes.push(format!(
                "host `{host}` stays, as hosts are only brought up: {reason}, so `skipper deploy` replaces it"
            ));
        } else if found.report.is_none() {
            // Where it has never answered, too: it may run what it ran, and Systems Manager not list it for a moment.
            draft.block(
                format!("host `{host}`"),
                format!("{reason}, and it does not answer; what is not known is not replaced"),
                "run again when its SSM agent is online, or terminate the instance yourself: it is launched anew",
            );
        } else if let Some(service) = left_alone_on(&host, desired, observed) {
            draft.block(
                format!("host `{host}`"),
                format!("{reason}; replacing it would end `{service}`, which this run does not deploy"),
                "deploy all services, or put the former size back",
            );
        } else if volumes::may_go(desired, &host, found.report.as_ref(), draft) {
            due.insert(host, reason);
        }
    }
    tell(observed, &due, draft);
    due
}

/// A service that runs on a host, and is neither deployed nor taken away.
fn left_alone_on<'a>(host: &HostName, desired: &Desired, observed: &'a Observed) -> Option<&'a ServiceName> {
    let mut services = replicas::found_on(observed, host).into_iter().map(|found| &found.replica.service);
    services.find(|service| desired.left_alone.contains(*service))
}

/// Says what is lost, and what serves nowhere in the meantime.
fn tell(observed: &Observed, due: &BTreeMap<HostName, Reason>, draft: &mut Draft) {
    if due.is_empty() {
        return;
    }
    let names: Vec<String> = due.keys().map(|host| format!("`{host}`")).collect();
    let (hosts, are) = if due.len() == 1 { ("host", "is") } else { ("hosts", "are") };
    draft.notes.push(format!(
        "{hosts} {} {are} replaced, one at a time: the disk of each goes with its instance, and its addresses change (`address: elastic` \
         keeps the public one)",
        names.join(", ")
    ));
    let mut serving: BTreeMap<&ServiceName, BTreeSet<&HostName>> = BTreeMap::new();
    for (host, found) in observed.replicas().filter(|(_, found)| replicas::serves(found)) {
        serving.entry(&found.replica.service).or_default().insert(host);
    }
    for (service, hosts) in serving {
        if let (1, Some(host)) = (hosts.len(), hosts.first().filter(|host| due.contains_key(**host))) {
            draft.notes.push(format!("`{service}` serves on host `{host}` alone, and nowhere until that is replaced"));
        }
    }
}

/// Replaces these hosts, which the plan so far has left as they were: each is taken away, comes back, and serves, before the next
/// goes. The world as it is then.
pub(super) fn one_after_another(
    desired: &Desired,
    observed: &Observed,
    orchestrator: &dyn Orchestrator,
    due: BTreeMap<HostName, Reason>,
    draft: &mut Draft,
) -> Observed {
    let mut world = observed.clone();
    let mut seen = 0;
    let mut foresee = |world: &mut Observed, draft: &mut Draft| {
        *world = forecast::after(world, &draft.steps[seen..], desired, orchestrator);
        seen = draft.steps.len();
        draft.begin_anew();
    };
    let mut still: BTreeSet<HostName> = due.keys().cloned().collect();
    for (host, reason) in due {
        foresee(&mut world, draft);
        take_away(desired, &world, orchestrator, &host, (true, &reason), draft);
        foresee(&mut world, draft);
        still.remove(&host);
        let pass = Pass { still: still.clone(), missing: reason };
        let (kept, notes) = (draft.kept.len(), draft.notes.len());
        roll_out(desired, &world, orchestrator, (&pass, &Network::default()), draft);
        // That was said of the others before.
        draft.kept.truncate(kept);
        draft.notes.truncate(notes);
    }
    foresee(&mut world, draft);
    world
}

/// What it takes to be without a host: its member of etcd moves first, then its replicas stop, then its instance is terminated.
///
/// `comes_back` tells that another takes its place, so that etcd is to have as many members as before.
pub(super) fn take_away(
    desired: &Desired,
    observed: &Observed,
    orchestrator: &dyn Orchestrator,
    host: &HostName,
    (comes_back, reason): (bool, &Reason),
    draft: &mut Draft,
) {
    let Some(found) = observed.hosts.get(host) else { return };
    let is_in_use = |(other, found): &(&HostName, &ObservedHost)| {
        *other != host && found.report.as_ref().is_some_and(|report| report.configured.is_some())
    };
    let staying: Vec<HostName> = observed.hosts.iter().filter(is_in_use).map(|(other, _)| other.clone()).collect();
    let missing = usize::from(comes_back);
    if let Some(etcd) = Etcd::survey(observed, (&staying, missing), true, draft).filter(|_| !staying.is_empty()) {
        etcd.bring_up(desired, observed, orchestrator, &staying, None, draft);
        etcd.take_down(desired, &staying, draft);
    }
    let mut last: Vec<StepId> = draft.ends();
    let found_there = replicas::found_on(observed, host).into_iter();
    let removals: Vec<Removal> = found_there.map(|found| replicas::removal(found, reason.clone()).0).collect();
    if !removals.is_empty() {
        let removals = BTreeMap::from([(host.clone(), removals)]);
        let action = Action::RemoveReplicas { removals, ends: false };
        last = vec![draft.step(action, reason.clone(), last)];
    }
    let action = Action::TerminateHost { host: host.clone(), instance: found.instance.clone() };
    draft.step(action, reason.clone(), last);
}
