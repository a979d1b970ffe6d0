//! Steps that reboot a host: what serves on it stops, it goes down and joins its cluster again, and what served serves again.

use std::{collections::BTreeMap, time::Duration};

use skipper_core::{
    etcd::MemberState,
    event::Leftovers,
    exit::Exit,
    failure::Failure,
    name::HostName,
    observed::{Agent, HostReport, InstanceId, InstanceState, OrchestratorState},
    orchestrator::{Probe, ProbeCheck, Start},
    plan::Paused,
};
use tokio::time::{Instant, sleep};

use super::{Run, StepFailure, StepResult};

/// Between two looks at a host that is on its way down and up.
const POLL: Duration = Duration::from_secs(2);
/// How long a host may take to say what it is. What goes down takes questions along, and an orchestrator that has been cut off
/// registers anew within two minutes.
const ANSWERS: Duration = Duration::from_secs(40);
const REGISTERS: Duration = Duration::from_secs(2 * 60);

impl Run<'_> {
    pub(super) async fn stop(&self, host: &HostName, replicas: &[Paused]) -> StepResult {
        let handles = replicas.iter().map(|paused| paused.handle.clone()).collect();
        let by_instance = BTreeMap::from([(self.known.instance(host)?, handles)]);
        let script = self.hands.orchestrator.stop(&self.known.desired.scope, &by_instance);
        let deadline = super::replicas::REMOVE_MARGIN + self.grace();
        self.run_done(std::slice::from_ref(host), &script, deadline, "stop replicas on").await
    }

    /// Starts what is registered already, as it was told when it was deployed.
    pub(super) async fn resume(&self, host: &HostName, replicas: &[Paused]) -> StepResult {
        let start = |paused: &Paused| Start {
            replica: paused.replica.clone(),
            handle: paused.handle.clone(),
            spec: None,
            probe: paused.probe.as_deref().and_then(|probe| probe.parse().ok()).unwrap_or(JUST_RUNS),
            stop_before: None,
        };
        let starts = BTreeMap::from([(host.clone(), replicas.iter().map(start).collect())]);
        self.start_all(&starts).await.map_err(|failed| failed.failure.into())
    }

    pub(super) async fn reboot(&self, host: &HostName, instance: &InstanceId, boot: &str) -> StepResult {
        let failed = |failure: Failure| failure.during(format!("reboot host `{host}` (`{instance}`)"));
        self.ask(async || self.hands.compute.reboot(instance).await).await.map_err(|error| failed(error.failure))?;
        self.rejoin(host, boot, &failed).await
    }

    /// A size that cannot be had is given up for the one that it had: a host that is down serves nobody.
    pub(super) async fn resize(
        &self,
        host: &HostName,
        instance: &InstanceId,
        [from, size]: [&String; 2],
        boot: &str,
    ) -> StepResult {
        let failed = |failure: Failure| failure.during(format!("resize host `{host}` (`{instance}`) to {size}"));
        let compute = self.hands.compute;
        self.ask(async || compute.stop(instance).await).await.map_err(|error| failed(error.failure))?;
        self.has_stopped(instance).await.map_err(failed)?;
        let up_as = async |size: &String| {
            self.ask(async || compute.set_size(instance, size).await).await?;
            self.ask(async || compute.start(instance).await).await
        };
        let Err(refused) = up_as(size).await else {
            return self.rejoin(host, boot, &failed).await;
        };
        self.say(format!("starting host `{host}` as {from} again: {}", refused.failure));
        up_as(from).await.map_err(|error| failed(refused.failure.clone().because(error.failure.message)))?;
        self.rejoin(host, boot, &failed).await?;
        Err(failed(refused.failure).into())
    }

    async fn has_stopped(&self, instance: &InstanceId) -> Result<(), Failure> {
        let scope = &self.known.desired.hosts_of;
        let until = Instant::now() + self.hands.host_timeout;
        loop {
            let instances = self.ask(async || self.hands.compute.instances(scope).await).await;
            let instances = instances.map_err(|error| error.failure)?;
            let found = instances.iter().find(|found| found.instance == *instance);
            let state = match found {
                Some(found) if found.state == InstanceState::Stopped => return Ok(()),
                Some(found) => found.state.word(),
                None => "not there",
            };
            if Instant::now() >= until {
                return Err(Failure::new(Exit::Degraded, format!("its instance is {state} and should be stopped")));
            }
            sleep(POLL).await;
        }
    }

    /// Waits until a host that was told to go down is back.
    async fn rejoin(&self, host: &HostName, boot: &str, failed: &dyn Fn(Failure) -> Failure) -> StepResult {
        let until = Instant::now() + self.hands.host_timeout + REGISTERS;
        loop {
            sleep(POLL).await;
            let missing = match self.is_rejoining(host, boot).await {
                Ok(None) => {
                    self.say(format!("host `{host}` has rebooted and joined its cluster again"));
                    return Ok(());
                }
                Ok(Some(missing)) => missing,
                Err(failure) => return Err(failed(failure).into()),
            };
            let leftovers = Leftovers::Known(vec![format!("host `{host}`, which was told to reboot: {missing}")]);
            if self.hands.cancel.is_cancelled() {
                let failure = Failure::new(Exit::Cancelled, "cancelled while a host rebooted");
                return Err(StepFailure { failure, leftovers, restored: None });
            }
            if Instant::now() >= until {
                let seconds = (self.hands.host_timeout + REGISTERS).as_secs();
                let failure = Failure::new(Exit::Degraded, format!("it was not back within {seconds} s: {missing}"));
                let hint = "look at its console in EC2; give it longer with `--host-timeout`; \
                            `skipper deploy` starts what is stopped, and `skipper instances remove` replaces the host";
                return Err(StepFailure { failure: failed(failure.hint(hint)), leftovers, restored: None });
            }
        }
    }

    /// What is missing until the host has another boot behind it and every host is a part of a whole cluster.
    async fn is_rejoining(&self, host: &HostName, boot: &str) -> Result<Option<String>, Failure> {
        let scope = &self.known.desired.hosts_of;
        let (instances, agents) = futures::join!(
            self.ask(async || self.hands.compute.instances(scope).await),
            self.ask(async || self.hands.remote.agents(scope).await),
        );
        let (instances, agents) = (instances.map_err(|error| error.failure)?, agents.map_err(|error| error.failure)?);
        let own = self.known.instance(host)?;
        let is_up = |instance: &InstanceId| agents.get(instance) == Some(&Agent::Online);
        match instances.iter().find(|found| found.instance == own) {
            None => return Ok(Some("its instance is gone".to_owned())),
            Some(found) if found.state != InstanceState::Running => {
                return Ok(Some(format!("its instance is {}", found.state.word())));
            }
            Some(found) if !is_up(&found.instance) => return Ok(Some("its SSM agent is not online".to_owned())),
            Some(_) => {}
        }
        // Those that were there before it went down are a part of the cluster that it joins.
        let there = self.known.observed.hosts.iter().filter(|(_, found)| found.is_configured());
        let all: Vec<HostName> = there.map(|(host, _)| host.clone()).collect();
        let script = self.hands.orchestrator.observe(&self.known.desired.scope);
        for (other, answer) in self.run(&all, &script, ANSWERS).await? {
            let report = answer.ok().and_then(|output| self.hands.orchestrator.read_observation(&output).ok());
            let Some(report) = report else { return Ok(Some(format!("host `{other}` does not answer"))) };
            if other == *host && report.boot.as_deref() == Some(boot) {
                return Ok(Some("it has not gone down yet".to_owned()));
            }
            if let Some(missing) = is_missing(&report) {
                return Ok(Some(format!("on host `{other}` {missing}")));
            }
        }
        Ok(None)
    }
}

/// What keeps a host from being a part of a whole cluster.
fn is_missing(report: &HostReport) -> Option<String> {
    if let Some(words) = &report.engine {
        return Some(format!("the Docker engine does not answer: {words}"));
    }
    match &report.orchestrator {
        OrchestratorState::Ready => {}
        OrchestratorState::Absent => return Some("there is no orchestrator".to_owned()),
        OrchestratorState::Silent(words) | OrchestratorState::Emptied(words) => {
            return Some(format!("the orchestrator does not answer: {words}"));
        }
    }
    let silent = report.etcd.iter().find(|member| member.state != MemberState::Healthy)?;
    Some(format!("the member of etcd at {} does not answer", silent.address))
}

/// What is asked where nobody knows how a replica is probed.
const JUST_RUNS: Probe =
    Probe { check: ProbeCheck::Running, interval_ms: 1_000, timeout_ms: 1_000, retries: 30, start_period_ms: 0 };
