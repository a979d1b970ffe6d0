//! Every call of a run fails once, in every way; a plain re-run converges, and nothing was destroyed.

use skipper_core::exit::Exit;
use skipper_deploy::{
    ports::PortErrorKind,
    sim::{Fault, FaultKind, SimWorld},
};

use crate::shop::{commit, ship, shop};

const KINDS: [FaultKind; 5] = [
    FaultKind::Fails(PortErrorKind::Transient),
    FaultKind::Fails(PortErrorKind::Denied),
    FaultKind::Fails(PortErrorKind::Other),
    FaultKind::LosesReply,
    FaultKind::TimesOut,
];

/// The calls of a first deploy and of an update, by name and number.
fn calls_of(prepare: impl Fn() -> SimWorld) -> Vec<(String, u32)> {
    let world = prepare();
    world.take_calls();
    ship(&world, &shop(2), &commit(2));
    let calls = world.take_calls();
    calls
        .into_iter()
        .flat_map(|(call, count)| (0..u32::try_from(count).unwrap()).map(move |index| (call.clone(), index)))
        .collect()
}

fn sweep(prepare: impl Fn() -> SimWorld) {
    let mut points = 0;
    for (call, after) in calls_of(&prepare) {
        for kind in KINDS {
            let world = prepare();
            let before = world.look().hosts.len();
            world.change().faults = vec![Fault { call: call.clone(), kind, after, times: Some(1) }];
            let told = ship(&world, &shop(2), &commit(2));
            let what = format!("{kind:?} at call {after} of {call}");
            if !call.starts_with("code_host")
                && kind == FaultKind::Fails(PortErrorKind::Denied)
                && told.exit == Exit::Serves
            {
                // A record that can't be read or written is a warning, not a failure.
                assert!(call.starts_with("store"), "{what} went unnoticed");
            }
            world.change().faults.clear();
            let again = ship(&world, &shop(2), &commit(2));
            assert_eq!(again.exit, Exit::Serves, "after {what}: {:?}", again.finished());
            assert_eq!(world.serving_on("app_1").len() + world.serving_on("app_2").len(), 4, "after {what}");
            let alive = world.look().hosts.values().filter(|host| host.alive()).count();
            assert_eq!(alive, 2, "after {what}, with {before} hosts before");
            assert_eq!(world.look().comments.len(), 1, "after {what}");
            points += 1;
        }
    }
    assert!(points > 50, "only {points} points were tried");
}

#[test]
fn a_first_deploy_that_is_struck_anywhere_converges_when_it_is_run_again() {
    sweep(SimWorld::default);
}

#[test]
fn an_update_that_is_struck_anywhere_converges_when_it_is_run_again() {
    sweep(|| {
        let world = SimWorld::default();
        assert_eq!(ship(&world, &shop(2), &commit(1)).exit, Exit::Serves);
        world.change().registry.sources.insert("web".to_owned(), "new".to_owned());
        world.change().registry.sources.insert("clock".to_owned(), "new".to_owned());
        world
    });
}

#[test]
fn a_code_host_that_is_down_is_a_warning_and_the_deployment_stands() {
    for call in ["code_host.comment", "code_host.pull_requests"] {
        let world = SimWorld::default();
        world.change().faults = vec![Fault::always(call, FaultKind::Fails(PortErrorKind::Denied))];
        let told = ship(&world, &shop(1), &commit(1));
        assert_eq!(told.exit, Exit::Serves);
        let warnings = told
            .events
            .iter()
            .filter(|event| matches!(event.kind, skipper_core::event::EventKind::Warning { .. }))
            .count();
        assert_eq!(warnings, 1, "{call}");
    }
}
