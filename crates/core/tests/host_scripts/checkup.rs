//! A host tells how it is.

use skipper_core::doctor::{checkup, read_facts};

use crate::host::*;

#[test]
fn a_host_tells_its_room_its_clock_and_its_role() {
    let host = Host::configured();
    host.write("world/role", "skipper-host\n");
    let facts = read_facts(&host.run(&checkup(&scope()))).unwrap().unwrap();
    assert!(facts.free > 0 && facts.free <= facts.total, "{facts:?}");
    assert!(facts.clock > 1_700_000_000_000, "{facts:?}");
    assert_eq!(facts.role.as_deref(), Some("skipper-host"));
}

#[test]
fn a_host_without_a_role_or_an_update_engine_says_so() {
    let facts = read_facts(&Host::fresh().run(&checkup(&scope()))).unwrap().unwrap();
    assert_eq!((facts.role, facts.update), (None, None));
}
