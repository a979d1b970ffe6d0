//! Getting the lease: looks, creates and waits, as a claim says.

use std::time::Duration;

use skipper_core::{
    config::show_duration,
    desired::Scope,
    event::EventKind,
    exit::Exit,
    failure::Failure,
    lease::{Chain, Claim, Entry, Holder, Look, Timing},
};
use tokio::time::sleep;

use super::{Lease, Terms, lease_path, read_chain, within, write_entry};
use crate::{
    cancel::{self, Cancel},
    events::Events,
    ports::{PortError, Store},
    retry::retry,
};

/// Creates in a row that the list may fail to show.
const CREATES: u32 = 10;

/// Getting the lease.
pub struct Acquiring<'a> {
    /// Where leases stand.
    pub store: &'a dyn Store,
    /// Whose lease it is.
    pub scope: Scope,
    /// Whether it is that of hosts which are shared.
    pub of_hosts: bool,
    /// What the run brings along.
    pub terms: &'a Terms,
    /// How long to wait for a holder that lives; not at all when absent.
    pub wait: Option<Duration>,
    /// Who the run is, for others.
    pub holder: Holder,
    /// Where waiting is told.
    pub events: &'a Events,
    /// The time since some moment, that of a machine that sleeps included.
    pub clock: &'a dyn Fn() -> Duration,
    /// The wish to stop, which ends the waiting.
    pub cancel: &'a Cancel,
}

impl<'a> Acquiring<'a> {
    /// Waits as long as is said and gets the lease. `chain` is the chain as it was read before.
    ///
    /// # Errors
    /// [`Exit::Held`] when somebody else holds it, [`Exit::Cancelled`] when a stop was asked for meanwhile, and as the store answers.
    pub async fn acquire(self, chain: Chain) -> Result<Lease<'a>, Failure> {
        let Terms { nonce, timing, .. } = self.terms;
        let (wait, of_hosts, used) = (self.wait, self.of_hosts, chain.used());
        let began = (self.clock)();
        let mut claim = Claim::new(self.holder.clone(), nonce.clone());
        let mut over = None;
        let mut told = None;
        let (mut asked, mut chain) = (began, chain);
        let mut grace = Duration::ZERO;
        let mut creates = 0;
        loop {
            match claim.look(&chain, timing, asked, (self.clock)()) {
                Look::Mine(tenure) => {
                    self.events.emit(EventKind::LeaseAcquired { number: tenure.number(), over, of_hosts });
                    return Ok(Lease::new(self.store, &self.scope, self.clock, tenure, *timing, chain));
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
                    if creates > 1 {
                        // The list lags, or another run was quicker.
                        self.unless_cancelled(grace, sleep(timing.beat / 15)).await?;
                    }
                    // From here on the lease may be this run's: it is better given back than left to free itself.
                    grace = cancel::CLAIM;
                    self.unless_cancelled(grace, self.create(number, &entry, *timing)).await??;
                }
                Look::Held { number, holder, alive } => {
                    creates = 0;
                    if told != Some(number) {
                        told = Some(number);
                        self.events.emit(EventKind::LeaseAwaited { number, holder: holder.clone(), of_hosts });
                    }
                    if alive && (self.clock)().saturating_sub(began) >= wait.unwrap_or_default() {
                        return Err(held(number, &holder, wait, of_hosts));
                    }
                    self.unless_cancelled(Duration::ZERO, sleep(timing.beat / 15)).await?;
                }
            }
            asked = (self.clock)();
            chain = self.unless_cancelled(grace, self.list()).await??.above(used);
            grace = Duration::ZERO;
        }
    }

    /// Whether it worked is told by the next look alone: a reply may be lost, and a lease that was created may have been cleaned away.
    async fn create(&self, number: u64, entry: &Entry, timing: Timing) -> Result<(), Failure> {
        let path = format!("{}/{number}", lease_path(&self.scope));
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
            async || read_chain(self.store, &self.scope).await,
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

fn held(number: u64, holder: &Holder, waited: Option<Duration>, of_hosts: bool) -> Failure {
    let failure = Failure::new(Exit::Held, format!("lease {number} is held by {holder}"));
    let failure = match waited {
        Some(waited) => failure
            .because(format!("after {} of waiting it is still held", show_duration(waited)))
            .hint("wait longer with `--wait` (input `wait`), or run again later"),
        None => failure.hint(
            "wait for it with `--wait` (input `wait`); a run that has died loses its lease by itself within a minute or so",
        ),
    };
    let command = if of_hosts { "skipper lease --environment preview" } else { "skipper lease" };
    failure.hint(format!(
        "`{command}` shows who holds it, and with `--break` takes it from a run that you know to be gone"
    ))
}
