//! The laws that hold for every configuration and every world, tried on many of them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use skipper_core::{
    config::{Config, InstanceType, Port},
    desired::Desired,
    exit::Exit,
    observed::{Agent, Gap, Observed},
    orchestrator::fleet::Fleet,
    plan::{Action, Placement, Plan, StepId},
};
use skipper_deploy::{events::Events, observe::Eyes, sim::SimWorld};

use crate::shop::{HOST_TIMEOUT, commit, in_time, scope, service, ship, shop};

/// A configuration with some services on fixed and chosen ports, some links between them, and some hosts of one of two processors.
fn configs() -> impl Strategy<Value = Config> {
    let ports = prop_oneof![Just(None), (80_u16..90).prop_map(Some)];
    let services = prop::collection::btree_map("[a-d]", (ports, 1_u32..3, any::<bool>()), 1..4);
    let sizes = prop_oneof![3 => Just("t3.small"), 1 => Just("t4g.small")];
    (1_u32..6, sizes, services).prop_map(|(hosts, size, services)| {
        let mut config = shop(hosts);
        config.services.clear();
        let mut taken = Vec::new();
        let mut found = Vec::new();
        for (name, (host, scale, links)) in services {
            // A fixed port is held once a host, and by one service.
            let host = host.filter(|port| !taken.contains(port));
            taken.extend(host);
            let mut spec = service(&name, Port { host, container: host.unwrap_or(5000) });
            spec.scale = if host.is_some() { 1 } else { scale };
            // To those before it, so that none goes in a circle.
            spec.links = if links { found.clone() } else { Vec::new() };
            found.extend(host.map(|_| name.parse().unwrap()));
            config.services.insert(name.parse().unwrap(), spec);
        }
        for group in config.groups.values_mut() {
            group.size = size.parse().unwrap();
            group.services = config.services.keys().cloned().collect();
            group.public_ports.clear();
        }
        config
    })
}

fn observe(world: &SimWorld, config: &Config) -> Observed {
    in_time(async {
        let events = Events::new(Vec::new());
        let eyes = Eyes {
            compute: world,
            remote: world,
            store: world,
            orchestrator: &Fleet,
            events: &events,
            after_another: false,
            host_timeout: HOST_TIMEOUT,
        };
        eyes.observe(config, &scope(config)).await.unwrap()
    })
}

/// What would be planned if every image of the release were the one that the registry has for the commit.
fn plan_of(world: &SimWorld, config: &Config, observed: &Observed) -> Plan {
    let images = config
        .services
        .iter()
        .filter_map(|(name, service)| {
            let digest = world.look().registry.tags.get(&(service.repository.clone(), commit(2).tag())).cloned()?;
            Some((name.clone(), skipper_core::image::PinnedImage { repository: service.repository.clone(), digest }))
        })
        .collect();
    let release = skipper_core::release::Release { revision: commit(2), images, secrets: Default::default() };
    skipper_core::plan::plan(&Desired::new(config, scope(config).environment, &release), observed, &Fleet)
}

/// How many hosts a configuration has, and of which size.
fn hosts(config: &Config) -> (u32, &InstanceType) {
    let group = config.groups.values().next().unwrap();
    (group.scale, &group.size)
}

fn destructive(plan: &Plan) -> usize {
    let harm = |action: &Action| match action {
        Action::TerminateHost { .. } | Action::RevokeIngress { .. } => 1,
        Action::RemoveReplicas { removals, .. } => removals.values().map(Vec::len).sum(),
        Action::ReplaceReplicas { replacements, .. } => replacements.len(),
        _ => 0,
    };
    plan.steps.iter().map(|step| harm(&step.action)).sum()
}

/// One member of etcd below three hosts, else three, all of them at work.
fn has_its_members(world: &SimWorld, hosts: u32) {
    let state = world.look();
    let members: Vec<bool> = state.etcd.values().flat_map(|members| members.values().copied()).collect();
    assert_eq!(members, vec![true; if hosts < 3 { 1 } else { 3 }]);
}

/// What a plan starts: in which step, what and where, and the ports that it takes the place of.
fn arrivals(plan: &Plan) -> Vec<(StepId, &Placement, BTreeSet<u16>)> {
    let mut arrivals = Vec::new();
    for step in &plan.steps {
        match &step.action {
            Action::StartReplicas { replicas } => {
                arrivals.extend(replicas.iter().map(|fresh| (step.id, &fresh.placement, BTreeSet::new())));
            }
            Action::ReplaceReplicas { replacements, .. } => {
                let replaced = replacements.iter();
                arrivals.extend(replaced.map(|replaced| (step.id, &replaced.new, replaced.old_ports.clone())));
            }
            _ => {}
        }
    }
    arrivals
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Convergence, idempotence and safety: from any world that skipper made to any other.
    #[test]
    fn every_rollout_converges_and_keeps_enough_serving(from in configs(), to in configs()) {
        let world = SimWorld::default();
        prop_assert_eq!(ship(&world, &from, &commit(1)).exit, Exit::Serves);
        world.change().serving.clear();
        let told = ship(&world, &to, &commit(2));
        prop_assert_eq!(told.exit, Exit::Serves, "{:?}\n{:?}", told.steps(), told.finished());
        // A service keeps serving on all hosts but the one whose replicas are being replaced, and those that leave.
        for (name, service) in &to.services {
            let Some(before) = from.services.get(name) else { continue };
            let staying = hosts(&from).0.min(hosts(&to).0).saturating_sub(1);
            let least = (before.scale.min(service.scale) * staying) as usize;
            let lowest = world.look().serving.iter().map(|serving| serving.get(name).copied().unwrap_or(0)).min();
            prop_assert!(lowest.is_none_or(|lowest| lowest >= least), "{name} fell to {lowest:?} below {least}: {:?}", told.steps());
        }
        has_its_members(&world, hosts(&to).0);
        let again = ship(&world, &to, &commit(2));
        prop_assert!(again.plan().is_empty(), "{:?}", again.steps());
    }

    /// No harm from ignorance: whatever becomes a gap, no destructive step is added.
    #[test]
    fn not_knowing_never_destroys(from in configs(), to in configs(), forgotten in 0_usize..6) {
        let world = SimWorld::default();
        ship(&world, &from, &commit(1));
        let mut observed = observe(&world, &to);
        let known = plan_of(&world, &to, &observed);
        let Some(host) = observed.hosts.keys().nth(forgotten % observed.hosts.len().max(1)).cloned() else { return Ok(()) };
        if let Some(found) = observed.hosts.get_mut(&host) {
            found.report = None;
            found.agent = Agent::Lost;
        }
        observed.gaps.push(Gap { host: Some(host), what: "it does not answer".to_owned(), hint: None });
        let unknown = plan_of(&world, &to, &observed);
        prop_assert!(destructive(&unknown) <= destructive(&known));
        prop_assert!(!unknown.blocked.is_empty());
    }

    /// Determinism, and `needs` that only look back.
    #[test]
    fn equal_worlds_give_equal_plans_in_a_possible_order(from in configs(), to in configs()) {
        let world = SimWorld::default();
        ship(&world, &from, &commit(1));
        let observed = observe(&world, &to);
        let plan = plan_of(&world, &to, &observed);
        let mut shuffled = observed.clone();
        for report in shuffled.hosts.values_mut().filter_map(|host| host.report.as_mut()) {
            report.replicas.reverse();
        }
        prop_assert_eq!(&plan, &plan_of(&world, &to, &shuffled));
        for step in &plan.steps {
            prop_assert!(step.needs.iter().all(|need| *need < step.id));
        }
    }

    /// What is linked to starts, and is replaced, before what links to it; but where one takes another's port over, and on other hosts
    /// where those are replaced one after another.
    #[test]
    fn whatever_is_linked_to_comes_first(from in configs(), to in configs()) {
        let world = SimWorld::default();
        ship(&world, &from, &commit(1));
        let told = ship(&world, &to, &commit(2));
        let arrivals = arrivals(told.plan());
        let takes_over = arrivals.iter().any(|(_, one, _)| {
            let ports: Vec<u16> = one.bindings.iter().map(|binding| binding.host).collect();
            arrivals.iter().any(|(_, other, held)| {
                other.replica.service != one.replica.service && other.host == one.host && ports.iter().any(|port| held.contains(port))
            })
        });
        prop_assume!(!takes_over);
        let replaces = hosts(&from).1 != hosts(&to).1;
        for (after, linking, _) in &arrivals {
            let links = &to.services[&linking.replica.service].links;
            let concerns = |other: &Placement| links.contains(&other.replica.service) && (!replaces || other.host == linking.host);
            for (before, linked, _) in arrivals.iter().filter(|(_, other, _)| concerns(other)) {
                prop_assert!(before < after, "{} before {}", linking.replica, linked.replica);
            }
        }
    }

    /// Nothing that is broken is ever reported as serving: no false green.
    #[test]
    fn a_broken_host_is_never_green(from in configs(), to in configs(), broken in 1_u32..6) {
        let world = SimWorld::default();
        ship(&world, &from, &commit(1));
        world.change().broken_hosts.insert(format!("app_{broken}").parse().unwrap());
        let told = ship(&world, &to, &commit(2));
        if told.exit == Exit::Serves {
            for host in observe(&world, &to).hosts.values() {
                let report = host.report.as_ref().unwrap();
                let all_serve = report.replicas.iter().all(|replica| replica.state == skipper_core::observed::ReplicaState::Running);
                prop_assert!(all_serve, "{:?}", report.replicas);
            }
        }
    }
}
