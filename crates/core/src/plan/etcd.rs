//! The members of etcd: which hosts have one, and how it comes to those that should, one at a time.
//!
//! One member below three hosts, else three. Those that are there stay where they can, the lowest hosts first; new ones join
//! before others leave, so that there are never fewer than there need be. What an earlier run has begun is finished first.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Draft, Plan, Reason, StepId, hosts::identity, registry::Loss};
use crate::{
    config::Architecture,
    desired::Desired,
    etcd::{EtcdMember, MemberState, Membership},
    name::HostName,
    observed::{HostReport, Observed, ObservedHost, OrchestratorState},
    orchestrator::Orchestrator,
};

/// Hosts from which on etcd has so many members that it survives the loss of one.
const QUORUM_HOSTS: usize = 3;

/// The members that there are, those that there should be, and what lies in between.
pub(super) struct Etcd {
    /// Whether there is none yet, and the members found it together.
    founding: bool,
    /// Hosts whose member was given up and is still half there, each with the members that stay.
    broken_off: Vec<HostName>,
    /// Addresses of members that nobody has any more.
    lost: Vec<(String, Reason)>,
    /// The host that has etcd forget those.
    speaker: Option<HostName>,
    /// Hosts that get a member, in order.
    joining: Vec<HostName>,
    /// Hosts whose member goes, in order, each with the address of the member where it does not answer itself.
    leaving: Vec<(HostName, Option<String>)>,
    /// The members that there are and will be, which every host is told of before any of them moves.
    told: Vec<HostName>,
    /// The members in the end.
    members: Vec<HostName>,
    /// Why members come and go.
    reason: Reason,
}

/// How a host's part in etcd looks from outside and from within.
struct Part {
    listed: Option<MemberState>,
    own: Membership,
}

impl Etcd {
    /// Compares the members that etcd has with those that the hosts which stay should have, where there are so many `in_all` with those
    /// that are yet to come. Nothing where that cannot be told; then the plan is blocked. Members leave only where they `may`.
    pub(super) fn survey(
        observed: &Observed,
        hosts: &[HostName],
        in_all: usize,
        may_leave: bool,
        draft: &mut Draft,
    ) -> Option<Self> {
        let count = if in_all < QUORUM_HOSTS { 1 } else { QUORUM_HOSTS };
        let listed = match listed(observed) {
            Ok(Some(listed)) => listed,
            Ok(None) => return Self::founded(observed, hosts, count, draft),
            Err(Disagree) => {
                let why = "its members are not the same to all hosts, as while they change";
                draft.block("etcd", why, "run again; if it stays so, look at `etcd-member` on the hosts");
                return None;
            }
        };
        let hosts_at: BTreeMap<&str, &HostName> =
            observed.hosts.iter().filter_map(|(host, found)| Some((found.private_address.as_deref()?, host))).collect();
        let mut lost: Vec<(String, Reason)> = listed
            .keys()
            .filter(|address| !hosts_at.contains_key(address.as_str()))
            .map(|address| (address.clone(), Reason::HostGone))
            .collect();
        let mut parts: BTreeMap<&HostName, Part> = BTreeMap::new();
        let mut broken_off = Vec::new();
        for (host, found) in &observed.hosts {
            let listed = found.private_address.as_ref().and_then(|address| listed.get(address).copied());
            // One that does not answer is what etcd says of it.
            let unheard = if listed.is_some() { Membership::Member } else { Membership::None };
            let own = found.report.as_ref().map_or(unheard, |report| report.membership);
            let mut part = Part { listed, own };
            match (own, listed, &found.private_address) {
                (Membership::Leaving, ..) | (Membership::Member, None, _) => {
                    broken_off.push(host.clone());
                    part = Part { listed: None, own: Membership::None };
                }
                (Membership::None, Some(MemberState::Healthy | MemberState::Silent), Some(address)) => {
                    lost.push((address.clone(), Reason::MemberLost));
                    part.listed = None;
                }
                _ => {}
            }
            parts.insert(host, part);
        }
        let has_one = |host: &&HostName| parts.get(host).is_some_and(|part| part.own != Membership::None);
        let is_silent = |host: &&HostName| parts[host].listed != Some(MemberState::Healthy);
        let mut current: Vec<&HostName> = parts.keys().copied().filter(has_one).collect();
        current.sort_by_key(|host| (is_silent(host), *host));
        let stays = |host: &&&HostName| !may_leave || hosts.contains(host);
        let count = if may_leave { count } else { count.max(current.len()) };
        let staying: Vec<&HostName> = current.iter().filter(stays).take(count).copied().collect();
        let others = hosts.iter().filter(|host| !staying.contains(host));
        let members: BTreeSet<&HostName> = staying.iter().copied().chain(others).take(count).collect();
        let has_joined = |host: &HostName| {
            parts.get(host).is_some_and(|part| {
                part.own == Membership::Member
                    && matches!(part.listed, Some(MemberState::Healthy | MemberState::Silent))
            })
        };
        let joining = members.iter().filter(|host| !has_joined(host)).map(|host| (*host).clone()).collect();
        let there = parts.iter().filter(|(_, part)| part.own != Membership::None || part.listed.is_some());
        let there: BTreeSet<&HostName> = there.map(|(host, _)| *host).collect();
        let unheard = |host: &HostName| {
            let found = observed.hosts.get(host).filter(|found| found.report.is_none());
            found.and_then(|found| found.private_address.clone())
        };
        let leaving = there.iter().rev().filter(|host| !members.contains(*host));
        let leaving = leaving.map(|host| ((*host).clone(), unheard(host))).collect();
        Some(Self {
            founding: false,
            broken_off,
            lost,
            speaker: observed.hosts.iter().find(|(_, found)| found.report.is_some()).map(|(host, _)| host.clone()),
            joining,
            leaving,
            told: there.union(&members).map(|host| (*host).clone()).collect(),
            members: members.into_iter().cloned().collect(),
            reason: Reason::EtcdSize { hosts: in_all, members: count },
        })
    }

    /// The members of a cluster that is still to be founded.
    fn founded(observed: &Observed, hosts: &[HostName], count: usize, draft: &mut Draft) -> Option<Self> {
        if reports(observed).any(|(_, report)| report.configured.is_some()) {
            if observed.gaps.is_empty() {
                let hint = "run again; if it stays so, look at `journalctl -u etcd-member` on the hosts";
                draft.block("etcd", "no host is told its members", hint);
            }
            return None;
        }
        let members: Vec<HostName> = hosts.iter().take(count).cloned().collect();
        (!members.is_empty()).then(|| Self {
            founding: true,
            broken_off: Vec::new(),
            lost: Vec::new(),
            speaker: None,
            joining: Vec::new(),
            leaving: Vec::new(),
            told: members.clone(),
            reason: Reason::EtcdSize { hosts: hosts.len(), members: count },
            members,
        })
    }

    /// Whether hosts get a member that have none.
    pub(super) fn grows(&self) -> bool {
        !self.joining.is_empty()
    }

    /// Configures those of the hosts that are not as they should be, and has members join; the step after which all of that is done.
    pub(super) fn bring_up(
        &self,
        desired: &Desired,
        observed: &Observed,
        orchestrator: &dyn Orchestrator,
        hosts: &[HostName],
        up: Option<StepId>,
        draft: &mut Draft,
    ) -> Option<StepId> {
        let mut last = up;
        for host in &self.broken_off {
            let action = Action::LeaveEtcd { host: host.clone(), members: without(&self.told, host) };
            last = Some(draft.step(action, Reason::BrokenOff, last));
        }
        for (address, reason) in &self.lost {
            let Some(by) = &self.speaker else { continue };
            let action = Action::ForgetMember { address: address.clone(), by: by.clone(), members: self.told.clone() };
            last = Some(draft.step(action, reason.clone(), last));
        }
        let expected = identity(desired, observed, orchestrator, &self.told);
        let configured = |host: &HostName| observed.hosts.get(host)?.report.as_ref()?.configured.as_ref();
        let stale: Vec<HostName> = hosts
            .iter()
            .filter(|host| configured(host).is_none_or(|has| Some(has) != expected.as_ref()))
            .cloned()
            .collect();
        if !stale.is_empty() {
            let reason = match stale.iter().any(|host| configured(host).is_some()) {
                true => Reason::ConfigurationDiffers,
                false => Reason::NotConfigured,
            };
            last = Some(self.configure(desired, stale, &self.told, reason, last, draft));
        }
        for host in &self.joining {
            let reason = match observed.hosts.get(host).and_then(|found| found.report.as_ref()) {
                Some(report) if report.membership == Membership::Joining => Reason::BrokenOff,
                _ => self.reason.clone(),
            };
            let action = Action::JoinEtcd { host: host.clone(), members: self.told.clone() };
            last = Some(draft.step(action, reason, last));
        }
        last.filter(|last| Some(*last) != up)
    }

    /// Has members leave that there should not be, after everything else, and tells the hosts that stay of those that are left. Where
    /// no host stays, etcd ends with the last.
    pub(super) fn take_down(&self, desired: &Desired, hosts: &[HostName], draft: &mut Draft) {
        if self.members.is_empty() {
            return;
        }
        let mut last: Option<StepId> = None;
        for (host, unheard) in &self.leaving {
            let needs = last.map_or_else(|| draft.ends(), |last| vec![last]);
            let reason = if hosts.contains(host) { self.reason.clone() } else { Reason::HostLeaves };
            let members = self.members.clone();
            let action = match (unheard, &self.speaker) {
                (Some(address), Some(by)) => Action::ForgetMember { address: address.clone(), by: by.clone(), members },
                _ => Action::LeaveEtcd { host: host.clone(), members },
            };
            last = Some(draft.step(action, reason, needs));
        }
        if last.is_some() {
            self.configure(desired, hosts.to_vec(), &self.members, Reason::ConfigurationDiffers, last, draft);
        }
    }

    fn configure(
        &self,
        desired: &Desired,
        hosts: Vec<HostName>,
        members: &[HostName],
        reason: Reason,
        needs: Option<StepId>,
        draft: &mut Draft,
    ) -> StepId {
        for (architecture, _) in desired.fleet.iter().filter(|(_, archive)| archive.sha256.is_none()) {
            let key = match architecture {
                Architecture::Amd64 => "fleet.sha256",
                Architecture::Arm64 => "fleet.arm64.sha256",
            };
            draft.note(format!("the hosts take fleet's archive unchecked: put its SHA-256 into `{key}`"));
        }
        let action = Action::ConfigureHosts { hosts, members: members.to_vec(), founding: self.founding };
        draft.step(action, reason, needs)
    }
}

/// What has to be done before anybody can say what runs, where some of the world does not answer: that a registry is brought back
/// which is lost; else what an earlier run has begun and not finished, as a member that was added and has not begun keeps one other
/// from having a quorum; else that hosts are configured anew whose engine or orchestrator does not answer, which starts again whatever
/// has ended there: all of them at once, since a member of etcd may need those of the others to answer. What comes after can be planned
/// only then.
pub(super) fn first_part(observed: &Observed) -> Option<Plan> {
    if observed.gaps.is_empty() {
        return None;
    }
    if let Some(loss) = Loss::of(observed) {
        return Some(loss.made_good(observed));
    }
    let part = |host: &HostName| observed.hosts.get(host)?.report.as_ref().map(|report| report.membership);
    let has_one =
        |(host, report): (&HostName, &HostReport)| (report.membership != Membership::None).then(|| host.clone());
    let members: Vec<HostName> = reports(observed).filter_map(has_one).collect();
    let mut draft = Draft::default();
    let mut last = None;
    for host in members.iter().filter(|host| part(host) == Some(Membership::Leaving)) {
        let action = Action::LeaveEtcd { host: host.clone(), members: without(&members, host) };
        last = Some(draft.step(action, Reason::BrokenOff, last));
    }
    for host in members.iter().filter(|host| part(host) == Some(Membership::Joining)) {
        let action = Action::JoinEtcd { host: host.clone(), members: members.clone() };
        last = Some(draft.step(action, Reason::BrokenOff, last));
    }
    if last.is_none() {
        // Without its data one is no more started than another is founded.
        let members: Vec<HostName> = members.into_iter().filter(|host| part(host) != Some(Membership::Lost)).collect();
        let members = members_of_silent(observed, &members).filter(|members| !members.is_empty())?;
        for reason in [Reason::EngineSilent, Reason::OrchestratorSilent] {
            let hosts: Vec<HostName> = reports(observed)
                .filter(|(_, report)| silence(report).as_ref() == Some(&reason))
                .map(|(host, _)| host.clone())
                .collect();
            if !hosts.is_empty() {
                draft.step(Action::ConfigureHosts { hosts, members: members.clone(), founding: false }, reason, None);
            }
        }
        if draft.steps.is_empty() {
            return None;
        }
    }
    Some(partial(draft))
}

pub(super) fn partial(mut draft: Draft) -> Plan {
    draft.note("what runs is known only once that is done, and the rest is planned then".to_owned());
    Plan { partial: true, ..draft.finish() }
}

/// Why a host is to be configured anew before anybody can say what it runs.
fn silence(report: &HostReport) -> Option<Reason> {
    match (&report.configured, &report.engine, &report.orchestrator) {
        (None, ..) => None,
        (_, Some(_), _) => Some(Reason::EngineSilent),
        (_, None, OrchestratorState::Silent(_)) => Some(Reason::OrchestratorSilent),
        (_, None, _) => None,
    }
}

/// The members that silent hosts are told of: those that etcd has, where it has a quorum, else all that there can be, as only their own
/// hosts can start them again. Nothing where some are not to be found: a host that is told of fewer would leave those open to its
/// containers.
pub(super) fn members_of_silent(observed: &Observed, own: &[HostName]) -> Option<Vec<HostName>> {
    let listed = match listed(observed) {
        Ok(Some(listed)) => listed,
        Ok(None) => return matches!(own.len(), 1 | QUORUM_HOSTS).then(|| own.to_vec()),
        Err(Disagree) => the_living(observed)?,
    };
    let at = |address: &String| {
        let is_there = |found: &ObservedHost| found.private_address.as_ref() == Some(address);
        observed.hosts.iter().find(|(_, found)| is_there(found)).map(|(host, _)| host.clone())
    };
    let members: Option<Vec<HostName>> = listed.keys().map(at).collect();
    members.filter(|_| has_quorum(&listed))
}

/// The members of the only etcd that has a quorum, where hosts tell of different ones: one whose member is left over from an etcd that
/// was lost still tells of that.
fn the_living(observed: &Observed) -> Option<BTreeMap<String, MemberState>> {
    let mut living = reports(observed).map(|(_, report)| told(report)).filter(has_quorum);
    let first = living.next()?;
    living.all(|other| first.keys().eq(other.keys())).then_some(first)
}

pub(super) fn has_quorum(members: &BTreeMap<String, MemberState>) -> bool {
    members.values().filter(|state| **state == MemberState::Healthy).count() * 2 > members.len()
}

fn told(report: &HostReport) -> BTreeMap<String, MemberState> {
    report.etcd.iter().map(|EtcdMember { address, state }| (address.clone(), *state)).collect()
}

/// Hosts tell of different members.
pub(super) struct Disagree;

/// The members by their addresses, as the hosts are told of them; nothing where none is. One that answers any of the hosts is healthy.
pub(super) fn listed(observed: &Observed) -> Result<Option<BTreeMap<String, MemberState>>, Disagree> {
    let mut listed: Option<BTreeMap<String, MemberState>> = None;
    for (_, report) in reports(observed).filter(|(_, report)| !report.etcd.is_empty()) {
        let told = told(report);
        let Some(listed) = &mut listed else {
            listed = Some(told);
            continue;
        };
        if !listed.keys().eq(told.keys()) {
            return Err(Disagree);
        }
        for (address, state) in told {
            if state == MemberState::Healthy {
                listed.insert(address, state);
            }
        }
    }
    Ok(listed)
}

pub(super) fn reports(observed: &Observed) -> impl Iterator<Item = (&HostName, &HostReport)> {
    observed.hosts.iter().filter_map(|(host, found)| Some((host, found.report.as_ref()?)))
}

fn without(members: &[HostName], host: &HostName) -> Vec<HostName> {
    members.iter().filter(|member| *member != host).cloned().collect()
}
