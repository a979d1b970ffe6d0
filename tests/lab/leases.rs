//! The lease, held by real processes: ten at once, one that is stalled, and what `lease` and `releases` say of them.

use std::time::{Duration, Instant};

use serde_json::Value;
use skipper_core::event::EventKind;
use skipper_lab::Running;

use crate::{
    Trials, World,
    errors::Section,
    shop::{self, Shop, Told},
};

pub(crate) const TRIALS: Trials = &[
    ("ten_runs_at_once_end_one_after_another", ten_runs_at_once_end_one_after_another),
    (
        "a_stalled_holder_changes_nothing_once_its_lease_is_taken",
        a_stalled_holder_changes_nothing_once_its_lease_is_taken,
    ),
];

const PATIENCE: Duration = Duration::from_secs(60);
/// Runs that meet.
const RUNS: usize = 10;
/// What the clocks of two runs may differ by: they begin to count when their processes have come up.
const APART: Duration = Duration::from_secs(1);

/// Commits a greeting that no release had before.
fn greet(shop: &Shop, greeting: &str) -> String {
    let page = shop.folder.join("web/site/index.html");
    std::fs::write(page, format!("<p>{greeting}\n")).unwrap();
    shop.commit(greeting)
}

/// Another checkout of the same project, with a greeting of its own.
fn checkout(world: &World, shop: &Shop, greeting: &str) -> (Shop, String) {
    let folder = world.lab.folder().unwrap().join(format!("{}-{greeting}", shop.name));
    shop.git(&["clone", "--quiet", ".", folder.to_str().unwrap()]);
    let other = Shop { folder, name: shop.name.clone() };
    let sha = greet(&other, greeting);
    (other, sha)
}

fn ten_runs_at_once_end_one_after_another(world: &World) {
    let shop = Shop::make(world, "tenfold").on_one_host();
    shop.ship(world, "the first commit").ends_with(0);
    let checkouts: Vec<_> = (0..RUNS).map(|n| checkout(world, &shop, &format!("greeting-{n}"))).collect();

    let began = Instant::now();
    let runs: Vec<(Duration, Running)> = checkouts
        .iter()
        // Each names its commit, and so gives way to none that is newer.
        .map(|(shop, sha)| {
            let job = shop.job(world, sha).input("revision", sha);
            (began.elapsed(), shop::start(&job, &["ship", "--wait=10m"]))
        })
        .collect();
    let told: Vec<(Duration, Told)> =
        runs.into_iter().map(|(started, running)| (started, shop::finish(running, 0).ends_with(0))).collect();

    let mut spans: Vec<(Duration, Duration)> = told.iter().map(|(started, told)| changing(*started, told)).collect();
    spans.sort_unstable();
    assert!(spans.is_sorted_by(|former, next| former.1 <= next.0 + APART), "{spans:?}");
    // Nine of them found it held, and said by whom.
    let waited = told.iter().filter(|(_, told)| told.outcome.log.contains("waiting for it")).count();
    assert!(waited >= RUNS - 1, "{waited} waited");
    let releases = json(&shop.skipper(world, &["releases", "--output", "json"]));
    let statuses: Vec<&str> = releases.as_array().unwrap().iter().map(|row| row["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["succeeded"; RUNS + 1], "{releases}");
    // What the last of them shipped is what serves, and nothing of the others is left beside it.
    let last = releases[0]["release"]["revision"].as_str().unwrap();
    let (winner, _) = checkouts.iter().find(|(_, sha)| sha == last).unwrap();
    let page = std::fs::read_to_string(winner.folder.join("web/site/index.html")).unwrap();
    assert_eq!(shop.answers(world), [page]);
    assert_eq!(shop.processes(world, "web").len(), 1);
}

/// From when to when a run had the lease and took steps, since the first of them was started.
fn changing(started: Duration, told: &Told) -> (Duration, Duration) {
    let at = |is_it: fn(&EventKind) -> bool| {
        let event = told.events.iter().rfind(|event| is_it(&event.kind));
        started + Duration::from_millis(event.unwrap_or_else(|| panic!("{}", told.outcome.log)).at_ms)
    };
    let acquired = at(|kind| matches!(kind, EventKind::LeaseAcquired { .. }));
    (acquired, at(|kind| matches!(kind, EventKind::StepFinished { .. })))
}

fn json(told: &Told) -> Value {
    serde_json::from_str(&told.outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", told.outcome.log))
}

fn a_stalled_holder_changes_nothing_once_its_lease_is_taken(world: &World) {
    let shop = Shop::make(world, "stalled").on_one_host();
    shop.ship(world, "the first commit").ends_with(0);
    shop.skipper(world, &["lease"]).ends_with(0).says("nobody holds the lease; the last one, 1, was that of `ship`");

    // A holder that lives is not taken over: here it waits for a release that never answers.
    let dockerfile = shop.folder.join("web/Dockerfile");
    let text = std::fs::read_to_string(&dockerfile).unwrap();
    std::fs::write(&dockerfile, format!("{text}CMD [\"/bin/busybox\", \"sleep\", \"3600\"]\n")).unwrap();
    let mut silent = shop::start(&shop.brisk_job(world, &shop.commit("silent")), &["ship"]);
    silent.wait_for("] replace", PATIENCE).unwrap();
    let (beside, sha) = checkout(world, &shop, "refused");
    let refused = world.refusal(&shop, Section::Lease, "another run holds the lease", || {
        shop::run(&beside.brisk_job(world, &sha), &["ship"], 0)
    });
    let refused = refused.ends_with(9);
    refused.says("octocat").says("actions/runs/").says("--wait");
    shop::finish(silent, 0).ends_with(6);
    std::fs::write(&dockerfile, text).unwrap();
    shop.commit("it answers again");

    // One that is stalled is.
    let first = stalled(world, &shop, "first");
    shop.skipper(world, &["lease"]).ends_with(0).says("lease 3 is held by `ship` of octocat for commit");
    let (beside, sha) = checkout(world, &shop, "second");
    let taken_over = shop::run(&beside.brisk_job(world, &sha), &["ship"], 0).ends_with(0);
    let taken_over = taken_over.says("lease 3").says("octocat");
    assert!(taken_over.events.iter().any(|event| {
        matches!(&event.kind, EventKind::LeaseAcquired { number: 4, over: Some(former), .. } if former.who == "octocat")
    }));
    wakes_up_and_changes_nothing(world, &shop, first, "second");

    // Broken, it is free at once.
    let third = stalled(world, &shop, "third");
    shop.skipper(world, &["lease", "--break"]).ends_with(0).says("the lease was held by `ship` of octocat");
    let sha = greet(&beside, "fourth");
    shop::run(&beside.brisk_job(world, &sha), &["ship"], 0).ends_with(0);
    wakes_up_and_changes_nothing(world, &shop, third, "fourth");

    let releases = shop.skipper(world, &["releases"]).ends_with(0);
    let statuses = ["succeeded", "unknown", "succeeded", "unknown", "restored", "succeeded"];
    let told = json(&shop.skipper(world, &["releases", "--output", "json"]));
    let rows = told.as_array().unwrap();
    let statuses_told: Vec<_> = rows.iter().map(|row| row["status"].as_str().unwrap()).collect();
    assert_eq!(statuses_told, statuses, "{}", releases.outcome.log);
}

/// A run that is stopped while a script of its first step is at work: nothing of it is on its way but that script.
fn stalled(world: &World, shop: &Shop, greeting: &str) -> Running {
    let sha = greet(shop, greeting);
    world.lab.cloud().clear_calls().unwrap();
    let mut running = shop::start(&shop.brisk_job(world, &sha), &["ship"]);
    running.wait_for("] pull", PATIENCE).unwrap();
    while !world.lab.cloud().changes().unwrap().iter().any(|change| change.about == "skipper pull") {
        std::thread::sleep(Duration::from_millis(20));
    }
    running.signal("STOP").unwrap();
    running
}

/// A stopped run is let go on, and leaves what runs as it is.
#[track_caller]
fn wakes_up_and_changes_nothing(world: &World, shop: &Shop, stalled: Running, serves: &str) {
    let runs = |shop: &Shop| (shop.answers(world), shop.processes(world, "web"), shop.processes(world, "clock"));
    let before = runs(shop);
    assert!(before.0.iter().all(|answer| answer.contains(serves)), "{before:?}");
    let told = world.refusal(shop, Section::Lease, "another run has taken the lease meanwhile", || {
        stalled.signal("CONT").unwrap();
        shop::finish(stalled, 0)
    });
    let told = told.ends_with(9).says("is lost");
    assert_eq!(told.outcome.outputs["status"], "held");
    assert_eq!(runs(shop), before);
}
