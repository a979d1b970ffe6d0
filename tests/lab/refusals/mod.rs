//! What bad input gets: a clear message with what to do, the right exit code, and nothing changed.

mod credentials;
mod github;
mod hosts;
mod images;
mod inputs;
mod launches;
mod names;

use crate::{World, shop::Shop};

type Trials = &'static [(&'static str, fn(&World))];

pub(crate) const TRIALS: &[Trials] = &[
    inputs::TRIALS,
    images::TRIALS,
    credentials::TRIALS,
    launches::TRIALS,
    hosts::TRIALS,
    names::TRIALS,
    github::TRIALS,
];

/// A project on one host that has not been deployed.
fn fresh(world: &World, name: &str) -> Shop {
    let shop = Shop::make(world, name).on_one_host();
    shop.commit("the first commit");
    shop
}

fn changed_nothing(world: &World) {
    let calls = world.lab.cloud().calls().unwrap();
    let mutating =
        ["RunInstances", "CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "SendCommand", "PutParameter"];
    assert!(mutating.iter().all(|call| !calls.contains_key(*call)), "{calls:?}");
}
