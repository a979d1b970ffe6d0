//! Gets the lease, keeps it while a rollout goes on, and gives it back; who may do so is decided in `skipper_core::lease`.

mod acquire;
mod guard;
mod hold;

use std::time::Duration;

use skipper_core::{
    desired::Scope,
    exit::Exit,
    failure::Failure,
    lease::{Chain, Entry, Holder, State, Timing},
};
use tokio::time::timeout;

pub use self::{acquire::Acquiring, guard::Guarded, hold::Lease};
use crate::ports::{PortError, PortErrorKind, PortResult, Store};

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
    format!("{}/lease", scope.path())
}

/// Reads the chain of leases.
///
/// # Errors
/// As the store answers.
pub async fn read_chain(store: &dyn Store, scope: &Scope) -> PortResult<Chain> {
    let values = store.read(&lease_path(scope)).await?;
    Ok(Chain::read(&values))
}

/// Takes the lease away from whoever holds it. Returns who that was; nothing where nobody did.
///
/// The lease that is created in its place is given back at once, as one whose predecessor may still be at work: the next
/// run raises the fence on every host before it looks at them.
///
/// # Errors
/// As the store answers, and when another run took the lease at that moment: it is not broken in passing.
pub async fn break_lease(store: &dyn Store, scope: &Scope, by: Holder, nonce: &str) -> Result<Option<Holder>, Failure> {
    let during = |error: PortError| error.failure.during("break the lease");
    let chain = read_chain(store, scope).await.map_err(during)?;
    let Some((_, held)) = chain.held() else { return Ok(None) };
    let broken = Entry { holder: by, nonce: nonce.to_owned(), beat: 0, state: State::ReleasedUnsure };
    let path = format!("{}/{}", lease_path(scope), chain.next());
    if store.create(&path, &write_entry(&broken)?).await.map_err(during)? {
        return Ok(Some(held.holder.clone()));
    }
    // An answer that was lost, and that the adapter asked for again, says the same as a run that was quicker.
    match read_chain(store, scope).await.map_err(during)?.highest() {
        Some((number, entry)) if entry.nonce != nonce => {
            let failure = Failure::new(Exit::Held, format!("lease {number} was just taken by {}", entry.holder));
            Err(failure.hint("look again with `skipper lease`"))
        }
        _ => Ok(Some(held.holder.clone())),
    }
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
