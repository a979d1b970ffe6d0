//! The lease of hosts that previews share: a run has it only while it changes them.

use std::time::Duration;

use skipper_core::{desired::Scope, failure::Failure, plan::Plan, preview::REMOVE};

use super::Runner;
use crate::{
    lease::{Guarded, Lease, read_chain},
    runner::World,
};

/// How long another run is waited for that changes the shared hosts: as long as they may take to come up, and a release to serve.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

impl Runner<'_> {
    /// Whose hosts the environment runs on.
    pub(super) fn hosts_of(&self) -> Scope {
        self.scope().hosts(self.config)
    }

    /// The ports behind the environment's lease, and behind that of the hosts where there is one.
    pub(super) fn guarded<'b>(&'b self, lease: &'b Lease<'_>, hosts: Option<&'b Lease<'_>>) -> Guarded<'b> {
        let World { compute, remote, store, .. } = self.world;
        let hosts = hosts.or_else(|| (*lease.scope() == self.hosts_of()).then_some(lease));
        Guarded { lease, hosts, compute, remote, store }
    }

    /// Whether the plan is to be carried out under the lease of hosts that are shared: where it changes them, and where they are
    /// being removed, since then nothing may be deployed to them. Whoever removes them looks for leases of previews once it has
    /// theirs; a run looks for theirs once it has its own: so one of the two sees the other.
    pub(super) async fn needs_hosts(&self, plan: &Plan) -> Result<bool, Failure> {
        let hosts_of = self.hosts_of();
        if hosts_of == *self.scope() {
            return Ok(false);
        }
        if plan.changes_hosts() {
            return Ok(true);
        }
        let store = self.world.store;
        let what = "read who holds the lease of the hosts that previews share";
        let chain = self.eyes().ask(what, async || read_chain(store, &hosts_of).await).await?;
        Ok(chain.held().is_some_and(|(_, entry)| entry.holder.command == REMOVE))
    }

    /// Waits for the lease of the shared hosts: two pull requests that are opened at the same moment want the same of them.
    pub(super) async fn acquire_hosts(&self) -> Result<Lease<'_>, Failure> {
        let (hosts_of, store) = (self.hosts_of(), self.world.store);
        let what = "read who holds the lease of the hosts that previews share";
        let chain = self.eyes().ask(what, async || read_chain(store, &hosts_of).await).await?;
        let wait = self.terms.wait.unwrap_or_default().max(PATIENCE);
        let acquiring = self.acquiring(hosts_of, Some(wait));
        acquiring
            .acquire(chain)
            .await
            .map_err(|failure| failure.during("get the lease of the hosts that previews share"))
    }
}
