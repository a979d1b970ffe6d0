//! Who may reach the hosts: a security group for the cluster's own traffic and one for each group's public ports.

use std::{collections::BTreeSet, ops::RangeInclusive};

use super::{Action, Draft, Reason, SHARED_PUBLIC_PORTS, StepId};
use crate::{
    config::Group,
    desired::Desired,
    observed::{IngressRule, Observed, SecurityGroup, Source},
};

/// etcd's client port and, behind it, the port its members use among themselves. Whoever reaches them is root on every host.
const ETCD_PORTS: (u16, u16) = (2379, 2380);

/// Creates the security groups that are missing and lets in what the file asks for. Returns the steps a launch has to wait for.
pub(super) fn open(desired: &Desired, observed: &Observed, draft: &mut Draft) -> Vec<StepId> {
    let mut steps = Vec::new();
    let mut cluster = None;
    for (security_group, wanted) in wanted(desired) {
        let found = observed.security_groups.get(&security_group);
        let mut needs: Vec<StepId> = cluster.into_iter().collect();
        if found.is_none() {
            let action = Action::CreateSecurityGroup { security_group: security_group.clone() };
            let created = draft.step(action, Reason::SecurityGroupMissing, []);
            if security_group == SecurityGroup::Cluster {
                cluster = Some(created);
            }
            needs.push(created);
            steps.push(created);
        }
        let missing: Vec<IngressRule> =
            wanted.into_iter().filter(|rule| !found.is_some_and(|found| found.rules.contains(rule))).collect();
        if !missing.is_empty() {
            let action = Action::AuthorizeIngress { security_group, rules: missing };
            steps.push(draft.step(action, Reason::RuleMissing, needs));
        }
    }
    steps
}

/// Stops letting in what the file does not ask for any more, after everything else.
///
/// Only rules that skipper itself wrote are revoked; another hand's rule is shown as drift, and goes where that was asked for. A preview
/// revokes nothing on hosts that it shares: another one may need it.
pub(super) fn close(desired: &Desired, observed: &Observed, draft: &mut Draft) {
    let after = draft.all_steps();
    let wanted = wanted(desired);
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
            draft.notes.push(format!(
                "drift: the security group of {security_group} lets in {rule}, which skipper did not write; {fate}"
            ));
        }
    }
}

/// The security groups of the file with exactly the rules they should have, the cluster's first.
fn wanted(desired: &Desired) -> Vec<(SecurityGroup, BTreeSet<IngressRule>)> {
    let (from_port, to_port) = ETCD_PORTS;
    let cluster = BTreeSet::from([IngressRule { from_port, to_port, source: Source::Cluster }]);
    let groups =
        desired.groups.iter().map(|(name, group)| (SecurityGroup::Group(name.clone()), public_rules(desired, group)));
    std::iter::once((SecurityGroup::Cluster, cluster)).chain(groups).collect()
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
