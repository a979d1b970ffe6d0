//! The ports as a rollout has them: nothing changes the world without the lease, and no script goes to a host without its number.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use skipper_core::{
    desired::Scope,
    name::{GroupName, ProjectName},
    observed::{Agent, IngressRule, InstanceId, InstanceState, LaunchFacts, ObservedSecurityGroup, SecurityGroup},
    preview::Owned,
    script::Script,
};

use super::Lease;
use crate::ports::{Compute, FoundInstance, Invocation, Launch, LaunchQuery, PortResult, Remote, Store};

/// Ports behind a lease.
#[derive(Clone, Copy)]
pub struct Guarded<'a> {
    /// The lease.
    pub lease: &'a Lease<'a>,
    /// Hosts and ingress rules.
    pub compute: &'a dyn Compute,
    /// Scripts on hosts.
    pub remote: &'a dyn Remote,
    /// Records.
    pub store: &'a dyn Store,
}

#[async_trait(?Send)]
impl Compute for Guarded<'_> {
    async fn account(&self) -> PortResult<String> {
        self.compute.account().await
    }

    async fn instances(&self, scope: &Scope) -> PortResult<Vec<FoundInstance>> {
        self.compute.instances(scope).await
    }

    async fn security_groups(&self, scope: &Scope) -> PortResult<BTreeMap<SecurityGroup, ObservedSecurityGroup>> {
        self.compute.security_groups(scope).await
    }

    async fn owned(&self, project: &ProjectName) -> PortResult<Vec<Owned>> {
        self.compute.owned(project).await
    }

    async fn launch_facts(
        &self,
        queries: &BTreeMap<GroupName, LaunchQuery>,
    ) -> PortResult<BTreeMap<GroupName, LaunchFacts>> {
        self.compute.launch_facts(queries).await
    }

    async fn create_security_group(
        &self,
        scope: &Scope,
        security_group: &SecurityGroup,
        subnet: Option<&str>,
    ) -> PortResult<String> {
        self.lease.change(self.compute.create_security_group(scope, security_group, subnet)).await
    }

    async fn authorize(&self, id: &str, rules: &[IngressRule], cluster: &str) -> PortResult<()> {
        self.lease.change(self.compute.authorize(id, rules, cluster)).await
    }

    async fn revoke(&self, id: &str, rules: &[IngressRule], cluster: &str) -> PortResult<()> {
        self.lease.change(self.compute.revoke(id, rules, cluster)).await
    }

    async fn launch(&self, launch: &Launch) -> PortResult<(InstanceId, Option<InstanceState>)> {
        self.lease.change(self.compute.launch(launch)).await
    }

    async fn terminate(&self, instance: &InstanceId) -> PortResult<()> {
        self.lease.change(self.compute.terminate(instance)).await
    }

    async fn delete_security_group(&self, id: &str) -> PortResult<()> {
        self.lease.change(self.compute.delete_security_group(id)).await
    }
}

#[async_trait(?Send)]
impl Remote for Guarded<'_> {
    async fn agents(&self, scope: &Scope) -> PortResult<BTreeMap<InstanceId, Agent>> {
        self.remote.agents(scope).await
    }

    /// The script is sent within the lease. It may come late and go on for longer: its host knows the fence.
    async fn run(
        &self,
        on: &BTreeSet<InstanceId>,
        script: &Script,
        deadline: Duration,
    ) -> PortResult<BTreeMap<InstanceId, Invocation>> {
        self.lease.permits().await?;
        let ran = self.lease.noting(self.remote.run(on, &script.fenced(self.lease.number()), deadline)).await;
        // Whatever went wrong may have gone wrong after the script was sent.
        if ran.as_ref().map_or(true, |answers| answers.values().any(|answer| matches!(answer, Invocation::Lost(_)))) {
            self.lease.unsure.set(true);
        }
        ran
    }
}

#[async_trait(?Send)]
impl Store for Guarded<'_> {
    async fn read(&self, path: &str) -> PortResult<BTreeMap<String, String>> {
        self.store.read(path).await
    }

    async fn write(&self, path: &str, value: &str) -> PortResult<()> {
        self.lease.change(self.store.write(path, value)).await
    }

    async fn create(&self, path: &str, value: &str) -> PortResult<bool> {
        self.lease.change(self.store.create(path, value)).await
    }

    async fn remove(&self, paths: &[String]) -> PortResult<()> {
        self.lease.change(self.store.remove(paths)).await
    }
}
