//! What a run costs in calls: the number does not grow with the number of hosts, up to pages of fifty.

use skipper_core::exit::Exit;
use skipper_deploy::sim::SimWorld;

use crate::shop::{commit, ship, shop};

#[test]
fn a_run_that_changes_nothing_makes_as_many_calls_for_one_host_as_for_fifty() {
    let calls = [1, 50].map(|hosts| {
        let world = SimWorld::default();
        assert_eq!(ship(&world, &shop(hosts), &commit(1)).exit, Exit::Serves);
        world.take_calls();
        let told = ship(&world, &shop(hosts), &commit(1));
        assert_eq!((told.exit, told.plan().steps.len()), (Exit::Serves, 0));
        world.take_calls()
    });
    assert_eq!(calls[0], calls[1]);
    assert_eq!(calls[0].get("remote.run/observe"), Some(&1));
}

#[test]
fn a_first_deploy_sends_one_script_of_each_kind_however_many_hosts_there_are() {
    for hosts in [1, 50] {
        let world = SimWorld::default();
        ship(&world, &shop(hosts), &commit(1));
        let calls = world.take_calls();
        for script in ["configure", "pull", "start"] {
            assert_eq!(calls[&format!("remote.run/{script}")], 1, "{script} for {hosts} hosts");
        }
        assert_eq!(calls["compute.launch"], u64::from(hosts));
    }
}
