//! The lease: two runs at once, dead and stalled holders, and what is on record afterwards.

use std::{cell::Cell, pin::pin, rc::Rc, time::Duration};

use futures::future::{Either, join_all, select};
use skipper_core::{
    config::Config,
    event::{Event, EventKind},
    exit::Exit,
    image::Revision,
    lease::{Holder, State},
};
use skipper_deploy::{
    lease::{break_lease, read_chain},
    records::read_past,
    sim::{Fault, FaultKind, SimWorld},
};
use tokio::sync::Notify;

use crate::shop::{Told, break_images_of, commit, edit, in_time, scope, ship, ship_beside, shop};

const MINUTE: Duration = Duration::from_secs(60);

/// A sign that a run has come to some event.
#[derive(Clone, Default)]
struct Sign(Rc<Notify>);

impl Sign {
    /// Listens for the first event that `is_it`.
    fn at(&self, is_it: fn(&EventKind) -> bool) -> impl Fn(&EventKind) + 'static {
        let (sign, given) = (self.0.clone(), Cell::new(false));
        move |kind| {
            if is_it(kind) && !given.replace(true) {
                sign.notify_one();
            }
        }
    }

    async fn given(&self) {
        self.0.notified().await;
    }
}

/// Ships a commit and is killed at its first step: whoever is dropped never runs again.
async fn die_at_the_first_step(world: &SimWorld, config: &Config, revision: Revision) {
    let sign = Sign::default();
    let dies = pin!(ship_beside(world, config, revision, None, sign.at(launches)));
    assert!(matches!(select(dies, pin!(sign.given())).await, Either::Right(_)));
}

/// Somebody who breaks the lease.
fn breaker(who: &str) -> Holder {
    Holder {
        who: who.to_owned(),
        command: "lease --break".to_owned(),
        revision: None,
        run_url: None,
        since: String::new(),
    }
}

/// Waits until a call was made.
async fn called(world: &SimWorld, call: &str) {
    while !world.look().calls.contains_key(call) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn starts_replicas(kind: &EventKind) -> bool {
    matches!(kind, EventKind::ReplicaStarted { .. })
}

fn launches(kind: &EventKind) -> bool {
    matches!(kind, EventKind::StepStarted { .. })
}

fn acquired(told: &Told) -> Option<(u64, Option<Holder>)> {
    told.events.iter().find_map(|event| match &event.kind {
        EventKind::LeaseAcquired { number, over, .. } => Some((*number, over.clone())),
        _ => None,
    })
}

/// Every unit of every host, and whether it serves.
fn units(world: &SimWorld) -> Vec<(String, String, bool)> {
    let state = world.look();
    let of_host = |host: &skipper_deploy::sim::SimHost| {
        let name = host.host.to_string();
        host.units.iter().map(move |(handle, unit)| (name.clone(), handle.0.clone(), unit.serves)).collect::<Vec<_>>()
    };
    state.hosts.values().filter(|host| host.alive()).flat_map(of_host).collect()
}

/// Ships the first commit, and the second one from the moment the first takes its first step.
fn ship_both(world: &SimWorld, config: &Config, wait: Option<Duration>) -> (Told, Told) {
    in_time(async {
        let sign = Sign::default();
        let first = ship_beside(world, config, commit(1), None, sign.at(launches));
        let second = async {
            sign.given().await;
            ship_beside(world, config, commit(2), wait, |_| {}).await
        };
        futures::join!(first, second)
    })
}

#[test]
fn a_second_run_is_told_who_holds_the_lease_and_changes_nothing() {
    let world = SimWorld::default();
    let config = shop(2);
    let (first, second) = ship_both(&world, &config, None);
    assert_eq!((first.exit, second.exit), (Exit::Serves, Exit::Held), "{:?}", second.finished());
    assert!(
        second.failure().contains("lease 1 is held by `ship` of octocat for commit 1111111"),
        "{}",
        second.failure()
    );
    assert!(second.events.iter().all(|event| !matches!(event.kind, EventKind::StepStarted { .. })));
    assert_eq!(world.look().hosts.len(), 2);
}

#[test]
fn a_run_that_waits_goes_on_from_what_the_first_one_left() {
    let world = SimWorld::default();
    let config = shop(2);
    let (first, second) = ship_both(&world, &config, Some(30 * MINUTE));
    assert_eq!((first.exit, second.exit), (Exit::Serves, Exit::Serves));
    let waited = second.events.iter().position(|event| matches!(event.kind, EventKind::LeaseAwaited { number: 1, .. }));
    let planned_again =
        second.events.iter().skip(waited.unwrap()).any(|event| matches!(&event.kind, EventKind::Planned { .. }));
    assert!(planned_again, "the plan of before the wait is not carried out");
    assert_eq!(world.look().hosts.len(), 2, "no host was launched twice");
    assert_eq!(ship(&world, &config, &commit(2)).plan().steps.len(), 0);
}

#[test]
fn a_wait_has_an_end() {
    let world = SimWorld::default();
    let config = shop(1);
    assert_eq!(ship(&world, &config, &commit(1)).exit, Exit::Serves);
    edit(&world, "web", "a new greeting");
    world.change().stop_takes = 3 * MINUTE;
    let second = in_time(async {
        let sign = Sign::default();
        let first = pin!(ship_beside(&world, &config, commit(2), None, sign.at(launches)));
        let second = pin!(async {
            sign.given().await;
            ship_beside(&world, &config, commit(3), Some(MINUTE), |_| {}).await
        });
        match select(first, second).await {
            Either::Right((second, first)) => {
                // What the first has in hand on its hosts ends, too.
                first.await;
                second
            }
            Either::Left(_) => panic!("the first run takes longer than the second waits"),
        }
    });
    assert_eq!(second.exit, Exit::Held);
    assert!(second.failure().contains("after 1m of waiting it is still held"), "{}", second.failure());
}

#[test]
fn the_lease_of_a_run_that_was_killed_frees_itself() {
    let world = SimWorld::default();
    let config = shop(2);
    in_time(die_at_the_first_step(&world, &config, commit(1)));
    let told = ship(&world, &config, &commit(1));
    assert_eq!(told.exit, Exit::Serves);
    let (number, over) = acquired(&told).unwrap();
    assert_eq!((number, over.unwrap().who.as_str()), (2, "octocat"));
    let took = told.finished().took_ms;
    assert!(took > 60_000 && took < 60_000 + 120_000, "{took}");
    assert_eq!(world.look().hosts.len(), 2);
}

#[test]
fn a_stalled_holder_that_wakes_up_after_a_takeover_changes_nothing_any_more() {
    let world = SimWorld::default();
    let config = shop(3);
    assert_eq!(ship(&world, &config, &commit(1)).exit, Exit::Serves);
    edit(&world, "web", "a new greeting");
    let (stalled, after) = in_time(async {
        let sign = Sign::default();
        let mut stalls = pin!(ship_beside(&world, &config, commit(2), None, sign.at(starts_replicas)));
        assert!(matches!(select(stalls.as_mut(), pin!(sign.given())).await, Either::Right(_)));
        // From here on it is not run, as a process is that was stopped; what it has sent goes its way.
        edit(&world, "web", "another greeting");
        let takes_over = ship_beside(&world, &config, commit(3), None, |_| {}).await;
        assert_eq!(takes_over.exit, Exit::Serves, "{:?}", takes_over.finished());
        let after = units(&world);
        (stalls.await, after)
    });
    assert_eq!(units(&world), after, "the run that woke up changed something");
    // Either it knows by itself, or the host refuses what was on its way.
    let told = stalled.failure();
    assert!(told.contains("lease 2 is lost") || told.contains("lease 2 may not change it any more"), "{told}");
    assert!(told.contains("lease 3 stands after it"), "{told}");
    assert_eq!(stalled.exit, Exit::Held);
    let again = ship(&world, &config, &commit(3));
    assert_eq!((again.exit, again.plan().steps.len()), (Exit::Serves, 0));
}

#[test]
fn a_run_whose_release_failed_while_it_was_stalled_leaves_what_the_next_one_made() {
    let world = SimWorld::default();
    let config = shop(2);
    assert_eq!(ship(&world, &config, &commit(1)).exit, Exit::Serves);
    edit(&world, "web", "a greeting that is never heard");
    break_images_of(&world, &commit(2));
    let (stalled, after) = in_time(async {
        let mut stalls = pin!(ship_beside(&world, &config, commit(2), None, |_| {}));
        world.take_calls();
        let sent = pin!(called(&world, "remote.watch/start"));
        assert!(matches!(select(stalls.as_mut(), sent).await, Either::Right(_)));
        edit(&world, "web", "another greeting");
        assert_eq!(ship_beside(&world, &config, commit(3), None, |_| {}).await.exit, Exit::Serves);
        let after = units(&world);
        (stalls.await, after)
    });
    assert_eq!(units(&world), after, "the run that woke up changed something");
    assert_eq!(stalled.exit, Exit::Held, "{}", stalled.failure());
    assert!(stalled.failure().contains("lease 3 stands after it"), "{}", stalled.failure());
}

/// Two beats are lost while a release fails, at any moment of it.
#[test]
fn a_run_that_has_too_little_of_its_lease_left_waits_for_the_next_beat() {
    for seconds in (2..44).step_by(3) {
        let world = SimWorld::default();
        let config = shop(1);
        assert_eq!(ship(&world, &config, &commit(1)).exit, Exit::Serves);
        edit(&world, "web", "a greeting that is never heard");
        break_images_of(&world, &commit(2));
        // The record and the first beat are written, two beats are not, and later ones are.
        world.change().faults.push(Fault {
            after: 2,
            times: Some(2),
            ..Fault::always("store.write", FaultKind::ServerError)
        });
        world.change().stop_takes = Duration::from_secs(seconds);
        let told = ship(&world, &config, &commit(2));
        assert_eq!(told.exit, Exit::Restored, "where a stop takes {seconds} s: {}", told.failure());
    }
}

#[test]
fn what_blocks_a_run_while_another_one_has_the_lease_is_looked_at_again_under_it() {
    let world = SimWorld::default();
    let config = shop(2);
    assert_eq!(ship(&world, &config, &commit(1)).exit, Exit::Serves);
    edit(&world, "web", "a new greeting");
    let second = in_time(async {
        die_at_the_first_step(&world, &config, commit(2)).await;
        let silent = |silent| world.change().hosts.values_mut().for_each(|host| host.silent = silent);
        let recovers = async {
            silent(true);
            tokio::time::sleep(Duration::from_secs(5)).await;
            silent(false);
        };
        futures::join!(ship_beside(&world, &config, commit(2), None, |_| {}), recovers).0
    });
    assert_eq!(second.exit, Exit::Serves, "{:?}", second.finished());
    let blocked = |event: &Event| matches!(&event.kind, EventKind::Planned { plan, .. } if !plan.blocked.is_empty());
    assert!(second.events.iter().any(blocked), "nothing blocked the first plan of the second run");
}

#[test]
fn of_two_who_break_the_lease_one_has_broken_it() {
    let world = SimWorld::default();
    let config = shop(1);
    in_time(die_at_the_first_step(&world, &config, commit(1)));
    let scope = scope(&config);
    let breaks = |nonce: &'static str| {
        let by = breaker(nonce);
        break_lease(&world, &scope, by, nonce)
    };
    let (one, other) = in_time(async { futures::join!(breaks("one"), breaks("other")) });
    assert_eq!(one.unwrap().unwrap().who, "octocat");
    let refused = other.unwrap_err();
    assert_eq!(
        (refused.exit, refused.message.as_str()),
        (Exit::Held, "lease 2 was just taken by `lease --break` of one, since ")
    );
}

#[test]
fn a_run_that_cannot_show_that_it_lives_changes_nothing_more() {
    let world = SimWorld::default();
    let config = shop(2);
    assert_eq!(ship(&world, &config, &commit(1)).exit, Exit::Serves);
    edit(&world, "web", "a new greeting");
    // The record is written, and no beat after it.
    world.change().faults.push(Fault { after: 1, ..Fault::always("store.write", FaultKind::ServerError) });
    world.change().stop_takes = 2 * MINUTE;
    let told = ship(&world, &config, &commit(2));
    world.change().faults.clear();
    assert_ne!(told.exit, Exit::Serves);
    assert!(told.failure().contains("is lost, so this run changes nothing more"), "{}", told.failure());
    assert_eq!(ship(&world, &config, &commit(2)).exit, Exit::Serves);
}

#[test]
fn ten_runs_at_once_end_one_after_another() {
    let world = SimWorld::default();
    let config = shop(2);
    let told = in_time(join_all((1..=10).map(|n| {
        let (world, config) = (&world, &config);
        async move { ship_beside(world, config, commit(n % 9 + 1), Some(60 * MINUTE), |_| {}).await }
    })));
    assert!(
        told.iter().all(|told| told.exit == Exit::Serves),
        "{:?}",
        told.iter().map(|told| told.exit).collect::<Vec<_>>()
    );
    // All began at the same moment, so their clocks agree.
    let mut spans: Vec<(u64, u64)> = told
        .iter()
        .map(|told| {
            let at = |is_it: fn(&Event) -> bool| told.events.iter().find(|event| is_it(event)).unwrap().at_ms;
            (
                at(|event| matches!(event.kind, EventKind::LeaseAcquired { .. })),
                at(|event| matches!(event.kind, EventKind::RunFinished(_))),
            )
        })
        .collect();
    spans.sort_unstable();
    assert!(spans.is_sorted_by(|former, next| former.1 <= next.0 + 1_000), "{spans:?}");
    assert_eq!(world.look().hosts.len(), 2);
    let chain = in_time(read_chain(&world, &scope(&config))).unwrap();
    assert_eq!(chain.highest().map(|(number, entry)| (number, entry.state)), Some((10, State::Released)));
    assert_eq!(
        world.look().parameters.keys().filter(|path| path.contains("/lease/")).count(),
        9,
        "the oldest is cleaned away"
    );
}

#[test]
fn a_lease_can_be_broken_and_its_holder_stops() {
    let world = SimWorld::default();
    let config = shop(3);
    assert_eq!(ship(&world, &config, &commit(1)).exit, Exit::Serves);
    edit(&world, "web", "a new greeting");
    world.change().stop_takes = MINUTE;
    let (first, broken) = in_time(async {
        let sign = Sign::default();
        let first = ship_beside(&world, &config, commit(2), None, sign.at(launches));
        let broken = async {
            sign.given().await;
            let by = breaker("somebody");
            break_lease(&world, &scope(&config), by, "another nonce").await.unwrap()
        };
        futures::join!(first, broken)
    });
    assert_eq!(broken.unwrap().who, "octocat");
    assert!(first.failure().contains("lease 3 stands after it, of `lease --break` of somebody"), "{}", first.failure());
    // The next one raises the fence before it looks.
    let next = ship(&world, &config, &commit(2));
    assert_eq!((next.exit, acquired(&next).unwrap().0), (Exit::Serves, 4));
    assert!(world.look().hosts.values().all(|host| host.fences.values().eq([&4])));
}

#[test]
fn what_ran_when_is_on_record_and_how_it_ended() {
    let world = SimWorld::default();
    let config = shop(2);
    ship(&world, &config, &commit(1));
    ship(&world, &config, &commit(1));
    edit(&world, "web", "crashes");
    world.change().broken_hosts.insert("app_1".parse().unwrap());
    assert_eq!(ship(&world, &config, &commit(2)).exit, Exit::Restored);
    let past = in_time(read_past(&world, &scope(&config), &scope(&config))).unwrap();
    let told: Vec<_> = past
        .records
        .newest_first()
        .map(|(number, record)| (number, record.release.revision.clone(), record.ended.as_ref().unwrap().exit))
        .collect();
    // A run that found nothing to do leaves no record.
    assert_eq!(told, [(2, commit(2), Exit::Restored), (1, commit(1), Exit::Serves)]);
    assert_eq!(past.records.served().map(|release| release.revision.clone()).collect::<Vec<_>>(), [commit(1)]);
}

#[test]
fn a_run_with_nothing_to_do_takes_no_lease_and_one_that_changes_something_makes_five_calls_for_it() {
    let world = SimWorld::default();
    let config = shop(2);
    ship(&world, &config, &commit(1));
    world.take_calls();
    ship(&world, &config, &commit(1));
    let calls = world.take_calls();
    assert!(!calls.contains_key("store.create") && !calls.contains_key("store.write"), "{calls:?}");
    edit(&world, "web", "a new greeting");
    ship(&world, &config, &commit(2));
    let calls = world.take_calls();
    // One creates the lease and one looks whether it is this run's; the record is written twice, and the lease given back.
    assert_eq!((calls["store.create"], calls["store.write"]), (1, 3), "{calls:?}");
}
