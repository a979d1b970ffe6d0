//! Hosts that cannot be used, and scripts that do not end as they should.

use super::{Trials, fresh};
use crate::{World, errors::Section};

pub(super) const TRIALS: Trials = &[(
    "an_archive_that_is_missing_or_another_is_not_installed",
    an_archive_that_is_missing_or_another_is_not_installed,
)];

fn an_archive_that_is_missing_or_another_is_not_installed(world: &World) {
    let shop = fresh(world, "unpacked");
    let (url, sha256) = world.lab.fleet();
    shop.replace("skipper.yml", &url, &format!("{url}.nowhere"));
    world
        .refusal(&shop, Section::Hosts, "a fleet archive that does not exist", || shop.ship(world, "no archive"))
        .ends_with(5)
        .says("failed to configure host `web_1`")
        .says("fleet.url");
    shop.replace("skipper.yml", ".nowhere", "");
    shop.replace("skipper.yml", sha256, &"0".repeat(64));
    let told = world.refusal(&shop, Section::Hosts, "a fleet archive that is another", || shop.ship(world, "another"));
    told.ends_with(5).says(sha256).says("fleet.sha256");
    // The hosts are there, and a run with the right one goes on from them.
    shop.replace("skipper.yml", &"0".repeat(64), sha256);
    shop.ship(world, "the right archive").ends_with(0);
}
