//! Elastic addresses: which hosts get one, and which are given back with the host that they were for.
//!
//! An address is given back when its host goes and for no other reason: nobody gets the same one twice, and names lead to it.

use std::collections::BTreeMap;

use super::{Action, Draft, Reason, StepId};
use crate::{
    desired::Desired,
    name::HostName,
    observed::{Address, InstanceId, Observed},
};

/// Gives every wanted host its address that asks for one and to which none leads. Before it is waited for: a host may have no other way
/// out.
pub(super) fn give(
    desired: &Desired,
    observed: &Observed,
    wanted: &[HostName],
    launches: &[StepId],
    draft: &mut Draft,
) -> Option<StepId> {
    let is_elastic = |host: &&HostName| desired.group_of(host).is_some_and(|group| group.elastic);
    let mut addresses = BTreeMap::new();
    for host in wanted.iter().filter(is_elastic) {
        let instance = observed.hosts.get(host).map(|found| &found.instance);
        let own = own(host, observed);
        let leads_there = instance.is_some() && own.is_some_and(|address| address.instance.as_ref() == instance);
        if !leads_there {
            addresses.insert(host.clone(), own.cloned());
        }
    }
    (!addresses.is_empty())
        .then(|| draft.step(Action::GiveAddresses { addresses }, Reason::AddressMissing, launches.iter().copied()))
}

/// Gives back what no host has a use for any more: those of hosts that go or are gone, and second ones of the same host, as a lost
/// reply leaves them.
pub(super) fn release(
    desired: &Desired,
    observed: &Observed,
    leaving: &BTreeMap<HostName, InstanceId>,
    draft: &mut Draft,
) {
    let after = draft.ends();
    for address in &observed.addresses {
        let Address { host, ip, instance, .. } = address;
        let is_wanted = desired.group_of(host).is_some_and(|group| host.number <= group.scale);
        let is_there = observed.hosts.contains_key(host);
        let is_second = own(host, observed) != Some(address) && instance.is_none();
        let goes = is_second || leaving.contains_key(host) || !is_wanted && !is_there;
        if goes && (desired.shares_hosts() || desired.hosts_only) {
            continue;
        }
        if goes && !is_second && desired.group_of(host).is_none() && !desired.allow_terminate {
            draft.note(format!(
                "address {ip} is for host `{host}` of a group that skipper.yml does not name; it is kept (`--allow-terminate`, the input \
                 `allow-terminate`, would release it)"
            ));
        } else if goes {
            draft.step(Action::ReleaseAddress { address: address.clone() }, Reason::AddressUnused, after.clone());
        } else if is_there && is_wanted && !desired.group_of(host).is_some_and(|group| group.elastic) {
            draft.note(format!(
                "host `{host}` has the elastic address {ip}, which skipper.yml does not ask for; it goes with the host"
            ));
        }
    }
}

/// The address of a host: the one that leads to it, else the first by its id.
fn own<'a>(host: &HostName, observed: &'a Observed) -> Option<&'a Address> {
    let instance = observed.hosts.get(host).map(|found| &found.instance);
    let of_it = || observed.addresses.iter().filter(|address| address.host == *host);
    let leading = of_it().find(|address| instance.is_some() && address.instance.as_ref() == instance);
    leading.or_else(|| of_it().min_by_key(|address| &address.allocation))
}
