//! Secrets come from Parameter Store to a command, and logins to Docker, and nothing of them is seen on the way.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, process::Command};

use proptest::prelude::*;
use skipper_core::{
    desired::SecretVersion,
    image::PinnedImage,
    orchestrator::{HostErrorKind, KeptLogin, RegistryLogin, Supplies},
};

use crate::host::*;

const WITH_SECRETS: &str = include_str!("../../src/orchestrator/scripts/with-secrets.sh");
const ECR: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
const FOLDER: &str = "/skipper/demo/production/secrets";

fn secrets(versions: &[&str]) -> Supplies {
    let secrets: BTreeSet<SecretVersion> = versions.iter().map(|version| version.parse().unwrap()).collect();
    Supplies { images: vec![image("0a")], secrets }
}

/// What a unit starts: a command with these secrets. Its output, or what it says in place of it.
fn with_secrets(host: &Host, secrets: &[&str], command: &[&str]) -> Result<Vec<u8>, String> {
    let output = Command::new("sh")
        .args(["-c", WITH_SECRETS, "with-secrets", FOLDER])
        .args(secrets.iter().flat_map(|secret| ["--secret", secret]))
        .args(command)
        .env("SKIPPER_ROOT", host.root.path())
        .env("PATH", format!("{}:/usr/bin:/bin", host.path("opt/bin").display()))
        .output()
        .unwrap();
    if output.status.success() { Ok(output.stdout) } else { Err(String::from_utf8(output.stderr).unwrap()) }
}

#[test]
fn secrets_are_there_before_anything_stops_and_are_fetched_once() {
    let host = Host::configured();
    host.keep("secrets/DATABASE_URL", 3, "postgres://canary");
    assert_eq!(host.supply(secrets(&["DATABASE_URL:3"]), &[]), Ok(()));
    assert_eq!(host.supply(secrets(&["DATABASE_URL:3"]), &[]), Ok(()));
    assert_eq!(host.calls("curl https://ssm"), 1);
    let kept = host.path("run/skipper/secrets/skipper/demo/production/secrets");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o700, "root alone looks into it");
    let shown = with_secrets(&host, &["URL=DATABASE_URL:3"], &["sh", "-c", "printf %s \"$URL\""]);
    assert_eq!(shown, Ok(b"postgres://canary".to_vec()));
    assert_eq!(host.calls("curl https://ssm"), 1);
    // Its role's keys went by standard input, where no list of processes has them.
    assert!(host.read("world/credentials").contains("user = \"ASIA:key\""));
}

#[test]
fn more_secrets_than_one_call_takes_are_asked_for_in_tens() {
    let host = Host::configured();
    let names: Vec<String> = (1..=23).map(|number| format!("S{number}:{number}")).collect();
    (1..=23).for_each(|number| host.keep(&format!("secrets/S{number}"), number, &format!("value {number}")));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(host.supply(secrets(&names), &[]), Ok(()));
    assert_eq!(host.calls("curl https://ssm"), 3);
    let shown = with_secrets(&host, &["A=S7:7", "B=S23:23"], &["sh", "-c", "printf '%s, %s' \"$A\" \"$B\""]);
    assert_eq!(shown, Ok(b"value 7, value 23".to_vec()));
}

#[test]
fn a_secret_that_is_not_given_is_told_by_its_name() {
    let host = Host::configured();
    let (kind, what) = said(host.supply(secrets(&["TOKEN:2"]), &[]));
    assert_eq!(kind, HostErrorKind::Secret);
    assert!(what.contains("gives this instance no credentials"), "{what}");
    host.keep("secrets/TOKEN", 1, "canary");
    let (_, what) = said(host.supply(secrets(&["TOKEN:1", "TOKEN:2"]), &[]));
    assert_eq!(what, "Parameter Store has no /skipper/demo/production/secrets/TOKEN:2");
    host.write("world/ssm-says", r#"{"__type": "AccessDeniedException", "Message": "not authorized"}"#);
    let refused = with_secrets(&host, &["TOKEN=TOKEN:2"], &["true"]);
    assert_eq!(
        refused,
        Err("skipper: Systems Manager gives no secrets: AccessDeniedException: not authorized\n".to_owned())
    );
}

#[test]
fn a_host_that_is_told_to_come_again_does_so() {
    let host = Host::configured();
    host.keep("secrets/TOKEN", 1, "canary");
    host.write("world/ssm-throttles", "2");
    assert_eq!(host.supply(secrets(&["TOKEN:1"]), &[]), Ok(()));
    assert_eq!(host.calls("curl https://ssm"), 3);
}

#[test]
fn a_secret_may_have_any_name_that_the_script_uses_itself() {
    let host = Host::configured();
    let names =
        ["folder", "names", "variables", "variable", "secret", "value", "work", "token", "HERE", "ROOT", "METADATA"];
    names.iter().for_each(|name| host.keep(&format!("secrets/{name}"), 1, &format!("that of {name}")));
    let asked: Vec<String> = names.iter().map(|name| format!("{name}={name}:1")).collect();
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    let shown = with_secrets(&host, &asked, &["env"]).map(|shown| String::from_utf8(shown).unwrap()).unwrap();
    for name in names {
        assert!(shown.lines().any(|line| line == format!("{name}=that of {name}")), "{name}: {shown}");
    }
}

#[test]
fn docker_is_logged_in_while_it_pulls_and_not_longer() {
    let host = Host::configured();
    host.keep("logins/REGISTRY_1", 5, "bWU6Y2FuYXJ5");
    let login = KeptLogin { registry: "ghcr.io".to_owned(), parameter: "REGISTRY_1:5".parse().unwrap() };
    assert_eq!(host.supply(secrets(&[]), &[RegistryLogin::Kept(login)]), Ok(()));
    let shown: serde_json::Value = serde_json::from_str(&host.read("world/logged-in")).unwrap();
    assert_eq!(shown, serde_json::json!({"auths": {"ghcr.io": {"auth": "bWU6Y2FuYXJ5"}}}));
    let left = Command::new("grep").arg("-r").arg("bWU6Y2FuYXJ5").arg(host.path("run")).arg(host.path("etc")).output();
    assert_eq!(String::from_utf8(left.unwrap().stdout).unwrap(), "");
}

const CHINA: &str = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn";

/// Pulls an image from a registry of ECR.
fn pull_from_ecr(host: &Host, registry: &str) -> Result<(), (HostErrorKind, String)> {
    let image: PinnedImage = format!("{registry}/acme/web@sha256:{}", "0a".repeat(32)).parse().unwrap();
    let supplies = Supplies { images: vec![image], ..Supplies::default() };
    let pulled = host.supply(supplies, &[RegistryLogin::by_role(registry).unwrap()]);
    if pulled.is_ok() { Ok(()) } else { Err(said(pulled)) }
}

fn ecr_gives(host: &Host, auth: &str) {
    host.write("world/role", "skipper-host");
    host.write("world/ecr-says", &format!(r#"{{"authorizationData": [{{"authorizationToken": "{auth}"}}]}}"#));
}

#[test]
fn a_host_logs_in_to_ecr_by_its_own_role_for_one_pull() {
    for (registry, address) in [
        (ECR, "https://api.ecr.eu-west-1.amazonaws.com/"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "https://api.ecr.us-gov-west-1.amazonaws.com/"),
        (CHINA, "https://api.ecr.cn-north-1.amazonaws.com.cn/"),
    ] {
        let host = Host::configured();
        ecr_gives(&host, "QVdTOmNhbmFyeQ==");
        assert_eq!(pull_from_ecr(&host, registry), Ok(()));
        let shown: serde_json::Value = serde_json::from_str(&host.read("world/logged-in")).unwrap();
        assert_eq!(shown, serde_json::json!({"auths": {registry: {"auth": "QVdTOmNhbmFyeQ=="}}}));
        let asked = host.read("world/asked");
        assert!(asked.contains(address) && asked.contains("_V20150921.GetAuthorizationToken"), "{asked}");
        // In the registry's region, whichever the host is in; and neither keys nor login in a list of processes.
        let region = address.split('.').nth(2).unwrap();
        assert!(asked.contains(&format!("--aws-sigv4 aws:amz:{region}:ecr ")), "{asked}");
        assert!(host.read("world/credentials").contains("user = \"ASIA:key\""));
        for secret in ["ASIA", "QVdTOmNhbmFyeQ=="] {
            assert!(!asked.contains(secret) && !host.read("world/calls").contains(secret));
            let left = Command::new("grep").args(["-r", secret]).arg(host.path("run")).arg(host.path("etc")).output();
            assert_eq!(String::from_utf8(left.unwrap().stdout).unwrap(), "");
        }
        // What is here already needs no login.
        assert_eq!((pull_from_ecr(&host, registry), host.calls("curl https://api.ecr")), (Ok(()), 1));
    }
}

#[test]
fn a_role_that_ecr_refuses_is_told_with_the_action_and_the_registry() {
    let host = Host::configured();
    let (kind, what) = pull_from_ecr(&host, ECR).unwrap_err();
    assert_eq!(kind, HostErrorKind::RegistryRole);
    assert!(what.contains(ECR) && what.contains("has its instance profile a role?"), "{what}");

    host.write("world/role", "skipper-host");
    let refusal = "User: arn:aws:sts::123456789012:assumed-role/skipper-host/i-1 is not authorized to perform: ecr:GetAuthorizationToken";
    host.write("world/ecr-says", &format!(r#"{{"__type": "AccessDeniedException", "Message": "{refusal}"}}"#));
    let (kind, what) = pull_from_ecr(&host, ECR).unwrap_err();
    assert_eq!(kind, HostErrorKind::RegistryRole);
    assert_eq!(
        what,
        format!(
            "this host gets no login to {ECR} by its own role: ECR in eu-west-1 gives no login (ecr:GetAuthorizationToken): AccessDeniedException: {refusal}"
        )
    );

    // It may log in and not pull.
    ecr_gives(&host, "QVdTOmNhbmFyeQ==");
    host.write("world/pull-says", "denied: User: skipper-host is not authorized to perform: ecr:BatchGetImage\n");
    assert_eq!(pull_from_ecr(&host, ECR).unwrap_err().0, HostErrorKind::RegistryRole);
    host.write("world/pull-says", "repository acme/web not found: name unknown\n");
    assert_eq!(pull_from_ecr(&host, ECR).unwrap_err().0, HostErrorKind::Pull);
    // Another registry's refusal is none of the role's.
    host.write("world/pull-says", "denied: requested access to the resource is denied\n");
    assert_eq!(said(host.pull(&[image("0a")])).0, HostErrorKind::Pull);
}

#[test]
fn with_an_environment_its_secrets_go_and_not_before() {
    let host = Host::configured();
    host.keep("secrets/TOKEN", 1, "canary");
    assert_eq!(host.supply(secrets(&["TOKEN:1"]), &[]), Ok(()));
    let (first, second) = (start(&spec("web_1", "0a")), start(&spec("web_2", "0a")));
    host.start(vec![first.clone(), second.clone()]);
    let kept = host.path("run/skipper/secrets/skipper/demo/production");
    // What comes in the place of the last replica has fetched them already.
    assert_eq!((host.remove(&[&first.handle]), kept.exists()), (Ok(()), true));
    assert_eq!((host.remove(&[&second.handle]), kept.exists()), (Ok(()), true));
    assert_eq!((host.remove_and(&[&second.handle], true), kept.exists()), (Ok(()), false));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_value_arrives_byte_for_byte(
        value in prop_oneof!["[^\0]{1,60}", "[-'\"\\\\$`%!~#&|;<>(){}*?\\[\\] \n\r\ta=é€]{1,40}", "[ab]{0,3}\n{1,3}"],
    ) {
        let host = Host::configured();
        host.keep("secrets/VALUE", 1, &value);
        let variable = with_secrets(&host, &["VALUE=VALUE:1"], &["printenv", "-0", "VALUE"]);
        prop_assert_eq!(variable, Ok([value.as_bytes(), b"\0"].concat()));
        let file = host.read("run/skipper/secrets/skipper/demo/production/secrets/VALUE.1");
        prop_assert_eq!(file, value);
    }
}
