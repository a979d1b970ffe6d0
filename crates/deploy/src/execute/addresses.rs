//! Steps about addresses that outlive the instances of their hosts.

use std::{collections::BTreeMap, time::Duration};

use futures::future::try_join_all;
use skipper_core::{
    exit::Exit,
    failure::Failure,
    name::HostName,
    observed::{Address, InstanceId, InstanceState},
};
use tokio::time::{Instant, sleep};

use super::{Run, StepResult};
use crate::ports::PortErrorKind;

/// How long an instance that was told to terminate may go on using its address, at most.
const SHUTDOWN: Duration = Duration::from_secs(10 * 60);
/// Between two looks.
const POLL: Duration = Duration::from_secs(2);

impl Run<'_> {
    pub(super) async fn give_addresses(&self, addresses: &BTreeMap<HostName, Option<Address>>) -> StepResult {
        let hosts: Vec<&HostName> = addresses.keys().collect();
        self.await_running(&hosts).await?;
        try_join_all(addresses.iter().map(async |(host, address)| {
            let during = |failure: Failure| failure.during(format!("give host `{host}` its address"));
            let compute = self.hands.compute;
            let scope = &self.known.desired.hosts_of;
            let address = match address {
                Some(address) => address.clone(),
                None => self
                    .ask(async || compute.allocate_address(scope, host).await)
                    .await
                    .map_err(|error| during(error.failure))?,
            };
            let instance = self.known.instance(host)?;
            self.ask(async || compute.associate_address(&address, &instance).await)
                .await
                .map_err(|error| during(error.failure))?;
            self.say(format!("host `{host}` has {}", address.ip));
            Ok::<_, Failure>(())
        }))
        .await?;
        Ok(())
    }

    /// An address leads to no instance that does not run.
    async fn await_running(&self, hosts: &[&HostName]) -> Result<(), Failure> {
        let wanted: Vec<InstanceId> = hosts.iter().map(|host| self.known.instance(host)).collect::<Result<_, _>>()?;
        let until = Instant::now() + self.hands.host_timeout;
        let scope = &self.known.desired.hosts_of;
        loop {
            let found = self.ask(async || self.hands.compute.instances(scope).await).await;
            let found = found.map_err(|error| error.failure)?;
            let runs = |wanted: &&InstanceId| {
                found.iter().any(|found| found.instance == **wanted && found.state == InstanceState::Running)
            };
            let Some(missing) = wanted.iter().find(|wanted| !runs(wanted)) else { return Ok(()) };
            if self.hands.cancel.is_cancelled() {
                return Err(Failure::new(Exit::Cancelled, "cancelled before the hosts had their addresses"));
            }
            if Instant::now() + POLL > until {
                let failure =
                    Failure::new(Exit::Blocked, format!("instance `{missing}` does not run, so it gets no address"));
                return Err(failure.hint("start it, or terminate it so that it is launched anew, and run again"));
            }
            sleep(POLL).await;
        }
    }

    /// An instance uses its address until it is terminated, which it is not at once.
    pub(super) async fn release_address(&self, address: &Address) -> StepResult {
        let until = Instant::now() + SHUTDOWN;
        loop {
            let error = match self.ask(async || self.hands.compute.release_address(address).await).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if error.kind != PortErrorKind::InUse || Instant::now() + POLL > until {
                return Err(error
                    .failure
                    .during(format!("release address {} of host `{}`", address.ip, address.host))
                    .into());
            }
            sleep(POLL).await;
        }
    }
}
