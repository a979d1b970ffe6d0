//! Secrets: what the run is given is kept, what changes restarts, and nothing of a value is told.

use skipper_core::{
    config::{Config, SecretTarget, SecretUse},
    event::{EventKind, SecretOrigin},
    exit::Exit,
    image::Repository,
    secret::Secret,
};
use skipper_deploy::{
    ports::Login,
    runner::Runner,
    secrets::GivenSecrets,
    sim::{Fault, FaultKind, SimWorld},
};

use crate::shop::{Told, break_images_of, commit, edit, plan, run, ship, shop};

const CANARY: &str = "postgres://app:canary@db";

/// `web` has a database, and `clock` none.
fn with_database(hosts: u32) -> Config {
    let mut config = shop(hosts);
    let name: skipper_core::name::EnvName = "DATABASE_URL".parse().unwrap();
    let web = config.services.get_mut(&"web".parse().unwrap()).unwrap();
    web.secrets = vec![SecretUse { target: SecretTarget::Env(name.clone()), name }];
    config
}

fn given(value: &str) -> GivenSecrets {
    [("DATABASE_URL".parse().unwrap(), Secret::new(value))].into()
}

fn ship_with(world: &SimWorld, config: &Config, number: u8, secrets: &GivenSecrets) -> Told {
    let revision = commit(number);
    let told =
        run(world, config, &revision, |_| false, async |runner| Runner { secrets, ..runner }.ship(&revision).await);
    let events = serde_json::to_string(&told.events).unwrap();
    assert!(!events.contains("canary") && !format!("{:?}", told.events).contains("canary"), "{events}");
    told
}

fn origins(told: &Told) -> Vec<(u64, SecretOrigin)> {
    let found = told.events.iter().filter_map(|event| match &event.kind {
        EventKind::SecretReady { version, origin, .. } => Some((*version, *origin)),
        _ => None,
    });
    found.collect()
}

fn fetched(world: &SimWorld, host: &str) -> Vec<String> {
    let state = world.look();
    let found = state.hosts.values().find(|found| found.alive() && found.host.to_string() == host).unwrap();
    found.secrets.iter().map(|(version, value)| format!("{version} {}", value.expose())).collect()
}

#[test]
fn a_secret_is_kept_and_reaches_the_hosts_of_its_service_by_version() {
    let world = SimWorld::default();
    let told = ship_with(&world, &with_database(2), 1, &given(CANARY));
    assert_eq!((told.exit, origins(&told)), (Exit::Serves, vec![(1, SecretOrigin::New)]), "{:?}", told.finished());
    assert_eq!(fetched(&world, "app_2"), [format!("shop/production/DATABASE_URL:1 {CANARY}")]);
    // The same value is the same version, and nothing is done.
    let again = ship_with(&world, &with_database(2), 1, &given(CANARY));
    assert_eq!((again.steps(), origins(&again)), (vec![], vec![(1, SecretOrigin::Unchanged)]));
    // A run that is given none uses what there is.
    let without = ship_with(&world, &with_database(2), 1, &GivenSecrets::new());
    assert_eq!((without.steps(), origins(&without)), (vec![], vec![(1, SecretOrigin::Stored)]));
}

#[test]
fn a_changed_value_restarts_its_service_and_no_other() {
    let world = SimWorld::default();
    ship_with(&world, &with_database(1), 1, &given(CANARY));
    let told = ship_with(&world, &with_database(1), 1, &given("another canary"));
    assert_eq!((told.exit, origins(&told)), (Exit::Serves, vec![(2, SecretOrigin::Changed)]));
    let replaced: Vec<String> = told.steps().into_iter().filter(|step| step.starts_with("replace")).collect();
    assert_eq!(replaced, ["replace `web_1` (stop-first) on host `app_1`: its settings changed"]);
    assert_eq!(fetched(&world, "app_1").last().unwrap(), "shop/production/DATABASE_URL:2 another canary");
}

#[test]
fn a_release_that_fails_gives_its_predecessor_the_secret_that_it_had() {
    let world = SimWorld::default();
    ship_with(&world, &with_database(1), 1, &given(CANARY));
    let before = world.serving_on("app_1");
    edit(&world, "web", "broken");
    break_images_of(&world, &commit(2));
    let told = ship_with(&world, &with_database(1), 2, &given("another canary"));
    assert_eq!(told.exit, Exit::Restored, "{:?}", told.finished());
    assert_eq!(world.serving_on("app_1"), before, "the unit that names the first version");
    // Whoever brings no value means what serves, and not what that run has left.
    let told = ship_with(&world, &with_database(1), 1, &GivenSecrets::new());
    assert_eq!((told.exit, origins(&told)), (Exit::Serves, vec![(1, SecretOrigin::Stored)]));
    assert_eq!(world.serving_on("app_1"), before);
}

#[test]
fn a_parameter_that_was_deleted_begins_where_it_ended() {
    let world = SimWorld::default();
    ship_with(&world, &with_database(1), 1, &given(CANARY));
    ship_with(&world, &with_database(1), 1, &given("another canary"));
    world.change().secrets.clear();
    let told = ship_with(&world, &with_database(1), 1, &given("a third canary"));
    assert_eq!((told.exit, origins(&told)), (Exit::Serves, vec![(3, SecretOrigin::New)]));
    assert_eq!(fetched(&world, "app_1").last().unwrap(), "shop/production/DATABASE_URL:3 a third canary");
}

#[test]
fn what_parameter_store_does_not_take_is_refused_before_anything_is_kept() {
    let world = SimWorld::default();
    let told = ship_with(&world, &with_database(1), 1, &given("canary {{ of a template }}"));
    assert_eq!(told.exit, Exit::BadInput);
    assert!(world.look().secrets.is_empty());
}

#[test]
fn a_secret_without_a_value_is_refused_before_anything_is_built() {
    let world = SimWorld::default();
    let told = ship(&world, &with_database(1), &commit(1));
    assert_eq!(told.exit, Exit::BadInput);
    assert!(told.failure().starts_with("secret `DATABASE_URL` has no value"), "{}", told.failure());
    assert!(!world.look().calls.contains_key("engine.build_and_push"));
    let long = ship_with(&world, &with_database(1), 1, &given(&"x".repeat(9_000)));
    assert_eq!(long.exit, Exit::BadInput);
    assert!(world.look().secrets.is_empty());
}

#[test]
fn a_plan_decrypts_nothing_and_keeps_nothing() {
    let world = SimWorld::default();
    let told = plan(&world, &with_database(1), &commit(1));
    assert_eq!((told.exit, origins(&told)), (Exit::Serves, vec![(1, SecretOrigin::Foreseen)]));
    assert!(world.look().secrets.is_empty());
    ship_with(&world, &with_database(1), 1, &given(CANARY));
    let told = plan(&world, &with_database(1), &commit(1));
    assert_eq!((told.steps(), origins(&told)), (vec![], vec![(1, SecretOrigin::Stored)]));
}

#[test]
fn files_without_secrets_cost_no_call() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    let calls = &world.look().calls;
    assert!(!calls.contains_key("store.secrets") && !calls.contains_key("store.write_secret"), "{calls:?}");
}

#[test]
fn private_images_are_pulled_with_the_login_of_the_run_which_is_gone_afterwards() {
    let world = SimWorld::default();
    world.change().login = Some(Login { username: "octocat".to_owned(), password: Secret::new("canary") });
    let told = ship_with(&world, &shop(2), 1, &GivenSecrets::new());
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert!(world.look().secrets.is_empty(), "the login was kept no longer than it was needed");
    assert_eq!(world.look().calls["store.write_secret"], 1, "one registry, whatever the number of hosts and images");
}

#[test]
fn a_login_that_cannot_be_removed_is_told() {
    let world = SimWorld::default();
    world.change().login = Some(Login { username: "octocat".to_owned(), password: Secret::new("canary") });
    world.change().faults.push(Fault::always("store.remove", FaultKind::Denied));
    let told = ship_with(&world, &shop(1), 1, &GivenSecrets::new());
    assert_eq!(told.exit, Exit::Serves);
    let said = told.events.iter().any(|event| match &event.kind {
        EventKind::StepOutput { line, .. } => {
            line.contains("the login that hosts were given stays at `/skipper/shop/production/logins/")
        }
        _ => false,
    });
    assert!(said, "{:?}", told.events);
}

/// The project with its images on ECR, and what a run of it has said.
fn ship_from_ecr(world: &SimWorld) -> (Told, String) {
    let mut config = shop(2);
    for (name, service) in &mut config.services {
        let registry = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
        service.repository = Repository::new(registry, &format!("shop/{name}")).unwrap();
    }
    let told = ship_with(world, &config, 1, &GivenSecrets::new());
    let lines = told.events.iter().filter_map(|event| match &event.kind {
        EventKind::StepOutput { line, .. } => Some(line.as_str()),
        _ => None,
    });
    let said = lines.collect::<Vec<_>>().join("\n");
    (told, said)
}

#[test]
fn hosts_get_into_ecr_by_their_own_role_and_no_login_is_kept_for_them() {
    let world = SimWorld::default();
    world.change().login = Some(Login { username: "AWS".to_owned(), password: Secret::new("canary") });
    let (told, said) = ship_from_ecr(&world);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert!(!world.look().calls.contains_key("store.write_secret"), "{said}");
}

#[test]
fn where_their_role_may_not_hosts_get_the_login_of_the_run_and_it_is_told() {
    let world = SimWorld::default();
    world.change().login = Some(Login { username: "AWS".to_owned(), password: Secret::new("canary") });
    world.change().role_gets_in = false;
    let (told, said) = ship_from_ecr(&world);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert!(said.contains("role `skipper-host` may not ecr:GetAuthorizationToken"), "{said}");
    assert!(
        said.contains("so the hosts get the login of this run; `skipper iam` prints what their role needs"),
        "{said}"
    );
    assert!(world.look().secrets.is_empty(), "the login was kept no longer than it was needed");
}

#[test]
fn where_neither_may_the_refusal_is_told_with_the_remedy() {
    let world = SimWorld::default();
    world.change().role_gets_in = false;
    let (told, _) = ship_from_ecr(&world);
    assert_eq!(told.exit, Exit::Blocked, "{:?}", told.finished());
    assert!(told.failure().contains("role `skipper-host` may not ecr:GetAuthorizationToken"), "{}", told.failure());
    let hints = &told.finished().failure.as_ref().unwrap().hints;
    assert!(hints[0].contains("`ecr:GetDownloadUrlForLayer` on the repository: `skipper iam`"), "{hints:?}");
}
