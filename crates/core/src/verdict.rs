//! The exit code of a rollout that did not succeed, judged by what was observed afterwards and by nothing else.

use std::collections::BTreeSet;

use crate::{
    event::StateTable,
    exit::Exit,
    name::HostName,
    observed::Handle,
};

/// What a failed rollout has come to: [`Exit::Restored`] when everything that served before serves now, else [`Exit::Degraded`].
///
/// A first release that failed is degraded: nothing served before, and nothing as a whole serves now.
/// When nothing could be observed afterwards, nobody knows what serves: degraded, too.
pub fn after_failure(before: &StateTable, after: Option<&StateTable>) -> Exit {
    let served = serving(before);
    match after {
        Some(after) if !served.is_empty() && after.gaps.is_empty() && served.is_subset(&serving(after)) => Exit::Restored,
        _ => Exit::Degraded,
    }
}

fn serving(table: &StateTable) -> BTreeSet<(&HostName, &Handle)> {
    table
        .replicas
        .iter()
        .filter(|row| row.serves())
        .filter_map(|row| Some((&row.host, &row.found.as_ref()?.handle)))
        .collect()
}

/// What runs where, one line a replica, for the message of a degraded run.
pub fn what_runs(table: &StateTable) -> Vec<String> {
    table
        .replicas
        .iter()
        .map(|row| {
            let what = match &row.found {
                None => "does not exist".to_owned(),
                Some(found) => {
                    let image = found.image.as_ref().map_or_else(|| "no image".to_owned(), |image| image.digest.short().to_owned());
                    let revision = row.revision.as_ref().map(|revision| format!(" ({})", revision.short())).unwrap_or_default();
                    let health = if row.serves() { "serves" } else { "does not serve" };
                    format!("is {} with {image}{revision}, {health}", found.state.word())
                }
            };
            format!("`{}` on `{}` {what}", row.replica, row.host)
        })
        .collect()
}
