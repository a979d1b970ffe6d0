//! AWS in trouble for longer than a run waits.

use super::{Trials, changed_nothing, fresh, refused, with};
use crate::{
    World,
    errors::Section,
    shop::{Shop, finish, start},
};

pub(super) const TRIALS: Trials =
    &[("trouble_of_aws_that_does_not_pass_is_told_with_how_often_it_was_tried", trouble_of_aws_that_does_not_pass)];

fn trouble_of_aws_that_does_not_pass(world: &World) {
    let shop = fresh(world, "troubled");
    // A region that does not exist has no endpoint, so its name leads nowhere.
    let lost = fresh(world, "nowhere");
    lost.replace("skipper.yml", "us-east-1", "us-nowhere-1");
    let sha = lost.commit("a region that does not exist");
    let job = lost.job(world, &sha).variable("AWS_ENDPOINT_URL", "http://sts.us-nowhere-1.invalid");
    let nowhere = || {
        // All of them wait between their tries: side by side they wait together.
        let running = start(&job, &["ship"]);
        throttled_and_broken(world, &shop);
        finish(running, 0)
    };
    let told = world.refusal(&lost, Section::Trouble, "a region that does not exist", nowhere);
    told.ends_with(5).says("got no answer").says("whether `us-nowhere-1` is a region");
    changed_nothing(world);
}

fn throttled_and_broken(world: &World, shop: &Shop) {
    let cases = [
        ("AWS throttles for longer than retries last", 400, "Throttling", "Rate exceeded", "was throttled 5 times"),
        ("AWS answers 500 for longer than retries last", 500, "InternalFailure", "", "met trouble inside AWS 5 times"),
    ];
    for (input, status, code, message, words) in cases {
        let faults = [refused("GetCallerIdentity", status, code, message)];
        let ship = || with(world, &faults, || shop.ship_again(world));
        world.refusal(shop, Section::Trouble, input, ship).ends_with(5).says(words).says("hint: run again in a ");
    }
}
