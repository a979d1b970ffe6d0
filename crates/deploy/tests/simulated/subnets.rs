//! Hosts whose subnet has no capacity.

use skipper_core::{config::Config, event::EventKind, exit::Exit, plan::Action};
use skipper_deploy::sim::{Fault, FaultKind, SimWorld};

use crate::shop::{Told, commit, plan, ship, shop};

const SUBNETS: [&str; 3] = ["subnet-0000000a", "subnet-0000000b", "subnet-0000000c"];

fn spread(hosts: u32) -> Config {
    let mut config = shop(hosts);
    config.groups.values_mut().for_each(|group| group.subnets = SUBNETS.map(str::to_owned).to_vec());
    config
}

fn full(after: u32, times: Option<u32>) -> Fault {
    Fault { after, times, ..Fault::once("compute.launch", FaultKind::Full) }
}

fn says(told: &Told, words: &str) -> bool {
    told.events.iter().any(|event| matches!(&event.kind, EventKind::StepOutput { line, .. } if line.contains(words)))
}

fn subnet_of_first_launch(told: &Told) -> &str {
    let mut launches = told.plan().steps.iter().filter_map(|step| match &step.action {
        Action::LaunchHost { spec, .. } => spec.subnets.first(),
        _ => None,
    });
    launches.next_back().unwrap()
}

#[test]
fn hosts_are_spread_over_the_subnets_and_the_next_one_is_tried_where_one_is_full() {
    let world = SimWorld::default();
    world.change().faults = vec![full(0, Some(2))];
    let told = ship(&world, &spread(1), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert!(says(&told, "trying `subnet-0000000b`") && says(&told, "trying `subnet-0000000c`"));
    assert_eq!(world.look().hosts.len(), 1);
    // The second host begins at the second subnet.
    let told = ship(&world, &spread(2), &commit(1));
    assert_eq!(subnet_of_first_launch(&told), "subnet-0000000b");
}

#[test]
fn where_every_subnet_is_full_all_of_them_are_named() {
    let world = SimWorld::default();
    world.change().faults = vec![full(0, None)];
    let told = ship(&world, &spread(1), &commit(1));
    assert_eq!(told.exit, Exit::Blocked);
    assert!(
        told.failure().contains("tried before, in vain: `subnet-0000000a`, `subnet-0000000b`"),
        "{}",
        told.failure()
    );
    assert_eq!(world.look().calls["compute.launch"], 3, "a full subnet is asked once");
    assert!(world.look().hosts.is_empty());
}

#[test]
fn a_launch_elsewhere_whose_answer_was_lost_is_looked_for_there_first() {
    let world = SimWorld::default();
    let lost = Fault { times: Some(4), ..Fault::once("compute.launch", FaultKind::Malformed) };
    world.change().faults = vec![full(0, Some(1)), lost];
    let told = ship(&world, &spread(1), &commit(1));
    assert_eq!(told.exit, Exit::Blocked);
    assert_eq!(told.finished().leftovers, ["perhaps an instance tagged `skipper:host=app_1`"]);
    assert_eq!(world.look().hosts.len(), 1, "every try had the same token");
    // As long as EC2 does not list it, its token is what finds it: with the subnet it was used with.
    let unlisted = std::mem::take(&mut world.change().hosts);
    let told = plan(&world, &spread(1), &commit(1));
    assert_eq!(subnet_of_first_launch(&told), "subnet-0000000b");
    world.change().hosts = unlisted;
    let told = ship(&world, &spread(1), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!(world.look().hosts.len(), 1);
}
