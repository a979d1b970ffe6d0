//! Previews: a pull request from its opening to its close, and the sweep of what nobody closed.

use serde_json::Value;
use skipper_core::{
    config,
    event::{EventKind, Moment},
    url,
};
use skipper_lab::github::{Failure, Fault, Seed};

use crate::{
    Trials, World,
    errors::Section,
    shop::{REPOSITORY, Shop, Told, finish, run, start},
};

pub(crate) const TRIALS: Trials = &[
    ("a_preview_follows_its_pull_request_and_goes_with_it", a_preview_follows_its_pull_request_and_goes_with_it),
    (
        "a_sweep_removes_what_has_no_open_pull_request_and_nothing_else",
        a_sweep_removes_what_has_no_open_pull_request_and_nothing_else,
    ),
    ("previews_share_hosts_until_the_last_of_them_has_ended", previews_share_hosts_until_the_last_of_them_has_ended),
];

/// Gives the app another greeting.
fn greet(shop: &Shop, greeting: &str) {
    std::fs::write(shop.folder.join("web/site/index.html"), format!("<p>{greeting}\n")).unwrap();
}

/// What the world finds at the address of what a run has left.
fn answer(world: &World, shop: &Shop, told: &Told) -> String {
    let source = std::fs::read_to_string(shop.folder.join("skipper.yml")).unwrap();
    let config = config::load(&source, "skipper.yml").unwrap();
    let state = told.events.iter().rev().find_map(|event| match &event.kind {
        EventKind::Observed { state, moment: Moment::After } => Some(state),
        _ => None,
    });
    let address = url::of(&config, state.unwrap()).unwrap();
    world.lab.http_get(&address).unwrap().success().unwrap().body
}

/// What there is of a preview: by EC2, by the records, and by skipper's own list.
pub(crate) fn remains(world: &World, shop: &Shop, number: u64) -> Vec<String> {
    let environment = format!("pr-{number}");
    let mut remains = world.lab.cloud().alive(&shop.name, &environment).unwrap();
    let told = |arguments: &[&str]| shop.skipper(world, arguments).ends_with(0).outcome.stdout;
    let releases = told(&["releases", "--environment", &environment, "--output", "json"]);
    if serde_json::from_str::<Value>(&releases).unwrap() != Value::Array(Vec::new()) {
        remains.push(releases);
    }
    let lease = told(&["lease", "--environment", &environment]);
    if !lease.contains("nobody ever did") {
        remains.push(lease);
    }
    let previews: Value = serde_json::from_str(&told(&["previews", "--output", "json"])).unwrap();
    remains
        .extend(previews.as_array().unwrap().iter().filter(|row| row["pull_request"] == number).map(Value::to_string));
    remains
}

fn comment(world: &World, number: u64) -> String {
    let comments = world.lab.github().comments(REPOSITORY, number).unwrap();
    let [comment] = &comments[..] else { panic!("{} comments", comments.len()) };
    comment.body.clone()
}

fn a_preview_follows_its_pull_request_and_goes_with_it(world: &World) {
    let shop = Shop::make(world, "reviewed").on_one_host();
    shop.append("skipper.yml", "previews: {label: preview}\n");
    greet(&shop, "production");
    shop.ship(world, "the first commit").ends_with(0);
    let production = (shop.answers(world), shop.processes(world, "web"));

    greet(&shop, "a first draft");
    let (sha, number) = shop.open(world, "a first draft");
    world.lab.cloud().clear_calls().unwrap();
    let unlabeled = run(&shop.preview_job(world, number, &sha, "opened", &[]), &[], number).ends_with(0);
    unlabeled.says("nothing is done: only pull requests with the label `preview` get a preview");
    assert!(world.lab.cloud().calls().unwrap().is_empty());

    let labels = &["preview"];
    let told = run(&shop.preview_job(world, number, &sha, "labeled", labels), &[], number).ends_with(0);
    assert_eq!(answer(world, &shop, &told), "<p>a first draft\n");
    assert!(comment(world, number).contains(&format!("in `pr-{number}`: deployed")), "{}", comment(world, number));

    greet(&shop, "a second draft");
    let sha = shop.commit("a second draft");
    let told = run(&shop.preview_job(world, number, &sha, "synchronize", labels), &[], number).ends_with(0);
    assert_eq!(answer(world, &shop, &told), "<p>a second draft\n");
    assert_eq!(shop.answers(world), production.0);
    let listed = shop.skipper(world, &["previews"]).ends_with(0);
    listed.says(&format!("pr-{number}")).says(&sha[..7]);

    let told = run(&shop.preview_job(world, number, &sha, "closed", labels), &[], number).ends_with(0);
    let told = told.says("the preview is removed: its pull request is closed");
    assert_eq!(told.outcome.outputs["status"], "succeeded");
    assert_eq!(remains(world, &shop, number), Vec::<String>::new());
    assert!(comment(world, number).contains(": removed"), "{}", comment(world, number));
    assert_eq!((shop.answers(world), shop.processes(world, "web")), production);
    let deployments = world.lab.github().dump().unwrap().deployments;
    let previews = deployments.iter().filter(|deployment| deployment.environment == format!("pr-{number}"));
    let last: Vec<&str> = previews.map(|deployment| deployment.statuses.last().unwrap().state.as_str()).collect();
    assert_eq!(last, ["inactive", "inactive"]);
    // The event comes once more.
    let again = run(&shop.preview_job(world, number, &sha, "closed", labels), &[], number).ends_with(0);
    again.says("there is no preview: nothing was left of it");
    assert_eq!(remains(world, &shop, number), Vec::<String>::new());
}

fn a_sweep_removes_what_has_no_open_pull_request_and_nothing_else(world: &World) {
    let shop = Shop::make(world, "swept").on_one_host();
    shop.append("skipper.yml", "previews: {max: 2}\n");
    let open = |greeting: &str| {
        greet(&shop, greeting);
        shop.open(world, greeting)
    };
    let opened =
        |(sha, number): &(String, u64)| run(&shop.preview_job(world, *number, sha, "opened", &[]), &[], *number);
    let (kept, closed) = (open("kept"), open("closed"));
    opened(&closed).ends_with(0);
    shop.git(&["checkout", "--quiet", &kept.0]);
    let told = opened(&kept).ends_with(0);
    let third = open("one too many");
    let refused = world.refusal(&shop, Section::Run, "one preview more than `previews.max`", || opened(&third));
    refused.ends_with(5).says("there are 2 previews already");

    let push = shop.job(world, &third.0).input("environment", "preview");
    let refused = world.refusal(&shop, Section::Run, "`environment: preview` on a push", || run(&push, &[], 0));
    refused.ends_with(2).says("this run is about none");

    // Nobody runs anything when it is closed.
    world.lab.github().seed(&[Seed::closed_pull(REPOSITORY, closed.1, "closed", &closed.0)]).unwrap();
    let sweep = || run(&shop.scheduled_job(world).input("command", "previews sweep"), &[], 0);
    // While GitHub does not answer, nothing is known and nothing is removed.
    world.lab.github().fault(&Fault::always(Failure::BadGateway)).unwrap();
    sweep().ends_with(5).says("swept: 0 previews removed, 2 previews kept").says("so its preview is kept");
    world.lab.github().clear_faults().unwrap();

    sweep().ends_with(0).says("swept: 1 preview removed, 1 preview kept");
    assert_eq!(remains(world, &shop, closed.1), Vec::<String>::new());
    assert!(comment(world, closed.1).contains(": removed"), "{}", comment(world, closed.1));
    assert_eq!(answer(world, &shop, &told), "<p>kept\n");

    world.lab.github().seed(&[Seed::merged_pull(REPOSITORY, kept.1, "kept", &kept.0)]).unwrap();
    sweep().ends_with(0).says("swept: 1 preview removed, 0 previews kept");
    assert_eq!(remains(world, &shop, kept.1), Vec::<String>::new());
    sweep().ends_with(0).says("swept: 0 previews removed, 0 previews kept");
}

fn previews_share_hosts_until_the_last_of_them_has_ended(world: &World) {
    let shop = Shop::make(world, "shared").on_one_host();
    shop.append("skipper.yml", "previews: {hosts: shared}\n");
    let open = |greeting: &str| {
        greet(&shop, greeting);
        shop.open(world, greeting)
    };
    let job = |(sha, number): &(String, u64), action: &str| shop.preview_job(world, *number, sha, action, &[]);
    let hosts = || world.lab.cloud().alive(&shop.name, "preview").unwrap();
    let (first, second) = (open("first"), open("second"));

    // Both are opened at the same moment, and want the same hosts.
    shop.git(&["checkout", "--quiet", &first.0]);
    let other = Shop { folder: world.lab.folder().unwrap().join("shared-beside"), name: shop.name.clone() };
    shop.git(&["clone", "--quiet", ".", &other.folder.display().to_string()]);
    other.git(&["checkout", "--quiet", &second.0]);
    let beside = start(&other.preview_job(world, second.1, &second.0, "opened", &[]), &[]);
    let told = [run(&job(&first, "opened"), &[], first.1).ends_with(0), finish(beside, second.1).ends_with(0)];
    let waited = told.iter().filter(|told| told.outcome.log.contains("of the hosts that previews share is held by"));
    assert_eq!(waited.count(), 1, "one waits for the other");
    let machines = hosts();
    assert_eq!(told.each_ref().map(|told| answer(world, &shop, told)), ["<p>first\n", "<p>second\n"]);
    for (_, number) in [&first, &second] {
        assert_eq!(world.lab.cloud().alive(&shop.name, &format!("pr-{number}")).unwrap(), Vec::<String>::new());
    }
    shop.skipper(world, &["previews"]).ends_with(0).says("shared by previews: 1 host");

    // One is updated and one ends, and the other is as it was.
    greet(&shop, "first, better");
    let better = (shop.commit("first, better"), first.1);
    let told_first = run(&job(&better, "synchronize"), &[], first.1).ends_with(0);
    assert_eq!(answer(world, &shop, &told_first), "<p>first, better\n");
    let ended = run(&job(&second, "closed"), &[], second.1).ends_with(0);
    ended.says("the preview is removed: its pull request is closed");
    assert_eq!(remains(world, &shop, second.1), Vec::<String>::new());
    assert_eq!((answer(world, &shop, &told_first).as_str(), hosts()), ("<p>first, better\n", machines.clone()));

    // It comes back, to the hosts that it was on.
    shop.git(&["checkout", "--quiet", &second.0]);
    let again = run(&job(&second, "reopened"), &[], second.1).ends_with(0);
    assert_eq!((answer(world, &shop, &again).as_str(), hosts()), ("<p>second\n", machines));

    let sweep = || run(&shop.scheduled_job(world).input("command", "previews sweep"), &[], 0);
    sweep().ends_with(0).says("swept: 0 previews removed, 2 previews kept");
    world.lab.github().seed(&[Seed::closed_pull(REPOSITORY, first.1, "first", &better.0)]).unwrap();
    world.lab.github().seed(&[Seed::closed_pull(REPOSITORY, second.1, "second", &second.0)]).unwrap();
    let swept = sweep().ends_with(0).says("swept: 2 previews removed, 0 previews kept");
    swept.says("the hosts that previews shared are removed: no preview is left");
    assert_eq!((hosts(), remains(world, &shop, first.1)), (Vec::new(), Vec::new()));
    assert!(!sweep().ends_with(0).outcome.log.contains("shared"));
}
