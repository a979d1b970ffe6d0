//! Hosts that come, go, and keep silent.

use skipper_core::{
    config::Group,
    exit::Exit,
    observed::{IngressRule, Source},
};
use skipper_deploy::{
    runner::Bounds,
    sim::{Fault, FaultKind, SimHost, SimWorld},
};

use crate::shop::{Told, commit, edit, plan, ship, ship_and_die, ship_within, shop};

#[test]
fn one_more_host_gets_its_replicas_and_others_are_left_alone() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    let before = world.serving_on("app_1");
    let told = ship(&world, &shop(2), &commit(1));
    assert_eq!(told.exit, Exit::Serves);
    assert_eq!(world.serving_on("app_1"), before);
    assert_eq!(world.serving_on("app_2").len(), 2);
}

/// How many members etcd has, all of which have begun.
fn members(world: &SimWorld) -> usize {
    let state = world.look();
    let mut members = state.etcd.values().flat_map(|members| members.values());
    assert!(members.all(|begun| *begun), "{:?}", state.etcd);
    state.etcd.values().map(|members| members.len()).sum()
}

fn ends_well(told: &Told) {
    assert_eq!(told.exit, Exit::Serves, "{:?}\n{:?}", told.finished(), told.steps());
}

#[test]
fn etcd_goes_from_one_member_to_three_and_back_with_everything_running_on() {
    let world = SimWorld::default();
    ends_well(&ship(&world, &shop(2), &commit(1)));
    let before = world.serving_on("app_1");
    world.change().serving.clear();
    let told = ship(&world, &shop(3), &commit(1));
    ends_well(&told);
    let steps = told.steps();
    assert_eq!(
        steps[2..5],
        [
            "configure `app_1`, `app_2`, `app_3` (etcd on `app_1`, `app_2`, `app_3`): configured for something else",
            "give host `app_2` a member of etcd: 3 hosts have 3 members of etcd",
            "give host `app_3` a member of etcd: 3 hosts have 3 members of etcd",
        ],
        "{steps:?}"
    );
    assert_eq!((members(&world), world.serving_on("app_1")), (3, before.clone()));
    let told = ship(&world, &shop(2), &commit(1));
    ends_well(&told);
    let steps = told.steps();
    assert!(steps[0].starts_with("remove"), "{steps:?}");
    assert_eq!(
        steps[1..4],
        [
            "take the member of etcd from host `app_3`: its host goes away",
            "take the member of etcd from host `app_2`: 2 hosts have 1 member of etcd",
            "configure `app_1`, `app_2` (etcd on `app_1`): configured for something else",
        ],
        "{steps:?}"
    );
    assert!(steps[4].starts_with("terminate host `app_3`") && steps.len() == 5, "{steps:?}");
    assert_eq!((members(&world), world.serving_on("app_1")), (1, before));
    let served = world.look().serving.clone();
    assert!(served.iter().all(|serving| serving.values().all(|count| *count >= 2)), "{served:?}");
}

#[test]
fn a_join_that_is_broken_off_where_it_costs_the_quorum_is_finished_first() {
    let world = SimWorld::default();
    ends_well(&ship(&world, &shop(2), &commit(1)));
    world.change().breaks_off.insert("app_2".parse().unwrap());
    let told = ship(&world, &shop(3), &commit(1));
    assert_eq!(told.exit, Exit::Blocked, "{:?}", told.finished());
    assert!(told.failure().contains("add a member of etcd on host `app_2`"), "{}", told.failure());
    assert_eq!(world.serving_on("app_1").len(), 2);
    // Nobody knows what runs until then.
    let planned = plan(&world, &shop(3), &commit(1));
    assert_eq!(planned.steps(), ["give host `app_2` a member of etcd: an earlier run began it"]);
    assert!(planned.plan().partial);
    let told = ship(&world, &shop(3), &commit(1));
    ends_well(&told);
    assert_eq!((members(&world), world.serving_on("app_3").len()), (3, 2));
}

#[test]
fn a_member_that_left_half_way_is_taken_away_for_good() {
    for scale in [2, 3] {
        let world = SimWorld::default();
        ends_well(&ship(&world, &shop(3), &commit(1)));
        world.change().breaks_off.insert("app_3".parse().unwrap());
        let told = ship(&world, &shop(2), &commit(1));
        assert_eq!(told.exit, Exit::Blocked, "{:?}", told.finished());
        assert!(told.finished().summary.starts_with("the release serves on every host"), "{:?}", told.finished());
        // Whatever is asked for then.
        ends_well(&ship(&world, &shop(scale), &commit(1)));
        assert_eq!(members(&world), if scale == 3 { 3 } else { 1 });
    }
}

#[test]
fn a_member_whose_host_somebody_terminated_is_forgotten_and_its_successor_joins() {
    let world = SimWorld::default();
    ends_well(&ship(&world, &shop(3), &commit(1)));
    let gone = world.look().hosts.iter().find(|(_, host)| host.host.number == 2).map(|(id, _)| id.clone()).unwrap();
    world.change().hosts.get_mut(&gone).unwrap().terminated = true;
    let told = ship(&world, &shop(3), &commit(1));
    ends_well(&told);
    let steps = told.steps();
    assert!(steps.iter().any(|step| step.starts_with("have etcd forget the member at 10.0.")), "{steps:?}");
    assert_eq!((members(&world), world.serving_on("app_2").len()), (3, 2));
}

#[test]
fn the_only_member_moves_to_a_host_that_stays() {
    let world = SimWorld::default();
    ends_well(&ship(&world, &shop(1), &commit(1)));
    let mut config = shop(1);
    let group = config.groups.remove(&"app".parse().unwrap()).unwrap();
    config.groups.insert("front".parse().unwrap(), group);
    let told = ship_within(&world, &config, &commit(1), Bounds { allow_terminate: true, ..Bounds::default() });
    ends_well(&told);
    assert_eq!((members(&world), world.serving_on("front_1").len()), (1, 2));
    let alive = world.look().hosts.values().filter(|host| host.alive()).count();
    assert_eq!(alive, 1, "{:?}", told.steps());
}

#[test]
fn no_member_leaves_while_another_one_is_missing() {
    let world = SimWorld::default();
    ends_well(&ship(&world, &shop(4), &commit(1)));
    world.change().hosts.values_mut().filter(|host| host.host.number == 2).for_each(|host| host.stopped = true);
    let told = ship(&world, &shop(2), &commit(1));
    assert_eq!(told.exit, Exit::Blocked, "{:?}", told.finished());
    assert_eq!(members(&world), 3);
}

#[test]
fn lowering_the_scale_ends_the_highest_hosts_after_their_replicas() {
    let world = SimWorld::default();
    ship(&world, &shop(5), &commit(1));
    let told = ship(&world, &shop(4), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    let steps = told.steps();
    assert!(steps[0].starts_with("remove") && steps[1].starts_with("terminate host `app_5`"), "{steps:?}");
    assert_eq!(world.look().hosts.values().filter(|host| host.alive()).count(), 4);
}

#[test]
fn a_host_of_a_group_that_the_file_no_longer_names_is_kept_and_shown() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    let mut config = shop(1);
    let group = config.groups.remove(&"app".parse().unwrap()).unwrap();
    config.groups.insert("front".parse().unwrap(), group);
    let told = ship(&world, &config, &commit(1));
    assert!(
        told.plan().notes.iter().any(|note| note.contains("`app_1`") && note.contains("is kept")),
        "{:?}",
        told.plan().notes
    );
    assert_eq!(world.serving_on("app_1").len(), 2);
}

#[test]
fn a_port_that_is_public_no_longer_is_closed_last() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    let mut config = shop(1);
    config.groups.values_mut().for_each(|group| group.public_ports.clear());
    let told = ship(&world, &config, &commit(1));
    assert_eq!(
        told.steps(),
        ["revoke tcp 80 from 0.0.0.0/0, tcp 80 from ::/0 into group `app`: skipper.yml does not ask for it"]
    );
    assert_eq!(told.exit, Exit::Serves);
}

/// Rules that somebody else has written into every security group: one as skipper writes them, and one as it does not.
fn write_by_another_hand(world: &SimWorld) {
    let rules = [Source::AnyIpv4, Source::Other("10.0.0.0/8".to_owned())].map(|source| IngressRule {
        from_port: 22,
        to_port: 22,
        source,
    });
    world.change().security_groups.values_mut().for_each(|group| group.rules.extend(rules.clone()));
}

fn rules(world: &SimWorld) -> Vec<usize> {
    world.look().security_groups.values().map(|group| group.rules.len()).collect()
}

#[test]
fn another_hand_s_rule_is_shown_as_drift_and_goes_where_that_is_asked_for() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    let before = rules(&world);
    write_by_another_hand(&world);
    let told = ship(&world, &shop(1), &commit(1));
    assert_eq!((told.exit, told.steps().len()), (Exit::Serves, 0));
    let note = "drift: the security group of group `app` lets in tcp 22 from 0.0.0.0/0, which skipper did not write; \
        it is kept (`--prune-rules`, the input `prune-rules`, would remove it)";
    assert!(told.plan().notes.contains(&note.to_owned()), "{:?}", told.plan().notes);
    assert_eq!((told.plan().notes.len(), rules(&world)), (4, before.iter().map(|count| count + 2).collect()));

    let prune = || Bounds { prune_rules: true, ..Bounds::default() };
    let told = ship_within(&world, &shop(1), &commit(1), prune());
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!(
        told.steps(),
        ["the cluster", "group `app`"].map(|whose| format!(
            "revoke tcp 22 from 0.0.0.0/0, tcp 22 from 10.0.0.0/8 into {whose}: skipper did not write it, and `prune-rules` is given"
        ))
    );
    assert_eq!(rules(&world), before);
    assert!(ship_within(&world, &shop(1), &commit(1), prune()).steps().is_empty());
}

#[test]
fn a_rule_that_somebody_wrote_first_is_nobody_else_s_to_close() {
    let world = SimWorld::default();
    let mut closed = shop(1);
    closed.groups.values_mut().for_each(|group| group.public_ports.clear());
    ship(&world, &closed, &commit(1));
    let http = [Source::AnyIpv4, Source::AnyIpv6].map(|source| IngressRule { from_port: 80, to_port: 80, source });
    world.change().security_groups.values_mut().for_each(|group| group.rules.extend(http.clone()));
    ship(&world, &shop(1), &commit(1));
    let told = ship(&world, &closed, &commit(1));
    assert!(told.steps().is_empty(), "{:?}", told.steps());
    assert!(told.plan().notes.iter().any(|note| note.starts_with("drift: ")));
}

#[test]
fn a_host_that_somebody_terminated_is_launched_anew_with_the_next_token() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    world.change().hosts.values_mut().filter(|host| host.host.number == 2).for_each(|host| host.terminated = true);
    let told = ship(&world, &shop(2), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!(world.serving_on("app_2").len(), 2);
}

#[test]
fn a_host_whose_agent_is_not_listed_for_a_moment_is_not_taken_for_an_empty_one() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    let before = world.serving_on("app_1");
    edit(&world, "clock", "ticks louder");
    world.change().hosts.values_mut().for_each(|host| host.unlisted = 1);
    let told = ship(&world, &shop(1), &commit(2));
    assert_eq!(told.exit, Exit::Blocked, "{:?}", told.finished());
    assert!(told.failure().contains("host `app_1` has been in use"), "{}", told.failure());
    assert_eq!(world.serving_on("app_1"), before);
    assert_eq!(ship(&world, &shop(1), &commit(2)).exit, Exit::Serves);
}

#[test]
fn a_host_that_does_not_answer_blocks_and_is_not_harmed() {
    let world = SimWorld::default();
    ship(&world, &shop(3), &commit(1));
    world.change().hosts.values_mut().next().unwrap().silent = true;
    edit(&world, "web", "new");
    let told = ship(&world, &shop(3), &commit(2));
    assert_eq!(told.exit, Exit::Blocked, "{:?}", told.finished());
    assert!(told.failure().contains("host `app_1`: its SSM agent has stopped answering"), "{}", told.failure());
    assert_eq!(world.serving_on("app_1").len(), 2);
}

#[test]
fn hosts_whose_agents_never_register_are_waited_for_in_vain_and_kept() {
    let world = SimWorld::default();
    world.change().never_online = true;
    let told = ship(&world, &shop(1), &commit(1));
    assert_eq!(told.exit, Exit::Blocked, "{:?}", told.finished());
    assert!(told.failure().contains("hosts did not come online within 360 s"), "{}", told.failure());
    assert!(told.failure().contains("is running and its SSM agent is not registered"), "{}", told.failure());
    let hints = &told.finished().failure.as_ref().unwrap().hints;
    assert!(hints[0].contains("AmazonSSMManagedInstanceCore"), "{hints:?}");
    world.change().never_online = false;
    assert_eq!(ship(&world, &shop(1), &commit(1)).exit, Exit::Serves);
    assert_eq!(world.look().hosts.len(), 1);
}

#[test]
fn a_host_that_ec2_does_not_list_for_a_moment_is_not_launched_a_second_time() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    world.change().faults = vec![Fault::once("compute.instances", FaultKind::Stale)];
    world.take_calls();
    let told = ship(&world, &shop(2), &commit(1));
    // Its token gives the instance back, which then turns out to run everything already.
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    let calls = world.take_calls();
    assert!(calls.contains_key("compute.launch") && !calls.contains_key("remote.run/configure"), "{calls:?}");
    assert_eq!(world.look().hosts.len(), 2);
}

/// Changes the host of this number by another hand.
fn each(world: &SimWorld, number: u32, change: impl Fn(&mut SimHost)) {
    world.change().hosts.values_mut().filter(|host| host.host.number == number).for_each(change);
}

#[test]
fn what_has_ended_on_a_host_is_started_again_before_the_rest_is_planned() {
    for hosts in [1, 2, 4] {
        let world = SimWorld::default();
        ends_well(&ship(&world, &shop(hosts), &commit(1)));
        let before = world.serving_on("app_1");
        // Its fleetd, or the member of etcd that it has.
        each(&world, 1, |host| host.ended_parts = true);
        edit(&world, "clock", "ticks louder");
        let planned = plan(&world, &shop(hosts), &commit(2));
        assert!(planned.plan().partial && planned.steps().len() == 1, "{:?}", planned.steps());
        assert!(planned.steps()[0].ends_with(": its orchestrator does not answer"), "{:?}", planned.steps());
        let told = ship(&world, &shop(hosts), &commit(2));
        ends_well(&told);
        // The rest of the plan is carried out, too, and what it does not change runs on.
        let after = world.serving_on("app_1");
        assert_eq!(before.iter().filter(|unit| after.contains(unit)).count(), 1, "{before:?} {after:?}");
        assert!(ship(&world, &shop(hosts), &commit(2)).plan().is_empty());
    }
}

#[test]
fn an_engine_that_has_ended_is_started_again_and_what_it_ran_serves() {
    for hosts in [1, 2, 4] {
        let world = SimWorld::default();
        ends_well(&ship(&world, &shop(hosts), &commit(1)));
        let before = world.serving_on("app_1");
        each(&world, 1, SimHost::end_engine);
        let planned = plan(&world, &shop(hosts), &commit(1));
        assert!(planned.plan().partial, "{:?}", planned.steps());
        assert!(planned.steps()[0].ends_with(": its Docker engine does not answer"), "{:?}", planned.steps());
        // On one host or two the only member of etcd went with it, and the other host waits for that.
        assert_eq!(planned.steps().len(), if hosts == 2 { 2 } else { 1 }, "{:?}", planned.steps());
        ends_well(&ship(&world, &shop(hosts), &commit(1)));
        assert_eq!(world.serving_on("app_1"), before);
        assert!(ship(&world, &shop(hosts), &commit(1)).plan().is_empty());
    }
}

#[test]
fn an_engine_that_does_not_start_again_blocks_and_is_told_with_the_remedy() {
    let world = SimWorld::default();
    ends_well(&ship(&world, &shop(2), &commit(1)));
    each(&world, 2, |host| {
        host.end_engine();
        host.engine_stays = true;
    });
    let before = world.serving_on("app_1");
    edit(&world, "web", "new");
    let told = ship(&world, &shop(2), &commit(2));
    assert_eq!(told.exit, Exit::Blocked, "{:?}", told.finished());
    assert!(told.failure().contains("Docker does not answer"), "{}", told.failure());
    let hints = &told.finished().failure.as_ref().unwrap().hints;
    assert!(hints.len() == 1 && hints[0].contains("journalctl -u docker"), "{hints:?}");
    assert_eq!(world.serving_on("app_1"), before);

    let mut config = shop(2);
    config.regions.push("eu-west-1".to_owned());
    let told = ship(&world, &config, &commit(2));
    let hints = &told.finished().failure.as_ref().unwrap().hints;
    assert!(hints.len() == 2 && hints[1].ends_with("`--region us-east-1`"), "{hints:?}");
}

#[test]
fn one_of_three_members_that_has_lost_its_data_is_forgotten_and_joins_anew() {
    let world = SimWorld::default();
    ends_well(&ship(&world, &shop(3), &commit(1)));
    let before = world.serving_on("app_2");
    each(&world, 2, |host| {
        host.ended_parts = true;
        host.lost_data = true;
    });
    ends_well(&ship(&world, &shop(3), &commit(1)));
    assert_eq!((members(&world), world.serving_on("app_2")), (3, before));
}

/// The only member of etcd is dead, and its data are gone.
fn lose(world: &SimWorld, number: u32) {
    each(world, number, |host| {
        host.ended_parts = true;
        host.lost_data = true;
    });
}

fn serves_everywhere_all_along(world: &SimWorld, least: usize) {
    let served = world.look().serving.clone();
    assert!(served.iter().all(|serving| serving.values().all(|count| *count >= least)), "{served:?}");
}

#[test]
fn an_etcd_that_has_lost_its_data_is_founded_anew_under_what_runs() {
    for hosts in [1, 2] {
        let world = SimWorld::default();
        ends_well(&ship(&world, &shop(hosts), &commit(1)));
        lose(&world, 1);
        let planned = plan(&world, &shop(hosts), &commit(1));
        let steps = planned.steps();
        assert!(planned.plan().partial && steps.len() == 2, "{steps:?}");
        assert!(steps[0].starts_with("hold the orchestrator on `app_1`"), "{steps:?}");
        assert!(steps[1].starts_with("found etcd anew on `app_1`, and register again what `app_1`"), "{steps:?}");
        let before = world.serving_on("app_1");
        world.change().serving.clear();
        ends_well(&ship(&world, &shop(hosts), &commit(1)));
        assert_eq!((members(&world), world.serving_on("app_1")), (1, before));
        serves_everywhere_all_along(&world, hosts as usize);
        assert!(ship(&world, &shop(hosts), &commit(1)).plan().is_empty());
    }
}

#[test]
fn a_registry_that_is_being_brought_back_is_gone_on_with_wherever_it_broke_off() {
    for (call, kind) in [
        ("remote.run/hold", FaultKind::DiesAfter),
        ("remote.run/restore", FaultKind::DiesBefore),
        ("remote.run/restore", FaultKind::DiesAfter),
    ] {
        let world = SimWorld::default();
        ends_well(&ship(&world, &shop(2), &commit(1)));
        let before = world.serving_on("app_2");
        lose(&world, 1);
        world.change().serving.clear();
        world.change().faults = vec![Fault::once(call, kind)];
        assert!(ship_and_die(&world, &shop(2), &commit(1), |_| false), "{call} {kind:?}");
        world.change().faults.clear();
        ends_well(&ship(&world, &shop(2), &commit(1)));
        assert_eq!((members(&world), world.serving_on("app_2")), (1, before), "{call} {kind:?}");
        serves_everywhere_all_along(&world, 2);
    }
}

#[test]
fn where_one_host_cannot_be_held_no_etcd_is_founded() {
    let world = SimWorld::default();
    ends_well(&ship(&world, &shop(2), &commit(1)));
    lose(&world, 1);
    world.change().serving.clear();
    world.change().breaks_off.insert("app_2".parse().unwrap());
    let told = ship(&world, &shop(2), &commit(1));
    assert_eq!(told.exit, Exit::Blocked, "{:?}", told.finished());
    assert!(told.failure().contains("hold the orchestrator on host `app_2`"), "{}", told.failure());
    ends_well(&ship(&world, &shop(2), &commit(1)));
    serves_everywhere_all_along(&world, 2);
}

#[test]
fn where_etcd_went_with_its_host_it_is_founded_on_another_and_the_host_comes_back() {
    let world = SimWorld::default();
    ends_well(&ship(&world, &shop(2), &commit(1)));
    let before = world.serving_on("app_2");
    each(&world, 1, |host| host.terminated = true);
    world.change().serving.clear();
    ends_well(&ship(&world, &shop(2), &commit(1)));
    assert_eq!((members(&world), world.serving_on("app_2"), world.serving_on("app_1").len()), (1, before, 2));
    serves_everywhere_all_along(&world, 1);
}

#[test]
fn a_member_that_is_merely_down_is_not_taken_for_lost() {
    let world = SimWorld::default();
    ends_well(&ship(&world, &shop(2), &commit(1)));
    for change in [|host: &mut SimHost| host.stopped = true, |host: &mut SimHost| host.silent = true] {
        let (was, calls) = (world.serving_on("app_2"), world.take_calls());
        each(&world, 1, change);
        let told = ship(&world, &shop(2), &commit(1));
        assert_eq!(told.exit, Exit::Blocked, "{:?} {calls:?}", told.steps());
        assert!(!world.take_calls().contains_key("remote.run/hold"));
        assert_eq!(world.serving_on("app_2"), was);
        each(&world, 1, |host| (host.stopped, host.silent) = (false, false));
    }
}

#[test]
fn two_of_three_members_that_are_gone_for_good_are_made_good_by_what_hosts_have_on_record() {
    let world = SimWorld::default();
    ends_well(&ship(&world, &shop(3), &commit(1)));
    let before = (world.serving_on("app_2"), world.serving_on("app_3"));
    each(&world, 1, |host| host.terminated = true);
    lose(&world, 2);
    world.change().serving.clear();
    ends_well(&ship(&world, &shop(3), &commit(1)));
    assert_eq!((members(&world), (world.serving_on("app_2"), world.serving_on("app_3"))), (3, before));
    serves_everywhere_all_along(&world, 2);
}

#[test]
fn a_member_that_missed_how_etcd_was_founded_anew_is_led_to_it_by_the_next_run() {
    let world = SimWorld::default();
    ends_well(&ship(&world, &shop(3), &commit(1)));
    let before = (world.serving_on("app_2"), world.serving_on("app_3"));
    each(&world, 1, |host| host.terminated = true);
    lose(&world, 2);
    world.change().serving.clear();
    world.change().undelivered.insert(("restore", "app_3".parse().unwrap()));
    let told = ship(&world, &shop(3), &commit(1));
    assert!(told.failure().contains("bring the registry back on host `app_3`"), "{}", told.failure());
    let planned = plan(&world, &shop(3), &commit(1));
    let steps = planned.steps();
    assert!(planned.plan().partial && steps.len() == 1, "{steps:?}");
    assert!(steps[0].starts_with("configure `app_3` (etcd on `app_2`)"), "{steps:?}");
    ends_well(&ship(&world, &shop(3), &commit(1)));
    assert_eq!((members(&world), (world.serving_on("app_2"), world.serving_on("app_3"))), (3, before));
    serves_everywhere_all_along(&world, 2);
    assert!(ship(&world, &shop(3), &commit(1)).plan().is_empty());
}

#[test]
fn what_an_emptied_registry_has_stopped_is_started_again_and_that_is_said_before() {
    let world = SimWorld::default();
    ends_well(&ship(&world, &shop(2), &commit(1)));
    let before = world.serving_on("app_1");
    world.change().hosts.values_mut().for_each(|host| {
        host.forgotten = true;
        host.units.values_mut().for_each(|unit| unit.serves = false);
    });
    let planned = plan(&world, &shop(2), &commit(1));
    assert!(planned.steps()[1].ends_with("the registry has lost what it knew, and what ran was stopped"));
    assert!(planned.plan().notes[0].contains("is started again"), "{:?}", planned.plan().notes);
    ends_well(&ship(&world, &shop(2), &commit(1)));
    assert_eq!(world.serving_on("app_1"), before);
}

/// The second host is gone, with all that it ran.
fn vanish(world: &SimWorld) {
    let mut state = world.change();
    let second = state.hosts.values_mut().find(|host| host.alive() && host.host.to_string() == "app_2");
    second.unwrap().terminated = true;
}

#[test]
fn a_host_that_vanished_comes_back_and_nothing_of_the_old_one_is_in_its_way() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    // What is registered for it is what its successor runs, or what that is not to run any more.
    for number in [1, 2] {
        edit(&world, "web", &format!("page {number}"));
        vanish(&world);
        let told = ship(&world, &shop(2), &commit(number));
        assert_eq!(told.exit, Exit::Serves, "{:?}\n{:#?}", told.finished(), told.steps());
        let steps = told.steps();
        let at = |words: &str| {
            steps.iter().position(|step| step.contains(words)).unwrap_or_else(|| panic!("{words}: {steps:#?}"))
        };
        assert!(at("its host does not exist any more") < at("configure `app_2`"), "{steps:#?}");
        assert!(ship(&world, &shop(2), &commit(number)).plan().is_empty());
    }
}

#[test]
fn what_a_vanished_host_has_left_is_removed_by_one_that_has_an_orchestrator() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    let mut more = shop(2);
    let group = Group { scale: 1, services: Vec::new(), ..more.groups[&"app".parse().unwrap()].clone() };
    more.groups.insert("aaa".parse().unwrap(), group);
    world.change().faults.push(Fault::once("remote.run/configure", FaultKind::Denied));
    assert_ne!(ship(&world, &more, &commit(1)).exit, Exit::Serves);
    vanish(&world);
    let told = ship(&world, &more, &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}\n{:#?}", told.finished(), told.steps());
}
