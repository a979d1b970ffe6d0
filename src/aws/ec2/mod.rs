//! Hosts and ingress rules on EC2.

mod addresses;
mod capacity;
mod images;
mod instances;
mod launch;
mod network;
mod owned;
mod rehearse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_ec2::types::{AttributeValue, Filter, Tag};
use skipper_core::{
    desired::{Scope, ownership},
    name::{GroupName, HostName, ProjectName},
    observed::{Address, IngressRule, InstanceId, InstanceState, LaunchFacts, ObservedSecurityGroup, SecurityGroup},
    preview::Owned,
};
use skipper_deploy::ports::{
    Compute, FoundInstance, GroupIds, Launch, LaunchQuery, PortError, PortErrorKind, PortResult,
};

pub(super) use self::capacity::NoCapacity;
use super::error::Asked;

/// The `Compute` port: EC2, with IAM for instance profiles and STS for the account.
pub struct Ec2 {
    pub(super) ec2: aws_sdk_ec2::Client,
    pub(super) iam: aws_sdk_iam::Client,
    pub(super) sts: aws_sdk_sts::Client,
    pub(super) region: String,
}

impl Ec2 {
    fn reads(&self, action: &'static str, object: impl std::fmt::Display) -> Asked<'_> {
        Asked::reads(&self.region, action, object)
    }

    fn changes(&self, action: &'static str, object: impl std::fmt::Display) -> Asked<'_> {
        Asked::changes(&self.region, action, object)
    }
}

#[async_trait(?Send)]
impl Compute for Ec2 {
    async fn account(&self) -> PortResult<String> {
        let asked = self.reads("sts:GetCallerIdentity", "the account of the credentials");
        let identity = self.sts.get_caller_identity().send().await.map_err(|error| asked.failed(&error))?;
        identity.account.ok_or_else(|| asked.refused(PortErrorKind::Other, "the answer names no account"))
    }

    async fn instances(&self, scope: &Scope) -> PortResult<Vec<FoundInstance>> {
        self.owned_instances(scope).await
    }

    async fn security_groups(&self, scope: &Scope) -> PortResult<BTreeMap<SecurityGroup, ObservedSecurityGroup>> {
        self.owned_security_groups(scope).await
    }

    async fn owned(&self, project: &ProjectName) -> PortResult<Vec<Owned>> {
        self.owned_by_project(project).await
    }

    async fn launch_facts(
        &self,
        queries: &BTreeMap<GroupName, LaunchQuery>,
    ) -> PortResult<BTreeMap<GroupName, LaunchFacts>> {
        self.facts(queries).await
    }

    async fn create_security_group(
        &self,
        scope: &Scope,
        security_group: &SecurityGroup,
        subnet: Option<&str>,
    ) -> PortResult<String> {
        self.create_owned_security_group(scope, security_group, subnet).await
    }

    async fn authorize(&self, id: &str, rules: &[IngressRule], groups: &GroupIds) -> PortResult<()> {
        self.let_in(id, rules, groups).await
    }

    async fn revoke(&self, id: &str, rules: &[IngressRule], groups: &GroupIds) -> PortResult<()> {
        self.shut_out(id, rules, groups).await
    }

    async fn launch(&self, launch: &Launch) -> PortResult<(InstanceId, Option<InstanceState>)> {
        self.run_instance(launch).await
    }

    async fn reboot(&self, instance: &InstanceId) -> PortResult<()> {
        let asked = self.changes("ec2:RebootInstances", format!("instance `{instance}`"));
        let answer = self.ec2.reboot_instances().instance_ids(&instance.0).send().await;
        answer.map(drop).map_err(|error| asked.failed(&error))
    }

    async fn stop(&self, instance: &InstanceId) -> PortResult<()> {
        let asked = self.changes("ec2:StopInstances", format!("instance `{instance}`"));
        let answer = self.ec2.stop_instances().instance_ids(&instance.0).send().await;
        answer.map(drop).map_err(|error| asked.failed(&error))
    }

    async fn set_size(&self, instance: &InstanceId, size: &str) -> PortResult<()> {
        let asked = self.changes("ec2:ModifyInstanceAttribute", format!("instance `{instance}`"));
        let size = AttributeValue::builder().value(size).build();
        let answer = self.ec2.modify_instance_attribute().instance_id(&instance.0).instance_type(size).send().await;
        answer.map(drop).map_err(|error| asked.failed(&error))
    }

    async fn start(&self, instance: &InstanceId) -> PortResult<()> {
        let asked = self.changes("ec2:StartInstances", format!("instance `{instance}`"));
        let answer = self.ec2.start_instances().instance_ids(&instance.0).send().await;
        answer.map(drop).map_err(|error| asked.failed(&error))
    }

    async fn terminate(&self, instance: &InstanceId) -> PortResult<()> {
        let asked = self.changes("ec2:TerminateInstances", format!("instance `{instance}`"));
        match self
            .ec2
            .terminate_instances()
            .instance_ids(&instance.0)
            .send()
            .await
            .map_err(|error| asked.failed(&error))
        {
            // Gone is what was asked for.
            Err(PortError { kind: PortErrorKind::Missing, .. }) => Ok(()),
            answer => answer.map(drop),
        }
    }

    async fn addresses(&self, scope: &Scope) -> PortResult<Vec<Address>> {
        self.owned_addresses(scope).await
    }

    async fn allocate_address(&self, scope: &Scope, host: &HostName) -> PortResult<Address> {
        self.allocate(scope, host).await
    }

    async fn associate_address(&self, address: &Address, instance: &InstanceId) -> PortResult<()> {
        self.associate(address, instance).await
    }

    async fn release_address(&self, address: &Address) -> PortResult<()> {
        self.release(address).await
    }

    async fn delete_security_group(&self, id: &str) -> PortResult<()> {
        self.delete_group(id).await
    }
}

fn filter(name: &str, values: impl IntoIterator<Item = impl Into<String>>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().map(Into::into).collect())).build()
}

/// The filters that leave only what carries the scope's tags.
fn owned_by(scope: &Scope) -> Vec<Filter> {
    ownership(scope).into_iter().map(|(key, value)| filter(&format!("tag:{key}"), [value])).collect()
}

fn tag(key: &str, value: impl Into<String>) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// The value of a tag, as far as it says something.
fn tagged<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}
