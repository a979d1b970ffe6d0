//! `lease` and `releases`: what the store remembers of an environment, shown, and the lease broken.

use serde_json::{Value, json};
use skipper_core::{config::Config, desired::Scope, exit::Exit, failure::Failure, lease::Holder, render::past};
use skipper_deploy::{
    lease::break_lease,
    ports::PortError,
    records::{Past, read_past},
};

use super::{output::Printer, regions, run};
use crate::settings::{Command, Settings};

/// Runs the command and prints what it found.
pub(crate) async fn run(regions: &[Config], settings: &Settings, printer: Printer) -> Exit {
    regions::look(regions, settings, printer, async |config| look(config, settings, printer).await).await
}

async fn look(config: &Config, settings: &Settings, printer: Printer) -> Result<(String, Value), Failure> {
    let scope = Scope { project: config.project.clone(), environment: settings.environment.clone() };
    let store = run::connect_aws(config, settings, printer).await?.store();
    let broken = if settings.break_lease {
        let by = Holder {
            who: settings.who.clone(),
            command: "lease --break".to_owned(),
            revision: None,
            run_url: settings.workflow.as_ref().map(|workflow| workflow.run_url()),
            since: run::time(),
        };
        break_lease(&store, &scope, by, &run::nonce()).await?
    } else {
        None
    };
    let read = read_past(&store, &scope, &scope).await;
    let Past { chain, records, .. } =
        read.map_err(|error: PortError| error.failure.during("read the records of the environment"))?;
    if settings.command == Command::Releases {
        let document = past::releases_json(&records, &chain);
        return Ok((past::releases(&records, &chain), json!(document)));
    }
    let held = chain.held().map(|(number, entry)| json!({ "number": number, "holder": entry.holder }));
    Ok((past::lease(&chain, broken.as_ref()), json!({ "held": held, "broken": broken })))
}
