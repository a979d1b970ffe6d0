//! The replicas of each host: which stay, which are replaced, which are new and which go away.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use sha2::{Digest as _, Sha256};

use super::{Action, Draft, Fresh, Kept, Order, Pass, Placement, Plan, Reason, Removal, Replacement, hosts::Hosts};
use crate::{
    config::Port,
    desired::{Binding, Desired, DesiredService, ReplicaSpec},
    image::PinnedImage,
    name::{HostName, ReplicaName, ServiceName},
    observed::{Health, Observed, ObservedReplica, ReplicaState},
    orchestrator::Orchestrator,
};

/// The host ports that skipper chooses from; `skipper.yml` may not fix one of them.
pub(super) const CHOSEN_PORTS: RangeInclusive<u16> = 20_000..=29_999;
/// Of those, the ones that a preview on shared hosts has for ports that its group makes public. They alone are open there.
pub const SHARED_PUBLIC_PORTS: RangeInclusive<u16> = 20_000..=24_999;
/// The ones that it has for all others.
const SHARED_PRIVATE_PORTS: RangeInclusive<u16> = 25_000..=29_999;

/// What it takes to be without one replica, whatever the file says; `was_found` is whether it was seen before, on a host that did
/// tell. It is total, as every plan.
pub fn taking_down(replica: &ReplicaName, observed: &Observed, was_found: bool) -> Plan {
    let mut draft = Draft::default();
    let mut removals: BTreeMap<HostName, Vec<Removal>> = BTreeMap::new();
    for (host, found) in observed.replicas().filter(|(_, found)| found.replica == *replica) {
        removals.entry(host.clone()).or_default().push(removal(found, Reason::AskedFor).0);
    }
    if removals.is_empty() && !was_found {
        // It may be where nobody has told what runs.
        draft.block_gaps(observed);
    }
    if !removals.is_empty() {
        draft.step(Action::RemoveReplicas { removals, ends: false }, Reason::AskedFor, []);
    }
    draft.finish()
}

/// What is to happen to the replicas of one host, before it is put in order.
#[derive(Default)]
pub(super) struct Wishes {
    /// New ones.
    pub(super) fresh: Vec<Fresh>,
    /// New ones in the place of old ones.
    pub(super) replacements: Vec<Replacement>,
    /// Old ones, with the host ports they hold until then.
    pub(super) removals: Vec<(Removal, BTreeSet<u16>)>,
}

impl Wishes {
    /// Leaves out what a later pass does, and what would want its ports until then.
    fn hold_back(&mut self, pass: &Pass) {
        let waits = |service: &ServiceName| pass.waiting.contains(service);
        let follows = |one: &Replacement| {
            let service = &one.new.replica.service;
            waits(service) || (one.old_served && pass.following.contains(service))
        };
        let (held, now): (Vec<Replacement>, Vec<Replacement>) =
            std::mem::take(&mut self.replacements).into_iter().partition(follows);
        self.replacements = now;
        let taken: BTreeSet<u16> = held.into_iter().flat_map(|held| held.old_ports).collect();
        self.fresh.retain(|fresh| {
            let Placement { replica, bindings, .. } = &fresh.placement;
            !waits(&replica.service) && host_ports(bindings).is_disjoint(&taken)
        });
        self.replacements.retain(|one| host_ports(&one.new.bindings).is_disjoint(&taken));
    }
}

/// Compares what every usable host runs with what it should.
pub(super) fn compare(
    desired: &Desired,
    observed: &Observed,
    orchestrator: &dyn Orchestrator,
    hosts: &Hosts,
    pass: &Pass,
    draft: &mut Draft,
) -> BTreeMap<HostName, Wishes> {
    find_obstacles(desired, orchestrator, draft);
    let mut numbers = Numbers::new(observed);
    let mut all: BTreeMap<HostName, Wishes> = BTreeMap::new();
    for host in desired.hosts().filter(|host| hosts.usable.contains(host) && !pass.still.contains(host)) {
        let mut comparison = Comparison::new(desired, observed, orchestrator, host, draft);
        comparison.services(&mut numbers);
        let Comparison { host, mut wishes, .. } = comparison;
        wishes.hold_back(pass);
        all.insert(host, wishes);
    }
    if desired.shares_hosts() {
        let wanted: BTreeSet<HostName> = desired.hosts().collect();
        for host in observed.hosts.keys().filter(|host| !wanted.contains(host)) {
            // It stays, for other previews, and has nothing of this one.
            let found = found_on(observed, host).into_iter();
            let taken_away = found.filter(|replica| !desired.left_alone.contains(&replica.replica.service));
            let removals = taken_away.map(|replica| removal(replica, Reason::NotInConfig)).collect();
            all.insert(host.clone(), Wishes { removals, ..Wishes::default() });
        }
    }
    for host in hosts.leaving.keys() {
        let wishes = all.entry(host.clone()).or_default();
        wishes
            .removals
            .extend(found_on(observed, host).into_iter().map(|replica| removal(replica, Reason::HostLeaves)));
    }
    all
}

/// Blocks what the orchestrator could not run. It lies in what all replicas of a service have in common.
fn find_obstacles(desired: &Desired, orchestrator: &dyn Orchestrator, draft: &mut Draft) {
    for (name, service) in desired.services.iter().filter(|(_, service)| service.scale > 0) {
        let group = desired.groups.iter().find(|(_, group)| group.scale > 0 && group.services.contains(name));
        let Some((group, _)) = group else { continue };
        let spec = ReplicaSpec {
            replica: ReplicaName { service: name.clone(), number: 1 },
            host: HostName { group: group.clone(), number: 1 },
            bindings: Vec::new(),
            service: service.clone(),
        };
        if let Some(why) = orchestrator.obstacle(&desired.scope, &spec) {
            draft.block(format!("service `{name}`"), why, "shorten it in skipper.yml");
        }
    }
}

/// The numbers of each service's replicas that are taken.
struct Numbers(BTreeMap<ServiceName, Taken>);

#[derive(Default)]
struct Taken {
    numbers: BTreeSet<u32>,
    /// Every number up to this one is taken: none is ever given back.
    up_to: u32,
}

impl Numbers {
    fn new(observed: &Observed) -> Self {
        let mut taken: BTreeMap<ServiceName, Taken> = BTreeMap::new();
        for (_, replica) in observed.replicas() {
            taken.entry(replica.replica.service.clone()).or_default().numbers.insert(replica.replica.number);
        }
        Self(taken)
    }

    /// The lowest free number, taken from now on.
    fn take(&mut self, service: &ServiceName) -> u32 {
        let taken = self.0.entry(service.clone()).or_default();
        let after = taken.up_to.saturating_add(1);
        let number = (after..).find(|number| !taken.numbers.contains(number)).unwrap_or(u32::MAX);
        taken.up_to = number;
        number
    }
}

/// What a host runs, in one order whatever the order it said it in.
pub(super) fn found_on<'a>(observed: &'a Observed, host: &HostName) -> Vec<&'a ObservedReplica> {
    let report = observed.hosts.get(host).and_then(|found| found.report.as_ref());
    let mut found: Vec<&ObservedReplica> = report.into_iter().flat_map(|report| &report.replicas).collect();
    found.sort_by(|a, b| (&a.replica, &a.handle).cmp(&(&b.replica, &b.handle)));
    found
}

pub(super) fn removal(replica: &ObservedReplica, reason: Reason) -> (Removal, BTreeSet<u16>) {
    let ports = if holds_ports(replica) { host_ports(&replica.bindings) } else { BTreeSet::new() };
    (Removal { replica: Some(replica.replica.clone()), handle: replica.handle.clone(), reason }, ports)
}

/// Whether a replica may hold its host ports: it runs, or its orchestrator tries to run it.
fn holds_ports(replica: &ObservedReplica) -> bool {
    replica.wanted || matches!(replica.state, ReplicaState::Running | ReplicaState::Starting)
}

fn host_ports(bindings: &[Binding]) -> BTreeSet<u16> {
    bindings.iter().map(|binding| binding.host).collect()
}

pub(super) fn serves(replica: &ObservedReplica) -> bool {
    replica.wanted && replica.state == ReplicaState::Running && !matches!(replica.health, Health::Unhealthy(_))
}

/// Whether it is kept from running, as a replica that was stopped for its successor.
fn is_stopped(replica: &ObservedReplica) -> bool {
    !replica.wanted && replica.state == ReplicaState::Stopped
}

/// The comparison of one host.
struct Comparison<'a> {
    desired: &'a Desired,
    orchestrator: &'a dyn Orchestrator,
    draft: &'a mut Draft,
    host: HostName,
    found: Vec<&'a ObservedReplica>,
    /// Host ports that something on this host has, or will have.
    used_ports: BTreeSet<u16>,
    wishes: Wishes,
}

impl<'a> Comparison<'a> {
    fn new(
        desired: &'a Desired,
        observed: &'a Observed,
        orchestrator: &'a dyn Orchestrator,
        host: HostName,
        draft: &'a mut Draft,
    ) -> Self {
        let found = found_on(observed, &host);
        let report = observed.hosts.get(&host).and_then(|found| found.report.as_ref());
        let held = report.into_iter().flat_map(|report| report.held_ports.iter().copied());
        let used_ports = found.iter().flat_map(|replica| host_ports(&replica.bindings)).chain(held).collect();
        Self { desired, orchestrator, draft, host, found, used_ports, wishes: Wishes::default() }
    }

    fn services(&mut self, numbers: &mut Numbers) {
        let group = self.desired.group_of(&self.host);
        let here: BTreeSet<ServiceName> = group.into_iter().flat_map(|group| group.services.iter().cloned()).collect();
        let desired = self.desired;
        for (name, service) in desired.services.iter().filter(|(name, _)| here.contains(*name)) {
            self.service(name, service, numbers);
        }
        for replica in self.found.clone() {
            let service = &replica.replica.service;
            let is_gone = !here.contains(service) || !desired.services.contains_key(service);
            if is_gone && !desired.hosts_only && !desired.left_alone.contains(service) {
                self.wishes.removals.push(removal(replica, Reason::NotInConfig));
            }
        }
    }

    fn service(&mut self, name: &ServiceName, service: &DesiredService, numbers: &mut Numbers) {
        let mut by_replica: BTreeMap<ReplicaName, Vec<&ObservedReplica>> = BTreeMap::new();
        for replica in self.found.iter().filter(|replica| replica.replica.service == *name) {
            by_replica.entry(replica.replica.clone()).or_default().push(replica);
        }
        let scale = service.scale as usize;
        for (index, (replica, candidates)) in by_replica.iter().enumerate() {
            if index < scale {
                self.replica(replica, service, candidates);
            } else {
                let reason = Reason::OverScale { wanted: service.scale };
                self.wishes.removals.extend(candidates.iter().map(|found| removal(found, reason.clone())));
            }
        }
        for _ in by_replica.len()..scale {
            let replica = ReplicaName { service: name.clone(), number: numbers.take(name) };
            let bindings = self.choose_bindings(&replica, service);
            let placement = self.placement(&replica, service, bindings);
            self.wishes.fresh.push(Fresh { placement, reason: Reason::ReplicaMissing, restart: false });
        }
    }

    /// Decides over one replica that should be here, given everything registered under its name.
    fn replica(&mut self, replica: &ReplicaName, service: &DesiredService, candidates: &[&ObservedReplica]) {
        let matching = candidates.iter().find(|found| self.is_right(found, service)).copied();
        let serving = candidates.iter().filter(|found| serves(found)).find(|found| Some(**found) != matching).copied();
        let stopped =
            candidates.iter().filter(|found| is_stopped(found)).find(|found| Some(**found) != matching).copied();
        let (kept, reason) = match (matching, serving.or(stopped)) {
            (Some(found), _) if serves(found) && found.image.as_ref() == Some(&service.image) => {
                let placement = self.place_of(found, service);
                self.draft.kept.push(Kept { placement });
                (vec![found], Reason::Leftover)
            }
            // The right one is there and does not serve, and there is nothing to fall back on: it is started anew.
            (Some(found), None) => {
                let reason = if found.state == ReplicaState::Running { Reason::NotHealthy } else { Reason::NotRunning };
                let placement = self.place_of(found, service);
                self.wishes.fresh.push(Fresh { placement, reason, restart: true });
                (vec![found], Reason::Leftover)
            }
            // An earlier rollout did not get further than this: the right one takes over from the one that serves, or did
            // until it was stopped for it.
            (Some(found), Some(old)) => {
                let placement = self.place_of(found, service);
                self.replace(placement, old, service);
                (vec![found, old], Reason::Leftover)
            }
            (None, serving) => {
                let Some(old) = serving.or_else(|| candidates.first().copied()) else { return };
                let bindings = self.choose_bindings(replica, service);
                let placement = self.placement(replica, service, bindings);
                self.replace(placement, old, service);
                (vec![old], Reason::Leftover)
            }
        };
        for found in candidates.iter().filter(|found| !kept.contains(*found)) {
            self.wishes.removals.push(removal(found, reason.clone()));
        }
    }

    fn replace(&mut self, new: Placement, old: &ObservedReplica, service: &DesiredService) {
        let reason = match &old.image {
            Some(image) if *image == service.image => Reason::SettingsDiffer,
            _ => Reason::ImageDiffers,
        };
        let old_ports = if holds_ports(old) { host_ports(&old.bindings) } else { BTreeSet::new() };
        self.wishes.replacements.push(Replacement {
            new,
            old: old.handle.clone(),
            old_image: old.image.clone(),
            old_probe: old.probe.clone(),
            old_ports,
            old_served: serves(old),
            old_stopped: is_stopped(old),
            // Two at once would write to the same data. Where ports clash, the arrangement of the host's rollout turns this round, too.
            order: if service.writes_volumes() { Order::StopFirst } else { Order::StartFirst },
            reason,
        });
    }

    /// Whether what was found is exactly what would be written for it today, with the ports it has.
    fn is_right(&self, found: &ObservedReplica, service: &DesiredService) -> bool {
        let fits = found.bindings.len() == service.ports.len()
            && service.ports.iter().zip(&found.bindings).all(|(port, binding)| {
                port.container == binding.container && self.host_ports(port).contains(&binding.host)
            });
        fits && self
            .orchestrator
            .handle(&self.desired.scope, &self.spec(&found.replica, service, found.bindings.clone()))
            == found.handle
    }

    fn spec(&self, replica: &ReplicaName, service: &DesiredService, bindings: Vec<Binding>) -> ReplicaSpec {
        ReplicaSpec { replica: replica.clone(), host: self.host.clone(), bindings, service: service.clone() }
    }

    /// Where something goes that is not there yet.
    fn placement(&self, replica: &ReplicaName, service: &DesiredService, bindings: Vec<Binding>) -> Placement {
        let spec = self.spec(replica, service, bindings);
        let handle = self.orchestrator.handle(&self.desired.scope, &spec);
        let image: PinnedImage = service.image.clone();
        Placement { replica: spec.replica, host: spec.host, bindings: spec.bindings, handle, image }
    }

    /// Where something is that is right: writing its unit anew would give the name it has.
    fn place_of(&self, found: &ObservedReplica, service: &DesiredService) -> Placement {
        Placement {
            replica: found.replica.clone(),
            host: self.host.clone(),
            bindings: found.bindings.clone(),
            handle: found.handle.clone(),
            image: service.image.clone(),
        }
    }

    /// The host ports that a port may have: the one that the file fixes, or any of those that are chosen from. On shared hosts
    /// none is fixed, since every preview of the project would want the same.
    fn host_ports(&self, port: &Port) -> RangeInclusive<u16> {
        match port.host {
            Some(host) if !self.desired.shares_hosts() => host..=host,
            None if !self.desired.shares_hosts() => CHOSEN_PORTS,
            Some(host) if self.is_public(host) => SHARED_PUBLIC_PORTS,
            _ => SHARED_PRIVATE_PORTS,
        }
    }

    fn is_public(&self, port: u16) -> bool {
        self.desired.group_of(&self.host).is_some_and(|group| group.public_ports.contains(&port))
    }

    /// Fixed ports as the file says; for the others a port that nothing on this host has.
    fn choose_bindings(&mut self, replica: &ReplicaName, service: &DesiredService) -> Vec<Binding> {
        service
            .ports
            .iter()
            .map(|port| {
                let host = self.choose_port(replica, port.container, self.host_ports(port));
                self.used_ports.insert(host);
                Binding { host, container: port.container }
            })
            .collect()
    }

    /// Slot a, slot b for the successor of what has slot a, or the next free port after it.
    fn choose_port(&self, replica: &ReplicaName, container: u16, ports: RangeInclusive<u16>) -> u16 {
        let (first, last) = (*ports.start(), *ports.end());
        let scope = &self.desired.scope;
        let slot = |slot: char| -> u16 {
            let hash = Sha256::digest(format!("{scope}/{replica}/{container}/{slot}", scope = scope.stem()));
            let span = u32::from(last - first) + 1;
            let offset = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) % span;
            first + u16::try_from(offset).unwrap_or(0)
        };
        let (a, b) = (slot('a'), slot('b'));
        [a, b].into_iter().chain(b..=last).chain(ports).find(|port| !self.used_ports.contains(port)).unwrap_or(a)
    }
}
