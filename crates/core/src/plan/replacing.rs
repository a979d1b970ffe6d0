//! Hosts that cannot become what the file says: each is taken away and launched anew, one after another.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Action, Draft, Pass, Reason, Removal, StepId,
    etcd::Etcd,
    forecast,
    hosts::Hosts,
    links::{self, linking_to, ranks},
    network::Network,
    replicas, roll_out, volumes,
};
use crate::{
    config::InstanceType,
    desired::Desired,
    name::{HostName, ServiceName},
    observed::{InstanceState, Observed, ObservedHost},
    orchestrator::Orchestrator,
};

/// Why a host has to be launched anew to get a size; nothing where its instance can be given it.
pub fn why_replaced(found: &ObservedHost, size: &InstanceType) -> Option<Reason> {
    let (from, to) = (found.size.clone(), size.to_string());
    let differs = |from: InstanceType| from.architecture() != size.architecture();
    if from == to {
        None
    } else if from.parse().is_ok_and(differs) {
        Some(Reason::ProcessorDiffers { from, size: to })
    } else {
        found.instance_store.then_some(Reason::DiskWouldBeLost { from, size: to })
    }
}

/// The hosts that a plan replaces, with why. One that does not answer, runs what this run cannot start again, or has data that may not
/// be lost, blocks the plan.
pub(super) fn due(desired: &Desired, observed: &Observed, draft: &mut Draft) -> BTreeMap<HostName, Reason> {
    let mut due = BTreeMap::new();
    for host in desired.hosts() {
        let Some((group, found)) = desired.group_of(&host).zip(observed.hosts.get(&host)) else { continue };
        let Some(reason) = why_replaced(found, &group.size) else { continue };
        let is_told = matches!(found.state, InstanceState::Stopping | InstanceState::Stopped)
            || observed.gaps.iter().any(|gap| gap.host.as_ref() == Some(&host));
        if desired.shares_hosts() || is_told {
            // It is told where hosts are resized or brought up that nothing is done to it.
        } else if desired.hosts_only {
            draft.note(format!(
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
    due
}

/// A service that runs on a host, and is neither deployed nor taken away.
fn left_alone_on<'a>(host: &HostName, desired: &Desired, observed: &'a Observed) -> Option<&'a ServiceName> {
    let mut services = replicas::found_on(observed, host).into_iter().map(|found| &found.replica.service);
    services.find(|service| desired.left_alone.contains(*service))
}

/// Replaces these hosts: each is taken away, comes back, and serves, before the next goes. What is new comes before all of them, and
/// what goes away after them, but that services wait for those that they link to. The world as it is before what goes away is gone,
/// and the hosts in it.
pub(super) fn one_after_another(
    desired: &Desired,
    observed: &Observed,
    orchestrator: &dyn Orchestrator,
    due: BTreeMap<HostName, Reason>,
    network: &Network,
    draft: &mut Draft,
) -> (Observed, Hosts) {
    let mut world = observed.clone();
    let mut seen = 0;
    let mut foresee = |world: &mut Observed, draft: &mut Draft| {
        *world = forecast::after(world, &draft.steps[seen..], desired, orchestrator);
        seen = draft.steps.len();
        draft.begin_anew();
    };
    tell(&due, draft);
    let still: BTreeSet<HostName> = due.keys().cloned().collect();
    roll_out(desired, &world, orchestrator, &before_all(desired, observed, &still), network, draft);
    for (host, reason) in in_order(desired, due) {
        // Behind what is in the way nothing can be told.
        if !draft.blocked.is_empty() {
            break;
        }
        foresee(&mut world, draft);
        tell_of_the_last(&world, &host, draft);
        if let Some(action) = links::without(desired, &world, &host) {
            draft.step(action, Reason::LinksDiffer, []);
        }
        take_away(desired, &world, orchestrator, &host, true, &reason, draft);
        foresee(&mut world, draft);
        let others = desired.hosts().filter(|other| *other != host).collect();
        let pass = Pass { still: others, missing: reason, last: false, ..Pass::over_all() };
        roll_out(desired, &world, orchestrator, &pass, &Network::default(), draft);
    }
    foresee(&mut world, draft);
    let hosts = roll_out(desired, &world, orchestrator, &Pass::over_all(), &Network::default(), draft);
    // What was kept before is met again, and what has come with another host was not kept.
    let mut known = BTreeSet::new();
    draft.kept.retain(|kept| !still.contains(&kept.placement.host) && known.insert(kept.placement.handle.clone()));
    (world, hosts)
}

/// The pass before hosts are replaced. What links to their services is replaced after them; and it starts after them where there is
/// nothing yet that it could find.
fn before_all(desired: &Desired, observed: &Observed, still: &BTreeSet<HostName>) -> Pass {
    let carried: BTreeSet<&ServiceName> =
        still.iter().filter_map(|host| desired.group_of(host)).flat_map(|group| &group.services).collect();
    let comes_later = |service: &&ServiceName| {
        observed.hosts_with(service).is_empty() && desired.hosts_with(service).all(|host| still.contains(&host))
    };
    let new: BTreeSet<&ServiceName> = carried.iter().copied().filter(comes_later).collect();
    Pass {
        still: still.clone(),
        missing: Reason::HostMissing,
        following: linking_to(&carried, &desired.links),
        waiting: linking_to(&new, &desired.links),
        last: false,
    }
}

/// Those whose services others link to come first.
fn in_order(desired: &Desired, due: BTreeMap<HostName, Reason>) -> Vec<(HostName, Reason)> {
    let ranks = ranks(&desired.links);
    let rank = |host: &HostName| {
        let services = desired.group_of(host).into_iter().flat_map(|group| &group.services);
        services.filter_map(|service| ranks.get(service)).max().copied()
    };
    let mut due: Vec<(HostName, Reason)> = due.into_iter().collect();
    due.sort_by_key(|(host, _)| (rank(host), host.clone()));
    due
}

/// Says what is lost.
fn tell(due: &BTreeMap<HostName, Reason>, draft: &mut Draft) {
    let names: Vec<String> = due.keys().map(|host| format!("`{host}`")).collect();
    let (hosts, are) = if due.len() == 1 { ("host", "is") } else { ("hosts", "are") };
    draft.note(format!(
        "{hosts} {} {are} replaced, one at a time: the disk of each goes with its instance, its private address changes, and its public \
         one where `address: elastic` does not keep it",
        names.join(", ")
    ));
}

/// Says what serves nowhere once a host is away.
fn tell_of_the_last(world: &Observed, host: &HostName, draft: &mut Draft) {
    let mut serving: BTreeMap<&ServiceName, BTreeSet<&HostName>> = BTreeMap::new();
    for (on, found) in world.replicas().filter(|(_, found)| replicas::serves(found)) {
        serving.entry(&found.replica.service).or_default().insert(on);
    }
    for (service, _) in serving.iter().filter(|(_, on)| on.len() == 1 && on.contains(host)) {
        draft.note(format!("`{service}` serves on host `{host}` alone, and nowhere until that is replaced"));
    }
}

/// What it takes to be without a host: its member of etcd moves first, then its replicas stop, then its instance is terminated.
///
/// Where it `comes_back` as another instance, etcd is to have as many members as before.
pub(super) fn take_away(
    desired: &Desired,
    observed: &Observed,
    orchestrator: &dyn Orchestrator,
    host: &HostName,
    comes_back: bool,
    reason: &Reason,
    draft: &mut Draft,
) {
    let Some(found) = observed.hosts.get(host) else { return };
    let is_in_use = |(other, found): &(&HostName, &ObservedHost)| *other != host && found.is_configured();
    let staying: Vec<HostName> = observed.hosts.iter().filter(is_in_use).map(|(other, _)| other.clone()).collect();
    let in_all = staying.len() + usize::from(comes_back);
    if let Some(etcd) = Etcd::survey(observed, &staying, in_all, true, draft).filter(|_| !staying.is_empty()) {
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
