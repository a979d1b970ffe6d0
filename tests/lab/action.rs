//! The action as GitHub starts it: its image by the runner's own line, for every event, with the workflows that the documents
//! show; and one of them run whole, by `act`.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use serde_json::Value;
use skipper_lab::{
    Job, Outcome, Part, Running, Tools,
    action::{ActionImage, lay_out},
    github::{Pull, Seed},
};

use crate::{
    Trials, World,
    blocks::{self, Block, Kind},
    shop::{self, REPOSITORY, Shop, TOKEN, Told},
    stories,
};

pub(crate) const TRIALS: Trials = &[
    ("the_action_s_image_is_the_binary_under_both_its_names", the_action_s_image_is_the_binary_under_both_its_names),
    ("a_push_is_shipped_by_the_action_s_image", a_push_is_shipped_by_the_action_s_image),
    ("the_action_s_image_plans_for_a_pull_request", the_action_s_image_plans_for_a_pull_request),
    (
        "the_action_s_image_runs_at_night_by_hand_and_on_a_comment",
        the_action_s_image_runs_at_night_by_hand_and_on_a_comment,
    ),
    ("the_action_s_image_makes_a_preview_and_takes_it_away", the_action_s_image_makes_a_preview_and_takes_it_away),
    ("the_post_step_tells_what_a_killed_step_could_not", the_post_step_tells_what_a_killed_step_could_not),
    ("a_workflow_of_the_documents_runs_under_act", a_workflow_of_the_documents_runs_under_act),
];

/// More than any step takes.
const PATIENCE: Duration = Duration::from_secs(400);
/// How the documents name the action.
const ACTION: &str = "OWNER/skipper-action@v1";
/// How a checkout names its own.
const OWN_ACTION: &str = "./.github/actions/dev";

/// The action's image, of the binary under test.
fn image(world: &World) -> &ActionImage {
    world.action.get_or_init(|| ActionImage::build(Path::new(env!("CARGO_BIN_EXE_skipper"))).unwrap())
}

/// The job with the lab's services beside it: inside its network the registry has another address, and the same name.
pub(crate) fn in_network(world: &World, job: Job) -> Job {
    let topology = world.lab.topology();
    let endpoint = format!("{}=http://{}:5000", topology.registry(), topology.address(Part::Registry));
    job.variable("SKIPPER_REGISTRY_ENDPOINT", &endpoint)
}

/// Starts one step of a workflow as GitHub's runner does.
pub(crate) fn start(world: &World, job: &Job) -> Running {
    job.start_image(image(world).name(), Some(&world.lab.topology().network()), &[]).unwrap()
}

/// Runs one step of a workflow as GitHub's runner does.
fn run(world: &World, job: Job) -> Told {
    shop::finish(start(world, &in_network(world, shop::secretive(job))), 0)
}

/// What the post step says of a step that has ended.
pub(crate) fn post(world: &World, job: &Job, ended: &Outcome) -> Outcome {
    let network = world.lab.topology().network();
    let post = job.start_image_post(image(world).name(), Some(&network), ended).unwrap().wait(PATIENCE).unwrap();
    assert_eq!(post.code, Some(0), "{}", post.log);
    post
}

fn docker(arguments: &[&str]) -> String {
    succeeded(&Command::new("docker").args(arguments).output().unwrap())
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    stdout
}

/// The workflow called `name` in the documents.
fn workflow(name: &str) -> Block {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let blocks = blocks::of(root, &["docs/github.md".to_owned()], Kind::Workflow);
    let block = blocks.into_iter().find(|block| block.text.starts_with(&format!("name: {name}\n")));
    let block = block.unwrap_or_else(|| panic!("docs/github.md shows no workflow `{name}`"));
    // The lab's credentials are in the environment; taking a role is tried elsewhere.
    let lines = block.text.lines().filter(|line| !line.trim_start().starts_with("aws-role: "));
    Block { text: lines.map(|line| format!("{line}\n")).collect(), ..block }
}

/// `job` with the inputs that the documents' workflow `name` gives to skipper's step in its job `of`.
fn as_in(name: &str, of: &str, job: Job, revision: &str) -> Job {
    let block = workflow(name);
    let workflow: Value = serde_saphyr::from_str(&block.text).unwrap();
    let event = job.event_name();
    assert!(workflow["on"].get(event).is_some(), "{}: it is not for `{event}`", block.place());
    let steps = workflow["jobs"][of]["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["uses"] == ACTION).unwrap();
    step["with"].as_object().unwrap().iter().fold(job, |job, (input, value)| {
        let value = match value.as_str().unwrap() {
            "${{ github.actor }}" => "octocat",
            "${{ github.token }}" => TOKEN,
            "${{ inputs.revision }}" => revision,
            value => value,
        };
        assert!(!value.contains("${{"), "{}: what is `{value}`?", block.place());
        job.input(input, value)
    })
}

fn the_action_s_image_is_the_binary_under_both_its_names(world: &World) {
    let image = image(world).name();
    let settings: Value = serde_json::from_str(&docker(&["inspect", "--format", "{{json .Config}}", image])).unwrap();
    assert_eq!(settings["Entrypoint"], serde_json::json!(["/skipper"]));
    // The runner's folders are root's, and the working folder is the runner's to choose.
    for setting in ["User", "WorkingDir"] {
        assert_eq!(settings[setting].as_str().unwrap_or_default(), "", "{setting}");
    }
    let expected = format!("skipper {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(docker(&["run", "--rm", image, "--version"]), expected);
    // Under its other name it has nothing to say where no step was before, and takes no arguments.
    assert_eq!(docker(&["run", "--rm", "--entrypoint", "/skipper-post", image, "--version"]), "");
    // Both are one file: the image holds its bytes once.
    let size: u64 = docker(&["inspect", "--format", "{{.Size}}", image]).trim().parse().unwrap();
    let binary = fs::metadata(env!("CARGO_BIN_EXE_skipper")).unwrap().len();
    assert!(size < binary + 1_000_000, "the image has {size} bytes, the binary {binary}");
}

fn a_push_is_shipped_by_the_action_s_image(world: &World) {
    let shop = stories::shop(world);
    shop.replace("web/site/index.html", "first commit", "commit of the image");
    let (sha, _) = shop.merge(world, "a commit that the image ships");
    let job = as_in("deploy", "deploy", Job::push(&world.lab, &shop.folder, REPOSITORY, &sha), &sha);
    let told = run(world, job).ends_with(0).says("deployed: the release serves on every host");
    assert_eq!((told.outcome.outputs["status"].as_str(), &told.outcome.outputs["release"]), ("succeeded", &sha));
    let answers = shop.answers(world);
    assert!(answers.iter().all(|answer| answer.contains("Hello from the commit of the image")), "{answers:?}");
    shop.replace("web/site/index.html", "commit of the image", "first commit");
}

/// A pull request of a commit that is not the one that is checked out: GitHub checks out what a merge of it would be.
fn pull_request(shop: &Shop) -> (Pull, String) {
    let merge = shop.git(&["rev-parse", "HEAD"]);
    let head_sha = shop.commit("the head of a pull request");
    let pull = Pull::open(REPOSITORY, 4001, "A change", &head_sha);
    (pull, merge)
}

fn the_action_s_image_plans_for_a_pull_request(world: &World) {
    let shop = stories::shop(world);
    let (pull, merge) = pull_request(shop);
    world.lab.github().seed(&[Seed::Pull { repository: REPOSITORY.to_owned(), pull: pull.clone() }]).unwrap();
    let job = |action: &str, pull: &Pull| Job::pull_request(&world.lab, &shop.folder, REPOSITORY, action, pull, &merge);
    world.lab.cloud().clear_calls().unwrap();
    for action in ["opened", "synchronize"] {
        let told = run(world, as_in("plan", "plan", job(action, &pull), "")).ends_with(0);
        assert_eq!(told.outcome.outputs["release"], pull.head_sha, "{}", told.outcome.log);
    }
    // Told once, and edited at the next push.
    let comments = world.lab.github().comments(REPOSITORY, pull.number).unwrap();
    let [comment] = &comments[..] else { panic!("{} comments", comments.len()) };
    assert!(comment.edits >= 1 && comment.body.contains(&pull.head_sha), "{}", comment.body);
    // One from a fork gets no secrets, and ends well without them.
    let foreign = Pull { head_repository: Some("somebody/shop".to_owned()), ..pull.clone() };
    let told = run(world, as_in("plan", "plan", job("opened", &foreign), "")).ends_with(0);
    assert_eq!(told.outcome.outputs["status"], "skipped");
    let closed = Pull { merged: true, ..pull };
    run(world, job("closed", &closed).input("command", "ps")).ends_with(0).says("clock_2");
    assert_eq!(world.lab.cloud().changes().unwrap().iter().filter(|change| change.action != "SendCommand").count(), 0);
}

fn the_action_s_image_runs_at_night_by_hand_and_on_a_comment(world: &World) {
    let shop = stories::shop(world);
    let sha = shop.git(&["rev-parse", "HEAD"]);
    let schedule = Job::schedule(&world.lab, &shop.folder, REPOSITORY, &sha, "17 3 * * *");
    let told = run(world, as_in("nightly", "drift", schedule, "")).ends_with(0);
    assert_eq!(told.outcome.outputs["release"], sha);
    // What the workflow's next step looks at.
    let plan: Value = serde_json::from_str(&told.outcome.outputs["plan"]).unwrap();
    assert!(plan["steps"].is_array(), "{plan}");

    let inputs = serde_json::json!({"revision": sha});
    let dispatch = Job::workflow_dispatch(&world.lab, &shop.folder, REPOSITORY, &sha, &inputs);
    let told = run(world, as_in("ship", "ship", dispatch, &sha)).ends_with(0);
    assert_eq!(told.outcome.outputs["release"], sha);

    let (pull, _) = pull_request(shop);
    let comment = Job::issue_comment(&world.lab, &shop.folder, REPOSITORY, &sha, &pull, "/ps");
    run(world, comment.input("command", "ps")).ends_with(0).says("clock_2");
}

fn the_action_s_image_makes_a_preview_and_takes_it_away(world: &World) {
    let shop = Shop::make(world, "previewed").on_one_host();
    shop.append("skipper.yml", "previews: {hosts: shared}\n");
    let merge = shop.commit("the first commit");
    let sha = shop.commit("the head of a pull request");
    let pull = Pull::open(REPOSITORY, 4002, "A change with a preview", &sha);
    world.lab.github().seed(&[Seed::Pull { repository: REPOSITORY.to_owned(), pull: pull.clone() }]).unwrap();
    let alive = || world.lab.cloud().alive(&shop.name, "preview").unwrap().len();
    let job = |action: &str, pull: &Pull| Job::pull_request(&world.lab, &shop.folder, REPOSITORY, action, pull, &merge);

    let told = run(world, as_in("preview", "preview", job("opened", &pull), "")).ends_with(0);
    let address = &told.outcome.outputs["url"];
    let answer = world.lab.http_get(address).unwrap().success().unwrap().body;
    assert!(answer.contains("Hello from"), "{address}: {answer}");

    let closed = Pull { merged: true, ..pull };
    world.lab.github().seed(&[Seed::Pull { repository: REPOSITORY.to_owned(), pull: closed.clone() }]).unwrap();
    let told = run(world, as_in("preview", "preview", job("closed", &closed), "")).ends_with(0);
    told.says("the preview is removed: its pull request is closed");
    assert!(world.lab.http_get(address).is_err() && alive() > 0);

    let schedule = Job::schedule(&world.lab, &shop.folder, REPOSITORY, &sha, "17 3 * * *");
    run(world, as_in("nightly", "sweep", schedule, "")).ends_with(0).says("no preview is left");
    assert_eq!(alive(), 0);
}

fn the_post_step_tells_what_a_killed_step_could_not(world: &World) {
    let shop = stories::shop(world);
    shop.replace("web/site/index.html", "first commit", "commit whose step is killed");
    let (sha, pull_request) = shop.merge(world, "a commit whose step is killed");
    let job = as_in("deploy", "deploy", Job::push(&world.lab, &shop.folder, REPOSITORY, &sha), &sha);
    let job = in_network(world, shop::brisk(shop::secretive(job)));
    let mut running = start(world, &job);
    running.wait_for("] replace `web_1`", PATIENCE).unwrap();
    running.end();
    let killed = running.wait(PATIENCE).unwrap();
    let said = post(world, &job, &killed);
    assert!(said.log.contains("ended from outside"), "{}", said.log);
    let comments = world.lab.github().comments(REPOSITORY, pull_request).unwrap();
    let [comment] = &comments[..] else { panic!("{} comments", comments.len()) };
    assert!(comment.body.contains("ended from outside"), "{}", comment.body);

    // The next run goes on from there; it tells everything itself, and its post step adds nothing.
    let job = job.run_id(u64::from(u32::MAX));
    let ended = start(world, &job).wait(PATIENCE).unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert_eq!(post(world, &job, &ended).log, "");
    shop.replace("web/site/index.html", "commit whose step is killed", "first commit");
}

fn a_workflow_of_the_documents_runs_under_act(world: &World) {
    // A checkout as of the repository of a project that has the action in it.
    let shop = Shop::make(world, "acted").on_one_host();
    shop.commit("the first commit");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = shop.folder.join(OWN_ACTION);
    fs::create_dir_all(&own).unwrap();
    fs::copy(root.join(OWN_ACTION).join("action.yml"), own.join("action.yml")).unwrap();
    let file = ".github/workflows/plan.yml";
    fs::create_dir_all(shop.folder.join(file).parent().unwrap()).unwrap();
    // What the step leaves in its outputs is seen in the next one.
    let workflow = workflow("plan").text.replace(ACTION, &format!("{OWN_ACTION}\n        id: skipper"))
        + "      - run: echo \"the plan ended with $STATUS for $RELEASE\"\n        env:\n          STATUS: ${{ steps.skipper.outputs.status }}\n          RELEASE: ${{ steps.skipper.outputs.release }}\n";
    fs::write(shop.folder.join(file), workflow).unwrap();
    let (pull, merge) = pull_request(&shop);
    shop.git(&["remote", "add", "origin", &format!("https://github.com/{REPOSITORY}.git")]);
    lay_out(Path::new(env!("CARGO_BIN_EXE_skipper")), &shop.folder).unwrap();
    let job = Job::pull_request(&world.lab, &shop.folder, REPOSITORY, "opened", &pull, &merge);
    let event = shop.folder.join("event.json");
    fs::write(&event, job.event().to_string()).unwrap();

    let tools = Tools::get(&world.clock).unwrap();
    let mut act = tools.act(&shop.folder);
    act.args(["--workflows", file, "--eventpath", "event.json", "--secret", &format!("GITHUB_TOKEN={TOKEN}")]);
    for (name, value) in world.lab.environment() {
        act.args(["--env", &format!("{name}={value}")]);
    }
    let said = succeeded(&act.arg("pull_request").output().unwrap());
    assert!(said.contains(&format!("the plan ended with succeeded for {}", pull.head_sha)), "{said}");
    let _ = Command::new("docker").args(["rmi", "--force", "act-github-actions-dev-dockeraction:latest"]).output();
}
