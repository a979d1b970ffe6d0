//! What a step may leave that nobody waits for any more.
//!
//! Its calls may or may not have been carried out. A script that a host has begun goes on there to its end: broken off, it could
//! have stopped the old replica and not started the new one.

use skipper_core::{
    event::Leftovers,
    name::HostName,
    plan::{Action, Step},
    render::words,
};

/// What to look for; a plain re-run takes all of it up.
pub(super) fn left_by(step: &Step) -> Leftovers {
    let on_hosts = |hosts: &mut dyn Iterator<Item = &HostName>, what: &str| {
        hosts.map(|host| format!("{what} on host `{host}`")).collect()
    };
    Leftovers::Unknown(match &step.action {
        Action::CreateSecurityGroup { security_group } => vec![format!("the security group of {security_group}")],
        Action::LaunchHost { host, .. } => vec![format!("an instance tagged `skipper:host={host}`")],
        Action::AwaitHosts { hosts } => on_hosts(&mut hosts.iter(), "an instance that is still on its way up"),
        Action::ConfigureHosts { hosts, .. } | Action::RestoreRegistry { hosts, .. } => {
            on_hosts(&mut hosts.iter(), "a configuration that is still under way")
        }
        Action::HoldHosts { hosts, .. } => on_hosts(&mut hosts.iter(), "an orchestrator that is held"),
        Action::JoinEtcd { host, .. } | Action::LeaveEtcd { host, .. } => {
            vec![format!("a member of etcd on its way in or out on host `{host}`")]
        }
        Action::LinkServices { hosts, .. } => {
            on_hosts(&mut hosts.iter(), "places of linked services that are still being told")
        }
        Action::PullImages { images } => on_hosts(&mut images.keys(), "a pull that is still under way"),
        Action::StopReplicas { host, replicas } => {
            replicas.iter().map(|paused| format!("`{}` on host `{host}`, stopped", paused.handle)).collect()
        }
        Action::ResumeReplicas { host, replicas } => {
            replicas.iter().map(|paused| format!("`{}` on host `{host}`, still starting", paused.handle)).collect()
        }
        Action::ResizeHost { host, instance, .. } => {
            vec![format!("instance `{instance}` of host `{host}`, stopped or on its way up; start it, and run again")]
        }
        Action::RebootHost { host, .. } => vec![format!("host `{host}`, which goes down and comes up again")],
        Action::StartReplicas { replicas } => replicas
            .iter()
            .map(|fresh| format!("`{}` on host `{}`, still starting", fresh.placement.handle, fresh.placement.host))
            .collect(),
        Action::ReplaceReplicas { host, replacements } => replacements
            .iter()
            .map(|one| format!("`{}` on host `{host}`, still starting, beside `{}`", one.new.handle, one.old))
            .collect(),
        Action::RemoveReplicas { removals, ends } => {
            let data = |host| format!("volumes of the environment on host `{host}`");
            let data = removals.keys().filter(|_| *ends).map(data);
            let replicas = removals.iter().flat_map(|(host, removals)| {
                removals.iter().map(move |removal| format!("`{}` on host `{host}`", removal.handle))
            });
            replicas.chain(data).collect()
        }
        action @ (Action::AuthorizeIngress { .. }
        | Action::RevokeIngress { .. }
        | Action::ForgetMember { .. }
        | Action::GiveAddresses { .. }
        | Action::ReleaseAddress { .. }
        | Action::TerminateHost { .. }
        | Action::DeleteSecurityGroup { .. }
        | Action::ForgetRecords { .. }) => {
            vec![format!("what this step had not changed yet: {}", words::action(action))]
        }
    })
}
