//! What a pull request tells: the plan before its merge, the rollout after it, and the truth when a run is ended.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;
use skipper_lab::{
    Job, Outcome,
    github::{Deployment, Pull, Seed},
};

use crate::{
    Trials, World, action,
    shop::{self, REPOSITORY, Shop, Told},
};

pub(crate) const TRIALS: Trials = &[
    ("a_pull_request_tells_the_whole_story", a_pull_request_tells_the_whole_story),
    ("a_world_that_moved_since_the_plan_is_left_alone", a_world_that_moved_since_the_plan_is_left_alone),
    ("an_older_commit_gives_way_to_the_newer_one", an_older_commit_gives_way_to_the_newer_one),
    ("a_step_that_is_cancelled_tells_the_truth", a_step_that_is_cancelled_tells_the_truth),
    ("what_a_killed_step_could_not_tell_its_post_step_tells", what_a_killed_step_could_not_tell_its_post_step_tells),
];

const PATIENCE: Duration = Duration::from_secs(120);
/// From the first signal of a cancelled step to the last: 7.5 s to SIGTERM, 2.5 s to SIGKILL.
const BEFORE_TERM: Duration = Duration::from_millis(7_500);

/// The project of these trials, deployed by whichever comes first.
fn shop(world: &World) -> &Shop {
    world.told.get_or_init(|| {
        let shop = Shop::make(world, "told").on_one_host();
        shop.ship(world, "the first commit").ends_with(0);
        shop
    })
}

/// A pull request whose branch says something else on the page.
fn open(world: &World, shop: &Shop, number: u64, words: &str) -> Pull {
    say(shop, words);
    let head_sha = shop.commit(words);
    let pull = Pull::open(REPOSITORY, number, words, &head_sha);
    world.lab.github().seed(&[Seed::Pull { repository: REPOSITORY.to_owned(), pull: pull.clone() }]).unwrap();
    pull
}

fn say(shop: &Shop, words: &str) {
    std::fs::write(shop.folder.join("web/site/index.html"), format!("{words}\n")).unwrap();
}

/// Merges it as another commit of the same contents, as a squash does.
fn merge(world: &World, shop: &Shop, pull: Pull) -> String {
    let sha = shop.commit(&format!("{} (#{})", pull.title, pull.number));
    let pull = Pull { merged: true, commits: vec![pull.head_sha.clone(), sha.clone()], ..pull };
    world.lab.github().seed(&[Seed::Pull { repository: REPOSITORY.to_owned(), pull }]).unwrap();
    sha
}

fn plan(world: &World, shop: &Shop, pull: &Pull) -> Told {
    let job = Job::pull_request(&world.lab, &shop.folder, REPOSITORY, "opened", pull, &pull.head_sha);
    shop::run(&shop::secretive(job).input("command", "plan"), &[], pull.number)
}

fn comment(world: &World, number: u64) -> String {
    let comments = world.lab.github().comments(REPOSITORY, number).unwrap();
    let [comment] = &comments[..] else { panic!("{} comments on {number}", comments.len()) };
    comment.body.clone()
}

fn deployments(world: &World, sha: &str) -> Vec<Deployment> {
    let all = world.lab.github().dump().unwrap().deployments;
    all.into_iter().filter(|deployment| deployment.r#ref == sha).collect()
}

/// The states of the one deployment of a commit.
fn states(world: &World, sha: &str) -> Vec<String> {
    let deployments = deployments(world, sha);
    let [deployment] = &deployments[..] else { panic!("{} deployments of {sha}", deployments.len()) };
    deployment.statuses.iter().map(|status| status.state.clone()).collect()
}

fn a_pull_request_tells_the_whole_story(world: &World) {
    let shop = shop(world);
    let pull = open(world, shop, 5001, "Hello from a pull request");
    let planned = plan(world, shop, &pull).ends_with(0);
    let before = comment(world, 5001);
    for words in
        [": plan", "`web` | to be built", "replace `web", "estimated cost of the hosts: $15.18 a month", "Plan `"]
    {
        assert!(before.contains(words), "it does not say {words}:\n{before}");
    }
    let hash = planned.outcome.outputs["plan-hash"].clone();
    assert!(before.contains(&format!("Plan `{hash}`")), "{hash}:\n{before}");
    let plan: Value = serde_json::from_str(&planned.outcome.outputs["plan"]).unwrap();
    assert!(plan["steps"].as_array().is_some_and(|steps| !steps.is_empty()));

    let sha = merge(world, shop, pull);
    let told = shop::run(&shop.job(world, &sha).input("expect-plan", "pr"), &[], 5001).ends_with(0);
    assert_eq!(told.outcome.outputs["plan-hash"], hash, "the same plan");
    let after = comment(world, 5001);
    for words in ["deployed", "#### Rollout", "| instance | `clock` | `web` |", " \u{2192} ", "[deployment]"] {
        assert!(after.contains(words), "it does not say {words}:\n{after}");
    }
    let url = &told.outcome.outputs["url"];
    assert!(after.contains(url.as_str()) && url.starts_with("http://"), "{url}:\n{after}");
    let answer = world.lab.http_get(url).unwrap().success().unwrap().body;
    assert!(answer.contains("Hello from a pull request"), "{answer}");

    let states = states(world, &sha);
    assert_eq!(states.last().map(String::as_str), Some("success"), "{states:?}");
    let [deployment] = &deployments(world, &sha)[..] else { panic!("one deployment") };
    assert_eq!(told.outcome.outputs["deployment-id"], deployment.id.to_string());
    let last = deployment.statuses.last().unwrap();
    assert!(last.environment_url == *url && last.log_url.contains("/actions/runs/"), "{last:?}");
    // Running it again finds nothing to do, and the plan that was agreed to is in the comment still.
    shop::run(&shop.job(world, &sha).input("expect-plan", "pr"), &[], 5001).ends_with(0).says("nothing to do");
}

fn a_world_that_moved_since_the_plan_is_left_alone(world: &World) {
    let shop = shop(world);
    let pull = open(world, shop, 5002, "Hello from a second pull request");
    plan(world, shop, &pull).ends_with(0);
    // Somebody ships a change of the other service meanwhile, which the branch does not have.
    let page = "clock/site/cgi-bin/index.cgi";
    let former = std::fs::read_to_string(shop.folder.join(page)).unwrap();
    shop.append(page, "echo moved\n");
    shop.ship(world, "another change").ends_with(0);
    std::fs::write(shop.folder.join(page), former).unwrap();
    let sha = merge(world, shop, pull);
    world.lab.cloud().clear_calls().unwrap();
    let told = shop::run(&shop.job(world, &sha).input("expect-plan", "pr"), &[], 5002);
    let told = told.ends_with(5).says("the world has moved").says("it was not there: replace `clock_1` on `web_1`");
    assert_eq!(told.outcome.outputs["status"], "blocked");
    assert!(comment(world, 5002).contains("the world has moved"), "{}", comment(world, 5002));
    assert_eq!(states(world, &sha).last().map(String::as_str), Some("failure"));
    let changes = world.lab.cloud().changes().unwrap();
    assert!(changes.iter().all(|change| change.action == "SendCommand"), "{changes:?}");
    // Who has looked at it ships it all the same.
    shop::run(&shop.job(world, &sha), &[], 5002).ends_with(0);
}

fn an_older_commit_gives_way_to_the_newer_one(world: &World) {
    let shop = shop(world);
    let (older, pull_request) = shop.merge(world, "an older commit");
    say(shop, "Hello from a newer commit");
    shop.ship(world, "a newer commit").ends_with(0);
    let told = shop::run(&shop.job(world, &older), &[], pull_request).ends_with(0);
    let told = told.says("warning: ").says("serves, which is newer");
    assert_eq!(told.outcome.outputs["status"], "superseded");
    assert!(comment(world, pull_request).contains("superseded"), "{}", comment(world, pull_request));
    shop::run(&shop.job(world, &older).input("on-superseded", "fail"), &[], pull_request).ends_with(10);
    assert!(shop.answers(world)[0].contains("a newer commit"));
    // Who names the commit means it.
    shop::run(&shop.job(world, &older).input("revision", &older), &[], pull_request).ends_with(0);
}

/// Cancels the step as GitHub's runner does: SIGINT, after 7.5 s SIGTERM; how long it took to end.
fn cancel(running: skipper_lab::Running) -> (Outcome, Duration) {
    let asked = Instant::now();
    running.signal("INT").unwrap();
    let outcome = running.wait(BEFORE_TERM).unwrap();
    (outcome, asked.elapsed())
}

fn a_step_that_is_cancelled_tells_the_truth(world: &World) {
    let shop = shop(world);
    for (number, moment) in
        ["making the image of `web` ready", "lease ", "[1] ", "[2] ", "serves after"].into_iter().enumerate()
    {
        say(shop, &format!("Hello from a run that is cancelled at {number}"));
        let (sha, pull_request) = shop.merge(world, &format!("cancelled at `{moment}`"));
        let job = action::in_network(world, shop.brisk_job(world, &sha).input("wait", "1m"));
        let mut running = action::start(world, &job);
        running.wait_for(moment, PATIENCE).unwrap();
        let (outcome, took) = cancel(running);
        let status = outcome.outputs.get("status").cloned().unwrap_or_default();
        if status == "succeeded" {
            // It was done before it was asked to stop.
            continue;
        }
        assert_eq!((outcome.code, status.as_str()), (Some(8), "cancelled"), "{moment}:\n{}", outcome.log);
        assert!(took < BEFORE_TERM, "{moment}: {took:?}");
        assert!(comment(world, pull_request).contains("cancelled"), "{moment}:\n{}", comment(world, pull_request));
        assert_eq!(states(world, &sha).last().map(String::as_str), Some("error"), "{moment}");
        // It has told everything, so there is nothing left for the post step.
        assert_eq!(action::post(world, &job, &outcome).log, "", "{moment}");
    }
    shop.ship(world, "after all of them").ends_with(0);
}

fn what_a_killed_step_could_not_tell_its_post_step_tells(world: &World) {
    let shop = shop(world);
    say(shop, "Hello from a run that is killed");
    let (sha, pull_request) = shop.merge(world, "killed");
    let job = shop.brisk_job(world, &sha);
    let mut running = shop::start(&job, &[]);
    // Something is told already, and a step is under way.
    running.wait_for("deployment ", PATIENCE).unwrap();
    running.wait_for("] replace `web", PATIENCE).unwrap();
    running.signal("KILL").unwrap();
    let outcome = running.wait(PATIENCE).unwrap();
    assert!(!outcome.outputs.contains_key("status"), "{:?}", outcome.outputs);
    let post = job.start_post(Path::new(env!("CARGO_BIN_EXE_skipper")), &outcome).unwrap().wait(PATIENCE).unwrap();
    assert_eq!(post.code, Some(0), "{}", post.log);
    let comment = comment(world, pull_request);
    assert!(comment.contains("ended from outside") && comment.contains("left over: replace"), "{comment}");
    assert!(post.summary.contains("ended from outside"), "{}", post.summary);
    assert_eq!(states(world, &sha).last().map(String::as_str), Some("error"));
    let again = shop::run(&shop.brisk_job(world, &sha).input("wait", "1m"), &[], pull_request).ends_with(0);
    again.says("taken over from");
}
