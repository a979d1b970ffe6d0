//! Faults as their users meet them.

use skipper_core::exit::Exit;
use skipper_deploy::sim::{Fault, FaultKind, SimWorld};

use crate::shop::{commit, ship, shop};

#[test]
fn a_code_host_that_is_down_is_a_warning_and_the_deployment_stands() {
    for call in ["code_host.comment", "code_host.pull_requests"] {
        let world = SimWorld::default();
        world.change().faults = vec![Fault::always(call, FaultKind::Denied)];
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
