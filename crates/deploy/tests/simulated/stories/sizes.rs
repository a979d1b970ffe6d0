//! Hosts that get another size.

use std::cell::Cell;

use skipper_core::{
    config::Config,
    event::{Event, EventKind},
    exit::Exit,
    observed::Address,
    plan::Outline,
};
use skipper_deploy::{
    runner::{Bounds, Runner},
    sim::{Fault, FaultKind, SimWorld},
};

use crate::shop::{commit, edit, plan, run, ship, ship_and_die, ship_within, shop};

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
fn what_hosts_of_another_size_cost_is_told_before() {
    for size in ["t3.large", "t4g.small"] {
        let world = SimWorld::default();
        ship(&world, &shop(2), &commit(1));
        let told = plan(&world, &sized(2, size), &commit(1));
        let estimate = told.events.iter().find_map(|event| match &event.kind {
            EventKind::Estimated { estimate } => Some(estimate.clone()),
            _ => None,
        });
        let estimate = estimate.unwrap();
        assert_eq!(estimate.before.to_string(), "$30.37");
        let price = if size == "t3.large" { "$121.47" } else { "$24.53" };
        assert_eq!(estimate.after.to_string(), price, "{size}");
    }
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
fn hosts_of_another_processor_are_replaced_one_after_another() {
    let world = SimWorld::default();
    ship(&world, &shop(3), &commit(1));
    let before: Vec<_> = world.look().hosts.keys().cloned().collect();

    let planned = plan(&world, &sized(3, "t4g.small"), &commit(1));
    let notes = planned.plan().notes.join("\n");
    assert!(notes.contains("hosts `app_1`, `app_2`, `app_3` are replaced, one at a time"), "{notes}");
    assert!(!notes.contains("and nowhere until"), "{notes}");

    world.change().serving.clear();
    let told = ship(&world, &sized(3, "t4g.small"), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!(told.steps(), planned.steps(), "all of it was told before");
    let lines = Outline::of(told.plan()).0;
    let of = |verb: &str| -> Vec<usize> {
        (1..=3)
            .map(|n| lines.iter().position(|line| line.starts_with(&format!("{verb} host `app_{n}`"))).unwrap())
            .collect()
    };
    let (ended, launched) = (of("terminate"), of("launch"));
    assert!(
        ended[0] < launched[0] && launched[0] < ended[1] && ended[1] < launched[1] && launched[1] < ended[2],
        "{lines:#?}"
    );
    assert_eq!(sizes(&world), ["t4g.small"; 3]);
    assert!(world.look().hosts.iter().filter(|(_, host)| host.alive()).all(|(instance, _)| !before.contains(instance)));
    let least = world.look().serving.iter().map(|serving| serving.values().min().copied().unwrap_or(0)).min();
    assert_eq!(least, Some(2), "one host at a time");
    assert!(ship(&world, &sized(3, "t4g.small"), &commit(1)).plan().is_empty());
}

#[test]
fn the_only_host_is_replaced_and_what_serves_nowhere_meanwhile_is_told_before() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    let told = plan(&world, &sized(1, "t4g.small"), &commit(1));
    let notes = told.plan().notes.join("\n");
    for service in ["web", "clock"] {
        let line = format!("`{service}` serves on host `app_1` alone, and nowhere until that is replaced");
        assert!(notes.contains(&line), "{notes}");
    }
    let told = ship(&world, &sized(1, "t4g.small"), &commit(1));
    assert_eq!((told.exit, sizes(&world)), (Exit::Serves, vec!["t4g.small".to_owned()]), "{:?}", told.finished());
    assert_eq!(world.serving_on("app_1").len(), 2);
    assert!(ship(&world, &sized(1, "t4g.small"), &commit(1)).plan().is_empty());
}

#[test]
fn a_host_that_cannot_be_stopped_is_replaced_with_its_number_and_its_elastic_address() {
    let world = SimWorld::default();
    let elastic = |mut config: Config| {
        config.groups.values_mut().for_each(|group| group.elastic = true);
        config
    };
    ship(&world, &elastic(shop(2)), &commit(1));
    let addresses = |world: &SimWorld| -> Vec<(String, String)> {
        let state = world.look();
        let mut all: Vec<_> =
            state.addresses.iter().map(|(_, address)| (address.host.to_string(), address.ip.clone())).collect();
        all.sort();
        all
    };
    let before = addresses(&world);
    // What an earlier run has left over is not taken for the one that leads there.
    let left = Address {
        allocation: "eipalloc-0".to_owned(),
        ip: "198.51.100.9".to_owned(),
        ..world.look().addresses[0].1.clone()
    };
    let left = Address { instance: None, ..left };
    let scope = world.look().addresses[0].0.clone();
    world.change().addresses.push((scope, left));
    world.change().hosts.values_mut().for_each(|host| host.instance_store = true);
    let told = ship(&world, &elastic(sized(2, "t3.large")), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert!(told.steps().iter().any(|step| step.contains("on the machine's own store")), "{:#?}", told.steps());
    assert_eq!((sizes(&world), addresses(&world)), (vec!["t3.large".to_owned(); 2], before));
    assert!(ship(&world, &elastic(sized(2, "t3.large")), &commit(1)).plan().is_empty());
}

#[test]
fn a_new_release_reaches_other_hosts_first_and_replaced_ones_with_their_instances() {
    let world = SimWorld::default();
    let with_group = |size: &str| {
        let mut config = sized(2, size);
        let mut other = config.groups[&"app".parse().unwrap()].clone();
        other.size = "t3.small".parse().unwrap();
        other.scale = 1;
        config.groups.insert("edge".parse().unwrap(), other);
        config
    };
    ship(&world, &with_group("t3.small"), &commit(1));
    edit(&world, "web", "another page");
    let told = ship(&world, &with_group("t4g.small"), &commit(2));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    let steps = told.steps();
    let replaced =
        steps.iter().position(|step| step.contains("on `edge_1`") || step.contains("on host `edge_1`")).unwrap();
    let ended = steps.iter().position(|step| step.starts_with("terminate host `app_1`")).unwrap();
    assert!(replaced < ended, "{steps:#?}");
    assert!(!steps.iter().any(|step| step.starts_with("replace") && step.contains("`app_")), "{steps:#?}");
    assert!(ship(&world, &with_group("t4g.small"), &commit(2)).plan().is_empty());
}

#[test]
fn what_is_not_needed_any_more_goes_when_all_hosts_are_replaced() {
    let world = SimWorld::default();
    let groups = |size: &str, hosts: u32, clock_on: &str| {
        let mut config = sized(hosts, size);
        let mut edge = config.groups[&"app".parse().unwrap()].clone();
        (edge.size, edge.scale, edge.public_ports) = ("t3.small".parse().unwrap(), 1, Vec::new());
        config.groups.insert("edge".parse().unwrap(), edge);
        for (name, group) in &mut config.groups {
            group.services.retain(|service| service.as_ref() != "clock" || name.as_ref() == clock_on);
        }
        config
    };
    ship(&world, &groups("t3.small", 3, "edge"), &commit(1));
    // Fewer hosts, another port and another place for `clock`, all at once with another processor.
    let mut to = groups("t4g.small", 2, "app");
    to.groups.get_mut(&"app".parse().unwrap()).unwrap().public_ports = vec![8080];
    world.change().serving.clear();
    let told = ship(&world, &to, &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    let lines = Outline::of(told.plan()).0;
    let at = |line: &str| {
        lines.iter().position(|other| other.contains(line)).unwrap_or_else(|| panic!("{line}: {lines:#?}"))
    };
    assert!(at("open tcp 8080") < at("terminate host `app_1`"), "{lines:#?}");
    for late in ["close tcp 80 ", "from `edge_1`", "terminate host `app_3`"] {
        assert!(at("launch host `app_2`") < at(late), "{lines:#?}");
    }
    assert_eq!(lines.iter().filter(|line| line.starts_with("terminate")).count(), 3, "{lines:#?}");
    for service in ["web", "clock"] {
        let least = world
            .look()
            .serving
            .iter()
            .map(|serving| serving.get(&service.parse().unwrap()).copied().unwrap_or(0))
            .min();
        assert!(least >= Some(1), "{service}: {least:?}");
    }
    assert!(ship(&world, &to, &commit(1)).plan().is_empty());
}

#[test]
fn data_keep_a_host_from_being_replaced_until_their_loss_is_allowed() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    let second = world.look().hosts.iter().find(|(_, host)| host.host.to_string() == "app_2").unwrap().0.clone();
    world.change().hosts.get_mut(&second).unwrap().volumes.insert("shop.production.data".to_owned());
    let told = ship(&world, &sized(2, "t4g.small"), &commit(1));
    assert_eq!((told.exit, sizes(&world)), (Exit::Blocked, vec!["t3.small".to_owned(); 2]));
    assert!(told.failure().contains("`shop.production.data`"), "{}", told.failure());
    assert_eq!(told.steps().iter().filter(|step| step.starts_with("terminate")).count(), 0, "{:#?}", told.steps());
}

#[test]
fn a_host_is_not_replaced_by_a_run_that_could_not_start_again_all_that_it_has() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    let bounds = || Bounds { services: ["web".parse().unwrap()].into(), ..Bounds::default() };
    let told = ship_within(&world, &sized(2, "t4g.small"), &commit(1), bounds());
    assert_eq!((told.exit, sizes(&world)), (Exit::Blocked, vec!["t3.small".to_owned(); 2]));
    assert!(told.failure().contains("would end `clock`, which this run does not deploy"), "{}", told.failure());
}

#[test]
fn a_host_that_comes_up_without_what_a_run_leaves_alone_says_so() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    world.change().hosts.values_mut().for_each(|host| host.terminated = true);
    let bounds = || Bounds { services: ["web".parse().unwrap()].into(), ..Bounds::default() };
    let told = ship_within(&world, &shop(1), &commit(1), bounds());
    let note = "host `app_1` comes up without `clock`, which this run does not deploy";
    assert!(told.plan().notes.iter().any(|other| other == note), "{:?}", told.plan().notes);
}

#[test]
fn a_host_that_was_never_configured_is_replaced_too() {
    let world = SimWorld::default();
    world.change().faults.push(Fault::always("remote.run/configure", FaultKind::Denied));
    assert_ne!(ship(&world, &shop(2), &commit(1)).exit, Exit::Serves);
    world.change().faults.clear();
    let told = ship(&world, &sized(2, "t4g.small"), &commit(1));
    assert_eq!((told.exit, sizes(&world)), (Exit::Serves, vec!["t4g.small".to_owned(); 2]), "{:?}", told.finished());
    let first = told.steps()[0].clone();
    assert!(first.starts_with("terminate host `app_1`"), "nothing is done to it before: {:#?}", told.steps());
}

#[test]
fn a_run_that_goes_on_where_another_was_cut_off_does_no_more_than_was_shown() {
    for hosts in [2, 3] {
        let world = || {
            let world = SimWorld::default();
            ship(&world, &shop(hosts), &commit(1));
            world
        };
        let to = sized(hosts, "t4g.small");
        let shown = plan(&world(), &to, &commit(1));
        for end in 0..shown.plan().steps.len() - 1 {
            let world = world();
            let ended = Cell::new(0);
            let is_cut_off = move |event: &Event| {
                let ends = matches!(event.kind, EventKind::StepFinished { .. });
                ended.set(ended.get() + usize::from(ends));
                ends && ended.get() == end + 1
            };
            ship_and_die(&world, &to, &commit(1), is_cut_off);
            let left = plan(&world, &to, &commit(1));
            let (left, shown) = (Outline::of(left.plan()), Outline::of(shown.plan()));
            assert_eq!(left.beyond(&shown), Vec::<&str>::new(), "{hosts} hosts, after step {}", end + 1);
            assert_eq!(ship(&world, &to, &commit(1)).exit, Exit::Serves);
        }
    }
}

#[test]
fn a_host_is_resized_beside_one_that_is_new() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    let told = ship(&world, &sized(3, "t3.large"), &commit(1));
    assert_eq!((told.exit, sizes(&world)), (Exit::Serves, vec!["t3.large".to_owned(); 3]), "{:?}", told.finished());
}

#[test]
fn one_more_host_serves_while_the_only_one_is_replaced() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    world.change().serving.clear();
    let told = ship(&world, &sized(2, "t4g.small"), &commit(1));
    assert_eq!((told.exit, sizes(&world)), (Exit::Serves, vec!["t4g.small".to_owned(); 2]), "{:?}", told.finished());
    let notes = told.plan().notes.join("\n");
    assert!(!notes.contains("and nowhere until"), "{notes}");
    let least = world.look().serving.iter().map(|serving| serving.values().min().copied().unwrap_or(0)).min();
    assert_eq!(least, Some(1));
}

#[test]
fn hosts_that_are_only_brought_up_are_not_replaced() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    let bounds = Bounds { hosts_only: true, ..Bounds::default() };
    let bring_up = async |runner: Runner<'_>| Runner { bounds, ..runner }.bring_up().await;
    let told = run(&world, &sized(1, "t4g.small"), &commit(1), |_| false, bring_up);
    assert_eq!((told.exit, sizes(&world)), (Exit::Serves, vec!["t3.small".to_owned()]), "{:?}", told.finished());
    assert!(
        told.plan().notes.iter().any(|note| note.contains("`skipper deploy` replaces it")),
        "{:?}",
        told.plan().notes
    );
}

#[test]
fn a_run_that_dies_anywhere_while_it_replaces_hosts_is_finished_by_the_next() {
    for host in ["app_1", "app_2"] {
        for (call, kind) in [
            ("compute.terminate", FaultKind::DiesAfter),
            ("compute.launch", FaultKind::DiesBefore),
            ("compute.launch", FaultKind::DiesAfter),
        ] {
            let world = SimWorld::default();
            ship(&world, &shop(2), &commit(1));
            world.change().faults.push(Fault { after: u32::from(host == "app_2"), ..Fault::once(call, kind) });
            assert!(ship_and_die(&world, &sized(2, "t4g.small"), &commit(1), |_| false), "{host} {call}");
            let told = ship(&world, &sized(2, "t4g.small"), &commit(1));
            assert_eq!(told.exit, Exit::Serves, "{host} {call}: {:?}", told.finished());
            assert_eq!(sizes(&world), ["t4g.small"; 2], "{host} {call}");
            assert!(ship(&world, &sized(2, "t4g.small"), &commit(1)).plan().is_empty(), "{host} {call}");
        }
    }
}

#[test]
fn a_release_that_has_lost_a_host_is_not_called_restored() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    world.change().faults.push(Fault::once("compute.terminate", FaultKind::DiesAfter));
    assert!(ship_and_die(&world, &sized(2, "t4g.small"), &commit(1), |_| false));
    world.change().broken_hosts.insert("app_1".parse().unwrap());
    let told = ship(&world, &sized(2, "t4g.small"), &commit(1));
    assert_eq!(told.exit, Exit::Degraded, "{:?}", told.finished());
    assert!(told.failure().contains("`web_1` on `app_1`"), "{}", told.failure());
}

#[test]
fn a_release_that_failed_on_a_host_that_is_new_is_restored_where_it_was() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    edit(&world, "web", "more than one host");
    world.change().broken_hosts.insert("app_2".parse().unwrap());
    let told = ship(&world, &shop(2), &commit(2));
    assert_eq!(told.exit, Exit::Restored, "{:?}", told.finished());
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
