//! `remove`: one replica stops and is forgotten, until the next deployment brings it back.

use skipper_core::{
    desired::{Desired, longest_grace_seconds},
    event::Moment,
    exit::Exit,
    failure::Failure,
    name::ReplicaName,
    plan::taking_down,
};

use super::{
    Runner,
    ending::Ending,
    errand::{Errand, named},
};

impl Runner<'_> {
    /// Removes the replica of this name, on whichever host it is.
    pub async fn remove_replica(&self, uuid: &str) -> Exit {
        self.start();
        let work = self.reporter.alongside(self.events, self.cancel, self.try_remove_replica(uuid));
        let ending = work.await.unwrap_or_else(Ending::from);
        self.finish(ending).await
    }

    async fn try_remove_replica(&self, uuid: &str) -> Result<Ending, Failure> {
        let look = async {
            self.check_account().await?;
            self.look_at_hosts(self.eyes()).await
        };
        let (observed, past) = self.unless_cancelled(look).await?;
        let found = observed.replicas().map(|(_, found)| found.replica.clone());
        let replica: ReplicaName = named(uuid, "replica", found, !observed.gaps.is_empty())?;
        let errand = Errand {
            desired: Desired::nothing(self.scope().clone(), longest_grace_seconds(self.config)),
            plan: &|observed, moment| taking_down(&replica, observed, moment == Moment::After),
            done: format!("`{replica}` is removed, until the next deployment"),
            failed: format!("`{replica}` could not be removed"),
            keeps_serving: false,
        };
        self.run_errand(observed, &past, &errand).await
    }
}
