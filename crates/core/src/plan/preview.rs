//! The beginning and the end of a preview: whether there is room for one more, and what it takes to leave nothing of one.

use std::collections::BTreeMap;

use super::{Action, Draft, Plan, Reason, Removal, StepId};
use crate::{
    desired::{Desired, Scope},
    name::{HostName, ReplicaName},
    observed::{Address, Handle, IngressRule, Observed, SecurityGroup},
    preview::{Cause, Owned, Remains, Thing},
};

/// Blocks a preview that would be one too many. One that exists goes on, however many there are.
pub(super) fn find_room(desired: &Desired, observed: &Observed, draft: &mut Draft) {
    let Some(most) = desired.most_previews else { return };
    let own = desired.scope.environment.pull_request();
    let others: Vec<String> = observed
        .previews
        .iter()
        .filter(|number| Some(**number) != own)
        .map(|number| format!("`pr-{number}`"))
        .collect();
    // They are looked for only before there is anything of this one.
    if others.len() < most as usize {
        return;
    }
    draft.block(
        format!("environment `{}`", desired.scope.environment),
        format!("there are {} previews already ({}), and `previews.max` is {most}", others.len(), others.join(", ")),
        "close one of their pull requests, run `skipper previews sweep`, or raise `previews.max`",
    );
}

/// What it takes to leave nothing of a preview, or of the hosts that previews shared once there is none.
///
/// This is the one plan that ends an environment as a whole, whatever its own hosts run and whether they answer: so it is made for
/// previews alone, and of what carries the tag of their own pull request. On hosts that it shares it is made of its replicas and
/// volumes, so those must have answered. Replicas and instances go first, then what they used, and what is recorded last: whoever finds the
/// records knows that something may be left. It is total, as every plan.
pub fn removal(scope: &Scope, remains: &Remains, cause: &Cause) -> Plan {
    let mut draft = Draft::default();
    let number = scope.environment.pull_request();
    if number.is_none() && *scope != scope.of_previews() {
        draft.block(
            format!("environment `{}`", scope.environment),
            "it is no preview, and only a preview is removed as a whole",
            "name the environment of a pull request, such as `pr-7`",
        );
        return draft.finish();
    }
    draft.block_gaps(&remains.shared);
    let ends = || Reason::PreviewEnds(cause.clone());
    let removals = on_hosts(scope, &remains.shared, &ends());
    if !removals.is_empty() {
        draft.step(Action::RemoveReplicas { removals, ends: true }, ends(), []);
    }
    let mut groups: Vec<(&SecurityGroup, &String)> = Vec::new();
    let mut addresses: Vec<&Address> = Vec::new();
    let mut terminated: Vec<StepId> = Vec::new();
    for owned in &remains.owned {
        match &owned.thing {
            thing if owned.environment != scope.environment || owned.pull_request != number => {
                draft.block(
                    name(thing),
                    foreign(owned, number),
                    "see whose it is, and remove it yourself if it should not be there",
                );
            }
            Thing::Instance { instance, host: Some(host) } => {
                let action = Action::TerminateHost { host: host.clone(), instance: instance.clone() };
                terminated.push(draft.step(action, ends(), []));
            }
            Thing::SecurityGroup { id, security_group: Some(security_group) } => groups.push((security_group, id)),
            Thing::Address { address: Some(address), .. } => addresses.push(address),
            thing => draft.block(
                name(thing),
                "it carries the preview's tags, and does not say what it is there for",
                "remove it yourself if it should not be there",
            ),
        }
    }
    // A security group stays while a rule of another names it.
    let mut revoked: Vec<StepId> = Vec::new();
    for (security_group, _) in &groups {
        let found = remains.shared.security_groups.get(*security_group);
        let names_another =
            |rule: &&IngressRule| rule.source.security_group().is_some_and(|named| named != **security_group);
        let rules: Vec<IngressRule> =
            found.into_iter().flat_map(|found| &found.rules).filter(names_another).cloned().collect();
        if !rules.is_empty() {
            let action = Action::RevokeIngress { security_group: (*security_group).clone(), rules };
            revoked.push(draft.step(action, ends(), terminated.iter().copied()));
        }
    }
    for address in addresses {
        draft.step(Action::ReleaseAddress { address: address.clone() }, ends(), terminated.iter().copied());
    }
    // Every host is in its group's security group and in the cluster's.
    let unused: Vec<StepId> = terminated.into_iter().chain(revoked).collect();
    for (security_group, id) in groups {
        let action = Action::DeleteSecurityGroup { security_group: security_group.clone(), id: id.clone() };
        draft.step(action, ends(), unused.iter().copied());
    }
    let records = remains.forgettable();
    if !records.is_empty() {
        let after = draft.ends();
        draft.step(Action::ForgetRecords { records }, ends(), after);
    }
    draft.finish()
}

/// All replicas on hosts that are shared, and every host that has volumes of the preview, if no replica any more. Replicas that are
/// registered for hosts that are gone are forgotten by one that tells of them.
fn on_hosts(scope: &Scope, shared: &Observed, reason: &Reason) -> BTreeMap<HostName, Vec<Removal>> {
    let mut removals: BTreeMap<HostName, BTreeMap<Handle, Option<ReplicaName>>> = BTreeMap::new();
    for (host, found) in shared.replicas() {
        let here = removals.entry(host.clone()).or_default();
        here.insert(found.handle.clone(), Some(found.replica.clone()));
    }
    for (host, found) in &shared.hosts {
        if found.report.as_ref().is_some_and(|report| report.has_volumes(scope)) {
            removals.entry(host.clone()).or_default();
        }
    }
    // All tell of the same strays.
    let mut told = shared.hosts.iter().filter_map(|(host, found)| Some((host, &found.report.as_ref()?.stray)));
    if let Some((host, stray)) = told.find(|(_, stray)| !stray.is_empty()) {
        let here = removals.entry(host.clone()).or_default();
        here.extend(stray.iter().map(|stray| (stray.handle.clone(), None)));
    }
    let removal = |(handle, replica)| Removal { replica, handle, reason: reason.clone() };
    removals.into_iter().map(|(host, here)| (host, here.into_iter().map(removal).collect())).collect()
}

fn name(thing: &Thing) -> String {
    match thing {
        Thing::Instance { instance, .. } => format!("instance `{instance}`"),
        Thing::SecurityGroup { id, .. } => format!("security group `{id}`"),
        Thing::Address { allocation, .. } => format!("address `{allocation}`"),
    }
}

fn foreign(owned: &Owned, number: Option<u64>) -> String {
    match (owned.pull_request, number) {
        (Some(other), _) => format!("it belongs to `{}`, and its tag says pull request {other}", owned.environment),
        (None, None) => format!("it belongs to `{}`", owned.environment),
        (None, Some(number)) => {
            format!("it belongs to `{}`, and does not carry the tag `skipper:pull-request={number}`", owned.environment)
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        observed::{
            Agent, HostReport, InstanceId, InstanceState, ObservedHost, ObservedSecurityGroup, OrchestratorState,
            Source,
        },
        render::words,
    };

    fn scope(environment: &str) -> Scope {
        Scope { project: "demo".parse().unwrap(), environment: environment.parse().unwrap() }
    }

    fn owned(environment: &str, pull_request: Option<u64>, thing: Thing) -> Owned {
        Owned { environment: environment.parse().unwrap(), pull_request, thing }
    }

    fn host(number: u32) -> Thing {
        let host = Some(format!("web_{number}").parse().unwrap());
        Thing::Instance { instance: InstanceId(format!("i-{number}")), host }
    }

    fn group(security_group: SecurityGroup) -> Thing {
        Thing::SecurityGroup { id: "sg-1".to_owned(), security_group: Some(security_group) }
    }

    fn remains(owned: Vec<Owned>, records: &[&str]) -> Remains {
        let records = records.iter().map(|record| (*record).to_owned()).collect();
        Remains { owned, records, ..Remains::default() }
    }

    fn steps(plan: &Plan) -> Vec<String> {
        plan.steps.iter().map(words::step).collect()
    }

    #[test]
    fn instances_go_before_what_they_used_and_records_last() {
        let things = vec![
            owned("pr-7", Some(7), group(SecurityGroup::Cluster)),
            owned("pr-7", Some(7), host(1)),
            owned("pr-7", Some(7), host(2)),
        ];
        let plan =
            removal(&scope("pr-7"), &remains(things, &["launches/web_1", "lease/1", "releases/1"]), &Cause::Closed);
        assert_eq!(
            steps(&plan),
            [
                "terminate host `web_1` (`i-1`): its pull request is closed",
                "terminate host `web_2` (`i-2`): its pull request is closed",
                "delete the security group of the cluster (`sg-1`): its pull request is closed",
                "remove 2 records of the environment: its pull request is closed",
            ]
        );
        assert_eq!(plan.steps[2].needs, [StepId(1), StepId(2)]);
        assert_eq!(plan.steps[3].needs, [StepId(3)]);
        let Action::ForgetRecords { records } = &plan.steps[3].action else { panic!("{plan:?}") };
        assert_eq!(records, &["launches/web_1", "releases/1"]);
    }

    #[test]
    fn security_groups_that_name_each_other_let_go_before_they_are_deleted() {
        let named = |name: &str| SecurityGroup::Group(name.parse().unwrap());
        let found = |source: Source| ObservedSecurityGroup {
            id: "sg-1".to_owned(),
            rules: [Source::AnyIpv4, source].map(|source| IngressRule { from_port: 80, to_port: 80, source }).into(),
            marked: Default::default(),
        };
        let things = [SecurityGroup::Cluster, named("web"), named("store")];
        let mut remains = remains(things.map(|group_| owned("pr-7", Some(7), group(group_))).into(), &[]);
        remains.shared.security_groups = BTreeMap::from([
            (SecurityGroup::Cluster, found(Source::Cluster)),
            (named("web"), found(Source::Group("store".parse().unwrap()))),
            (named("store"), found(Source::Group("web".parse().unwrap()))),
        ]);
        let plan = removal(&scope("pr-7"), &remains, &Cause::Closed);
        assert_eq!(
            steps(&plan)[..2],
            [
                "revoke tcp 80 from group `store` into group `web`: its pull request is closed",
                "revoke tcp 80 from group `web` into group `store`: its pull request is closed",
            ]
        );
        assert_eq!(plan.steps.len(), 5);
        assert!(plan.steps[2..].iter().all(|step| step.needs == [StepId(1), StepId(2)]), "{plan:?}");
    }

    #[test]
    fn addresses_are_released_when_no_instance_uses_them() {
        let address = |host: Option<&str>| {
            let allocation = "eipalloc-1".to_owned();
            let of = |host: &str| Address {
                host: host.parse().unwrap(),
                allocation: allocation.clone(),
                ip: "198.51.100.7".to_owned(),
                instance: None,
            };
            Thing::Address { address: host.map(of), allocation }
        };
        let things = vec![owned("pr-7", Some(7), address(Some("web_1"))), owned("pr-7", Some(7), host(1))];
        let plan = removal(&scope("pr-7"), &remains(things, &[]), &Cause::Closed);
        assert_eq!(steps(&plan)[1], "release address 198.51.100.7 of host `web_1`: its pull request is closed");
        assert_eq!(plan.steps[1].needs, [StepId(1)]);
        let plan = removal(&scope("pr-7"), &remains(vec![owned("pr-7", Some(7), address(None))], &[]), &Cause::Closed);
        assert_eq!((plan.steps.len(), plan.blocked[0].what.as_str()), (0, "address `eipalloc-1`"));
    }

    /// A shared host of a cluster on which nothing of the preview runs.
    fn with_volumes(volumes: Option<&[&str]>) -> Remains {
        let report = HostReport {
            host: Some("app_1".parse().unwrap()),
            volumes: volumes.map(|volumes| volumes.iter().map(|volume| (*volume).to_owned()).collect()),
            ..HostReport::bare(OrchestratorState::Ready)
        };
        let mut remains = remains(Vec::new(), &["releases/1"]);
        remains.shared.hosts.insert("app_1".parse().unwrap(), shared_host(report));
        remains
    }

    fn shared_host(report: HostReport) -> ObservedHost {
        ObservedHost {
            instance: InstanceId("i-1".to_owned()),
            state: InstanceState::Running,
            size: "t3.small".to_owned(),
            instance_store: false,
            private_address: None,
            public_address: None,
            agent: Agent::Online,
            report: Some(report),
        }
    }

    #[test]
    fn volumes_go_from_hosts_on_which_nothing_of_the_preview_runs_any_more() {
        // Where the engine does not say, there may be some.
        for volumes in [Some(&["demo.pr-77.data", "demo.pr-7.data"][..]), None] {
            let remains = with_volumes(volumes);
            let plan = removal(&scope("pr-7"), &remains, &Cause::Closed);
            assert_eq!(
                steps(&plan),
                [
                    "remove volumes of the environment from `app_1`: its pull request is closed",
                    "remove 1 record of the environment: its pull request is closed",
                ]
            );
            assert!(matches!(plan.steps[0].action, Action::RemoveReplicas { ends: true, .. }), "{plan:?}");
            assert_eq!(plan.steps[1].needs, [StepId(1)], "records go last");
            assert!(!Remains { records: BTreeSet::new(), ..remains }.is_empty(&scope("pr-7")));
        }
    }

    #[test]
    fn volumes_of_other_previews_are_none_of_this_one() {
        let remains = Remains { records: BTreeSet::new(), ..with_volumes(Some(&["demo.pr-77.data", "demo.pr-7x"])) };
        assert!(remains.is_empty(&scope("pr-7")));
        assert!(removal(&scope("pr-7"), &remains, &Cause::Closed).is_empty());
    }

    #[test]
    fn only_a_preview_is_removed_as_a_whole() {
        let things = vec![owned("production", None, host(1))];
        let plan = removal(&scope("production"), &remains(things, &["releases/1"]), &Cause::Closed);
        assert!(plan.steps.is_empty() && plan.blocked[0].why.contains("is no preview"), "{plan:?}");
    }

    #[test]
    fn what_does_not_carry_the_pull_request_s_tag_is_not_touched_and_blocks_the_rest() {
        for other in [None, Some(8)] {
            let things = vec![owned("pr-7", other, host(1)), owned("pr-7", Some(7), host(2))];
            let plan = removal(&scope("pr-7"), &remains(things, &[]), &Cause::Closed);
            assert_eq!(plan.blocked.len(), 1, "{plan:?}");
            assert!(!steps(&plan).iter().any(|step| step.contains("i-1")), "{plan:?}");
        }
    }

    #[test]
    fn what_does_not_say_what_it_is_there_for_is_left_to_people() {
        let unnamed = Thing::Instance { instance: InstanceId("i-1".to_owned()), host: None };
        let plan = removal(&scope("pr-7"), &remains(vec![owned("pr-7", Some(7), unnamed)], &[]), &Cause::Closed);
        assert!(plan.steps.is_empty() && plan.blocked[0].what == "instance `i-1`", "{plan:?}");
    }

    #[test]
    fn where_nothing_is_left_there_is_nothing_to_do() {
        assert!(removal(&scope("pr-7"), &Remains::default(), &Cause::Closed).is_empty());
        // The lease is that of whoever removes the rest.
        assert!(removal(&scope("pr-7"), &remains(Vec::new(), &["lease/3"]), &Cause::Closed).is_empty());
    }

    fn blocked(number: u64, others: &[u64]) -> Vec<String> {
        let desired = Desired { most_previews: Some(2), ..Desired::nothing(scope(&format!("pr-{number}")), 0) };
        let observed = Observed { previews: others.iter().copied().collect::<BTreeSet<_>>(), ..Observed::default() };
        let mut draft = Draft::default();
        find_room(&desired, &observed, &mut draft);
        draft.blocked.into_iter().map(|blocked| blocked.why).collect()
    }

    #[test]
    fn one_preview_too_many_is_refused_and_told_which_there_are() {
        assert_eq!(blocked(7, &[5, 6]), ["there are 2 previews already (`pr-5`, `pr-6`), and `previews.max` is 2"]);
        assert!(blocked(7, &[6]).is_empty());
        assert!(blocked(7, &[6, 7]).is_empty(), "it is one of them");
    }
}
