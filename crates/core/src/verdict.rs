//! The exit code of a rollout that did not succeed, judged by what was observed before and after it, and by nothing that a step said.

use std::collections::BTreeSet;

use crate::{
    event::{ReplicaRow, StateTable},
    exit::Exit,
    name::HostName,
    observed::Handle,
    plan::{Action, Plan, Reason, Step},
    record::Record,
};

/// What a failed rollout has come to: [`Exit::Restored`] when the previous release served everywhere before it and does so now,
/// else [`Exit::Degraded`].
///
/// `previous` is the record of the release that was last seen to serve everywhere. Without one nothing can have been restored: a first
/// release that failed is degraded. So is one that met a mix, as an earlier failure leaves it: bringing back a mix brings back
/// no release. When nothing could be observed afterwards nobody knows what serves: degraded, too.
pub fn after_failure(previous: Option<&Record>, before: &StateTable, after: Option<&StateTable>) -> Exit {
    let (Some(previous), Some(after)) = (previous, after) else { return Exit::Degraded };
    let served = serving(before);
    let restored = !served.is_empty() && after.gaps.is_empty() && served.is_subset(&serving(after));
    if restored && serves_whole(previous, before) { Exit::Restored } else { Exit::Degraded }
}

/// Whether the release serves everywhere, and nothing is left to do but to take away what it does not need.
pub fn only_tidying_is_left(proof: &Plan) -> bool {
    let tidies = |step: &Step| match &step.action {
        Action::RemoveReplicas { .. }
        | Action::LeaveEtcd { .. }
        | Action::ForgetMember { .. }
        | Action::TerminateHost { .. }
        | Action::RevokeIngress { .. } => true,
        // Hosts that serve are told of the members of etcd that stay.
        Action::ConfigureHosts { .. } => step.reason == Reason::ConfigurationDiffers,
        _ => false,
    };
    proof.blocked.is_empty() && !proof.partial && proof.steps.iter().all(tidies)
}

fn serving(table: &StateTable) -> BTreeSet<(&HostName, &Handle)> {
    table
        .replicas
        .iter()
        .filter(|row| row.serves())
        .filter_map(|row| Some((&row.host, &row.found.as_ref()?.handle)))
        .collect()
}

/// Whether each replica that should exist served with the release's image. One that does not exist is missing where the record
/// names it; it is new otherwise.
fn serves_whole(previous: &Record, table: &StateTable) -> bool {
    let release = &previous.release;
    let had = |row: &ReplicaRow| previous.ended.as_ref().is_some_and(|ended| ended.replicas.contains(&row.replica));
    let of_release = table
        .replicas
        .iter()
        .filter(|row| row.wanted && (row.found.is_some() || had(row)) && release.images.contains_key(&row.service));
    let name = |row: &ReplicaRow| (row.host.clone(), row.replica.clone());
    let serves = |row: &&ReplicaRow| {
        let image = row.found.as_ref().and_then(|found| found.image.as_ref());
        row.serves() && image == release.images.get(&row.service)
    };
    let serving: BTreeSet<_> = of_release.clone().filter(serves).map(name).collect();
    of_release.map(name).all(|replica| serving.contains(&replica))
}

/// What runs where, one line a replica, for the message of a degraded run. Of a host that did not say, nothing is said.
pub fn what_runs(table: &StateTable) -> Vec<String> {
    let is_gap = |host: &HostName| table.gaps.iter().any(|gap| gap.starts_with(&format!("host `{host}`:")));
    table
        .replicas
        .iter()
        .map(|row| {
            let what = match &row.found {
                None if is_gap(&row.host) => "is not known to run".to_owned(),
                None => "does not exist".to_owned(),
                Some(found) => {
                    let image = found
                        .image
                        .as_ref()
                        .map_or_else(|| "no image".to_owned(), |image| image.digest.short().to_owned());
                    let revision =
                        row.revision.as_ref().map(|revision| format!(" ({})", revision.short())).unwrap_or_default();
                    let health = if row.serves() { "serves" } else { "does not serve" };
                    format!("is {} with {image}{revision}, {health}", found.state.word())
                }
            };
            format!("`{}` on `{}` {what}", row.replica, row.host)
        })
        .collect()
}
