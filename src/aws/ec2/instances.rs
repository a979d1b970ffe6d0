//! Which instances the project owns.

use aws_sdk_ec2::types::{DeviceType, Instance, InstanceStateName};
use skipper_core::{
    desired::Scope,
    observed::{InstanceId, InstanceState},
};
use skipper_deploy::ports::{FoundInstance, PortResult};

use super::{Ec2, filter, owned_by, tagged};

/// The tag that says which group of hosts something belongs to.
pub(super) const TAG_GROUP: &str = "skipper:group";
/// The tag that says which host an instance is.
pub(super) const TAG_HOST: &str = "skipper:host";

/// The states of an instance that exists, or will again.
pub(super) const ALIVE: [&str; 4] = ["pending", "running", "stopping", "stopped"];

/// Instances a page; the most that EC2 takes.
pub(super) const PAGE: i32 = 1_000;

impl Ec2 {
    /// All of them, even two that say they are the same host: what that means is for planning to decide.
    pub(super) async fn owned_instances(&self, scope: &Scope) -> PortResult<Vec<FoundInstance>> {
        let asked = self.reads("ec2:DescribeInstances", format!("the hosts of `{}`", scope.stem()));
        let mut reservations = self
            .ec2
            .describe_instances()
            .set_filters(Some(owned_by(scope)))
            .filters(filter("instance-state-name", ALIVE))
            .into_paginator()
            .page_size(PAGE)
            .items()
            .send();
        let mut found = Vec::new();
        while let Some(reservation) = reservations.next().await {
            let reservation = reservation.map_err(|error| asked.failed(&error))?;
            found.extend(reservation.instances().iter().filter_map(read));
        }
        Ok(found)
    }
}

/// Nothing for an instance that has been terminated since it was filtered.
fn read(instance: &Instance) -> Option<FoundInstance> {
    Some(FoundInstance {
        instance: InstanceId(instance.instance_id()?.to_owned()),
        host: tagged(instance.tags(), TAG_HOST).and_then(|host| host.parse().ok()),
        state: state(instance)?,
        size: instance.instance_type().map(|size| size.as_str().to_owned()).unwrap_or_default(),
        instance_store: instance.root_device_type() == Some(&DeviceType::InstanceStore),
        private_address: instance.private_ip_address().map(ToOwned::to_owned),
        public_address: instance.public_ip_address().map(ToOwned::to_owned),
    })
}

/// Nothing for a terminated instance. A state that is not known counts as one that exists, since what does not exist is launched anew.
pub(super) fn state(instance: &Instance) -> Option<InstanceState> {
    match instance.state().and_then(|state| state.name()) {
        Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown) => None,
        Some(InstanceStateName::Running) => Some(InstanceState::Running),
        Some(InstanceStateName::Stopping) => Some(InstanceState::Stopping),
        Some(InstanceStateName::Stopped) => Some(InstanceState::Stopped),
        _ => Some(InstanceState::Pending),
    }
}
