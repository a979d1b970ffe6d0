//! Steps that launch, await, configure and terminate hosts.

use std::{collections::BTreeSet, time::Duration};

use skipper_core::{
    desired::Scope,
    event::Leftovers,
    exit::Exit,
    failure::Failure,
    image::hex_digest,
    name::HostName,
    observed::{Agent, InstanceId, InstanceState, Launch as LaunchRecord, ObservedHost, SecurityGroup},
    orchestrator::userdata::user_data,
    plan::LaunchSpec,
};
use tokio::time::Instant;

use super::{Run, StepFailure, StepResult, scripts::host_failure};
use crate::{
    observe::{OBSERVE_DEADLINE, launches_path},
    ports::{Launch, PortErrorKind},
};

/// Between two looks at hosts on their way up.
const HOST_POLL: Duration = Duration::from_secs(1);
/// Tokens of dead instances that are looked at in one run, each twice as far from the first: where the records of launches were
/// removed with the hosts, and the same hosts are launched again, there are as many as there were launches.
const TOKENS: u32 = 10;

impl Run<'_> {
    pub(super) async fn launch(&self, host: &HostName, spec: &LaunchSpec) -> StepResult {
        let security_groups = vec![
            self.known.security_group(&SecurityGroup::Cluster)?,
            self.known.security_group(&SecurityGroup::Group(host.group.clone()))?,
        ];
        let failed = |failure: Failure| failure.during(format!("launch host `{host}`"));
        for step in 0..TOKENS {
            let generation = spec.generation.saturating_add((1 << step) - 1);
            let (subnet, launched) = self.launch_somewhere(host, spec, generation, &security_groups).await?;
            match launched {
                (instance, Some(state)) => {
                    self.say(format!("launched `{instance}` from {}", spec.image_name));
                    self.known.host_is(host, launching(&instance, state, spec));
                    // The instance carries its tag, so a lost record costs nothing but a look at a dead token later.
                    return self
                        .record(host, &LaunchRecord { generation, instance: Some(instance), subnet })
                        .await
                        .map_err(|failure| failed(failure).into());
                }
                (instance, None) => self.say(format!(
                    "the token of generation {generation} belongs to `{instance}`, which is terminated; taking the next"
                )),
            }
        }
        Err(failed(
            Failure::new(Exit::Blocked, "every client token belongs to a terminated instance").hint("run again"),
        )
        .into())
    }

    /// Launches into the first of the subnets that has capacity.
    async fn launch_somewhere(
        &self,
        host: &HostName,
        spec: &LaunchSpec,
        generation: u32,
        security_groups: &[String],
    ) -> Result<(Option<String>, (InstanceId, Option<InstanceState>)), StepFailure> {
        let failed = |failure: Failure| failure.during(format!("launch host `{host}`"));
        let mut subnets = spec.subnets.iter().peekable();
        let mut full: Vec<String> = Vec::new();
        loop {
            // None at first where the file names none: then EC2 chooses among the zones by itself.
            let subnet = subnets.next().cloned();
            // Recorded before the call, so that a run that dies in between finds the instance by the same token.
            let record = LaunchRecord { generation, instance: None, subnet: subnet.clone() };
            self.record(host, &record).await.map_err(failed)?;
            let scope = self.known.desired.hosts_of.clone();
            let launch = Launch {
                client_token: client_token(&scope, host, generation, subnet.as_deref()),
                scope,
                host: host.clone(),
                spec: LaunchSpec { generation, ..spec.clone() },
                subnet: subnet.clone(),
                security_groups: security_groups.to_vec(),
                user_data: user_data(),
            };
            let error = match self.ask(async || self.hands.compute.launch(&launch).await).await {
                Ok(launched) => return Ok((subnet, launched)),
                Err(error) => error,
            };
            if let (PortErrorKind::Capacity, Some(subnet), Some(next)) = (error.kind, &subnet, subnets.peek()) {
                let why = error.failure.causes.first().unwrap_or(&error.failure.message);
                self.say(format!("no capacity in `{subnet}` ({why}); trying `{next}`"));
                full.push(subnet.clone());
                continue;
            }
            let leftovers = if error.kind == PortErrorKind::Unclear {
                Leftovers::Unknown(vec![format!("an instance tagged `skipper:host={host}`")])
            } else {
                Leftovers::None
            };
            let failure = match full.as_slice() {
                [] => error.failure,
                full => error.failure.because(format!("tried before, in vain: `{}`", full.join("`, `"))),
            };
            return Err(StepFailure { failure: failed(failure), leftovers, restored: None });
        }
    }

    async fn record(&self, host: &HostName, record: &LaunchRecord) -> Result<(), Failure> {
        if self.known.observed.launches.get(host) == Some(record) {
            return Ok(());
        }
        let path = format!("{}/{host}", launches_path(&self.known.desired.hosts_of));
        let value = serde_json::to_string(record)
            .map_err(|error| Failure::failed_to(Exit::Defect, "write the record of a launch").because_of(&error))?;
        self.ask(async || self.hands.store.write(&path, &value).await).await.map_err(|error| error.failure)
    }

    pub(super) async fn await_hosts(&self, hosts: &[HostName]) -> StepResult {
        let deadline = Instant::now() + self.hands.host_timeout;
        let scope = &self.known.desired.hosts_of;
        let mut announced: BTreeSet<HostName> = BTreeSet::new();
        loop {
            let (instances, agents) = futures::join!(
                self.ask(async || self.hands.compute.instances(scope).await),
                self.ask(async || self.hands.remote.agents(scope).await),
            );
            let (instances, agents) =
                (instances.map_err(|error| error.failure)?, agents.map_err(|error| error.failure)?);
            let mut missing = Vec::new();
            for host in hosts {
                let wanted = self.known.instance(host)?;
                let found = instances.iter().find(|found| found.instance == wanted);
                let agent = agents.get(&wanted).copied().unwrap_or(Agent::Absent);
                match found {
                    Some(found)
                        if found.state == InstanceState::Running
                            && agent == Agent::Online
                            && found.private_address.is_some() =>
                    {
                        if announced.insert(host.clone()) {
                            self.say(format!("host `{host}` is online ({})", found.instance));
                        }
                        self.known.host_is(
                            host,
                            ObservedHost {
                                instance: wanted,
                                state: found.state,
                                size: found.size.clone(),
                                instance_store: found.instance_store,
                                private_address: found.private_address.clone(),
                                public_address: found.public_address.clone(),
                                agent,
                                report: None,
                            },
                        );
                    }
                    Some(found) => missing.push(format!(
                        "host `{host}` (`{wanted}`) is {} and its SSM agent is {}",
                        found.state.word(),
                        word(agent)
                    )),
                    None => missing.push(format!("host `{host}` (`{wanted}`) is not described by EC2")),
                }
            }
            if missing.is_empty() {
                return self.expect_fresh(hosts).await;
            }
            if self.hands.cancel.is_cancelled() {
                let failure = Failure::new(Exit::Cancelled, "cancelled while hosts were on their way up");
                return Err(StepFailure { failure, leftovers: Leftovers::Known(missing), restored: None });
            }
            if Instant::now() >= deadline {
                return Err(offline(missing, self.hands.host_timeout).into());
            }
            tokio::time::sleep(HOST_POLL).await;
        }
    }

    /// Hosts that are awaited are planned for as ones that run nothing. One that was merely missing from EC2's or Systems Manager's
    /// lists for a moment runs what it ran, and a plan that does not know of it is not carried out.
    async fn expect_fresh(&self, hosts: &[HostName]) -> StepResult {
        let script = self.hands.orchestrator.observe(&self.known.desired.scope);
        for (host, answer) in self.run(hosts, &script, OBSERVE_DEADLINE.min(self.hands.host_timeout)).await? {
            let report = answer.and_then(|output| {
                self.hands.orchestrator.read_observation(&output).map_err(|error| host_failure(&error))
            });
            let report = report.map_err(|failure| failure.during(format!("ask host `{host}` what it runs")))?;
            if report.configured.is_some() {
                let failure = Failure::new(
                    Exit::Blocked,
                    format!("host `{host}` has been in use, and AWS did not list it when the plan was made"),
                );
                return Err(failure.hint("run again: now that it answers, the plan knows what it runs").into());
            }
        }
        Ok(())
    }

    pub(super) async fn terminate(&self, host: &HostName, instance: &InstanceId) -> StepResult {
        self.ask(async || self.hands.compute.terminate(instance).await)
            .await
            .map_err(|error| error.failure.during(format!("terminate host `{host}` (`{instance}`)")))?;
        self.known.host_is_gone(host);
        Ok(())
    }
}

/// Within EC2's 64 ASCII characters, and the same for the same launch of the same host. What it is made of has one reading:
/// two launches in one account with the same token are one launch.
fn client_token(scope: &Scope, host: &HostName, generation: u32, subnet: Option<&str>) -> String {
    let subnet = subnet.map(|subnet| format!("/{subnet}")).unwrap_or_default();
    let launch = format!("{}/{host}/{generation}{subnet}", scope.path());
    format!("skipper-{}", &hex_digest(launch.as_bytes())[..40])
}

fn launching(instance: &InstanceId, state: InstanceState, spec: &LaunchSpec) -> ObservedHost {
    ObservedHost {
        instance: instance.clone(),
        state,
        size: spec.size.clone(),
        instance_store: false,
        private_address: None,
        public_address: None,
        agent: Agent::Absent,
        report: None,
    }
}

const fn word(agent: Agent) -> &'static str {
    match agent {
        Agent::Online => "online",
        Agent::Lost => "lost",
        Agent::Absent => "not registered",
    }
}

fn offline(missing: Vec<String>, after: Duration) -> Failure {
    let failure = Failure::new(Exit::Blocked, format!("hosts did not come online within {} s", after.as_secs()));
    missing
        .into_iter()
        .fold(failure, Failure::because)
        .hint("the instance profile needs the policy `AmazonSSMManagedInstanceCore`, and the host needs a way out to `ssm`, `ssmmessages` and `ec2messages` on port 443 (a public address or a NAT gateway)")
        .hint("running again goes on from here; terminate the instances to start anew, or give them longer (`--host-timeout`)")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn no_two_launches_of_an_account_share_a_token() {
        let token = |project: &str, environment: &str, host: &str, generation| {
            let scope = Scope { project: project.parse().unwrap(), environment: environment.parse().unwrap() };
            client_token(&scope, &host.parse().unwrap(), generation, None)
        };
        let tokens = [
            token("shop", "eu-staging", "web_1", 1),
            token("shop-eu", "staging", "web_1", 1),
            token("shop", "eu-staging", "web_1", 2),
            token("shop", "eu-staging", "web_2", 1),
        ];
        assert_eq!(BTreeSet::from(tokens.clone()).len(), 4);
        assert!(tokens.iter().all(|token| token.is_ascii() && token.len() <= 64));
    }
}
