//! Addresses that outlive the instances of their hosts, and go with the hosts.

use skipper_core::{config::Config, exit::Exit};
use skipper_deploy::{
    runner::Bounds,
    sim::{Fault, FaultKind, SimWorld},
};

use crate::shop::{commit, plan, ship, ship_within, shop};

fn elastic(hosts: u32) -> Config {
    let mut config = shop(hosts);
    config.groups.values_mut().for_each(|group| group.elastic = true);
    config
}

/// The address of each host, with the host that its instance is.
fn leads(world: &SimWorld) -> Vec<(String, String, Option<String>)> {
    let state = world.look();
    let host = |address: &skipper_core::observed::Address| {
        let found = address.instance.as_ref().and_then(|instance| state.hosts.get(instance));
        found.filter(|host| host.alive()).map(|host| host.host.to_string())
    };
    let row = |(_, address): &(_, skipper_core::observed::Address)| {
        (address.host.to_string(), address.ip.clone(), host(address))
    };
    state.addresses.iter().map(row).collect()
}

fn terminate(world: &SimWorld, number: u32) {
    world.change().hosts.values_mut().filter(|host| host.host.number == number).for_each(|host| host.terminated = true);
}

#[test]
fn each_host_has_an_address_that_stays_when_its_instance_is_replaced() {
    let world = SimWorld::default();
    let told = ship(&world, &elastic(2), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    let step = "give elastic addresses: a new one to `app_1`, a new one to `app_2`: `address: elastic` asks for it";
    assert!(told.steps().contains(&step.to_owned()), "{:?}", told.steps());
    let before = leads(&world);
    assert!(before.iter().all(|(host, _, leads)| leads.as_ref() == Some(host)) && before.len() == 2, "{before:?}");
    assert!(ship(&world, &elastic(2), &commit(1)).steps().is_empty());

    terminate(&world, 2);
    let told = ship(&world, &elastic(2), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    let step = format!("give elastic addresses: {} to `app_2`: `address: elastic` asks for it", before[1].1);
    assert!(told.steps().contains(&step), "{:?}", told.steps());
    assert_eq!(leads(&world), before);
}

#[test]
fn an_address_goes_with_its_host_and_not_before() {
    let world = SimWorld::default();
    ship(&world, &elastic(2), &commit(1));
    // What the file does not ask for any more stays as long as its host.
    let told = ship(&world, &shop(2), &commit(1));
    assert_eq!((told.steps().len(), leads(&world).len()), (0, 2));
    assert!(told.plan().notes.iter().any(|note| note.contains("it goes with the host")), "{:?}", told.plan().notes);
    let told = ship(&world, &elastic(1), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    let steps = told.steps();
    assert!(steps[steps.len() - 2].starts_with("terminate host `app_2`"), "{steps:?}");
    assert!(steps[steps.len() - 1].starts_with("release address 198.51.100."), "{steps:?}");
    assert_eq!(leads(&world).iter().map(|(host, ..)| host.as_str()).collect::<Vec<_>>(), ["app_1"]);
}

#[test]
fn the_address_of_a_group_that_is_gone_is_kept_unless_its_hosts_may_go() {
    let world = SimWorld::default();
    ship(&world, &elastic(1), &commit(1));
    let mut other = elastic(1);
    let group = other.groups.remove(&"app".parse().unwrap()).unwrap();
    other.groups.insert("front".parse().unwrap(), group);
    terminate(&world, 1);
    let told = plan(&world, &other, &commit(1));
    assert!(told.plan().notes.iter().any(|note| note.contains("`--allow-terminate`")), "{:?}", told.plan().notes);
    assert!(!told.steps().iter().any(|step| step.starts_with("release")), "{:?}", told.steps());
    let allowed = Bounds { allow_terminate: true, ..Bounds::default() };
    let told = ship_within(&world, &other, &commit(1), allowed);
    assert!(told.steps().iter().any(|step| step.starts_with("release")), "{:?}", told.steps());
    assert_eq!(leads(&world).iter().map(|(host, ..)| host.as_str()).collect::<Vec<_>>(), ["front_1"]);
}

#[test]
fn a_reply_that_was_lost_leaves_no_second_address() {
    for call in ["compute.allocate_address", "compute.associate_address"] {
        for kind in [FaultKind::TimeoutDone, FaultKind::TimeoutUndone, FaultKind::Throttled] {
            let world = SimWorld::default();
            world.change().faults = vec![Fault::once(call, kind)];
            let told = ship(&world, &elastic(1), &commit(1));
            assert_eq!((told.exit, leads(&world).len()), (Exit::Serves, 1), "{call} {kind:?}: {:?}", told.finished());
        }
    }
    // And where one is left all the same, it is given back.
    let world = SimWorld::default();
    ship(&world, &elastic(1), &commit(1));
    let (scope, mut second) = world.look().addresses[0].clone();
    (second.allocation, second.instance) = ("eipalloc-0".to_owned(), None);
    world.change().addresses.push((scope, second));
    assert_eq!(ship(&world, &elastic(1), &commit(1)).exit, Exit::Serves);
    assert_eq!(leads(&world), [("app_1".to_owned(), leads(&world)[0].1.clone(), Some("app_1".to_owned()))]);
}

#[test]
fn addresses_are_in_the_estimate() {
    let world = SimWorld::default();
    let estimate = |config: &Config| {
        let told = plan(&world, config, &commit(1));
        let estimates = told.events.iter().filter_map(|event| match &event.kind {
            skipper_core::event::EventKind::Estimated { estimate } => Some(estimate.clone()),
            _ => None,
        });
        estimates.collect::<Vec<_>>().pop().unwrap().after.to_string()
    };
    assert_eq!((estimate(&shop(2)), estimate(&elastic(2))), ("$30.37".to_owned(), "$37.67".to_owned()));
}
