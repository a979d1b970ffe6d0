//! Hosts that get another size.

use skipper_core::{config::Config, exit::Exit};
use skipper_deploy::{
    runner::Runner,
    sim::{Fault, FaultKind, SimWorld},
};

use crate::shop::{commit, plan, run, ship, ship_and_die, shop};

fn sized(hosts: u32, size: &str) -> Config {
    let mut config = shop(hosts);
    config.groups.values_mut().for_each(|group| group.size = size.parse().unwrap());
    config
}

fn sizes(world: &SimWorld) -> Vec<String> {
    world.look().hosts.values().filter(|host| host.alive()).map(|host| host.size.clone()).collect()
}

#[test]
fn a_group_of_another_size_is_resized_host_by_host_and_serves_on() {
    let world = SimWorld::default();
    ship(&world, &shop(3), &commit(1));
    let instances: Vec<_> = world.look().hosts.keys().cloned().collect();
    world.change().serving.clear();
    let told = ship(&world, &sized(3, "t3.large"), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    let steps = told.steps();
    assert_eq!(steps.len(), 9, "{steps:#?}");
    assert!(steps[0].starts_with("stop `") && steps[0].contains("on host `app_1`"), "{steps:#?}");
    assert!(
        steps[1].starts_with("resize host `app_1`") && steps[1].contains("to t3.large: the host is a `t3.small`"),
        "{steps:#?}"
    );
    assert!(steps[2].contains("on host `app_1`: it served before"), "{steps:#?}");
    assert!(steps[4].starts_with("resize host `app_2`") && steps[7].starts_with("resize host `app_3`"), "{steps:#?}");
    assert_eq!(sizes(&world), ["t3.large"; 3]);
    assert_eq!(world.look().hosts.keys().cloned().collect::<Vec<_>>(), instances, "none was replaced");
    let least = world.look().serving.iter().map(|serving| serving.values().min().copied().unwrap_or(0)).min();
    assert_eq!(least, Some(2), "one host at a time");
    assert!(ship(&world, &sized(3, "t3.large"), &commit(1)).plan().is_empty());
}

#[test]
fn a_size_that_cannot_be_had_is_given_up_and_the_host_serves_as_before() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    let before = (world.serving_on("app_1"), world.serving_on("app_2"));
    world.change().full_sizes.insert("t3.large".to_owned());
    let told = ship(&world, &sized(2, "t3.large"), &commit(1));
    assert!(told.failure().contains("InsufficientInstanceCapacity"), "{}", told.failure());
    assert_eq!(sizes(&world), ["t3.small"; 2]);
    assert_eq!(world.serving_on("app_2"), before.1, "the next host was not touched");
    // What was drained is started by whoever runs next.
    world.change().full_sizes.clear();
    let told = ship(&world, &shop(2), &commit(1));
    assert_eq!((told.exit, world.serving_on("app_1")), (Exit::Serves, before.0));
}

#[test]
fn another_processor_is_another_host() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    let told = plan(&world, &sized(1, "t4g.small"), &commit(1));
    assert_eq!(told.exit, Exit::Blocked);
    assert!(told.failure().contains("has another processor"), "{}", told.failure());
    let hint = told.plan().blocked[0].hint.clone().unwrap();
    assert!(hint.contains("`skipper instances remove app_1`"), "{hint}");
    // What it says is the way.
    let remove = async |runner: Runner<'_>| runner.remove_host("app_1", true).await;
    assert_eq!(run(&world, &shop(1), &commit(1), |_| false, remove).exit, Exit::Serves);
    let told = ship(&world, &sized(1, "t4g.small"), &commit(1));
    assert_eq!((told.exit, sizes(&world)), (Exit::Serves, vec!["t4g.small".to_owned()]), "{:?}", told.finished());
}

#[test]
fn a_run_that_dies_while_it_resizes_leaves_a_stopped_instance_that_is_told_and_continued() {
    for call in ["compute.stop", "compute.set_size", "compute.start"] {
        let world = SimWorld::default();
        ship(&world, &shop(1), &commit(1));
        world.change().faults.push(Fault::once(call, FaultKind::DiesAfter));
        assert!(ship_and_die(&world, &sized(1, "t3.large"), &commit(1), |_| false));
        if call != "compute.start" {
            let told = ship(&world, &sized(1, "t3.large"), &commit(1));
            assert_eq!(told.exit, Exit::Blocked, "{call}");
            assert!(told.failure().contains("is stopped"), "{call}: {}", told.failure());
            world.change().hosts.values_mut().for_each(|host| host.stopped = false);
        }
        let told = ship(&world, &sized(1, "t3.large"), &commit(1));
        assert_eq!(told.exit, Exit::Serves, "{call}: {:?}", told.finished());
        assert_eq!((sizes(&world), world.serving_on("app_1").len()), (vec!["t3.large".to_owned()], 2), "{call}");
    }
}
