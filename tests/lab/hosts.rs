//! Hosts come and go under a release that runs on: members of etcd, drained hosts, reboots, other sizes.

use serde_json::Value;

use crate::{
    Trials, World,
    errors::Section,
    shop::{Shop, run},
};

pub(crate) const TRIALS: Trials = &[
    (
        "etcd_goes_from_one_member_to_three_and_back_while_all_runs_on",
        etcd_goes_from_one_member_to_three_and_back_while_all_runs_on,
    ),
    ("a_host_is_removed_until_the_next_deployment", a_host_is_removed_until_the_next_deployment),
    ("hosts_reboot_one_after_another_and_serve_again", hosts_reboot_one_after_another_and_serve_again),
    ("a_host_gets_another_size_and_keeps_what_it_is", a_host_gets_another_size_and_keeps_what_it_is),
    ("hosts_of_another_processor_take_the_places_of_the_old_ones", hosts_of_another_processor_take_the_places),
    ("one_of_three_members_of_etcd_is_lost_and_replaced", one_of_three_members_of_etcd_is_lost_and_replaced),
    ("a_host_that_vanished_comes_back_and_serves", a_host_that_vanished_comes_back_and_serves),
    ("a_host_whose_engine_has_died_is_mended", a_host_whose_engine_has_died_is_mended),
    (
        "a_registry_that_is_lost_is_founded_anew_under_what_runs",
        a_registry_that_is_lost_is_founded_anew_under_what_runs,
    ),
    ("two_of_three_members_of_etcd_are_lost_for_good", two_of_three_members_of_etcd_are_lost_for_good),
];

fn a_host_gets_another_size_and_keeps_what_it_is(world: &World) {
    let shop = Shop::make(world, "sized").on_one_host();
    shop.ship(world, "a small host").ends_with(0);
    let before = hosts(world, &shop).remove(0);
    shop.hosts(world)[0].exec("echo kept > /var/lib/skipper/trial").unwrap().success().unwrap();

    shop.replace("skipper.yml", "size: t3.small", "size: t3.medium");
    let told = shop.ship(world, "a larger host").ends_with(0);
    told.says("resize host `web_1`").says("t3.medium: the host is a `t3.small`");
    let after = hosts(world, &shop).remove(0);
    assert_eq!((&before["size"], &after["size"]), (&Value::from("t3.small"), &Value::from("t3.medium")));
    for same in ["instance", "ip", "etcd", "fleet", "ssm"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    let kept = shop.hosts(world)[0].exec("cat /var/lib/skipper/trial").unwrap().success().unwrap();
    assert_eq!((kept.as_str(), shop.answers(world).len()), ("kept\n", 1));
    shop.ship_again(world).ends_with(0).says("nothing to do");
}

fn hosts_of_another_processor_take_the_places(world: &World) {
    let shop = Shop::make(world, "processor");
    let built = shop.ship(world, "two hosts").ends_with(0);
    let images: Value = serde_json::from_str(&built.outcome.outputs["images"]).unwrap();
    let registry = world.lab.topology().registry();
    for service in ["web", "clock"] {
        // The lab has one processor: what is said to be for another is the same.
        let digest = images[service].as_str().unwrap().rsplit_once('@').unwrap().1.to_owned();
        shop.hosts(world)[0]
            .exec(&publish_for_both(&format!("{registry}/v2/processor/{service}"), &digest))
            .unwrap()
            .success()
            .unwrap();
        let named = format!("repo: {{name: processor/{service}, registry: \"{registry}\"");
        let yml = std::fs::read_to_string(shop.folder.join("skipper.yml")).unwrap();
        let line = yml.lines().find(|line| line.contains(&format!("name: processor/{service}"))).unwrap().to_owned();
        shop.replace("skipper.yml", &line, &format!("    {named}, tag: both}}"));
        shop.replace("skipper.yml", &format!("    build: {service}\n"), "");
    }
    shop.ship(world, "images for both processors").ends_with(0);
    let instances = || -> Vec<String> {
        hosts(world, &shop).iter().map(|row| row["instance"].as_str().unwrap().to_owned()).collect()
    };
    let before = instances();

    let (url, sha256) = world.lab.fleet();
    shop.replace("skipper.yml", "fleet: {", &format!("fleet: {{arm64: {{url: \"{url}\", sha256: \"{sha256}\"}}, "));
    shop.replace("skipper.yml", "size: t3.small", "size: t4g.small");
    let (sha, pull_request) = shop.merge(world, "another processor");
    let planned = run(&shop.job(world, &sha), &["plan"], pull_request).ends_with(0);
    let mut planned = planned.says("hosts `web_1`, `web_2` are replaced, one at a time");
    for host in ["web_1", "web_2"] {
        let why = "the host is a `t3.small`, and a `t4g.small` has another processor";
        planned = planned.says(&format!("launch host `{host}` (t4g.small, Flatcar-stable-4593.2.5-arm64-hvm): {why}"));
    }
    assert_eq!(instances(), before);

    let told = shop.skipper(world, &["ship"]).ends_with(0);
    let at =
        |words: &str| told.outcome.log.find(words).unwrap_or_else(|| panic!("no `{words}`:\n{}", told.outcome.log));
    assert!(at("host `web_1` is online") < at("host `web_2` is online"), "{}", told.outcome.log);
    let rows = hosts(world, &shop);
    assert!(rows.iter().all(|row| row["size"] == "t4g.small" && row["fleet"] == "ready"), "{rows:#?}");
    assert!(instances().iter().all(|instance| !before.contains(instance)));
    assert_eq!((shop.answers(world).len(), containers(world, &shop).len(), members(world, &shop).len()), (2, 4, 1));
    shop.ship_again(world).ends_with(0).says("nothing to do");
}

/// A command that tags an image of a repository `both`, for amd64 and arm64.
fn publish_for_both(repository: &str, digest: &str) -> String {
    let kind = "application/vnd.oci.image.index.v1+json";
    let manifest = format!("curl -fs --noproxy '*' -H 'Accept: */*' http://{repository}/manifests/{digest}");
    let entry = |architecture: &str| {
        format!(
            r#"{{"mediaType": "'"$kind"'", "digest": "{digest}", "size": '"$size"', "platform": {{"os": "linux", "architecture": "{architecture}"}}}}"#
        )
    };
    let index = format!(
        r#"{{"schemaVersion": 2, "mediaType": "{kind}", "manifests": [{}, {}]}}"#,
        entry("amd64"),
        entry("arm64")
    );
    format!(
        "size=$({manifest} | wc -c) && kind=$({manifest} -o /dev/null -w '%{{content_type}}') && \
         curl -fsS --noproxy '*' -X PUT -H 'Content-Type: {kind}' --data-binary '{index}' http://{repository}/manifests/both"
    )
}

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

fn a_host_is_removed_until_the_next_deployment(world: &World) {
    let shop = Shop::make(world, "without");
    shop.ship(world, "two hosts").ends_with(0);
    let remove = |arguments: &[&str]| shop.skipper(world, &[&["instances", "remove"], arguments].concat());
    let unknown = || remove(&["web_7"]);
    let refused = world.refusal(&shop, Section::Run, "`instances remove` of a uuid that no host has", unknown);
    refused.ends_with(2).says("there is no host `web_7`").says("name one of `web_1`, `web_2`");

    // The host with the only member of etcd: that moves first, and what runs on the other goes on.
    let before = containers(world, &shop);
    let told = remove(&["web_1"]).ends_with(0).says("give host `web_2` a member of etcd");
    told.says("take the member of etcd from host `web_1`")
        .says("the next deployment brings it back unless `scale` is lowered");
    assert_eq!(members(world, &shop), ["web_2"]);
    let left = containers(world, &shop);
    assert!(left.len() == 2 && left.iter().all(|container| before.contains(container)), "{before:?}\n{left:?}");
    assert_eq!(shop.answers(world).len(), 1);

    let last = || remove(&["web_2"]);
    let refused = world.refusal(&shop, Section::Hosts, "`instances remove` of the last host", last);
    refused.ends_with(5).says("it has the last member of etcd").says("no other host serves `web`").says("--force");
    assert_eq!(containers(world, &shop), left);

    let told = shop.ship_again(world).ends_with(0);
    told.says("launch host `web_1`");
    assert_eq!((shop.answers(world).len(), members(world, &shop)), (2, vec!["web_2".to_owned()]));
    remove(&["web_1", "--output", "json"]).ends_with(0);
    remove(&["web_2", "--force"]).ends_with(0);
    assert!(hosts(world, &shop).iter().all(|row| row["state"] == "missing"));
}

fn hosts_reboot_one_after_another_and_serve_again(world: &World) {
    let shop = Shop::make(world, "rebooted");
    shop.ship(world, "two hosts").ends_with(0);
    let reboot = |arguments: &[&str]| shop.skipper(world, &[&["instances", "reboot"], arguments].concat());
    let unknown = || reboot(&["web_7"]);
    let refused = world.refusal(&shop, Section::Run, "`instances reboot` of a uuid that no host has", unknown);
    refused.ends_with(2).says("name one of `web_1`, `web_2`");
    // What only a boot takes away.
    let mark = |host: &skipper_lab::Host| host.exec("touch /run/before-the-reboot").unwrap().success().unwrap();
    let is_marked = |host: &skipper_lab::Host| host.exec("test -e /run/before-the-reboot").unwrap().code == Some(0);
    shop.hosts(world).iter().for_each(|host| drop(mark(host)));
    let clock = shop.processes(world, "clock");

    let told = reboot(&["web_2"]).ends_with(0).says("reboot host `web_2`").says("what served there serves again");
    assert!(!told.outcome.log.contains("reboot host `web_1`"), "{}", told.outcome.log);
    let marked: Vec<bool> = shop.hosts(world).iter().map(is_marked).collect();
    assert_eq!(marked.iter().filter(|marked| **marked).count(), 1);
    assert_eq!(shop.answers(world).len(), 2);
    let after = shop.processes(world, "clock");
    assert_eq!(clock.iter().filter(|process| after.contains(process)).count(), 1, "{clock:?}\n{after:?}");

    // The one with the only member of etcd, too; the other is waited for until it sees it again.
    reboot(&[]).ends_with(0).says("reboot host `web_1`").says("reboot host `web_2`");
    assert!(!shop.hosts(world).iter().any(is_marked));
    assert_eq!((shop.answers(world).len(), members(world, &shop)), (2, vec!["web_1".to_owned()]));
    shop.ship_again(world).ends_with(0).says("nothing to do");
}

fn one_of_three_members_of_etcd_is_lost_and_replaced(world: &World) {
    let shop = Shop::make(world, "bereft");
    shop.replace("skipper.yml", "scale: 2", "scale: 3");
    shop.ship(world, "three hosts").ends_with(0);
    let before = containers(world, &shop);
    let all = shop.hosts(world);
    let second = all.iter().find(|host| host.name.as_deref() == Some("web_2")).unwrap();
    let lose = "systemctl stop etcd-member.service && rm -rf /var/lib/etcd/member";
    second.exec(lose).unwrap().success().unwrap();

    let told = shop.ship_again(world).ends_with(0).says("configure `web_2`");
    told.says("have etcd forget the member at ").says("give host `web_2` a member of etcd");
    assert_eq!(members(world, &shop), ["web_1", "web_2", "web_3"]);
    assert_eq!(containers(world, &shop), before);
    shop.ship_again(world).ends_with(0).says("nothing to do");
}

fn a_host_that_vanished_comes_back_and_serves(world: &World) {
    let shop = Shop::make(world, "vanished");
    shop.ship(world, "two hosts").ends_with(0);
    let rows = hosts(world, &shop);
    let instance = rows.iter().find(|row| row["uuid"] == "web_2").unwrap()["instance"].as_str().unwrap().to_owned();
    let first = shop.hosts(world).into_iter().find(|host| host.name.as_deref() == Some("web_1")).unwrap();
    world.lab.cloud().terminate(&instance).unwrap();
    // Until fleet has given it up, and what is registered for it is nobody's.
    let alone = "for second in $(seq 90); do [ $(/opt/bin/fleetctl list-machines --no-legend | wc -l) != 1 ] || exit 0; sleep 1; done; exit 1";
    first.exec(alone).unwrap().success().unwrap();

    let told = shop.ship_again(world).ends_with(0).says("its host does not exist any more").says("launch host `web_2`");
    assert!(!told.outcome.log.contains("not converged"), "{}", told.outcome.log);
    assert_eq!((shop.answers(world).len(), containers(world, &shop).len()), (2, 4));
    shop.ship_again(world).ends_with(0).says("nothing to do");
}

fn a_host_whose_engine_has_died_is_mended(world: &World) {
    let shop = Shop::make(world, "engine");
    shop.ship(world, "two hosts").ends_with(0);
    let all = shop.hosts(world);
    let host = |name: &str| all.iter().find(|host| host.name.as_deref() == Some(name)).unwrap();
    let list = "docker ps -q --no-trunc | sort | xargs docker inspect -f '{{.State.Pid}}'";
    let first = host("web_1").exec(list).unwrap().success().unwrap();
    // Until systemd has given it up; ended once, its units would have it started again, and so they would after a minute.
    let given_up = "mkdir -p /etc/systemd/system/docker.service.d; printf '[Unit]\\nStartLimitIntervalSec=1h\\nStartLimitBurst=2\\n' >/etc/systemd/system/docker.service.d/90-trial.conf; systemctl daemon-reload";
    let end = "until systemctl is-failed -q docker.service docker.socket; do systemctl kill -s KILL docker.service; sleep 0.5; done";
    host("web_2").exec(&format!("{given_up}; {end}")).unwrap().success().unwrap();

    let silent = "not observed: host `web_2`: its Docker engine does not answer: Cannot connect to the Docker daemon";
    let told = shop.skipper(world, &["ps"]).ends_with(0).says(silent).says("2 of 4 replicas serve");
    assert!(!told.outcome.log.contains("panic"), "{}", told.outcome.log);
    shop.skipper(world, &["instances", "ps"]).ends_with(0).says("hint: the next deployment starts it again");

    let told = shop.ship_again(world).ends_with(0);
    told.says("configure `web_2` (etcd on `web_1`): its Docker engine does not answer");
    assert_eq!((shop.answers(world).len(), containers(world, &shop).len()), (2, 4));
    assert_eq!(host("web_1").exec(list).unwrap().success().unwrap(), first);
    shop.ship_again(world).ends_with(0).says("nothing to do");

    host("web_2").exec(&format!("systemctl mask docker.service; {end}")).unwrap().success().unwrap();
    let again = || shop.ship_again(world);
    let refused = world.refusal(&shop, Section::Hosts, "a host whose Docker engine does not start again", again);
    refused.ends_with(5).says("Docker does not answer").says("journalctl -u docker -u containerd");
    // Whoever is first to start it then: the release serves again.
    host("web_2").exec("systemctl unmask docker.service").unwrap().success().unwrap();
    shop.ship_again(world).ends_with(0);
    assert_eq!((shop.answers(world).len(), containers(world, &shop).len()), (2, 4));
}

fn a_registry_that_is_lost_is_founded_anew_under_what_runs(world: &World) {
    let shop = Shop::make(world, "registry");
    shop.ship(world, "two hosts").ends_with(0);
    let before = containers(world, &shop);
    let host = |name: &str| shop.hosts(world).into_iter().find(|host| host.name.as_deref() == Some(name)).unwrap();
    let lose = "systemctl kill -s KILL etcd-member.service; rm -rf /var/lib/etcd/member";
    host("web_1").exec(lose).unwrap().success().unwrap();

    // The only member has lost its disk, and nothing else has happened.
    let told = shop.ship_again(world).ends_with(0);
    let told = told.says("hold the orchestrator on `web_1`, `web_2`: no host has the data of etcd any more");
    told.says("found etcd anew on `web_1`, and register again what `web_1`, `web_2` have on record")
        .says("what runs goes on");
    assert_eq!((containers(world, &shop), members(world, &shop)), (before.clone(), vec!["web_1".to_owned()]));
    shop.ship_again(world).ends_with(0).says("nothing to do");

    // Its host is gone with it, and another comes in its place.
    let rows = hosts(world, &shop);
    let instance = rows.iter().find(|row| row["uuid"] == "web_1").unwrap()["instance"].as_str().unwrap().to_owned();
    world.lab.cloud().terminate(&instance).unwrap();
    let told = shop.ship_again(world).ends_with(0);
    told.says("found etcd anew on `web_2`, and register again what `web_2` has on record").says("launch host `web_1`");
    let after = containers(world, &shop);
    assert_eq!(before.iter().filter(|container| after.contains(container)).count(), 2, "{before:?}\n{after:?}");
    assert_eq!((shop.answers(world).len(), members(world, &shop)), (2, vec!["web_2".to_owned()]));
    shop.ship_again(world).ends_with(0).says("nothing to do");
}

fn two_of_three_members_of_etcd_are_lost_for_good(world: &World) {
    let shop = Shop::make(world, "quorum");
    shop.replace("skipper.yml", "scale: 2", "scale: 3");
    shop.ship(world, "three hosts").ends_with(0);
    let before = containers(world, &shop);
    let host = |name: &str| shop.hosts(world).into_iter().find(|host| host.name.as_deref() == Some(name)).unwrap();
    host("web_2").exec("systemctl kill -s KILL etcd-member.service; rm -rf /var/lib/etcd/member").unwrap();
    let rows = hosts(world, &shop);
    let instance = rows.iter().find(|row| row["uuid"] == "web_1").unwrap()["instance"].as_str().unwrap().to_owned();
    world.lab.cloud().terminate(&instance).unwrap();
    // The third knows what there was, and finds out that it is alone.
    let alone =
        "for second in $(seq 90); do /opt/bin/fleetctl list-machines >/dev/null 2>&1 || exit 0; sleep 1; done; exit 1";
    host("web_3").exec(alone).unwrap().success().unwrap();

    let told = shop.ship_again(world).ends_with(0).says("2 of 3 members of etcd are gone for good");
    told.says("register again what `web_2`, `web_3` have on record").says("give host `web_1` a member of etcd");
    let after = containers(world, &shop);
    assert_eq!(before.iter().filter(|container| after.contains(container)).count(), 4, "{before:?}\n{after:?}");
    assert_eq!(members(world, &shop), ["web_1", "web_2", "web_3"]);
    let kept = host("web_3").exec("ls -d /var/lib/etcd/member.lost").unwrap();
    assert_eq!(kept.code, Some(0));
    shop.ship_again(world).ends_with(0).says("nothing to do");
}
