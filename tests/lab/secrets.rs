//! Secrets and private images: what the run is given arrives in containers, and nowhere else.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;
use skipper_lab::{Host, Job};

use crate::{
    Trials, World,
    errors::Section,
    shop::{Shop, Told, run},
};

pub(crate) const TRIALS: Trials = &[
    (
        "a_secret_arrives_in_its_container_and_is_seen_nowhere_else",
        a_secret_arrives_in_its_container_and_is_seen_nowhere_else,
    ),
    ("private_images_are_pulled_by_hosts_that_keep_no_login", private_images_are_pulled_by_hosts_that_keep_no_login),
];

/// Values that break what handles them without care.
const FIRST: &str = "canary-one \"two\" $three 100% 'four' \\n \u{1f511}\nlast line\n";
const SECOND: &str = "canary-changed";
const FILE: &str = "canary-file\nof two lines\n";
/// The login of the lab's private registry.
const LOGIN: (&str, &str) = ("octocat", "canary-registry-password");

/// `clock` prints what it was given.
fn secretive(world: &World, name: &str) -> Shop {
    let shop = Shop::make(world, name).on_one_host();
    let page = "#!/bin/busybox sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nprintf '%s' \"$PHRASE\" | busybox base64 -w 0\necho\nbusybox base64 -w 0 /run/secrets/key\n";
    fs::write(shop.folder.join("clock/site/cgi-bin/index.cgi"), page).unwrap();
    let asked = "build: clock\n    secrets: [{name: APP_PHRASE, env: PHRASE}, {name: KEY, file: /run/secrets/key}]\n";
    shop.replace("skipper.yml", "build: clock\n", asked);
    shop
}

fn job(world: &World, shop: &Shop, phrase: &str) -> Job {
    let sha = shop.git(&["rev-parse", "HEAD"]);
    shop.job(world, &sha).variable("APP_PHRASE", phrase).variable("KEY", FILE)
}

/// Everything that a run tells, but for the lines by which the runner learns what to blot out.
fn told_of(told: &Told) -> String {
    let log: Vec<&str> = told.outcome.log.lines().filter(|line| !line.starts_with("::add-mask::")).collect();
    let events = serde_json::to_string(&told.events).unwrap();
    [log.join("\n"), events, told.outcome.summary.clone(), format!("{:?}", told.outcome.outputs)].concat()
}

/// What Systems Manager answers to a caller that may ask everything.
fn asked(host: &Host, action: &str, body: &str) -> String {
    let signature =
        "AWS4-HMAC-SHA256 Credential=lab/20260101/us-east-1/ssm/aws4_request, SignedHeaders=host, Signature=lab";
    let curl = format!(
        ". /etc/lab/aws; curl -fsS -H 'Authorization: {signature}' -H 'X-Amz-Target: AmazonSSM.{action}' \
         -H 'Content-Type: application/x-amz-json-1.1' -d '{body}' \"$AWS_ENDPOINT_URL_SSM\""
    );
    host.exec(&curl).unwrap().success().unwrap()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(180);
    while !holds() {
        assert!(Instant::now() < until, "{what}: not within three minutes");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// What `clock` was given, as it prints it: the variable, then the file.
fn given(world: &World, shop: &Shop) -> [String; 2] {
    let table: Value = serde_json::from_str(&shop.skipper(world, &["ps", "--output", "json"]).outcome.stdout).unwrap();
    let row = table["replicas"].as_array().unwrap().iter().find(|row| row["service"] == "clock").unwrap().clone();
    let port = row["found"]["bindings"][0]["host"].as_u64().unwrap();
    let host = &shop.hosts(world)[0];
    // No rule lets anybody in but the host itself.
    let body = host.exec(&format!("curl -fsS http://127.0.0.1:{port}/")).unwrap().success().unwrap();
    let mut lines = body.lines().map(|line| {
        let decoded = host.exec(&format!("printf %s {line} | base64 -d; printf x")).unwrap().success().unwrap();
        decoded.trim_end_matches('x').to_owned()
    });
    [lines.next().unwrap(), lines.next().unwrap()]
}

fn a_secret_arrives_in_its_container_and_is_seen_nowhere_else(world: &World) {
    let shop = secretive(world, "secretive");
    shop.merge(world, "the first commit");
    let without = || shop.skipper(world, &["ship"]);
    let refused = world.refusal(&shop, Section::Run, "a secret that has no value", without).ends_with(2);
    refused.says("secrets `APP_PHRASE`, `KEY` have no value");

    let first =
        run(&job(world, &shop, FIRST), &["ship"], 0).ends_with(0).says("secret `APP_PHRASE`: version 1, the first");
    assert_eq!(given(world, &shop), [FIRST, FILE]);
    // A plan knows the versions without the values; what is there is not written again.
    shop.skipper(world, &["plan"]).ends_with(0).says("planned: 0 steps");

    let web = shop.processes(world, "web");
    let second = run(&job(world, &shop, SECOND), &["ship"], 0).ends_with(0);
    assert_eq!(given(world, &shop)[0], SECOND);
    assert_eq!(shop.processes(world, "web"), web, "the other service runs on");

    for told in [&first, &second] {
        assert!(!told_of(told).contains("canary"), "{}", told_of(told));
    }
    let host = &shop.hosts(world)[0];
    let exec = |command: &str| host.exec(command).unwrap().success().unwrap();
    // Unit files and everything else that is written down, the journal, and every list of processes.
    let written =
        exec("grep -rl canary /etc /var/lib/skipper /var/lib/amazon /opt /home /root /tmp 2>/dev/null || true");
    assert_eq!(written, "");
    assert!(!exec("journalctl --no-pager; systemctl cat '*secretive*'; ps -ef ww").contains("canary"));
    let commands = asked(host, "ListCommands", "{}");
    assert!(commands.contains("skipper pull") && !commands.contains("canary"));
    let kept = exec("stat -c '%a %n' /run/skipper/secrets");
    assert!(kept.starts_with("700 "), "{kept}");

    // A restart of the host asks again, since what it had is gone with its memory.
    let boot = exec("cat /proc/sys/kernel/random/boot_id; stat -c %Y /run/lock");
    host.exec("systemctl reboot").unwrap();
    let fetched = || host.exec("ls /run/skipper/secrets/skipper/secretive/production/secrets").unwrap().stdout;
    let asked_again =
        || fetched().contains("KEY.1") && exec("cat /proc/sys/kernel/random/boot_id; stat -c %Y /run/lock") != boot;
    wait_until("the restarted host asks for its secrets", || {
        host.exec("true").is_ok_and(|ran| ran.code == Some(0)) && asked_again()
    });
    wait_until("it serves again", || shop.skipper(world, &["ps"]).outcome.log.contains("2 of 2 replicas serve"));
    assert_eq!(given(world, &shop)[0], SECOND);
}

fn private_images_are_pulled_by_hosts_that_keep_no_login(world: &World) {
    let shop = Shop::make(world, "private").on_one_host();
    shop.replace("skipper.yml", &world.lab.topology().registry(), &world.lab.topology().private_registry());
    let (sha, _) = shop.merge(world, "the first commit");
    let job = || shop.job(world, &sha);
    let without = || run(&job(), &["ship"], 0);
    world.refusal(&shop, Section::Images, "private images without a login", without).ends_with(3);
    let with_login = job().input("registry-username", LOGIN.0).input("registry-password", LOGIN.1);
    let told = run(&with_login, &["ship"], 0).ends_with(0);
    assert!(!told_of(&told).contains("canary"), "{}", told_of(&told));
    assert_eq!(shop.answers(world).len(), 1);
    let host = &shop.hosts(world)[0];
    let encoded = "b2N0b2NhdDpjYW5hcnkt";
    let left =
        format!("grep -rl -e canary -e {encoded} /etc /root /run/skipper /var/lib/skipper /opt 2>/dev/null || true");
    assert_eq!(host.exec(&left).unwrap().success().unwrap(), "");
    let parameters = asked(host, "GetParametersByPath", r#"{"Path": "/skipper/private", "Recursive": true}"#);
    assert!(!parameters.contains("/logins/"), "{parameters}");
}
