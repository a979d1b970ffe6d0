//! The commands of 2014, each by itself: tag, push, deploy, ps, remove, and those about instances.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, time::Duration};

use serde_json::Value;

use crate::{
    Trials, World,
    errors::Section,
    shop::{Shop, Told, finish, run, start},
};

pub(crate) const TRIALS: Trials = &[
    ("the_three_steps_of_2014_deploy_a_tag", the_three_steps_of_2014_deploy_a_tag),
    (
        "an_elastic_address_outlives_an_instance_and_goes_with_its_host",
        an_elastic_address_outlives_an_instance_and_goes_with_its_host,
    ),
    ("hosts_are_brought_up_and_shown_without_a_service", hosts_are_brought_up_and_shown_without_a_service),
    (
        "another_hand_s_rule_is_shown_as_drift_until_it_is_pruned",
        another_hand_s_rule_is_shown_as_drift_until_it_is_pruned,
    ),
    ("a_replica_is_removed_until_the_next_deployment", a_replica_is_removed_until_the_next_deployment),
    ("older_images_go_and_what_may_be_rolled_back_to_stays", older_images_go_and_what_may_be_rolled_back_to_stays),
    (
        "a_command_on_a_host_is_shown_as_it_goes_and_ends_as_it_ends_there",
        a_command_on_a_host_is_shown_as_it_goes_and_ends_as_it_ends_there,
    ),
    ("what_replicas_print_is_read_from_all_hosts", what_replicas_print_is_read_from_all_hosts),
    ("environments_of_one_file_have_hosts_of_their_own", environments_of_one_file_have_hosts_of_their_own),
    ("the_keys_of_2014_open_what_no_others_do", the_keys_of_2014_open_what_no_others_do),
];

/// Has the app say something else.
pub(crate) fn greet(shop: &Shop, greeting: &str) {
    fs::write(shop.folder.join("web/site/index.html"), format!("<p>{greeting}\n")).unwrap();
}

/// What a command printed as JSON.
pub(crate) fn document(told: &Told) -> Value {
    serde_json::from_str(&told.outcome.stdout).unwrap()
}

fn the_three_steps_of_2014_deploy_a_tag(world: &World) {
    let shop = Shop::make(world, "stepped").on_one_host();
    greet(&shop, "v1");
    let first = shop.commit("the first commit");
    let skipper = |arguments: &[&str]| shop.skipper(world, arguments);
    let registry = world.lab.topology().registry();
    let web = |tag: &str| format!("{registry}/stepped/web:{tag}");

    let push = || skipper(&["push", "web:v1"]);
    let refused = world.refusal(&shop, Section::Images, "`push` of what is not built", push).ends_with(2);
    refused.says("build it with `skipper tag web:v1`");
    let tagged = skipper(&["tag", "web:v1", "clock:v1"]).ends_with(0);
    tagged.says(&format!("web {}", web("v1"))).says("web | ");
    let deploy = |tag: &'static str| skipper(&["deploy", tag]);
    let unknown = || deploy("web:v1");
    let refused = world.refusal(&shop, Section::Images, "`deploy` of a tag that the registry does not have", unknown);
    refused.ends_with(2).says(&format!("the registry has no tag `v1` of `{registry}/stepped/web`"));
    // Where one is missing, none is pushed.
    skipper(&["push", "web:v1", "clock:v9"]).ends_with(2).says("there is no `").says("clock:v9");
    unknown().ends_with(2);
    let pushed = skipper(&["push", "web:v1", "clock:v1", "--output", "json", "--silent"]).ends_with(0);
    let rows = document(&pushed);
    assert_eq!((&rows[1]["service"], rows[1]["image"].as_str()), (&"web".into(), Some(web("v1").as_str())));
    assert!(rows[1]["digest"].as_str().unwrap().starts_with("sha256:"), "{rows}");

    skipper(&["deploy", "web:v1", "clock:v1"]).ends_with(0).says("deployed: `clock`, `web` serve on every host");
    assert_eq!(shop.answers(world), ["<p>v1\n"]);
    let clock = shop.processes(world, "clock");

    // The next version of one service; the other runs on.
    greet(&shop, "v2");
    skipper(&["tag", "web:v2"]).ends_with(0);
    skipper(&["push", "web:v2"]).ends_with(0);
    deploy("web:v2").ends_with(0).says("deployed: `web` serves on every host");
    assert_eq!((shop.answers(world), shop.processes(world, "clock")), (vec!["<p>v2\n".to_owned()], clock));
    // And back, with nothing built.
    let told = deploy("web:v1").ends_with(0);
    assert!(!told.outcome.log.contains("built and pushed"), "{}", told.outcome.log);
    assert_eq!(shop.answers(world), ["<p>v1\n"]);

    // Without a tag it is the commit.
    let sha = shop.commit("the second commit");
    skipper(&["tag", "--silent"]).ends_with(0).says(&format!("web {}", web(&sha)));
    skipper(&["push"]).ends_with(0);
    let told = skipper(&["deploy"]).ends_with(0);
    assert_eq!(told.outcome.outputs["release"], sha);
    assert_eq!(shop.answers(world), ["<p>v2\n"]);
    // A tag that is asked for is what it says it was built from, whatever is checked out.
    deploy("web:v1").ends_with(0);
    let releases = document(&skipper(&["releases", "--output", "json"]));
    assert_eq!(releases[0]["release"]["revision"], first, "{releases:#}");
    skipper(&["ps"]).ends_with(0).says(&first[..7]);
    skipper(&["deploy", ""]).ends_with(2);
    skipper(&["tag", "redis"]).ends_with(2).says("skipper.yml has no service `redis`");
}

fn hosts_are_brought_up_and_shown_without_a_service(world: &World) {
    let shop = Shop::make(world, "hosted").on_one_host();
    shop.commit("the first commit");
    let skipper = |arguments: &[&str]| shop.skipper(world, arguments);
    skipper(&["instances", "ps"]).ends_with(0).says("missing");
    skipper(&["instances", "deploy"]).ends_with(0).says("every host is up");
    let hosts = document(&skipper(&["instances", "ps", "--output", "json"]).ends_with(0));
    let [host] = &hosts.as_array().unwrap()[..] else { panic!("{hosts}") };
    for (key, value) in [
        ("uuid", "web_1"),
        ("state", "running"),
        ("size", "t3.small"),
        ("group", "web"),
        ("region", "us-east-1"),
        ("ssm", "online"),
        ("fleet", "ready"),
        ("etcd", "member"),
    ] {
        assert_eq!(host[key], value, "{host}");
    }
    assert!(host["disk"][0].as_u64().unwrap() > 0 && host["instance"].as_str().unwrap().starts_with("i-"), "{host}");
    skipper(&["instances", "ps"]).ends_with(0).says("GiB free");
    skipper(&["ps"]).ends_with(0).says("0 of 2 replicas serve");
    assert_eq!(document(&skipper(&["releases", "--output", "json"])), Value::Array(Vec::new()));
    skipper(&["instances", "deploy"]).ends_with(0).says("nothing to do: every host is up");
    // What is shipped then finds the hosts.
    let told = shop.ship(world, "a commit").ends_with(0);
    assert!(!told.outcome.log.contains("launch host"), "{}", told.outcome.log);
}

fn an_elastic_address_outlives_an_instance_and_goes_with_its_host(world: &World) {
    let shop = Shop::make(world, "addressed");
    shop.replace("skipper.yml", "size: t3.small", "size: t3.small\n    address: elastic");
    shop.commit("the first commit");
    let skipper = |arguments: &[&str]| shop.skipper(world, arguments);
    let hosts = || document(&skipper(&["instances", "ps", "--output", "json"]).ends_with(0));
    let ips = || -> Vec<String> {
        hosts().as_array().unwrap().iter().map(|host| host["ip"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let plan = skipper(&["plan"]).ends_with(0);
    plan.says("give elastic addresses: a new one to `web_1`, a new one to `web_2`").says("$37.67 after this");
    skipper(&["instances", "deploy"]).ends_with(0).says("every host is up");
    let before = ips();
    let cloud = world.lab.cloud();
    assert_eq!(cloud.addresses("addressed").unwrap(), before.iter().cloned().collect::<BTreeSet<_>>());
    skipper(&["instances", "deploy"]).ends_with(0).says("nothing to do: every host is up");

    // The address waits for the next instance.
    let former = hosts()[1]["instance"].as_str().unwrap().to_owned();
    cloud.terminate(&former).unwrap();
    let told = skipper(&["instances", "deploy"]).ends_with(0);
    told.says("launch host `web_2`").says(&format!("give elastic addresses: {} to `web_2`", before[1]));
    assert_eq!(ips(), before);
    assert_ne!(hosts()[1]["instance"], former.as_str());

    // One that goes takes its address along, and the other keeps its own.
    shop.replace("skipper.yml", "scale: 2", "scale: 1");
    shop.ship(world, "one host less").ends_with(0).says(&format!("release address {} of host `web_2`", before[1]));
    assert_eq!(cloud.addresses("addressed").unwrap(), BTreeSet::from([before[0].clone()]));
    assert_eq!(ips(), before[..1]);
}

fn another_hand_s_rule_is_shown_as_drift_until_it_is_pruned(world: &World) {
    let shop = Shop::make(world, "pruned").on_one_host();
    shop.commit("the first commit");
    let skipper = |arguments: &[&str]| shop.skipper(world, arguments);
    skipper(&["instances", "deploy"]).ends_with(0);
    let cloud = world.lab.cloud();
    let groups = || cloud.alive("pruned", "production").unwrap().into_iter().filter(|id| id.starts_with("sg-"));
    let lets_in = || -> Vec<String> {
        let mut sources: Vec<String> = groups().flat_map(|group| cloud.lets_in_from(&group).unwrap()).collect();
        sources.sort();
        sources
    };
    assert_eq!(lets_in(), ["0.0.0.0/0"]);
    for group in groups() {
        cloud.let_in(&group, "tcp", 22, "203.0.113.7/32").unwrap();
        cloud.let_in(&group, "udp", 53, "0.0.0.0/0").unwrap();
    }
    let drift =
        "drift: the security group of group `web` lets in tcp 22 from 203.0.113.7/32, which skipper did not write";
    skipper(&["plan"]).ends_with(0).says(drift);
    skipper(&["instances", "deploy"]).ends_with(0).says("nothing to do: every host is up").says(drift);
    assert_eq!(lets_in().len(), 5);
    let told = skipper(&["instances", "deploy", "--prune-rules"]).ends_with(0);
    told.says("revoke tcp 0-65535 from 0.0.0.0/0 (udp), tcp 22 from 203.0.113.7/32 into the cluster");
    assert_eq!(lets_in(), ["0.0.0.0/0"]);
    skipper(&["plan", "--prune-rules"]).ends_with(0);
}

fn a_replica_is_removed_until_the_next_deployment(world: &World) {
    let shop = Shop::make(world, "removed").on_one_host();
    shop.ship(world, "the first commit").ends_with(0);
    let clock = shop.processes(world, "clock");
    let skipper = |arguments: &[&str]| shop.skipper(world, arguments);
    let unknown = || skipper(&["remove", "web_7"]);
    let refused = world.refusal(&shop, Section::Run, "`remove` of a uuid that nothing has", unknown).ends_with(2);
    refused.says("there is no replica `web_7`").says("name one of `clock_1`, `web_1`");
    skipper(&["remove", "web_1"]).ends_with(0).says("`web_1` is removed, until the next deployment");
    let address = &shop.addresses(world)[0];
    assert!(world.lab.http_get(&format!("http://{address}/")).is_err());
    assert_eq!(shop.processes(world, "clock"), clock);
    skipper(&["ps"]).ends_with(0).says("missing").says("1 of 2 replicas serve");
    shop.ship_again(world).ends_with(0);
    assert_eq!((shop.answers(world).len(), shop.processes(world, "clock")), (1, clock));
}

fn older_images_go_and_what_may_be_rolled_back_to_stays(world: &World) {
    let shop = Shop::make(world, "cleaned").on_one_host();
    let skipper = |arguments: &[&str]| shop.skipper(world, arguments);
    let registry = world.lab.topology().registry();
    let on_host = || {
        let list = format!("docker images --digests --format '{{{{.Repository}}}}' {registry}/cleaned/web | wc -l");
        shop.hosts(world)[0].exec(&list).unwrap().success().unwrap().trim().parse::<usize>().unwrap()
    };
    greet(&shop, "v1");
    let first = shop.ship(world, "the first commit").ends_with(0).outcome.outputs["release"].clone();
    // One that never served is nothing to go back to.
    greet(&shop, "v2");
    shop.replace("web/Dockerfile", "-p 5000", "-p 5001");
    let failed = shop.ship(world, "one that does not answer");
    assert_ne!(failed.outcome.code, Some(0));
    shop.replace("web/Dockerfile", "-p 5001", "-p 5000");
    greet(&shop, "v3");
    let last = shop.ship(world, "the third commit").ends_with(0).outcome.outputs["release"].clone();
    assert_eq!(on_host(), 3);

    let unknown = || skipper(&["clean", "redis"]);
    let refused = world.refusal(&shop, Section::Run, "`clean` of a service that the file does not name", unknown);
    refused.ends_with(2).says("skipper.yml has no service `redis`").says("there is `clock`, `web`");
    skipper(&["clean", "--cutoff", "-1"]).ends_with(2);
    skipper(&["clean", "web:v1"]).ends_with(2).says("`clean` takes none");
    // The newest stay, all three of them.
    skipper(&["clean", "--hosts", "--cutoff", "3"]).ends_with(0).says("web_1: nothing to remove");
    let told = skipper(&["clean", "web", "--hosts", "--cutoff", "0", "--output", "json"]).ends_with(0);
    let cleaned = document(&told);
    let [here, host] = &cleaned["places"].as_array().unwrap()[..] else { panic!("{cleaned:#}") };
    assert_eq!((&here["host"], &host["host"]), (&Value::Null, &"web_1".into()));
    let removed = host["removed"].as_array().unwrap();
    assert_eq!((removed.len(), &removed[0]["services"][0]), (1, &"web".into()), "{cleaned:#}");
    assert!(host["freed"].as_u64().unwrap() > 0, "{cleaned:#}");
    assert_eq!((on_host(), shop.answers(world)), (2, vec!["<p>v3\n".to_owned()]));
    // On this machine what was built for the releases stays, too.
    let built = |sha: &str| {
        let name = format!("{registry}/cleaned/web:{sha}");
        std::process::Command::new("docker").args(["image", "inspect", &name]).output().unwrap().status.success()
    };
    let failed = shop.git(&["rev-parse", "HEAD~1"]);
    assert_eq!((built(&first), built(&failed), built(&last)), (true, false, true), "{cleaned:#}");
    skipper(&["deploy", &format!("web:{first}")]).ends_with(0);
    assert_eq!(shop.answers(world), ["<p>v1\n"]);
    skipper(&["clean", "--silent"]).ends_with(0).says("this machine: nothing to remove");
}

fn a_command_on_a_host_is_shown_as_it_goes_and_ends_as_it_ends_there(world: &World) {
    let shop = Shop::make(world, "reached").on_one_host();
    let sha = shop.commit("the first commit");
    let skipper = |arguments: &[&str]| shop.skipper(world, arguments);
    skipper(&["instances", "deploy"]).ends_with(0);
    let unknown = || skipper(&["instances", "ssh", "web_7", "--", "true"]);
    let refused = world.refusal(&shop, Section::Run, "`instances ssh` to a host that there is not", unknown);
    refused.ends_with(2).says("there is no host `web_7`").says("name one of `web_1`");
    let ssh = |command: &[&str]| skipper(&[&["instances", "ssh", "web_1", "--"], command].concat());
    let told = ssh(&["echo on $(cat /etc/skipper/configuration); echo '::error::no' >&2; exit 7"]).ends_with(7);
    assert!(told.outcome.log.lines().any(|line| line.starts_with("on ")), "{}", told.outcome.log);
    assert!(!told.outcome.log.lines().any(|line| line.starts_with("::error::no")), "{}", told.outcome.log);
    ssh(&["printf", "%s.", "two words", "$HOME"]).ends_with(0).says("two words.$HOME.");
    ssh(&["docker ps --format '{{.Names}}'"]).ends_with(0);
    // Longer than Systems Manager gives, of what does not compress.
    let long = "i=0; while [ $i -lt 1200 ]; do echo \"line $i $(head -c 48 /dev/urandom | base64)\"; i=$((i+1)); done";
    let told = ssh(&[long]).ends_with(0);
    let numbers = told.outcome.log.lines().filter_map(|line| line.strip_prefix("line ")?.split(' ').next());
    assert_eq!(numbers.collect::<Vec<_>>(), (0..1200).map(|number| number.to_string()).collect::<Vec<_>>());

    // It is shown while it goes on, and goes with whoever asked for it.
    let mut going =
        start(&shop.job(world, &sha), &["instances", "ssh", "web_1", "--", "echo begun; sleep 4711; echo over"]);
    going.wait_for("begun", Duration::from_secs(60)).unwrap();
    going.signal("INT").unwrap();
    finish(going, 0).ends_with(8).says("the command on host `web_1` was ended");
    let sleeps = || ssh(&["pgrep", "-x", "-f", "sleep 4711"]);
    sleeps().ends_with(1);

    // A shell is reached by a program that has to be there, and has a terminal.
    let shell = || skipper(&["instances", "ssh", "web_1"]);
    let refused = world.refusal(&shop, Section::Run, "`instances ssh` without `session-manager-plugin`", shell);
    refused.ends_with(2).says("there is no `session-manager-plugin` on `PATH`");
    let tools = world.lab.folder().unwrap().join("reached-tools");
    fs::create_dir_all(&tools).unwrap();
    let plugin = tools.join("session-manager-plugin");
    let said = tools.join("said");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" != --version ] || {{ echo 1.2.553.0; exit; }}\nprintf '%s\\n' \"$@\" \"$AWS_SSM_START_SESSION_RESPONSE\" >{}\n[ -t 0 ] && exit 5\n",
        said.display()
    );
    fs::write(&plugin, text).unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let job = || shop.job(world, &sha).variable("PATH", &path);
    run(&job(), &["instances", "ssh", "web_1"], 0).ends_with(2).says("a shell needs a terminal");
    let line = format!("{} instances ssh web_1", env!("CARGO_BIN_EXE_skipper"));
    let script = std::path::Path::new("/usr/bin/script");
    let running = job().start(script, &["--quiet", "--return", "--command", &line, "/dev/null"]).unwrap();
    finish(running, 0).ends_with(5);
    let said = fs::read_to_string(said).unwrap();
    let words: Vec<&str> = said.lines().collect();
    assert_eq!(words[..3], ["AWS_SSM_START_SESSION_RESPONSE", "us-east-1", "StartSession"], "{said}");
    let target: Value = serde_json::from_str(words[4]).unwrap();
    assert!(target["Target"].as_str().unwrap().starts_with("i-"), "{said}");
    let response: Value = serde_json::from_str(words[6]).unwrap();
    assert!(response["StreamUrl"].as_str().unwrap().starts_with("wss://"), "{said}");
}

fn what_replicas_print_is_read_from_all_hosts(world: &World) {
    let shop = Shop::make(world, "printing");
    let told = shop.ship(world, "the first commit").ends_with(0);
    assert!(!told.events.is_empty());
    let skipper = |arguments: &[&str]| shop.skipper(world, arguments);
    let unknown = || skipper(&["logs", "redis"]);
    let refused = world.refusal(&shop, Section::Run, "`logs` of what is neither a service nor a replica", unknown);
    refused.ends_with(2).says("name one of `clock`, `clock_1`, `clock_2`, `web`, `web_1`, `web_2`");
    // More than one answer holds.
    let print = "docker ps -q --filter label=skipper.project=printing | xargs -I{} docker exec {} /bin/busybox sh -c \
        'i=0; while [ $i -lt 600 ]; do echo \"::error::line $i $(/bin/busybox head -c 48 /dev/urandom | /bin/busybox base64)\" >/proc/1/fd/1; i=$((i+1)); done'";
    for host in shop.hosts(world) {
        host.exec(print).unwrap().success().unwrap();
    }
    let told = skipper(&["logs", "web", "--tail", "600", "--output", "json"]).ends_with(0);
    let lines: Vec<Value> = serde_json::from_str(&told.outcome.stdout).unwrap();
    for name in ["web_1", "web_2"] {
        let numbers = lines.iter().filter(|line| line["replica"] == name);
        let numbers: Vec<&str> =
            numbers.map(|line| line["text"].as_str().unwrap().split(' ').nth(1).unwrap()).collect();
        let expected: Vec<String> = (0..600).map(|number| number.to_string()).collect();
        assert_eq!(numbers, expected, "{name}");
    }
    let times: Vec<u64> = lines.iter().map(|line| line["at"].as_u64().unwrap()).collect();
    assert!(times.is_sorted() && lines.len() == 1200);
    let told = skipper(&["logs", "clock_1", "--since", "1h", "--tail", "5"]).ends_with(0);
    let shown: Vec<&str> = told.outcome.log.lines().filter(|line| line.contains(" | ")).collect();
    assert_eq!(shown.len(), 5, "{}", told.outcome.log);
    assert!(shown.iter().all(|line| line.starts_with("clock_1 | ") && !line.starts_with("::")), "{shown:?}");

    // What comes is shown as it comes, until it is interrupted.
    let sha = shop.git(&["rev-parse", "HEAD"]);
    let mut following = start(&shop.job(world, &sha), &["logs", "clock", "--tail", "1", "--follow"]);
    following.wait_for("clock_1 | ", Duration::from_secs(60)).unwrap();
    let print = "docker ps -q --filter label=skipper.service=clock --filter label=skipper.project=printing \
        | xargs -I{} docker exec {} /bin/busybox sh -c 'echo news >/proc/1/fd/1'";
    shop.hosts(world)[0].exec(print).unwrap().success().unwrap();
    following.wait_for(" | news", Duration::from_secs(60)).unwrap();
    following.signal("INT").unwrap();
    finish(following, 0).ends_with(0);
    skipper(&["logs", "--follow", "--output", "json"]).ends_with(2);
}

fn environments_of_one_file_have_hosts_of_their_own(world: &World) {
    let shop = Shop::make(world, "staged");
    shop.append("skipper.yml", "environments:\n  staging:\n    groups: {web: {scale: 1, services: [web]}}\n    services: {web: {logging: {driver: json-file, options: {max-size: 2m}}}}\n");
    let sha = shop.commit("the first commit");
    let skipper = |arguments: &[&str]| run(&shop.job(world, &sha), arguments, 0);
    let alive = |environment: &str| world.lab.cloud().alive(&shop.name, environment).unwrap().len();
    let slip = || skipper(&["ship", "--environment", "stagging"]);
    let refused = world.refusal(&shop, Section::File, "an environment that `environments` does not name", slip);
    refused.ends_with(2).says("`environments` does not name `stagging`");
    skipper(&["ship", "--environment", "staging"]).ends_with(0);
    let staged = document(&skipper(&["ps", "--environment", "staging", "--output", "json"]).ends_with(0));
    let replicas: Vec<&str> =
        staged["replicas"].as_array().unwrap().iter().map(|row| row["replica"].as_str().unwrap()).collect();
    assert_eq!((replicas, alive("production")), (vec!["web_1"], 0));
    let host =
        world.lab.hosts().unwrap().into_iter().find(|host| staged["hosts"][0]["address"] == host.address).unwrap();
    let logging = "docker ps -q | xargs docker inspect -f '{{json .HostConfig.LogConfig}}'";
    let logging = host.exec(logging).unwrap().success().unwrap();
    assert_eq!(logging.trim(), r#"{"Type":"json-file","Config":{"max-size":"2m"}}"#);
    skipper(&["plan"]).ends_with(0).says("launch host `web_2`").says("clock_1");
    skipper(&["plan", "--environment", "staging"]).ends_with(0).says("planned: 0 steps");
    skipper(&["check", "--output", "json"]).ends_with(0);
}

fn the_keys_of_2014_open_what_no_others_do(world: &World) {
    let shop = Shop::make(world, "keyed").on_one_host();
    let sha = shop.commit("the first commit");
    let path = shop.folder.join(".skippercfg");
    let keys = r#"{"AWS": {"ACCESS_KEY": "AKIA2014", "SECRET_KEY": "canary-of-2014"}, "SSH": {}}"#;
    fs::write(&path, keys).unwrap();
    let without_keys = |job: skipper_lab::Job| {
        let job = job.variable("AWS_ACCESS_KEY_ID", "").variable("AWS_SECRET_ACCESS_KEY", "");
        job.variable("AWS_EC2_METADATA_DISABLED", "true")
    };
    let ps = || run(&without_keys(shop.job(world, &sha)), &["ps"], 0);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = world.refusal(&shop, Section::Credentials, "a `.skippercfg` that others may read", ps).ends_with(2);
    refused.says("chmod 600 .skippercfg");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let told = ps().ends_with(0).says("0 of 2 replicas serve");
    // The runner takes the mask out of the log, and blots out the rest.
    assert_eq!(told.outcome.log.replace("::add-mask::canary-of-2014\n", "").matches("canary").count(), 0);
    fs::remove_file(&path).unwrap();
    ps().ends_with(3);
}
