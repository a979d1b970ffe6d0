//! One run from its first event to its last, and what its commands share: `ship` in [`ship`], `plan` and `ps` in [`look`], the end
//! of a preview in [`remove`], that of a replica in [`replica`], that of older images in [`clean`], what is asked for about hosts
//! in [`instances`].

mod clean;
mod ending;
mod errand;
mod expected;
mod hosts;
mod instances;
mod judge;
mod look;
mod remove;
mod replica;
mod ship;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use skipper_core::{
    config::Config,
    desired::{Desired, Scope},
    event::{EventKind, Leftovers, Moment, Outcome, RunFinished, RunStarted, StateTable},
    exit::Exit,
    failure::Failure,
    name::ServiceName,
    observed::Observed,
    orchestrator::Orchestrator,
    plan::{Plan, PlanHash, plan},
    progress::StepProgress,
    release::Release,
    render::words,
    state,
};

pub use self::clean::Wanted;
use self::ending::Ending;
use crate::{
    cancel::{self, Cancel},
    events::Events,
    images::ImageOptions,
    lease::Terms,
    observe::Eyes,
    ports::{CodeHost, Compute, Images, Remote, Store},
    records::{Past, read_past},
    report::Reporter,
    secrets::GivenSecrets,
};

/// The world, as a run needs it.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Hosts and ingress rules.
    pub compute: &'a dyn Compute,
    /// Scripts on hosts.
    pub remote: &'a dyn Remote,
    /// Images.
    pub images: &'a dyn Images,
    /// Records.
    pub store: &'a dyn Store,
    /// What runs replicas.
    pub orchestrator: &'a dyn Orchestrator,
    /// Where people read; absent where nobody can be asked.
    pub code_host: Option<&'a dyn CodeHost>,
}

/// What a run may touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The services to deploy; all when empty. The others stay as they are.
    pub services: BTreeSet<ServiceName>,
    /// Whether hosts are brought up, and nothing is deployed to them.
    pub hosts_only: bool,
    /// Whether the hosts of groups that the file does not name any more may be terminated.
    pub allow_terminate: bool,
    /// Whether hosts may go away with the named volumes that they hold.
    pub allow_data_loss: bool,
    /// Whether inbound rules of somebody else's are removed from the project's security groups.
    pub prune_rules: bool,
    /// The plan that may be carried out, and no other.
    pub expected_plan: Option<ExpectedPlan>,
    /// The previews that end with the hosts that they share, where it is those that this run removes.
    pub ending: BTreeSet<u64>,
    /// Whether the run gives way where a commit serves that contains its own. One that somebody named does not.
    pub gives_way: bool,
}

/// The plan that a run may carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedPlan {
    /// The one that stands on the pull request.
    OnPullRequest,
    /// The one with this hash.
    Hash(PlanHash),
    /// In each of several regions the one with its hash.
    ByRegion(BTreeMap<String, PlanHash>),
}

/// One run: what it is to do, and who hears of it.
pub struct Runner<'a> {
    /// What `skipper.yml` says.
    pub config: &'a Config,
    /// What the run is about; told in its first event.
    pub about: RunStarted,
    /// How images are made.
    pub options: ImageOptions,
    /// The values of secrets that it was given.
    pub secrets: &'a GivenSecrets,
    /// What it may touch.
    pub bounds: Bounds,
    /// The world.
    pub world: World<'a>,
    /// Who hears of everything.
    pub events: &'a Events,
    /// Who tells the pull request.
    pub reporter: &'a Reporter<'a>,
    /// The wish to stop.
    pub cancel: &'a Cancel,
    /// What the run brings along to get the lease.
    pub terms: &'a Terms,
    /// The time of day, RFC 3339 in UTC, for records that people read.
    pub time: &'a dyn Fn() -> String,
    /// The time since some moment, that of a machine that sleeps included: the lease goes by it.
    pub clock: &'a dyn Fn() -> Duration,
    /// How long a host may take to come online, and to answer, at most.
    pub host_timeout: Duration,
    /// The calls made so far, by name.
    pub calls: &'a dyn Fn() -> BTreeMap<String, u64>,
}

impl Runner<'_> {
    /// Ends a run that cannot go on: what was under way is told as broken off, and the stream of events gets its end.
    pub async fn break_off(&self, failure: Failure) -> Exit {
        let progress = self.reporter.progress();
        if progress.run.is_none() {
            self.start();
        }
        for (step, how_far) in progress.steps {
            if how_far == StepProgress::Started {
                let action = progress.plan.iter().flat_map(|plan| &plan.steps).find(|planned| planned.id == step);
                let left = action.map(|step| words::action(&step.action)).into_iter().collect();
                let outcome =
                    Outcome::Failed { failure: failure.clone(), leftovers: Leftovers::Unknown(left), restored: None };
                self.events.emit(EventKind::StepFinished { step, outcome, took_ms: 0 });
            }
        }
        self.finish(Ending::from(failure)).await
    }

    fn start(&self) {
        self.events.emit(EventKind::RunStarted(self.about.clone()));
    }

    async fn finish(&self, ending: Ending) -> Exit {
        let Ending { exit, summary, failure, leftovers, .. } = ending;
        let failure = failure.map(|failure| self.with_region(failure));
        let finished = |calls| RunFinished {
            exit,
            summary: summary.clone(),
            failure: failure.clone(),
            leftovers: leftovers.clone(),
            took_ms: self.events.elapsed_ms(),
            calls,
        };
        let ended = EventKind::RunFinished(finished((self.calls)()));
        if self.cancel.within(cancel::TELL, Box::pin(self.reporter.conclude(self.events, &ended))).await.is_none() {
            let late = Failure::new(Exit::Serves, "the comment may not say how the run ended: there was no time left");
            self.events
                .warn(late.hint("the run was cancelled, and a runner waits no longer; this log says everything"));
        }
        self.events.emit(EventKind::RunFinished(finished((self.calls)())));
        exit
    }

    /// The commands that hints name want to know which region is meant where the file has several.
    fn with_region(&self, failure: Failure) -> Failure {
        let names_one = |hint: &String| hint.contains("`skipper ");
        if self.config.regions.len() < 2 || !failure.hints.iter().any(names_one) {
            return failure;
        }
        failure.hint(format!("the file has several regions: such a command wants `--region {}`", self.about.region))
    }

    /// For work that changes nothing on hosts.
    async fn unless_cancelled<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let cancelled = || Failure::new(Exit::Cancelled, "cancelled before anything was deployed");
        self.cancel.within(Duration::ZERO, work).await.ok_or_else(cancelled)?
    }

    async fn check_account(&self) -> Result<(), Failure> {
        let account = self
            .world
            .compute
            .account()
            .await
            .map_err(|error| error.failure.during("find out whose AWS credentials these are"))?;
        expect_account(self.config, &account)
    }

    /// What the file and the images ask for, within the bounds of this run.
    fn desired(&self, release: &Release) -> Desired {
        let desired = Desired::new(self.config, self.scope().environment.clone(), release);
        let Bounds { allow_terminate, allow_data_loss, prune_rules, hosts_only, .. } = self.bounds;
        Desired { allow_terminate, allow_data_loss, prune_rules, hosts_only, ..desired }
    }

    /// The file with the services that this run deploys.
    fn in_bounds(&self) -> Cow<'_, Config> {
        if self.bounds.hosts_only {
            return Cow::Owned(Config { services: BTreeMap::new(), ..self.config.clone() });
        }
        if self.bounds.services.is_empty() {
            return Cow::Borrowed(self.config);
        }
        let mut config = self.config.clone();
        config.services.retain(|service, _| self.bounds.services.contains(service));
        Cow::Owned(config)
    }

    fn scope(&self) -> &Scope {
        &self.about.scope
    }

    fn eyes(&self) -> Eyes<'_> {
        let World { compute, remote, store, orchestrator, .. } = self.world;
        Eyes {
            compute,
            remote,
            store,
            orchestrator,
            events: self.events,
            after_another: false,
            host_timeout: self.host_timeout,
        }
    }

    fn tell_state(&self, observed: &Observed, known: &[Release], moment: Moment) -> StateTable {
        let state = state::table(self.config, observed, known);
        self.events.emit(EventKind::Observed { state: state.clone(), moment });
        state
    }

    fn tell_plan(&self, desired: &Desired, observed: &Observed, moment: Moment) -> Plan {
        let plan = plan(desired, observed, self.world.orchestrator);
        self.events.emit(EventKind::Planned { plan: plan.clone(), moment });
        plan
    }

    async fn past(&self) -> Result<Past, Failure> {
        let (store, hosts_of) = (self.world.store, self.hosts_of());
        let what = "read the records of the environment";
        self.eyes().ask(what, async || read_past(store, self.scope(), &hosts_of).await).await
    }
}

/// Refuses credentials of another account than the file names.
///
/// # Errors
/// [`Exit::Refused`], when they are.
pub fn expect_account(config: &Config, account: &str) -> Result<(), Failure> {
    match &config.account {
        Some(wanted) if wanted != account => {
            let what = format!("the AWS credentials belong to account `{account}`, and skipper.yml says `{wanted}`");
            let failure = Failure::new(Exit::Refused, what);
            Err(failure.hint("use credentials of the account that `account` names, or change `account`"))
        }
        _ => Ok(()),
    }
}

/// The releases whose images can be recognised: this one, then those that served, the newest first.
fn known(release: &Release, past: &Past) -> Vec<Release> {
    std::iter::once(release).chain(past.records.served()).cloned().collect()
}
