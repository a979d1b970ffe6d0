//! The ports as a rollout has them: nothing changes the world without the lease, and no script goes to a host without its number.
//!
//! Where previews share hosts there are two: what an environment runs and records is behind its own lease, and the hosts are behind
//! theirs, which a run has only while it changes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use skipper_core::{
    desired::Scope,
    exit::Exit,
    failure::Failure,
    name::{GroupName, HostName, ProjectName},
    observed::{
        Address, Agent, IngressRule, InstanceId, InstanceState, LaunchFacts, ObservedSecurityGroup, SecurityGroup,
    },
    preview::Owned,
    script::Script,
    secret::Secret,
};

use super::Lease;
use crate::ports::{
    Compute, FoundInstance, GroupIds, Invocation, Launch, LaunchQuery, PortError, PortErrorKind, PortResult, Remote,
    Store, StoredSecret,
};

/// Ports behind a lease.
#[derive(Clone, Copy)]
pub struct Guarded<'a> {
    /// The lease of the environment.
    pub lease: &'a Lease<'a>,
    /// The lease of the hosts, the same where they are the environment's own; nothing changes them when absent.
    pub hosts: Option<&'a Lease<'a>>,
    /// Hosts and ingress rules.
    pub compute: &'a dyn Compute,
    /// Scripts on hosts.
    pub remote: &'a dyn Remote,
    /// Records.
    pub store: &'a dyn Store,
}

impl<'a> Guarded<'a> {
    fn of_hosts(&self) -> PortResult<&'a Lease<'a>> {
        self.hosts.ok_or_else(|| {
            let failure = Failure::new(Exit::Defect, "the hosts were to be changed without the lease that they have");
            PortError { kind: PortErrorKind::Other, failure }
        })
    }

    /// Who has one of the leases in place of this run, which may so far know only that it has lost it.
    pub async fn taken(&self) -> Option<Failure> {
        let hosts = self.hosts.filter(|hosts| hosts.scope() != self.lease.scope());
        match (self.lease.taken().await, hosts) {
            (None, Some(hosts)) => hosts.taken().await,
            (taken, _) => taken,
        }
    }

    /// The lease of what a scope has.
    fn of(&self, scope: Option<&Scope>) -> PortResult<&'a Lease<'a>> {
        if scope.is_some_and(|scope| scope == self.lease.scope()) { Ok(self.lease) } else { self.of_hosts() }
    }

    /// The lease of what is recorded at a path.
    fn at(&self, path: &str) -> PortResult<&'a Lease<'a>> {
        let below = format!("{}/", self.lease.scope().path());
        if path.starts_with(&below) { Ok(self.lease) } else { self.of_hosts() }
    }
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
        self.of_hosts()?.change(self.compute.create_security_group(scope, security_group, subnet)).await
    }

    async fn authorize(&self, id: &str, rules: &[IngressRule], groups: &GroupIds) -> PortResult<()> {
        self.of_hosts()?.change(self.compute.authorize(id, rules, groups)).await
    }

    async fn revoke(&self, id: &str, rules: &[IngressRule], groups: &GroupIds) -> PortResult<()> {
        self.of_hosts()?.change(self.compute.revoke(id, rules, groups)).await
    }

    async fn launch(&self, launch: &Launch) -> PortResult<(InstanceId, Option<InstanceState>)> {
        self.of_hosts()?.change(self.compute.launch(launch)).await
    }

    async fn reboot(&self, instance: &InstanceId) -> PortResult<()> {
        self.of_hosts()?.change(self.compute.reboot(instance)).await
    }

    async fn stop(&self, instance: &InstanceId) -> PortResult<()> {
        self.of_hosts()?.change(self.compute.stop(instance)).await
    }

    async fn set_size(&self, instance: &InstanceId, size: &str) -> PortResult<()> {
        self.of_hosts()?.change(self.compute.set_size(instance, size)).await
    }

    async fn start(&self, instance: &InstanceId) -> PortResult<()> {
        self.of_hosts()?.change(self.compute.start(instance)).await
    }

    async fn terminate(&self, instance: &InstanceId) -> PortResult<()> {
        self.of_hosts()?.change(self.compute.terminate(instance)).await
    }

    async fn addresses(&self, scope: &Scope) -> PortResult<Vec<Address>> {
        self.compute.addresses(scope).await
    }

    async fn allocate_address(&self, scope: &Scope, host: &HostName) -> PortResult<Address> {
        self.of_hosts()?.change(self.compute.allocate_address(scope, host)).await
    }

    async fn associate_address(&self, address: &Address, instance: &InstanceId) -> PortResult<()> {
        self.of_hosts()?.change(self.compute.associate_address(address, instance)).await
    }

    async fn release_address(&self, address: &Address) -> PortResult<()> {
        self.of_hosts()?.change(self.compute.release_address(address)).await
    }

    async fn delete_security_group(&self, id: &str) -> PortResult<()> {
        self.of_hosts()?.change(self.compute.delete_security_group(id)).await
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
        let lease = self.of(script.scope().as_ref())?;
        lease.permits().await?;
        let ran = lease.noting(self.remote.run(on, &script.fenced(lease.number()), deadline)).await;
        // Whatever went wrong may have gone wrong after the script was sent.
        if ran.as_ref().map_or(true, |answers| answers.values().any(|answer| matches!(answer, Invocation::Lost(_)))) {
            lease.unsure.set(true);
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
        self.at(path)?.change(self.store.write(path, value)).await
    }

    async fn create(&self, path: &str, value: &str) -> PortResult<bool> {
        self.at(path)?.change(self.store.create(path, value)).await
    }

    async fn secrets(&self, path: &str, reveal: bool) -> PortResult<BTreeMap<String, StoredSecret>> {
        self.store.secrets(path, reveal).await
    }

    async fn write_secret(&self, path: &str, value: &Secret) -> PortResult<u64> {
        self.at(path)?.change(self.store.write_secret(path, value)).await
    }

    async fn remove(&self, paths: &[String]) -> PortResult<()> {
        let Some(first) = paths.first() else { return Ok(()) };
        self.at(first)?.change(self.store.remove(paths)).await
    }
}
