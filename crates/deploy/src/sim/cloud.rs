//! Instances, security groups and parameters.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use skipper_core::{
    desired::Scope,
    name::{GroupName, HostName, ProjectName},
    observed::{Address, IngressRule, InstanceId, InstanceState, LaunchFacts, ObservedSecurityGroup, SecurityGroup},
    preview::{Owned, Thing},
    secret::Secret,
};
use tokio::time::Instant;

use super::{SimHost, SimWorld, State};
use crate::ports::{
    Compute, FoundInstance, GroupIds, Launch, LaunchQuery, PortError, PortErrorKind, PortResult, Store, StoredSecret,
};

/// From launch to running.
const BOOT: Duration = Duration::from_secs(10);
/// From the call that terminates an instance until it uses nothing any more.
const SHUTDOWN: Duration = Duration::from_secs(40);
/// From the call that reboots an instance until it is up again.
const DOWN: Duration = Duration::from_secs(25);
/// Instances, groups and agents are described this many at a time.
pub(super) const PAGE: usize = 50;

impl SimWorld {
    /// Describing takes a call a page; what is found is as of the last one.
    pub(super) async fn paged<T>(&self, call: &str, items: usize, find: impl Fn() -> T) -> PortResult<T> {
        for _ in 1..items.div_ceil(PAGE) {
            self.call(call, async || Ok(())).await?;
        }
        self.call(call, async || Ok(find())).await
    }
}

/// An instance as EC2 describes it.
fn found(instance: &InstanceId, host: &SimHost) -> FoundInstance {
    let up = host.launched.elapsed() >= BOOT;
    FoundInstance {
        instance: instance.clone(),
        host: Some(host.host.clone()),
        state: match (host.stopped, up) {
            (true, _) => InstanceState::Stopped,
            (false, true) => InstanceState::Running,
            (false, false) => InstanceState::Pending,
        },
        size: host.size.clone(),
        instance_store: host.instance_store,
        private_address: Some(host.address.clone()),
        public_address: up.then(|| host.address.replace("10.0.", "203.0.")),
    }
}

#[async_trait(?Send)]
impl Compute for SimWorld {
    async fn account(&self) -> PortResult<String> {
        self.call("compute.account", async || Ok(self.look().account.clone())).await
    }

    async fn instances(&self, scope: &Scope) -> PortResult<Vec<FoundInstance>> {
        let is_theirs = |host: &SimHost| host.alive() && host.scope == *scope;
        let count = self.look().hosts.values().filter(|host| is_theirs(host)).count();
        self.paged("compute.instances", count, || {
            let state = self.look();
            state
                .hosts
                .iter()
                .filter(|(_, host)| is_theirs(host))
                .map(|(instance, host)| found(instance, host))
                .collect()
        })
        .await
    }

    async fn security_groups(&self, scope: &Scope) -> PortResult<BTreeMap<SecurityGroup, ObservedSecurityGroup>> {
        self.call("compute.security_groups", async || {
            let state = self.look();
            let theirs = state.security_groups.iter().filter(|((owner, _), _)| owner == scope);
            Ok(theirs.map(|((_, name), found)| (name.clone(), found.clone())).collect())
        })
        .await
    }

    async fn owned(&self, project: &ProjectName) -> PortResult<Vec<Owned>> {
        self.call("compute.owned", async || {
            let state = self.look();
            let owned = |scope: &Scope, thing| Owned {
                environment: scope.environment.clone(),
                pull_request: scope.environment.pull_request(),
                thing,
            };
            let instances = state.hosts.iter().filter(|(_, host)| host.alive()).map(|(instance, host)| {
                let thing = Thing::Instance { instance: instance.clone(), host: Some(host.host.clone()) };
                (&host.scope, thing)
            });
            let security_groups = state.security_groups.iter().map(|((scope, name), found)| {
                (scope, Thing::SecurityGroup { id: found.id.clone(), security_group: Some(name.clone()) })
            });
            let addresses = state.addresses.iter().map(|(scope, address)| {
                let (allocation, address) = (address.allocation.clone(), Some(address.clone()));
                (scope, Thing::Address { allocation, address })
            });
            let all = instances.chain(security_groups).chain(addresses).filter(|(scope, _)| scope.project == *project);
            Ok(all.map(|(scope, thing)| owned(scope, thing)).collect())
        })
        .await
    }

    async fn launch_facts(
        &self,
        queries: &BTreeMap<GroupName, LaunchQuery>,
    ) -> PortResult<BTreeMap<GroupName, LaunchFacts>> {
        self.call("compute.launch_facts", async || {
            let state = self.look();
            let facts = queries.iter().map(|(group, query)| {
                let facts = state.launch_facts.get(&query.size).cloned().unwrap_or_else(|| LaunchFacts::Ready {
                    image: "ami-0123456789abcdef0".to_owned(),
                    image_name: "Flatcar-stable-4593.2.5-hvm".to_owned(),
                    root_device: "/dev/xvda".to_owned(),
                });
                (group.clone(), facts)
            });
            Ok(facts.collect())
        })
        .await
    }

    async fn create_security_group(
        &self,
        scope: &Scope,
        name: &SecurityGroup,
        _subnet: Option<&str>,
    ) -> PortResult<String> {
        self.call("compute.create_security_group", async || {
            let mut state = self.change();
            let key = (scope.clone(), name.clone());
            if let Some(found) = state.security_groups.get(&key) {
                return Ok(found.id.clone());
            }
            state.earlier.security_groups = state.security_groups.clone();
            let id = state.fresh_id("sg");
            state
                .security_groups
                .insert(key, ObservedSecurityGroup { id: id.clone(), rules: BTreeSet::new(), marked: BTreeSet::new() });
            Ok(id)
        })
        .await
    }

    async fn authorize(&self, id: &str, rules: &[IngressRule], groups: &GroupIds) -> PortResult<()> {
        self.call("compute.authorize", async || {
            self.refuse_unknown(rules, groups)?;
            self.security_group(id, |found| {
                // One that is there already keeps the mark that it has, or has none.
                let new: Vec<IngressRule> = rules.iter().filter(|rule| !found.rules.contains(rule)).cloned().collect();
                found.marked.extend(new.iter().cloned());
                found.rules.extend(new);
            })
        })
        .await
    }

    async fn revoke(&self, id: &str, rules: &[IngressRule], groups: &GroupIds) -> PortResult<()> {
        self.call("compute.revoke", async || {
            self.refuse_unknown(rules, groups)?;
            self.security_group(id, |found| {
                found.rules.retain(|rule| !rules.contains(rule));
                found.marked.retain(|rule| !rules.contains(rule));
            })
        })
        .await
    }

    async fn launch(&self, launch: &Launch) -> PortResult<(InstanceId, Option<InstanceState>)> {
        self.call("compute.launch", async || {
            let mut state = self.change();
            if let Some(instance) = state.tokens.get(&launch.client_token).cloned() {
                let alive = state.hosts.get(&instance).is_some_and(SimHost::alive);
                return Ok((instance, alive.then_some(InstanceState::Pending)));
            }
            state.earlier.hosts = state.hosts.clone();
            let instance = InstanceId(state.fresh_id("i"));
            let number = state.next;
            let address = format!("10.0.{}.{}", number / 200, number % 200 + 10);
            state.tokens.insert(launch.client_token.clone(), instance.clone());
            let (scope, host, size) = (launch.scope.clone(), launch.host.clone(), launch.spec.size.clone());
            let host = SimHost::new(scope, host, size, address, Instant::now());
            state.hosts.insert(instance.clone(), host);
            Ok((instance, Some(InstanceState::Pending)))
        })
        .await
    }

    async fn reboot(&self, instance: &InstanceId) -> PortResult<()> {
        self.call("compute.reboot", async || {
            let mut state = self.change();
            state.earlier.hosts = state.hosts.clone();
            if let Some(host) = state.hosts.get_mut(instance) {
                host.boots += 1;
                let down = if host.stays_down { DOWN * 1_000 } else { DOWN };
                host.down_until = Some(Instant::now() + down);
            }
            Ok(())
        })
        .await
    }

    async fn stop(&self, instance: &InstanceId) -> PortResult<()> {
        self.call("compute.stop", async || {
            if self.look().hosts.get(instance).is_some_and(|host| host.instance_store) {
                return Err(PortError::new(
                    PortErrorKind::Invalid,
                    format!("`{instance}` has an instance store root device"),
                ));
            }
            self.host(instance, |host| host.stopped = true);
            Ok(())
        })
        .await
    }

    async fn set_size(&self, instance: &InstanceId, size: &str) -> PortResult<()> {
        self.call("compute.set_size", async || {
            if !self.look().hosts.get(instance).is_some_and(|host| host.stopped) {
                return Err(PortError::new(PortErrorKind::Invalid, format!("`{instance}` is not stopped")));
            }
            self.host(instance, |host| size.clone_into(&mut host.size));
            Ok(())
        })
        .await
    }

    async fn start(&self, instance: &InstanceId) -> PortResult<()> {
        self.call("compute.start", async || {
            let full = self.look().full_sizes.clone();
            if self.look().hosts.get(instance).is_some_and(|host| full.contains(&host.size)) {
                return Err(PortError::new(PortErrorKind::Capacity, "InsufficientInstanceCapacity"));
            }
            self.host(instance, |host| {
                if std::mem::take(&mut host.stopped) {
                    host.boots += 1;
                    host.down_until = Some(Instant::now() + DOWN);
                }
            });
            Ok(())
        })
        .await
    }

    async fn terminate(&self, instance: &InstanceId) -> PortResult<()> {
        self.call("compute.terminate", async || {
            let mut state = self.change();
            state.earlier.hosts = state.hosts.clone();
            if let Some(host) = state.hosts.get_mut(instance) {
                host.terminated = true;
                host.ended = Some(Instant::now());
            }
            state.note_serving();
            Ok(())
        })
        .await
    }

    async fn addresses(&self, scope: &Scope) -> PortResult<Vec<Address>> {
        self.call("compute.addresses", async || {
            let state = self.look();
            // What is gone uses nothing.
            let leads = |address: &Address| address.instance.clone().filter(|instance| state.uses(instance));
            let theirs = state.addresses.iter().filter(|(owner, _)| owner == scope);
            Ok(theirs.map(|(_, address)| Address { instance: leads(address), ..address.clone() }).collect())
        })
        .await
    }

    async fn allocate_address(&self, scope: &Scope, host: &HostName) -> PortResult<Address> {
        self.call("compute.allocate_address", async || {
            let mut state = self.change();
            let free = |(owner, address): &&(Scope, Address)| {
                owner == scope && address.host == *host && address.instance.is_none()
            };
            if let Some((_, address)) = state.addresses.iter().find(free) {
                return Ok(address.clone());
            }
            let allocation = state.fresh_id("eipalloc");
            let ip = format!("198.51.100.{}", state.next % 250);
            let address = Address { host: host.clone(), allocation, ip, instance: None };
            state.addresses.push((scope.clone(), address.clone()));
            Ok(address)
        })
        .await
    }

    async fn associate_address(&self, address: &Address, instance: &InstanceId) -> PortResult<()> {
        self.call("compute.associate_address", async || {
            let mut state = self.change();
            let runs = state.hosts.get(instance).is_some_and(|host| host.alive() && host.launched.elapsed() >= BOOT);
            if !runs {
                return Err(PortError::new(PortErrorKind::Invalid, format!("`{instance}` does not run")));
            }
            let found = state.addresses.iter_mut().find(|(_, found)| found.allocation == address.allocation);
            let found = found.ok_or_else(|| PortError::new(PortErrorKind::Missing, "there is no such address"))?;
            found.1.instance = Some(instance.clone());
            Ok(())
        })
        .await
    }

    async fn release_address(&self, address: &Address) -> PortResult<()> {
        self.call("compute.release_address", async || {
            let mut state = self.change();
            let used = |found: &Address| {
                found.allocation == address.allocation
                    && found.instance.as_ref().is_some_and(|instance| state.uses(instance))
            };
            if state.addresses.iter().any(|(_, found)| used(found)) {
                return Err(PortError::new(PortErrorKind::InUse, format!("`{}` is in use", address.allocation)));
            }
            state.addresses.retain(|(_, found)| found.allocation != address.allocation);
            Ok(())
        })
        .await
    }

    async fn delete_security_group(&self, id: &str) -> PortResult<()> {
        self.call("compute.delete_security_group", async || {
            let mut state = self.change();
            let owner =
                state.security_groups.iter().find(|(_, found)| found.id == id).map(|((scope, _), _)| scope.clone());
            let in_use = |host: &SimHost| {
                Some(&host.scope) == owner.as_ref()
                    && (host.alive() || host.ended.is_some_and(|ended| ended.elapsed() < SHUTDOWN))
            };
            let name =
                state.security_groups.iter().find(|(_, found)| found.id == id).map(|((_, name), _)| name.clone());
            let named = state.security_groups.iter().any(|((scope, _), found)| {
                let sources = || found.rules.iter().map(|rule| rule.source.security_group());
                found.id != id
                    && Some(scope) == owner.as_ref()
                    && name.is_some()
                    && sources().any(|source| source == name)
            });
            if named || state.hosts.values().any(in_use) {
                return Err(PortError::new(PortErrorKind::InUse, format!("`{id}` is in use")));
            }
            state.earlier.security_groups = state.security_groups.clone();
            state.security_groups.retain(|_, found| found.id != id);
            Ok(())
        })
        .await
    }
}

impl State {
    /// Whether an instance is there, or not yet shut down.
    fn uses(&self, instance: &InstanceId) -> bool {
        let is_up = |host: &SimHost| host.alive() || host.ended.is_some_and(|ended| ended.elapsed() < SHUTDOWN);
        self.hosts.get(instance).is_some_and(is_up)
    }
}

impl SimWorld {
    /// A rule cannot name a security group that does not exist.
    fn refuse_unknown(&self, rules: &[IngressRule], groups: &GroupIds) -> PortResult<()> {
        let state = self.look();
        for group in rules.iter().filter_map(|rule| rule.source.security_group()) {
            let id = groups.get(&group);
            if !state.security_groups.values().any(|found| Some(&found.id) == id) {
                return Err(PortError::new(PortErrorKind::Missing, format!("there is no security group of {group}")));
            }
        }
        Ok(())
    }

    fn host(&self, instance: &InstanceId, change: impl FnOnce(&mut SimHost)) {
        let mut state = self.change();
        state.earlier.hosts = state.hosts.clone();
        if let Some(host) = state.hosts.get_mut(instance) {
            change(host);
        }
    }

    fn security_group(&self, id: &str, change: impl FnOnce(&mut ObservedSecurityGroup)) -> PortResult<()> {
        let mut state = self.change();
        state.earlier.security_groups = state.security_groups.clone();
        let found = state.security_groups.values_mut().find(|found| found.id == id);
        let found = found
            .ok_or_else(|| PortError::new(PortErrorKind::Missing, format!("there is no security group `{id}`")))?;
        change(found);
        Ok(())
    }
}

#[async_trait(?Send)]
impl Store for SimWorld {
    async fn read(&self, path: &str) -> PortResult<BTreeMap<String, String>> {
        self.call("store.read", async || {
            let below = format!("{path}/");
            let state = self.look();
            // Who reads everything finds secrets, too, encrypted.
            let encrypted = state.secrets.keys().map(|key| (key, "AQICAHh…".to_owned()));
            let found = state.parameters.iter().map(|(key, value)| (key, value.clone())).chain(encrypted);
            let found = found.filter_map(|(key, value)| Some((key.strip_prefix(&below)?.to_owned(), value)));
            Ok(found.collect())
        })
        .await
    }

    async fn write(&self, path: &str, value: &str) -> PortResult<()> {
        self.call("store.write", async || {
            let mut state = self.change();
            state.earlier.parameters = state.parameters.clone();
            state.parameters.insert(path.to_owned(), value.to_owned());
            Ok(())
        })
        .await
    }

    async fn create(&self, path: &str, value: &str) -> PortResult<bool> {
        self.call("store.create", async || {
            let mut state = self.change();
            let is_new = !state.parameters.contains_key(path);
            if is_new {
                state.parameters.insert(path.to_owned(), value.to_owned());
            }
            Ok(is_new)
        })
        .await
    }

    async fn secrets(&self, path: &str, reveal: bool) -> PortResult<BTreeMap<String, StoredSecret>> {
        self.call("store.secrets", async || {
            let below = format!("{path}/");
            let state = self.look();
            let newest = |versions: &Vec<Secret>| StoredSecret {
                version: versions.len() as u64,
                value: versions.last().filter(|_| reveal).cloned(),
            };
            let found = state
                .secrets
                .iter()
                .filter_map(|(key, versions)| Some((key.strip_prefix(&below)?.to_owned(), newest(versions))));
            Ok(found.collect())
        })
        .await
    }

    async fn write_secret(&self, path: &str, value: &Secret) -> PortResult<u64> {
        self.call("store.write_secret", async || {
            let mut state = self.change();
            state.earlier.secrets = state.secrets.clone();
            let versions = state.secrets.entry(path.to_owned()).or_default();
            versions.push(value.clone());
            Ok(versions.len() as u64)
        })
        .await
    }

    async fn remove(&self, paths: &[String]) -> PortResult<()> {
        self.call("store.remove", async || {
            let mut state = self.change();
            state.parameters.retain(|path, _| !paths.contains(path));
            state.secrets.retain(|path, _| !paths.contains(path));
            Ok(())
        })
        .await
    }
}
