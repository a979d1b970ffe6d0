//! Steps that say who may reach the hosts.

use skipper_core::observed::{IngressRule, SecurityGroup};

use super::{Run, StepFailure, StepResult};

impl Run<'_> {
    pub(super) async fn create_security_group(&self, security_group: &SecurityGroup) -> StepResult {
        let desired = self.known.desired;
        // All groups of a project live in one network: that of the first subnet the file names, else the region's default.
        let subnet = desired.groups.values().flat_map(|group| &group.subnets).next();
        let id = self
            .ask(async || {
                self.hands
                    .compute
                    .create_security_group(&desired.scope, security_group, subnet.map(String::as_str))
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
        let cluster = self.known.security_group(&SecurityGroup::Cluster)?;
        self.ask(async || self.hands.compute.authorize(&id, rules, &cluster).await).await.map_err(|error| {
            error.failure.during(format!("authorize ingress into the security group of {security_group}")).into()
        })
    }

    pub(super) async fn revoke(&self, security_group: &SecurityGroup, rules: &[IngressRule]) -> StepResult {
        let id = self.known.security_group(security_group)?;
        let cluster = self.known.security_group(&SecurityGroup::Cluster)?;
        self.ask(async || self.hands.compute.revoke(&id, rules, &cluster).await).await.map_err(|error| {
            error.failure.during(format!("revoke ingress into the security group of {security_group}")).into()
        })
    }
}
