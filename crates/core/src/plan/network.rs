//! Who may reach the hosts: a security group for the cluster's own traffic, and one for each group's public ports and for those that
//! other groups link to.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use super::{Action, Draft, Reason, SHARED_PUBLIC_PORTS, StepId};
use crate::{
    config::Group,
    desired::Desired,
    name::{GroupName, ServiceName},
    observed::{IngressRule, Observed, SecurityGroup, Source},
};

/// etcd's client port and, behind it, the port its members use among themselves. Whoever reaches them is root on every host.
const ETCD_PORTS: (u16, u16) = (2379, 2380);

/// The steps that open ways.
#[derive(Default)]
pub(super) struct Network {
    /// Those that a launch has to wait for.
    pub(super) before_launch: Vec<StepId>,
    /// Those that services with links have to wait for.
    pub(super) links: Vec<StepId>,
}

/// Creates the security groups that are missing and lets in what the file asks for.
pub(super) fn open(desired: &Desired, observed: &Observed, draft: &mut Draft) -> Network {
    let mut created: BTreeMap<SecurityGroup, StepId> = BTreeMap::new();
    let mut network = Network::default();
    let missing = |security_group: &SecurityGroup, wanted: BTreeSet<IngressRule>| -> Vec<IngressRule> {
        let found = observed.security_groups.get(security_group);
        wanted.into_iter().filter(|rule| !found.is_some_and(|found| found.rules.contains(rule))).collect()
    };
    for (security_group, wanted) in unlinked(desired) {
        if !observed.security_groups.contains_key(&security_group) {
            let action = Action::CreateSecurityGroup { security_group: security_group.clone() };
            let step = draft.step(action, Reason::SecurityGroupMissing, []);
            created.insert(security_group.clone(), step);
            network.before_launch.push(step);
        }
        let rules = missing(&security_group, wanted);
        if !rules.is_empty() {
            let needs: Vec<StepId> = [&SecurityGroup::Cluster, &security_group]
                .into_iter()
                .filter_map(|name| created.get(name).copied())
                .collect();
            let action = Action::AuthorizeIngress { security_group, rules };
            network.before_launch.push(draft.step(action, Reason::RuleMissing, needs));
        }
    }
    // A rule names its source, which has to be there: only now all are.
    for (security_group, wanted) in linked(desired, observed) {
        let rules = missing(&security_group, wanted);
        if !rules.is_empty() {
            let sources = rules.iter().filter_map(|rule| rule.source.security_group());
            let needs: Vec<StepId> = sources
                .chain([SecurityGroup::Cluster, security_group.clone()])
                .filter_map(|name| created.get(&name).copied())
                .collect();
            let action = Action::AuthorizeIngress { security_group, rules };
            network.links.push(draft.step(action, Reason::RuleMissing, needs));
        }
    }
    network
}

/// Stops letting in what the file does not ask for any more, after everything else.
///
/// Only rules that skipper itself wrote are revoked; another hand's rule is shown as drift, and goes where that was asked for. A preview
/// revokes nothing on hosts that it shares: another one may need it.
pub(super) fn close(desired: &Desired, observed: &Observed, draft: &mut Draft) {
    let after = draft.ends();
    let wanted = wanted(desired, observed);
    for (security_group, found) in &observed.security_groups {
        let Some((_, wanted)) = wanted.iter().find(|(name, _)| name == security_group) else { continue };
        let (ours, foreign): (Vec<_>, Vec<_>) =
            found.rules.difference(wanted).cloned().partition(|rule| found.marked.contains(rule));
        let mut revoke = |rules: Vec<IngressRule>, reason| {
            if !rules.is_empty() {
                let action = Action::RevokeIngress { security_group: security_group.clone(), rules };
                draft.step(action, reason, after.clone());
            }
        };
        match (desired.shares_hosts(), desired.prune_rules) {
            (false, true) => {
                revoke(ours, Reason::RuleNotInConfig);
                revoke(foreign, Reason::RuleForeign);
                continue;
            }
            (false, false) => revoke(ours, Reason::RuleNotInConfig),
            (true, _) => {}
        }
        let fate = match desired.shares_hosts() {
            true => "it is kept while previews share the hosts",
            false => "it is kept (`--prune-rules`, the input `prune-rules`, would remove it)",
        };
        for rule in foreign {
            draft.note(format!(
                "drift: the security group of {security_group} lets in {rule}, which skipper did not write; {fate}"
            ));
        }
    }
}

/// The security groups of the file with exactly the rules they should have, the cluster's first.
fn wanted(desired: &Desired, observed: &Observed) -> Vec<(SecurityGroup, BTreeSet<IngressRule>)> {
    let mut linked = linked(desired, observed);
    let mut wanted = unlinked(desired);
    for (security_group, rules) in &mut wanted {
        rules.extend(linked.remove(security_group).unwrap_or_default());
    }
    wanted
}

/// The same without what links need.
fn unlinked(desired: &Desired) -> Vec<(SecurityGroup, BTreeSet<IngressRule>)> {
    let (from_port, to_port) = ETCD_PORTS;
    let cluster = BTreeSet::from([IngressRule { from_port, to_port, source: Source::Cluster }]);
    let groups =
        desired.groups.iter().map(|(name, group)| (SecurityGroup::Group(name.clone()), public_rules(desired, group)));
    std::iter::once((SecurityGroup::Cluster, cluster)).chain(groups).collect()
}

/// What links need: the ports of a service that is linked to are open to the groups that carry a service which links to it, and to
/// no other. On its own host a service is found without leaving it.
fn linked(desired: &Desired, observed: &Observed) -> BTreeMap<SecurityGroup, BTreeSet<IngressRule>> {
    let is_one_host = |group: &GroupName| desired.groups.get(group).is_some_and(|group| group.scale == 1);
    let mut rules: BTreeMap<SecurityGroup, BTreeSet<IngressRule>> = BTreeMap::new();
    for (from, to) in desired.links.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to))) {
        let sources = carrying(from, desired, observed);
        for target in carrying(to, desired, observed) {
            let sources = sources.iter().filter(|source| **source != target || !is_one_host(&target));
            let rules = rules.entry(SecurityGroup::Group(target.clone())).or_default();
            for source in sources.map(|source| Source::Group(source.clone())) {
                let ports = desired.linked_ports.get(to).into_iter().flatten();
                rules.extend(ports.map(|&port| IngressRule { from_port: port, to_port: port, source: source.clone() }));
            }
        }
    }
    rules
}

/// The groups that carry a service; for one that is left alone, those where it runs still, too.
fn carrying(service: &ServiceName, desired: &Desired, observed: &Observed) -> BTreeSet<GroupName> {
    let wanted = desired.hosts_with(service);
    let found = desired.left_alone.contains(service).then(|| observed.hosts_with(service));
    wanted.chain(found.into_iter().flatten()).map(|host| host.group).collect()
}

/// On shared hosts the whole range at once that public ports are chosen from: what is open there then does not change from one
/// preview to the next.
fn public_rules(desired: &Desired, group: &Group) -> BTreeSet<IngressRule> {
    let ports = match (desired.shares_hosts(), group.public_ports.is_empty()) {
        (true, false) => vec![SHARED_PUBLIC_PORTS],
        (true, true) => Vec::new(),
        (false, _) => group.public_ports.iter().map(|&port| port..=port).collect(),
    };
    let from_anywhere = |ports: RangeInclusive<u16>| {
        let (from_port, to_port) = ports.into_inner();
        [Source::AnyIpv4, Source::AnyIpv6].map(|source| IngressRule { from_port, to_port, source })
    };
    ports.into_iter().flat_map(from_anywhere).collect()
}
