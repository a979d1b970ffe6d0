//! What runs where, as a table for people: every replica found, and every one that should be there and is not.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    config::Config,
    event::{HostRow, ReplicaRow, StateTable},
    name::{HostName, ReplicaName, ServiceName},
    observed::{Observed, ObservedReplica},
    release::Release,
    url,
};

/// Builds the table. `releases` are those whose images can be recognised, the latest first.
pub fn table(config: &Config, observed: &Observed, releases: &[Release]) -> StateTable {
    let mut replicas: Vec<ReplicaRow> = Vec::new();
    let mut numbers: BTreeMap<ServiceName, BTreeSet<u32>> = BTreeMap::new();
    for (_, found) in observed.replicas() {
        numbers.entry(found.replica.service.clone()).or_default().insert(found.replica.number);
    }
    let mut names: BTreeSet<HostName> = observed.hosts.keys().cloned().collect();
    for (group, spec) in &config.groups {
        names.extend((1..=spec.scale).map(|number| HostName { group: group.clone(), number }));
    }
    for host in &names {
        let found: Vec<&ObservedReplica> = observed
            .hosts
            .get(host)
            .and_then(|found| found.report.as_ref())
            .into_iter()
            .flat_map(|report| &report.replicas)
            .collect();
        let scales = scales(config, host);
        let row = |replica: &ReplicaName, found: Option<&ObservedReplica>, wanted: bool| {
            let instance = observed.hosts.get(host);
            ReplicaRow {
                host: host.clone(),
                instance: instance.map(|found| found.instance.to_string()),
                address: instance
                    .and_then(|found| found.public_address.clone().or_else(|| found.private_address.clone())),
                revision: found.and_then(|found| {
                    let image = found.image.as_ref()?;
                    releases
                        .iter()
                        .find(|release| release.images.get(&replica.service) == Some(image))
                        .map(|release| release.revision.clone())
                }),
                found: found.cloned(),
                replica: replica.to_string(),
                service: replica.service.clone(),
                wanted,
            }
        };
        for (service, scale) in &scales {
            let here: BTreeSet<&ReplicaName> =
                found.iter().map(|found| &found.replica).filter(|replica| replica.service == *service).collect();
            let known = here.len();
            for (index, replica) in here.into_iter().enumerate() {
                let rows = found.iter().filter(|found| found.replica == *replica);
                replicas.extend(rows.map(|found| row(replica, Some(found), index < *scale as usize)));
            }
            for _ in known..*scale as usize {
                let taken = numbers.entry(service.clone()).or_default();
                let number = (1..).find(|number| !taken.contains(number)).unwrap_or(u32::MAX);
                taken.insert(number);
                replicas.push(row(&ReplicaName { service: service.clone(), number }, None, true));
            }
        }
        replicas.extend(
            found
                .iter()
                .filter(|found| !scales.contains_key(&found.replica.service))
                .map(|found| row(&found.replica, Some(found), false)),
        );
    }
    let hosts = observed
        .hosts
        .iter()
        .map(|(host, found)| HostRow {
            host: host.clone(),
            instance: found.instance.to_string(),
            state: found.state.word().to_owned(),
            address: found.public_address.clone().or_else(|| found.private_address.clone()),
            size: found.size.clone(),
            agent: found.agent,
        })
        .collect();
    let gaps = observed
        .gaps
        .iter()
        .map(|gap| gap.host.as_ref().map_or_else(|| gap.what.clone(), |host| format!("host `{host}`: {}", gap.what)))
        .collect();
    let table = StateTable { hosts, replicas, gaps, url: None };
    StateTable { url: url::of(config, &table), ..table }
}

/// How many replicas of each service a host should carry.
fn scales(config: &Config, host: &HostName) -> BTreeMap<ServiceName, u32> {
    let Some(group) = config.groups.get(&host.group).filter(|group| host.number <= group.scale) else {
        return BTreeMap::new();
    };
    group.services.iter().filter_map(|name| Some((name.clone(), config.services.get(name)?.scale))).collect()
}
