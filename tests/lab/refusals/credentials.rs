//! Credentials that are missing or wrong, and permissions that are missing.

use super::{Trials, changed_nothing, fresh};
use crate::{World, errors::Section, shop::run};

pub(super) const TRIALS: Trials =
    &[("credentials_that_are_missing_or_wrong_are_refused", credentials_that_are_missing_or_wrong_are_refused)];

fn credentials_that_are_missing_or_wrong_are_refused(world: &World) {
    let shop = fresh(world, "strangers");
    let sha = shop.commit("a commit");
    world.lab.cloud().clear_calls().unwrap();
    let missing = shop
        .job(world, &sha)
        .without("AWS_ACCESS_KEY_ID")
        .without("AWS_SECRET_ACCESS_KEY")
        .variable("AWS_EC2_METADATA_DISABLED", "true");
    let told = world
        .refusal(&shop, Section::Credentials, "no credentials", || run(&missing, &["ship"], 0))
        .ends_with(3)
        .says("no usable AWS credentials")
        .says("hint: set `AWS_ACCESS_KEY_ID`");
    assert_eq!(told.outcome.outputs["status"], "refused");
    let wrong = shop.job(world, &sha).variable("AWS_ACCESS_KEY_ID", "AKIAWRONGWRONGWRONG1");
    let told =
        world.refusal(&shop, Section::Credentials, "credentials that do not exist", || run(&wrong, &["ship"], 0));
    told.ends_with(3).says("InvalidClientTokenId");
    shop.replace("skipper.yml", "\"123456789012\"", "\"210987654321\"");
    let told =
        world.refusal(&shop, Section::Credentials, "credentials of another account", || shop.ship(world, "a commit"));
    told.ends_with(3).says("`123456789012`").says("`210987654321`");
    changed_nothing(world);
}
