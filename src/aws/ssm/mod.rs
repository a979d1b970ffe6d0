//! Scripts on hosts by Run Command, and records in Parameter Store.

mod agents;
mod kept;
mod run;
mod session;
mod store;
#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use skipper_core::{
    desired::Scope,
    observed::{Agent, InstanceId},
    script::Script,
};
use skipper_deploy::ports::{Invocation, PortResult, Remote};

pub use self::{kept::Kept, session::Session, store::ParameterStore};

/// The `Remote` port: Systems Manager's Run Command.
pub struct RunCommand {
    pub(super) ssm: aws_sdk_ssm::Client,
    pub(super) region: String,
    /// Where AWS is asked in place of its own address.
    pub(super) endpoint: Option<String>,
    /// What was found of the scripts that may be kept as documents, by the document's name.
    pub(super) kept: RefCell<BTreeMap<String, Kept>>,
}

#[async_trait(?Send)]
impl Remote for RunCommand {
    async fn agents(&self, scope: &Scope) -> PortResult<BTreeMap<InstanceId, Agent>> {
        self.owned_agents(scope).await
    }

    async fn run(
        &self,
        on: &BTreeSet<InstanceId>,
        script: &Script,
        deadline: Duration,
    ) -> PortResult<BTreeMap<InstanceId, Invocation>> {
        self.run_everywhere(on, script, deadline).await
    }
}
