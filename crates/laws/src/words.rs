//! Words on their way to a shell, and to systemd: each arrives as it was sent.

use std::{iter::once, time::Duration};

use skipper_core::{
    config::{Check, Healthcheck},
    desired::{DesiredService, ReplicaSpec, Scope},
    orchestrator::fleet::Unit,
    script::{Script, quote},
};

use crate::systemd;

/// `data` as words, parted by NUL, which none can hold.
pub fn words(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let words: Vec<&str> = text.split('\0').collect();
    shell(&words);
    unit(&words);
}

fn shell(words: &[&str]) {
    let line: Vec<String> = words.iter().map(|word| quote(word)).collect();
    assert_eq!(shlex::split(&line.join(" ")).unwrap(), words);
    let script = Script {
        name: "words",
        header: words.iter().map(|word| ("W", (*word).to_owned())).collect(),
        body: "",
        kept_as: None,
    };
    let assignments = words.iter().map(|word| format!("W={word}"));
    assert_eq!(shlex::split(&script.text()).unwrap(), assignments.collect::<Vec<_>>());
}

/// The first word is a variable's value and the path of a probe, too.
fn unit(words: &[&str]) {
    let scope = Scope { project: "demo".parse().unwrap(), environment: "production".parse().unwrap() };
    let image = format!("ghcr.io/acme/web@sha256:{}", "0a".repeat(32));
    let spec = ReplicaSpec {
        replica: "web_1".parse().unwrap(),
        host: "app_1".parse().unwrap(),
        bindings: Vec::new(),
        service: DesiredService {
            image: image.parse().unwrap(),
            scale: 1,
            ports: Vec::new(),
            env: [("WORD".parse().unwrap(), words[0].to_owned())].into(),
            logging: None,
            secrets: Vec::new(),
            command: words.iter().map(|word| (*word).to_owned()).collect(),
            healthcheck: Healthcheck {
                check: Check::Http { port: 80, path: words[0].to_owned() },
                interval: Duration::from_secs(1),
                timeout: Duration::from_secs(1),
                retries: 1,
                start_period: Duration::ZERO,
            },
            stop_grace_seconds: 10,
            has_links: false,
            volumes: Vec::new(),
        },
    };
    let unit = Unit::new(&scope, &spec);
    let keys = systemd::logical_lines(&unit.text).iter().filter(|line| line.contains('=')).count();
    assert_eq!(keys, 14, "a word is a line of its own: {}", unit.text);
    let run = systemd::exec_start(&unit.text);
    let variable = format!("WORD={}", words[0]);
    let told: Vec<&str> =
        once("--env").chain([variable.as_str(), image.as_str()]).chain(words.iter().copied()).collect();
    assert!(run.iter().map(String::as_str).rev().take(told.len()).eq(told.into_iter().rev()), "{run:?}");
    assert_eq!(Unit::read(unit.handle.clone(), &unit.text), Some(unit));
}
