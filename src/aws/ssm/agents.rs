//! Which of the project's SSM agents answer.

use std::collections::BTreeMap;

use aws_sdk_ssm::types::{InstanceInformation, InstanceInformationStringFilter, PingStatus};
use skipper_core::{
    desired::{Scope, TAG_PROJECT},
    observed::{Agent, InstanceId},
};
use skipper_deploy::ports::{PortErrorKind, PortResult};

use super::RunCommand;
use crate::aws::error::Asked;

/// Agents a page; the most that Systems Manager takes.
const PAGE: i32 = 50;

impl RunCommand {
    /// An agent that has never registered is not in the answer; those of the project's other environments are.
    ///
    /// Their instances tell them apart, so one filter is enough: "tag filters can't be combined with other filter types" leaves
    /// open whether two of them can (API reference of DescribeInstanceInformation).
    pub(super) async fn owned_agents(&self, scope: &Scope) -> PortResult<BTreeMap<InstanceId, Agent>> {
        let versions = self.versions(scope).await?;
        Ok(versions.into_iter().map(|(instance, (agent, _))| (instance, agent)).collect())
    }

    /// The same with the version that each agent gives, such as `3.3.2299.0`.
    ///
    /// # Errors
    /// When Systems Manager refuses or does not answer.
    pub async fn versions(&self, scope: &Scope) -> PortResult<BTreeMap<InstanceId, (Agent, Option<String>)>> {
        let asked =
            Asked::reads(&self.region, "ssm:DescribeInstanceInformation", format!("the hosts of `{}`", scope.project));
        let filter = InstanceInformationStringFilter::builder()
            .key(format!("tag:{TAG_PROJECT}"))
            .values(scope.project.to_string())
            .build()
            .map_err(|error| asked.refused(PortErrorKind::Other, error))?;
        let mut agents =
            self.ssm.describe_instance_information().filters(filter).into_paginator().page_size(PAGE).items().send();
        let mut found = BTreeMap::new();
        while let Some(agent) = agents.next().await {
            found.extend(read(&agent.map_err(|error| asked.failed(&error))?));
        }
        Ok(found)
    }
}

fn read(agent: &InstanceInformation) -> Option<(InstanceId, (Agent, Option<String>))> {
    let instance = InstanceId(agent.instance_id()?.to_owned());
    let answers = agent.ping_status() == Some(&PingStatus::Online);
    let version = agent.agent_version().map(ToOwned::to_owned);
    Some((instance, (if answers { Agent::Online } else { Agent::Lost }, version)))
}
