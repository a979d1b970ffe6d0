//! The lease: which run may change an environment, decided from a chain of records and from a clock that only this run reads.
//!
//! The chain is `lease/1`, `lease/2`, … in a store whose only atomic write is "create where nothing is". Whoever creates the
//! next number and finds it to be the highest holds the lease; the number is the *fence* by which hosts refuse the scripts of
//! an earlier holder. A holder *beats* to show that it lives. Three rules make two holders at once impossible:
//!
//! 1. a lease is valid for [`Timing::valid`] after its last acknowledged beat was *sent*, and once lapsed it is lost for good;
//! 2. it is taken over only when it was released, or when its beat has stood still for [`Timing::stale`], which is longer;
//! 3. a number that was once created is never the highest again, since only numbers far below the highest are cleaned away.
//!
//! `model.rs` checks them exhaustively for three runs with delays, lost replies and stalls.

mod chain;
mod claim;
#[cfg(test)]
mod model;
mod tenure;

use std::time::Duration;

pub use self::{
    chain::{Chain, Entry, Holder, State},
    claim::{Claim, Look},
    tenure::{Lost, Permit, Tenure},
};

/// How long everything about a lease takes. All runs of an environment must agree on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    /// Between two beats of a holder.
    pub beat: Duration,
    /// How long a lease is valid after its last acknowledged beat was sent.
    pub valid: Duration,
    /// How long a beat must have stood still, as somebody else reads it, before the lease may be taken over.
    pub stale: Duration,
    /// The most that one changing call may take; it starts only where it ends before the lease does.
    pub call: Duration,
}

impl Timing {
    /// A beat every 15 s, valid for 45 s, taken over after 60 s, and calls of at most 20 s.
    pub const STANDARD: Self = Self::of_beat(Duration::from_secs(15));

    /// The same proportions at another pace.
    pub const fn of_beat(beat: Duration) -> Self {
        Self {
            beat,
            valid: beat.saturating_mul(3),
            stale: beat.saturating_mul(4),
            call: Duration::from_millis(beat.as_millis() as u64 * 4 / 3),
        }
    }
}

/// Successful reads over which a beat must have stood still: one slow answer is no proof.
const READS: u32 = 3;

/// Leases that are kept, the highest among them. Parameter Store lists ten a page, so that one page shows the whole chain.
const KEPT: usize = 9;
