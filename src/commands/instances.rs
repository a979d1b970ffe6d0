//! `instances ps`: the hosts, with what EC2, Systems Manager and they themselves say of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use skipper_core::{
    config::Config,
    desired::Scope,
    doctor::{HostFacts, checkup, read_facts},
    exit::Exit,
    failure::Failure,
    name::HostName,
    observed::{Agent, InstanceId, Observed},
    orchestrator::fleet::Fleet,
    render::{instances, log::Places, log::failure_lines},
};
use skipper_deploy::{
    events::Events,
    observe::Eyes,
    ports::{Compute as _, Invocation, Remote as _},
    runner::expect_account,
};

use super::{
    output::{self, Printer},
    run,
};
use crate::{aws::Aws, settings::Settings};

/// How long a host may take to tell of itself.
const CHECKUP_DEADLINE: Duration = Duration::from_secs(60);

/// Shows the hosts.
pub(crate) async fn ps(config: &Config, settings: &Settings, printer: Printer) -> Exit {
    run::install_tls();
    match look(config, settings, printer).await {
        Ok(rows) => {
            printer.text(&instances::table(&rows));
            printer.json(&rows);
            output::early_outputs(settings.output_file(), Exit::Serves, printer);
            Exit::Serves
        }
        Err(failure) => super::end_early(&failure, settings.output_file(), printer),
    }
}

async fn look(config: &Config, settings: &Settings, printer: Printer) -> Result<Vec<instances::Row>, Failure> {
    let aws = run::connect_aws(config, settings, printer).await?;
    let (compute, remote, store) = (aws.compute(), aws.remote(), aws.store());
    let account = compute.account().await.map_err(|error| error.failure)?;
    expect_account(config, &account)?;
    let events = Events::new(vec![run::log_to(printer, true, Places::default())]);
    let eyes = Eyes {
        compute: &compute,
        remote: &remote,
        store: &store,
        orchestrator: &Fleet,
        events: &events,
        after_another: false,
        host_timeout: settings.host_timeout,
    };
    let scope = Scope { project: config.project.clone(), environment: settings.environment.clone() };
    let hosts_of = scope.hosts_of(config);
    let observed = eyes.observe_shared(&hosts_of, &scope).await?;
    run::tell_gaps(&observed, printer);
    let facts = match ask(&aws, &hosts_of, &observed).await {
        Ok(facts) => facts,
        Err(failure) => {
            let failure = failure.during("ask the hosts for their disks and updates");
            printer.log(&failure_lines("warning", &failure, printer.is_workflow()));
            BTreeMap::new()
        }
    };
    Ok(instances::rows(config, &observed, &facts))
}

/// What the hosts that answer tell of themselves.
async fn ask(aws: &Aws, hosts_of: &Scope, observed: &Observed) -> Result<BTreeMap<HostName, HostFacts>, Failure> {
    let online: BTreeMap<&InstanceId, &HostName> = observed
        .hosts
        .iter()
        .filter(|(_, found)| found.agent == Agent::Online)
        .map(|(host, found)| (&found.instance, host))
        .collect();
    if online.is_empty() {
        return Ok(BTreeMap::new());
    }
    let instances: BTreeSet<InstanceId> = online.keys().map(|instance| (*instance).clone()).collect();
    let answers = aws.remote().run(&instances, &checkup(hosts_of), CHECKUP_DEADLINE).await;
    let answers = answers.map_err(|error| error.failure)?;
    let told = answers.into_iter().filter_map(|(instance, answer)| match answer {
        Invocation::Finished { stdout, .. } => Some(((*online.get(&instance)?).clone(), read_facts(&stdout).ok()??)),
        Invocation::Lost(_) => None,
    });
    Ok(told.collect())
}
