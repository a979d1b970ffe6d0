//! The tables in the headers of host scripts: what each host is told, as lines that begin with its instance's id, and back.

use std::collections::BTreeMap;

use super::{
    task::{UnitStart, short_hash},
    unit::Unit,
};
use crate::{
    config::FleetArchive,
    log::LogOf,
    observed::{Handle, InstanceId},
    orchestrator::{Cluster, KeptLogin, RegistryLogin, Supplies},
    script::{pack, unpack},
};

pub(super) fn cluster_rows(cluster: &Cluster) -> impl Iterator<Item = Vec<String>> {
    cluster.hosts.iter().map(|host| {
        let role = if cluster.members.contains(&host.host) { "member" } else { "-" };
        let words = [&host.instance.0, &host.host.to_string(), &host.private_address, role, host.architecture.as_str()];
        words.map(str::to_owned).to_vec()
    })
}

/// Where each kind of processor gets the orchestrator from: the archive's key, under which a host keeps what is in it, its address and
/// its SHA-256.
pub(super) fn archive_rows(cluster: &Cluster) -> impl Iterator<Item = Vec<String>> {
    cluster.archives.iter().map(|(architecture, FleetArchive { url, sha256 })| {
        let sha256 = sha256.as_deref().unwrap_or_default();
        let key = short_hash(&format!("{url}\n{sha256}"));
        [architecture.as_str(), &key, url, sha256].map(str::to_owned).to_vec()
    })
}

/// What a host fetches, each by its kind: `image`, `secret`, and the logins that all hosts have in common, `login` and `role-login`.
pub(super) fn supply_rows(instance: &InstanceId, supplies: &Supplies, logins: &[RegistryLogin]) -> Vec<Vec<String>> {
    let row = |kind: &str, words: Vec<String>| {
        [instance.0.clone(), kind.to_owned()].into_iter().chain(words).collect::<Vec<String>>()
    };
    let images = supplies.images.iter().map(|image| row("image", vec![image.to_string()]));
    let secrets = supplies.secrets.iter().map(|secret| row("secret", vec![secret.to_string()]));
    let logins = logins.iter().map(|login| match login {
        RegistryLogin::Kept(KeptLogin { registry, parameter }) => {
            row("login", vec![parameter.to_string(), registry.clone()])
        }
        RegistryLogin::Role { registry, region } => row("role-login", vec![registry.clone(), region.clone()]),
    });
    images.chain(secrets).chain(logins).collect()
}

pub(super) fn read_supplies(rows: &[Vec<String>]) -> Option<(BTreeMap<InstanceId, Supplies>, Vec<RegistryLogin>)> {
    let mut supplies: BTreeMap<InstanceId, Supplies> = BTreeMap::new();
    let mut logins: Vec<RegistryLogin> = Vec::new();
    let mut add = |login| {
        if !logins.contains(&login) {
            logins.push(login);
        }
    };
    for row in rows {
        let of_host = supplies.entry(instance(row)?).or_default();
        let words: Vec<&str> = row.iter().skip(1).map(String::as_str).collect();
        match words[..] {
            ["image", image] => of_host.images.push(image.parse().ok()?),
            ["secret", secret] => drop(of_host.secrets.insert(secret.parse().ok()?)),
            ["login", parameter, registry] => {
                let parameter = parameter.parse().ok()?;
                add(RegistryLogin::Kept(KeptLogin { registry: registry.to_owned(), parameter }));
            }
            ["role-login", registry, region] => {
                add(RegistryLogin::Role { registry: registry.to_owned(), region: region.to_owned() });
            }
            _ => return None,
        }
    }
    Some((supplies, logins))
}

/// `start`, then the unit file line by line: repeated lines compress to next to nothing.
pub(super) fn start_rows(instance: &InstanceId, start: &UnitStart) -> Vec<Vec<String>> {
    let row = |words: &[&str]| [&[instance.0.as_str()], words].concat().into_iter().map(str::to_owned).collect();
    let stop_before = start.stop_before.as_ref().map_or("-", |handle| handle.0.as_str());
    let first = row(&["start", &start.replica.to_string(), &start.handle.0, stop_before, &start.probe.to_string()]);
    let lines = start.unit.iter().flat_map(|unit| unit.text.lines());
    std::iter::once(first).chain(lines.map(|line| row(&["unit", &start.handle.0, line]))).collect()
}

pub(super) fn read_starts(rows: &[Vec<String>]) -> Option<BTreeMap<InstanceId, Vec<UnitStart>>> {
    let mut starts: BTreeMap<InstanceId, Vec<UnitStart>> = BTreeMap::new();
    let mut texts: BTreeMap<(InstanceId, Handle), String> = BTreeMap::new();
    for row in rows {
        let instance = instance(row)?;
        let words: Vec<&str> = row.iter().skip(1).map(String::as_str).collect();
        match words[..] {
            ["start", replica, handle, stop_before, probe] => starts.entry(instance).or_default().push(UnitStart {
                replica: replica.parse().ok()?,
                handle: Handle(handle.to_owned()),
                unit: None,
                probe: probe.parse().ok()?,
                stop_before: (stop_before != "-").then(|| Handle(stop_before.to_owned())),
            }),
            ["unit", handle, line] => {
                let text = texts.entry((instance, Handle(handle.to_owned()))).or_default();
                text.push_str(line);
                text.push('\n');
            }
            _ => return None,
        }
    }
    for (instance, starts) in &mut starts {
        for start in starts {
            if let Some(text) = texts.get(&(instance.clone(), start.handle.clone())) {
                start.unit = Some(Unit::read(start.handle.clone(), text)?);
            }
        }
    }
    Some(starts)
}

pub(super) fn by_host<T>(work: &BTreeMap<InstanceId, Vec<T>>) -> impl Iterator<Item = (&InstanceId, &T)> {
    work.iter().flat_map(|(instance, items)| items.iter().map(move |item| (instance, item)))
}

pub(super) fn read_by_host<T>(
    rows: &[Vec<String>],
    read: impl Fn(&[String]) -> Option<T>,
) -> Option<BTreeMap<InstanceId, Vec<T>>> {
    let mut work: BTreeMap<InstanceId, Vec<T>> = BTreeMap::new();
    for row in rows {
        work.entry(instance(row)?).or_default().push(read(row)?);
    }
    Some(work)
}

pub(super) fn read_log_of(rows: &[Vec<String>]) -> Option<BTreeMap<InstanceId, LogOf>> {
    let mut hosts: BTreeMap<InstanceId, LogOf> = BTreeMap::new();
    for row in rows {
        let offset = row.get(1)?.parse().ok()?;
        let since = read_seconds(row.get(4)?)?;
        let of_host = hosts.entry(instance(row)?).or_insert_with(|| LogOf { offset, since, replicas: Vec::new() });
        of_host.replicas.push((row.get(2)?.parse().ok()?, Handle(row.get(3)?.clone())));
    }
    Some(hosts)
}

pub(super) fn instance(row: &[String]) -> Option<InstanceId> {
    row.first().cloned().map(InstanceId)
}

/// Microseconds as seconds with their fraction, as the journal takes a moment.
pub(super) fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// The opposite; no moment is a dash.
#[expect(clippy::option_option, reason = "no moment is one reading, and a text that is none is another")]
fn read_seconds(text: &str) -> Option<Option<u64>> {
    if text == "-" {
        return Some(None);
    }
    let (seconds, micros) = text.split_once('.')?;
    let whole = seconds.parse::<u64>().ok()?.checked_mul(1_000_000)?;
    whole.checked_add(micros.parse().ok()?).map(Some)
}

pub(super) fn write_table(rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = String::new();
    for row in rows {
        // A tab or a line break within a field would move what follows into another field.
        let fields: Vec<String> =
            row.iter().map(|field| field.replace(|char: char| char.is_ascii_control(), " ")).collect();
        table.push_str(&fields.join("\t"));
        table.push('\n');
    }
    pack(&table)
}

pub(super) fn read_table(packed: &str) -> Option<Vec<Vec<String>>> {
    Some(unpack(packed)?.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}
