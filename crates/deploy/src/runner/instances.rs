//! What somebody asks for about hosts: to be without one, or that they reboot.

use std::collections::BTreeMap;

use skipper_core::{
    desired::Desired,
    exit::Exit,
    failure::Failure,
    image::Revision,
    name::HostName,
    plan::{rebooting, to_reboot, without_host},
    release::Release,
};

use super::{
    Runner,
    ending::Ending,
    errand::{Errand, named},
};

impl Runner<'_> {
    /// Moves a host's member of etcd, stops what runs on it, and terminates it. With `force` it may be the last one of something.
    pub async fn remove_host(&self, uuid: &str, force: bool) -> Exit {
        self.start();
        let work = self.reporter.alongside(self.events, self.cancel, self.try_remove_host(uuid, force));
        let ending = work.await.unwrap_or_else(Ending::from);
        self.finish(ending).await
    }

    async fn try_remove_host(&self, uuid: &str, force: bool) -> Result<Ending, Failure> {
        self.refuse_shared_hosts()?;
        let look = async {
            self.check_account().await?;
            self.look_at_hosts(self.eyes()).await
        };
        let (observed, past) = self.unless_cancelled(look).await?;
        let host: HostName = named(uuid, "host", observed.hosts.keys().cloned(), false)?;
        let desired = self.desired_of_hosts();
        let errand = Errand {
            plan: &|observed, _| without_host(&desired, observed, self.world.orchestrator, &host, force),
            done: format!("host `{host}` is removed; the next deployment brings it back unless `scale` is lowered"),
            failed: format!("host `{host}` could not be removed"),
            keeps_serving: false,
            desired: desired.clone(),
        };
        self.run_errand(observed, &past, &errand).await
    }

    /// Reboots a host, or all of them one after another: what serves on it stops, and serves again once it has joined its cluster.
    pub async fn reboot_hosts(&self, uuid: Option<&str>) -> Exit {
        self.start();
        let work = self.reporter.alongside(self.events, self.cancel, self.try_reboot_hosts(uuid));
        let ending = work.await.unwrap_or_else(Ending::from);
        self.finish(ending).await
    }

    async fn try_reboot_hosts(&self, uuid: Option<&str>) -> Result<Ending, Failure> {
        self.refuse_shared_hosts()?;
        let look = async {
            self.check_account().await?;
            self.look_at_hosts(self.eyes()).await
        };
        let (observed, past) = self.unless_cancelled(look).await?;
        let all: Vec<HostName> = observed.hosts.keys().cloned().collect();
        let asked = match uuid {
            Some(uuid) => vec![named(uuid, "host", all.into_iter(), false)?],
            None => all,
        };
        let names: Vec<String> = asked.iter().map(|host| format!("`{host}`")).collect();
        let names = names.join(", ");
        if asked.is_empty() {
            return Ok(Ending::good("there are no hosts"));
        }
        // What they are to come back to is settled once, whatever is found on the way.
        let to_reboot = to_reboot(&observed, asked);
        let errand = Errand {
            plan: &|observed, _| rebooting(observed, &to_reboot),
            done: format!("rebooted: {names}; what served there serves again"),
            failed: format!("not all of {names} have rebooted and serve what they did"),
            keeps_serving: true,
            desired: self.desired_of_hosts(),
        };
        self.run_errand(observed, &past, &errand).await
    }

    /// The file, without anything that is deployed.
    fn desired_of_hosts(&self) -> Desired {
        let release = Release { revision: Revision::none(), images: BTreeMap::new(), secrets: BTreeMap::new() };
        let desired = Desired::new(self.config, self.scope().environment.clone(), &release);
        Desired { allow_data_loss: self.bounds.allow_data_loss, ..desired }
    }

    /// Hosts that previews share are nobody's to take away.
    fn refuse_shared_hosts(&self) -> Result<(), Failure> {
        if self.hosts_of() == *self.scope() {
            return Ok(());
        }
        let environment = &self.scope().environment;
        let failure =
            Failure::new(Exit::BadInput, format!("the hosts of `{environment}` are not its own: previews share them"));
        Err(failure.hint("`skipper previews sweep` removes them when no preview is left"))
    }
}
