//! Older images go, and none that something may need.

use std::collections::BTreeSet;

use skipper_core::{
    clean::{Cleaned, Stocked},
    event::{EventKind, RunStarted},
    exit::Exit,
    image::Revision,
};
use skipper_deploy::{
    runner::{Bounds, Runner, Wanted},
    sim::{Fault, FaultKind, SimWorld},
};

use crate::shop::{Told, break_images_of, commit, edit, run, run_and_die, ship, shop};

fn cleaning(world: &SimWorld, wanted: Wanted, bounds: Bounds) -> Told {
    let clean = async |runner: Runner<'_>| {
        let about = RunStarted { command: "clean".to_owned(), revision: None, ..runner.about.clone() };
        Runner { about, bounds, ..runner }.clean(wanted).await
    };
    run(world, &shop(2), &commit(1), |_| false, clean)
}

fn clean(world: &SimWorld, cutoff: u32, hosts: bool) -> Told {
    cleaning(world, Wanted { cutoff, hosts }, Bounds::default())
}

fn cleaned(told: &Told) -> Cleaned {
    let cleaned = told.events.iter().find_map(|event| match &event.kind {
        EventKind::Cleaned { cleaned } => Some(cleaned.clone()),
        _ => None,
    });
    cleaned.expect("it is told what was removed")
}

/// How many images went in each place.
fn counts(told: &Told) -> Vec<(String, u64)> {
    cleaned(told).places.iter().map(|place| (place.name(), place.count())).collect()
}

fn places(numbers: [u64; 3]) -> Vec<(String, u64)> {
    ["this machine", "app_1", "app_2"].map(str::to_owned).into_iter().zip(numbers).collect()
}

/// Two services on two hosts, shipped so often, each time with a new image of `web`.
fn shipped(times: u8) -> SimWorld {
    let world = SimWorld::default();
    for number in 1..=times {
        edit(&world, "web", &format!("v{number}"));
        assert_eq!(ship(&world, &shop(2), &commit(number)).exit, Exit::Serves);
    }
    world
}

/// What is on record of a release is forgotten.
fn forget(world: &SimWorld, revision: &Revision) {
    let is_of = |text: &String| text.contains(&format!("\"revision\":\"{revision}\",\"images\""));
    let before = world.look().parameters.len();
    world.change().parameters.retain(|path, text| !path.contains("/releases/") || !is_of(text));
    assert_eq!(world.look().parameters.len(), before - 1);
}

fn stocked(number: u8, tag: &str) -> Stocked {
    Stocked {
        id: format!("sha256:{number:064x}"),
        repository: shop(1).services[&"web".parse().unwrap()].repository.clone(),
        tags: BTreeSet::from([tag.parse().unwrap()]),
        digests: BTreeSet::new(),
        created: i64::from(number),
        size: 1000,
        own: Some(10),
        used: false,
    }
}

#[test]
fn hosts_keep_what_may_be_rolled_back_to_however_low_the_cutoff_is() {
    let world = shipped(4);
    assert_eq!(counts(&clean(&world, 0, true)), places([0, 0, 0]));
    forget(&world, &commit(1));
    let told = clean(&world, 0, true);
    assert_eq!((told.exit, counts(&told)), (Exit::Serves, places([0, 1, 1])));
    assert_eq!(told.finished().summary, "removed 2 images, 2.0 MB freed");
    let removed = &cleaned(&told).places[1].removed[0];
    assert_eq!(removed.services, ["web".parse().unwrap()]);
    // Nothing that runs was touched, and going on finds everything.
    assert_eq!((world.serving_on("app_1").len(), world.serving_on("app_2").len()), (2, 2));
    assert_eq!(ship(&world, &shop(2), &commit(4)).exit, Exit::Serves);
    assert_eq!(counts(&clean(&world, 0, true)), places([0, 0, 0]));
}

#[test]
fn the_newest_stay_and_so_does_what_runs_when_nothing_of_it_is_on_record() {
    let world = shipped(5);
    world.change().parameters.retain(|path, _| !path.contains("/releases/"));
    // Five images of `web`, and one of `clock`.
    assert_eq!(counts(&clean(&world, 3, true)), places([0, 2, 2]));
    assert_eq!(counts(&clean(&world, 0, true)), places([0, 2, 2]));
    assert!(world.look().hosts.values().all(|host| host.images.len() == 2));
}

#[test]
fn images_of_a_release_that_failed_go_and_those_of_a_run_that_was_killed_stay() {
    let world = shipped(2);
    edit(&world, "web", "broken");
    break_images_of(&world, &commit(3));
    assert_ne!(ship(&world, &shop(2), &commit(3)).exit, Exit::Serves);
    let told = clean(&world, 0, true);
    assert!(cleaned(&told).count() > 0, "{:?}", cleaned(&told));
    edit(&world, "web", "v4");
    let starts = |event: &skipper_core::event::Event| matches!(event.kind, EventKind::StepFinished { .. });
    let killed = run_and_die(&world, &shop(2), &commit(4), starts, async |runner| runner.ship(&commit(4)).await);
    assert!(killed);
    // Its lease is waited for until it has lapsed.
    let told = clean(&world, 0, true);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!(cleaned(&told).count(), 0, "{:?}", cleaned(&told));
}

#[test]
fn a_host_that_does_not_answer_is_told_and_keeps_no_other_from_being_cleaned() {
    let world = shipped(2);
    world.change().parameters.retain(|path, _| !path.contains("/releases/"));
    world.change().hosts.values_mut().filter(|host| host.host.number == 1).for_each(|host| host.silent = true);
    let told = clean(&world, 0, true);
    assert_eq!((told.exit, counts(&told)), (Exit::Blocked, places([0, 0, 1])));
    assert_eq!(
        told.failure(),
        "older images could not be removed everywhere\napp_1: its SSM agent has stopped answering"
    );
    // One that falls silent between being looked at and being asked.
    let world = shipped(2);
    world.change().faults = vec![Fault::once("remote.watch/clean", FaultKind::Malformed)];
    let told = clean(&world, 0, true);
    assert_eq!(told.exit, Exit::Blocked);
    assert!(told.failure().contains("app_1: the host's answer could not be read"), "{}", told.failure());
}

#[test]
fn this_machine_is_cleaned_by_the_same_rule_without_a_lease() {
    let world = shipped(2);
    world.change().registry.stock = vec![
        stocked(1, "v1"),
        stocked(2, commit(1).tag().as_ref()),
        Stocked { used: true, ..stocked(3, "v3") },
        stocked(4, "v4"),
        stocked(5, "v5"),
    ];
    let leases = |world: &SimWorld| world.look().parameters.keys().filter(|path| path.contains("/lease/")).count();
    let before = leases(&world);
    let told = clean(&world, 1, false);
    assert_eq!((told.exit, counts(&told)), (Exit::Serves, places([2, 0, 0])[..1].to_vec()));
    assert_eq!((cleaned(&told).places[0].freed, leases(&world)), (Some(20), before));
    let left: Vec<i64> = world.look().registry.stock.iter().map(|image| image.created).collect();
    assert_eq!(left, [2, 3, 5]);
    let only_clock = Bounds { services: BTreeSet::from(["clock".parse().unwrap()]), ..Bounds::default() };
    assert_eq!(counts(&cleaning(&world, Wanted { cutoff: 0, hosts: false }, only_clock)), places([0, 0, 0])[..1]);
}

#[test]
fn an_engine_that_is_missing_keeps_no_host_from_being_cleaned() {
    let world = shipped(2);
    world.change().parameters.retain(|path, _| !path.contains("/releases/"));
    world.change().faults = vec![Fault::always("engine.stock", FaultKind::Reset)];
    let told = clean(&world, 0, true);
    assert_eq!((told.exit, counts(&told)), (Exit::Blocked, places([0, 1, 1])));
    assert!(
        told.failure().contains("this machine: failed to look for the images on this machine"),
        "{}",
        told.failure()
    );
}

#[test]
fn where_the_record_cannot_be_read_nothing_is_removed() {
    let world = shipped(2);
    world.change().registry.stock = vec![stocked(1, "v1")];
    world.change().faults = vec![Fault::always("store.read", FaultKind::Denied)];
    let told = clean(&world, 0, true);
    assert_eq!(told.exit, Exit::Refused);
    assert_eq!(world.look().registry.stock.len(), 1);
    assert!(!world.look().calls.contains_key("remote.run/clean"));
}

#[test]
fn hosts_are_asked_by_one_command_under_the_lease() {
    let world = shipped(2);
    world.take_calls();
    let told = clean(&world, 0, true);
    assert_eq!(world.take_calls()["remote.run/clean"], 1);
    let leased = told.events.iter().find_map(|event| match event.kind {
        EventKind::LeaseAcquired { number, .. } => Some(number),
        _ => None,
    });
    let fences: Vec<u64> = world.look().hosts.values().flat_map(|host| host.fences.values().copied()).collect();
    assert_eq!(fences, [leased.unwrap(); 2]);
}
