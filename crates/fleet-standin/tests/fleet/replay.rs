//! The recorded calls of the real fleet, one after the other: output, errors and exit codes to the byte.

use std::time::Duration;

use fleet_standin::http::Endpoint;
use http::Method;

use crate::cluster::{Answer, Cluster, on_one_thread};
use crate::transcript::{Block, blocks};

const TTL: Duration = Duration::from_secs(30);

const TWO_MACHINES: [(&str, &str, &str); 2] = [
    ("264b511b9c37ac1c8a7f1ab2d1b0c897", "127.0.0.11", "role=web,az=a"),
    ("72197fe9bc7b752dece7dc1b2c7b4e45", "127.0.0.12", "role=worker"),
];

const WEB_1: &str = "demo-production-web_1-1a2b3c4d.service";

/// The process that the recorder saw.
const RECORDED_PROCESS: &str = "1573\n";

#[test]
fn part_a_without_any_fleetd() {
    on_one_thread(async {
        let cluster = Cluster::new(&[], TTL).await;
        for block in blocks(include_str!("../transcripts/a-no-fleetd.txt")) {
            replay(&cluster, &block).await;
        }
    });
}

#[test]
fn parts_b_c_and_e_on_two_machines() {
    on_one_thread(async {
        let mut cluster = Cluster::new(&TWO_MACHINES, TTL).await;
        cluster.write("bad.service", "[Service]\nExecStart\n");
        cluster.write("plain", "[Service]\nExecStart=/bin/true\n");
        cluster.write("global.service", "[Service]\nExecStart=/bin/sleep 1000\n\n[X-Fleet]\nGlobal=true\n");
        for machine in &mut cluster.machines {
            machine.start_by_hand().await;
        }
        let recorded =
            [include_str!("../transcripts/b-two-machines.txt"), include_str!("../transcripts/c-e-odds-and-ends.txt")];
        for block in recorded.into_iter().flat_map(blocks) {
            replay(&cluster, &block).await;
        }
    });
}

#[test]
fn parts_f_and_g_with_global_units_that_outlive_a_killed_fleetd_and_a_lost_registry() {
    on_one_thread(async {
        let machines = [
            ("cd88db6df5304cc58e287bd805d577a5", "172.30.0.10", "group=web,host=web_1"),
            ("41e8c064e7b047ada26ac25d3f3aec9d", "172.30.0.11", "group=web,host=web_2"),
        ];
        let mut cluster = Cluster::new(&machines, TTL).await;
        for host in ["web_1", "web_2"] {
            let name = format!("demo-production-{host}-1a2b3c4d");
            cluster.write(&format!("{name}.service"), &recorded_unit(&name, host));
        }
        let tied = |command: &str, host: &str| {
            format!("[Service]\nExecStart={command}\n\n[X-Fleet]\nGlobal=true\nMachineMetadata=host={host}\n")
        };
        cluster.write("nowhere.service", &tied("/bin/sleep 1000", "web_9"));
        cluster.write("dies.service", &tied("/bin/sh -c 'sleep 1; exit 3'", "web_1"));
        for machine in &mut cluster.machines {
            machine.start_by_hand().await;
        }
        for block in blocks(include_str!("../transcripts/f-global-units.txt")) {
            replay(&cluster, &block).await;
        }
        let process = cluster.machines[0].systemd.process(WEB_1);
        assert!(process.is_some());
        for block in blocks(include_str!("../transcripts/g-killed-and-emptied.txt")) {
            let told = |what: &str| block.notes.iter().any(|note| note.starts_with(what));
            if told("SIGKILL fleetd (Restart=always)") {
                cluster.machines[0].kill();
                cluster.machines[0].start_alone();
            } else if told("on both hosts: a drop-in Restart=no") {
                cluster.machines.iter_mut().for_each(|machine| machine.kill());
            } else if told("on both hosts: drop-in removed") {
                for machine in &mut cluster.machines {
                    machine.start_by_hand().await;
                }
            }
            assert_eq!(cluster.machines[0].systemd.process(WEB_1), process, "before `{}`", block.command);
            replay(&cluster, &block).await;
        }
    });
}

/// The unit that part F shows of web_2; its hash there is the proof.
fn recorded_unit(name: &str, host: &str) -> String {
    format!(
        "[Unit]\nDescription=demo {host}\nAfter=docker.service\n\n\
         [Service]\nTimeoutStartSec=0\nRestart=on-failure\nRestartSec=1\n\
         ExecStartPre=-/usr/bin/docker rm -f {name}\n\
         ExecStartPre=/usr/bin/docker pull 127.0.0.1:5005/acme/hello:v1\n\
         ExecStart=/usr/bin/docker run --rm --name {name} --publish 80:5000 127.0.0.1:5005/acme/hello:v1\n\
         ExecStop=/usr/bin/docker stop {name}\n\n\
         [X-Fleet]\nGlobal=true\nMachineMetadata=host={host}\n"
    )
}

/// Carries out one recorded command in the cluster and compares.
async fn replay(cluster: &Cluster, block: &Block) {
    let words: Vec<String> = block.command.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut answer = match &words[..] {
        ["fleetctl" | "../bin/fleetctl", args @ ..] => fleetctl(cluster, args).await,
        ["curl", .., url] => said(&get(cluster, url).await),
        ["ls", "/run/fleet/units"] => said(&(cluster.machines[0].unit_files().join("\n") + "\n")),
        ["sleep", _] => {
            cluster.settle().await;
            said("")
        }
        // Whether the process is still the same one is asserted by the test itself.
        ["docker", "inspect", ..] => said(RECORDED_PROCESS),
        ["rm", "-rf", "/var/lib/etcd/member"] => {
            cluster.etcd.wipe();
            said("")
        }
        ["systemctl", ..] => said(""),
        _ => panic!("no idea how to replay `{}`", block.command),
    };
    let mut expected = Answer { exit: block.exit, stdout: block.stdout.clone(), stderr: without_times(&block.stderr) };
    if expected.stdout.starts_with("NAME:\n") {
        // The usage is in words of our own; that it is printed, and of which command, is not.
        let head = |text: &str| text.split(" - ").next().unwrap().to_owned();
        (expected.stdout, answer.stdout) = (head(&expected.stdout), head(&answer.stdout));
    }
    assert_eq!(answer, expected, "`{}`", block.command);
}

fn said(stdout: &str) -> Answer {
    Answer { exit: 0, stdout: stdout.to_owned(), stderr: String::new() }
}

/// Runs fleetctl with this cluster's addresses in place of the recorded ones, and puts those back into what it says.
async fn fleetctl(cluster: &Cluster, args: &[&str]) -> Answer {
    let socket = cluster.socket().display().to_string();
    let addresses = [
        (&*cluster.etcd.address, "127.0.0.1:2379"),
        (&*cluster.nobody, "127.0.0.1:2399"),
        (&*socket, "/var/run/fleet.sock"),
    ];
    let here = |text: &str| addresses.iter().fold(text.to_owned(), |text, (ours, theirs)| text.replace(theirs, ours));
    let there = |text: &str| addresses.iter().fold(text.to_owned(), |text, (ours, theirs)| text.replace(ours, theirs));
    let args: Vec<String> = args.iter().map(|arg| here(arg)).collect();
    let answer = cluster.fleetctl(&args.iter().map(String::as_str).collect::<Vec<_>>()).await;
    Answer { stderr: without_times(&there(&answer.stderr)), ..answer }
}

async fn get(cluster: &Cluster, url: &str) -> String {
    let path = url.strip_prefix("http://f").unwrap();
    let answer = Endpoint::Unix(cluster.socket()).request(Method::GET, path, None).await.unwrap();
    String::from_utf8(answer.into_body().into()).unwrap()
}

/// The text without the times that fleetctl puts before its own log lines (`2026/11/22 16:22:07 ERROR …`).
fn without_times(text: &str) -> String {
    const TIME: usize = "2026/11/22 16:22:07 ".len();
    let timed = |line: &str| line.as_bytes().get(4) == Some(&b'/') && line.as_bytes().get(7) == Some(&b'/');
    text.split_inclusive('\n').map(|line| if timed(line) { &line[TIME..] } else { line }).collect()
}
