//! Everything that carries the project's tag, in whichever environment.

use aws_sdk_ec2::types::{self, Instance};
use skipper_core::{
    desired::{TAG_ENVIRONMENT, TAG_PROJECT, TAG_PULL_REQUEST},
    name::ProjectName,
    observed::InstanceId,
    preview::{Owned, Thing},
};
use skipper_deploy::ports::PortResult;

use super::{
    Ec2, addresses, filter,
    instances::{ALIVE, PAGE, TAG_HOST},
    network::{TAG_SECURITY_GROUP, read_tag},
    tagged,
};

impl Ec2 {
    /// What does not say in which environment it is, is nobody's here.
    pub(super) async fn owned_by_project(&self, project: &ProjectName) -> PortResult<Vec<Owned>> {
        let ours = || filter(&format!("tag:{TAG_PROJECT}"), [project.to_string()]);
        let asked = self.reads("ec2:DescribeInstances", format!("the hosts of `{project}`"));
        let mut reservations = self
            .ec2
            .describe_instances()
            .filters(ours())
            .filters(filter("instance-state-name", ALIVE))
            .into_paginator()
            .page_size(PAGE)
            .items()
            .send();
        let mut owned = Vec::new();
        while let Some(reservation) = reservations.next().await {
            let reservation = reservation.map_err(|error| asked.failed(&error))?;
            owned.extend(reservation.instances().iter().filter_map(instance));
        }
        let asked = self.reads("ec2:DescribeSecurityGroups", format!("the security groups of `{project}`"));
        let mut groups =
            self.ec2.describe_security_groups().filters(ours()).into_paginator().page_size(PAGE).items().send();
        while let Some(group) = groups.next().await {
            owned.extend(security_group(&group.map_err(|error| asked.failed(&error))?));
        }
        let asked = self.reads("ec2:DescribeAddresses", format!("the addresses of `{project}`"));
        let addresses = self.ec2.describe_addresses().filters(ours()).send().await;
        let addresses = addresses.map_err(|error| asked.failed(&error))?.addresses.unwrap_or_default();
        owned.extend(addresses.iter().filter_map(address));
        Ok(owned)
    }
}

fn address(address: &types::Address) -> Option<Owned> {
    let allocation = address.allocation_id()?.to_owned();
    with_owner(address.tags(), Thing::Address { allocation, address: addresses::read(address) })
}

fn instance(instance: &Instance) -> Option<Owned> {
    super::instances::state(instance)?;
    let host = tagged(instance.tags(), TAG_HOST).and_then(|host| host.parse().ok());
    with_owner(instance.tags(), Thing::Instance { instance: InstanceId(instance.instance_id()?.to_owned()), host })
}

fn security_group(group: &types::SecurityGroup) -> Option<Owned> {
    let security_group = tagged(group.tags(), TAG_SECURITY_GROUP).and_then(read_tag);
    with_owner(group.tags(), Thing::SecurityGroup { id: group.group_id()?.to_owned(), security_group })
}

fn with_owner(tags: &[types::Tag], thing: Thing) -> Option<Owned> {
    let environment = tagged(tags, TAG_ENVIRONMENT)?.parse().ok()?;
    let pull_request = tagged(tags, TAG_PULL_REQUEST).and_then(|number| number.parse().ok());
    Some(Owned { environment, pull_request, thing })
}
