//! Data of services stay on their hosts, and no host goes away with them unless that is allowed.

use skipper_core::{
    config::{Config, Port, Volume},
    event::RunStarted,
    exit::Exit,
    plan::{Action, Order},
};
use skipper_deploy::{
    runner::{Bounds, Runner},
    sim::SimWorld,
};

use crate::shop::{Told, commit, edit, run, service, ship, ship_within, shop};

/// The shop, whose clock keeps something at `/data`, on a port that it need not wait for.
fn keeping(hosts: u32) -> Config {
    let mut config = shop(hosts);
    let clock = service("clock", Port { host: None, container: 9000 });
    let volume = Volume { name: "data".parse().unwrap(), path: "/data".to_owned(), read_only: false };
    config.services.insert("clock".parse().unwrap(), skipper_core::config::Service { volumes: vec![volume], ..clock });
    config
}

fn allowed() -> Bounds {
    Bounds { allow_data_loss: true, ..Bounds::default() }
}

fn alive(world: &SimWorld) -> usize {
    world.look().hosts.values().filter(|host| host.alive()).count()
}

fn serving(config: &Config) -> SimWorld {
    let world = SimWorld::default();
    let told = ship(&world, config, &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{}", told.failure());
    world
}

#[test]
fn two_replicas_never_write_to_one_volume_at_a_time() {
    let world = serving(&keeping(1));
    edit(&world, "clock", "new");
    let told = ship(&world, &keeping(1), &commit(2));
    assert_eq!(told.exit, Exit::Serves, "{}", told.failure());
    let orders: Vec<Order> = told
        .plan()
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::ReplaceReplicas { replacements, .. } => Some(replacements),
            _ => None,
        })
        .flatten()
        .map(|replacement| replacement.order)
        .collect();
    assert_eq!(orders, [Order::StopFirst], "the port is chosen, so nothing but the volume asks for it");
}

#[test]
fn a_host_that_is_too_many_stays_while_it_holds_data_and_nothing_else_is_changed_either() {
    let world = serving(&keeping(2));
    let refused = ship(&world, &keeping(1), &commit(2));
    assert_eq!(refused.exit, Exit::Blocked);
    let blocked = &refused.plan().blocked[0];
    assert_eq!(
        (blocked.what.as_str(), blocked.why.as_str()),
        ("host `app_2`", "it would go away, and with it the volume `shop.production.data`")
    );
    assert!(blocked.hint.as_ref().unwrap().contains("`--allow-data-loss`"), "{blocked:?}");
    assert_eq!(alive(&world), 2);

    let told = ship_within(&world, &keeping(1), &commit(2), allowed());
    assert_eq!((told.exit, alive(&world)), (Exit::Serves, 1), "{}", told.failure());
    let note = "host `app_2` goes, and with it the volume `shop.production.data`, for good";
    assert!(told.plan().notes.iter().any(|said| said == note), "{:?}", told.plan().notes);
}

#[test]
fn a_host_without_data_goes_as_ever() {
    let world = serving(&shop(2));
    assert_eq!(ship(&world, &shop(1), &commit(1)).exit, Exit::Serves);
    assert_eq!(alive(&world), 1);
}

#[test]
fn force_alone_does_not_take_data_along_and_neither_does_silence() {
    let remove = |world: &SimWorld, bounds: Bounds| -> Told {
        let bounds = &bounds;
        let remove = async |runner: Runner<'_>| {
            let about = RunStarted { command: "instances remove".to_owned(), revision: None, ..runner.about.clone() };
            Runner { about, bounds: bounds.clone(), ..runner }.remove_host("app_2", true).await
        };
        run(world, &keeping(2), &commit(1), |_| false, remove)
    };
    let world = serving(&keeping(2));
    assert_eq!((remove(&world, Bounds::default()).exit, alive(&world)), (Exit::Blocked, 2));
    world.change().hosts.values_mut().filter(|host| host.host.number == 2).for_each(|host| host.silent = true);
    let told = remove(&world, Bounds::default());
    assert_eq!((told.exit, alive(&world)), (Exit::Blocked, 2));
    let why = &told.plan().blocked[0].why;
    assert_eq!(why, "it would go away, and with it volumes that it does not tell of");
    let told = remove(&world, allowed());
    assert_eq!((told.exit, alive(&world)), (Exit::Serves, 1), "{}", told.failure());
}

#[test]
fn data_that_no_service_uses_any_more_are_kept_and_told() {
    let world = serving(&keeping(1));
    let told = ship(&world, &shop(1), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{}", told.failure());
    let hosts = world.look().hosts.values().map(|host| host.volumes.len()).collect::<Vec<_>>();
    assert_eq!(hosts, [1]);
    let told = ship(&world, &shop(1), &commit(1));
    let note = "no service on host `app_1` uses the volume `shop.production.data`; it is kept (`skipper instances ssh app_1 -- \
                docker volume rm shop.production.data` removes it)";
    assert!(told.plan().notes.iter().any(|said| said == note), "{:?}", told.plan().notes);
}
