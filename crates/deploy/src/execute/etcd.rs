//! Steps that make hosts a part of their cluster, and give them a member of etcd or take it away.

use std::time::Duration;

use skipper_core::{exit::Exit, failure::Failure, name::HostName, orchestrator::Cluster, plan::cluster};

use super::{Run, StepResult};

/// For fetching the archive over a slow line, etcd's quorum (4 min), an orchestrator that registers anew (2 min), and what is registered
/// and started again on a host that was held (2 min).
const CONFIGURE_DEADLINE: Duration = Duration::from_secs(14 * 60);
/// For addresses that nothing answers at, and a process that is killed.
const HOLD_DEADLINE: Duration = Duration::from_secs(3 * 60);
/// For fetching etcd's image over a slow line, the other members' health (90 s), etcd's consent (90 s), its own start (4 min), and
/// that all of them are well (60 s).
const JOIN_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// For the other members' health and etcd's consent (2 min), and the way to them (60 s).
const LEAVE_DEADLINE: Duration = Duration::from_secs(5 * 60);

impl Run<'_> {
    pub(super) async fn configure(&self, hosts: &[HostName], members: &[HostName], founding: bool) -> StepResult {
        let script = self.hands.orchestrator.configure(&self.cluster(members, founding)?);
        self.run_done(hosts, &script, CONFIGURE_DEADLINE, "configure").await
    }

    pub(super) async fn hold(&self, hosts: &[HostName], members: &[HostName], founding: bool) -> StepResult {
        let script = self.hands.orchestrator.hold(&self.cluster(members, founding)?);
        self.run_done(hosts, &script, HOLD_DEADLINE, "hold the orchestrator on").await
    }

    pub(super) async fn restore(&self, hosts: &[HostName], members: &[HostName], founding: bool) -> StepResult {
        let script = self.hands.orchestrator.restore(&self.cluster(members, founding)?);
        self.run_done(hosts, &script, CONFIGURE_DEADLINE, "bring the registry back on").await
    }

    pub(super) async fn join(&self, host: &HostName, members: &[HostName]) -> StepResult {
        let script = self.hands.orchestrator.join(&self.cluster(members, false)?);
        self.run_done(std::slice::from_ref(host), &script, JOIN_DEADLINE, "add a member of etcd on").await
    }

    pub(super) async fn leave(&self, host: &HostName, members: &[HostName]) -> StepResult {
        let hosts = self.known.hosts();
        let address = hosts.get(host).and_then(|found| found.private_address.clone());
        let address = address.ok_or_else(|| Failure::new(Exit::Defect, format!("host `{host}` has no address")))?;
        let script = self.hands.orchestrator.leave(&self.cluster(members, false)?, &address);
        self.run_done(std::slice::from_ref(host), &script, LEAVE_DEADLINE, "take the member of etcd from").await
    }

    pub(super) async fn forget_member(&self, address: &str, by: &HostName, members: &[HostName]) -> StepResult {
        let script = self.hands.orchestrator.leave(&self.cluster(members, false)?, address);
        let verb = format!("have etcd forget the member at {address}, by");
        self.run_done(std::slice::from_ref(by), &script, LEAVE_DEADLINE, &verb).await
    }

    fn cluster(&self, members: &[HostName], founding: bool) -> Result<Cluster, Failure> {
        cluster(self.known.desired, &self.known.hosts(), members, founding).ok_or_else(|| {
            Failure::new(Exit::Defect, "the address of an etcd member is not known").during("configure the hosts")
        })
    }
}
