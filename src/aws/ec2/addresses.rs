//! Elastic addresses: which the project owns, and which host each is for.

use aws_sdk_ec2::{
    error::ProvideErrorMetadata,
    types::{self, DomainType, Filter, ResourceType, TagSpecification},
};
use skipper_core::{
    desired::{Scope, tags},
    name::HostName,
    observed::{Address, InstanceId},
};
use skipper_deploy::ports::{PortError, PortErrorKind, PortResult};

use super::{
    Ec2, filter,
    instances::{TAG_GROUP, TAG_HOST},
    owned_by, tag, tagged,
};

impl Ec2 {
    /// Those that do not say which host they are for are nobody's here.
    pub(super) async fn owned_addresses(&self, scope: &Scope) -> PortResult<Vec<Address>> {
        let mut found: Vec<Address> = self.described(scope, owned_by(scope)).await?.iter().filter_map(read).collect();
        found.sort();
        Ok(found)
    }

    async fn described(&self, scope: &Scope, filters: Vec<Filter>) -> PortResult<Vec<types::Address>> {
        let asked = self.reads("ec2:DescribeAddresses", format!("the addresses of `{}`", scope.stem()));
        // It has no pages: an account has a handful of them.
        let found = self.ec2.describe_addresses().set_filters(Some(filters)).send().await;
        Ok(found.map_err(|error| asked.failed(&error))?.addresses.unwrap_or_default())
    }

    /// The call has no token that would make it happen once: what an earlier try left is looked for first.
    pub(super) async fn allocate(&self, scope: &Scope, host: &HostName) -> PortResult<Address> {
        let filters = owned_by(scope).into_iter().chain([filter(&format!("tag:{TAG_HOST}"), [host.to_string()])]);
        let left = self.described(scope, filters.collect()).await?;
        if let Some(left) = left.iter().filter_map(read).find(|address| address.instance.is_none()) {
            return Ok(left);
        }
        let asked = self.changes("ec2:AllocateAddress", format!("host `{host}`"));
        let tags = tags(scope).into_iter().map(|(key, value)| tag(key, value)).chain([
            tag(TAG_GROUP, host.group.to_string()),
            tag(TAG_HOST, host.to_string()),
            tag("Name", format!("{} {host}", scope.stem())),
        ]);
        let tags = TagSpecification::builder().resource_type(ResourceType::ElasticIp).set_tags(Some(tags.collect()));
        let sent = self.ec2.allocate_address().domain(DomainType::Vpc).tag_specifications(tags.build()).send().await;
        let made = sent.map_err(|error| {
            let is_full = error.code() == Some("AddressLimitExceeded");
            let failed = asked.failed(&error);
            if is_full {
                failed.hint("release addresses that nobody uses, or ask AWS for a higher quota of elastic addresses (five a region at first)")
            } else {
                failed
            }
        })?;
        match (made.allocation_id, made.public_ip) {
            (Some(allocation), Some(ip)) => Ok(Address { host: host.clone(), allocation, ip, instance: None }),
            _ => Err(asked.refused(PortErrorKind::Unclear, "the answer names no address")),
        }
    }

    pub(super) async fn associate(&self, address: &Address, instance: &InstanceId) -> PortResult<()> {
        let asked = self.changes("ec2:AssociateAddress", format!("address {} and instance `{instance}`", address.ip));
        let sent = self
            .ec2
            .associate_address()
            .allocation_id(&address.allocation)
            .instance_id(&instance.0)
            .allow_reassociation(true)
            .send()
            .await;
        sent.map(drop).map_err(|error| asked.failed(&error))
    }

    pub(super) async fn release(&self, address: &Address) -> PortResult<()> {
        let asked = self.changes("ec2:ReleaseAddress", format!("address {} (`{}`)", address.ip, address.allocation));
        match self.ec2.release_address().allocation_id(&address.allocation).send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let code = error.code().map(ToOwned::to_owned);
                let failed = asked.failed(&error);
                match code.as_deref() {
                    // Gone is what was asked for.
                    Some("InvalidAllocationID.NotFound") => Ok(()),
                    Some("InvalidIPAddress.InUse") => Err(PortError { kind: PortErrorKind::InUse, ..failed }),
                    _ => Err(failed),
                }
            }
        }
    }
}

pub(super) fn read(address: &types::Address) -> Option<Address> {
    Some(Address {
        host: tagged(address.tags(), TAG_HOST)?.parse().ok()?,
        allocation: address.allocation_id()?.to_owned(),
        ip: address.public_ip()?.to_owned(),
        instance: address.instance_id().filter(|id| !id.is_empty()).map(|id| InstanceId(id.to_owned())),
    })
}
