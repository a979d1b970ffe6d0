//! The real binary, killed and cancelled at a step of each kind; a plain re-run converges and leaves nothing twice.
//!
//! One project a signal: its first deploy is struck again and again, each time at a later step, then an update, then a removal.
//! A sample of the steps is struck, drawn by a printed seed; all of them with `SKIPPER_SWEEP=all`.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant},
};

use crate::{
    Trials, World,
    shop::{self, Shop},
};

pub(crate) const TRIALS: Trials = &[("sweep_death_and_cancel", sweep_death_and_cancel)];

/// The beginnings of the lines by which a step of each kind is told, in the order in which runs come to them.
const FIRST_DEPLOY: [&str; 5] = ["] launch host", "] wait until", "] configure", "] pull", "] start `"];
const UPDATE: [&str; 1] = ["] replace `"];
const REMOVAL: [&str; 1] = ["] remove `"];
/// Steps that a sample strikes of both signals' together.
const SAMPLE: usize = 3;

const PATIENCE: Duration = Duration::from_secs(400);
/// From SIGINT to the end; the runner sends its second signal then.
const WITHIN: Duration = Duration::from_millis(7_500);

fn sweep_death_and_cancel(world: &World) {
    let steps = FIRST_DEPLOY.into_iter().chain(UPDATE).chain(REMOVAL);
    let points: Vec<(&str, &str)> = steps.flat_map(|step| ["KILL", "INT"].map(|signal| (signal, step))).collect();
    let points = sample(points);
    let mut struck = 0;
    let mut converged = 0;
    for signal in ["KILL", "INT"] {
        let of = |steps: &[&'static str]| -> Vec<&'static str> {
            steps.iter().copied().filter(|step| points.contains(&(signal, *step))).collect()
        };
        let chains = [of(&FIRST_DEPLOY), of(&UPDATE), of(&REMOVAL)];
        if chains.iter().all(Vec::is_empty) {
            continue;
        }
        let shop = Shop::make(world, &format!("swept-by-{}", signal.to_lowercase())).on_one_host();
        for (chain, steps) in chains.iter().enumerate() {
            match chain {
                0 => {}
                1 => shop.append("web/site/index.html", "\n<p>again\n"),
                _ => shop.replace("skipper.yml", "services: [web, clock]", "services: [web]"),
            }
            let (sha, pull_request) = shop.merge(world, "a commit whose run is struck");
            let hits = steps.iter().filter(|step| strike(world, &shop, &sha, signal, step)).count();
            let told = shop::run(&shop.brisk_job(world, &sha), &["ship"], pull_request).ends_with(0);
            assert_eq!(shop.comments(world, &told).len(), 1, "comments on {pull_request}");
            leaves_nothing_twice(world, &shop, if chain == 2 { 1 } else { 2 });
            shop::run(&shop.brisk_job(world, &sha), &["ship"], pull_request).ends_with(0).says("nothing to do");
            struck += hits;
            converged += hits;
        }
    }
    eprintln!("sweep_death_and_cancel: {struck} of {} points struck, {converged} converged", points.len());
    assert!(struck > 0, "no step was struck");
}

/// Runs until a step of this kind begins and sends the signal then; whether there was such a step.
fn strike(world: &World, shop: &Shop, sha: &str, signal: &str, step: &str) -> bool {
    let mut running = shop::start(&shop.brisk_job(world, sha), &["ship"]);
    if running.wait_for(step, PATIENCE).is_err() || running.signal(signal).is_err() {
        // What an earlier run had under way has made the step needless.
        return false;
    }
    let began = Instant::now();
    if signal == "KILL" {
        let outcome = running.wait(PATIENCE).unwrap();
        assert_eq!(outcome.code, None, "{}", outcome.log);
        return true;
    }
    let told = shop::finish(running, 0);
    let took = began.elapsed();
    assert!(took < WITHIN, "it took {took:?} at `{step}`:\n{}", told.outcome.log);
    // A step that was the last one may have ended all the same.
    assert!(matches!(told.outcome.code, Some(0 | 8)), "{:?}:\n{}", told.outcome.code, told.outcome.log);
    let status = if told.outcome.code == Some(8) { "cancelled" } else { "succeeded" };
    assert_eq!(told.outcome.outputs["status"], status);
    true
}

/// One instance, two security groups with the rules they need, and one unit a replica.
fn leaves_nothing_twice(world: &World, shop: &Shop, replicas: usize) {
    let made = world.lab.cloud().made_for(&shop.name).unwrap();
    let count = |prefix: &str| made.iter().filter(|id| id.starts_with(prefix)).count();
    assert_eq!((count("i-"), count("sg-")), (1, 2), "{made:?}");
    let [host] = &shop.hosts(world)[..] else { panic!("one host") };
    let counted = |script: &str| -> usize { host.exec(script).unwrap().success().unwrap().trim().parse().unwrap() };
    assert_eq!(counted("ls /var/lib/skipper/units | wc -l"), replicas, "units on record");
    let units =
        format!("/opt/bin/fleetctl list-unit-files --no-legend --full --fields=unit | grep -c '^{}-'", shop.name);
    assert_eq!(counted(&units), replicas, "registered units");
    let containers = format!("docker ps -q --filter label=skipper.project={} | wc -l", shop.name);
    assert_eq!(counted(&containers), replicas, "containers");
}

/// Some of the points, or all of them.
fn sample<T>(mut points: Vec<T>) -> Vec<T> {
    if std::env::var("SKIPPER_SWEEP").is_ok_and(|sweep| sweep == "all") {
        return points;
    }
    let seed = std::env::var("SKIPPER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| RandomState::new().hash_one("sweep"));
    eprintln!("sweep_death_and_cancel: {SAMPLE} of {} points, drawn by SKIPPER_SEED={seed}", points.len());
    let mut state = seed;
    while points.len() > SAMPLE {
        // Knuth's MMIX generator: enough to choose by.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let out = (state >> 33) % points.len() as u64;
        points.swap_remove(usize::try_from(out).unwrap());
    }
    points
}
