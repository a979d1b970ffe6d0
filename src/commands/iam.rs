//! `iam`: prints what skipper has to be allowed in AWS. Asks nobody: it needs no credentials.

use skipper_core::{
    config::Config,
    desired::Scope,
    exit::Exit,
    failure::Failure,
    iam::{self, Subject},
    orchestrator::{Orchestrator as _, fleet::Fleet},
};

use super::output::{self, Printer};
use crate::{
    cli::{Iam, IamFormat},
    settings::Settings,
};

/// Prints it, or says what is not known.
pub(crate) fn run(config: &Config, settings: &Settings, asked: &Iam, printer: Printer) -> Exit {
    match document(config, settings, asked) {
        Ok(document) => {
            printer.document(&document);
            output::early_outputs(settings.output_file(), Exit::Serves, printer);
            Exit::Serves
        }
        Err(failure) => super::end_early(&failure, settings.output_file(), printer),
    }
}

fn document(config: &Config, settings: &Settings, asked: &Iam) -> Result<serde_json::Value, Failure> {
    let failed = |why: &str| Failure::failed_to(Exit::BadInput, "describe the roles").because(why);
    let account = asked.account.as_ref().or(config.account.as_ref()).ok_or_else(|| {
        failed("the account is not known").hint("write `account:` in skipper.yml, or give `--account`")
    })?;
    if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(failed(&format!("`{account}` is not an account's number")).hint("it has twelve digits"));
    }
    let repository = settings.repository.as_ref().ok_or_else(|| {
        failed("the repository whose workflows take them is not known").hint("give `--repository OWNER/NAME`")
    })?;
    let scope = Scope { project: config.project.clone(), environment: settings.environment.clone() };
    let observe = Fleet.observe(&scope);
    let subject = Subject { config, scope: &scope, account, repository, observe: &observe };
    Ok(match asked.format {
        IamFormat::Json => iam::json(&subject),
        IamFormat::Cloudformation => iam::cloudformation(&subject),
    })
}
