//! Roles in place of keys: what `skipper iam` prints is made in the cloud, and jobs take it by their tokens.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use skipper_lab::Job;

use crate::{
    Trials, World,
    errors::Section,
    shop::{REPOSITORY, Shop, Told, run},
};

pub(crate) const TRIALS: Trials = &[
    ("a_job_takes_the_role_of_its_environment_by_its_token", a_job_takes_the_role_of_its_environment_by_its_token),
    ("who_may_only_plan_sends_no_script_of_its_own", who_may_only_plan_sends_no_script_of_its_own),
    ("a_host_logs_in_to_ecr_by_what_its_role_may", a_host_logs_in_to_ecr_by_what_its_role_may),
    ("the_doctor_finds_what_is_missing_and_changes_nothing", the_doctor_finds_what_is_missing_and_changes_nothing),
];

/// A project on one host whose roles exist, deployed by the role for that.
fn trusted(world: &World, name: &str) -> Shop {
    let shop = Shop::make(world, name).on_one_host();
    // A host asks for it with its own role.
    shop.replace("skipper.yml", "build: clock\n", "build: clock\n    secrets: [TOKEN]\n");
    shop.commit("the first commit");
    make_stack(world, &template(world, &shop));
    concealed(&ship(world, &shop, "by its role").ends_with(0));
    shop
}

/// What a run has obtained is told to the runner, to be blotted out, and stands nowhere else.
fn concealed(told: &Told) {
    let (masks, rest): (Vec<&str>, Vec<&str>) =
        told.outcome.log.lines().partition(|line| line.starts_with("::add-mask::"));
    let events = serde_json::to_string(&told.events).unwrap();
    let elsewhere =
        [rest.join("\n"), events, told.outcome.summary.clone(), format!("{:?}", told.outcome.outputs)].concat();
    // The job's token, the three parts of the keys, and the secret.
    assert_eq!(masks.len(), 5, "{}", told.outcome.log);
    for secret in masks.iter().filter_map(|line| line.strip_prefix("::add-mask::")) {
        assert!(!elsewhere.contains(secret), "{elsewhere}");
    }
}

/// Whether the account has GitHub's identity provider.
static HAS_PROVIDER: AtomicBool = AtomicBool::new(false);

/// The lab's hosts have a role already, and the first stack makes the provider for all.
fn make_stack(world: &World, template: &Value) {
    let create = if HAS_PROVIDER.swap(true, Ordering::Relaxed) { "no" } else { "yes" };
    world.lab.cloud().stack(template, &[("CreateHostRoles", "no"), ("CreateProvider", create)]).unwrap();
}

fn template(world: &World, shop: &Shop) -> Value {
    let told = shop.skipper(world, &["iam", "--format", "cloudformation", "--repository", REPOSITORY]).ends_with(0);
    serde_json::from_str(&told.outcome.stdout).unwrap()
}

/// A job without keys that asks for a role.
fn job(world: &World, shop: &Shop, role: &str, environment: Option<&str>) -> Job {
    let sha = shop.git(&["rev-parse", "HEAD"]);
    let role = format!("arn:aws:iam::123456789012:role/skipper-{}-production-{role}", shop.name);
    shop.job(world, &sha)
        .without("AWS_ACCESS_KEY_ID")
        .without("AWS_SECRET_ACCESS_KEY")
        .input("aws-role", &role)
        .identified(&world.lab, environment)
}

fn ship(world: &World, shop: &Shop, subject: &str) -> Told {
    shop.merge(world, subject);
    run(&job(world, shop, "deploy", Some("production")).variable("TOKEN", "canary-of-a-service"), &["ship"], 0)
}

fn a_job_takes_the_role_of_its_environment_by_its_token(world: &World) {
    let shop = trusted(world, "trusted");
    // A host more and one less: everything that a deployment does is allowed.
    shop.replace("skipper.yml", "scale: 1", "scale: 2");
    ship(world, &shop, "a second host").ends_with(0);
    shop.replace("skipper.yml", "scale: 2", "scale: 1");
    shop.replace("skipper.yml", "public: [\"80\"]", "public: []");
    ship(world, &shop, "one host again, closed").ends_with(0);
    run(&job(world, &shop, "deploy", Some("production")), &["ps"], 0).ends_with(0).says("of 2 replicas serve");

    let other = || run(&job(world, &shop, "deploy", Some("staging")), &["ship"], 0);
    let told = world.refusal(&shop, Section::Credentials, "a job of another environment", other).ends_with(3);
    told.says("the token's sub: repo:acme/shop:environment:staging").says("the token's aud: sts.amazonaws.com");
    let nowhere = || run(&job(world, &shop, "deploy", None), &["ship"], 0);
    let told = world.refusal(&shop, Section::Credentials, "a job that names no environment", nowhere).ends_with(3);
    told.says("the token's sub: repo:acme/shop:ref:refs/heads/main");
    let silent = || {
        let job = job(world, &shop, "deploy", None).without("ACTIONS_ID_TOKEN_REQUEST_TOKEN");
        run(&job, &["ship"], 0)
    };
    let told = world.refusal(&shop, Section::Credentials, "a job without the permission `id-token: write`", silent);
    told.ends_with(3).says("hint: give the job the permission to ask for its token");
}

fn who_may_only_plan_sends_no_script_of_its_own(world: &World) {
    let shop = trusted(world, "planned");
    let plan = || run(&job(world, &shop, "plan", None), &["plan"], 0);
    // By the document, since nothing else is allowed.
    plan().ends_with(0).says("planned: ");
    run(&job(world, &shop, "plan", None), &["ps"], 0).ends_with(0).says("of 2 replicas serve");

    shop.merge(world, "a change");
    let ship = || run(&job(world, &shop, "plan", None), &["ship"], 0);
    world
        .refusal(&shop, Section::Credentials, "`ship` by the role to plan", ship)
        .ends_with(3)
        .says("AWS denied `ssm:PutParameter`");

    let mut old = template(world, &shop);
    let step =
        &mut old["Resources"]["ObserveDocument"]["Properties"]["Content"]["mainSteps"][0]["inputs"]["runCommand"];
    step.as_array_mut().unwrap().insert(0, Value::from("# of another version"));
    make_stack(world, &old);
    let told = world.refusal(&shop, Section::Credentials, "`plan` with the document of another version", plan);
    told.ends_with(3).says("AWS denied `ssm:SendCommand`").says("is of another version of skipper");
    // Who deploys may send the text itself.
    run(&job(world, &shop, "deploy", Some("production")), &["ps"], 0).ends_with(0).says("of 2 replicas serve");
}

fn a_host_logs_in_to_ecr_by_what_its_role_may(world: &World) {
    let shop = trusted(world, "ecr");
    let host = shop.hosts(world).remove(0);
    // As `pull` asks, at the lab's ECR.
    let ask =
        ". /etc/lab/aws; export AWS_ENDPOINT_URL_ECR=$AWS_ENDPOINT_URL_SSM; /opt/skipper/with-secrets --ecr us-east-1";
    let refused = host.exec(ask).unwrap();
    let said = "skipper: ECR in us-east-1 gives no login (ecr:GetAuthorizationToken): AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/skipper-host/";
    assert!(
        refused.code == Some(1) && refused.stdout.is_empty() && refused.stderr.contains(said),
        "{}",
        refused.stderr
    );

    let other = "services:\n  other: {repo: {name: acme/other, registry: 123456789012.dkr.ecr.us-east-1.amazonaws.com, tag: \"1\"}}\n";
    shop.replace("skipper.yml", "services:\n", other);
    shop.replace("skipper.yml", "services: [web, clock]", "services: [web, clock, other]");
    make_stack(world, &template(world, &shop));
    // Docker's `auth`: the user is always the same, and what follows is the password.
    let given = host.exec(&format!("({ask}) | base64 -d | cut -d : -f 1")).unwrap().success().unwrap();
    assert_eq!(given.trim(), "AWS");
    assert_eq!(host.exec("find /run/skipper -name '.login*'").unwrap().success().unwrap(), "");
}

fn the_doctor_finds_what_is_missing_and_changes_nothing(world: &World) {
    let shop = trusted(world, "looked-at");
    world.lab.cloud().clear_calls().unwrap();
    let deploy = job(world, &shop, "deploy", Some("production"));
    let told = run(&deploy, &["doctor", "--output", "json"], 0);
    assert_eq!(told.outcome.code, Some(0), "{}", told.outcome.log);
    let found: Value = serde_json::from_str(&told.outcome.stdout).unwrap();
    let findings = found["findings"].as_array().unwrap();
    let fine = |what: &str| findings.iter().any(|finding| finding["what"] == what && finding["verdict"] == "fine");
    for what in [
        "Docker engine",
        "registry of service `web`",
        "push of service `web`",
        "GitHub token",
        "AWS credentials",
        "launches in group `web`",
        "permission to make security groups",
        "permission to change rules",
        "permission to launch in group `web`",
        "permission to terminate",
        "document to observe hosts by",
        "host `web_1`: SSM agent",
        "host `web_1`: disk",
        "host `web_1`: clock",
        "host `web_1`: role",
    ] {
        assert!(fine(what), "{what}: {found:#}");
    }
    let changes = world.lab.cloud().changes().unwrap();
    assert!(changes.iter().all(|change| change.about == "skipper checkup"), "{changes:?}");

    // What a role may not do is told one by one.
    let told = run(&job(world, &shop, "plan", None), &["doctor"], 0).ends_with(3);
    let told = told.says("refused  permission to launch in group `web`").says("hint: permission to terminate: allow");
    told.says("hosts' disks, clocks, updates and roles").says("ok       host `web_1`: SSM agent");
    let sha = shop.git(&["rev-parse", "HEAD"]);
    let stranger = shop.job(world, &sha).variable("AWS_ACCESS_KEY_ID", "AKIAWRONG");
    run(&stranger, &["doctor"], 0).ends_with(3).says("refused  AWS credentials");
}
