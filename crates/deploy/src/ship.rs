//! The runs as a whole: `ship`, `plan` and `ps`, each from its first event to its last.

use std::{collections::BTreeMap, time::Duration};

use skipper_core::{
    config::Config,
    desired::{Desired, Scope},
    event::{EventKind, Leftovers, Moment, Outcome, RunFinished, RunStarted, StateTable},
    exit::Exit,
    failure::Failure,
    image::Revision,
    lease::Holder,
    observed::Observed,
    orchestrator::Orchestrator,
    plan::{Plan, plan},
    progress::StepProgress,
    record::{Ended, Record},
    release::Release,
    render::words,
    state, verdict,
};

use crate::{
    cancel::{self, Cancel},
    events::Events,
    execute::{Execution, Hands, execute},
    images::{self, ImageOptions},
    lease::{Acquiring, Guarded, Lease, Terms},
    observe::Eyes,
    ports::{Compute, Images, Remote, Store},
    records::{Past, read_past, write_record},
    report::Reporter,
};

/// Before looking again at a world that should be as it was asked for, and is not.
const PROOF_PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(4)];

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
    /// What the run brings along to get the lease.
    pub terms: &'a Terms,
    /// The time of day, RFC 3339 in UTC, for records that people read.
    pub time: &'a dyn Fn() -> String,
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
    /// Whether the release that was asked for serves everywhere.
    serves: bool,
}

impl Ending {
    fn good(summary: impl Into<String>) -> Self {
        Self { exit: Exit::Serves, summary: summary.into(), failure: None, leftovers: Vec::new(), serves: false }
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
            Exit::Held => "this run does not hold the lease; what serves is unchanged",
            Exit::Defect => "stopped by a defect in skipper; what was under way may be half done",
            _ => "failed",
        };
        Self {
            exit: failure.exit,
            summary: summary.to_owned(),
            failure: Some(failure),
            leftovers: Vec::new(),
            serves: false,
        }
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
        let finished = |calls| RunFinished {
            exit,
            summary: summary.clone(),
            failure: failure.clone(),
            leftovers: leftovers.clone(),
            took_ms: self.events.elapsed_ms(),
            calls,
        };
        let ended = EventKind::RunFinished(finished((self.calls)()));
        if self.cancel.within(cancel::TELL, self.reporter.publish(self.events, Some(&ended))).await.is_none() {
            let late = Failure::new(Exit::Serves, "the comment may not say how the run ended: there was no time left");
            self.events
                .warn(late.hint("the run was cancelled, and a runner waits no longer; this log says everything"));
        }
        self.events.emit(EventKind::RunFinished(finished((self.calls)())));
        exit
    }

    /// For work that changes nothing on hosts.
    async fn unless_cancelled<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let cancelled = || Failure::new(Exit::Cancelled, "cancelled before anything was deployed");
        self.cancel.within(Duration::ZERO, work).await.ok_or_else(cancelled)?
    }

    async fn try_ship(&self, revision: &Revision) -> Result<Ending, Failure> {
        let (release, observed, past) = self.unless_cancelled(self.prepare(revision)).await?;
        let desired = Desired::new(self.config, self.scope().environment.clone(), &release);
        let known = known(&release, &past);
        let before = self.tell_state(&observed, &known, Moment::Before);
        let plan = self.tell_plan(&desired, &observed, Moment::Before);
        if !plan.blocked.is_empty() {
            return Err(blocked(&plan));
        }
        if plan.steps.is_empty() && known.get(1) == Some(&release) {
            return Ok(self.nothing_to_do(&plan));
        }
        if !plan.steps.is_empty() {
            let publish = async {
                self.reporter.publish(self.events, None).await;
                Ok(())
            };
            self.unless_cancelled(publish).await?;
        }
        let lease = self.acquire(&past).await?;
        let rollout = Rollout { release, desired, observed, before, plan, past };
        let ending = lease.hold(self.events, self.cancel, self.roll_out(&lease, rollout)).await;
        lease.release(self.events, self.cancel).await;
        ending
    }

    /// Carries the plan out under the lease, and leaves a record of it.
    async fn roll_out(&self, lease: &Lease<'_>, mut rollout: Rollout) -> Result<Ending, Failure> {
        let World { compute, remote, store, .. } = self.world;
        let guarded = Guarded { lease, compute, remote, store };
        if !lease.follows(&rollout.past.chain) {
            // Another run was at work after the world was observed, or may have something on its way to a host still.
            rollout = self.unless_cancelled(self.start_over(&guarded, rollout)).await?;
            if !rollout.plan.blocked.is_empty() {
                return Err(blocked(&rollout.plan));
            }
        }
        let Rollout { release, desired, observed, before, plan, past } = rollout;
        let known = known(&release, &past);
        let holder = self.holder((self.time)());
        let mut record = Record { holder, release, ended: None };
        let outdated = past.records.outdated();
        let write = async |record: &Record, outdated: &[u64]| {
            let written = write_record(&guarded, self.scope(), lease.number(), record, outdated);
            let late = || Err(Failure::new(Exit::Cancelled, "the run was cancelled, and there was no time left"));
            if let Err(failure) = self.cancel.within(cancel::RECORD, written).await.unwrap_or_else(late) {
                self.events
                    .warn(failure.during("keep a record of this rollout; `releases` and `ps` will not know of it"));
            }
        };
        let ending = if plan.steps.is_empty() {
            self.nothing_to_do(&plan)
        } else {
            // That it began is kept beside the first steps, so that a run that is killed leaves a trace.
            let (execution, ()) =
                futures::join!(execute(&plan, &desired, &observed, self.hands(&guarded)), write(&record, &[]));
            self.judge(&desired, &known, before, execution).await
        };
        record.ended = Some(Ended { at: (self.time)(), exit: ending.exit, serves: ending.serves });
        write(&record, &outdated).await;
        Ok(ending)
    }

    /// Observes and plans anew, and raises the fence on every host on the way.
    async fn start_over(&self, guarded: &Guarded<'_>, rollout: Rollout) -> Result<Rollout, Failure> {
        let Rollout { release, desired, .. } = rollout;
        let eyes = Eyes { remote: guarded, after_another: true, ..self.eyes() };
        let (observed, past) = futures::try_join!(eyes.observe(self.config, self.scope()), self.past())?;
        let before = self.tell_state(&observed, &known(&release, &past), Moment::Before);
        let plan = self.tell_plan(&desired, &observed, Moment::Before);
        Ok(Rollout { release, desired, observed, before, plan, past })
    }

    async fn acquire(&self, past: &Past) -> Result<Lease<'_>, Failure> {
        let acquiring = Acquiring {
            store: self.world.store,
            scope: self.scope(),
            terms: self.terms,
            holder: self.holder((self.time)()),
            events: self.events,
            cancel: self.cancel,
        };
        acquiring.acquire(past.chain.clone()).await
    }

    fn holder(&self, since: String) -> Holder {
        let RunStarted { command, revision, run_url, .. } = self.about.clone();
        Holder { who: self.terms.who.clone(), command, revision, run_url, since }
    }

    /// Nothing is done, so what was observed before is what there is.
    fn nothing_to_do(&self, plan: &Plan) -> Ending {
        self.events.emit(EventKind::Planned { plan: plan.clone(), moment: Moment::After });
        Ending { serves: true, ..Ending::good("nothing to do: the release serves on every host") }
    }

    /// Makes the images ready and observes, side by side: observing does not depend on the images, and building takes longest.
    async fn prepare(&self, revision: &Revision) -> Result<(Release, Observed, Past), Failure> {
        // Where both fail, it is the account that is told: wrong credentials explain the rest.
        let (account, past) = futures::join!(self.check_account(), self.past());
        account?;
        let past = past?;
        let release = async {
            let release = images::release(self.config, revision, &self.options, self.world.images, self.events).await;
            self.reporter.publish(self.events, None).await;
            release
        };
        let eyes = self.eyes();
        // The chain of leases has been read before the world is: whoever takes the lease in between is seen to have taken it.
        let (release, observed) = futures::join!(release, eyes.observe(self.config, self.scope()));
        Ok((release?, observed?, past))
    }

    /// Observes again whatever happened, and lets that decide.
    async fn judge(&self, desired: &Desired, known: &[Release], before: StateTable, execution: Execution) -> Ending {
        let Execution { failure, cancelled: was_cancelled, touched_replicas, leftovers } = execution;
        let look = self.look_again(desired, failure.is_none() && !was_cancelled);
        let after = self.cancel.within(cancel::LOOK, look).await;
        // Nobody knows what serves: that the run was cancelled is all there is to say.
        let Some(after) = after else { return cancelled(leftovers, failure) };
        let state = after.as_ref().ok().map(|after| self.tell_state(after, known, Moment::After));
        let proof = after.as_ref().ok().map(|after| self.tell_plan(desired, after, Moment::After));
        let failure = match (failure, &proof, after) {
            (failure, Some(proof), _) if proof.is_empty() => {
                // What counts is what was observed: a step whose answer was lost may have done its work.
                if let Some(failure) = failure {
                    self.events.warn(failure.during("carry out a step, and nothing is left to do all the same"));
                }
                return Ending { serves: true, ..Ending::good("deployed: the release serves on every host") };
            }
            (Some(failure), ..) => failure,
            (None, ..) if was_cancelled => return cancelled(leftovers, None),
            (None, Some(proof), _) => not_converged(proof),
            (None, None, Err(failure)) => failure.during("observe what runs after the rollout"),
            (None, None, Ok(_)) => Failure::new(Exit::Defect, "the proof was not made"),
        };
        if proof.as_ref().is_some_and(verdict::only_tidying_is_left) {
            let exit = if failure.exit == Exit::Refused { Exit::Refused } else { Exit::Blocked };
            let summary =
                "the release serves on every host, and what it does not need could not be taken away".to_owned();
            return Ending { exit, summary, failure: Some(Failure { exit, ..failure }), leftovers, serves: true };
        }
        if !touched_replicas {
            return Ending { leftovers, ..Ending::from(failure) };
        }
        let exit = verdict::after_failure(known.get(1), &before, state.as_ref());
        let (summary, failure) = match (exit, &state) {
            (Exit::Restored, _) => ("the release failed; the previous one serves everywhere again".to_owned(), failure),
            (_, Some(state)) => {
                let lines = verdict::what_runs(state);
                let summary = match state.gaps.is_empty() {
                    true => "the release failed, and no release serves everywhere",
                    false => "the release could not be seen to serve everywhere",
                };
                (summary.to_owned(), lines.into_iter().fold(failure, Failure::because))
            }
            (_, None) => ("the release failed, and what serves could not be observed".to_owned(), failure),
        };
        let failure = Failure { exit, ..failure };
        Ending { exit, summary, failure: Some(failure), leftovers, serves: false }
    }

    /// Observes what there is now. Where every step succeeded and yet something seems to be left to do, it is looked at again:
    /// AWS's lists may lag behind what was changed, and one answer that was lost is no reason to call a release failed.
    async fn look_again(&self, desired: &Desired, all_done: bool) -> Result<Observed, Failure> {
        let mut pauses = PROOF_PAUSES.into_iter();
        loop {
            let seen = self.eyes().observe(self.config, self.scope()).await;
            let proven = seen.as_ref().is_ok_and(|seen| plan(desired, seen, self.world.orchestrator).is_empty());
            match pauses.next().filter(|_| all_done && seen.is_ok() && !proven) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return seen,
            }
        }
    }

    async fn try_plan(&self, revision: &Revision) -> Result<Ending, Failure> {
        self.check_account().await?;
        let eyes = self.eyes();
        let resolved = images::resolve(self.config, revision, &self.options, self.world.images);
        let (resolved, observed, past) =
            futures::join!(resolved, eyes.observe(self.config, self.scope()), self.past_if_known());
        let ((release, missing), observed) = (resolved?, observed?);
        self.tell_state(&observed, &known(&release, &past), Moment::Before);
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
        let (observed, past) = futures::join!(eyes.observe(self.config, self.scope()), self.past_if_known());
        let releases: Vec<Release> = past.records.served().cloned().collect();
        let table = self.tell_state(&observed?, &releases, Moment::After);
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

    /// Whatever a rollout changes goes through the guard.
    fn hands<'b>(&'b self, guarded: &'b Guarded<'_>) -> Hands<'b> {
        Hands {
            compute: guarded,
            remote: guarded,
            store: guarded,
            orchestrator: self.world.orchestrator,
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

    async fn past(&self) -> Result<Past, Failure> {
        let store = self.world.store;
        self.eyes().ask("read the records of the environment", async || read_past(store, self.scope()).await).await
    }

    /// The releases by which `ps` recognises images. Not knowing them is no failure where nothing is to be changed.
    async fn past_if_known(&self) -> Past {
        self.past().await.unwrap_or_else(|failure| {
            self.events.warn(failure);
            Past::default()
        })
    }
}

/// What is to be rolled out, and from where.
struct Rollout {
    release: Release,
    desired: Desired,
    observed: Observed,
    before: StateTable,
    plan: Plan,
    past: Past,
}

/// The releases whose images can be recognised: this one, then those that served, the newest first.
fn known(release: &Release, past: &Past) -> Vec<Release> {
    std::iter::once(release).chain(past.records.served()).cloned().collect()
}

/// A run that a wish to stop has ended while there was work left; `failed` is what had gone wrong before.
fn cancelled(leftovers: Vec<String>, failed: Option<Failure>) -> Ending {
    let when =
        if leftovers.is_empty() { "cancelled between two steps" } else { "cancelled while a step was under way" };
    let failure = Failure::new(Exit::Cancelled, when).hint("running again goes on from here");
    let failure = match failed {
        Some(failed) => failed.causes.into_iter().fold(failure.because(failed.message), Failure::because),
        None => failure,
    };
    Ending { exit: Exit::Cancelled, summary: "cancelled".to_owned(), failure: Some(failure), leftovers, serves: false }
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
