//! Agents, and scripts on hosts: one call sends a script, one watches it to its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use skipper_core::{
    desired::Scope,
    observed::{Agent, InstanceId},
    script::Script,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{Fault, FaultKind, SimHost, SimWorld, cloud::PAGE, faults::passed_on};
use crate::ports::{Invocation, PortResult, Remote};

/// From launch to an agent that is online.
const ONLINE: Duration = Duration::from_secs(30);

/// A script on a host. It runs on when this is dropped.
type Sent = (InstanceId, JoinHandle<Invocation>);

#[async_trait(?Send)]
impl Remote for SimWorld {
    async fn agents(&self, _scope: &Scope) -> PortResult<BTreeMap<InstanceId, Agent>> {
        let count = self.look().hosts.values().filter(|host| host.alive()).count();
        self.paged("remote.agents", count, || {
            let mut state = self.change();
            if state.never_online {
                return BTreeMap::new();
            }
            let mut listed = BTreeMap::new();
            let up = |host: &SimHost| host.alive() && host.launched.elapsed() >= ONLINE;
            for (instance, host) in state.hosts.iter_mut().filter(|(_, host)| up(host)) {
                if host.unlisted > 0 {
                    host.unlisted -= 1;
                } else {
                    listed.insert(
                        instance.clone(),
                        if host.silent || !host.runs() { Agent::Lost } else { Agent::Online },
                    );
                }
            }
            listed
        })
        .await
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
            let sent = self
                .call(&format!("remote.run/{}", script.name), async || {
                    Ok(page.iter().map(|instance| self.send(instance, script, deadline)).collect())
                })
                .await?;
            answers.extend(self.watch(sent, script, deadline).await?);
        }
        Ok(answers)
    }
}

impl SimWorld {
    /// Has a host begin a script, which ends by itself or is ended by its agent when the time is up.
    fn send(&self, instance: &InstanceId, script: &Script, deadline: Duration) -> Sent {
        let (world, host, script) = (self.clone(), instance.clone(), script.clone());
        let run = async move {
            let ended = tokio::time::timeout(deadline, world.run_on(&host, &script)).await;
            ended.unwrap_or_else(|_| Invocation::Lost("ExecutionTimedOut".to_owned()))
        };
        (instance.clone(), tokio::task::spawn_local(run))
    }

    /// Looks until every script has ended. A look that fails is followed by another, until the time is up.
    async fn watch(
        &self,
        sent: Vec<Sent>,
        script: &Script,
        deadline: Duration,
    ) -> PortResult<BTreeMap<InstanceId, Invocation>> {
        let name = format!("remote.watch/{}", script.name);
        let until = Instant::now() + deadline;
        let fault = self.strike(&name);
        match fault {
            Some(Fault { kind: FaultKind::Denied, .. }) => return Err(passed_on(&name, FaultKind::Denied)),
            Some(Fault { kind: FaultKind::DiesBefore, .. }) => return self.die().await,
            Some(Fault { kind: FaultKind::Malformed | FaultKind::DiesAfter, .. } | Fault { times: Some(_), .. })
            | None => {}
            Some(Fault { times: None, .. }) => {
                sleep_until(until).await;
                let lost = Invocation::Lost(format!("InProgress after {} s", deadline.as_secs()));
                return Ok(sent.into_iter().map(|(instance, _)| (instance, lost.clone())).collect());
            }
        }
        let mut answers = BTreeMap::new();
        for (instance, script) in sent {
            let answer = script.await.unwrap_or_else(|error| Invocation::Lost(error.to_string()));
            answers.insert(instance, answer);
        }
        match fault {
            Some(Fault { kind: FaultKind::DiesAfter, .. }) => self.die().await,
            Some(Fault { kind: FaultKind::Malformed, .. }) => answers.values_mut().for_each(cut),
            _ => {}
        }
        Ok(answers)
    }
}

/// The result loses its second half.
fn cut(answer: &mut Invocation) {
    if let Invocation::Finished { stdout, .. } = answer {
        stdout.truncate(stdout.len() / 2);
    }
}
