//! `ship`: images, plan, lease, execution, proof.

use std::{ops::ControlFlow, time::Duration};

use skipper_core::{
    desired::{Desired, Scope},
    event::{EventKind, Moment, RunStarted, StateTable},
    exit::Exit,
    failure::Failure,
    image::Revision,
    lease::{Chain, Holder},
    observed::Observed,
    plan::{Plan, plan},
    record::{Ended, Record},
    release::Release,
};

use tokio::time::{Instant, sleep};

use super::{
    Runner,
    ending::{Ending, blocked, serving},
    expected::Expected,
    known,
};
use crate::{
    cancel,
    execute::{Hands, execute},
    images,
    lease::{Acquiring, Guarded, Lease},
    observe::Eyes,
    records::{Past, write_record},
    secrets,
};

/// Parts that a plan comes in, at most: each finishes what the one before has brought to light.
const MOST_PARTS: u32 = 4;
/// How long hosts that were cut off from etcd may take to register again, and between two looks at them.
const SETTLES: Duration = Duration::from_secs(2 * 60);
const SETTLE_POLL: Duration = Duration::from_secs(3);

/// What is to be rolled out, and from where.
struct Rollout {
    release: Release,
    desired: Desired,
    observed: Observed,
    before: StateTable,
    plan: Plan,
    past: Past,
}

impl Runner<'_> {
    /// Brings up the hosts, and changes nothing of what runs: for a run whose bounds are hosts only.
    pub async fn bring_up(&self) -> Exit {
        self.ship(&Revision::none()).await
    }

    /// Ships a commit: images, plan, execution, proof.
    pub async fn ship(&self, revision: &Revision) -> Exit {
        self.start();
        let work = async {
            // Before anything is told: the comment that shows the plan is the one that will tell of this run.
            let expected = self.unless_cancelled(self.expected(revision)).await?;
            self.reporter.alongside(self.events, self.cancel, self.try_ship(revision, expected.as_ref())).await
        };
        let ending = work.await.unwrap_or_else(Ending::from);
        self.finish(ending).await
    }

    async fn try_ship(&self, revision: &Revision, expected: Option<&Expected>) -> Result<Ending, Failure> {
        let (release, observed, past) = self.unless_cancelled(Box::pin(self.prepare(revision))).await?;
        let desired = self.desired(&release);
        let release = self.completed(release, &desired, &past);
        let known = known(&release, &past);
        let before = self.tell_state(&observed, &known, Moment::Before);
        let plan = self.tell_plan(&desired, &observed, Moment::Before);
        // Where another run is at work, what blocks this one may be its doing: it is planned anew under the lease.
        if !plan.blocked.is_empty() && !past.may_pass(&observed) {
            return Err(blocked(&plan));
        }
        if plan.is_empty() && (self.bounds.hosts_only || known.get(1) == Some(&release)) {
            return Ok(self.nothing_to_do(&plan, &before));
        }
        // The same holds for what has moved since the plan was shown.
        if !past.may_pass(&observed) {
            self.refuse_if_moved(&plan, expected)?;
        }
        let lease = self.acquire(&past.chain).await?;
        let rollout = Rollout { release, desired, observed, before, plan, past };
        let ending = lease.hold(self.events, self.cancel, Box::pin(self.roll_out(&lease, rollout, expected))).await;
        lease.release(self.events, self.cancel).await;
        ending
    }

    /// Makes the images ready and observes, side by side: observing does not depend on the images, and building takes longest.
    async fn prepare(&self, revision: &Revision) -> Result<(Release, Observed, Past), Failure> {
        // Where both fail, it is the account that is told: wrong credentials explain the rest.
        let (account, past) = futures::join!(self.check_account(), self.past());
        account?;
        let past = past?;
        if !self.bounds.hosts_only {
            self.refuse_if_superseded(revision, &past).await?;
        }
        let (config, eyes) = (self.in_bounds(), self.eyes());
        // Before anything is built: a build takes long, and without its secrets it would be for nothing.
        let secrets = secrets::keep(&config, self.scope(), self.secrets, &past.records, &eyes).await?;
        let release = images::release(&config, revision, &self.options, self.world.images, self.events);
        // The chain of leases has been read before the world is: whoever takes the lease in between is seen to have taken it.
        let (release, observed) = futures::join!(release, eyes.observe(self.config, self.scope()));
        let (release, observed) = (release?, observed?);
        let release = Release { secrets, ..release };
        let past = past.above(observed.fence());
        Ok((release, observed, past))
    }

    pub(super) async fn acquire(&self, chain: &Chain) -> Result<Lease<'_>, Failure> {
        self.acquiring(self.scope().clone(), self.terms.wait).acquire(chain.clone()).await
    }

    pub(super) fn acquiring(&self, scope: Scope, wait: Option<Duration>) -> Acquiring<'_> {
        Acquiring {
            store: self.world.store,
            of_hosts: scope != *self.scope(),
            scope,
            terms: self.terms,
            wait,
            holder: self.holder((self.time)()),
            events: self.events,
            clock: self.clock,
            cancel: self.cancel,
        }
    }

    fn holder(&self, since: String) -> Holder {
        let RunStarted { command, revision, run_url, .. } = self.about.clone();
        Holder { who: self.terms.who.clone(), command, revision, run_url, since }
    }

    /// Carries the plan out under the lease, and under that of the hosts where they are shared and the plan changes them.
    async fn roll_out(
        &self,
        lease: &Lease<'_>,
        mut rollout: Rollout,
        expected: Option<&Expected>,
    ) -> Result<Ending, Failure> {
        let guarded = self.guarded(lease, None);
        if !lease.follows(&rollout.past.chain) {
            // Another run was at work after the world was observed, or may have something on its way to a host still.
            rollout = self.start_over(&guarded, rollout).await?;
        }
        let needed = self.needs_hosts(&rollout.plan, &rollout.observed, &rollout.past);
        if let Some(chain) = self.unless_cancelled(needed).await? {
            let hosts = self.acquire_hosts(chain).await?;
            let work = async {
                // They were observed without it, and another preview may have changed them.
                let guarded = self.guarded(lease, Some(&hosts));
                let rollout = self.start_over(&guarded, rollout).await?;
                if !rollout.plan.changes_hosts() {
                    return Ok(ControlFlow::Continue(rollout));
                }
                self.carry_out(&guarded, rollout, expected).await.map(ControlFlow::Break)
            };
            let reached = hosts.hold(self.events, self.cancel, Box::pin(work)).await;
            hosts.release(self.events, self.cancel).await;
            match reached? {
                ControlFlow::Break(ending) => return Ok(ending),
                // Others need not wait for what this one deploys.
                ControlFlow::Continue(planned) => rollout = planned,
            }
        }
        self.carry_out(&guarded, rollout, expected).await
    }

    /// Carries the plan out, its first part before the rest is planned, and leaves a record of it.
    async fn carry_out(
        &self,
        guarded: &Guarded<'_>,
        mut rollout: Rollout,
        expected: Option<&Expected>,
    ) -> Result<Ending, Failure> {
        for part in 1.. {
            if !rollout.plan.blocked.is_empty() {
                return Err(blocked(&rollout.plan));
            }
            self.refuse_if_moved(&rollout.plan, expected)?;
            if !rollout.plan.partial || part > MOST_PARTS {
                break;
            }
            let Rollout { desired, observed, plan, .. } = &rollout;
            let execution = Box::pin(execute(plan, desired, observed, self.hands(guarded))).await;
            if execution.failure.is_some() || execution.cancelled {
                let Rollout { release, desired, before, past, .. } = rollout;
                return Ok(Box::pin(self.judge(&desired, &release, &past, before, execution, None)).await);
            }
            rollout = self.unless_cancelled(Box::pin(self.look_anew(guarded, rollout))).await?;
        }
        let lease = guarded.lease;
        let Rollout { release, desired, observed, before, plan, past } = rollout;
        let holder = self.holder((self.time)());
        let mut record = Record { holder, release, services: self.bounds.services.clone(), ended: None };
        let outdated = past.records.outdated();
        let write = async |record: &Record, outdated: &[u64]| {
            // Hosts alone are no release.
            if self.bounds.hosts_only {
                return;
            }
            let written = write_record(guarded, self.scope(), lease.number(), record, outdated);
            let late = || Err(Failure::new(Exit::Cancelled, "the run was cancelled, and there was no time left"));
            if let Err(failure) = self.cancel.within(cancel::RECORD, written).await.unwrap_or_else(late) {
                self.events
                    .warn(failure.during("keep a record of this rollout; `releases` and `ps` will not know of it"));
            }
        };
        let ending = if plan.steps.is_empty() {
            self.nothing_to_do(&plan, &before)
        } else {
            // That it began is kept beside the first steps, so that a run that is killed leaves a trace.
            let (execution, ()) =
                futures::join!(Box::pin(execute(&plan, &desired, &observed, self.hands(guarded))), write(&record, &[]));
            // Of a run that was stalled for long, it may be the other one's doing that a step failed.
            let taken = match &execution.failure {
                Some(_) => self.cancel.within(cancel::LOOK, guarded.taken()).await.flatten(),
                None => None,
            };
            Box::pin(self.judge(&desired, &record.release, &past, before, execution, taken)).await
        };
        let (serves, replicas) = (ending.serves.is_some(), ending.serves.clone().unwrap_or_default());
        record.ended = Some(Ended { at: (self.time)(), exit: ending.exit, serves, replicas });
        write(&record, &outdated).await;
        Ok(ending)
    }

    /// Looks until every host answers, for a while, or there is something to be finished first: what has been cut off from etcd
    /// registers anew.
    async fn settle(&self, desired: &Desired, observed: Observed) -> Result<Observed, Failure> {
        let until = Instant::now() + SETTLES;
        let mut observed = observed;
        let is_waited_for = |observed: &Observed| {
            !observed.gaps.is_empty() && !plan(desired, observed, self.world.orchestrator).partial
        };
        while is_waited_for(&observed) && Instant::now() < until {
            sleep(SETTLE_POLL).await;
            observed = self.eyes().observe(self.config, self.scope()).await?;
        }
        Ok(observed)
    }

    /// Observes and plans anew, and raises the fence of the environment on every host on the way.
    async fn start_over(&self, guarded: &Guarded<'_>, rollout: Rollout) -> Result<Rollout, Failure> {
        let rollout = self.unless_cancelled(Box::pin(self.look_anew(guarded, rollout))).await?;
        if !self.bounds.hosts_only {
            self.refuse_if_superseded(&rollout.release.revision, &rollout.past).await?;
        }
        Ok(rollout)
    }

    async fn look_anew(&self, guarded: &Guarded<'_>, rollout: Rollout) -> Result<Rollout, Failure> {
        let Rollout { release, desired, plan, .. } = rollout;
        let eyes = Eyes { remote: guarded, after_another: true, ..self.eyes() };
        // In this order: whoever removes shared hosts in between is seen to have done so.
        let past = self.past().await?;
        let mut observed = eyes.observe(self.config, self.scope()).await?;
        if plan.partial {
            observed = self.settle(&desired, observed).await?;
        }
        let release = self.completed(release, &desired, &past);
        let before = self.tell_state(&observed, &known(&release, &past), Moment::Before);
        let plan = self.tell_plan(&desired, &observed, Moment::Before);
        Ok(Rollout { release, desired, observed, before, plan, past })
    }

    /// Whatever a rollout changes goes through the guard.
    pub(super) fn hands<'b>(&'b self, guarded: &'b Guarded<'_>) -> Hands<'b> {
        Hands {
            compute: guarded,
            remote: guarded,
            lease: guarded.lease.number(),
            images: self.world.images,
            store: guarded,
            orchestrator: self.world.orchestrator,
            events: self.events,
            cancel: self.cancel,
            host_timeout: self.host_timeout,
        }
    }

    /// The release with what is not deployed now: that runs on as it was last recorded, and belongs to it. Hosts alone are no release.
    fn completed(&self, release: Release, desired: &Desired, past: &Past) -> Release {
        let mut release = release;
        release.images.retain(|service, _| !desired.left_alone.contains(service));
        release.secrets.retain(|service, _| !desired.left_alone.contains(service));
        match past.records.served().next().filter(|_| !self.bounds.hosts_only) {
            Some(earlier) => release.completed_from(earlier, &desired.left_alone),
            None => release,
        }
    }

    /// Nothing is done, so what was observed before is what there is.
    fn nothing_to_do(&self, plan: &Plan, state: &StateTable) -> Ending {
        self.events.emit(EventKind::Planned { plan: plan.clone(), moment: Moment::After });
        let summary = match self.bounds.hosts_only {
            true => "nothing to do: every host is up",
            false => "nothing to do: the release serves on every host",
        };
        Ending { serves: Some(serving(state)), ..Ending::good(summary) }
    }
}
