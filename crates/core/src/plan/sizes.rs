//! Hosts of another size than the file says: each is drained, stopped, given its size and started again, one after another. Its disk and
//! its private address stay.

use super::{Action, Draft, Reason, StepId, instances::serving_on, why_replaced};
use crate::{
    desired::Desired,
    name::HostName,
    observed::{Observed, ObservedHost},
};

/// Changes the sizes of these hosts; the last step, where there is one.
pub(super) fn change(
    desired: &Desired,
    observed: &Observed,
    wanted: &[HostName],
    after: Option<StepId>,
    draft: &mut Draft,
) -> Option<StepId> {
    let mut last = after;
    let mut changed = false;
    for host in wanted {
        let Some((group, found)) = desired.group_of(host).zip(observed.hosts.get(host)) else { continue };
        if found.size == group.size.to_string() {
            continue;
        }
        if desired.shares_hosts() {
            draft.note(format!(
                "host `{host}` is a `{}` and skipper.yml says `{}`; it stays as it is while previews share it",
                found.size, group.size
            ));
            continue;
        }
        if why_replaced(found, &group.size).is_some() {
            continue;
        }
        let Some(boot) = boot_of(host, found, draft) else { continue };
        let serving = serving_on(observed, host);
        let reason = || Reason::SizeDiffers { from: found.size.clone() };
        if !serving.is_empty() {
            let action = Action::StopReplicas { host: host.clone(), replicas: serving.clone() };
            last = Some(draft.step(action, reason(), last));
        }
        let action = Action::ResizeHost {
            host: host.clone(),
            instance: found.instance.clone(),
            from: found.size.clone(),
            size: group.size.to_string(),
            boot,
        };
        last = Some(draft.step(action, reason(), last));
        changed = true;
        if !serving.is_empty() {
            let action = Action::ResumeReplicas { host: host.clone(), replicas: serving };
            last = Some(draft.step(action, Reason::ServedBefore, last));
        }
        if !group.elastic {
            draft.note(format!(
                "the public address of host `{host}` changes with its size (`address: elastic` keeps it)"
            ));
        }
    }
    last.filter(|_| changed)
}

/// The boot that a host is to get behind it; nothing where it cannot be given the size.
fn boot_of(host: &HostName, found: &ObservedHost, draft: &mut Draft) -> Option<String> {
    let boot = found.report.as_ref().and_then(|report| report.boot.clone());
    if boot.is_none() && found.report.is_some() {
        draft.block(
            format!("host `{host}`"),
            "it does not tell its boot, by which it is known to have come up again",
            "put the former size back, deploy, and try again",
        );
    }
    boot
}
