//! Gets the lease, keeps it while a rollout goes on, and gives it back; who may do so is decided in `skipper_core::lease`.

mod guard;

use std::{
    cell::{Cell, RefCell},
    pin::pin,
    time::Duration,
};

use futures::future::{Either, select};
use skipper_core::{
    desired::Scope,
    event::EventKind,
    exit::Exit,
    failure::Failure,
    lease::{Chain, Claim, Entry, Holder, Look, Lost, State, Tenure, Timing},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

pub use self::guard::Guarded;
use crate::{
    cancel::{self, Cancel},
    events::Events,
    observe::scope_path,
    ports::{PortError, PortErrorKind, PortResult, Store},
    retry::retry,
};

/// Creates in a row that the list may fail to show.
const CREATES: u32 = 10;

/// What a run brings along to get the lease.
#[derive(Clone, Debug)]
pub struct Terms {
    /// A person's or a bot's name, for those who find the lease held.
    pub who: String,
    /// Random, unlike that of any other run.
    pub nonce: String,
    /// The pace, which all runs of an environment share.
    pub timing: Timing,
    /// How long to wait for a holder that lives; not at all when absent.
    pub wait: Option<Duration>,
}

/// Where the leases of an environment stand.
pub fn lease_path(scope: &Scope) -> String {
    format!("{}/lease", scope_path(scope))
}

/// Reads the chain of leases.
///
/// # Errors
/// As the store answers.
pub async fn read_chain(store: &dyn Store, scope: &Scope) -> PortResult<Chain> {
    let values = store.read(&lease_path(scope)).await?;
    Ok(Chain::read(&values))
}

/// Getting the lease.
pub struct Acquiring<'a> {
    /// Where leases stand.
    pub store: &'a dyn Store,
    /// Whose lease it is.
    pub scope: &'a Scope,
    /// What the run brings along.
    pub terms: &'a Terms,
    /// Who the run is, for others.
    pub holder: Holder,
    /// Where waiting is told.
    pub events: &'a Events,
    /// The wish to stop, which ends the waiting.
    pub cancel: &'a Cancel,
}

impl<'a> Acquiring<'a> {
    /// Waits as long as the terms say and gets the lease. `chain` is the chain as it was read before.
    ///
    /// # Errors
    /// [`Exit::Held`] when somebody else holds it, [`Exit::Cancelled`] when a stop was asked for meanwhile, and as the store answers.
    pub async fn acquire(self, chain: Chain) -> Result<Lease<'a>, Failure> {
        let clock = Instant::now();
        let Terms { nonce, timing, wait, .. } = self.terms;
        let mut claim = Claim::new(self.holder.clone(), nonce.clone());
        let mut over = None;
        let mut told = None;
        let (mut asked, mut chain) = (Duration::ZERO, chain);
        let mut grace = Duration::ZERO;
        let mut creates = 0;
        loop {
            match claim.look(&chain, timing, asked, clock.elapsed()) {
                Look::Mine(tenure) => {
                    self.events.emit(EventKind::LeaseAcquired { number: tenure.number(), over });
                    return Ok(Lease::new(self.store, self.scope, clock, tenure, *timing, chain));
                }
                Look::Create { number, entry, over: former } => {
                    over = former;
                    creates += 1;
                    if creates > CREATES {
                        let failure = Failure::new(
                            Exit::Blocked,
                            format!("lease {number} was created, and the list of leases does not show it"),
                        );
                        return Err(failure.hint("Parameter Store's lists lag behind; run again"));
                    }
                    // From here on the lease may be this run's: it is better given back than left to free itself.
                    grace = cancel::CLAIM;
                    self.unless_cancelled(grace, self.create(number, &entry, *timing)).await??;
                }
                Look::Held { number, holder, alive } => {
                    creates = 0;
                    if told != Some(number) {
                        told = Some(number);
                        self.events.emit(EventKind::LeaseAwaited { number, holder: holder.clone() });
                    }
                    if alive && clock.elapsed() >= wait.unwrap_or_default() {
                        return Err(held(number, &holder, wait.is_some()));
                    }
                    self.unless_cancelled(Duration::ZERO, sleep(timing.beat / 15)).await?;
                }
            }
            asked = clock.elapsed();
            chain = self.unless_cancelled(grace, self.list()).await??;
            grace = Duration::ZERO;
        }
    }

    /// Whether it worked is told by the next look alone: a reply may be lost, and a lease that was created may have been cleaned away.
    async fn create(&self, number: u64, entry: &Entry, timing: Timing) -> Result<(), Failure> {
        let path = format!("{}/{number}", lease_path(self.scope));
        let text = write_entry(entry)?;
        let created = retry(
            async || within(timing.call, self.store.create(&path, &text)).await,
            |attempt, pause, error| self.tell_retry("take the lease", attempt, pause, error),
        );
        created.await.map(drop).map_err(|error| error.failure.during("take the lease"))
    }

    async fn list(&self) -> Result<Chain, Failure> {
        let what = "read who holds the lease";
        retry(
            async || read_chain(self.store, self.scope).await,
            |attempt, pause, error| self.tell_retry(what, attempt, pause, error),
        )
        .await
        .map_err(|error| error.failure.during(what))
    }

    fn tell_retry(&self, what: &str, attempt: u32, pause: Duration, error: &PortError) {
        let failure = error.failure.clone();
        self.events.warn(failure.during(format!("{what} (try {attempt}, again in {} s)", pause.as_secs())));
    }

    async fn unless_cancelled<T>(&self, grace: Duration, work: impl Future<Output = T>) -> Result<T, Failure> {
        let cancelled = || Failure::new(Exit::Cancelled, "cancelled while waiting for the lease");
        self.cancel.within(grace, work).await.ok_or_else(cancelled)
    }
}

fn held(number: u64, holder: &Holder, waited: bool) -> Failure {
    let failure = Failure::new(Exit::Held, format!("lease {number} is held by {holder}"));
    let failure = if waited { failure.because("it was waited for as long as `--wait` says") } else { failure };
    failure.hint("wait for it with `--wait`; a run that has died loses its lease by itself within a minute or so").hint(
        "`skipper lease` shows who holds it, and `skipper lease --break` takes it from a run that you know to be gone",
    )
}

fn write_entry(entry: &Entry) -> Result<String, Failure> {
    serde_json::to_string(entry).map_err(|error| Failure::failed_to(Exit::Defect, "write a lease").because_of(&error))
}

/// A call that nobody waits for any longer may still take effect.
async fn within<T>(limit: Duration, call: impl Future<Output = PortResult<T>>) -> PortResult<T> {
    timeout(limit, call).await.unwrap_or_else(|_| {
        let why = format!("no answer came within {:.1} s", limit.as_secs_f64());
        Err(PortError::new(PortErrorKind::Unclear, why))
    })
}

/// The lease, held by this run.
pub struct Lease<'a> {
    store: &'a dyn Store,
    path: String,
    clock: Instant,
    timing: Timing,
    tenure: RefCell<Tenure>,
    outdated: Vec<String>,
    /// Whether a call of this run may still be on its way to a host.
    unsure: Cell<bool>,
    /// Whether a beat is under way, and whether it is to be the last.
    beating: Cell<bool>,
    over: Cell<bool>,
    end: Notify,
}

impl<'a> Lease<'a> {
    fn new(store: &'a dyn Store, scope: &Scope, clock: Instant, tenure: Tenure, timing: Timing, chain: Chain) -> Self {
        let path = lease_path(scope);
        Self {
            store,
            clock,
            timing,
            tenure: RefCell::new(tenure),
            outdated: chain.outdated().into_iter().map(|number| format!("{path}/{number}")).collect(),
            path,
            unsure: Cell::new(false),
            beating: Cell::new(false),
            over: Cell::new(false),
            end: Notify::new(),
        }
    }

    /// Its number, which is the fence.
    pub fn number(&self) -> u64 {
        self.tenure.borrow().number()
    }

    /// Whether it follows that chain directly, so that nobody can have changed anything since the chain was read.
    pub fn follows(&self, chain: &Chain) -> bool {
        chain.is_settled() && chain.next() == self.number()
    }

    /// Does the work, and beats beside it.
    pub async fn hold<T>(&self, events: &Events, cancel: &Cancel, work: impl Future<Output = T>) -> T {
        match select(pin!(work), pin!(self.keep(events))).await {
            Either::Left((value, keeping)) => {
                self.over.set(true);
                // A beat that lands after the lease was given back would look like a holder that lives.
                if self.beating.get() && cancel.within(cancel::RECORD, keeping).await.is_none() {
                    self.unsure.set(true);
                }
                value
            }
            Either::Right(((), work)) => work.await,
        }
    }

    /// Beats until the work is over or the lease is lost.
    async fn keep(&self, events: &Events) {
        let mut pause = self.timing.beat;
        loop {
            select(pin!(sleep(pause)), pin!(self.end.notified())).await;
            if self.over.get() {
                return;
            }
            self.beating.set(true);
            let beaten = self.beat().await;
            self.beating.set(false);
            let lost = self.tenure.borrow().lost().cloned();
            if let Some(lost) = lost {
                events.warn(self.lost(&lost));
                return;
            }
            pause = match beaten {
                Ok(()) => self.timing.beat,
                Err(error) => {
                    events.warn(error.failure.during("show that this run still holds the lease"));
                    self.timing.beat / 5
                }
            };
            if self.over.get() {
                return;
            }
        }
    }

    async fn beat(&self) -> PortResult<()> {
        let sent = self.clock.elapsed();
        let (number, entry) = {
            let mut tenure = self.tenure.borrow_mut();
            (tenure.number(), tenure.beat())
        };
        let text = write_entry(&entry).map_err(|failure| PortError { kind: PortErrorKind::Other, failure })?;
        let limit = self.timing.beat / 3;
        let path = format!("{}/{number}", self.path);
        let (written, read) =
            futures::join!(within(limit, self.store.write(&path, &text)), within(limit, self.store.read(&self.path)),);
        let mut tenure = self.tenure.borrow_mut();
        if let Ok(values) = &read {
            tenure.look(&Chain::read(values));
        }
        if written.is_ok() {
            tenure.acknowledged(sent, self.clock.elapsed());
        }
        written.and(read.map(drop))
    }

    /// Makes a call that changes something, if this run still may.
    ///
    /// # Errors
    /// When the lease is lost, when no answer comes in time, and as the call answers.
    pub async fn change<T>(&self, call: impl Future<Output = PortResult<T>>) -> PortResult<T> {
        self.permits()?;
        self.noting(within(self.timing.call, call)).await
    }

    fn permits(&self) -> PortResult<()> {
        let permitted = self.tenure.borrow_mut().permits(self.clock.elapsed());
        permitted.map_err(|lost| PortError { kind: PortErrorKind::Other, failure: self.lost(&lost) })
    }

    /// Notes whether the call may still be on its way when nobody waits for it any more.
    async fn noting<T>(&self, call: impl Future<Output = PortResult<T>>) -> PortResult<T> {
        let mut in_flight = InFlight { unsure: &self.unsure, settled: false };
        let result = call.await;
        in_flight.settled = !result.as_ref().is_err_and(|error| error.kind == PortErrorKind::Unclear);
        result
    }

    fn lost(&self, lost: &Lost) -> Failure {
        let failure =
            Failure::new(Exit::Held, format!("lease {} is lost, so this run changes nothing more", self.number()));
        let failure = match lost {
            Lost::Lapsed => failure
                .because(format!("for {} s no sign of life of this run was acknowledged", self.timing.valid.as_secs())),
            Lost::Taken { number, by } => failure.because(format!("lease {number} stands after it, of {by}")),
        };
        failure.hint("`skipper lease` shows who holds it now; run again to go on from what is there")
    }

    /// Who has the lease in place of this run, which may so far know only that it has lost it.
    pub async fn taken(&self) -> Option<Failure> {
        if let Ok(values) = within(self.timing.call, self.store.read(&self.path)).await {
            self.tenure.borrow_mut().look(&Chain::read(&values));
        }
        match self.tenure.borrow().lost() {
            Some(lost @ Lost::Taken { .. }) => Some(self.lost(lost)),
            _ => None,
        }
    }

    /// Gives it back. What goes wrong here is a warning: the lease frees itself.
    pub async fn release(self, events: &Events, cancel: &Cancel) {
        if self.tenure.borrow().lost().is_some() {
            return;
        }
        let entry = self.tenure.borrow().release(!self.unsure.get());
        let released = async {
            let text = write_entry(&entry)?;
            let path = format!("{}/{}", self.path, self.number());
            let limit = self.timing.beat / 5;
            within(limit, self.store.write(&path, &text)).await.map_err(|error| error.failure)
        };
        let cleaned = async {
            // Left over, they are removed by the next run.
            if !self.outdated.is_empty() {
                let _ = within(self.timing.beat / 5, self.store.remove(&self.outdated)).await;
            }
        };
        let late = || Failure::new(Exit::Cancelled, "the run was cancelled, and there was no time left");
        let given_back = async { futures::join!(released, cleaned).0 };
        if let Err(failure) = cancel.within(cancel::RELEASE, given_back).await.unwrap_or_else(|| Err(late())) {
            let seconds = self.timing.stale.as_secs();
            events.warn(failure.during(format!("give back the lease, which frees itself in {seconds} s")));
        }
    }
}

/// A call under way: dropped before its answer came, it may still take effect.
struct InFlight<'a> {
    unsure: &'a Cell<bool>,
    settled: bool,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.unsure.set(true);
        }
    }
}

/// Takes the lease away from whoever holds it. Returns who that was; nothing where nobody did.
///
/// The lease that is created in its place is given back at once, as one whose predecessor may still be at work: the next
/// run raises the fence on every host before it looks at them.
///
/// # Errors
/// As the store answers.
pub async fn break_lease(store: &dyn Store, scope: &Scope, by: Holder, nonce: &str) -> Result<Option<Holder>, Failure> {
    let during = |error: PortError| error.failure.during("break the lease");
    loop {
        let chain = read_chain(store, scope).await.map_err(during)?;
        let Some((_, entry)) = chain.held() else { return Ok(None) };
        let broken = Entry { holder: by.clone(), nonce: nonce.to_owned(), beat: 0, state: State::ReleasedUnsure };
        let path = format!("{}/{}", lease_path(scope), chain.next());
        if store.create(&path, &write_entry(&broken)?).await.map_err(during)? {
            return Ok(Some(entry.holder.clone()));
        }
    }
}
