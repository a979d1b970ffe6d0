//! What somebody asks for about one host, whatever the file says of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Draft, Plan, Reason, Removal, etcd, etcd::Etcd, replicas};
use crate::{
    desired::Desired,
    name::{HostName, ServiceName},
    observed::{Observed, ObservedHost, ObservedReplica},
    orchestrator::Orchestrator,
};

/// What it takes to be without one host: its member of etcd moves first, then its replicas stop, then its instance is terminated.
///
/// Without force the last member of etcd stays, and so does the last replica of a service that serves, and a host that does not tell
/// what it runs. It is total, as every plan.
pub fn without_host(
    desired: &Desired,
    observed: &Observed,
    orchestrator: &dyn Orchestrator,
    host: &HostName,
    force: bool,
) -> Plan {
    if let Some(first) = etcd::finish(observed) {
        return first;
    }
    let mut draft = Draft::default();
    let Some(found) = observed.hosts.get(host) else { return draft.finish() };
    let is_of_another = |gap: &&crate::observed::Gap| gap.host.as_ref() != Some(host);
    let gaps = observed.gaps.iter().filter(is_of_another).cloned().collect();
    draft.block_gaps(&Observed { gaps, ..Observed::default() });
    refuse_unless_forced(observed, host, found, force, &mut draft);
    let is_in_use = |(other, found): &(&HostName, &ObservedHost)| {
        *other != host && found.report.as_ref().is_some_and(|report| report.configured.is_some())
    };
    let staying: Vec<HostName> = observed.hosts.iter().filter(is_in_use).map(|(other, _)| other.clone()).collect();
    if let Some(etcd) = Etcd::survey(observed, &staying, true, &mut draft).filter(|_| !staying.is_empty()) {
        etcd.bring_up(desired, observed, orchestrator, &staying, None, &mut draft);
        etcd.take_down(desired, &staying, &mut draft);
    }
    let mut last: Vec<_> = draft.all_steps();
    let removals: Vec<Removal> = replicas::found_on(observed, host)
        .into_iter()
        .map(|found| replicas::removal(found, Reason::AskedFor).0)
        .collect();
    if !removals.is_empty() {
        let action = Action::RemoveReplicas { removals: BTreeMap::from([(host.clone(), removals)]) };
        last = vec![draft.step(action, Reason::AskedFor, last)];
    }
    let action = Action::TerminateHost { host: host.clone(), instance: found.instance.clone() };
    draft.step(action, Reason::AskedFor, last);
    draft.finish()
}

fn refuse_unless_forced(observed: &Observed, host: &HostName, found: &ObservedHost, force: bool, draft: &mut Draft) {
    const FORCE: &str = "`--force` removes it all the same";
    let what = format!("host `{host}`");
    let Some(report) = &found.report else {
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
    if report.membership != crate::etcd::Membership::None
        && !others().any(|(_, found)| found.report.as_ref().is_some_and(|report| report.configured.is_some()))
    {
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
