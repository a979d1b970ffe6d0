//! Data of services: they outlive containers and releases, and no host goes away with them unless that is allowed.

use crate::{Trials, World, errors::Section, shop::Shop};

pub(crate) const TRIALS: Trials = &[(
    "data_outlive_releases_and_no_host_goes_with_them_unasked",
    data_outlive_releases_and_no_host_goes_with_them_unasked,
)];

/// The group that has the clock, for which its data is kept.
const STORE: &str = "\n  store:\n    size: t3.small\n    services: [clock]\n";

fn data_outlive_releases_and_no_host_goes_with_them_unasked(world: &World) {
    let shop = Shop::make(world, "keeping").on_one_host();
    shop.replace("skipper.yml", "build: clock\n", "build: clock\n    volumes: [\"data:/data\"]\n");
    shop.replace("skipper.yml", "services: [web, clock]\n", &format!("services: [web]\n{STORE}"));
    shop.ship(world, "a clock with data").ends_with(0);
    let on_store = |line: &str| shop.skipper(world, &["instances", "ssh", "store_1", "--", line]).ends_with(0);
    let in_clock = "docker exec $(docker ps -q --filter label=skipper.service=clock)";
    on_store(&format!("{in_clock} /bin/busybox sh -c 'echo kept > /data/note'"));

    shop.replace("skipper.yml", "volumes: [\"data:/data\"]\n", "volumes: [\"data:/data\"]\n    env: {NEW: release}\n");
    shop.ship(world, "another release of it").ends_with(0).says("stop-first");
    let told = on_store(&format!("{in_clock} /bin/busybox cat /data/note"));
    assert_eq!(told.outcome.stdout, "kept\n");

    let remove =
        |arguments: &[&str]| shop.skipper(world, &[&["instances", "remove", "store_1", "--force"], arguments].concat());
    let refused =
        world.refusal(&shop, Section::Hosts, "`instances remove --force` of a host with data", || remove(&[]));
    refused.ends_with(5).says("it would go away, and with it the volume `keeping.production.data`");

    // The group is taken out of the file: its host stays, with and without data, until both are allowed to go.
    shop.replace("skipper.yml", &format!("services: [web]\n{STORE}"), "services: [web, clock]\n");
    let told = shop.ship(world, "one group").ends_with(0);
    told.says(
        "host `store_1` belongs to group `store`, which skipper.yml does not name; it is kept (`--allow-terminate`",
    );
    assert_eq!(shop.hosts(world).len(), 2);
    let ship = |arguments: &[&str]| shop.skipper(world, &[&["ship"], arguments].concat());
    let terminate = || ship(&["--allow-terminate"]);
    let refused =
        world.refusal(&shop, Section::Hosts, "`--allow-terminate` where a host that would go has data", terminate);
    refused.ends_with(5).says("--allow-data-loss");
    assert_eq!(shop.hosts(world).len(), 2);
    let told = ship(&["--allow-terminate", "--allow-data-loss"]).ends_with(0);
    told.says("terminate host `store_1`")
        .says("host `store_1` goes, and with it the volume `keeping.production.data`, for good");
    assert_eq!((shop.hosts(world).len(), shop.answers(world).len()), (1, 1));
    shop.ship_again(world).ends_with(0).says("nothing to do");
}
