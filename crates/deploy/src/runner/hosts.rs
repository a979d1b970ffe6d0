//! The lease of hosts that previews share: a run has it only while it changes them.

use std::time::Duration;

use skipper_core::{desired::Scope, failure::Failure, lease::Chain, observed::Observed, plan::Plan, preview::REMOVE};

use super::{Runner, World};
use crate::{
    lease::{Guarded, Lease, read_chain},
    records::Past,
};

/// How long another run is waited for that changes the shared hosts: as long as they may take to come up and a release to serve.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

impl Runner<'_> {
    /// Whose hosts the environment runs on.
    pub(super) fn hosts_of(&self) -> Scope {
        self.scope().hosts_of(self.config)
    }

    /// The ports behind the environment's lease, and behind that of the hosts where there is one.
    pub(super) fn guarded<'b>(&'b self, lease: &'b Lease<'_>, hosts: Option<&'b Lease<'_>>) -> Guarded<'b> {
        let World { compute, remote, store, .. } = self.world;
        let hosts = hosts.or_else(|| (*lease.scope() == self.hosts_of()).then_some(lease));
        Guarded { lease, hosts, compute, remote, store }
    }

    /// The chain of the shared hosts' leases, where the plan is to be made anew under the next one: where it changes the hosts, where
    /// it was made while another run changed them, and where they are being removed, since then nothing may be deployed to them.
    ///
    /// Whoever removes them looks for leases of previews once it has theirs; a run looks for theirs once it has its own: so one of
    /// the two sees the other. A removal that is over has left another chain than was read before the hosts were observed.
    pub(super) async fn needs_hosts(
        &self,
        plan: &Plan,
        observed: &Observed,
        past: &Past,
    ) -> Result<Option<Chain>, Failure> {
        let Some(before) = &past.hosts else { return Ok(None) };
        let now = self.chain_of_hosts().await?;
        let is_removal = now.highest().is_some_and(|(_, entry)| entry.holder.command == REMOVE);
        let has_moved = is_removal || !before.has_the_same_highest(&now);
        let is_needed = plan.changes_hosts() || !observed.gaps.is_empty() || has_moved;
        Ok(is_needed.then_some(now))
    }

    pub(super) async fn chain_of_hosts(&self) -> Result<Chain, Failure> {
        let (store, hosts_of) = (self.world.store, self.scope().of_previews());
        let what = "read who holds the lease of the hosts that previews share";
        self.eyes().ask(what, async || read_chain(store, &hosts_of).await).await
    }

    /// Waits for the lease of the shared hosts: two pull requests that are opened at the same moment want the same of them.
    pub(super) async fn acquire_hosts(&self, chain: Chain) -> Result<Lease<'_>, Failure> {
        let wait = self.terms.wait.unwrap_or_default().max(PATIENCE);
        let acquiring = self.acquiring(self.scope().of_previews(), Some(wait));
        let acquired = acquiring.acquire(chain).await;
        acquired.map_err(|failure| failure.during("get the lease of the hosts that previews share"))
    }
}
