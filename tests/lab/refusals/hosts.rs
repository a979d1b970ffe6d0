//! Hosts that cannot be used, and scripts that do not end as they should.

use serde_json::json;
use skipper_lab::Host;

use super::{Trials, deployed, fresh, with};
use crate::{
    World,
    errors::Section,
    shop::{Shop, run},
};

pub(super) const TRIALS: Trials = &[
    ("an_archive_that_is_missing_or_another_is_not_installed", an_archive_that_is_missing_or_another_is_not_installed),
    ("a_command_that_gets_lost_is_never_taken_for_success", a_command_that_gets_lost_is_never_taken_for_success),
    ("an_image_that_cannot_be_pulled_replaces_nothing", an_image_that_cannot_be_pulled_replaces_nothing),
];

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

fn a_command_that_gets_lost_is_never_taken_for_success(world: &World) {
    let shop = deployed(world);
    let before = shop.processes(world, "web");
    let sha = shop.commit("the same");
    let impatient = shop.job(world, &sha).input("host-timeout", "5s");
    let cases = [
        ("a command that cannot be delivered", "Undeliverable", "it did not say what it runs: Undeliverable"),
        (
            "a command that is not picked up in time",
            "Delivery Timed Out",
            "it did not say what it runs: Delivery Timed Out",
        ),
        ("a script that takes too long", "Execution Timed Out", "it did not say what it runs: Execution Timed Out"),
        (
            "an agent that goes silent while it runs a script",
            "silent",
            "it did not say what it runs: InProgress after 5 s",
        ),
        ("a result without its end", "cut everywhere", "it did not say what it runs (exit 0)"),
    ];
    for (input, invocation, words) in cases {
        let fault = json!({ "action": "SendCommand", "invocation": invocation, "script": "observe" });
        let ship = || with(world, &[fault], || run(&impatient, &["ship"], 0));
        world.refusal(shop, Section::Hosts, input, ship).ends_with(5).says(words).says("hint: ");
    }
    // What the list cuts is fetched.
    let fault = json!({ "action": "SendCommand", "invocation": "cut", "script": "observe" });
    with(world, &[fault], || shop.ship_again(world)).ends_with(0);
    assert_eq!(shop.processes(world, "web"), before);

    // On the way: nobody hears that the new replica has started. It goes, and the old one comes back.
    shop.replace("web/site/index.html", "Hello", "Hi");
    let fault = json!({ "action": "SendCommand", "invocation": "Execution Timed Out", "script": "start" });
    let ship = || with(world, &[fault], || shop.ship(world, "a start that is not heard of"));
    let told = world.refusal(shop, Section::Hosts, "a start whose end is not known", ship);
    told.ends_with(6).says("did not end on it: Execution Timed Out").says("what served before serves again");
    assert!(shop.answers(world)[0].contains("Hello"));
}

fn an_image_that_cannot_be_pulled_replaces_nothing(world: &World) {
    let shop = deployed(world);
    let before = shop.processes(world, "web");
    let hosts = shop.hosts(world);
    let host = &hosts[0];
    // The folder of downloads is all of the disk that a pull needs first.
    shop.append("web/Dockerfile", "ENV DISK=full\nCOPY Dockerfile /a-new-layer\n");
    let downloads = "/var/lib/docker/tmp";
    host.exec(&format!("mount -t tmpfs -o size=4k tmpfs {downloads} && echo > {downloads}/full"))
        .unwrap()
        .success()
        .unwrap();
    let told = world.refusal(shop, Section::Hosts, "a disk that is full", || shop.ship(world, "a full disk"));
    host.exec(&format!("umount {downloads}")).unwrap().success().unwrap();
    told.ends_with(5).says("no space left").says("hint: give the group a larger `disk`");
    assert_eq!(shop.processes(world, "web"), before);

    let good = std::fs::read_to_string(shop.folder.join("skipper.yml")).unwrap();
    arm64_only(world, shop, host);
    let foreign = format!(
        "  clock:\n    repo: {{name: {}/clock, tag: foreign, registry: \"{}\"}}\n    #",
        shop.name,
        world.lab.topology().registry()
    );
    let clock = good.find("  clock:").unwrap();
    let build = good[clock..].find("    build:").unwrap() + clock;
    std::fs::write(shop.folder.join("skipper.yml"), format!("{}{foreign}{}", &good[..clock], &good[build..])).unwrap();
    let ship = || shop.ship(world, "an image for arm64");
    let told = world.refusal(shop, Section::Hosts, "an image that does not exist for the host's architecture", ship);
    told.ends_with(4)
        .says("does not run on the hosts of group `web`")
        .says("it was made for linux/arm64")
        .says("hint: ");
    assert_eq!(shop.processes(world, "web"), before);
    std::fs::write(shop.folder.join("skipper.yml"), good).unwrap();
    shop.ship(world, "an image for amd64").ends_with(0);
}

/// Puts a tag `foreign` into the registry that says of clock's image that it is for arm64.
fn arm64_only(world: &World, shop: &Shop, host: &Host) {
    let repository = format!("http://{}/v2/{}/clock", world.lab.topology().registry(), shop.name);
    let tags = world.lab.http_get(&format!("{repository}/tags/list")).unwrap().success().unwrap();
    let tags: serde_json::Value = tags.json().unwrap();
    let tag = tags["tags"][0].as_str().unwrap();
    let accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
    let script = format!(
        r#"set -eu
cd "$(mktemp -d)"
curl -fsS -D head -H 'Accept: {accept}' -o manifest {repository}/manifests/{tag}
type=$(sed -n 's/^content-type: *//Ip' head | tr -d '\r')
digest=sha256:$(sha256sum manifest | cut -d ' ' -f 1)
printf '{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"%s","digest":"%s","size":%s,"platform":{{"os":"linux","architecture":"arm64"}}}}]}}' \
  "$type" "$digest" "$(wc -c <manifest)" >index
curl -fsS -X PUT -H 'Content-Type: application/vnd.oci.image.index.v1+json' --data-binary @index {repository}/manifests/foreign
"#
    );
    host.exec(&script).unwrap().success().unwrap();
}
