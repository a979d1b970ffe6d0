//! The hosts: which are launched, waited for and configured, and which go away.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Action, Blocked, Draft, LaunchSpec, Pass, Reason, Removal, StepId, addresses, etcd::Etcd, network::Network, sizes,
    volumes,
};
use crate::{
    config::{Architecture, Group, InstanceType},
    desired::Desired,
    name::HostName,
    observed::{Agent, Handle, InstanceId, InstanceState, LaunchFacts, Observed, ObservedHost},
    orchestrator::{Cluster, ClusterHost, Orchestrator},
};

/// The hosts as later parts of the plan see them.
pub(super) struct Hosts {
    /// Wanted hosts that replicas can be planned for: fresh ones, and those that said what they run.
    pub(super) usable: BTreeSet<HostName>,
    /// Hosts that are too many, with what they run known.
    pub(super) leaving: BTreeMap<HostName, InstanceId>,
    /// The step after which the hosts of the cluster are up, when there is one.
    pub(super) up: Option<StepId>,
    /// The step after which the hosts of the cluster are configured, and etcd has its members, when there is one.
    pub(super) configured: Option<StepId>,
    /// The hosts that stay: those that should be there, and those that are kept though nobody asks for them.
    staying: Vec<HostName>,
    /// The members of etcd; absent where they are not known.
    etcd: Option<Etcd>,
}

/// Launches, waits for and configures hosts until every wanted one can take replicas.
pub(super) fn bring_up(
    desired: &Desired,
    observed: &Observed,
    orchestrator: &dyn Orchestrator,
    pass: &Pass,
    network: &Network,
    draft: &mut Draft,
) -> Hosts {
    let wanted: Vec<HostName> = desired.hosts().collect();
    let leaving = match (desired.shares_hosts(), desired.hosts_only) {
        // What a preview does not want of the hosts that it shares, another one may.
        (true, _) => keep(&wanted, observed, "it stays while previews share it", draft),
        (false, true) => keep(&wanted, observed, "it stays: hosts are only brought up", draft),
        (false, false) => leaving(desired, observed, draft),
    };
    let mut usable = BTreeSet::new();
    let mut awaited = Vec::new();
    let mut before_await = Vec::new();
    for host in &wanted {
        let Some(group) = desired.group_of(host) else { continue };
        let Some(found) = observed.hosts.get(host) else {
            if let Some(spec) = launch_spec(host, group, observed, draft) {
                let action = Action::LaunchHost { host: host.clone(), spec };
                before_await.push(draft.step(action, pass.missing.clone(), network.before_launch.iter().copied()));
                awaited.push(host.clone());
                usable.insert(host.clone());
            }
            continue;
        };
        match readiness(found) {
            Readiness::Known => {
                usable.insert(host.clone());
            }
            Readiness::Fresh => {
                awaited.push(host.clone());
                usable.insert(host.clone());
            }
            Readiness::Stopped => draft.block(
                format!("host `{host}`"),
                format!("its instance `{}` is {}", found.instance, found.state.word()),
                "start the instance, or terminate it so that it is launched anew, and run again",
            ),
            // There is a gap that says so, and it blocks the plan.
            Readiness::Silent => {}
        }
    }
    let now: Vec<HostName> = wanted.iter().filter(|host| !pass.still.contains(*host)).cloned().collect();
    let given = addresses::give(desired, observed, &now, &before_await, draft);
    before_await.extend(given);
    let up = (!awaited.is_empty())
        .then(|| draft.step(Action::AwaitHosts { hosts: awaited }, Reason::HostStarting, before_await))
        .or(given);
    // Whatever comes behind needs its hosts up.
    let up = sizes::change(desired, observed, &now, up, draft).or(up);
    // A host that has joined starts whatever is registered for it.
    let up = forget_strays(observed, up, draft).or(up);
    // To hosts that previews share, one only ever adds; and where hosts are only brought up, none goes away.
    let may_leave = !desired.shares_hosts() && !desired.hosts_only;
    let is_kept = |(host, found): &(&HostName, &ObservedHost)| {
        found.is_configured() && !wanted.contains(host) && !leaving.contains_key(*host)
    };
    let kept: Vec<HostName> = observed.hosts.iter().filter(is_kept).map(|(host, _)| host.clone()).collect();
    let staying: Vec<HostName> = wanted.into_iter().chain(kept).collect();
    // One that is to be replaced gets no member, and is told of those that come, if of nothing else.
    let is_candidate = |host: &&HostName| {
        !pass.still.contains(*host) || observed.hosts.get(*host).is_some_and(ObservedHost::has_member)
    };
    let candidates: Vec<HostName> = staying.iter().filter(is_candidate).cloned().collect();
    let etcd = Etcd::survey(observed, &candidates, staying.len(), may_leave, draft);
    let hears = |host: &HostName, etcd: &Etcd| {
        !pass.still.contains(host)
            || (etcd.grows() && observed.hosts.get(host).is_some_and(ObservedHost::is_configured))
    };
    let configured = etcd.as_ref().and_then(|etcd| {
        let told: Vec<HostName> = staying.iter().filter(|host| hears(host, etcd)).cloned().collect();
        etcd.bring_up(desired, observed, orchestrator, &told, up, draft)
    });
    Hosts { usable, leaving, up, configured, staying, etcd }
}

/// Says which services a host comes up without, as a run leaves them alone.
pub(super) fn tell_of_left_alone(desired: &Desired, observed: &Observed, draft: &mut Draft) {
    if desired.hosts_only {
        return;
    }
    for host in desired.hosts().filter(|host| !observed.hosts.contains_key(host)) {
        let here = desired.group_of(&host).into_iter().flat_map(|group| &group.services);
        for service in here.filter(|name| desired.left_alone.contains(*name)) {
            draft.note(format!("host `{host}` comes up without `{service}`, which this run does not deploy"));
        }
    }
}

/// What is registered for hosts that do not exist any more is removed by the first host that tells of it: all tell of the same.
fn forget_strays(observed: &Observed, up: Option<StepId>, draft: &mut Draft) -> Option<StepId> {
    let mut told = observed.hosts.iter().filter_map(|(host, found)| Some((host, &found.report.as_ref()?.stray)));
    let (by, strays) = told.find(|(_, strays)| !strays.is_empty())?;
    let strays: BTreeSet<Handle> = strays.iter().map(|stray| stray.handle.clone()).collect();
    let removals =
        strays.into_iter().map(|handle| Removal { replica: None, handle, reason: Reason::HostGone }).collect();
    let action = Action::RemoveReplicas { removals: BTreeMap::from([(by.clone(), removals)]), ends: false };
    Some(draft.step(action, Reason::HostGone, up))
}

/// Terminates the hosts that are too many, after everything that was to be done on them; the members of etcd that they have go first.
pub(super) fn take_down(desired: &Desired, hosts: &Hosts, draft: &mut Draft) {
    if let Some(etcd) = &hosts.etcd {
        etcd.take_down(desired, &hosts.staying, draft);
    }
    let after = draft.ends();
    for (host, instance) in &hosts.leaving {
        let action = Action::TerminateHost { host: host.clone(), instance: instance.clone() };
        draft.step(action, Reason::HostLeaves, after.clone());
    }
}

enum Readiness {
    /// It said what it runs.
    Known,
    /// It has never been reached, so it runs nothing of ours.
    Fresh,
    /// Its instance is stopped or about to be.
    Stopped,
    /// It should answer and does not.
    Silent,
}

fn readiness(found: &ObservedHost) -> Readiness {
    match (found.state, found.agent, &found.report) {
        (InstanceState::Stopping | InstanceState::Stopped, ..) => Readiness::Stopped,
        (_, _, Some(report)) if report.is_silent() => match report.configured {
            // It broke off while it was configured for the first time; nothing has been deployed to it.
            None => Readiness::Known,
            Some(_) => Readiness::Silent,
        },
        (_, _, Some(_)) => Readiness::Known,
        (_, Agent::Absent, None) => Readiness::Fresh,
        (_, Agent::Online | Agent::Lost, None) => Readiness::Silent,
    }
}

fn launch_spec(host: &HostName, group: &Group, observed: &Observed, draft: &mut Draft) -> Option<LaunchSpec> {
    match observed.launch.get(&host.group) {
        Some(LaunchFacts::Ready { image, image_name, root_device }) => Some(LaunchSpec {
            size: group.size.to_string(),
            image: image.clone(),
            image_name: image_name.clone(),
            root_device: root_device.clone(),
            disk: group.disk,
            instance_profile: group.instance_profile.clone(),
            subnets: subnets(host, group, observed),
            generation: generation(host, observed),
        }),
        Some(LaunchFacts::Impossible { why, hint, refused }) => {
            let blocked = Blocked {
                what: format!("group `{}`", host.group),
                why: why.clone(),
                hint: hint.clone(),
                refused: *refused,
            };
            if !draft.blocked.contains(&blocked) {
                draft.blocked.push(blocked);
            }
            None
        }
        None => {
            draft.block(format!("host `{host}`"), "nothing is known about what a launch would use", "run again");
            None
        }
    }
}

/// Spreads a group's hosts over its subnets by their number; the others follow, for when the first has no capacity.
/// A launch whose outcome is not known begins where it was tried last, where its token finds the instance if there is one.
fn subnets(host: &HostName, group: &Group, observed: &Observed) -> Vec<String> {
    let pending = observed.launches.get(host).filter(|launch| launch.instance.is_none());
    let tried = pending.and_then(|launch| launch.subnet.as_ref());
    let tried = tried.and_then(|tried| group.subnets.iter().position(|subnet| subnet == tried));
    let first = tried.unwrap_or((host.number as usize).saturating_sub(1));
    let mut subnets = group.subnets.clone();
    if !subnets.is_empty() {
        let first = first % subnets.len();
        subnets.rotate_left(first);
    }
    subnets
}

/// The generation that was launched last, even where its instance is known and is not to be seen: its token finds the instance
/// that was merely not listed for a moment, and tells when it is dead. Only then the next generation is launched.
fn generation(host: &HostName, observed: &Observed) -> u32 {
    observed.launches.get(host).map_or(1, |launch| launch.generation)
}

/// The hosts that are too many. One that did not say what it runs is not among them.
fn leaving(desired: &Desired, observed: &Observed, draft: &mut Draft) -> BTreeMap<HostName, InstanceId> {
    let mut leaving = BTreeMap::new();
    for (host, found) in &observed.hosts {
        match desired.group_of(host) {
            Some(group) if host.number <= group.scale => continue,
            Some(_) => {}
            None if desired.allow_terminate => {}
            None => {
                draft.note(format!(
                    "host `{host}` belongs to group `{}`, which skipper.yml does not name; it is kept (`--allow-terminate`, \
                     the input `allow-terminate`, would terminate it)",
                    host.group
                ));
                continue;
            }
        }
        match &found.report {
            Some(report) => {
                if volumes::may_go(desired, host, Some(report), draft) {
                    leaving.insert(host.clone(), found.instance.clone());
                }
            }
            None => draft.block(
                format!("host `{host}`"),
                "it is too many and does not answer; what is not known is not terminated",
                "see why its SSM agent is offline, or terminate the instance yourself",
            ),
        }
    }
    leaving
}

/// None leaves.
fn keep(wanted: &[HostName], observed: &Observed, why: &str, draft: &mut Draft) -> BTreeMap<HostName, InstanceId> {
    for host in observed.hosts.keys().filter(|host| !wanted.contains(host)) {
        draft.note(format!("host `{host}` is not in skipper.yml; {why}"));
    }
    BTreeMap::new()
}

/// The identity of the configuration with these members; nothing while the address of one is not known.
pub(super) fn identity(
    desired: &Desired,
    observed: &Observed,
    orchestrator: &dyn Orchestrator,
    members: &[HostName],
) -> Option<String> {
    cluster(desired, &observed.hosts, members, false).map(|cluster| orchestrator.configuration(&cluster))
}

/// The processor of a host, by its size; of one that nobody has heard of it is what most have.
fn architecture_of(size: &str) -> Architecture {
    size.parse().map_or(Architecture::Amd64, |size: InstanceType| size.architecture())
}

/// The cluster as its hosts are told about it; nothing while the address of a member is not known.
pub fn cluster(
    desired: &Desired,
    hosts: &BTreeMap<HostName, ObservedHost>,
    members: &[HostName],
    founding: bool,
) -> Option<Cluster> {
    let hosts: Vec<ClusterHost> = hosts
        .iter()
        .filter_map(|(host, found)| {
            let private_address = found.private_address.clone()?;
            let (instance, architecture) = (found.instance.clone(), architecture_of(&found.size));
            Some(ClusterHost { host: host.clone(), instance, private_address, architecture })
        })
        .collect();
    members.iter().all(|member| hosts.iter().any(|known| known.host == *member)).then(|| Cluster {
        scope: desired.hosts_of.clone(),
        hosts,
        members: members.to_vec(),
        founding,
        archives: desired.fleet.clone(),
    })
}
