//! Instances, security groups and parameters.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use skipper_core::{
    desired::Scope,
    name::GroupName,
    observed::{Agent, IngressRule, InstanceId, InstanceState, LaunchFacts, ObservedSecurityGroup, SecurityGroup},
    script::Script,
};
use tokio::time::Instant;

use super::{SimHost, SimWorld};
use crate::ports::{
    Compute, FoundInstance, Invocation, Launch, LaunchQuery, PortError, PortErrorKind, PortResult, Remote, Store,
};

/// From launch to running.
const BOOT: Duration = Duration::from_secs(10);
/// From launch to an agent that is online.
const ONLINE: Duration = Duration::from_secs(30);
/// Instances, groups and agents are described this many at a time.
const PAGE: usize = 50;

impl SimWorld {
    /// Describing takes a call a page.
    async fn pages(&self, call: &str, items: usize) -> PortResult<()> {
        for _ in 0..items.div_ceil(PAGE).max(1) {
            self.call(call, async || Ok(())).await?;
        }
        Ok(())
    }
}

#[async_trait(?Send)]
impl Compute for SimWorld {
    async fn account(&self) -> PortResult<String> {
        self.call("compute.account", async || Ok(self.look().account.clone())).await
    }

    async fn instances(&self, _scope: &Scope) -> PortResult<Vec<FoundInstance>> {
        let count = self.look().hosts.values().filter(|host| host.alive()).count();
        self.pages("compute.instances", count).await?;
        let state = self.look();
        let found = state.hosts.iter().filter(|(_, host)| host.alive()).map(|(instance, host)| {
            let up = host.launched.elapsed() >= BOOT;
            FoundInstance {
                instance: instance.clone(),
                host: Some(host.host.clone()),
                state: if host.stopped {
                    InstanceState::Stopped
                } else if up {
                    InstanceState::Running
                } else {
                    InstanceState::Pending
                },
                size: host.size.clone(),
                private_address: Some(host.address.clone()),
                public_address: up.then(|| host.address.replace("10.0.", "203.0.")),
            }
        });
        Ok(found.collect())
    }

    async fn security_groups(&self, _scope: &Scope) -> PortResult<BTreeMap<SecurityGroup, ObservedSecurityGroup>> {
        self.call("compute.security_groups", async || Ok(self.look().security_groups.clone())).await
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
        _scope: &Scope,
        name: &SecurityGroup,
        _subnet: Option<&str>,
    ) -> PortResult<String> {
        self.call("compute.create_security_group", async || {
            let mut state = self.change();
            if let Some(found) = state.security_groups.get(name) {
                return Ok(found.id.clone());
            }
            let id = state.fresh_id("sg");
            state
                .security_groups
                .insert(name.clone(), ObservedSecurityGroup { id: id.clone(), rules: BTreeSet::new() });
            Ok(id)
        })
        .await
    }

    async fn authorize(&self, id: &str, rules: &[IngressRule], _cluster: &str) -> PortResult<()> {
        self.call("compute.authorize", async || {
            self.security_group(id, |found| found.rules.extend(rules.iter().cloned()))
        })
        .await
    }

    async fn revoke(&self, id: &str, rules: &[IngressRule], _cluster: &str) -> PortResult<()> {
        self.call("compute.revoke", async || {
            self.security_group(id, |found| found.rules.retain(|rule| !rules.contains(rule)))
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
            let instance = InstanceId(state.fresh_id("i"));
            let number = state.next;
            let address = format!("10.0.{}.{}", number / 200, number % 200 + 10);
            state.tokens.insert(launch.client_token.clone(), instance.clone());
            let host = SimHost::new(launch.host.clone(), launch.spec.size.clone(), address, Instant::now());
            state.hosts.insert(instance.clone(), host);
            Ok((instance, Some(InstanceState::Pending)))
        })
        .await
    }

    async fn terminate(&self, instance: &InstanceId) -> PortResult<()> {
        self.call("compute.terminate", async || {
            let mut state = self.change();
            if let Some(host) = state.hosts.get_mut(instance) {
                host.terminated = true;
            }
            state.note_serving();
            Ok(())
        })
        .await
    }
}

impl SimWorld {
    fn security_group(&self, id: &str, change: impl FnOnce(&mut ObservedSecurityGroup)) -> PortResult<()> {
        let mut state = self.change();
        let found = state.security_groups.values_mut().find(|found| found.id == id);
        let found = found
            .ok_or_else(|| PortError::new(PortErrorKind::Missing, format!("there is no security group `{id}`")))?;
        change(found);
        Ok(())
    }
}

#[async_trait(?Send)]
impl Remote for SimWorld {
    async fn agents(&self, _scope: &Scope) -> PortResult<BTreeMap<InstanceId, Agent>> {
        let count = self.look().hosts.values().filter(|host| host.alive()).count();
        self.pages("remote.agents", count).await?;
        let mut listed = BTreeMap::new();
        for (instance, host) in
            self.change().hosts.iter_mut().filter(|(_, host)| host.alive() && host.launched.elapsed() >= ONLINE)
        {
            if host.unlisted > 0 {
                host.unlisted -= 1;
            } else {
                listed.insert(instance.clone(), if host.silent { Agent::Lost } else { Agent::Online });
            }
        }
        Ok(listed)
    }

    async fn run(
        &self,
        on: &BTreeSet<InstanceId>,
        script: &Script,
        deadline: Duration,
    ) -> PortResult<BTreeMap<InstanceId, Invocation>> {
        let instances: Vec<&InstanceId> = on.iter().collect();
        let mut answers = BTreeMap::new();
        for page in instances.chunks(PAGE) {
            let page_answers = self
                .call(&format!("remote.run/{}", script.name), async || {
                    let answers = futures::future::join_all(page.iter().map(async |instance| {
                        let answer = tokio::time::timeout(deadline, self.run_on(instance, script)).await;
                        (
                            (*instance).clone(),
                            answer.unwrap_or_else(|_| Invocation::Lost("ExecutionTimedOut".to_owned())),
                        )
                    }));
                    Ok(answers.await)
                })
                .await?;
            answers.extend(page_answers);
        }
        Ok(answers)
    }
}

#[async_trait(?Send)]
impl Store for SimWorld {
    async fn read(&self, path: &str) -> PortResult<BTreeMap<String, String>> {
        self.call("store.read", async || {
            let below = format!("{path}/");
            let state = self.look();
            let found = state
                .parameters
                .iter()
                .filter_map(|(key, value)| Some((key.strip_prefix(&below)?.to_owned(), value.clone())));
            Ok(found.collect())
        })
        .await
    }

    async fn write(&self, path: &str, value: &str) -> PortResult<()> {
        self.call("store.write", async || {
            self.change().parameters.insert(path.to_owned(), value.to_owned());
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

    async fn remove(&self, paths: &[String]) -> PortResult<()> {
        self.call("store.remove", async || {
            self.change().parameters.retain(|path, _| !paths.contains(path));
            Ok(())
        })
        .await
    }
}
