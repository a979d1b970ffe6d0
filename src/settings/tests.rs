//! What runs are told, as the runner and people tell it.

use std::{collections::BTreeMap, collections::BTreeSet, fs};

use serde_json::json;
use skipper_core::{exit::Exit, preview::Happened};
use tempfile::TempDir;

use super::*;
use crate::github::runner::Output;

const SHA: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";
const HEAD: &str = "1eaf000000000000000000000000000000000000";

/// A process with variables and a folder of its own.
struct Process {
    variables: BTreeMap<String, String>,
    folder: TempDir,
}

impl Process {
    /// One outside a workflow.
    fn by_hand() -> Self {
        Self { variables: BTreeMap::new(), folder: tempfile::tempdir().unwrap() }
    }

    /// A step of a workflow that runs on `event` with the payload `payload`.
    fn step(event: &str, payload: &str) -> Self {
        let process = Self::by_hand();
        let path = process.folder.path().join("event.json");
        fs::write(&path, payload).unwrap();
        process
            .with("GITHUB_ACTIONS", "true")
            .with("GITHUB_EVENT_NAME", event)
            .with("GITHUB_EVENT_PATH", path.to_str().unwrap())
            .with("GITHUB_REPOSITORY", "acme/hello")
            .with("GITHUB_RUN_ATTEMPT", "2")
            .with("GITHUB_RUN_ID", "77")
            .with("GITHUB_SHA", SHA)
            .with("INPUT_GITHUB-TOKEN", "ghs_workflow")
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn read_with(&self, flags: Flags) -> Result<Settings, SettingsError> {
        Settings::from_lookup(flags, self.folder.path(), |name| self.variables.get(name).map(Into::into))
    }

    fn read(&self) -> Settings {
        self.read_with(Flags::default()).unwrap()
    }

    /// How it fails, as people read it.
    fn failure(&self) -> String {
        let failure = self.read_with(Flags::default()).unwrap_err().failure();
        assert_eq!(failure.exit, Exit::BadInput);
        assert!(failure.hints.iter().all(|hint| !hint.is_empty()));
        std::iter::once(failure.message).chain(failure.causes).collect::<Vec<_>>().join(": ")
    }
}

fn pull_request(head_repository: &str) -> String {
    format!(
        r#"{{"action": "labeled", "number": 12, "label": {{"name": "preview"}}, "pull_request": {{"number": 12, "head": {{"sha": "{HEAD}", "repo": {head_repository}}}, "labels": [{{"name": "bug"}}, {{"name": "preview"}}]}}}}"#
    )
}

fn labeled(from_fork: bool) -> PullRequest {
    let happened = Happened {
        action: "labeled".to_owned(),
        label: Some("preview".to_owned()),
        labels: vec!["bug".to_owned(), "preview".to_owned()],
    };
    PullRequest { number: 12, from_fork, happened: Some(happened) }
}

#[test]
fn a_push_ships_its_commit_to_production() {
    let settings = Process::step("push", "{}").with("INPUT_COMMAND", "").with("INPUT_CONFIG", "").read();
    assert_eq!(settings.command, Command::Ship);
    assert_eq!(settings.config, Path::new("skipper.yml"));
    assert_eq!(settings.environment.as_ref(), "production");
    assert_eq!(
        settings.trigger,
        Some(Trigger { event: EventKind::Push, revision: SHA.parse().unwrap(), pull_request: None, deliberate: false })
    );
    let workflow = settings.workflow.unwrap();
    assert_eq!(workflow.run(), (77, 2));
    assert_eq!(workflow.run_url(), "https://github.com/acme/hello/actions/runs/77/attempts/2");
    let code_host = settings.code_host.unwrap();
    assert_eq!(
        (code_host.api_url.as_str(), code_host.graphql_url.as_str()),
        ("https://api.github.com", "https://api.github.com/graphql")
    );
}

#[test]
fn a_pull_request_is_about_its_head_and_not_about_the_merge_that_github_tries() {
    let settings = Process::step("pull_request", &pull_request(r#"{"full_name": "Acme/hello"}"#)).read();
    let trigger = settings.trigger.unwrap();
    assert_eq!(trigger.revision.to_string(), HEAD);
    assert_eq!(trigger.pull_request, Some(labeled(false)));
}

#[test]
fn a_pull_request_from_a_fork_is_known_as_one_even_when_the_fork_is_gone() {
    for repository in [r#"{"full_name": "mallory/hello"}"#, "null"] {
        let trigger = Process::step("pull_request", &pull_request(repository)).read().trigger.unwrap();
        assert_eq!(trigger.pull_request, Some(labeled(true)));
        let refused = Process::step("pull_request_target", &pull_request(repository)).failure();
        assert!(refused.contains("what a stranger wrote"), "{refused}");
    }
}

#[test]
fn a_preview_is_the_environment_of_the_event_s_pull_request() {
    let event = pull_request(r#"{"full_name": "acme/hello"}"#);
    let step = Process::step("pull_request", &event).with("INPUT_ENVIRONMENT", "preview");
    let settings = step.read();
    assert_eq!(settings.environment.as_ref(), "pr-12");
    assert_eq!(settings.preview(), Some(&labeled(false)));
    // What is about no commit finds it by the event, too.
    let ps = step.read_with(Flags { command: Some(Command::Ps), ..Flags::default() }).unwrap();
    assert_eq!((ps.environment.as_ref(), ps.trigger), ("pr-12", None));
    // Another environment on the same event is none.
    assert_eq!(Process::step("pull_request", &event).read().preview(), None);
}

#[test]
fn without_a_pull_request_there_is_no_preview() {
    let refused = Process::step("push", "{}").with("INPUT_ENVIRONMENT", "preview").failure();
    assert!(refused.contains("this run is about none"), "{refused}");
    let by_hand = Process::by_hand().with("INPUT_COMMAND", "ps").with("INPUT_ENVIRONMENT", "preview").failure();
    assert!(by_hand.contains("this run is about none"), "{by_hand}");
    // The hosts that previews share have a lease, too.
    let lease = Process::by_hand().with("INPUT_COMMAND", "lease").with("INPUT_ENVIRONMENT", "preview").read();
    assert_eq!(lease.environment.as_ref(), "preview");
    // The commit of a comment's event is the default branch's.
    let comment = r#"{"action": "created", "issue": {"number": 9, "pull_request": {"url": "x"}}, "comment": {}}"#;
    let commented = Process::step("issue_comment", comment).with("INPUT_ENVIRONMENT", "preview").failure();
    assert!(commented.contains("this run is about none"), "{commented}");
    // Whoever names one means it.
    let dispatched = Process::step("workflow_dispatch", "{}").with("INPUT_PULL-REQUEST", "7");
    assert_eq!(dispatched.with("INPUT_ENVIRONMENT", "preview").read().environment.as_ref(), "pr-7");
    // Whoever sweeps is about none, and needs none.
    let sweep = Process::step("schedule", "{}").with("INPUT_COMMAND", "previews sweep");
    assert_eq!(sweep.with("INPUT_ENVIRONMENT", "preview").read().command, Command::Sweep);
}

#[test]
fn an_event_file_that_is_missing_or_odd_is_named() {
    let missing = Process::step("push", "{}").with("GITHUB_EVENT_PATH", "/nowhere/event.json").failure();
    assert!(missing.starts_with("read the event file `/nowhere/event.json`: "), "{missing}");
    for (event, payload) in [
        ("push", ""),
        ("push", "[]"),
        ("pull_request", "{}"),
        ("pull_request", r#"{"pull_request": {"number": "12"}}"#),
    ] {
        let odd = Process::step(event, payload).failure();
        assert!(odd.starts_with("understand the event file `"), "{odd}");
    }
    let head = pull_request("null").replace(HEAD, "main");
    let odd = Process::step("pull_request", &head).failure();
    assert!(odd.contains("`main` is not a commit SHA"), "{odd}");
}

#[test]
fn commands_about_no_commit_need_none() {
    for command in [Command::Ps, Command::Check] {
        let settings = Process::by_hand().read_with(Flags { command: Some(command), ..Flags::default() }).unwrap();
        assert_eq!((settings.command, settings.trigger), (command, None));
    }
    assert!(Process::by_hand().failure().starts_with("find the commit to act on: neither `"));
}

#[test]
fn flags_stand_above_inputs() {
    let flags = Flags {
        command: Some(Command::Plan),
        config: Some("deploy/skipper.yml".into()),
        environment: Some("staging".to_owned()),
        revision: Some(HEAD.to_owned()),
        events: Some("events.jsonl".into()),
        rebuild: true,
        wait: Some("30m".to_owned()),
        break_lease: false,
        host_timeout: Some("90s".to_owned()),
        repository: Some("acme/other".to_owned()),
        repository_ids: Some("7/99".to_owned()),
        ..Flags::default()
    };
    let step = Process::step("push", "{}")
        .with("INPUT_COMMAND", "ps")
        .with("INPUT_CONFIG", "other.yml")
        .with("INPUT_ENVIRONMENT", "production")
        .with("INPUT_HOST-TIMEOUT", "10m");
    let settings = step.read_with(flags).unwrap();
    assert_eq!(
        (settings.command, settings.config.to_str(), settings.environment.as_ref()),
        (Command::Plan, Some("deploy/skipper.yml"), "staging")
    );
    assert_eq!(settings.trigger.unwrap().revision.to_string(), HEAD);
    assert!(settings.rebuild);
    assert_eq!(settings.host_timeout.as_secs(), 90);
    assert_eq!(settings.wait.unwrap().as_secs(), 1_800);
    assert_eq!(settings.repository, Some(Repository { name: "acme/other".to_owned(), ids: Some((7, 99)) }));
}

#[test]
fn a_role_is_taken_by_what_the_job_may_show() {
    const ROLE: &str = "arn:aws:iam::123456789012:role/ci/deploy";
    let step = Process::step("push", "{}").with("INPUT_AWS-ROLE", ROLE);
    let identity = step.read().aws_role.unwrap();
    assert_eq!((identity.role.as_str(), identity.session.as_str(), identity.request), (ROLE, "skipper-77-2", None));
    let step = step
        .with("ACTIONS_ID_TOKEN_REQUEST_URL", "https://github.example/idtoken?api-version=2.0")
        .with("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "canary");
    let request = step.read().aws_role.unwrap().request.unwrap();
    assert_eq!(request.bearer.expose(), "canary");
    assert!(!format!("{request:?}").contains("canary"));
    for odd in [
        "deploy",
        "arn:aws:iam::12345:role/deploy",
        "arn:aws:iam::123456789012:user/deploy",
        "arn:aws:iam::123456789012:role/",
    ] {
        let odd = Process::step("push", "{}").with("INPUT_AWS-ROLE", odd).failure();
        assert!(odd.ends_with("is not the ARN of a role"), "{odd}");
    }
    assert_eq!(Process::step("push", "{}").read().aws_role, None);
}

#[test]
fn the_workflow_s_repository_is_known_with_its_ids() {
    let step = Process::step("push", "{}").with("GITHUB_REPOSITORY_OWNER_ID", "7").with("GITHUB_REPOSITORY_ID", "99");
    assert_eq!(step.read().repository, Some(Repository { name: "acme/hello".to_owned(), ids: Some((7, 99)) }));
    let odd = Flags { repository: Some("acme/x".to_owned()), repository_ids: Some("7".to_owned()), ..Flags::default() };
    assert!(matches!(step.read_with(odd), Err(SettingsError::RepositoryIds(_))));
    let odd = Flags { repository: Some("acme".to_owned()), ..Flags::default() };
    assert!(matches!(step.read_with(odd), Err(SettingsError::NamedRepository(_))));
}

#[test]
fn inputs_that_make_no_sense_are_refused_with_what_would() {
    let refused = |name: &str, value: &str| Process::step("push", "{}").with(name, value).failure();
    assert_eq!(refused("INPUT_COMMAND", "shop"), "there is no command `shop`");
    for time in ["soon", "0s", "2h"] {
        assert_eq!(refused("INPUT_HOST-TIMEOUT", time), format!("`{time}` is not a time that a host may take"));
    }
    assert_eq!(refused("INPUT_REBUILD", "yes"), "the input `rebuild` is `yes`, not `true` or `false`");
    assert!(refused("INPUT_ENVIRONMENT", "Prod!").starts_with("`Prod!` is not an environment's name: "));
    assert_eq!(
        refused("INPUT_REGISTRY-USERNAME", "acme"),
        "the input `registry-username` is given without `registry-password`"
    );
    assert_eq!(refused("GITHUB_REPOSITORY", "../x"), "`GITHUB_REPOSITORY` is `../x`, which is not `owner/name`");
    assert_eq!(refused("GITHUB_RUN_ID", "x"), "`GITHUB_RUN_ID` is `x`, which is not a number");
    assert_eq!(
        refused("GITHUB_API_URL", "api"),
        "`GITHUB_API_URL` is `api`, which is not an address beginning with `http://` or `https://`"
    );
    assert!(refused("GITHUB_SHA", "main").starts_with("`GITHUB_SHA` makes no sense: "));
    assert!(refused("GITHUB_SHA", "").starts_with("`GITHUB_SHA` is not set"));
    assert!(refused("SKIPPER_REGISTRY_ENDPOINT", "registry:5000").contains("`registry:5000`"));
}

#[test]
fn an_enterprise_server_has_its_two_apis_side_by_side() {
    let settings = Process::step("push", "{}").with("GITHUB_API_URL", "https://git.acme.test/api/v3/").read();
    let code_host = settings.code_host.unwrap();
    assert_eq!(
        (code_host.api_url.as_str(), code_host.graphql_url.as_str()),
        ("https://git.acme.test/api/v3", "https://git.acme.test/api/graphql")
    );
}

#[test]
fn secrets_are_not_shown_with_the_settings() {
    let settings = Process::step("push", "{}")
        .with("INPUT_REGISTRY-USERNAME", "acme")
        .with("INPUT_REGISTRY-PASSWORD", "hunter2")
        .read();
    assert_eq!(settings.registry_login.as_ref().map(|(_, password)| password.expose()), Some("hunter2"));
    let shown = format!("{settings:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("ghs_workflow"), "{shown}");
}

#[test]
fn events_go_to_the_runners_temporary_folder_where_there_is_one() {
    let step = Process::step("push", "{}");
    let folder = step.folder.path().to_str().unwrap().to_owned();
    let path = Path::new(&folder).join("events.jsonl");
    let step = step.with("RUNNER_TEMP", &folder);
    assert_eq!(step.read().events, Some(EventsFile { path, asked_for: false }));
    let asked = step.with("INPUT_EVENTS", "mine.jsonl").read().events;
    assert_eq!(asked, Some(EventsFile { path: "mine.jsonl".into(), asked_for: true }));
    assert_eq!(Process::step("push", "{}").with("RUNNER_TEMP", "/nowhere").read().events, None);
}

#[test]
fn what_points_elsewhere_is_passed_on() {
    let settings = Process::step("push", "{}")
        .with("DOCKER_HOST", "tcp://engine:2375")
        .with("HOME", "/github/home")
        .with("SKIPPER_REGISTRY_ENDPOINT", "127.213.7.1:5000=http://10.213.7.3:5000, other=https://other.test")
        .with("RUNNER_DEBUG", "1")
        .read();
    assert_eq!(settings.docker_host.as_deref(), Some("tcp://engine:2375"));
    assert_eq!(settings.docker_config.as_deref(), Some(Path::new("/github/home/.docker")));
    assert_eq!(settings.registry_endpoints["127.213.7.1:5000"], "http://10.213.7.3:5000");
    assert_eq!(settings.registry_endpoints.len(), 2);
    assert!(settings.debug);
}

/// A repository of files, as git leaves them.
fn repository(files: &[(&str, &str)]) -> Process {
    let process = Process::by_hand();
    for (path, text) in files {
        let path = process.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    process
}

#[test]
fn outside_a_workflow_the_commit_is_the_one_that_is_checked_out() {
    let branch = [(".git/HEAD", "ref: refs/heads/main\n"), (".git/refs/heads/main", &format!("{SHA}\n"))];
    let packed = format!(
        "# pack-refs with: peeled fully-peeled sorted\n{HEAD} refs/heads/other\n{SHA} refs/heads/main\n^{HEAD}\n"
    );
    let packed = [(".git/HEAD", "ref: refs/heads/main\n"), (".git/packed-refs", &packed)];
    let detached = [(".git/HEAD", SHA)];
    let worktree = [
        (".git", "gitdir: main/.git/worktrees/linked\n"),
        ("main/.git/worktrees/linked/HEAD", "ref: refs/heads/linked\n"),
        ("main/.git/worktrees/linked/commondir", "../..\n"),
        ("main/.git/refs/heads/linked", SHA),
    ];
    for files in [&branch[..], &packed, &detached, &worktree] {
        let process = repository(files);
        let trigger = process.read().trigger.unwrap();
        assert_eq!((trigger.event, trigger.revision.to_string().as_str()), (EventKind::ByHand, SHA), "{files:?}");

        let below = process.folder.path().join("services/web");
        fs::create_dir_all(&below).unwrap();
        assert_eq!(
            Settings::from_lookup(Flags::default(), &below, |_| None).unwrap().trigger.unwrap().revision.to_string(),
            SHA
        );
    }
}

#[test]
fn a_checkout_without_a_commit_is_told() {
    let empty = repository(&[(".git/HEAD", "ref: refs/heads/main\n")]).failure();
    assert!(
        empty.ends_with("`refs/heads/main` has no commit yet, or is stored in a format other than files"),
        "{empty}"
    );
    let circle =
        repository(&[(".git/HEAD", "ref: refs/heads/main\n"), (".git/refs/heads/main", "ref: refs/heads/main")])
            .failure();
    assert!(circle.starts_with("find the commit to act on: "), "{circle}");
}

/// The inputs and outputs as `action.yml` declares them.
fn declarations() -> String {
    let mut text = "inputs:\n".to_owned();
    for Input { name, default, context, description } in INPUTS {
        text.push_str(&format!("  {name}:\n    description: {}\n", json!(description)));
        if let Some(value) = context.or(default) {
            text.push_str(&format!("    default: {}\n", json!(value)));
        }
    }
    text.push_str("\noutputs:\n");
    for output in Output::ALL {
        text.push_str(&format!("  {}:\n    description: {}\n", output.as_str(), json!(output.description())));
    }
    text
}

/// `SKIPPER_BLESS=1` writes it anew.
#[test]
fn the_action_declares_the_inputs_that_are_read_and_the_outputs_that_are_set() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("action.yml");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("inputs:\n").unwrap();
    let (_, after) = rest.split_once("\nruns:\n").unwrap();
    let right = format!("{before}{}\nruns:\n{after}", declarations());
    if env::var_os("SKIPPER_BLESS").is_some() {
        fs::write(&path, right).unwrap();
    } else {
        assert!(text == right, "`SKIPPER_BLESS=1 cargo test --workspace --lib action` writes action.yml anew");
    }
}

#[test]
fn inputs_of_a_few_words_say_which_they_take() {
    let settings = Process::step("push", "{}").read();
    assert_eq!(
        (settings.fork, settings.on_superseded, settings.comments, settings.deployments),
        (Verdict::Pass, Verdict::Pass, Comments::Merged, Deployments::Auto)
    );
    let settings = Process::step("push", "{}").with("INPUT_COMMENT", "off").with("INPUT_FORK", "fail").read();
    assert_eq!((settings.comments, settings.fork), (Comments::Off, Verdict::Fail));
    let failure = Process::step("push", "{}").with("INPUT_ON-SUPERSEDED", "ignore").failure();
    assert_eq!(failure, "the input `on-superseded` is `ignore`, not `warn` or `fail`");
    let failure = Process::step("push", "{}").with("INPUT_COMMENT", "never").failure();
    assert_eq!(failure, "the input `comment` is `never`, not `merged`, `open` or `off`");
}

#[test]
fn services_may_be_listed_in_any_of_yamls_ways() {
    for text in ["web,redis", "web redis", "web,\n  redis\n", " redis\nweb"] {
        let settings = Process::step("push", "{}").with("INPUT_SERVICES", text).read();
        assert_eq!(settings.services.keys().map(AsRef::as_ref).collect::<Vec<&str>>(), ["redis", "web"], "{text:?}");
    }
    let failure = Process::step("push", "{}").with("INPUT_SERVICES", "web;redis").failure();
    assert!(failure.starts_with("`web;redis` is not a service's name: "), "{failure}");
}

#[test]
fn services_are_named_with_tags_where_the_command_takes_them() {
    let deploy =
        |services: &str| Process::step("push", "{}").with("INPUT_COMMAND", "deploy").with("INPUT_SERVICES", services);
    let settings = deploy("web:1.2, redis").read();
    let named: Vec<(&str, Option<&str>)> =
        settings.services.iter().map(|(name, tag)| (name.as_ref(), tag.as_ref().map(AsRef::as_ref))).collect();
    assert_eq!(named, [("redis", None), ("web", Some("1.2"))]);
    assert_eq!(settings.trigger.unwrap().revision, SHA.parse().unwrap());
    // Where the tags are a commit's, it is that one that is deployed, and somebody means it.
    let trigger = deploy(&format!("web:{HEAD} redis:{HEAD}")).read().trigger.unwrap();
    assert_eq!((trigger.revision.to_string().as_str(), trigger.deliberate), (HEAD, true));
    assert_eq!(deploy(&format!("web:{HEAD} redis:7")).read().trigger.unwrap().revision, SHA.parse().unwrap());
    assert_eq!(
        deploy("web:").failure(),
        "`web:` names no tag: `` is not a tag: up to 128 letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`"
    );
    assert_eq!(deploy("web web:2").failure(), "`web:2`: its service is named twice");
    let ship = Process::step("push", "{}").with("INPUT_SERVICES", "web:2").failure();
    assert!(ship.starts_with("`web:2` has a tag, and `ship` takes none"), "{ship}");
}

#[test]
fn clean_leaves_ten_images_unless_it_is_told_another_number() {
    let clean =
        |cutoff: &str| Process::step("schedule", "{}").with("INPUT_COMMAND", "clean").with("INPUT_CUTOFF", cutoff);
    let settings = clean("").with("INPUT_CLEAN-HOSTS", "true").read();
    assert_eq!((settings.cutoff, settings.clean_hosts, settings.trigger), (10, true, None));
    assert_eq!((clean("0").read().cutoff, clean(" 3 ").read().clean_hosts), (0, false));
    for wrong in ["-1", "ten", "1.5", "99999999999"] {
        assert_eq!(clean(wrong).failure(), format!("`{wrong}` is not a number of images"));
    }
    let tagged = clean("1").with("INPUT_SERVICES", "web:2").failure();
    assert_eq!(tagged, "`web:2` has a tag, and `clean` takes none");
}

#[test]
fn the_plan_to_expect_is_the_pull_requests_or_one_with_a_hash() {
    let read = |text| Process::step("push", "{}").with("INPUT_EXPECT-PLAN", text).read().expect_plan;
    assert_eq!(read(""), None);
    assert_eq!(read("pr"), Some(ExpectedPlan::OnPullRequest));
    assert_eq!(read("0123456789abcdef"), Some(ExpectedPlan::Hash("0123456789abcdef".parse().unwrap())));
    let Some(ExpectedPlan::ByRegion(plans)) = read(r#"{"eu-west-1":"0123456789abcdef"}"#) else { panic!("by region") };
    assert_eq!(plans["eu-west-1"].to_string(), "0123456789abcdef");
    for wrong in ["yes", "{}", r#"{"eu-west-1":"no hash"}"#, "{"] {
        let failure = Process::step("push", "{}").with("INPUT_EXPECT-PLAN", wrong).failure();
        assert_eq!(failure, format!("`{wrong}` is not a plan to expect"));
    }
}

#[test]
fn a_comment_on_a_pull_request_is_about_that_pull_request_and_the_default_branchs_commit() {
    let on_pull = r#"{"action": "created", "issue": {"number": 9, "pull_request": {"url": "x"}}, "comment": {}}"#;
    let trigger = Process::step("issue_comment", on_pull).read().trigger.unwrap();
    assert_eq!(trigger.pull_request, Some(PullRequest::named(9)));
    assert_eq!(trigger.revision, SHA.parse().unwrap());
    let on_issue = r#"{"action": "created", "issue": {"number": 9}, "comment": {}}"#;
    assert_eq!(Process::step("issue_comment", on_issue).read().trigger.unwrap().pull_request, None);
}

#[test]
fn a_pull_request_of_a_fork_or_of_dependabot_gets_no_secrets() {
    let own = Process::step("pull_request", &pull_request(r#"{"full_name": "acme/hello"}"#));
    assert_eq!(own.read().trigger.unwrap().without_secrets(), None);
    let fork = Process::step("pull_request", &pull_request(r#"{"full_name": "mallory/hello"}"#));
    assert_eq!(fork.read().trigger.unwrap().without_secrets(), Some(12));
    let dependabot = own.with("GITHUB_ACTOR", "dependabot[bot]");
    assert_eq!(dependabot.read().trigger.unwrap().without_secrets(), Some(12));
}

#[test]
fn an_event_that_is_about_no_pull_request_may_be_given_one_and_a_commit() {
    let step = Process::step("workflow_dispatch", "{}").with("INPUT_PULL-REQUEST", "#7").with("INPUT_REVISION", HEAD);
    let trigger = step.read().trigger.unwrap();
    assert_eq!(trigger.pull_request, Some(PullRequest::named(7)));
    assert_eq!((trigger.revision, trigger.deliberate), (HEAD.parse().unwrap(), true));
    let failure = Process::step("workflow_dispatch", "{}").with("INPUT_PULL-REQUEST", "seven").failure();
    assert_eq!(failure, "`seven` is not the number of a pull request");
}

#[test]
fn every_description_fits_into_one_line_and_names_are_unique() {
    let inputs = INPUTS.map(|input| (input.name, input.description));
    let outputs = Output::ALL.map(|output| (output.as_str(), output.description()));
    for (name, description) in inputs.into_iter().chain(outputs) {
        assert!(!description.contains('\n') && !description.ends_with('.'), "{name}");
    }
    let names: BTreeSet<&str> = INPUTS.iter().map(|input| input.name).collect();
    assert_eq!(names.len(), INPUTS.len());
}

#[test]
fn no_error_repeats_its_source() {
    let sha = "main".parse::<Revision>().unwrap_err();
    for error in [SettingsError::Sha(sha.clone()), SettingsError::Revision(sha)] {
        let failure = error.failure();
        assert_eq!(failure.causes.len(), 1);
        assert!(!failure.message.contains(&failure.causes[0]));
    }
}

/// A folder with 2014's file in it.
fn with_keys(text: &str, mode: u32) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".skippercfg");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    folder
}

fn keys_in(folder: &tempfile::TempDir) -> Result<Option<super::Keys>, String> {
    super::Keys::read(folder.path()).map_err(|error| error.to_string())
}

#[test]
fn the_keys_of_2014_are_read_in_the_form_of_2014() {
    let written = r#"{"AWS": {"ACCESS_KEY": "AKIA2014", "SECRET_KEY": "canary", "KEY_NAME": "MyKeyPair"}, "SSH": {"PUBLIC_KEY": "ssh-rsa"}}"#;
    let keys = keys_in(&with_keys(written, 0o600)).unwrap().unwrap();
    assert_eq!((keys.id.as_str(), keys.secret.expose(), &keys.region), ("AKIA2014", "canary", &None));
    assert!(!format!("{keys:?}").contains("canary"));
    assert_eq!(keys_in(&with_keys(r#"{"COREOS": {"ETCD_TOKEN": "x"}}"#, 0o400)).unwrap(), None);
    assert_eq!(keys_in(&tempfile::tempdir().unwrap()).unwrap(), None);
}

#[test]
fn keys_that_others_may_read_are_refused_and_never_shown() {
    let written = r#"{"AWS": {"ACCESS_KEY": "AKIA2014", "SECRET_KEY": "canary"}}"#;
    for mode in [0o640, 0o604, 0o666] {
        assert_eq!(
            keys_in(&with_keys(written, mode)).unwrap_err(),
            "`.skippercfg` can be read by others, and it holds keys"
        );
    }
    for odd in [r#"{"AWS": "canary"}"#, "canary", r#"{"AWS": {"ACCESS_KEY": ["canary"]}}"#] {
        let refused = keys_in(&with_keys(odd, 0o600)).unwrap_err();
        assert_eq!(refused, "`.skippercfg` is not the JSON that Skipper wrote in 2014: line 1");
    }
    let half = keys_in(&with_keys(r#"{"AWS": {"ACCESS_KEY": "AKIA2014"}}"#, 0o600)).unwrap_err();
    assert_eq!(half, "`.skippercfg` has one of `ACCESS_KEY` and `SECRET_KEY`, and not the other");
}
