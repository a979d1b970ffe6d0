//! `instances ps`: the hosts, with what EC2, Systems Manager and they themselves say of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::json;
use skipper_core::{
    config::Config,
    doctor::{HostFacts, checkup, read_facts},
    exit::Exit,
    failure::Failure,
    name::HostName,
    observed::{Agent, InstanceId, Observed},
    render::{instances, log::failure_lines},
};
use skipper_deploy::ports::{Invocation, Remote as _};

use super::{lookout::Lookout, output::Printer, regions, run};
use crate::settings::Settings;

/// How long a host may take to tell of itself.
const CHECKUP_DEADLINE: Duration = Duration::from_secs(60);

/// Shows the hosts.
pub(crate) async fn ps(regions: &[Config], settings: &Settings, printer: Printer) -> Exit {
    let look = async |config: &Config| {
        let rows = look(config, settings, printer).await?;
        Ok((instances::table(&rows), json!(rows)))
    };
    regions::look(regions, settings, printer, look).await
}

async fn look(config: &Config, settings: &Settings, printer: Printer) -> Result<Vec<instances::Row>, Failure> {
    let lookout = Lookout::connect(config, settings, printer).await?;
    let observed = lookout.eyes().observe_shared(&lookout.hosts_of, &lookout.scope).await?;
    run::tell_gaps(&observed, printer);
    let facts = match ask(&lookout, &observed).await {
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
async fn ask(lookout: &Lookout, observed: &Observed) -> Result<BTreeMap<HostName, HostFacts>, Failure> {
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
    let answers = lookout.remote.run(&instances, &checkup(&lookout.hosts_of), CHECKUP_DEADLINE).await;
    let answers = answers.map_err(|error| error.failure)?;
    let told = answers.into_iter().filter_map(|(instance, answer)| match answer {
        Invocation::Finished { stdout, .. } => Some(((*online.get(&instance)?).clone(), read_facts(&stdout).ok()??)),
        Invocation::Lost(_) => None,
    });
    Ok(told.collect())
}
