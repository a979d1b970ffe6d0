//! fleet as the orchestrator: one immutable global unit a replica, told and asked by scripts on the hosts.
//!
//! fleet 1.0.0 is a dead project with many traps; each is named where it is dealt with. What all of it rests on: a global
//! unit whose metadata names one host is decided over by that host alone, a unit's name carries a hash of its contents, and
//! nothing that `fleetctl` says by its exit code is believed.

mod quote;
mod report;
mod table;
mod task;
mod unit;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests;

use std::collections::BTreeMap;

pub use report::{
    encode_cleaned, encode_done, encode_error, encode_log_part, encode_report, encode_seen, encode_started,
};
pub use task::{Task, UnitStart};
pub use unit::Unit;

use super::{Cluster, HostCleaned, HostError, Orchestrator, Place, RegistryLogin, Start, Started, Supplies};
use crate::{
    clean::Cleaning,
    command::{Look, Seen},
    desired::{ReplicaSpec, Scope},
    log::{LogOf, LogPart},
    observed::{Handle, HostReport, InstanceId},
    script::Script,
};

/// fleet 1.0.0 on etcd's v2 keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fleet;

impl Orchestrator for Fleet {
    fn handle(&self, scope: &Scope, spec: &ReplicaSpec) -> Handle {
        Unit::handle_of(scope, spec)
    }

    fn obstacle(&self, scope: &Scope, spec: &ReplicaSpec) -> Option<String> {
        let unit = Unit::new(scope, spec);
        let line = unit.too_long()?;
        Some(format!("fleet takes at most 2,047 bytes for one value, and `{line}…` is longer"))
    }

    fn configuration(&self, cluster: &Cluster) -> String {
        task::configuration(cluster)
    }

    fn observe(&self, scope: &Scope) -> Script {
        Task::Observe { scope: scope.clone() }.script()
    }

    fn read_observation(&self, output: &str) -> Result<HostReport, HostError> {
        report::read_observation(output)
    }

    fn configure(&self, cluster: &Cluster) -> Script {
        Task::Configure { cluster: cluster.clone() }.script()
    }

    fn hold(&self, cluster: &Cluster) -> Script {
        Task::Hold { cluster: cluster.clone() }.script()
    }

    fn restore(&self, cluster: &Cluster) -> Script {
        Task::Restore { cluster: cluster.clone() }.script()
    }

    fn linked(&self, places: &[Place]) -> String {
        task::linked(places)
    }

    fn link(&self, scope: &Scope, places: &BTreeMap<InstanceId, Vec<Place>>) -> Script {
        Task::Link { scope: scope.clone(), places: places.clone() }.script()
    }

    fn join(&self, cluster: &Cluster) -> Script {
        Task::Join { cluster: cluster.clone() }.script()
    }

    fn leave(&self, cluster: &Cluster, address: &str) -> Script {
        Task::Leave { cluster: cluster.clone(), address: address.to_owned() }.script()
    }

    fn pull(&self, scope: &Scope, supplies: &BTreeMap<InstanceId, Supplies>, logins: &[RegistryLogin]) -> Script {
        Task::Pull { scope: scope.clone(), supplies: supplies.clone(), logins: logins.to_vec() }.script()
    }

    fn start(&self, scope: &Scope, starts: &BTreeMap<InstanceId, Vec<Start>>) -> Script {
        let unit_start = |start: &Start| UnitStart {
            replica: start.replica.clone(),
            handle: start.handle.clone(),
            unit: start.spec.as_ref().map(|spec| Unit::new(scope, spec)),
            probe: start.probe.clone(),
            stop_before: start.stop_before.clone(),
        };
        let starts = starts
            .iter()
            .map(|(instance, starts)| (instance.clone(), starts.iter().map(unit_start).collect()))
            .collect();
        Task::Start { scope: scope.clone(), starts }.script()
    }

    fn read_started(&self, output: &str) -> Result<Vec<Started>, HostError> {
        report::read_started(output)
    }

    fn stop(&self, scope: &Scope, handles: &BTreeMap<InstanceId, Vec<Handle>>) -> Script {
        Task::Stop { scope: scope.clone(), handles: handles.clone() }.script()
    }

    fn remove(&self, scope: &Scope, handles: &BTreeMap<InstanceId, Vec<Handle>>, ends: bool) -> Script {
        Task::Remove { scope: scope.clone(), handles: handles.clone(), ends }.script()
    }

    fn logs(&self, scope: &Scope, lines: u32, asked: &str, hosts: &BTreeMap<InstanceId, LogOf>) -> Script {
        Task::Logs { scope: scope.clone(), lines, asked: asked.to_owned(), hosts: hosts.clone() }.script()
    }

    fn read_logs(&self, output: &str) -> Result<LogPart, HostError> {
        report::read_logs(output)
    }

    fn clean(&self, scope: &Scope, cleaning: &Cleaning) -> Script {
        Task::Clean { scope: scope.clone(), cleaning: cleaning.clone() }.script()
    }

    fn read_cleaned(&self, output: &str) -> Result<HostCleaned, HostError> {
        report::read_cleaned(output)
    }

    fn look_at_command(&self, scope: &Scope, look: &Look) -> Script {
        Task::Command { scope: scope.clone(), look: look.clone() }.script()
    }

    fn read_command(&self, output: &str) -> Result<Seen, HostError> {
        report::read_seen(output)
    }

    fn end_command(&self, scope: &Scope, asked: &str) -> Script {
        Task::EndCommand { scope: scope.clone(), asked: asked.to_owned() }.script()
    }

    fn read_done(&self, output: &str) -> Result<(), HostError> {
        report::read_done(output)
    }
}
