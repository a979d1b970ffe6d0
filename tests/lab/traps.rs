//! The traps of fleet, on real systemd: what skipper is built around is really so.

use std::time::{Duration, Instant};

use skipper_lab::Host;

use crate::{Trials, World, shop::Shop};

pub(crate) const TRIALS: Trials = &[("fleet_s_traps_are_real", fleet_s_traps_are_real)];

/// Waits until a script on a host prints what is expected.
#[track_caller]
fn wait_for(host: &Host, script: &str, patience: u64, expected: impl Fn(&str) -> bool) -> String {
    let end = Instant::now() + Duration::from_secs(patience);
    loop {
        let ran = host.exec(script).unwrap();
        if expected(ran.stdout.trim()) {
            return ran.stdout.trim().to_owned();
        }
        assert!(Instant::now() < end, "`{script}` still prints `{}` and `{}`", ran.stdout, ran.stderr);
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn fleet_s_traps_are_real(world: &World) {
    let shop = Shop::make(world, "traps").on_one_host();
    shop.ship(world, "the first commit").ends_with(0);
    let hosts = shop.hosts(world);
    let host = &hosts[0];
    let running = "docker ps -q --no-trunc | sort | xargs docker inspect -f '{{.State.Pid}}'";
    let machines = "/opt/bin/fleetctl list-machines --no-legend --full --fields=machine,metadata 2>&1";
    let before = host.exec(running).unwrap().success().unwrap();

    // A killed fleetd cannot register until its old key expires, and its containers run on.
    host.exec("systemctl kill -s KILL --kill-whom=main fleet.service").unwrap().success().unwrap();
    wait_for(host, machines, 10, |said| said.contains("unable to communicate with etcd"));
    shop.ship_again(world).ends_with(0).says("configure `web_1` (etcd on `web_1`): its orchestrator does not answer");
    wait_for(host, "journalctl -u fleet.service -o cat", 20, |said| said.contains("105: Key already exists"));
    wait_for(host, machines, 90, |said| said.contains("host=web_1"));
    assert_eq!(host.exec(running).unwrap().success().unwrap(), before);
    shop.ship_again(world).ends_with(0).says("nothing to do");

    // Without etcd nobody knows what should run. It is started again, with what it had, and containers run on.
    host.exec("systemctl stop etcd-member.service").unwrap().success().unwrap();
    shop.ship_again(world).ends_with(0).says("its orchestrator does not answer");
    assert_eq!(host.exec(running).unwrap().success().unwrap(), before);
    shop.ship_again(world).ends_with(0).says("nothing to do");

    // A fleetd that is told to end takes every unit of its host along; started again, it starts them anew.
    host.exec("systemctl kill -s TERM --kill-whom=main fleet.service").unwrap().success().unwrap();
    wait_for(host, running, 30, |said| before.lines().all(|process| said.lines().all(|other| other != process)));
    host.exec("systemctl start fleet.service").unwrap().success().unwrap();
    wait_for(host, "docker ps -q | wc -l", 60, |said| said == "2");
    shop.ship_again(world).ends_with(0).says("nothing to do");

    // A registry that lost everything stops everything; skipper takes nothing for gone because of it, and fills it again.
    let key = "http://127.0.0.1:2379/v2/keys/_coreos.com/fleet";
    host.exec(&format!(
        "curl -fsS -X DELETE '{key}/job?recursive=true' && curl -fsS -X DELETE '{key}/unit?recursive=true'"
    ))
    .unwrap()
    .success()
    .unwrap();
    wait_for(host, "docker ps -q | wc -l", 30, |said| said == "0");
    let told = shop.ship_again(world).ends_with(0).says("register again what `web_1` has on record");
    told.says("the registry has lost what it knew, and what ran was stopped");
    wait_for(host, "docker ps -q | wc -l", 30, |said| said == "2");
    shop.ship_again(world).ends_with(0).says("nothing to do");
}
