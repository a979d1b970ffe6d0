//! The main job, as its users would tell it.

use std::time::Duration;

use crate::{
    Trials, World,
    shop::{self, Shop, Told},
};
use skipper_core::{
    event::{EventKind, Moment},
    progress::Progress,
    render::markdown,
};

pub(crate) const TRIALS: Trials = &[
    ("a_push_becomes_a_release_that_serves_on_every_host", a_push_becomes_a_release_that_serves_on_every_host),
    ("the_same_commit_again_changes_nothing", the_same_commit_again_changes_nothing),
    ("a_commit_rolls_only_the_service_it_changed", a_commit_rolls_only_the_service_it_changed),
    ("plan_ps_and_check_change_nothing_and_print_json", plan_ps_and_check_change_nothing_and_print_json),
    ("a_release_that_does_not_answer_is_taken_back", a_release_that_does_not_answer_is_taken_back),
    (
        "a_chosen_port_lets_the_new_replica_fail_beside_the_old_one",
        a_chosen_port_lets_the_new_replica_fail_beside_the_old_one,
    ),
    ("a_first_release_that_fails_says_what_runs_where", a_first_release_that_fails_says_what_runs_where),
    ("a_run_that_is_cancelled_stops_between_two_steps", a_run_that_is_cancelled_stops_between_two_steps),
];

/// The shop that most stories share, deployed by whichever comes first.
pub(crate) fn shop(world: &World) -> &Shop {
    world.shop.get_or_init(|| {
        let shop = Shop::make(world, "shop");
        deploy_first(world, &shop);
        shop
    })
}

fn deploy_first(world: &World, shop: &Shop) {
    let told = shop.ship(world, "the first commit").ends_with(0).says("deployed: the release serves on every host");
    let answers = shop.answers(world);
    assert_eq!(answers.len(), 2);
    assert!(answers.iter().all(|answer| answer.contains("Hello from the first commit")), "{answers:?}");
    assert_eq!(told.outcome.outputs["status"], "succeeded");
    assert_eq!(told.outcome.outputs["exit-code"], "0");
    let images: serde_json::Value = serde_json::from_str(&told.outcome.outputs["images"]).unwrap();
    assert!(images["web"].as_str().unwrap().contains("/shop/web@sha256:"), "{images}");
    // One comment, created once and edited since, that says what log and summary say.
    let comments = shop.comments(world, &told);
    let [comment] = &comments[..] else { panic!("{} comments", comments.len()) };
    assert!(comment.edits >= 1);
    assert!(comment.body.contains("deployed") && comment.body.contains("`clock_2`"), "{}", comment.body);
    assert_eq!(told.outcome.outputs["comment-url"], comment_url(&told));
    assert!(told.outcome.summary.contains("deployed: the release serves on every host"), "{}", told.outcome.summary);
    // The events alone give the comment again.
    let again = markdown::comment(&Progress::of(&told.events));
    assert!(
        comment.body.ends_with(again.trim_end()) || comment.body.contains(again.trim()),
        "{again}\n---\n{}",
        comment.body
    );
}

fn comment_url(told: &Told) -> String {
    let url = told.events.iter().find_map(|event| match &event.kind {
        EventKind::Commented { url, .. } => Some(url.clone()),
        _ => None,
    });
    url.expect("there is a comment")
}

/// The steps that were planned before anything was done.
fn steps(told: &Told) -> usize {
    let plan = told.events.iter().find_map(|event| match &event.kind {
        EventKind::Planned { plan, moment: Moment::Before } => Some(plan.steps.len()),
        _ => None,
    });
    plan.expect("there is a plan")
}

fn a_push_becomes_a_release_that_serves_on_every_host(world: &World) {
    let shop = shop(world);
    for host in shop.hosts(world) {
        // SSH does not exist, etcd is refused to containers, and the host's role is out of their reach.
        let image = "docker ps -q --filter label=skipper.service=web | head -n 1";
        let reach = |address: &str| {
            let script =
                format!("docker exec $({image}) /bin/busybox timeout 3 /bin/busybox nc {address} </dev/null; echo $?");
            host.exec(&script).unwrap().stdout.trim().to_owned()
        };
        let private = &host.address;
        assert_ne!(reach(&format!("{private} 2379")), "0", "a container reaches etcd on {private}");
        assert_ne!(reach("169.254.169.254 80"), "0", "a container reaches the metadata service");
        assert_eq!(reach(&format!("{private} 80")), "0", "a container reaches what is published");
    }
}

fn the_same_commit_again_changes_nothing(world: &World) {
    let shop = shop(world);
    let before = (shop.processes(world, "web"), shop.processes(world, "clock"));
    world.lab.cloud().clear_calls().unwrap();
    let told = shop.ship_again(world).ends_with(0).says("nothing to do");
    assert_eq!(steps(&told), 0);
    let calls = world.lab.cloud().calls().unwrap();
    let reads = |call: &String| {
        call.starts_with("Describe") || call.starts_with("Get") || call.starts_with("List") || call == "SendCommand"
    };
    assert!(calls.keys().all(reads), "{calls:?}");
    assert_eq!(calls.get("SendCommand"), Some(&1), "{calls:?}");
    assert_eq!(before, (shop.processes(world, "web"), shop.processes(world, "clock")));
}

fn a_commit_rolls_only_the_service_it_changed(world: &World) {
    let shop = shop(world);
    let clocks = shop.processes(world, "clock");
    let webs = shop.processes(world, "web");
    shop.replace("web/site/index.html", "first commit", "second commit");
    let told = shop
        .ship(world, "the second commit")
        .ends_with(0)
        .says("replace `web_1` (stop-first)")
        .says("unchanged, tagged anew");
    assert_eq!(steps(&told), 3);
    let answers = shop.answers(world);
    assert!(answers.iter().all(|answer| answer.contains("Hello from the second commit")), "{answers:?}");
    assert_eq!(clocks, shop.processes(world, "clock"));
    assert_ne!(webs, shop.processes(world, "web"));
    shop.replace("web/site/index.html", "second commit", "first commit");
}

fn plan_ps_and_check_change_nothing_and_print_json(world: &World) {
    let shop = shop(world);
    world.lab.cloud().clear_calls().unwrap();
    let plan = shop.skipper(world, &["plan", "--output", "json"]).ends_with(0);
    let plan: serde_json::Value = serde_json::from_str(&plan.outcome.stdout).unwrap();
    assert!(plan["steps"].is_array(), "{plan}");
    let ps = shop.skipper(world, &["ps", "--output", "json"]).ends_with(0);
    let ps: serde_json::Value = serde_json::from_str(&ps.outcome.stdout).unwrap();
    assert_eq!(ps["replicas"].as_array().unwrap().len(), 4, "{ps}");
    shop.skipper(world, &["ps"]).ends_with(0).says("clock_2").says("healthy");
    let check = shop.skipper(world, &["check", "--output", "json"]).ends_with(0);
    let check: serde_json::Value = serde_json::from_str(&check.outcome.stdout).unwrap();
    assert_eq!(check["valid"], true, "{check}");
    let calls = world.lab.cloud().calls().unwrap();
    assert!(!calls.contains_key("RunInstances") && !calls.contains_key("PutParameter"), "{calls:?}");
    // A past run is rendered from its events alone.
    let told = shop.ship_again(world).ends_with(0);
    let file = told.outcome.temporary().join("events.jsonl");
    let replayed = shop.skipper(world, &["replay", file.to_str().unwrap()]).ends_with(0);
    assert!(
        replayed.outcome.stdout.contains(markdown::comment(&Progress::of(&told.events)).trim()),
        "{}",
        replayed.outcome.stdout
    );
}

/// The container ends at once, after some words.
const LAST_WORDS: &str = "CMD [\"/bin/busybox\", \"sh\", \"-c\", \"echo the last words of a release; exit 3\"]";

/// Replaces the command of a service's image.
fn break_service(shop: &Shop, service: &str) -> String {
    let path = shop.folder.join(service).join("Dockerfile");
    let text = std::fs::read_to_string(&path).unwrap();
    let broken: Vec<&str> = text.lines().map(|line| if line.starts_with("CMD") { LAST_WORDS } else { line }).collect();
    std::fs::write(&path, broken.join("\n") + "\n").unwrap();
    text
}

fn mend_service(shop: &Shop, service: &str, text: &str) {
    std::fs::write(shop.folder.join(service).join("Dockerfile"), text).unwrap();
}

fn a_release_that_does_not_answer_is_taken_back(world: &World) {
    let shop = shop(world);
    let before = shop.answers(world);
    let text = break_service(shop, "web");
    let told = shop.ship(world, "a release that ends at once").ends_with(6).says("the last words of a release");
    mend_service(shop, "web", &text);
    assert_eq!(shop.answers(world), before);
    assert_eq!(told.outcome.outputs["status"], "restored");
    let comments = shop.comments(world, &told);
    assert!(comments[0].body.contains("the previous release serves"), "{}", comments[0].body);
    assert!(comments[0].body.contains("the last words of a release"), "{}", comments[0].body);
}

fn a_chosen_port_lets_the_new_replica_fail_beside_the_old_one(world: &World) {
    let shop = shop(world);
    let before = shop.processes(world, "clock");
    let text = break_service(shop, "clock");
    shop.ship(world, "a clock that ends at once").ends_with(6).says("(start-first)");
    mend_service(shop, "clock", &text);
    // It was never stopped.
    assert_eq!(shop.processes(world, "clock"), before);
}

fn a_first_release_that_fails_says_what_runs_where(world: &World) {
    let shop = Shop::make(world, "stillborn").on_one_host();
    break_service(&shop, "web");
    let told = shop.ship(world, "a first release that ends at once").ends_with(7);
    let told = told.says("no release serves everywhere").says("`clock_1` on `web_1` is running");
    assert_eq!(told.outcome.outputs["status"], "degraded");
}

fn a_run_that_is_cancelled_stops_between_two_steps(world: &World) {
    let shop = shop(world);
    shop.replace("web/site/index.html", "first commit", "cancelled commit");
    let (sha, _) = shop.merge(world, "a commit whose run is cancelled");
    let job = shop.job(world, &sha);
    let mut running = shop::start(&job, &["ship"]);
    running.wait_for("] replace `web_1`", Duration::from_secs(60)).unwrap();
    running.signal("INT").unwrap();
    let told = shop::finish(running, 0).ends_with(8).says("running again goes on from here");
    assert_eq!(told.outcome.outputs["status"], "cancelled");
    // Running again goes on from there.
    shop.ship_again(world).ends_with(0);
    let answers = shop.answers(world);
    assert!(answers.iter().all(|answer| answer.contains("cancelled commit")), "{answers:?}");
    shop.replace("web/site/index.html", "cancelled commit", "first commit");
}
