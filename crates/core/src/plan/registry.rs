//! The registry of what should run, where it is lost: it is brought back from what the hosts have on record.

use super::{
    Action, Draft, Plan, Reason,
    etcd::{has_quorum, listed, members_of_silent, partial, reports},
};
use crate::{
    etcd::{MemberState, Membership},
    name::HostName,
    observed::{Gap, HostReport, Observed, OrchestratorState},
};

/// That what should run is known to the hosts alone.
pub(super) struct Loss {
    /// Whether etcd itself is lost, and not only what was in it.
    founding: bool,
    members: Vec<HostName>,
    reason: Reason,
    note: &'static str,
}

impl Loss {
    /// A registry is lost by what all hosts say, and never because some do not answer: it is empty, and hosts have replicas on record;
    /// or no host has the data of etcd; or what etcd itself tells has no quorum, and more of its members are gone for good than it can
    /// do without. A member is gone with its instance, or where its host says that it has nothing of it.
    pub(super) fn of(observed: &Observed) -> Option<Self> {
        let answers = observed.hosts.values().all(|found| found.report.is_some());
        let is_explained = |gap: &Gap| gap.host.as_ref().is_some_and(|host| is_cut_off(observed, host));
        if !answers || !observed.gaps.iter().all(is_explained) {
            return None;
        }
        let listed = listed(observed).ok()?;
        let emptied = |(_, report): (_, &HostReport)| {
            report.configured.is_some() && matches!(report.orchestrator, OrchestratorState::Emptied(_))
        };
        if reports(observed).any(emptied) {
            return Some(Self {
                founding: false,
                members: members_of_silent(observed, &[])?,
                reason: Reason::RegistryEmptied,
                note: "what the registry has forgotten is started again, as the hosts have it on record",
            });
        }
        let in_use = || reports(observed).filter(|(_, report)| report.configured.is_some());
        // Where the orchestrator answers, there is an etcd that it has its answer from.
        if in_use().any(|(host, _)| !is_cut_off(observed, host)) {
            return None;
        }
        let reason = match &listed {
            None if reports(observed).any(|(_, report)| has_data(report.membership)) => return None,
            None => Reason::EtcdLost,
            Some(listed) => {
                let gone = listed.iter().filter(|(address, state)| is_gone(observed, address, **state)).count();
                if has_quorum(listed) || gone * 2 < listed.len() {
                    return None;
                }
                Reason::QuorumLost { gone, members: listed.len() }
            }
        };
        // One that had a member is where the others look for it.
        let founder = in_use().min_by_key(|(host, report)| (report.membership == Membership::None, *host))?;
        Some(Self {
            founding: true,
            members: vec![founder.0.clone()],
            reason,
            note: "what runs goes on; what has stopped in the meantime is started again, as the hosts have it on record",
        })
    }

    /// What is done about it. Nobody's orchestrator may look into a registry that does not know what its host runs, so all are held
    /// before there is one.
    pub(super) fn made_good(self, observed: &Observed) -> Plan {
        let Self { founding, members, reason, note } = self;
        let hosts: Vec<HostName> = observed.hosts.keys().filter(|host| is_cut_off(observed, host)).cloned().collect();
        let mut draft = Draft::default();
        let hold = Action::HoldHosts { hosts: hosts.clone(), members: members.clone(), founding };
        let held = draft.step(hold, reason.clone(), None);
        draft.step(Action::RestoreRegistry { hosts, members, founding }, reason, [held]);
        draft.notes.push(note.to_owned());
        partial(draft)
    }
}

/// Whether a host that is in use says that its orchestrator does not answer, or has lost what it knew.
fn is_cut_off(observed: &Observed, host: &HostName) -> bool {
    let report = observed.hosts.get(host).and_then(|found| found.report.as_ref());
    report.is_some_and(|report| report.configured.is_some() && report.orchestrator.is_cut_off())
}

/// Whether a member that etcd tells of cannot come back.
fn is_gone(observed: &Observed, address: &str, state: MemberState) -> bool {
    let Some(found) = observed.hosts.values().find(|found| found.private_address.as_deref() == Some(address)) else {
        return true;
    };
    // One that was added, and that its host does not know of yet, is still to come.
    found.report.as_ref().is_some_and(|report| !has_data(report.membership) && state != MemberState::Added)
}

const fn has_data(membership: Membership) -> bool {
    matches!(membership, Membership::Joining | Membership::Member | Membership::Leaving)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;
    use crate::{
        etcd::EtcdMember,
        observed::{Agent, InstanceId, InstanceState, ObservedHost},
        plan::etcd::first_part,
        render::words,
    };
    use MemberState::{Added, Healthy, Silent};
    use Membership::{Joining, Leaving, Lost, Member, None};

    /// Members of etcd by the last number of their addresses.
    type Told<'a> = &'a [(u8, MemberState)];

    /// Hosts that are cut off from etcd, `web_1` at 10.0.0.1 and so on, each with its part in etcd and the members that it is told of.
    fn cut_off(parts: &[(u8, Membership, Told<'_>)]) -> Observed {
        let mut observed = Observed::default();
        for (number, membership, told) in parts {
            let told = told.iter().map(|(at, state)| EtcdMember { address: address(*at), state: *state });
            let report = HostReport {
                configured: Some("0123456789ab".to_owned()),
                membership: *membership,
                etcd: told.collect(),
                volumes: Option::None,
                ..HostReport::bare(OrchestratorState::Silent("Error 503".to_owned()))
            };
            let found = ObservedHost {
                instance: InstanceId(format!("i-{number}")),
                state: InstanceState::Running,
                size: "t3.small".to_owned(),
                instance_store: false,
                private_address: Some(address(*number)),
                public_address: Option::None,
                agent: Agent::Online,
                report: Some(report),
            };
            observed.hosts.insert(name(*number), found);
            observed.gaps.push(Gap { host: Some(name(*number)), what: "Error 503".to_owned(), hint: Option::None });
        }
        observed
    }

    fn name(number: u8) -> HostName {
        format!("web_{number}").parse().unwrap()
    }

    fn address(number: u8) -> String {
        format!("10.0.0.{number}")
    }

    fn says(observed: &mut Observed, number: u8, orchestrator: OrchestratorState) {
        observed.hosts.get_mut(&name(number)).unwrap().report.as_mut().unwrap().orchestrator = orchestrator;
    }

    fn steps(observed: &Observed) -> Vec<String> {
        first_part(observed).map(|plan| plan.steps.iter().map(words::step).collect()).unwrap_or_default()
    }

    fn founds_anew(observed: &Observed) -> bool {
        steps(observed).iter().any(|step| step.starts_with("found etcd anew"))
    }

    #[test]
    fn an_etcd_of_which_no_host_has_data_is_founded_where_the_others_look_for_it() {
        let observed = cut_off(&[(1, None, &[]), (2, Lost, &[])]);
        assert_eq!(
            steps(&observed),
            [
                "hold the orchestrator on `web_1`, `web_2`: no host has the data of etcd any more",
                "found etcd anew on `web_2`, and register again what `web_1`, `web_2` have on record: no host has the data of etcd any more",
            ]
        );
        let plan = first_part(&observed).unwrap();
        assert!(plan.partial && plan.blocked.is_empty() && plan.changes_hosts());
        assert_eq!(plan.steps[1].needs, [plan.steps[0].id]);
        // Its host went with it.
        assert!(founds_anew(&cut_off(&[(2, None, &[])])));
    }

    #[test]
    fn as_long_as_a_host_may_have_the_data_nothing_is_founded() {
        for part in [Member, Joining, Leaving] {
            assert!(!founds_anew(&cut_off(&[(1, part, &[]), (2, Lost, &[])])), "{part:?}");
        }
        // A host that does not answer, in whatever state it is, and one whose orchestrator has its answers from somewhere.
        let whole = cut_off(&[(1, Lost, &[]), (2, None, &[])]);
        let mut silent = whole.clone();
        silent.hosts.get_mut(&name(2)).unwrap().report = Option::None;
        assert!(!founds_anew(&silent));
        silent.gaps.retain(|gap| gap.host != Some(name(2)));
        silent.hosts.get_mut(&name(2)).unwrap().state = InstanceState::Stopped;
        assert!(!founds_anew(&silent));
        let mut answered = whole.clone();
        says(&mut answered, 2, OrchestratorState::Ready);
        assert!(!founds_anew(&answered));
        let mut unknown = whole;
        unknown.gaps.push(Gap {
            host: Option::None,
            what: "an instance without a host".to_owned(),
            hint: Option::None,
        });
        assert!(steps(&unknown).is_empty());
    }

    #[test]
    fn a_quorum_is_lost_where_too_many_members_are_gone_for_good_and_not_where_they_are_silent() {
        let three: Told<'_> = &[(1, Silent), (2, Silent), (3, Silent)];
        assert_eq!(
            steps(&cut_off(&[(1, None, &[]), (2, Lost, &[]), (3, Member, three)]))[0],
            "hold the orchestrator on `web_1`, `web_2`, `web_3`: 2 of 3 members of etcd are gone for good"
        );
        assert!(founds_anew(&cut_off(&[(3, Member, three)])));
        assert!(!founds_anew(&cut_off(&[(1, Member, &[]), (2, Lost, &[]), (3, Member, three)])));
        let healthy: Told<'_> = &[(1, Healthy), (2, Healthy), (3, Silent)];
        assert!(!founds_anew(&cut_off(&[(1, Member, healthy), (2, Member, healthy), (3, Lost, &[])])));
        // A member that was added is on its way.
        assert!(!founds_anew(&cut_off(&[(1, Member, &[(1, Silent), (2, Added)]), (2, None, &[])])));
    }

    #[test]
    fn a_member_that_is_left_over_from_a_lost_etcd_is_led_to_the_new_one() {
        let (new, old): (Told<'_>, Told<'_>) = (&[(2, Healthy)], &[(1, Silent), (2, Healthy), (3, Silent)]);
        let mut observed = cut_off(&[(2, Member, new), (3, Member, old)]);
        says(&mut observed, 2, OrchestratorState::Ready);
        assert_eq!(steps(&observed), ["configure `web_3` (etcd on `web_2`): its orchestrator does not answer"]);
        // As long as none of the two has a quorum, or both seem to, nobody knows which one lives.
        let silent: Told<'_> = &[(2, Silent)];
        let seems_to: Told<'_> = &[(1, Healthy), (2, Healthy), (3, Silent)];
        for parts in [[(2, Member, silent), (3, Member, old)], [(2, Member, new), (3, Member, seems_to)]] {
            assert!(steps(&cut_off(&parts)).is_empty(), "{parts:?}");
        }
    }

    #[test]
    fn an_emptied_registry_is_filled_again_in_the_etcd_that_there_is() {
        let told: Told<'_> = &[(1, Healthy)];
        let mut observed = cut_off(&[(1, Member, told), (2, None, told)]);
        says(&mut observed, 1, OrchestratorState::Emptied("the registry is empty".to_owned()));
        assert_eq!(
            steps(&observed)[1],
            "register again what `web_1`, `web_2` have on record: the registry has lost what it knew, and what ran was stopped"
        );
        let plan = first_part(&observed).unwrap();
        assert!(plan.notes[0].contains("is started again"), "{:?}", plan.notes);
        // What a host has that does not answer, nobody knows.
        observed.hosts.get_mut(&name(2)).unwrap().report = Option::None;
        assert!(!steps(&observed).iter().any(|step| step.contains("register again")));
    }
}
