//! Previews: environments of pull requests, from the first ship to the last trace.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use skipper_core::{
    config::{Config, Previews},
    desired::Scope,
    event::{Event, EventKind, RunStarted},
    exit::Exit,
    name::EnvironmentName,
    preview::{Cause, PullRequest, REMOVE, Surveyed},
};
use skipper_deploy::{
    previews::Survey,
    runner::Runner,
    sim::{Fault, FaultKind, SimWorld},
};

use tokio::sync::Notify;

use crate::shop::{Told, commit, edit, in_time, run, run_and_die, run_beside, ship, shop};

/// The run as one for a pull request's preview.
pub(super) fn of(pull_request: u64, runner: Runner<'_>) -> Runner<'_> {
    let scope = Scope { environment: EnvironmentName::of_pull_request(pull_request), ..runner.about.scope.clone() };
    Runner { about: RunStarted { scope, ..runner.about.clone() }, ..runner }
}

pub(super) fn ship_preview(world: &SimWorld, config: &Config, pull_request: u64, number: u8) -> Told {
    let revision = commit(number);
    run(world, config, &revision, |_| false, async |runner| of(pull_request, runner).ship(&revision).await)
}

pub(super) async fn removing(pull_request: u64, runner: Runner<'_>) -> Exit {
    let runner = of(pull_request, runner);
    let about = RunStarted { command: REMOVE.to_owned(), ..runner.about.clone() };
    Runner { about, ..runner }.remove(&Cause::Closed).await
}

pub(super) fn remove(world: &SimWorld, pull_request: u64) -> Told {
    run(world, &shop(1), &commit(1), |_| false, async |runner| removing(pull_request, runner).await)
}

/// A world in which production and pull request 7 serve.
fn world_with_a_preview() -> SimWorld {
    let world = SimWorld::default();
    assert_eq!(ship(&world, &shop(1), &commit(1)).exit, Exit::Serves);
    assert_eq!(ship_preview(&world, &shop(1), 7, 1).exit, Exit::Serves);
    world
}

/// What there is of an environment: alive instances, security groups, parameters.
pub(super) fn remains(world: &SimWorld, environment: &str) -> Vec<String> {
    let state = world.look();
    let is_it = |scope: &Scope| scope.environment.as_ref() == environment;
    let hosts =
        state.hosts.values().filter(|host| host.alive() && is_it(&host.scope)).map(|host| host.host.to_string());
    let groups = state.security_groups.keys().filter(|(scope, _)| is_it(scope)).map(|(_, name)| name.to_string());
    let below = format!("/skipper/shop/{environment}/");
    let parameters = state.parameters.keys().filter(|path| path.starts_with(&below)).cloned();
    hosts.chain(groups).chain(parameters).collect()
}

/// The units that serve in an environment, by their handles.
pub(super) fn serving(world: &SimWorld, environment: &str) -> Vec<String> {
    let state = world.look();
    let hosts = state.hosts.values().filter(|host| host.alive() && host.scope.environment.as_ref() == environment);
    hosts.flat_map(|host| &host.units).filter(|(_, unit)| unit.serves).map(|(handle, _)| handle.0.clone()).collect()
}

#[test]
fn a_preview_serves_on_hosts_of_its_own_beside_production() {
    let world = world_with_a_preview();
    let (production, preview) = (serving(&world, "production"), serving(&world, "pr-7"));
    assert_eq!((production.len(), preview.len()), (2, 2));
    edit(&world, "web", "says more");
    let told = ship_preview(&world, &shop(1), 7, 2);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_ne!(serving(&world, "pr-7"), preview);
    assert_eq!(serving(&world, "production"), production);
}

#[test]
fn a_preview_that_ends_leaves_nothing_and_production_as_it_was() {
    let world = world_with_a_preview();
    let (production, serves) = (remains(&world, "production"), serving(&world, "production"));
    let told = remove(&world, 7);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!(told.finished().summary, "the preview is removed: its pull request is closed");
    let steps = told.steps();
    assert!(steps[0].starts_with("terminate host `app_1`"), "{steps:?}");
    assert!(steps.last().unwrap().contains("records of the environment"), "{steps:?}");
    assert!(remains(&world, "pr-7").is_empty(), "{:?}", remains(&world, "pr-7"));
    assert_eq!(remains(&world, "production"), production);
    assert_eq!(serving(&world, "production"), serves);
}

#[test]
fn a_preview_that_is_gone_is_removed_again_without_a_trace() {
    let world = world_with_a_preview();
    remove(&world, 7);
    let told = remove(&world, 7);
    assert_eq!(told.exit, Exit::Serves);
    assert!(told.plan().is_empty() && remains(&world, "pr-7").is_empty());
    assert_eq!(told.finished().summary, "there is no preview: nothing was left of it");
}

#[test]
fn a_pull_request_that_is_opened_again_gets_its_preview_anew() {
    let world = world_with_a_preview();
    remove(&world, 7);
    let told = ship_preview(&world, &shop(1), 7, 1);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!(serving(&world, "pr-7").len(), 2);
}

#[test]
fn only_a_preview_is_ever_removed_as_a_whole() {
    let world = world_with_a_preview();
    let before = remains(&world, "production");
    let told = run(&world, &shop(1), &commit(1), |_| false, async |runner| runner.remove(&Cause::Closed).await);
    assert_eq!(told.exit, Exit::Blocked);
    assert!(told.failure().contains("`production`: it is no preview"), "{}", told.failure());
    assert_eq!(remains(&world, "production"), before);
}

#[test]
fn one_preview_too_many_is_refused_and_those_that_exist_go_on() {
    let world = SimWorld::default();
    let config = Config { previews: Previews { max: 2, ..Previews::default() }, ..shop(1) };
    for pull_request in [1, 2] {
        assert_eq!(ship_preview(&world, &config, pull_request, 1).exit, Exit::Serves);
    }
    let told = ship_preview(&world, &config, 3, 1);
    assert_eq!(told.exit, Exit::Blocked);
    assert!(told.failure().contains("there are 2 previews already (`pr-1`, `pr-2`)"), "{}", told.failure());
    assert!(remains(&world, "pr-3").is_empty());
    edit(&world, "web", "says more");
    assert_eq!(ship_preview(&world, &config, 2, 2).exit, Exit::Serves);
    remove(&world, 1);
    assert_eq!(ship_preview(&world, &config, 3, 1).exit, Exit::Serves);
}

#[test]
fn what_a_ship_that_died_has_left_goes_with_the_preview() {
    let launched = |event: &Event| matches!(&event.kind, EventKind::StepStarted { .. }) && event.at_ms > 20_000;
    let world = SimWorld::default();
    let revision = commit(1);
    let config = shop(1);
    let died = run_and_die(&world, &config, &revision, launched, async |runner| of(7, runner).ship(&revision).await);
    assert!(died && !remains(&world, "pr-7").is_empty());
    // Its lease is taken over first.
    let told = remove(&world, 7);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert!(told.events.iter().any(|event| matches!(&event.kind, EventKind::LeaseAcquired { over: Some(_), .. })));
    assert!(remains(&world, "pr-7").is_empty(), "{:?}", remains(&world, "pr-7"));
}

/// A removal that begins while a ship is at work in the same preview.
fn remove_beside_a_ship(world: &SimWorld, wait: Option<Duration>) -> (Told, Told) {
    let (config, revision) = (shop(1), commit(2));
    edit(world, "web", "says more");
    // Long enough to be seen at work.
    world.change().stop_takes = Duration::from_secs(120);
    let started = Rc::new(Notify::new());
    let sign = Rc::clone(&started);
    let hear = move |kind: &EventKind| {
        if matches!(kind, EventKind::StepStarted { .. }) {
            sign.notify_one();
        }
    };
    in_time(async {
        let ships =
            run_beside(world, &config, &revision, None, hear, async |runner| of(7, runner).ship(&revision).await);
        let removes = async {
            started.notified().await;
            run_beside(world, &config, &revision, wait, |_| {}, async |runner| removing(7, runner).await).await
        };
        futures::join!(ships, removes)
    })
}

#[test]
fn a_preview_is_not_removed_under_a_run_that_ships_to_it() {
    let world = world_with_a_preview();
    let (shipped, refused) = remove_beside_a_ship(&world, None);
    assert_eq!((shipped.exit, refused.exit), (Exit::Serves, Exit::Held), "{:?}", refused.finished());
    assert_eq!(serving(&world, "pr-7").len(), 2);

    let world = world_with_a_preview();
    let (shipped, removed) = remove_beside_a_ship(&world, Some(Duration::from_secs(3_600)));
    assert_eq!((shipped.exit, removed.exit), (Exit::Serves, Exit::Serves), "{:?}", removed.finished());
    assert!(remains(&world, "pr-7").is_empty(), "{:?}", remains(&world, "pr-7"));
}

/// The removal dies at a point, and the next one leaves nothing.
fn goes_on_from(point: &str, fault: Option<Fault>, at: Option<u64>) {
    let world = world_with_a_preview();
    let production = remains(&world, "production");
    world.change().faults.extend(fault);
    let when = move |event: &Event| Some(event.seq) == at;
    let died = run_and_die(&world, &shop(1), &commit(1), when, async |runner| removing(7, runner).await);
    assert!(died, "{point}: it lived through it");
    let told = remove(&world, 7);
    assert_eq!(told.exit, Exit::Serves, "{point}: {:?}", told.finished());
    assert!(remains(&world, "pr-7").is_empty(), "{point}: {:?}", remains(&world, "pr-7"));
    assert_eq!(remains(&world, "production"), production, "{point}");
}

#[test]
fn a_removal_that_is_cut_off_anywhere_is_gone_on_with() {
    let world = world_with_a_preview();
    world.take_calls();
    let last = remove(&world, 7).events.len() as u64 - 1;
    let calls: BTreeMap<String, u64> = world.take_calls();
    for seq in 0..last {
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

#[test]
fn a_removal_that_meets_trouble_says_so_and_the_next_goes_on_from_there() {
    for (call, exit) in [("compute.terminate", Exit::Refused), ("compute.delete_security_group", Exit::Refused)] {
        let world = world_with_a_preview();
        world.change().faults = vec![Fault::always(call, FaultKind::Denied)];
        let told = remove(&world, 7);
        assert_eq!(told.exit, exit, "{:?}", told.finished());
        assert_eq!(told.finished().summary, "the preview could not be removed as a whole");
        // What is recorded goes last: by it the next one finds that something is left.
        assert!(remains(&world, "pr-7").iter().any(|name| name.contains("/releases/")), "{call}");
        world.change().faults.clear();
        assert_eq!(remove(&world, 7).exit, Exit::Serves);
        assert!(remains(&world, "pr-7").is_empty());
    }
}

/// What a survey finds where nothing was shipped for so long.
fn survey(world: &SimWorld, age: Duration) -> BTreeMap<u64, Surveyed> {
    let config = shop(1);
    let found = in_time(async {
        let survey = Survey { compute: world, store: world, code_host: Some(world), age: &|_| Some(age) };
        survey.look(&config.project, &config.previews).await
    });
    found.unwrap().previews
}

#[test]
fn a_survey_ends_what_is_closed_or_too_old_and_nothing_that_it_does_not_know() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let world = world_with_a_preview();
    for number in [8, 9] {
        ship_preview(&world, &shop(1), number, 1);
    }
    let open = PullRequest { open: true, labels: Vec::new() };
    world.change().pulls = BTreeMap::from([(7, PullRequest { open: false, ..open.clone() }), (8, open)]);
    let found = survey(&world, HOUR);
    let ends: Vec<Option<Cause>> = found.values().map(|found| found.ends.clone()).collect();
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [7, 8, 9], "production is none");
    assert_eq!(ends, [Some(Cause::Closed), None, None]);
    assert!(found[&9].unknown.as_ref().unwrap().message.contains("find out whether pull request 9 is open"));
    // A code host that is silent ends nothing.
    world.change().faults = vec![Fault::always("code_host.pull_request", FaultKind::ServerError)];
    assert!(survey(&world, HOUR).values().all(|found| found.ends.is_none() && found.unknown.is_some()));
    // What is too old needs nobody's word.
    let old = survey(&world, 100 * HOUR);
    let expired = |found: &Surveyed| matches!(found.ends, Some(Cause::Expired { .. })) && found.unknown.is_none();
    assert!(old.values().all(expired), "{old:?}");
}

#[test]
fn what_is_left_of_a_removal_is_found_by_its_records_alone() {
    let world = world_with_a_preview();
    world.change().faults = vec![Fault::always("store.remove", FaultKind::Denied)];
    assert_eq!(remove(&world, 7).exit, Exit::Refused);
    world.change().faults.clear();
    world.change().pulls = BTreeMap::from([(7, PullRequest { open: false, labels: Vec::new() })]);
    let found = survey(&world, Duration::ZERO);
    assert_eq!((found[&7].preview.instances, &found[&7].ends), (0, &Some(Cause::Closed)));
    assert_eq!(remove(&world, 7).exit, Exit::Serves);
    assert!(survey(&world, Duration::ZERO).is_empty());
}
