//! Steps that say who may reach the hosts.

use std::time::Duration;

use skipper_core::observed::{IngressRule, SecurityGroup};
use tokio::time::{Instant, sleep};

use super::{Run, StepFailure, StepResult};
use crate::ports::PortErrorKind;

/// How long an instance that was told to terminate may go on using its security groups, at most.
const SHUTDOWN: Duration = Duration::from_secs(10 * 60);
/// Between two tries to delete a security group that is in use.
const SHUTDOWN_POLL: Duration = Duration::from_secs(5);

impl Run<'_> {
    pub(super) async fn create_security_group(&self, security_group: &SecurityGroup) -> StepResult {
        let desired = self.known.desired;
        // All groups of a project live in one network: that of the first subnet the file names, else the region's default.
        let subnet = desired.groups.values().flat_map(|group| &group.subnets).next();
        let id = self
            .ask(async || {
                self.hands
                    .compute
                    .create_security_group(&desired.hosts_of, security_group, subnet.map(String::as_str))
                    .await
            })
            .await
            .map_err(|error| {
                StepFailure::from(error.failure.during(format!("create the security group of {security_group}")))
            })?;
        self.say(format!("created `{id}`"));
        self.known.security_group_is(security_group, id);
        Ok(())
    }

    pub(super) async fn authorize(&self, security_group: &SecurityGroup, rules: &[IngressRule]) -> StepResult {
        let id = self.known.security_group(security_group)?;
        let groups = self.known.security_groups();
        self.ask(async || self.hands.compute.authorize(&id, rules, &groups).await).await.map_err(|error| {
            error.failure.during(format!("authorize ingress into the security group of {security_group}")).into()
        })
    }

    pub(super) async fn revoke(&self, security_group: &SecurityGroup, rules: &[IngressRule]) -> StepResult {
        let id = self.known.security_group(security_group)?;
        let groups = self.known.security_groups();
        self.ask(async || self.hands.compute.revoke(&id, rules, &groups).await).await.map_err(|error| {
            error.failure.during(format!("revoke ingress into the security group of {security_group}")).into()
        })
    }

    /// An instance uses its security groups until it is terminated, which it is not at once.
    pub(super) async fn delete_security_group(&self, security_group: &SecurityGroup, id: &str) -> StepResult {
        let until = Instant::now() + SHUTDOWN;
        let mut told = false;
        loop {
            let error = match self.ask(async || self.hands.compute.delete_security_group(id).await).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if error.kind != PortErrorKind::InUse || Instant::now() + SHUTDOWN_POLL > until {
                let failure = error.failure.during(format!("delete the security group of {security_group} (`{id}`)"));
                return Err(failure.into());
            }
            if !told {
                told = true;
                self.say(format!("`{id}` is in use until its instances have shut down"));
            }
            sleep(SHUTDOWN_POLL).await;
        }
    }
}
