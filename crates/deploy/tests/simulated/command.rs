//! A command on a host, whatever it prints and however the way there is.

use skipper_core::{exit::Exit, failure::Failure, observed::Agent, orchestrator::fleet::Fleet};
use skipper_deploy::{
    command::{Command, Stream, find_host},
    events::Events,
    observe::Eyes,
    sim::{Fault, FaultKind, SimAnswer, SimWorld},
};

use crate::shop::{HOST_TIMEOUT, commit, in_time, scope, ship, shop};

/// Two hosts, each of which knows this answer to `tell`.
fn world(answer: SimAnswer) -> SimWorld {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    world.change().hosts.values_mut().for_each(|host| drop(host.answers.insert("tell".to_owned(), answer.clone())));
    world.take_calls();
    world
}

/// What a command came to, and what it printed to each stream.
fn carry_out(world: &SimWorld, text: &str) -> (Result<u8, Failure>, Vec<u8>, Vec<u8>) {
    let scope = scope(&shop(2));
    let instance = world.look().hosts.keys().next().cloned().unwrap();
    let command = Command { remote: world, orchestrator: &Fleet, scope: &scope, instance: &instance, asked: "a1" };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ended = in_time(command.carry_out(text, |stream, bytes| match stream {
        Stream::Out => out.extend(bytes),
        Stream::Err => err.extend(bytes),
    }));
    (ended, out, err)
}

#[test]
fn both_streams_come_whole_and_the_exit_code_is_the_commands() {
    let out: Vec<u8> = (0..=u8::MAX).cycle().take(1_000).collect();
    let answer = SimAnswer { out: out.clone(), err: b"and an error\n".to_vec(), code: Some(3) };
    let world = world(answer);
    assert_eq!(carry_out(&world, "tell"), (Ok(3), out, b"and an error\n".to_vec()));
    assert_eq!(world.look().hosts.values().map(|host| host.commands.len()).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(carry_out(&self::world(SimAnswer::default()), "other").0, Ok(127));
}

#[test]
fn trouble_on_the_way_loses_nothing_and_begins_nothing_twice() {
    let out: Vec<u8> = b"line\n".repeat(100);
    for kind in [FaultKind::Throttled, FaultKind::TimeoutDone, FaultKind::TimeoutUndone, FaultKind::Reset] {
        for after in [0, 2] {
            let world = world(SimAnswer { out: out.clone(), code: Some(0), ..SimAnswer::default() });
            world.change().faults = vec![Fault { after, ..Fault::once("remote.run/command", kind) }];
            assert_eq!(carry_out(&world, "tell"), (Ok(0), out.clone(), Vec::new()), "{kind:?}");
        }
    }
}

#[test]
fn a_host_that_falls_silent_is_given_up_and_a_refusal_at_once() {
    let world = world(SimAnswer { code: Some(0), ..SimAnswer::default() });
    world.change().hosts.values_mut().for_each(|host| host.silent = true);
    let failure = carry_out(&world, "tell").0.unwrap_err();
    assert_eq!((failure.exit, failure.message.as_str()), (Exit::Blocked, "the host did not answer: DeliveryTimedOut"));
    assert_eq!(world.take_calls()["remote.run/command"], 6);
    world.change().faults = vec![Fault::always("remote.run/command", FaultKind::Denied)];
    assert_eq!(carry_out(&world, "tell").0.unwrap_err().exit, Exit::Refused);
    assert_eq!(world.take_calls()["remote.run/command"], 1);
}

#[test]
fn what_is_ended_goes_on_no_more() {
    let world = world(SimAnswer { out: b"first\n".to_vec(), ..SimAnswer::default() });
    let scope = scope(&shop(2));
    let instance = world.look().hosts.keys().next().cloned().unwrap();
    let command = Command { remote: &world, orchestrator: &Fleet, scope: &scope, instance: &instance, asked: "a1" };
    in_time(async {
        let mut shown: Vec<u8> = Vec::new();
        let watched = command.carry_out("tell", |_, bytes| shown.extend(bytes));
        assert!(tokio::time::timeout(HOST_TIMEOUT, watched).await.is_err(), "it has no end");
        assert_eq!(shown, b"first\n");
        command.end().await.unwrap();
        // The look that nobody waits for any more comes to its end.
        tokio::time::sleep(HOST_TIMEOUT).await;
    });
    assert!(world.look().hosts[&instance].commands.is_empty());
}

#[test]
fn a_host_is_found_by_its_name_and_the_known_ones_are_told() {
    let world = world(SimAnswer::default());
    let find = |world: &SimWorld, uuid: &str| {
        let events = Events::new(Vec::new());
        let eyes = Eyes {
            compute: world,
            remote: world,
            store: world,
            orchestrator: &Fleet,
            events: &events,
            after_another: false,
            host_timeout: HOST_TIMEOUT,
        };
        in_time(find_host(&eyes, &scope(&shop(2)), uuid))
    };
    let (host, instance, agent) = find(&world, "app_2").unwrap();
    assert_eq!((host.to_string().as_str(), agent), ("app_2", Agent::Online));
    assert_eq!(world.look().hosts[&instance].host, host);
    for unknown in ["app_3", "web_1", "", "i-1"] {
        let failure = find(&world, unknown).unwrap_err();
        assert_eq!((failure.exit, failure.message), (Exit::BadInput, format!("there is no host `{unknown}`")));
        assert_eq!(failure.hints, ["name one of `app_1`, `app_2`"]);
    }
    let none = find(&SimWorld::default(), "app_1").unwrap_err();
    assert_eq!(none.hints, ["there are no hosts; `skipper instances deploy` brings them up"]);
}
