//! Finds out what is there, side by side and in a number of calls that does not depend on the number of hosts.
//!
//! What cannot be found out becomes a gap, so that planning can refuse to act on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use skipper_core::{
    config::{Config, Group},
    desired::Scope,
    failure::Failure,
    name::{GroupName, HostName, ProjectName},
    observed::{
        Agent, Gap, HostReport, InstanceId, InstanceState, Launch, LaunchFacts, Observed, ObservedHost,
        OrchestratorState,
    },
    orchestrator::Orchestrator,
    plan::why_replaced,
    preview,
};

use crate::{
    events::Events,
    ports::{Compute, FoundInstance, Invocation, LaunchQuery, PortResult, Remote, Store},
    retry::retry,
};

/// How long a host may take to say what it runs.
pub(crate) const OBSERVE_DEADLINE: Duration = Duration::from_secs(60);

/// The same where the fence is raised on the way: what an earlier run has under way on the host ends before.
const FENCED_OBSERVE_DEADLINE: Duration = Duration::from_secs(5 * 60);

/// What observing needs from the world.
#[derive(Clone, Copy)]
pub struct Eyes<'a> {
    /// Hosts and ingress rules.
    pub compute: &'a dyn Compute,
    /// Scripts on hosts.
    pub remote: &'a dyn Remote,
    /// Records.
    pub store: &'a dyn Store,
    /// What runs replicas.
    pub orchestrator: &'a dyn Orchestrator,
    /// Where retries are told.
    pub events: &'a Events,
    /// Whether the hosts may still be busy for an earlier run, which is waited for.
    pub after_another: bool,
    /// How long a host is waited for, at most.
    pub host_timeout: Duration,
}

impl Eyes<'_> {
    /// Observes everything that planning may know.
    ///
    /// # Errors
    /// When the provider refuses or does not answer at all; a single silent host is a gap, not an error.
    pub async fn observe(&self, config: &Config, scope: &Scope) -> Result<Observed, Failure> {
        let hosts_of = &scope.hosts_of(config);
        let launches_path = launches_path(hosts_of);
        let (instances, security_groups, agents, launches, addresses) = futures::try_join!(
            self.instances(hosts_of),
            self.ask("describe the project's security groups", async || self.compute.security_groups(hosts_of).await),
            self.agents(hosts_of),
            self.ask("read the record of launches", async || self.store.read(&launches_path).await),
            self.ask("describe the project's addresses", async || self.compute.addresses(hosts_of).await),
        )?;
        let launches = read_launches(&launches);
        let mut observed = Observed { security_groups, launches, addresses, ..Observed::default() };
        let mut found = hosts(instances, &agents, &mut observed);
        let missing = missing(config, &found);
        let reports = self.reports(scope, &mut found, &mut observed.gaps);
        let (reports, launch) = futures::join!(reports, self.launch_facts(missing));
        (observed.launch, observed.hosts) = (launch?, found);
        reports?;
        if scope.environment.pull_request().is_some() && is_new(&observed, hosts_of != scope) {
            observed.previews = self.previews(&scope.project, hosts_of != scope).await?;
        }
        Ok(observed)
    }

    /// Observes what a scope runs on hosts that are another's. One that does not tell is a gap, in whatever state it is: when it comes
    /// back, so does what it ran.
    ///
    /// # Errors
    /// As [`Eyes::observe`].
    pub async fn observe_shared(&self, hosts_of: &Scope, scope: &Scope) -> Result<Observed, Failure> {
        let (instances, agents) = futures::try_join!(self.instances(hosts_of), self.agents(hosts_of))?;
        let mut observed = Observed::default();
        let mut found = hosts(instances, &agents, &mut observed);
        self.reports(scope, &mut found, &mut observed.gaps).await?;
        let told: BTreeSet<&HostName> = observed.gaps.iter().filter_map(|gap| gap.host.as_ref()).collect();
        let silent = found.iter().filter(|(host, found)| found.report.is_none() && !told.contains(host));
        let gaps: Vec<Gap> = silent
            .map(|(host, found)| {
                let what = format!("it does not tell what it runs: its instance is {}", found.state.word());
                gap(host, what, "start it or terminate it, or wait until it is up, and run again")
            })
            .collect();
        observed.gaps.extend(gaps);
        observed.hosts = found;
        Ok(observed)
    }

    pub(crate) async fn instances(&self, hosts_of: &Scope) -> Result<Vec<FoundInstance>, Failure> {
        self.ask("describe the project's instances", async || self.compute.instances(hosts_of).await).await
    }

    pub(crate) async fn agents(&self, hosts_of: &Scope) -> Result<BTreeMap<InstanceId, Agent>, Failure> {
        self.ask("ask which SSM agents are online", async || self.remote.agents(hosts_of).await).await
    }

    /// The previews that count when there is to be one more. Those that share their hosts are told by their records alone.
    async fn previews(&self, project: &ProjectName, shared: bool) -> Result<BTreeSet<u64>, Failure> {
        let what = "find out which previews there are";
        let owned = self.ask(what, async || self.compute.owned(project).await).await?;
        if !shared {
            return Ok(preview::running(&owned));
        }
        let path = project_path(project);
        let records = self.ask(what, async || self.store.read(&path).await).await?;
        Ok(preview::shipped(&owned, &records))
    }

    pub(crate) async fn ask<T>(&self, what: &str, call: impl AsyncFnMut() -> PortResult<T>) -> Result<T, Failure> {
        retry(call, |attempt, pause, error| {
            let failure =
                error.failure.clone().during(format!("{what} (try {attempt}, again in {} s)", pause.as_secs()));
            self.events.warn(failure);
        })
        .await
        .map_err(|error| error.failure.during(what))
    }

    /// Asks every host whose agent is online what it runs of a scope.
    async fn reports(
        &self,
        scope: &Scope,
        hosts: &mut BTreeMap<HostName, ObservedHost>,
        gaps: &mut Vec<Gap>,
    ) -> Result<(), Failure> {
        for (host, report) in self.answers(scope, hosts, gaps).await? {
            if let Some(found) = hosts.get_mut(&host) {
                found.report = Some(report);
            }
        }
        Ok(())
    }

    async fn answers(
        &self,
        scope: &Scope,
        hosts: &BTreeMap<HostName, ObservedHost>,
        gaps: &mut Vec<Gap>,
    ) -> Result<BTreeMap<HostName, HostReport>, Failure> {
        let names: BTreeMap<InstanceId, HostName> =
            hosts.iter().map(|(host, found)| (found.instance.clone(), host.clone())).collect();
        let ask: BTreeSet<InstanceId> = hosts
            .values()
            .filter(|found| found.state == InstanceState::Running && found.agent == Agent::Online)
            .map(|found| found.instance.clone())
            .collect();
        for (host, found) in hosts {
            if found.state == InstanceState::Running && found.agent == Agent::Lost {
                gaps.push(gap(
                    host,
                    "its SSM agent has stopped answering",
                    "see whether the instance is healthy, restart it, and run again",
                ));
            }
        }
        let mut reports: BTreeMap<HostName, HostReport> = BTreeMap::new();
        if ask.is_empty() {
            return Ok(reports);
        }
        let script = self.orchestrator.observe(scope);
        let deadline =
            if self.after_another { FENCED_OBSERVE_DEADLINE } else { OBSERVE_DEADLINE.min(self.host_timeout) };
        let answers =
            self.ask("ask the hosts what they run", async || self.remote.run(&ask, &script, deadline).await).await?;
        for instance in ask {
            let Some(host) = names.get(&instance) else { continue };
            match answers.get(&instance) {
                Some(Invocation::Finished { stdout, stderr, code }) => match self.orchestrator.read_observation(stdout)
                {
                    Ok(report) if report.host.as_ref().is_some_and(|says| says != host) => {
                        let says = report.host.map(|says| says.to_string()).unwrap_or_default();
                        gaps.push(gap(
                            host,
                            format!("to its orchestrator it is `{says}`"),
                            "give its instance back the tag `skipper:host` with that name, or terminate it, and run again",
                        ));
                    }
                    Ok(report) => {
                        if report.configured.is_some() {
                            gaps.extend(silence(host, &report));
                        }
                        reports.insert(host.clone(), report);
                    }
                    Err(error) => {
                        let said = stderr.lines().last().unwrap_or_default();
                        gaps.push(gap(
                            host,
                            format!("it did not say what it runs (exit {code}): {error} {said}").trim_end().to_owned(),
                            "run again; if it stays so, look at the host",
                        ));
                    }
                },
                Some(Invocation::Lost(status)) => gaps.push(gap(
                    host,
                    format!("it did not say what it runs: {status}"),
                    "see whether the instance and its SSM agent are healthy, and run again",
                )),
                None => gaps.push(gap(host, "it did not say what it runs", "run again")),
            }
        }
        let new: BTreeSet<HostName> =
            reports.iter().filter(|(_, report)| report.configured.is_none()).map(|(host, _)| host.clone()).collect();
        // A host that its orchestrator does not see may be away for a moment, unless it has never been a part of the cluster.
        let is_away = |host: &HostName| hosts.contains_key(host) && !new.contains(host);
        for report in reports.values_mut() {
            report.stray.retain(|stray| !is_away(&stray.host));
        }
        Ok(reports)
    }

    /// What launches would use.
    async fn launch_facts(
        &self,
        queries: BTreeMap<GroupName, LaunchQuery>,
    ) -> Result<BTreeMap<GroupName, LaunchFacts>, Failure> {
        if queries.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.ask("find out what a launch would use", async || self.compute.launch_facts(&queries).await).await
    }
}

/// Whether nothing is there of a preview yet: no host of its own, and on hosts that it shares no replica.
fn is_new(observed: &Observed, shares_hosts: bool) -> bool {
    match shares_hosts {
        true => observed.replicas().next().is_none(),
        false => observed.hosts.is_empty() && observed.security_groups.is_empty(),
    }
}

/// The groups that miss a host, or have one that is launched anew, with what a launch there is asked about.
fn missing(config: &Config, found: &BTreeMap<HostName, ObservedHost>) -> BTreeMap<GroupName, LaunchQuery> {
    let misses_one = |(name, group): &(&GroupName, &Group)| {
        (1..=group.scale).any(|number| {
            let found = found.get(&HostName { group: (*name).clone(), number });
            found.is_none_or(|found| why_replaced(found, &group.size).is_some())
        })
    };
    let query = |(name, group): (&GroupName, &Group)| {
        let query = LaunchQuery {
            size: group.size.to_string(),
            image: group.ami.clone(),
            instance_profile: group.instance_profile.clone(),
            subnets: group.subnets.clone(),
        };
        (name.clone(), query)
    };
    config.groups.iter().filter(misses_one).map(query).collect()
}

/// Where the launches of an environment's hosts are recorded.
pub fn launches_path(scope: &Scope) -> String {
    format!("{}/launches", scope.path())
}

/// Below which everything of a project is recorded, by environment.
pub fn project_path(project: &ProjectName) -> String {
    format!("/skipper/{project}")
}

fn read_launches(values: &BTreeMap<String, String>) -> BTreeMap<HostName, Launch> {
    values.iter().filter_map(|(host, value)| Some((host.parse().ok()?, serde_json::from_str(value).ok()?))).collect()
}

/// Instances by the host they are. One that does not say which host it is, or says what another says too, is a gap.
fn hosts(
    instances: Vec<FoundInstance>,
    agents: &BTreeMap<InstanceId, Agent>,
    observed: &mut Observed,
) -> BTreeMap<HostName, ObservedHost> {
    let mut hosts: BTreeMap<HostName, ObservedHost> = BTreeMap::new();
    for found in instances {
        let Some(host) = found.host else {
            let what =
                format!("instance `{}` carries the project's tags and does not say which host it is", found.instance);
            observed.gaps.push(Gap {
                host: None,
                what,
                hint: Some("give it back its tag `skipper:host`, or terminate it".to_owned()),
            });
            continue;
        };
        if let Some(other) = hosts.get(&host) {
            let what = format!("instances `{}` and `{}` both say that they are it", other.instance, found.instance);
            observed.gaps.push(gap(&host, what, "terminate the one that should not be there"));
            continue;
        }
        let agent = agents.get(&found.instance).copied().unwrap_or(Agent::Absent);
        hosts.insert(
            host,
            ObservedHost {
                instance: found.instance,
                state: found.state,
                size: found.size,
                instance_store: found.instance_store,
                private_address: found.private_address,
                public_address: found.public_address,
                agent,
                report: None,
            },
        );
    }
    hosts
}

/// What keeps a configured host from telling what it runs.
fn silence(host: &HostName, report: &HostReport) -> Option<Gap> {
    match (&report.engine, &report.orchestrator) {
        (Some(words), _) => {
            let hint = "the next deployment starts it again; why it has ended is in `journalctl -u docker -u containerd` on the host";
            Some(gap(host, format!("its Docker engine does not answer: {words}"), hint))
        }
        (None, OrchestratorState::Emptied(words)) => {
            let hint = "the next deployment registers again what the hosts have on record, once all of them answer";
            Some(gap(host, format!("its orchestrator has lost what it knew: {words}"), hint))
        }
        (None, OrchestratorState::Silent(words)) => {
            let hint = "it may be registering again, which takes up to a minute: run again; else look at `journalctl -u fleet -u etcd-member` on the host";
            Some(gap(host, format!("its orchestrator does not answer: {words}"), hint))
        }
        (None, OrchestratorState::Ready | OrchestratorState::Absent) => None,
    }
}

fn gap(host: &HostName, what: impl Into<String>, hint: &str) -> Gap {
    Gap { host: Some(host.clone()), what: what.into(), hint: Some(hint.to_owned()) }
}
