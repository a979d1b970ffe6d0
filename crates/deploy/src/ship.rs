//! The runs as a whole: `ship`, `plan` and `ps`, each from its first event to its last.

use std::{collections::BTreeMap, pin::pin, time::Duration};

use futures::future::{Either, select};

use skipper_core::{
    config::Config,
    desired::{Desired, Scope},
    event::{EventKind, Moment, RunFinished, RunStarted, StateTable},
    exit::Exit,
    failure::Failure,
    image::Revision,
    observed::Observed,
    orchestrator::Orchestrator,
    plan::{Plan, plan},
    release::Release,
    state, verdict,
};

use crate::{
    cancel::Cancel,
    events::Events,
    execute::{Execution, Hands, execute},
    images::{self, ImageOptions},
    observe::{Eyes, scope_path},
    ports::{Compute, Images, Remote, Store},
    report::Reporter,
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
}

/// One run: what it is to do, and who hears of it.
pub struct Runner<'a> {
    /// What `skipper.yml` says.
    pub config: &'a Config,
    /// What the run is about; told in its first event.
    pub about: RunStarted,
    /// How images are made.
    pub options: ImageOptions,
    /// The world.
    pub world: World<'a>,
    /// Who hears of everything.
    pub events: &'a Events,
    /// Who tells the pull request.
    pub reporter: &'a Reporter<'a>,
    /// The wish to stop.
    pub cancel: &'a Cancel,
    /// How long a host may take to come online, and to answer, at most.
    pub host_timeout: Duration,
    /// The calls made so far, by name.
    pub calls: &'a dyn Fn() -> BTreeMap<String, u64>,
}

/// How a run ended, before it is told.
struct Ending {
    exit: Exit,
    summary: String,
    failure: Option<Failure>,
    leftovers: Vec<String>,
}

impl Ending {
    fn good(summary: impl Into<String>) -> Self {
        Self { exit: Exit::Serves, summary: summary.into(), failure: None, leftovers: Vec::new() }
    }
}

impl From<Failure> for Ending {
    fn from(failure: Failure) -> Self {
        let summary = match failure.exit {
            Exit::BuildFailed => "the build or push failed; nothing was deployed",
            Exit::Refused => "refused for want of credentials or permissions; nothing was deployed",
            Exit::Blocked => "blocked; what serves is unchanged",
            Exit::BadInput => "bad input; nothing was touched",
            Exit::Cancelled => "cancelled",
            _ => "failed",
        };
        Self { exit: failure.exit, summary: summary.to_owned(), failure: Some(failure), leftovers: Vec::new() }
    }
}

impl Runner<'_> {
    /// Ships a commit: images, plan, execution, proof.
    pub async fn ship(&self, revision: &Revision) -> Exit {
        self.start();
        let ending = self.try_ship(revision).await.unwrap_or_else(Ending::from);
        self.finish(ending).await
    }

    /// Shows what [`Runner::ship`] would do with the images the registry has, and changes nothing.
    pub async fn plan(&self, revision: &Revision) -> Exit {
        self.start();
        let ending = self.unless_cancelled(self.try_plan(revision)).await.unwrap_or_else(Ending::from);
        self.finish(ending).await
    }

    /// Shows what runs.
    pub async fn ps(&self) -> Exit {
        self.start();
        let ending = self.unless_cancelled(self.try_ps()).await.unwrap_or_else(Ending::from);
        self.finish(ending).await
    }

    fn start(&self) {
        self.events.emit(EventKind::RunStarted(self.about.clone()));
    }

    async fn finish(&self, ending: Ending) -> Exit {
        let Ending { exit, summary, failure, leftovers } = ending;
        let finished = |calls| RunFinished {
            exit,
            summary: summary.clone(),
            failure: failure.clone(),
            leftovers: leftovers.clone(),
            took_ms: self.events.elapsed_ms(),
            calls,
        };
        self.reporter.publish(self.events, Some(&EventKind::RunFinished(finished((self.calls)())))).await;
        self.events.emit(EventKind::RunFinished(finished((self.calls)())));
        exit
    }

    /// For work that changes nothing on hosts.
    async fn unless_cancelled<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        match select(pin!(work), pin!(self.cancel.cancelled())).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(Failure::new(Exit::Cancelled, "cancelled before anything was deployed")),
        }
    }

    async fn try_ship(&self, revision: &Revision) -> Result<Ending, Failure> {
        let scope = self.scope();
        let (release, observed, records) = self.unless_cancelled(self.prepare(revision)).await?;
        let known: Vec<Release> = std::iter::once(release.clone()).chain(records).collect();
        let desired = Desired::new(self.config, scope.environment.clone(), &release);
        let before = self.tell_state(&observed, &known, Moment::Before);
        let plan = self.tell_plan(&desired, &observed, Moment::Before);
        if !plan.blocked.is_empty() {
            return Err(blocked(&plan));
        }
        if !plan.steps.is_empty() {
            self.reporter.publish(self.events, None).await;
        }
        let execution = execute(&plan, &desired, &observed, self.hands()).await;
        self.judge(&desired, &plan, &known, before, execution).await
    }

    /// Makes the images ready and observes, side by side: observing does not depend on the images, and building takes longest.
    async fn prepare(&self, revision: &Revision) -> Result<(Release, Observed, Vec<Release>), Failure> {
        self.check_account().await?;
        let release = async {
            let release = images::release(self.config, revision, &self.options, self.world.images, self.events).await;
            self.reporter.publish(self.events, None).await;
            release
        };
        let eyes = self.eyes();
        let (release, observed, records) =
            futures::join!(release, eyes.observe(self.config, self.scope()), self.recorded());
        Ok((release?, observed?, records))
    }

    /// Observes again whatever happened, and lets that decide.
    async fn judge(
        &self,
        desired: &Desired,
        plan: &Plan,
        known: &[Release],
        before: StateTable,
        execution: Execution,
    ) -> Result<Ending, Failure> {
        let Execution { failure, cancelled: was_cancelled, touched_replicas, leftovers } = execution;
        if plan.steps.is_empty() {
            // Nothing was done, so what was observed before is what there is.
            self.events.emit(EventKind::Planned { plan: plan.clone(), moment: Moment::After });
            self.record(known).await;
            return Ok(Ending::good("nothing to do: the release serves on every host"));
        }
        let eyes = self.eyes();
        let after = eyes.observe(self.config, self.scope()).await;
        let state = after.as_ref().ok().map(|after| self.tell_state(after, known, Moment::After));
        let proof = after.as_ref().ok().map(|after| self.tell_plan(desired, after, Moment::After));
        let failure = match (failure, &proof, after) {
            (failure, Some(proof), _) if proof.is_empty() => {
                // What counts is what was observed: a step whose answer was lost may have done its work.
                if let Some(failure) = failure {
                    self.events.warn(failure.during("carry out a step, and nothing is left to do all the same"));
                }
                self.record(known).await;
                return Ok(Ending::good("deployed: the release serves on every host"));
            }
            (Some(failure), ..) => failure,
            (None, ..) if was_cancelled => return Ok(cancelled(leftovers)),
            (None, Some(proof), _) => not_converged(proof),
            (None, None, Err(failure)) => failure.during("observe what runs after the rollout"),
            (None, None, Ok(_)) => Failure::new(Exit::Defect, "the proof was not made"),
        };
        if proof.as_ref().is_some_and(verdict::only_tidying_is_left) {
            self.record(known).await;
            let exit = if failure.exit == Exit::Refused { Exit::Refused } else { Exit::Blocked };
            let summary =
                "the release serves on every host, and what it does not need could not be taken away".to_owned();
            return Ok(Ending { exit, summary, failure: Some(Failure { exit, ..failure }), leftovers });
        }
        if !touched_replicas {
            return Ok(Ending { leftovers, ..Ending::from(failure) });
        }
        let exit = verdict::after_failure(known.get(1), &before, state.as_ref());
        let (summary, failure) = match (exit, &state) {
            (Exit::Restored, _) => ("the release failed; the previous one serves everywhere again".to_owned(), failure),
            (_, Some(state)) => {
                let lines = verdict::what_runs(state);
                (
                    "the release failed, and no release serves everywhere".to_owned(),
                    lines.into_iter().fold(failure, Failure::because),
                )
            }
            (_, None) => ("the release failed, and what serves could not be observed".to_owned(), failure),
        };
        let failure = Failure { exit, ..failure };
        Ok(Ending { exit, summary, failure: Some(failure), leftovers })
    }

    async fn try_plan(&self, revision: &Revision) -> Result<Ending, Failure> {
        self.check_account().await?;
        let eyes = self.eyes();
        let resolved = images::resolve(self.config, revision, &self.options, self.world.images);
        let (resolved, observed, records) =
            futures::join!(resolved, eyes.observe(self.config, self.scope()), self.recorded());
        let ((release, missing), observed) = (resolved?, observed?);
        let known: Vec<Release> = std::iter::once(release.clone()).chain(records).collect();
        self.tell_state(&observed, &known, Moment::Before);
        for service in &missing {
            self.events.warn(
                Failure::new(
                    Exit::Serves,
                    format!("service `{service}` has no image for this commit, and its replicas are not in this plan"),
                )
                .hint("`skipper ship` builds it; what it does with the replicas depends on the image"),
            );
        }
        // Services without an image are neither planned for nor taken away.
        let mut observed = observed;
        for host in observed.hosts.values_mut().filter_map(|host| host.report.as_mut()) {
            host.replicas.retain(|replica| !missing.contains(&replica.replica.service));
        }
        let desired = Desired::new(self.config, self.scope().environment.clone(), &release);
        let plan = self.tell_plan(&desired, &observed, Moment::Before);
        if !plan.blocked.is_empty() {
            return Err(blocked(&plan));
        }
        Ok(Ending::good(format!("planned: {}", skipper_core::render::words::count(plan.steps.len(), "step"))))
    }

    async fn try_ps(&self) -> Result<Ending, Failure> {
        self.check_account().await?;
        let eyes = self.eyes();
        let (observed, records) = futures::join!(eyes.observe(self.config, self.scope()), self.recorded());
        let observed = observed?;
        let table = self.tell_state(&observed, &records, Moment::After);
        let serving = table.replicas.iter().filter(|row| row.wanted && row.serves()).count();
        let wanted = table.replicas.iter().filter(|row| row.wanted).count();
        Ok(Ending::good(format!("{serving} of {wanted} replicas serve")))
    }

    async fn check_account(&self) -> Result<(), Failure> {
        let account = self
            .world
            .compute
            .account()
            .await
            .map_err(|error| error.failure.during("find out whose AWS credentials these are"))?;
        match &self.config.account {
            Some(wanted) if *wanted != account => Err(Failure::new(
                Exit::Refused,
                format!("the AWS credentials belong to account `{account}`, and skipper.yml says `{wanted}`"),
            )
            .hint("use credentials of the account that `account` names, or change `account`")),
            _ => Ok(()),
        }
    }

    fn scope(&self) -> &Scope {
        &self.about.scope
    }

    fn eyes(&self) -> Eyes<'_> {
        let World { compute, remote, store, orchestrator, .. } = self.world;
        Eyes { compute, remote, store, orchestrator, events: self.events, host_timeout: self.host_timeout }
    }

    fn hands(&self) -> Hands<'_> {
        let World { compute, remote, store, orchestrator, .. } = self.world;
        Hands {
            compute,
            remote,
            store,
            orchestrator,
            events: self.events,
            cancel: self.cancel,
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

    /// The release that was last recorded as serving, by which `ps` recognises images. Not knowing it is no failure.
    async fn recorded(&self) -> Vec<Release> {
        let path = release_path(self.scope());
        let values =
            self.eyes().ask("read the record of the last release", async || self.world.store.read(&path).await).await;
        let values = values.unwrap_or_else(|failure| {
            self.events.warn(failure);
            BTreeMap::new()
        });
        values.values().filter_map(|value| serde_json::from_str(value).ok()).collect()
    }

    async fn record(&self, known: &[Release]) {
        let Some(release) = known.first() else { return };
        if known.get(1) == Some(release) {
            return;
        }
        let path = format!("{}/current", release_path(self.scope()));
        let written = match serde_json::to_string(release) {
            Ok(value) => self.world.store.write(&path, &value).await.map_err(|error| error.failure),
            Err(error) => Err(Failure::failed_to(Exit::Defect, "serialise the release").because_of(&error)),
        };
        if let Err(failure) = written {
            self.events.warn(failure.during("record the release; `ps` will not know its commit"));
        }
    }
}

fn release_path(scope: &Scope) -> String {
    format!("{}/release", scope_path(scope))
}

fn cancelled(leftovers: Vec<String>) -> Ending {
    let failure = Failure::new(Exit::Cancelled, "cancelled between two steps").hint("running again goes on from here");
    Ending { exit: Exit::Cancelled, summary: "cancelled".to_owned(), failure: Some(failure), leftovers }
}

/// The failure that a plan's blocked entries are.
fn blocked(plan: &Plan) -> Failure {
    let exit = if plan.blocked.iter().any(|blocked| blocked.refused) { Exit::Refused } else { Exit::Blocked };
    plan.blocked.iter().fold(Failure::new(exit, "the plan cannot be carried out"), |failure, blocked| {
        let failure = failure.because(format!("{}: {}", blocked.what, blocked.why));
        blocked.hint.iter().fold(failure, |failure, hint| failure.hint(hint.clone()))
    })
}

/// Every step succeeded, and yet something is left to do.
fn not_converged(proof: &Plan) -> Failure {
    let steps = proof.steps.iter().map(skipper_core::render::words::step);
    let blocked = proof.blocked.iter().map(|blocked| format!("{}: {}", blocked.what, blocked.why));
    steps
        .chain(blocked)
        .fold(
            Failure::new(
                Exit::Degraded,
                "every step succeeded, and what was observed afterwards is not what was asked for",
            ),
            Failure::because,
        )
        .hint("run again; if it stays so, something else changes these hosts")
}
