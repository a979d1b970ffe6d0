//! Named volumes: they go with their host, so no host goes away with one unless that is allowed.

use std::collections::BTreeSet;

use super::Draft;
use crate::{
    desired::Desired,
    name::{HostName, shown},
    observed::{HostReport, Observed},
};

/// Whether a host may go away, as far as its data are concerned; where not, the plan is blocked.
pub(super) fn may_go(desired: &Desired, host: &HostName, report: Option<&HostReport>, draft: &mut Draft) -> bool {
    let named = match report.and_then(|report| report.volumes.as_ref()) {
        Some(volumes) if volumes.is_empty() => return true,
        Some(volumes) => {
            let names: Vec<String> = volumes.iter().map(|volume| format!("`{}`", shown(volume))).collect();
            let plural = if names.len() == 1 { "" } else { "s" };
            format!("the volume{plural} {}", names.join(", "))
        }
        // Nobody has ever put data on its hosts.
        None if !desired.keeps_data => return true,
        None => "volumes that it does not tell of".to_owned(),
    };
    if desired.allow_data_loss {
        draft.note(format!("host `{host}` goes, and with it {named}, for good"));
        return true;
    }
    draft.block(
        format!("host `{host}`"),
        format!("it would go away, and with it {named}"),
        "copy what is needed of that, and run again with `--allow-data-loss` (the input `allow-data-loss`)",
    );
    false
}

/// Says which data stay behind, as no service uses them any more where they are.
pub(super) fn tell_of_unused(desired: &Desired, observed: &Observed, draft: &mut Draft) {
    if desired.hosts_only || !desired.left_alone.is_empty() {
        return;
    }
    for host in desired.hosts() {
        let report = observed.hosts.get(&host).and_then(|found| found.report.as_ref());
        let here = desired.group_of(&host).into_iter().flat_map(|group| &group.services);
        let used = here.filter_map(|name| desired.services.get(name)).flat_map(|service| &service.volumes);
        let used: BTreeSet<String> = used.map(|volume| desired.scope.volume(volume.name.as_ref())).collect();
        let volumes = report.and_then(|report| report.volumes.as_ref()).into_iter().flatten();
        for volume in volumes.filter(|volume| desired.scope.owns_volume(volume) && !used.contains(*volume)) {
            let volume = shown(volume);
            draft.note(format!(
                "no service on host `{host}` uses the volume `{volume}`; it is kept (`skipper instances ssh {host} -- docker \
                 volume rm {volume}` removes it)"
            ));
        }
    }
}
