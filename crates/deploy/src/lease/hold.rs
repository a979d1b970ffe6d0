//! Holding the lease: beats beside the work, asks before each change, and gives it back.

use std::{
    cell::{Cell, RefCell},
    pin::pin,
    time::Duration,
};

use futures::future::{Either, select};
use skipper_core::{
    desired::Scope,
    exit::Exit,
    failure::Failure,
    lease::{Chain, Lost, Permit, Tenure, Timing},
};
use tokio::{sync::Notify, time::sleep};

use super::{lease_path, within, write_entry};
use crate::{
    cancel::{self, Cancel},
    events::Events,
    ports::{PortError, PortErrorKind, PortResult, Store},
};

/// The lease, held by this run.
pub struct Lease<'a> {
    store: &'a dyn Store,
    scope: Scope,
    path: String,
    clock: &'a dyn Fn() -> Duration,
    timing: Timing,
    tenure: RefCell<Tenure>,
    outdated: Vec<String>,
    /// The chain as it was when this one was acquired.
    chain: Chain,
    /// Whether a call of this run may still be on its way to a host.
    pub(super) unsure: Cell<bool>,
    /// Whether a beat is under way, and whether it is to be the last.
    beating: Cell<bool>,
    over: Cell<bool>,
    /// Given when a beat has ended, well or not.
    beaten: Notify,
}

impl<'a> Lease<'a> {
    pub(super) fn new(
        store: &'a dyn Store,
        scope: &Scope,
        clock: &'a dyn Fn() -> Duration,
        tenure: Tenure,
        timing: Timing,
        chain: Chain,
    ) -> Self {
        let path = lease_path(scope);
        Self {
            store,
            scope: scope.clone(),
            clock,
            timing,
            tenure: RefCell::new(tenure),
            outdated: chain.outdated().into_iter().map(|number| format!("{path}/{number}")).collect(),
            path,
            chain,
            unsure: Cell::new(false),
            beating: Cell::new(false),
            over: Cell::new(false),
            beaten: Notify::new(),
        }
    }

    /// Its number, which is the fence.
    pub fn number(&self) -> u64 {
        self.tenure.borrow().number()
    }

    /// Whose lease it is.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether it follows that chain directly, so that nobody can have changed anything since the chain was read.
    pub fn follows(&self, chain: &Chain) -> bool {
        chain.is_settled() && chain.next() == self.number() && chain.is_kept_by(&self.chain)
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
            sleep(pause).await;
            self.beating.set(true);
            let beaten = self.beat().await;
            self.beating.set(false);
            self.beaten.notify_waiters();
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
        let sent = (self.clock)();
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
        // Without having seen the chain, this run would not know of a lease that was broken.
        if written.is_ok() && read.is_ok() {
            tenure.acknowledged(sent, (self.clock)());
        }
        written.and(read.map(drop))
    }

    /// Makes a call that changes something, if this run still may.
    ///
    /// # Errors
    /// When the lease is lost, when no answer comes in time, and as the call answers.
    pub async fn change<T>(&self, call: impl Future<Output = PortResult<T>>) -> PortResult<T> {
        self.permits().await?;
        self.noting(within(self.timing.call, call)).await
    }

    /// Waits where the lease is still this run's and too short for a call: the next beat makes it longer, or it lapses.
    pub(super) async fn permits(&self) -> PortResult<()> {
        loop {
            let beaten = self.beaten.notified();
            let permit = self.tenure.borrow_mut().permits((self.clock)());
            match permit {
                Permit::Granted => return Ok(()),
                Permit::Later(left) => {
                    select(pin!(beaten), pin!(sleep(left + Duration::from_millis(1)))).await;
                }
                Permit::Lost(lost) => {
                    return Err(PortError { kind: PortErrorKind::Other, failure: self.lost(&lost) });
                }
            }
        }
    }

    /// Notes whether the call may still be on its way when nobody waits for it any more.
    pub(super) async fn noting<T>(&self, call: impl Future<Output = PortResult<T>>) -> PortResult<T> {
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

impl Lease<'_> {
    /// Gives it back and removes every lease up to it, since the environment that they are the leases of has ended. One that
    /// follows it is another run's.
    ///
    /// What goes wrong here is a warning: whoever sweeps finds what is left.
    pub async fn forget(self, events: &Events, cancel: &Cancel) {
        let (store, path, number, limit) = (self.store, self.path.clone(), self.number(), self.timing.beat / 5);
        self.release(events, cancel).await;
        let removed = async {
            let names = within(limit, store.read(&path)).await?.into_keys();
            let ended = names.filter(|name| name.parse().is_ok_and(|other: u64| other <= number));
            let paths: Vec<String> = ended.map(|name| format!("{path}/{name}")).collect();
            within(limit, store.remove(&paths)).await
        };
        if let Some(Err(error)) = cancel.within(cancel::RELEASE, removed).await {
            events.warn(error.failure.during("remove the records of its leases"));
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
