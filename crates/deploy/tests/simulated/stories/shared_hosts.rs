//! Previews that share hosts: each comes and goes by itself, and the hosts go when none is left.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use skipper_core::{
    config::{Config, PreviewHosts, Previews},
    desired::Scope,
    event::{Event, EventKind, RunStarted, StateTable},
    exit::Exit,
    image::Revision,
    name::EnvironmentName,
    observed::{IngressRule, SecurityGroup, Source},
    preview::{Cause, REMOVE},
    url,
};
use skipper_deploy::{
    runner::{Bounds, Runner},
    sim::{Fault, FaultKind, SimHost, SimWorld},
};
use tokio::sync::Notify;

use super::previews::{of, remains, removing};
use crate::shop::{Told, commit, edit, in_time, run, run_and_die, run_beside, ship, shop};

/// The shop with previews that share their hosts.
fn sharing(hosts: u32) -> Config {
    Config { previews: Previews { hosts: PreviewHosts::Shared, ..Previews::default() }, ..shop(hosts) }
}

fn ship_preview(world: &SimWorld, config: &Config, pull_request: u64, number: u8) -> Told {
    super::previews::ship_preview(world, config, pull_request, number)
}

fn remove(world: &SimWorld, pull_request: u64) -> Told {
    run(world, &sharing(1), &commit(1), |_| false, async |runner| removing(pull_request, runner).await)
}

/// Ships a preview beside other runs.
async fn ship_beside(world: &SimWorld, config: &Config, pull_request: u64, revision: &Revision) -> Told {
    let ship = async |runner: Runner<'_>| of(pull_request, runner).ship(revision).await;
    run_beside(world, config, revision, None, |_| {}, ship).await
}

async fn ending(runner: Runner<'_>) -> Exit {
    let scope = Scope { environment: EnvironmentName::of_previews(), ..runner.about.scope.clone() };
    let about = RunStarted { scope, command: REMOVE.to_owned(), ..runner.about.clone() };
    Runner { about, ..runner }.remove(&Cause::Unused).await
}

fn end_hosts(world: &SimWorld) -> Told {
    run(world, &sharing(1), &commit(1), |_| false, async |runner| ending(runner).await)
}

/// The units of a preview that serve, by host, on whichever hosts.
fn serving(world: &SimWorld, pull_request: u64) -> BTreeMap<String, BTreeSet<u16>> {
    let state = world.look();
    let mut serving: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    for host in state.hosts.values().filter(|host| host.alive()) {
        for unit in host.units.values().filter(|unit| unit.serves) {
            if unit.scope.environment == EnvironmentName::of_pull_request(pull_request) {
                let ports = unit.unit.bindings.iter().map(|binding| binding.host);
                serving.entry(host.host.to_string()).or_default().extend(ports);
            }
        }
    }
    serving
}

fn alive(world: &SimWorld) -> usize {
    world.look().hosts.values().filter(|host| host.alive()).count()
}

fn state(told: &Told) -> StateTable {
    let mut states = told.events.iter().filter_map(|event| match &event.kind {
        EventKind::Observed { state, .. } => Some(state.clone()),
        _ => None,
    });
    states.next_back().unwrap()
}

/// A world in which two pull requests serve on the same host.
fn two_previews() -> SimWorld {
    let world = SimWorld::default();
    for pull_request in [7, 8] {
        let told = ship_preview(&world, &sharing(1), pull_request, 1);
        assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    }
    world
}

#[test]
fn the_first_preview_brings_up_the_hosts_and_the_next_uses_them() {
    let world = SimWorld::default();
    let first = ship_preview(&world, &sharing(1), 7, 1);
    assert!(first.steps().iter().any(|step| step.starts_with("launch host `app_1`")), "{:?}", first.steps());
    let second = ship_preview(&world, &sharing(1), 8, 1);
    assert_eq!((first.exit, second.exit), (Exit::Serves, Exit::Serves), "{:?}", second.finished());
    assert!(!second.plan().changes_hosts(), "{:?}", second.steps());
    assert_eq!(alive(&world), 1);
    let (seven, eight) = (&serving(&world, 7)["app_1"], &serving(&world, 8)["app_1"]);
    assert_eq!((seven.len(), eight.len()), (2, 2));
    assert!(seven.is_disjoint(eight), "{seven:?} {eight:?}");
}

#[test]
fn what_is_public_has_a_port_of_the_range_that_is_open_and_all_else_has_none() {
    let world = two_previews();
    let open = IngressRule { from_port: 20_000, to_port: 24_999, source: Source::AnyIpv4 };
    let rules: BTreeSet<IngressRule> = {
        let state = world.look();
        let groups = state.security_groups.iter().filter(|((_, name), _)| *name != SecurityGroup::Cluster);
        groups.flat_map(|(_, found)| found.rules.clone()).collect()
    };
    assert_eq!(rules, BTreeSet::from([open.clone(), IngressRule { source: Source::AnyIpv6, ..open }]));
    for pull_request in [7, 8] {
        let told = ship_preview(&world, &sharing(1), pull_request, 2);
        let address = url::of(&sharing(1), &state(&told)).unwrap();
        let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
        assert!((20_000..=24_999).contains(&port), "{address}");
        let ports = &serving(&world, pull_request)["app_1"];
        assert!(ports.contains(&port) && ports.iter().any(|port| *port >= 25_000), "{ports:?}");
    }
}

#[test]
fn a_port_that_another_preview_has_is_passed_over() {
    let would_have = serving(&two_previews(), 8)["app_1"].clone();
    let world = SimWorld::default();
    ship_preview(&world, &sharing(1), 7, 1);
    for host in world.change().hosts.values_mut() {
        for (unit, port) in host.units.values_mut().zip(&would_have) {
            unit.unit.bindings[0].host = *port;
        }
    }
    let told = ship_preview(&world, &sharing(1), 8, 1);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert!(serving(&world, 8)["app_1"].is_disjoint(&would_have));
}

#[test]
fn a_preview_is_updated_without_the_others() {
    let world = two_previews();
    let (seven, eight) = (serving(&world, 7), serving(&world, 8));
    edit(&world, "web", "says more");
    let told = ship_preview(&world, &sharing(1), 7, 2);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_ne!(serving(&world, 7), seven);
    assert_eq!(serving(&world, 8), eight);
    assert_eq!(
        ship_preview(&world, &sharing(1), 7, 2).finished().summary,
        "nothing to do: the release serves on every host"
    );
}

#[test]
fn a_preview_that_ends_leaves_the_hosts_and_the_others() {
    let world = two_previews();
    assert_eq!(ship(&world, &sharing(1), &commit(1)).exit, Exit::Serves);
    let (eight, production) = (serving(&world, 8), remains(&world, "production"));
    let told = remove(&world, 7);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert!(serving(&world, 7).is_empty() && remains(&world, "pr-7").is_empty());
    assert_eq!((serving(&world, 8), remains(&world, "production")), (eight, production));
    assert_eq!(alive(&world), 2);
    assert_eq!(remove(&world, 7).finished().summary, "there is no preview: nothing was left of it");
}

/// The volumes of a preview, on whichever hosts.
fn volumes(world: &SimWorld, pull_request: u64) -> Vec<String> {
    let ours = format!("shop.pr-{pull_request}.");
    let state = world.look();
    let all = state.hosts.values().filter(|host| host.alive()).flat_map(|host| &host.volumes);
    all.filter(|volume| volume.starts_with(&ours)).cloned().collect()
}

fn on_all_hosts(world: &SimWorld, change: impl FnMut(&mut SimHost)) {
    world.change().hosts.values_mut().for_each(change);
}

#[test]
fn a_volume_that_cannot_be_removed_keeps_a_preview_from_being_forgotten() {
    let world = two_previews();
    on_all_hosts(&world, |host| {
        host.volumes = BTreeSet::from(["shop.pr-7.data".to_owned(), "shop.pr-8.data".to_owned()]);
        host.keeps_volumes = true;
    });
    // Its replicas are gone with the first try; what is left is told with each.
    for _ in 0..2 {
        let told = remove(&world, 7);
        assert_eq!(told.exit, Exit::Blocked, "{:?}", told.finished());
        assert!(told.failure().contains("volumes of the environment stay"), "{}", told.failure());
        assert!(serving(&world, 7).is_empty() && !remains(&world, "pr-7").is_empty());
    }
    on_all_hosts(&world, |host| host.keeps_volumes = false);
    let told = remove(&world, 7);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert!(told.steps()[0].starts_with("remove volumes of the environment from `app_1`"), "{:?}", told.steps());
    assert!(volumes(&world, 7).is_empty() && remains(&world, "pr-7").is_empty());
    assert_eq!(volumes(&world, 8), ["shop.pr-8.data"]);
}

#[test]
fn a_preview_s_volume_goes_from_a_host_that_its_services_have_left() {
    let world = SimWorld::default();
    for pull_request in [7, 8] {
        assert_eq!(ship_preview(&world, &sharing(2), pull_request, 1).exit, Exit::Serves);
    }
    let pr_7 = EnvironmentName::of_pull_request(7);
    on_all_hosts(&world, |host| {
        host.volumes.insert("shop.pr-7.data".to_owned());
        if host.host.to_string() == "app_2" {
            host.units.retain(|_, unit| unit.scope.environment != pr_7);
        }
    });
    let told = remove(&world, 7);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!((volumes(&world, 7), alive(&world)), (Vec::new(), 2));
    assert!(remains(&world, "pr-7").is_empty());
}

/// Hosts outlive a preview and remember its leases, which are not recorded any more.
#[test]
fn a_pull_request_that_is_opened_again_serves_again_on_the_same_hosts() {
    let world = two_previews();
    remove(&world, 7);
    let told = ship_preview(&world, &sharing(1), 7, 1);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!((serving(&world, 7)["app_1"].len(), alive(&world)), (2, 1));
}

#[test]
fn two_pull_requests_that_are_opened_at_once_bring_up_the_hosts_once() {
    let world = SimWorld::default();
    let (config, revision) = (sharing(2), commit(1));
    let told = in_time(async {
        let ships = [7, 8, 9].map(|pull_request| ship_beside(&world, &config, pull_request, &revision));
        futures::future::join_all(ships).await
    });
    for told in &told {
        assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    }
    assert_eq!(world.look().hosts.len(), 2);
    assert!([7, 8, 9].iter().all(|pull_request| serving(&world, *pull_request).len() == 2));
    let waited = |told: &&Told| {
        let mut kinds = told.events.iter().map(|event| &event.kind);
        kinds.any(|kind| matches!(kind, EventKind::LeaseAwaited { of_hosts: true, .. }))
    };
    assert_eq!(told.iter().filter(waited).count(), 2);
}

#[test]
fn previews_that_only_deploy_do_not_wait_for_each_other() {
    let world = two_previews();
    edit(&world, "web", "says more");
    // Long enough to be beside each other.
    world.change().stop_takes = Duration::from_secs(60);
    let (config, revision) = (sharing(1), commit(2));
    let told = in_time(async {
        let ships = [7, 8].map(|pull_request| ship_beside(&world, &config, pull_request, &revision));
        futures::future::join_all(ships).await
    });
    let took: Vec<u64> = told.iter().map(|told| told.finished().took_ms).collect();
    assert!(told.iter().all(|told| told.exit == Exit::Serves) && took.iter().all(|took| *took < 100_000), "{took:?}");
}

#[test]
fn a_preview_takes_nothing_of_the_hosts_from_the_others() {
    let world = SimWorld::default();
    assert_eq!(ship_preview(&world, &sharing(2), 7, 1).exit, Exit::Serves);
    // Its file asks for fewer hosts, of another size, and makes nothing public.
    let mut smaller = sharing(1);
    for group in smaller.groups.values_mut() {
        group.size = "t3.large".parse().unwrap();
        group.public_ports = Vec::new();
    }
    let told = ship_preview(&world, &smaller, 8, 1);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert!(!told.plan().changes_hosts(), "{:?}", told.steps());
    assert!(told.plan().notes.iter().any(|note| note.contains("it stays as it is while previews share it")));
    assert_eq!((serving(&world, 7).len(), serving(&world, 8).len()), (2, 1));
    // One that asks for more adds them, and etcd gets its three members.
    let told = ship_preview(&world, &sharing(3), 8, 1);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!((alive(&world), serving(&world, 7).len(), serving(&world, 8).len()), (3, 2, 3));
    // And where it wants fewer again it takes what is its own.
    assert_eq!(ship_preview(&world, &smaller, 8, 1).exit, Exit::Serves);
    assert_eq!((alive(&world), serving(&world, 8).len()), (3, 1));
}

#[test]
fn a_preview_too_many_is_counted_by_what_was_shipped() {
    let world = SimWorld::default();
    let config = Config { previews: Previews { max: 2, ..sharing(1).previews }, ..sharing(1) };
    for pull_request in [7, 8] {
        assert_eq!(ship_preview(&world, &config, pull_request, 1).exit, Exit::Serves);
    }
    let told = ship_preview(&world, &config, 9, 1);
    assert_eq!(told.exit, Exit::Blocked);
    assert!(told.failure().contains("there are 2 previews already (`pr-7`, `pr-8`)"), "{}", told.failure());
    assert_eq!(ship_preview(&world, &config, 8, 2).exit, Exit::Serves);
    remove(&world, 7);
    assert_eq!(ship_preview(&world, &config, 9, 1).exit, Exit::Serves);
}

#[test]
fn a_removal_waits_for_a_host_that_does_not_answer() {
    let world = two_previews();
    let silence = |silent: bool| world.change().hosts.values_mut().for_each(|host| host.silent = silent);
    silence(true);
    let told = remove(&world, 7);
    assert_eq!(told.exit, Exit::Blocked, "{:?}", told.finished());
    assert!(told.failure().contains("its SSM agent has stopped answering"), "{}", told.failure());
    assert!(remains(&world, "pr-7").iter().any(|name| name.contains("/releases/")));
    silence(false);
    assert_eq!(remove(&world, 7).exit, Exit::Serves);
    assert!(serving(&world, 7).is_empty() && remains(&world, "pr-7").is_empty());
}

#[test]
fn what_a_file_said_before_is_removed_too() {
    // It had hosts of its own, then shared some.
    let world = SimWorld::default();
    assert_eq!(ship_preview(&world, &shop(1), 7, 1).exit, Exit::Serves);
    assert_eq!(ship_preview(&world, &sharing(1), 7, 1).exit, Exit::Serves);
    assert_eq!(alive(&world), 2);
    let own = run(&world, &shop(1), &commit(1), |_| false, async |runner| removing(7, runner).await);
    assert_eq!(own.exit, Exit::Serves, "{:?}", own.finished());
    assert!(serving(&world, 7).is_empty() && remains(&world, "pr-7").is_empty());
    assert_eq!(alive(&world), 1);
}

#[test]
fn the_hosts_go_when_no_preview_is_left() {
    let world = two_previews();
    let kept = end_hosts(&world);
    assert_eq!(kept.exit, Exit::Serves);
    assert_eq!(kept.finished().summary, "the hosts that previews share are kept: a preview has begun on them");
    assert_eq!((alive(&world), serving(&world, 7).len()), (1, 1));
    remove(&world, 7);
    remove(&world, 8);
    let told = end_hosts(&world);
    assert_eq!(told.finished().summary, "the hosts that previews shared are removed: no preview is left");
    assert_eq!((told.exit, alive(&world)), (Exit::Serves, 0));
    assert!(remains(&world, "preview").is_empty(), "{:?}", remains(&world, "preview"));
    assert_eq!(end_hosts(&world).finished().summary, "there is no host that previews share: nothing was left of it");
    // The next preview begins from nothing.
    let told = ship_preview(&world, &sharing(1), 9, 1);
    assert_eq!((told.exit, alive(&world)), (Exit::Serves, 1), "{:?}", told.finished());
}

/// Two runs, of which the second begins when the first has told so many events.
fn beside(
    world: &SimWorld,
    at: u64,
    first: impl AsyncFnOnce(Runner<'_>) -> Exit,
    second: impl AsyncFnOnce(Runner<'_>) -> Exit,
) -> (Told, Told) {
    let reached = Rc::new(Notify::new());
    let (sign, count) = (Rc::clone(&reached), std::cell::Cell::new(0));
    let hear = move |_: &EventKind| {
        count.set(count.get() + 1);
        if count.get() > at {
            sign.notify_one();
        }
    };
    let (config, revision, wait) = (sharing(1), commit(2), Some(Duration::from_secs(3_600)));
    in_time(async {
        let first = run_beside(world, &config, &revision, wait, hear, first);
        let second = async {
            reached.notified().await;
            run_beside(world, &config, &revision, wait, |_| {}, second).await
        };
        futures::join!(first, second)
    })
}

/// Previews have been on the hosts, and none is left.
fn idle_hosts() -> SimWorld {
    let world = two_previews();
    remove(&world, 7);
    remove(&world, 8);
    world
}

async fn shipping(pull_request: u64, runner: Runner<'_>) -> Exit {
    of(pull_request, runner).ship(&commit(2)).await
}

#[test]
fn a_preview_that_begins_while_the_hosts_are_removed_keeps_them_or_brings_up_others() {
    let events = end_hosts(&idle_hosts()).events.len() as u64;
    for at in 0..events {
        let world = idle_hosts();
        let (ended, shipped) = beside(&world, at, ending, async |runner| shipping(9, runner).await);
        assert_eq!((ended.exit, shipped.exit), (Exit::Serves, Exit::Serves), "at {at}: {:?}", shipped.finished());
        assert_eq!((alive(&world), serving(&world, 9).len()), (1, 1), "at {at}");
    }
}

/// Its images are built long after it has looked at the hosts.
#[test]
fn hosts_that_are_removed_while_a_preview_prepares_are_brought_up_anew() {
    let slow = |world: &SimWorld| world.change().registry.build_lags = Duration::from_secs(600);
    let events = {
        let world = idle_hosts();
        edit(&world, "web", "says more");
        ship_preview(&world, &sharing(1), 9, 2).events.len() as u64
    };
    for at in 0..events {
        let world = idle_hosts();
        edit(&world, "web", "says more");
        slow(&world);
        let (shipped, ended) = beside(&world, at, async |runner| shipping(9, runner).await, ending);
        assert_eq!((shipped.exit, ended.exit), (Exit::Serves, Exit::Serves), "at {at}: {:?}", shipped.finished());
        assert_eq!((alive(&world), serving(&world, 9).len()), (1, 1), "at {at}");
    }
}

/// The removal takes the records along, the leases among them.
#[test]
fn a_preview_that_is_removed_while_it_is_shipped_to_is_there_or_it_is_not() {
    let events = {
        let world = two_previews();
        edit(&world, "web", "says more");
        ship_preview(&world, &sharing(1), 7, 2).events.len() as u64
    };
    for at in 0..events {
        let world = two_previews();
        edit(&world, "web", "says more");
        world.change().registry.build_lags = Duration::from_secs(600);
        let removes = async |runner: Runner<'_>| removing(7, runner).await;
        let (shipped, removed) = beside(&world, at, async |runner| shipping(7, runner).await, removes);
        assert_eq!((shipped.exit, removed.exit), (Exit::Serves, Exit::Serves), "at {at}: {:?}", shipped.finished());
        let is_there = !remains(&world, "pr-7").is_empty();
        assert_eq!(
            serving(&world, 7).values().map(BTreeSet::len).sum::<usize>(),
            if is_there { 2 } else { 0 },
            "at {at}"
        );
        assert_eq!(serving(&world, 8)["app_1"].len(), 2, "at {at}");
    }
}

#[test]
fn a_host_that_is_stopped_keeps_a_preview_from_being_forgotten() {
    let world = two_previews();
    let stop = |stopped: bool| world.change().hosts.values_mut().for_each(|host| host.stopped = stopped);
    stop(true);
    let told = remove(&world, 7);
    assert_eq!(told.exit, Exit::Blocked, "{:?}", told.finished());
    assert!(told.failure().contains("it does not tell what it runs: its instance is stopped"), "{}", told.failure());
    stop(false);
    assert_eq!(serving(&world, 7)["app_1"].len(), 2, "fleet starts what it has");
    assert_eq!(remove(&world, 7).exit, Exit::Serves);
    assert!(serving(&world, 7).is_empty() && remains(&world, "pr-7").is_empty());
    // One that was never there waits for nobody.
    stop(true);
    assert_eq!(remove(&world, 99).finished().summary, "there is no preview: nothing was left of it");
}

#[test]
fn hosts_that_do_not_answer_go_when_all_their_previews_end() {
    let world = two_previews();
    world.change().hosts.values_mut().for_each(|host| host.silent = true);
    let all = BTreeSet::from([7, 8]);
    let told = run(
        &world,
        &sharing(1),
        &commit(1),
        |_| false,
        async |runner: Runner<'_>| {
            let bounds = Bounds { ending: all, ..runner.bounds.clone() };
            ending(Runner { bounds, ..runner }).await
        },
    );
    assert_eq!((told.exit, alive(&world)), (Exit::Serves, 0), "{:?}", told.finished());
    for pull_request in [7, 8] {
        assert_eq!(remove(&world, pull_request).exit, Exit::Serves);
        assert!(remains(&world, &format!("pr-{pull_request}")).is_empty());
    }
}

/// The removal dies at a point, and the next one leaves nothing of the preview and all of the other.
fn goes_on_from(point: &str, fault: Option<Fault>, at: Option<u64>) {
    let world = two_previews();
    let eight = serving(&world, 8);
    world.change().faults.extend(fault);
    let when = move |event: &Event| Some(event.seq) == at;
    let died = run_and_die(&world, &sharing(1), &commit(1), when, async |runner| removing(7, runner).await);
    assert!(died, "{point}: it lived through it");
    let told = remove(&world, 7);
    assert_eq!(told.exit, Exit::Serves, "{point}: {:?}", told.finished());
    assert!(serving(&world, 7).is_empty() && remains(&world, "pr-7").is_empty(), "{point}");
    assert_eq!((serving(&world, 8), alive(&world)), (eight, 1), "{point}");
}

#[test]
fn a_removal_that_is_cut_off_anywhere_is_gone_on_with() {
    let world = two_previews();
    world.take_calls();
    let told = remove(&world, 7);
    // Where it has told that nothing is left, it ends at once.
    let is_told = |event: &Event| matches!(event.kind, EventKind::Observed { .. });
    let last = told.events.iter().position(is_told).unwrap() as u64;
    let calls: BTreeMap<String, u64> = world.take_calls();
    for seq in 0..=last {
        goes_on_from(&format!("event {seq}"), None, Some(seq));
    }
    for (call, times) in calls.into_iter().filter(|(call, _)| !call.starts_with("code_host")) {
        for (after, kind) in
            (0..times).flat_map(|after| [(after, FaultKind::DiesBefore), (after, FaultKind::DiesAfter)])
        {
            let after = u32::try_from(after).unwrap();
            let fault = Fault { call: call.clone(), kind, after, times: Some(1) };
            goes_on_from(&format!("{kind:?} at call {after} of {call}"), Some(fault), None);
        }
    }
}
