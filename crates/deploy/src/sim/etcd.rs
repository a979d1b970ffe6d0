//! The members of etcd, as the scripts that change them find them: who is told of them, and what etcd refuses.

use std::{collections::BTreeMap, time::Duration};

use skipper_core::{
    desired::Scope,
    etcd::{EtcdMember, MemberState, Membership},
    observed::InstanceId,
    orchestrator::{
        Cluster, HostErrorKind,
        fleet::{encode_done, encode_error},
    },
};

use super::{SimWorld, State};

/// From the call that adds a member to its first answer.
const START: Duration = Duration::from_secs(3);
/// From the call that removes a member until its host leads to the others.
const SWAP: Duration = Duration::from_secs(1);

/// A member: whether it has begun, by the address that it has.
pub(super) type Members = BTreeMap<String, bool>;

impl State {
    /// Whether the member at an address has begun, and its host runs.
    fn is_healthy(&self, scope: &Scope, address: &str) -> bool {
        let runs = |host: &super::SimHost| {
            host.runs()
                && !host.ended_parts
                && !host.engine_ended
                && host.address == address
                && host.membership != Membership::None
        };
        self.etcd.get(scope).and_then(|members| members.get(address)) == Some(&true) && self.hosts.values().any(runs)
    }

    /// Whether more than half of the members answer.
    pub(super) fn has_quorum(&self, scope: &Scope) -> bool {
        let Some(members) = self.etcd.get(scope) else { return false };
        let healthy = members.keys().filter(|address| self.is_healthy(scope, address)).count();
        healthy > members.len() / 2
    }

    /// What a host is told of the members. One that has a member of its own is told without a quorum, too.
    pub(super) fn told(&self, scope: &Scope, address: &str) -> Vec<EtcdMember> {
        let left_over = |host: &&super::SimHost| host.runs() && !host.ended_parts && host.address == address;
        let left_over = self.hosts.values().find(left_over).and_then(|host| host.left_over.as_ref());
        if left_over.is_none() && !self.has_quorum(scope) && !self.is_healthy(scope, address) {
            return Vec::new();
        }
        let member = |(address, begun): (&String, &bool)| {
            let state = match begun {
                false => MemberState::Added,
                true if self.is_healthy(scope, address) => MemberState::Healthy,
                true => MemberState::Silent,
            };
            EtcdMember { address: address.clone(), state }
        };
        left_over.or_else(|| self.etcd.get(scope)).into_iter().flatten().map(member).collect()
    }

    /// Why the members may not change now, all but the one at the address being needed.
    fn unhealthy(&self, scope: &Scope, but: &str) -> Option<String> {
        let members = self.etcd.get(scope)?;
        let missing = members.keys().find(|address| *address != but && !self.is_healthy(scope, address))?;
        Some(format!("the member at {missing} does not answer"))
    }
}

impl SimWorld {
    /// What configuring a host does about etcd; the words of the script where it refuses.
    pub(super) fn found(&self, instance: &InstanceId, cluster: &Cluster) -> Result<(), String> {
        if !cluster.founding {
            return Ok(());
        }
        let mut state = self.change();
        let founders: Members = cluster
            .hosts
            .iter()
            .filter(|host| cluster.members.contains(&host.host))
            .map(|host| (host.private_address.clone(), false))
            .collect();
        let is_theirs = |host: &super::SimHost| host.scope == cluster.scope && host.alive();
        let has_one = |host: &super::SimHost| is_theirs(host) && host.membership != Membership::None;
        let begun = state.hosts.values().any(has_one);
        let members = state.etcd.entry(cluster.scope.clone()).or_default();
        if !members.keys().eq(founders.keys()) {
            if begun && members.values().any(|begun| *begun) {
                return Err("this host belongs to other etcd members and is told to found another etcd".to_owned());
            }
            *members = founders;
        }
        let Some(address) = state.hosts.get(instance).map(|host| host.address.clone()) else { return Ok(()) };
        let is_member = match state.etcd.get_mut(&cluster.scope).and_then(|members| members.get_mut(&address)) {
            Some(begun) => {
                *begun = true;
                true
            }
            None => false,
        };
        if let Some(host) = state.hosts.get_mut(instance) {
            host.membership = if is_member { Membership::Member } else { Membership::None };
        }
        Ok(())
    }

    /// Keeps the host's fleetd away from the registry.
    pub(super) fn hold(&self, instance: &InstanceId, cluster: &Cluster) -> Result<(), String> {
        let mut state = self.change();
        if cluster.founding && state.has_quorum(&cluster.scope) {
            return Err("etcd answers, and was to be founded anew".to_owned());
        }
        let host = state.hosts.get_mut(instance).ok_or("the host is gone")?;
        host.held = true;
        let name = host.host.clone();
        if state.breaks_off.remove(&name) { Err("the host went down".to_owned()) } else { Ok(()) }
    }

    /// Founds etcd anew where none answers, or has what is left of the old one give way. Whoever's fleetd looks into it meanwhile stops
    /// what it does not find there.
    pub(super) fn found_anew(&self, instance: &InstanceId, cluster: &Cluster) -> Result<(), String> {
        let mut state = self.change();
        let has_quorum = state.has_quorum(&cluster.scope);
        let host = state.hosts.get_mut(instance).filter(|host| host.held).ok_or("fleet is not held on this host")?;
        let (name, address) = (host.host.clone(), host.address.clone());
        let founds = cluster.members.contains(&name);
        if cluster.founding && !founds {
            host.give_way();
        }
        if !cluster.founding || has_quorum || !founds {
            return Ok(());
        }
        host.lost_data = false;
        host.ended_parts = false;
        let old = state.etcd.insert(cluster.scope.clone(), BTreeMap::from([(address, true)]));
        for host in state.hosts.values_mut().filter(|host| host.scope == cluster.scope && host.alive()) {
            host.forgotten = !host.units.is_empty();
            if host.host == name {
                host.membership = Membership::Member;
            } else if host.membership == Membership::Member && !host.lost_data {
                host.left_over.clone_from(&old);
            }
            if !host.held {
                host.units.values_mut().for_each(|unit| unit.serves = false);
            }
        }
        state.note_serving();
        Ok(())
    }

    /// Gives a host a member, beside those that there are.
    pub(super) async fn join(&self, instance: &InstanceId, cluster: &Cluster) -> String {
        let scope = &cluster.scope;
        let add = || -> Result<(String, bool), String> {
            let mut state = self.change();
            let host = state.hosts.get(instance).ok_or("the host is gone")?;
            let (name, address, membership) = (host.host.clone(), host.address.clone(), host.membership);
            let listed = state.etcd.get(scope).and_then(|members| members.get(&address)).copied();
            if membership == Membership::None && listed == Some(true) {
                return Err(format!("etcd has a member at {address} that has begun, and this host has no data of it"));
            }
            if listed.is_none() {
                if let Some(why) = state.unhealthy(scope, &address) {
                    return Err(format!("etcd takes no member while it is not whole: {why}"));
                }
                state.etcd.entry(scope.clone()).or_default().insert(address.clone(), false);
            }
            if let Some(host) = state.hosts.get_mut(instance).filter(|_| membership != Membership::Member) {
                host.membership = Membership::Joining;
            }
            Ok((address, state.breaks_off.remove(&name)))
        };
        let address = match add() {
            Ok((address, false)) => address,
            Ok((_, true)) => return encode_error(HostErrorKind::Other, "the host went down"),
            Err(why) => return encode_error(HostErrorKind::Other, &why),
        };
        tokio::time::sleep(START).await;
        let mut state = self.change();
        if let Some(begun) = state.etcd.get_mut(scope).and_then(|members| members.get_mut(&address)) {
            *begun = true;
        }
        if let Some(host) = state.hosts.get_mut(instance) {
            host.membership = Membership::Member;
        }
        encode_done()
    }

    /// Has etcd forget a member, and ends it where it is this host's.
    pub(super) async fn leave(&self, instance: &InstanceId, cluster: &Cluster, leaving: &str) -> String {
        let scope = &cluster.scope;
        let forget = || -> Result<(bool, bool), String> {
            let mut state = self.change();
            let host = state.hosts.get(instance).ok_or("the host is gone")?;
            let (name, is_own) = (host.host.clone(), host.address == leaving);
            if state.etcd.get(scope).is_some_and(|members| members.contains_key(leaving)) {
                if state.etcd.get(scope).is_some_and(|members| members.len() == 1) {
                    return Err(format!("the member at {leaving} is the last one of etcd"));
                }
                if let Some(why) = state.unhealthy(scope, leaving) {
                    return Err(format!("etcd does not let go of the member at {leaving}: {why}"));
                }
                state.etcd.entry(scope.clone()).or_default().remove(leaving);
            }
            if let Some(host) = state.hosts.get_mut(instance).filter(|_| is_own) {
                host.membership = Membership::Leaving;
            }
            Ok((is_own, state.breaks_off.remove(&name)))
        };
        match forget() {
            Ok((false, _)) => return encode_done(),
            Ok((true, false)) => {}
            Ok((true, true)) => return encode_error(HostErrorKind::Other, "the host went down"),
            Err(why) => return encode_error(HostErrorKind::Other, &why),
        }
        tokio::time::sleep(SWAP).await;
        if let Some(host) = self.change().hosts.get_mut(instance) {
            host.membership = Membership::None;
        }
        encode_done()
    }
}
