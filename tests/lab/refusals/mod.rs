//! What bad input gets: a clear message with what to do, the right exit code, and nothing changed.

mod credentials;
mod github;
mod hosts;
mod images;
mod inputs;
mod launches;
mod names;
mod trouble;

use serde_json::{Value, json};

use crate::{
    Trials, World,
    shop::{Shop, Told},
};

pub(crate) const TRIALS: &[Trials] = &[
    inputs::TRIALS,
    images::TRIALS,
    launches::TRIALS,
    trouble::TRIALS,
    hosts::TRIALS,
    credentials::TRIALS,
    names::TRIALS,
    github::TRIALS,
];

/// A project on one host that has not been deployed.
fn fresh(world: &World, name: &str) -> Shop {
    let shop = Shop::make(world, name).on_one_host();
    shop.commit("the first commit");
    shop
}

/// A project on one host where a release serves; every trial leaves it so.
fn deployed(world: &World) -> &Shop {
    world.small.get_or_init(|| {
        let shop = fresh(world, "small");
        shop.ship(world, "the first commit").ends_with(0);
        shop
    })
}

/// Runs while things go wrong in the cloud.
fn with(world: &World, faults: &[Value], run: impl FnOnce() -> Told) -> Told {
    for fault in faults {
        world.lab.cloud().fault(fault).unwrap();
    }
    let told = run();
    world.lab.cloud().clear_faults().unwrap();
    told
}

/// A call for which a permission is missing.
fn denied(action: &str, permission: &str) -> Value {
    json!({ "action": action, "denied": permission, "times": null })
}

/// A call that is refused with a code, as often as it is made.
fn refused(action: &str, status: u16, code: &str, message: &str) -> Value {
    json!({ "action": action, "code": code, "message": message, "status": status, "times": null })
}

fn changed_nothing(world: &World) {
    let calls = world.lab.cloud().calls().unwrap();
    let mutating =
        ["RunInstances", "CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "SendCommand", "PutParameter"];
    assert!(mutating.iter().all(|call| !calls.contains_key(*call)), "{calls:?}");
}
