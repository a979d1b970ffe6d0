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

fn read(agent: &InstanceInformation) -> Option<(InstanceId, Agent)> {
    let instance = InstanceId(agent.instance_id()?.to_owned());
    let answers = agent.ping_status() == Some(&PingStatus::Online);
    Some((instance, if answers { Agent::Online } else { Agent::Lost }))
}
