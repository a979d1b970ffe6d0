//! Links: the order in which services start, and what hosts are told of where linked services are.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Pass, Placement, hosts::Hosts};
use crate::{
    desired::Desired,
    name::{HostName, ServiceName},
    observed::{Observed, ObservedHost},
    orchestrator::{Orchestrator, Place},
};

/// Where each linked service is: its hosts, in order.
pub type Places = BTreeMap<ServiceName, BTreeSet<HostName>>;

/// How far each service is from those that link to nothing: it starts after all that are nearer. Nothing is said of services that
/// are in no link.
pub(super) fn ranks(links: &BTreeMap<ServiceName, Vec<ServiceName>>) -> BTreeMap<ServiceName, usize> {
    let mut ranks: BTreeMap<ServiceName, usize> =
        links.iter().flat_map(|(from, to)| to.iter().chain([from])).map(|service| (service.clone(), 0)).collect();
    // Once for each service is enough where there is no circle, and ends where there is one.
    for _ in 0..ranks.len() {
        for (from, to) in links {
            let after = to.iter().filter_map(|to| ranks.get(to)).max().map_or(0, |rank| rank + 1);
            ranks.insert(from.clone(), after);
        }
    }
    ranks
}

/// The places as one host is told of them, its own first; nothing while the address of one is not known.
pub fn seen_from(host: &HostName, places: &Places, hosts: &BTreeMap<HostName, ObservedHost>) -> Option<Vec<Place>> {
    let place = |service: &ServiceName, at: &HostName| {
        let address = hosts.get(at)?.private_address.as_ref()?.parse().ok()?;
        Some(Place { service: service.clone(), address })
    };
    let of_service = |(service, at): (&ServiceName, &BTreeSet<HostName>)| -> Vec<Option<Place>> {
        let (own, others): (Vec<&HostName>, Vec<&HostName>) = at.iter().partition(|at| *at == host);
        own.into_iter().chain(others).map(|at| place(service, at)).collect()
    };
    places.iter().flat_map(of_service).collect()
}

/// What hosts know, and what they have to be told while a rollout goes on.
pub(super) struct Telling<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    orchestrator: &'a dyn Orchestrator,
    pass: &'a Pass,
    ranks: BTreeMap<ServiceName, usize>,
    /// By every host that carries a service with links, what this plan has told it before.
    told: BTreeMap<HostName, Option<Places>>,
}

impl<'a> Telling<'a> {
    pub(super) fn new(
        desired: &'a Desired,
        observed: &'a Observed,
        orchestrator: &'a dyn Orchestrator,
        hosts: &Hosts,
        pass: &'a Pass,
    ) -> Self {
        let linking = desired.links.keys().flat_map(|service| desired.hosts_with(service));
        // Where hosts are only brought up, what runs there goes on as it is.
        let linking = linking.filter(|host| hosts.usable.contains(host) && !desired.hosts_only);
        let told = linking.map(|host| (host, None)).collect();
        Self { desired, observed, orchestrator, pass, ranks: ranks(&desired.links), told }
    }

    /// The rank of a replica's service.
    pub(super) fn rank(&self, placement: &Placement) -> usize {
        self.ranks.get(&placement.replica.service).copied().unwrap_or(0)
    }

    /// The last rank that there is.
    pub(super) fn last_rank(&self) -> usize {
        self.ranks.values().copied().max().unwrap_or(0)
    }

    /// What is to be told once everything up to a rank has started; nothing where every host knows it.
    pub(super) fn after(&mut self, rank: usize) -> Option<Action> {
        let places = self.places(rank);
        let mut hosts = Vec::new();
        for (host, told) in &mut self.told {
            let knows = match told {
                Some(told) => *told == places,
                None => {
                    let found = self.observed.hosts.get(host).and_then(|found| found.report.as_ref());
                    let knows = found.and_then(|report| report.links.as_ref());
                    let places = seen_from(host, &places, &self.observed.hosts);
                    knows.is_some() && knows == places.map(|places| self.orchestrator.linked(&places)).as_ref()
                }
            };
            if !knows {
                *told = Some(places.clone());
                hosts.push(host.clone());
            }
        }
        (!hosts.is_empty()).then_some(Action::LinkServices { hosts, places })
    }

    /// A service is looked for where it runs until its successors elsewhere have started.
    fn places(&self, rank: usize) -> Places {
        let linked: BTreeSet<&ServiceName> = self.desired.links.values().flatten().collect();
        let place = |service: &ServiceName| {
            let here = self.observed.hosts_with(service);
            let stays = self.desired.left_alone.contains(service);
            let is_up = self.ranks.get(service).is_none_or(|own| *own <= rank);
            let goes = !stays && (is_up || here.is_empty());
            (service.clone(), if goes { self.reached(service, here) } else { here })
        };
        linked.into_iter().map(place).collect()
    }

    /// Where a service is when this pass is through: where it should be, but on hosts that are left for later where it was found; and
    /// as long as it is not everywhere, where it was found besides.
    fn reached(&self, service: &ServiceName, here: BTreeSet<HostName>) -> BTreeSet<HostName> {
        let is_filled = |host: &HostName| !self.pass.still.contains(host) || here.contains(host);
        let (filled, later): (BTreeSet<HostName>, BTreeSet<HostName>) =
            self.desired.hosts_with(service).partition(is_filled);
        if later.is_empty() { filled } else { filled.into_iter().chain(here).collect() }
    }
}

/// Services that link to one of these, directly or by others.
pub(super) fn linking_to(
    services: &BTreeSet<&ServiceName>,
    links: &BTreeMap<ServiceName, Vec<ServiceName>>,
) -> BTreeSet<ServiceName> {
    let mut found: BTreeSet<ServiceName> = BTreeSet::new();
    // Once for each service is enough.
    for _ in 0..links.len() {
        let leads_there = |to: &ServiceName| services.contains(to) || found.contains(to);
        let more: Vec<ServiceName> =
            links.iter().filter(|(_, to)| to.iter().any(leads_there)).map(|(from, _)| from.clone()).collect();
        found.extend(more);
    }
    found
}

/// What others are to be told before a host goes away: that nothing is there which they link to.
pub(super) fn without(desired: &Desired, observed: &Observed, host: &HostName) -> Option<Action> {
    let linked: BTreeSet<&ServiceName> = desired.links.values().flatten().collect();
    let found: Places = linked.into_iter().map(|service| (service.clone(), observed.hosts_with(service))).collect();
    let knows = |other: &HostName| {
        let report = observed.hosts.get(other).and_then(|found| found.report.as_ref());
        other != host && report.is_some_and(|report| report.links.is_some())
    };
    let linking = desired.links.keys().flat_map(|service| desired.hosts_with(service));
    let hosts: BTreeSet<HostName> = linking.filter(knows).collect();
    if hosts.is_empty() || !found.values().any(|at| at.contains(host)) {
        return None;
    }
    let elsewhere = |at: BTreeSet<HostName>| at.into_iter().filter(|at| at != host).collect();
    let places = found.into_iter().map(|(service, at)| (service, elsewhere(at))).collect();
    Some(Action::LinkServices { hosts: hosts.into_iter().collect(), places })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;
    use crate::observed::{Agent, InstanceId, InstanceState};

    fn links(links: &[(&str, &[&str])]) -> BTreeMap<ServiceName, Vec<ServiceName>> {
        let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        links.iter().map(|(from, to)| (from.parse().unwrap(), names(to))).collect()
    }

    fn rank(links: &[(&str, &[&str])], service: &str) -> Option<usize> {
        ranks(&self::links(links)).get(&service.parse().unwrap()).copied()
    }

    #[test]
    fn a_service_is_further_than_everything_that_it_links_to() {
        let shop: &[(&str, &[&str])] = &[("edge", &["api", "web"]), ("web", &["api"]), ("api", &["redis", "mail"])];
        let all = ["redis", "mail", "api", "web", "edge"].map(|service| rank(shop, service));
        assert_eq!(all, [Some(0), Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(rank(shop, "clock"), None, "it is in no link");
    }

    #[test]
    fn links_in_a_circle_which_no_file_has_end_the_search_all_the_same() {
        assert_eq!(ranks(&links(&[("a", &["b"]), ("b", &["a"]), ("c", &["b"])])).len(), 3);
    }

    fn host(address: Option<&str>) -> ObservedHost {
        ObservedHost {
            instance: InstanceId("i-1".to_owned()),
            state: InstanceState::Running,
            size: "t3.small".to_owned(),
            instance_store: false,
            private_address: address.map(str::to_owned),
            public_address: None,
            agent: Agent::Online,
            report: None,
        }
    }

    #[test]
    fn a_place_without_an_address_is_none_to_tell_of() {
        let name = |host: &str| -> HostName { host.parse().unwrap() };
        let places = Places::from([("redis".parse().unwrap(), [name("web_1"), name("web_2")].into())]);
        let seen = |second| {
            let hosts = BTreeMap::from([(name("web_1"), host(Some("10.0.0.1"))), (name("web_2"), second)]);
            let seen = seen_from(&name("web_2"), &places, &hosts)?;
            Some(seen.iter().map(|place| place.address.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(seen(host(Some("10.0.0.2"))).unwrap(), ["10.0.0.2", "10.0.0.1"], "its own comes first");
        for unknown in [None, Some("10.0.0.2\n127.0.0.1 redis"), Some("fd00::2")] {
            assert_eq!(seen(host(unknown)), None, "{unknown:?}");
        }
    }
}
