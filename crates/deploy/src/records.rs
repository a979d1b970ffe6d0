//! What the store remembers of an environment: who holds the lease, and what was rolled out.

use std::collections::BTreeMap;

use skipper_core::{
    desired::Scope,
    exit::Exit,
    failure::Failure,
    lease::Chain,
    name::ProjectName,
    observed::Observed,
    record::{Record, Records},
};

use crate::{
    lease::read_chain,
    observe::project_path,
    ports::{PortResult, Store},
};

/// The past of an environment.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// The leases.
    pub chain: Chain,
    /// The rollouts.
    pub records: Records,
    /// The leases of the hosts, where those are shared.
    pub hosts: Option<Chain>,
}

impl Past {
    /// Whether what is in the way may be another run's doing: one that is at work in the environment, or on hosts that it shares where
    /// those have not told everything.
    pub fn may_pass(&self, observed: &Observed) -> bool {
        let hosts_are_busy = self.hosts.as_ref().is_some_and(|hosts| hosts.held().is_some());
        self.chain.held().is_some() || hosts_are_busy && !observed.gaps.is_empty()
    }

    /// The same, where hosts have seen this lease, which may not be on record any more.
    #[must_use]
    pub fn above(self, used: u64) -> Self {
        Self { chain: self.chain.above(used), ..self }
    }
}

/// Reads it, side by side.
///
/// # Errors
/// As the store answers.
pub async fn read_past(store: &dyn Store, scope: &Scope, hosts_of: &Scope) -> PortResult<Past> {
    let path = records_path(scope);
    let hosts = async {
        match hosts_of == scope {
            true => Ok(None),
            false => read_chain(store, hosts_of).await.map(Some),
        }
    };
    // Where several fail, it is the lease that is told, whichever answer came first.
    let (chain, records, hosts) = futures::join!(read_chain(store, scope), store.read(&path), hosts);
    Ok(Past { chain: chain?, records: Records::read(&records?), hosts: hosts? })
}

/// Reads the records of every environment of a project.
///
/// # Errors
/// As the store answers.
pub async fn read_records_of_all(store: &dyn Store, project: &ProjectName) -> PortResult<Vec<Records>> {
    let mut by_environment: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (path, text) in store.read(&project_path(project)).await? {
        if let Some((environment, number)) = path.split_once("/releases/") {
            by_environment.entry(environment.to_owned()).or_default().insert(number.to_owned(), text);
        }
    }
    Ok(by_environment.values().map(Records::read).collect())
}

/// Writes a record, and removes those that are no longer needed.
///
/// # Errors
/// As the store answers.
pub async fn write_record(
    store: &dyn Store,
    scope: &Scope,
    number: u64,
    record: &Record,
    outdated: &[u64],
) -> Result<(), Failure> {
    let text = serde_json::to_string(record)
        .map_err(|error| Failure::failed_to(Exit::Defect, "write a record").because_of(&error))?;
    let path = records_path(scope);
    store.write(&format!("{path}/{number}"), &text).await.map_err(|error| error.failure)?;
    if !outdated.is_empty() {
        let paths: Vec<String> = outdated.iter().map(|number| format!("{path}/{number}")).collect();
        store.remove(&paths).await.map_err(|error| error.failure)?;
    }
    Ok(())
}

fn records_path(scope: &Scope) -> String {
    format!("{}/releases", scope.path())
}
