//! What will be found once steps are carried out, as far as the steps behind them have to know.

use super::{Action, Placement, Step, hosts::identity, seen_from};
use crate::{
    desired::Desired,
    etcd::{EtcdMember, MemberState, Membership},
    name::HostName,
    observed::{
        Address, Agent, Handle, Health, HostReport, InstanceId, InstanceState, Launch, Observed, ObservedHost,
        ObservedReplica, OrchestratorState, ReplicaState,
    },
    orchestrator::Orchestrator,
};

/// The world once these steps have succeeded. Who may reach hosts is as before: nothing that is planned for a forecast depends on it.
///
/// What only carrying out can tell, as the address of a host that is still to be launched, has a name in its place by which it is told
/// apart, and which is no address to whoever reads it as one.
pub(super) fn after(
    observed: &Observed,
    steps: &[Step],
    desired: &Desired,
    orchestrator: &dyn Orchestrator,
) -> Observed {
    let mut world = observed.clone();
    for step in steps {
        carry_out(&step.action, desired, orchestrator, &mut world);
    }
    let with_member = world.hosts.values().filter(|found| found.has_member());
    let members: Vec<EtcdMember> = with_member
        .filter_map(|found| found.private_address.clone())
        .map(|address| EtcdMember { address, state: MemberState::Healthy })
        .collect();
    for report in world.hosts.values_mut().filter_map(|found| found.report.as_mut()) {
        report.etcd.clone_from(&members);
    }
    world
}

fn carry_out(action: &Action, desired: &Desired, orchestrator: &dyn Orchestrator, world: &mut Observed) {
    match action {
        Action::LaunchHost { host, spec } => {
            world.hosts.insert(host.clone(), launched(host, &spec.size));
        }
        Action::AwaitHosts { hosts } => {
            for (_, found) in world.hosts.iter_mut().filter(|(host, _)| hosts.contains(host)) {
                (found.state, found.agent) = (InstanceState::Running, Agent::Online);
            }
        }
        Action::GiveAddresses { addresses } => {
            for (host, address) in addresses {
                let own = address.as_ref().map(|address| &address.allocation);
                let instance = world.hosts.get(host).map(|found| found.instance.clone());
                match world.addresses.iter_mut().find(|address| Some(&address.allocation) == own) {
                    Some(address) => address.instance = instance,
                    None => {
                        let allocation = format!("elastic address of {host}");
                        world.addresses.push(Address {
                            host: host.clone(),
                            ip: allocation.clone(),
                            allocation,
                            instance,
                        });
                    }
                }
            }
        }
        Action::ResizeHost { host, size, .. } => {
            world.hosts.get_mut(host).into_iter().for_each(|found| found.size.clone_from(size));
        }
        Action::TerminateHost { host, .. } => {
            world.hosts.remove(host);
            // The next launch is another one, and its token another.
            if let Some(Launch { generation, instance, subnet }) = world.launches.get_mut(host) {
                (*generation, *instance, *subnet) = (generation.saturating_add(1), None, None);
            }
            // The one that led there is its successor's; what another run has left over is still to be released.
            world.addresses.retain(|address| address.host != *host || address.instance.is_some());
            for address in world.addresses.iter_mut().filter(|address| address.host == *host) {
                address.instance = None;
            }
        }
        Action::ConfigureHosts { hosts, members, founding } => {
            let configured = identity(desired, world, orchestrator, members);
            for host in hosts {
                let report = report_of(host, world);
                report.into_iter().for_each(|report| report.configured.clone_from(&configured));
            }
            for host in members.iter().filter(|_| *founding) {
                has_part(host, Membership::Member, world);
            }
        }
        Action::JoinEtcd { host, .. } => has_part(host, Membership::Member, world),
        Action::LeaveEtcd { host, .. } => has_part(host, Membership::None, world),
        Action::LinkServices { hosts, places } => {
            for host in hosts {
                let links = seen_from(host, places, &world.hosts).map(|places| orchestrator.linked(&places));
                report_of(host, world).into_iter().for_each(|report| report.links.clone_from(&links));
            }
        }
        Action::StartReplicas { replicas } => {
            replicas.iter().for_each(|fresh| runs(&fresh.placement, world));
        }
        Action::ReplaceReplicas { host, replacements } => {
            for replacement in replacements {
                runs_no_more(host, &replacement.old, world);
                runs(&replacement.new, world);
            }
        }
        Action::RemoveReplicas { removals, .. } => {
            for (host, removal) in removals.iter().flat_map(|(host, all)| all.iter().map(move |one| (host, one))) {
                runs_no_more(host, &removal.handle, world);
                for report in world.hosts.values_mut().filter_map(|found| found.report.as_mut()) {
                    report.stray.retain(|stray| stray.handle != removal.handle);
                }
            }
        }
        Action::CreateSecurityGroup { .. }
        | Action::AuthorizeIngress { .. }
        | Action::RevokeIngress { .. }
        | Action::DeleteSecurityGroup { .. }
        | Action::ReleaseAddress { .. }
        | Action::ForgetMember { .. }
        | Action::PullImages { .. }
        | Action::StopReplicas { .. }
        | Action::ResumeReplicas { .. }
        | Action::RebootHost { .. }
        | Action::HoldHosts { .. }
        | Action::RestoreRegistry { .. }
        | Action::ForgetRecords { .. } => {}
    }
}

fn launched(host: &HostName, size: &str) -> ObservedHost {
    ObservedHost {
        instance: InstanceId(format!("instance of {host}")),
        state: InstanceState::Pending,
        size: size.to_owned(),
        instance_store: false,
        private_address: Some(format!("address of {host}")),
        public_address: None,
        agent: Agent::Absent,
        report: None,
    }
}

/// What a host will say of itself; a fresh one says so first.
fn report_of<'a>(host: &HostName, world: &'a mut Observed) -> Option<&'a mut HostReport> {
    let found = world.hosts.get_mut(host)?;
    let fresh = || HostReport { host: Some(host.clone()), ..HostReport::bare(OrchestratorState::Ready) };
    Some(found.report.get_or_insert_with(fresh))
}

fn has_part(host: &HostName, membership: Membership, world: &mut Observed) {
    report_of(host, world).into_iter().for_each(|report| report.membership = membership);
}

fn runs(placement: &Placement, world: &mut Observed) {
    let Some(report) = report_of(&placement.host, world) else { return };
    report.replicas.retain(|found| found.handle != placement.handle);
    report.replicas.push(ObservedReplica {
        replica: placement.replica.clone(),
        handle: placement.handle.clone(),
        wanted: true,
        state: ReplicaState::Running,
        image: Some(placement.image.clone()),
        bindings: placement.bindings.clone(),
        probe: None,
        health: Health::Healthy,
        since: None,
    });
}

fn runs_no_more(host: &HostName, handle: &Handle, world: &mut Observed) {
    report_of(host, world).into_iter().for_each(|report| report.replicas.retain(|found| found.handle != *handle));
}
