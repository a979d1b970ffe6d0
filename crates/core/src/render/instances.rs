//! The hosts of an environment as `instances ps` shows them: the columns of 2014, then what keeps a host from serving.

use std::collections::{BTreeMap, BTreeSet};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::text;
use crate::{
    config::Config,
    doctor::HostFacts,
    etcd::Membership,
    name::HostName,
    observed::{Agent, Observed, ObservedHost, OrchestratorState},
};

/// The columns, in order.
const COLUMNS: [&str; 13] =
    ["uuid", "state", "ip", "size", "group", "scale", "region", "instance", "ssm", "fleet", "etcd", "update", "disk"];
/// What is not known, or not there.
const NONE: &str = "-";

/// A host as `--output json` tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its symbolic name.
    pub uuid: String,
    /// EC2's state of its instance; `missing` where it should be there and is not.
    pub state: String,
    /// The address that the world reaches it at, else that of the network.
    pub ip: Option<String>,
    /// Its instance type; of one that is missing the one that it would have.
    pub size: String,
    /// The group that it is one of.
    pub group: String,
    /// Which one of its group it is.
    pub scale: u32,
    /// Where it is.
    pub region: String,
    /// Its instance.
    pub instance: Option<String>,
    /// Whether the SSM agent answers.
    pub ssm: Option<&'static str>,
    /// Whether fleet answers.
    pub fleet: Option<&'static str>,
    /// Whether it has a member of etcd.
    pub etcd: Option<&'static str>,
    /// What its update engine is about.
    pub update: Option<String>,
    /// Free KiB where images are kept, and all of them.
    pub disk: Option<(u64, u64)>,
    /// Whether skipper.yml asks for it.
    pub wanted: bool,
}

/// Every host that there is or should be. `facts` are what hosts tell of themselves.
pub fn rows(config: &Config, observed: &Observed, facts: &BTreeMap<HostName, HostFacts>) -> Vec<Row> {
    let hosts = |(group, spec): (&crate::name::GroupName, &crate::config::Group)| {
        let group = group.clone();
        (1..=spec.scale).map(move |number| HostName { group: group.clone(), number })
    };
    let wanted: BTreeSet<HostName> = config.groups.iter().flat_map(hosts).collect();
    let all: BTreeSet<&HostName> = wanted.iter().chain(observed.hosts.keys()).collect();
    let row = |host: &HostName| {
        let found = observed.hosts.get(host);
        let report = found.and_then(|found| found.report.as_ref());
        let size = found.map(|found| found.size.clone());
        let wanted_size = || config.groups.get(&host.group).map(|group| group.size.to_string());
        Row {
            uuid: host.to_string(),
            state: found.map_or("missing", |found| found.state.word()).to_owned(),
            ip: found.and_then(address),
            size: size.or_else(wanted_size).unwrap_or_else(|| NONE.to_owned()),
            group: host.group.to_string(),
            scale: host.number,
            region: config.region.clone(),
            instance: found.map(|found| found.instance.to_string()),
            ssm: found.map(|found| agent(found.agent)),
            fleet: report.map(|report| orchestrator(&report.orchestrator)),
            etcd: report.map(|report| part(report.membership)),
            update: facts.get(host).and_then(|facts| facts.update.clone()).map(|update| update_word(&update)),
            disk: facts.get(host).map(|facts| (facts.free, facts.total)),
            wanted: wanted.contains(host),
        }
    };
    all.into_iter().map(row).collect()
}

/// The same for people.
pub fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "there are no hosts".to_owned();
    }
    let mut drawn = Table::new();
    drawn.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    drawn.set_header(COLUMNS.map(str::to_uppercase));
    for row in rows {
        drawn.add_row(cells(row).map(|cell| text::line(&cell)));
    }
    for column in drawn.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = drawn.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

fn cells(row: &Row) -> [String; 13] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
    let word = |word: Option<&'static str>| word.unwrap_or(NONE).to_owned();
    let state = if row.wanted { row.state.clone() } else { format!("{} (not wanted)", row.state) };
    [
        row.uuid.clone(),
        state,
        or_none(row.ip.clone()),
        row.size.clone(),
        row.group.clone(),
        row.scale.to_string(),
        row.region.clone(),
        or_none(row.instance.clone()),
        word(row.ssm),
        word(row.fleet),
        word(row.etcd),
        or_none(row.update.clone()),
        or_none(row.disk.map(disk)),
    ]
}

fn address(found: &ObservedHost) -> Option<String> {
    found.public_address.clone().or_else(|| found.private_address.clone())
}

const fn agent(agent: Agent) -> &'static str {
    match agent {
        Agent::Online => "online",
        Agent::Lost => "lost",
        Agent::Absent => "not registered",
    }
}

const fn part(membership: Membership) -> &'static str {
    match membership {
        Membership::None => NONE,
        Membership::Joining => "joining",
        Membership::Member => "member",
        Membership::Leaving => "leaving",
        Membership::Lost => "lost",
    }
}

const fn orchestrator(state: &OrchestratorState) -> &'static str {
    match state {
        OrchestratorState::Absent => "not installed",
        OrchestratorState::Ready => "ready",
        OrchestratorState::Silent(_) => "silent",
        OrchestratorState::Emptied(_) => "emptied",
    }
}

/// `UPDATE_STATUS_UPDATED_NEED_REBOOT` as `updated need reboot`: Flatcar's words without what all of them have in common.
fn update_word(status: &str) -> String {
    let word = status.strip_prefix("UPDATE_STATUS_").unwrap_or(status);
    word.to_lowercase().replace('_', " ")
}

fn disk((free, total): (u64, u64)) -> String {
    const GIB: u64 = 1024 * 1024;
    format!("{} of {} GiB free", free / GIB, total / GIB)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;
    use crate::{
        config::load,
        observed::{HostReport, InstanceId, InstanceState},
    };

    #[test]
    fn every_host_is_shown_that_is_there_or_should_be() {
        let config = load(
            "name: demo\nservices:\n  web: {repo: {name: a/web, tag: \"1\"}}\n\
             groups:\n  web: {size: t3.small, scale: 2, services: [web]}\n",
            "skipper.yml",
        )
        .unwrap();
        let host = |instance: &str, agent, report| ObservedHost {
            instance: InstanceId(instance.to_owned()),
            state: InstanceState::Running,
            size: "t3.small".to_owned(),
            instance_store: false,
            private_address: Some("10.0.0.1".to_owned()),
            public_address: Some("203.0.113.1".to_owned()),
            agent,
            report,
        };
        let report = HostReport { membership: Membership::Member, ..HostReport::bare(OrchestratorState::Ready) };
        let hosts = BTreeMap::from([
            ("web_1".parse().unwrap(), host("i-1", Agent::Online, Some(report))),
            ("web_3".parse().unwrap(), host("i-3", Agent::Lost, None)),
        ]);
        let observed = Observed { hosts, ..Observed::default() };
        let facts = HostFacts {
            free: 5 * 1024 * 1024,
            total: 20 * 1024 * 1024,
            clock: 0,
            update: Some("UPDATE_STATUS_UPDATED_NEED_REBOOT".to_owned()),
            role: None,
        };
        let facts = BTreeMap::from([("web_1".parse().unwrap(), facts)]);
        insta::assert_snapshot!(table(&rows(&config, &observed, &facts)));
        assert_eq!(table(&[]), "there are no hosts");
    }
}
