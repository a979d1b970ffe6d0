//! Services that find others by their names, wherever those run.

use skipper_core::{
    config::{Config, Group, Port},
    exit::Exit,
    observed::SecurityGroup,
    plan::Action,
};
use skipper_deploy::{
    runner::Bounds,
    sim::{Fault, FaultKind, SimWorld},
};

use super::previews::{remains, remove, ship_preview};
use crate::shop::{Told, commit, edit, scope, service, ship, ship_within, shop};

/// `web` on the hosts of `front` links to `redis` on those of `store`.
fn linked(front: u32, store: u32) -> Config {
    let mut config = shop(front);
    let group = config.groups.remove(&"app".parse().unwrap()).unwrap();
    let mut web = service("web", Port { host: Some(80), container: 5000 });
    web.links = vec!["redis".parse().unwrap()];
    let redis = service("redis", Port { host: Some(6379), container: 6379 });
    config.services = [("web".parse().unwrap(), web), ("redis".parse().unwrap(), redis)].into();
    let named = |service: &str, scale| Group { services: vec![service.parse().unwrap()], scale, ..group.clone() };
    config.groups.insert("front".parse().unwrap(), named("web", front));
    config.groups.insert("store".parse().unwrap(), Group { public_ports: Vec::new(), ..named("redis", store) });
    config
}

/// `edge` on the hosts of `store` links to `web`, so that each group links to the other.
fn chained() -> Config {
    let mut config = linked(1, 1);
    let mut edge = service("edge", Port { host: Some(443), container: 443 });
    edge.links = vec!["web".parse().unwrap()];
    config.services.insert("edge".parse().unwrap(), edge);
    let web = config.services.get_mut(&"web".parse().unwrap()).unwrap();
    web.ports = vec![Port { host: Some(80), container: 80 }];
    config.groups.get_mut(&"store".parse().unwrap()).unwrap().services.push("edge".parse().unwrap());
    config
}

/// Both on each host of one group.
fn together(hosts: u32) -> Config {
    let mut config = linked(hosts, 0);
    config.groups.remove(&"store".parse().unwrap());
    for group in config.groups.values_mut() {
        group.services = vec!["web".parse().unwrap(), "redis".parse().unwrap()];
    }
    config
}

/// The same with the hosts of a group of another processor.
fn of_arm64(mut config: Config, group: &str) -> Config {
    config.groups.get_mut(&group.parse().unwrap()).unwrap().size = "t4g.small".parse().unwrap();
    config
}

/// What the containers of a host are told, with the names of hosts for their addresses.
fn found_from(world: &SimWorld, host: &str) -> Vec<String> {
    let state = world.look();
    let alive = || state.hosts.values().filter(|found| found.alive());
    let host = alive().find(|found| found.host.to_string() == host).unwrap();
    let named = |address: String| {
        let at = alive().find(|found| found.address == address);
        at.map_or_else(|| "nobody".to_owned(), |found| found.host.to_string())
    };
    let places = host.links.get(&scope(&linked(1, 1))).into_iter().flatten();
    places.map(|place| format!("{} at {}", place.service, named(place.address.to_string()))).collect()
}

/// What a commit makes of a service will never answer.
fn break_image(world: &SimWorld, service: &str, config: &Config, number: u8) {
    let copy = SimWorld::default();
    copy.change().registry = world.look().registry.clone();
    ship(&copy, config, &commit(number));
    let ends = format!("/{service}");
    let images = copy.look().hosts.values().flat_map(|host| host.images.clone()).collect::<Vec<_>>();
    world.change().broken_images =
        images.into_iter().filter(|image| image.repository.path().ends_with(&ends)).collect();
}

/// The steps without those about hosts and images.
fn rollout(told: &Told) -> Vec<String> {
    let about = ["start", "replace", "remove", "tell", "terminate"];
    told.steps().into_iter().filter(|step| about.iter().any(|verb| step.starts_with(verb))).collect()
}

#[track_caller]
fn serves(world: &SimWorld, config: &Config, number: u8) -> Told {
    let told = ship(world, config, &commit(number));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    told
}

#[test]
fn what_is_linked_to_starts_first_and_is_known_before_it_is_needed() {
    let world = SimWorld::default();
    let told = serves(&world, &linked(2, 1), 1);
    assert_eq!(
        rollout(&told),
        [
            "start `redis_1` on `store_1`: it does not exist",
            "tell `front_1`, `front_2` that `redis` is on `store_1`: services there link to it",
            "start `web_1` on `front_1`, `web_2` on `front_2`: it does not exist",
        ]
    );
    assert_eq!(found_from(&world, "front_2"), ["redis at store_1"]);
    assert_eq!(found_from(&world, "store_1"), [""; 0]);
    assert!(serves(&world, &linked(2, 1), 1).plan().is_empty());
}

/// Who may reach the hosts of a group.
fn reached_by(world: &SimWorld, group: &str) -> Vec<String> {
    let name = SecurityGroup::Group(group.parse().unwrap());
    let state = world.look();
    let found = &state.security_groups[&(scope(&linked(1, 1)), name)];
    found.rules.iter().map(ToString::to_string).collect()
}

#[test]
fn groups_reach_what_they_link_to_and_nobody_else_does() {
    let world = SimWorld::default();
    let told = serves(&world, &linked(2, 1), 1);
    let steps = told.steps();
    let opened = steps
        .iter()
        .position(|step| step == "authorize tcp 6379 from group `front` into group `store`: no rule lets it in");
    let (opened, plan) = (told.plan().steps[opened.unwrap()].id, told.plan());
    let first = plan.steps.iter().find(|step| matches!(step.action, Action::StartReplicas { .. })).unwrap();
    assert!(first.needs.contains(&opened), "{first:?}");
    assert_eq!(reached_by(&world, "store"), ["tcp 6379 from group `front`"]);
    assert_eq!(reached_by(&world, "front"), ["tcp 80 from 0.0.0.0/0", "tcp 80 from ::/0"]);
    // What runs is left alone where only hosts are brought up, and what it needs stays open.
    let hosts_only = Bounds { hosts_only: true, ..Bounds::default() };
    assert!(ship_within(&world, &linked(2, 1), &commit(1), hosts_only).plan().is_empty());
}

#[test]
fn what_a_link_needed_is_closed_with_it_and_after_everything_else() {
    let world = SimWorld::default();
    serves(&world, &linked(1, 1), 1);
    let mut config = linked(1, 1);
    config.services.get_mut(&"web".parse().unwrap()).unwrap().links.clear();
    let steps = serves(&world, &config, 1).steps();
    let last = steps.last().unwrap();
    assert_eq!(last, "revoke tcp 6379 from group `front` into group `store`: skipper.yml does not ask for it");
    assert_eq!(reached_by(&world, "store"), [""; 0]);
}

#[test]
fn one_host_needs_no_way_to_itself_and_two_do() {
    let world = SimWorld::default();
    serves(&world, &together(1), 1);
    let private = |world: &SimWorld| {
        let all = reached_by(world, "front");
        all.into_iter().filter(|rule| rule.contains("group")).collect::<Vec<_>>()
    };
    assert_eq!(private(&world), [""; 0]);
    serves(&world, &together(2), 1);
    assert_eq!(private(&world), ["tcp 6379 from group `front`"]);
}

#[test]
fn a_preview_whose_groups_reach_each_other_leaves_nothing() {
    let world = SimWorld::default();
    assert_eq!(ship_preview(&world, &chained(), 7, 1).exit, Exit::Serves);
    let told = remove(&world, 7);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!(told.steps().iter().filter(|step| step.starts_with("revoke tcp ")).count(), 2, "{:?}", told.steps());
    assert_eq!(remains(&world, "pr-7"), [""; 0]);
}

#[test]
fn a_host_finds_its_own_replica_before_those_of_others() {
    let world = SimWorld::default();
    serves(&world, &together(3), 1);
    assert_eq!(found_from(&world, "front_1"), ["redis at front_1", "redis at front_2", "redis at front_3"]);
    assert_eq!(found_from(&world, "front_2"), ["redis at front_2", "redis at front_1", "redis at front_3"]);
}

#[test]
fn a_service_that_moves_is_found_there_before_it_ends_here_and_nobody_restarts() {
    let world = SimWorld::default();
    let mut config = linked(1, 1);
    let store = config.groups[&"store".parse().unwrap()].clone();
    config.groups.insert("vault".parse().unwrap(), Group { services: Vec::new(), ..store });
    serves(&world, &config, 1);
    let before = world.serving_on("front_1");
    let services = |config: &mut Config, group: &str, services: &[&str]| {
        let services = services.iter().map(|service| service.parse().unwrap()).collect();
        config.groups.get_mut(&group.parse().unwrap()).unwrap().services = services;
    };
    services(&mut config, "store", &[]);
    services(&mut config, "vault", &["redis"]);
    let told = serves(&world, &config, 1);
    let steps = rollout(&told);
    assert_eq!(
        steps[..2],
        [
            "start `redis_2` on `vault_1`: it does not exist",
            "tell `front_1` that `redis` is on `vault_1`: services there link to it",
        ]
    );
    assert!(steps[2].starts_with("remove `shop-production-redis_1-") && steps.len() == 3, "{steps:?}");
    assert_eq!(
        (found_from(&world, "front_1"), world.serving_on("front_1")),
        (vec!["redis at vault_1".to_owned()], before)
    );
}

#[test]
fn a_service_whose_host_is_launched_anew_is_found_at_its_new_address() {
    let world = SimWorld::default();
    serves(&world, &linked(1, 1), 1);
    let before = world.serving_on("front_1");
    let lost = |world: &SimWorld| {
        let mut state = world.change();
        state
            .hosts
            .values_mut()
            .filter(|host| host.host.to_string() == "store_1")
            .for_each(|host| host.terminated = true);
    };
    lost(&world);
    assert_eq!(found_from(&world, "front_1"), ["redis at nobody"]);
    let told = serves(&world, &linked(1, 1), 1);
    let steps = rollout(&told);
    assert!(steps.iter().any(|step| step.starts_with("tell `front_1` that `redis` is on `store_1`")), "{steps:?}");
    assert_eq!(
        (found_from(&world, "front_1"), world.serving_on("front_1")),
        (vec!["redis at store_1".to_owned()], before)
    );
}

#[test]
fn where_both_change_the_one_that_is_linked_to_is_replaced_first_on_all_hosts() {
    let world = SimWorld::default();
    serves(&world, &together(2), 1);
    edit(&world, "web", "new");
    edit(&world, "redis", "new");
    let steps = rollout(&serves(&world, &together(2), 2));
    let begins = |step: &String| step.split(' ').take(6).collect::<Vec<_>>().join(" ");
    assert_eq!(
        steps.iter().map(begins).collect::<Vec<_>>(),
        [
            "replace `redis_1` (stop-first) on host `front_1`:",
            "replace `redis_2` (stop-first) on host `front_2`:",
            "replace `web_1` (stop-first) on host `front_1`:",
            "replace `web_2` (stop-first) on host `front_2`:",
        ]
    );
}

#[test]
fn a_chain_of_links_starts_from_its_end() {
    let world = SimWorld::default();
    let config = chained();
    let told = serves(&world, &config, 1);
    assert_eq!(
        rollout(&told),
        [
            "start `redis_1` on `store_1`: it does not exist",
            "tell `front_1`, `store_1` that `redis` is on `store_1` and `web` is on `front_1`: services there link to it",
            "start `web_1` on `front_1`: it does not exist",
            "start `edge_1` on `store_1`: it does not exist",
        ]
    );
}

#[test]
fn what_another_hand_wrote_is_put_right_and_nothing_else_is_done() {
    let world = SimWorld::default();
    serves(&world, &linked(2, 1), 1);
    for host in world.change().hosts.values_mut().filter(|host| host.host.to_string() == "front_2") {
        host.links.values_mut().for_each(Vec::clear);
    }
    let told = serves(&world, &linked(2, 1), 1);
    assert_eq!(told.steps(), ["tell `front_2` that `redis` is on `store_1`: services there link to it"]);
    assert_eq!(found_from(&world, "front_2"), ["redis at store_1"]);
}

#[test]
fn a_link_that_comes_or_goes_rolls_the_service_that_has_it() {
    let world = SimWorld::default();
    let mut without = linked(1, 1);
    without.services.get_mut(&"web".parse().unwrap()).unwrap().links.clear();
    serves(&world, &without, 1);
    let steps = rollout(&serves(&world, &linked(1, 1), 1));
    assert!(steps[0].starts_with("tell `front_1`") && steps[1].starts_with("replace `web_1`"), "{steps:?}");
    let steps = rollout(&serves(&world, &without, 1));
    assert!(steps[0].starts_with("replace `web_1`") && steps.len() == 1, "{steps:?}");
}

#[test]
fn one_more_host_of_a_linked_service_is_told_of_once_it_serves() {
    let world = SimWorld::default();
    serves(&world, &linked(3, 1), 1);
    let steps = rollout(&serves(&world, &linked(3, 2), 1));
    assert_eq!(
        steps,
        [
            "start `redis_2` on `store_2`: it does not exist",
            "tell `front_1`, `front_2`, `front_3` that `redis` is on `store_1`, `store_2`: services there link to it",
        ]
    );
}

#[test]
fn nothing_starts_that_links_to_what_does_not_serve() {
    let world = SimWorld::default();
    serves(&world, &together(1), 1);
    let before = world.serving_on("front_1");
    edit(&world, "web", "new");
    edit(&world, "redis", "broken");
    break_image(&world, "redis", &together(1), 2);
    let told = ship(&world, &together(1), &commit(2));
    assert_eq!(told.exit, Exit::Restored, "{:?}", told.finished());
    assert_eq!(world.serving_on("front_1"), before);
    assert!(told.failure().contains("start replica `redis_1` on host `front_1`"), "{}", told.failure());
}

#[test]
fn a_service_that_is_left_alone_is_found_where_it_runs() {
    let world = SimWorld::default();
    let config = linked(1, 1);
    let only_web = || Bounds { services: ["web".parse().unwrap()].into(), ..Bounds::default() };
    serves(&world, &config, 1);
    let mut moved = config.clone();
    let store = moved.groups.get_mut(&"store".parse().unwrap()).unwrap();
    store.services.clear();
    let front = moved.groups.get_mut(&"front".parse().unwrap()).unwrap();
    front.services.push("redis".parse().unwrap());
    edit(&world, "web", "new");
    let told = ship_within(&world, &moved, &commit(2), only_web());
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!(found_from(&world, "front_1"), ["redis at store_1"]);
    assert_eq!(reached_by(&world, "store"), ["tcp 6379 from group `front`"]);
    serves(&world, &moved, 2);
    assert_eq!(found_from(&world, "front_1"), ["redis at front_1"]);
    assert_eq!(reached_by(&world, "store"), [""; 0]);
}

#[test]
fn a_host_that_could_not_be_told_keeps_what_needs_it_from_starting() {
    let world = SimWorld::default();
    world.change().faults = vec![Fault::always("remote.run/link", FaultKind::Denied)];
    let told = ship(&world, &linked(1, 1), &commit(1));
    assert_eq!(told.exit, Exit::Degraded, "{:?}", told.finished());
    assert_eq!((world.serving_on("store_1").len(), world.serving_on("front_1").len()), (1, 0));
    world.change().faults.clear();
    serves(&world, &linked(1, 1), 1);
}

#[test]
fn a_linked_service_is_found_elsewhere_while_its_host_is_replaced() {
    let world = SimWorld::default();
    ship(&world, &linked(1, 2), &commit(1));
    edit(&world, "redis", "new");
    edit(&world, "web", "new");
    let to = of_arm64(linked(1, 2), "store");
    let told = ship(&world, &to, &commit(2));
    assert_eq!(told.exit, Exit::Serves, "{:?}\n{:#?}", told.finished(), told.steps());
    let steps = told.steps();
    let at = |line: &str| {
        steps.iter().position(|step| step.starts_with(line)).unwrap_or_else(|| panic!("{line}: {steps:#?}"))
    };
    // Nobody is led to a host that is away, and `web` follows when all that it links to is new.
    assert!(at("tell `front_1` that `redis` is on `store_2`:") < at("terminate host `store_1`"), "{steps:#?}");
    assert!(at("terminate host `store_2`") < at("replace `web_1`"), "{steps:#?}");
    assert_eq!(found_from(&world, "front_1"), ["redis at store_1", "redis at store_2"]);
    assert!(ship(&world, &to, &commit(2)).plan().is_empty());
}

#[test]
fn a_new_service_is_there_before_what_links_to_it_where_its_hosts_are_replaced() {
    for group in ["store", "front"] {
        let world = SimWorld::default();
        let mut before = linked(1, 1);
        before.services.remove(&"redis".parse().unwrap());
        before.services.values_mut().for_each(|service| service.links.clear());
        before.groups.values_mut().for_each(|group| group.services.retain(|service| service.as_ref() == "web"));
        ship(&world, &before, &commit(1));
        let to = of_arm64(linked(1, 1), group);
        let told = ship(&world, &to, &commit(1));
        assert_eq!(told.exit, Exit::Serves, "{:?}\n{:#?}", told.finished(), told.steps());
        let steps = told.steps();
        let redis = steps.iter().position(|step| step.starts_with("start `redis_1`")).unwrap();
        let web = steps
            .iter()
            .position(|step| step.starts_with("replace `web_1`") || step.starts_with("start `web_1`"))
            .unwrap();
        assert!(redis < web, "{steps:#?}");
        assert!(ship(&world, &to, &commit(1)).plan().is_empty());
    }
}

#[test]
fn a_second_host_serves_all_that_links_while_the_only_one_is_replaced() {
    let world = SimWorld::default();
    ship(&world, &together(1), &commit(1));
    world.change().serving.clear();
    let to = of_arm64(together(2), "front");
    let told = serves(&world, &to, 1);
    assert!(!told.plan().notes.iter().any(|note| note.contains("nowhere until")), "{:?}", told.plan().notes);
    for service in ["web", "redis"] {
        let service = service.parse().unwrap();
        let least = world.look().serving.iter().map(|serving| serving.get(&service).copied().unwrap_or(0)).min();
        assert_eq!(least, Some(1), "{service}: {:#?}", told.steps());
    }
}

#[test]
fn the_next_host_goes_only_when_the_last_one_serves_again_after_a_run_that_broke_off() {
    let world = SimWorld::default();
    ship(&world, &together(2), &commit(1));
    edit(&world, "web", "broken");
    let to = of_arm64(together(2), "front");
    break_image(&world, "web", &to, 2);
    for _ in 0..2 {
        let told = ship(&world, &to, &commit(2));
        assert!(told.failure().contains("start replica `web_1` on host `front_1`"), "{}", told.failure());
        assert!(world.serving_on("front_2").iter().any(|unit| unit.contains("web")), "{:#?}", told.steps());
    }
}

#[test]
fn a_service_that_moves_to_a_host_that_is_replaced_is_found_where_it_was_until_then() {
    let world = SimWorld::default();
    let with_old = |redis_on: &str| {
        let mut config = linked(1, 1);
        let old = Group { scale: 1, ..config.groups[&"store".parse().unwrap()].clone() };
        config.groups.insert("old".parse().unwrap(), old);
        for (name, group) in &mut config.groups {
            group.services.retain(|service| service.as_ref() != "redis" || name.as_ref() == redis_on);
        }
        config
    };
    ship(&world, &with_old("old"), &commit(1));
    let told = ship(&world, &of_arm64(with_old("store"), "store"), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}\n{:#?}", told.finished(), told.steps());
    let steps = told.steps();
    let at =
        |line: &str| steps.iter().position(|step| step.contains(line)).unwrap_or_else(|| panic!("{line}: {steps:#?}"));
    assert!(at("start `redis_2` on `store_1`") < at("`redis` is on `store_1`"), "{steps:#?}");
    assert!(at("start `redis_2` on `store_1`") < at("from `old_1`"), "{steps:#?}");
    assert_eq!(found_from(&world, "front_1"), ["redis at store_1"]);
}
