//! The words for steps, outcomes and durations: one place, so that log, comment and summary say the same.

use std::collections::BTreeSet;

use crate::{
    cost::Estimate,
    event::{ImageOrigin, SecretOrigin},
    name::{HostName, ServiceName},
    observed::IngressRule,
    plan::{Action, Paused, Step},
};

/// What a step does, in a few words.
pub fn action(action: &Action) -> String {
    match action {
        Action::CreateSecurityGroup { security_group } => format!("create the security group of {security_group}"),
        Action::AuthorizeIngress { security_group, rules } => {
            format!("authorize {} into {security_group}", list_rules(rules))
        }
        Action::RevokeIngress { security_group, rules } => {
            format!("revoke {} into {security_group}", list_rules(rules))
        }
        Action::LaunchHost { host, spec } => format!("launch host `{host}` ({}, {})", spec.size, spec.image_name),
        Action::GiveAddresses { addresses } => {
            let given = addresses.iter().map(|(host, address)| match address {
                Some(address) => format!("{} to `{host}`", address.ip),
                None => format!("a new one to `{host}`"),
            });
            format!("give elastic addresses: {}", given.collect::<Vec<_>>().join(", "))
        }
        Action::ReleaseAddress { address } => format!("release address {} of host `{}`", address.ip, address.host),
        Action::AwaitHosts { hosts } => format!("wait until {} online", are(hosts)),
        Action::ConfigureHosts { hosts, members, .. } => {
            format!("configure {} (etcd on {})", list(hosts), list(members))
        }
        Action::HoldHosts { hosts, .. } => format!("hold the orchestrator on {}", list(hosts)),
        Action::RestoreRegistry { hosts, members, founding } => {
            let found = if *founding { format!("found etcd anew on {}, and ", list(members)) } else { String::new() };
            let have = if hosts.len() == 1 { "has" } else { "have" };
            format!("{found}register again what {} {have} on record", list(hosts))
        }
        Action::JoinEtcd { host, .. } => format!("give host `{host}` a member of etcd"),
        Action::LeaveEtcd { host, .. } => format!("take the member of etcd from host `{host}`"),
        Action::ForgetMember { address, .. } => format!("have etcd forget the member at {address}"),
        Action::PullImages { images } => {
            let hosts: Vec<HostName> = images.keys().cloned().collect();
            let distinct: BTreeSet<_> = images.values().flatten().collect();
            format!("pull {} to {}", count(distinct.len(), "image"), list(&hosts))
        }
        Action::LinkServices { hosts, places } => {
            let place = |(service, hosts): (&ServiceName, &BTreeSet<HostName>)| {
                let hosts: Vec<HostName> = hosts.iter().cloned().collect();
                if hosts.is_empty() {
                    format!("`{service}` is nowhere")
                } else {
                    format!("`{service}` is on {}", list(&hosts))
                }
            };
            let places: Vec<String> = places.iter().map(place).collect();
            format!("tell {} that {}", list(hosts), places.join(" and "))
        }
        Action::StartReplicas { replicas } => {
            let names: Vec<String> = replicas
                .iter()
                .map(|fresh| format!("`{}` on `{}`", fresh.placement.replica, fresh.placement.host))
                .collect();
            format!("start {}", names.join(", "))
        }
        Action::ReplaceReplicas { host, replacements } => {
            let names: Vec<String> = replacements
                .iter()
                .map(|replacement| format!("`{}` ({})", replacement.new.replica, replacement.order.word()))
                .collect();
            format!("replace {} on host `{host}`", names.join(", "))
        }
        Action::RemoveReplicas { removals, .. } => {
            let replicas = removals.iter().flat_map(|(host, removals)| {
                removals.iter().map(move |removal| format!("`{}` from `{host}`", removal.handle))
            });
            let data = removals.iter().filter(|(_, removals)| removals.is_empty());
            let data = data.map(|(host, _)| format!("volumes of the environment from `{host}`"));
            format!("remove {}", replicas.chain(data).collect::<Vec<_>>().join(", "))
        }
        Action::StopReplicas { host, replicas } => format!("stop {} on host `{host}`", paused(replicas)),
        Action::ResizeHost { host, instance, size, .. } => format!("resize host `{host}` (`{instance}`) to {size}"),
        Action::RebootHost { host, instance, .. } => format!("reboot host `{host}` (`{instance}`)"),
        Action::ResumeReplicas { host, replicas } => format!("start {} again on host `{host}`", paused(replicas)),
        Action::TerminateHost { host, instance } => format!("terminate host `{host}` (`{instance}`)"),
        Action::DeleteSecurityGroup { security_group, id } => {
            format!("delete the security group of {security_group} (`{id}`)")
        }
        Action::ForgetRecords { records } => format!("remove {} of the environment", count(records.len(), "record")),
    }
}

/// A step in one line: what it does, and why.
pub fn step(step: &Step) -> String {
    format!("{}: {}", action(&step.action), step.reason)
}

/// Where a version of a secret came from.
pub const fn secret_origin(origin: SecretOrigin) -> &'static str {
    match origin {
        SecretOrigin::Stored => "which the environment has",
        SecretOrigin::Unchanged => "unchanged",
        SecretOrigin::Changed => "new, as its value has changed",
        SecretOrigin::New => "the first",
        SecretOrigin::Foreseen => "which the run that ships has to bring",
    }
}

/// Where an image came from.
pub const fn origin(origin: ImageOrigin) -> &'static str {
    match origin {
        ImageOrigin::Built => "built and pushed",
        ImageOrigin::TaggedAlready => "in the registry for this commit",
        ImageOrigin::InputsUnchanged => "unchanged, tagged anew",
        ImageOrigin::Resolved => "resolved from its tag",
    }
}

/// What hosts cost, in one line.
pub fn estimate(estimate: &Estimate) -> String {
    let Estimate { before, after, source } = estimate;
    let change = if before == after { String::new() } else { format!(", and {after} after this") };
    format!("estimated cost of the hosts: {before} a month{change} (on demand, without volumes and traffic; {source})")
}

/// Milliseconds for people: `0.4 s`, `12.3 s`, `2 min 5 s`.
pub fn duration(ms: u64) -> String {
    if ms < 100_000 {
        format!("{}.{} s", ms / 1000, ms % 1000 / 100)
    } else {
        format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000)
    }
}

/// Bytes for people, in the units that Docker counts in: `999 B`, `1.2 MB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    let mut tenths = bytes / 100;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// `1 step`, `2 steps`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn list(hosts: &[HostName]) -> String {
    let names: Vec<String> = hosts.iter().map(|host| format!("`{host}`")).collect();
    names.join(", ")
}

fn paused(replicas: &[Paused]) -> String {
    let names: Vec<String> = replicas.iter().map(|paused| format!("`{}`", paused.replica)).collect();
    names.join(", ")
}

fn are(hosts: &[HostName]) -> String {
    format!("{} {}", list(hosts), if hosts.len() == 1 { "is" } else { "are" })
}

fn list_rules(rules: &[IngressRule]) -> String {
    let rules: Vec<String> = rules.iter().map(ToString::to_string).collect();
    rules.join(", ")
}
