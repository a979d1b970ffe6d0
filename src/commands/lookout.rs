//! A look at the hosts, for commands that change nothing of what the project has.

use std::time::Duration;

use skipper_core::{config::Config, desired::Scope, failure::Failure, orchestrator::fleet::Fleet, render::log::Places};
use skipper_deploy::{events::Events, observe::Eyes, ports::Compute as _, runner::expect_account};

use super::{output::Printer, run};
use crate::{
    aws::{Aws, Ec2, ParameterStore, RunCommand},
    settings::Settings,
};

/// The account that the file means, and what looks at it.
pub(super) struct Lookout {
    pub(super) aws: Aws,
    pub(super) remote: RunCommand,
    /// Whose things are meant.
    pub(super) scope: Scope,
    /// Whose hosts they run on.
    pub(super) hosts_of: Scope,
    compute: Ec2,
    store: ParameterStore,
    events: Events,
    host_timeout: Duration,
}

impl Lookout {
    /// Connects, and sees that it is the account that the file names.
    ///
    /// # Errors
    /// When AWS refuses the credentials, or they are another account's.
    pub(super) async fn connect(config: &Config, settings: &Settings, printer: Printer) -> Result<Self, Failure> {
        let aws = run::connect_aws(config, settings, printer).await?;
        let compute = aws.compute();
        expect_account(config, &compute.account().await.map_err(|error| error.failure)?)?;
        let scope = Scope { project: config.project.clone(), environment: settings.environment.clone() };
        Ok(Self {
            remote: aws.remote(),
            hosts_of: scope.hosts_of(config),
            scope,
            store: aws.store(),
            compute,
            aws,
            // Warnings alone: what was asked for is shown by whoever asked.
            events: Events::new(vec![run::log_to(printer, true, Places::default())]),
            host_timeout: settings.host_timeout,
        })
    }

    pub(super) fn eyes(&self) -> Eyes<'_> {
        Eyes {
            compute: &self.compute,
            remote: &self.remote,
            store: &self.store,
            orchestrator: &Fleet,
            events: &self.events,
            after_another: false,
            host_timeout: self.host_timeout,
        }
    }
}
