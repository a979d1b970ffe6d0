//! Hosts come and go under a release that runs on: members of etcd, drained hosts, reboots.

use serde_json::Value;

use crate::{Trials, World, shop::Shop};

pub(crate) const TRIALS: Trials = &[(
    "etcd_goes_from_one_member_to_three_and_back_while_all_runs_on",
    etcd_goes_from_one_member_to_three_and_back_while_all_runs_on,
)];

/// The containers of both services, by what changes when one is restarted.
fn containers(world: &World, shop: &Shop) -> Vec<String> {
    let mut all = [shop.processes(world, "web"), shop.processes(world, "clock")].concat();
    all.sort();
    all
}

/// The rows of `instances ps`.
fn hosts(world: &World, shop: &Shop) -> Vec<Value> {
    let told = shop.skipper(world, &["instances", "ps", "--output", "json"]).ends_with(0);
    serde_json::from_str(&told.outcome.stdout).unwrap()
}

/// The hosts that have a member of etcd.
fn members(world: &World, shop: &Shop) -> Vec<String> {
    let rows = hosts(world, shop).into_iter().filter(|row| row["etcd"] == "member");
    rows.map(|row| row["uuid"].as_str().unwrap().to_owned()).collect()
}

fn etcd_goes_from_one_member_to_three_and_back_while_all_runs_on(world: &World) {
    let shop = Shop::make(world, "members");
    shop.ship(world, "two hosts").ends_with(0);
    let before = containers(world, &shop);
    assert_eq!(members(world, &shop), ["web_1"]);

    shop.replace("skipper.yml", "scale: 2", "scale: 3");
    let told = shop.ship(world, "three hosts").ends_with(0);
    told.says("give host `web_2` a member of etcd").says("give host `web_3` a member of etcd");
    assert_eq!(members(world, &shop), ["web_1", "web_2", "web_3"]);
    let grown = containers(world, &shop);
    assert!(before.iter().all(|container| grown.contains(container)), "{before:?}\n{grown:?}");
    assert_eq!((shop.answers(world).len(), grown.len()), (3, 6));
    for host in shop.hosts(world) {
        let told = host.exec("curl -fs --noproxy '*' http://127.0.0.1:2379/v2/members").unwrap().success().unwrap();
        assert_eq!(told.matches("\"clientURLs\":[\"http").count(), 3, "{told}");
    }
    shop.ship_again(world).ends_with(0).says("nothing to do");

    shop.replace("skipper.yml", "scale: 3", "scale: 2");
    let told = shop.ship(world, "two hosts again").ends_with(0);
    told.says("take the member of etcd from host `web_3`").says("terminate host `web_3`");
    assert_eq!(members(world, &shop), ["web_1"]);
    assert_eq!(containers(world, &shop), before);
    shop.ship_again(world).ends_with(0).says("nothing to do");
}
