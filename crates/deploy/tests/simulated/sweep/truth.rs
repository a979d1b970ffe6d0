//! What is true of the simulated world, seen from outside of it.

use std::collections::{BTreeMap, BTreeSet};

use skipper_core::{
    event::{EventKind, Moment},
    exit::Exit,
    image::{PinnedImage, Revision},
};
use skipper_deploy::sim::SimWorld;

use super::Scenario;
use crate::shop::{Told, commit};

/// Everything of a world that a re-run must not leave twice, or leave out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Instances that live, by the host they are and their size.
    hosts: BTreeMap<String, usize>,
    /// Instances that ever were.
    launched: usize,
    /// Units by host: replica and image, asked to run, serving.
    units: BTreeSet<(String, String, PinnedImage, bool, bool)>,
    units_count: usize,
    /// Rules by security group.
    rules: BTreeMap<String, Vec<String>>,
    /// The members of etcd by their hosts, and whether each has begun.
    members: BTreeMap<String, bool>,
    parameters: Vec<String>,
    /// Comments by pull request and key.
    comments: Vec<(u64, String)>,
}

impl Shape {
    pub(crate) fn of(world: &SimWorld) -> Self {
        let state = world.look();
        let alive = || state.hosts.values().filter(|host| host.alive());
        let mut hosts: BTreeMap<String, usize> = BTreeMap::new();
        alive().for_each(|host| *hosts.entry(format!("{} {}", host.host, host.size)).or_default() += 1);
        let units: Vec<_> = alive()
            .flat_map(|host| {
                host.units.values().map(|unit| {
                    let replica = unit.unit.replica.to_string();
                    (host.host.to_string(), replica, unit.unit.image.clone(), unit.wanted, unit.serves)
                })
            })
            .collect();
        let host_at = |address: &str| alive().find(|host| host.address == address).map(|host| host.host.to_string());
        let members = state.etcd.values().flatten();
        let members = members.map(|(address, begun)| (host_at(address).unwrap_or_else(|| address.clone()), *begun));
        Self {
            members: members.collect(),
            hosts,
            launched: state.hosts.len(),
            units_count: units.len(),
            units: units.into_iter().collect(),
            rules: state
                .security_groups
                .iter()
                .map(|((_, name), found)| {
                    (name.to_string(), found.rules.iter().map(|rule| format!("{rule:?}")).collect())
                })
                .collect(),
            parameters: state.parameters.keys().filter(|path| !is_history(path)).cloned().collect(),
            comments: state.comments.iter().map(|(number, key, ..)| (*number, key.clone())).collect(),
        }
    }
}

/// What answers: host, unit.
pub(crate) type Serving = BTreeSet<(String, String)>;

pub(crate) fn what_serves(world: &SimWorld) -> Serving {
    let hosts: Vec<String> = world.look().hosts.values().map(|host| host.host.to_string()).collect();
    let units = |host: &String| world.serving_on(host).into_iter().map(|unit| (host.clone(), unit)).collect::<Vec<_>>();
    hosts.iter().flat_map(units).collect()
}

/// The release that serves everywhere, if one does.
pub(crate) fn serving(world: &SimWorld, scenario: &Scenario) -> Option<Revision> {
    // What was asked for comes first: one image may be both commits'.
    [(scenario.commit, scenario.hosts), (1, scenario.from)]
        .into_iter()
        .find(|(number, hosts)| serves_everywhere(world, *number, *hosts))
        .map(|(number, _)| commit(number))
}

fn serves_everywhere(world: &SimWorld, number: u8, hosts: u32) -> bool {
    let state = world.look();
    let image = |service: &str| {
        let found =
            state.registry.tags.iter().find(|((repository, tag), _)| {
                repository.to_string().ends_with(service) && *tag == commit(number).tag()
            });
        found.map(|(_, digest)| digest.clone())
    };
    hosts > 0
        && (1..=hosts).all(|host| {
            ["web", "clock"].iter().all(|service| {
                let Some(image) = image(service) else { return false };
                state
                    .hosts
                    .values()
                    .filter(|found| found.alive() && found.host.number == host)
                    .any(|found| found.units.values().any(|unit| unit.serves && unit.unit.image.digest == image))
            })
        })
}

/// Holds an exit code to what serves: before the run, and now that it has ended. Where what was read was `late` throughout,
/// success may have gone unseen.
pub(crate) fn judge(
    told: &Told,
    scenario: &Scenario,
    before: &Serving,
    world: &SimWorld,
    late: bool,
) -> Result<(), String> {
    let now = what_serves(world);
    let serving = serving(world, scenario);
    let asked = serving == Some(scenario.commit());
    let finished = told.finished();
    // Where nobody could look after the last step, or not everywhere, the worst is said.
    let seen = told.events.iter().rev().find_map(|event| match &event.kind {
        EventKind::Observed { state, moment: Moment::After } => Some(state.gaps.is_empty()),
        _ => None,
    });
    let unseen = seen != Some(true) || late;
    let is_true = match told.exit {
        Exit::Serves => asked,
        Exit::Restored => !before.is_empty() && before.is_subset(&now) && !asked,
        Exit::Blocked | Exit::Refused => *before == now || (asked && finished.summary.contains("the release serves")),
        Exit::BuildFailed | Exit::Held => *before == now,
        Exit::Degraded => unseen || (!asked && (before.is_empty() || !before.is_subset(&now))),
        Exit::Cancelled => true,
        _ => false,
    };
    if is_true {
        return Ok(());
    }
    Err(format!("{:?} is not true of what serves: {now:?}, before {before:?}: {finished:?}", told.exit))
}

/// Leases and records tell how many runs there were.
fn is_history(path: &str) -> bool {
    path.contains("/lease/") || path.contains("/releases/")
}
