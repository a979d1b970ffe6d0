//! What becomes of machines and their units when fleetd or etcd goes away, with every loop running by itself.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, on_one_thread};
use crate::transcript::blocks;

const LIST_MACHINES: [&str; 4] = ["list-machines", "--no-legend", "--full", "--fields=machine"];
const LIST_UNITS: [&str; 4] = ["list-units", "--no-legend", "--full", "--fields=unit,active"];
const UNIT: &str = "a.service";
const RUNNING: &str = "a.service\tactive\n";

async fn one_machine(ttl: Duration) -> Cluster {
    let cluster = Cluster::new(&[("0123456789abcdef0123456789abcdef", "10.0.0.1", "host=web_1")], ttl).await;
    cluster.write(UNIT, "[Service]\nExecStart=/bin/sleep 1000\n\n[X-Fleet]\nGlobal=true\nMachineMetadata=host=web_1\n");
    cluster
}

/// One machine that runs one unit, and the process of it.
async fn one_machine_with_a_unit(ttl: Duration) -> (Cluster, u32) {
    let mut cluster = one_machine(ttl).await;
    cluster.machines[0].start_alone();
    cluster.until(&LIST_MACHINES, &listed(&cluster)).await;
    assert_eq!(cluster.fleetctl(&["start", "--no-block", UNIT]).await.exit, 0);
    cluster.until(&LIST_UNITS, RUNNING).await;
    let process = cluster.machines[0].systemd.process(UNIT).unwrap();
    (cluster, process)
}

fn listed(cluster: &Cluster) -> String {
    format!("{}\n", cluster.machines[0].id)
}

#[test]
fn a_change_is_acted_upon_long_before_the_next_look_but_not_at_once() {
    on_one_thread(async {
        let (cluster, _) = one_machine_with_a_unit(Duration::from_secs(30)).await;
        assert_eq!(cluster.fleetctl(&["stop", UNIT]).await.exit, 0);
        assert_eq!(cluster.fleetctl(&LIST_UNITS).await.stdout, RUNNING, "the row lags behind");
        let asked = Instant::now();
        cluster.until(&LIST_UNITS, "a.service\tinactive\n").await;
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    });
}

#[test]
fn a_killed_fleetd_is_refused_until_its_old_entry_expires_and_keeps_its_units() {
    on_one_thread(async {
        let (mut cluster, process) = one_machine_with_a_unit(Duration::from_secs(3)).await;
        cluster.machines[0].kill();
        let before = cluster.machines[0].logged().len();
        cluster.machines[0].start_alone();
        let refused = cluster.fleetctl(&LIST_MACHINES).await;
        assert_eq!(refused.exit, 1);
        assert!(refused.stderr.contains("googleapi: Error 503: fleet server unable to communicate with etcd"));
        cluster.until(&LIST_MACHINES, &listed(&cluster)).await;
        cluster.until(&LIST_UNITS, RUNNING).await;
        assert_eq!(cluster.machines[0].systemd.process(UNIT), Some(process));

        let logged = cluster.machines[0].logged()[before..].to_vec();
        let recorded = blocks(include_str!("../transcripts/g-journal.txt")).remove(0).stdout;
        let same = |line: &str| {
            let (head, tail) =
                line.split_once(" [").map_or((line, ""), |(head, tail)| (head, tail.split_once(']').unwrap().1));
            format!("{}{tail}", head.replace("cd88db6df5304cc58e287bd805d577a5", &cluster.machines[0].id))
        };
        // With an entry of three seconds, the attempts after none, one and three seconds of pause are enough.
        let attempts = logged.iter().take_while(|line| !line.contains("success")).count();
        assert!((2..=4).contains(&attempts), "{logged:#?}");
        for (line, recorded) in logged.iter().zip(recorded.lines()).take(attempts) {
            assert_eq!(same(line), same(recorded));
        }
        assert_eq!(logged[attempts], "INFO server.go:219: hrt.Register() success");
    });
}

#[test]
fn a_machine_whose_etcd_is_dead_for_longer_than_its_entry_vanishes_and_comes_back_by_itself() {
    on_one_thread(async {
        let (cluster, process) = one_machine_with_a_unit(Duration::from_secs(1)).await;
        let through_etcd = ["--driver=etcd", "--endpoint", &cluster.etcd.url(), "list-machines", "--no-legend"];
        cluster.etcd.set_dead(true);
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let cut_off = cluster.fleetctl(&LIST_MACHINES).await;
        assert!(cut_off.stderr.contains("Error 503"), "{cut_off:?}");
        cluster.etcd.set_dead(false);
        assert_eq!(cluster.fleetctl(&through_etcd).await.stdout, "");
        cluster.until(&LIST_MACHINES, &listed(&cluster)).await;
        cluster.until(&LIST_UNITS, RUNNING).await;
        assert_eq!(cluster.machines[0].systemd.process(UNIT), Some(process));
        assert!(cluster.machines[0].logged().iter().any(|line| line.ends_with("hrt.Beat() success")));
    });
}

#[test]
fn an_empty_registry_stops_everything_within_ten_seconds() {
    on_one_thread(async {
        let (cluster, _) = one_machine_with_a_unit(Duration::from_secs(30)).await;
        cluster.etcd.wipe();
        let emptied = Instant::now();
        while cluster.machines[0].systemd.process(UNIT).is_some() {
            assert!(emptied.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(cluster.machines[0].unit_files(), [""; 0]);
    });
}

#[test]
fn a_registry_that_cannot_be_read_stops_nothing() {
    on_one_thread(async {
        let (cluster, process) = one_machine_with_a_unit(Duration::from_secs(30)).await;
        cluster.etcd.set_dead(true);
        cluster.settle().await;
        assert_eq!(cluster.machines[0].systemd.process(UNIT), Some(process));
    });
}

#[test]
fn a_fleetd_that_is_told_to_end_stops_its_units_and_leaves() {
    on_one_thread(async {
        let (mut cluster, _) = one_machine_with_a_unit(Duration::from_secs(30)).await;
        cluster.machines[0].leave().await;
        assert_eq!(cluster.machines[0].systemd.process(UNIT), None);
        assert_eq!(cluster.machines[0].unit_files(), [""; 0]);
        let url = cluster.etcd.url();
        let etcd = ["--driver=etcd", "--endpoint", &url, "--etcd-key-prefix=/_coreos.com/fleet"];
        for list in ["list-machines", "list-units"] {
            assert_eq!(cluster.fleetctl(&[&etcd[..], &[list, "--no-legend"]].concat()).await.stdout, "");
        }
    });
}

#[test]
fn a_list_that_does_not_fit_a_page_is_whole() {
    on_one_thread(async {
        let mut cluster = one_machine(Duration::from_secs(30)).await;
        cluster.machines[0].start_by_hand().await;
        let names: Vec<String> = (0..200).map(|n| format!("u{n:03}.service")).collect();
        for name in &names {
            cluster.write(name, "[X-Fleet]\nGlobal=true\n");
        }
        let submit: Vec<&str> = ["submit"].into_iter().chain(names.iter().map(String::as_str)).collect();
        assert_eq!(cluster.fleetctl(&submit).await.exit, 0);
        let listed = cluster.fleetctl(&["list-unit-files", "--no-legend", "--fields=unit"]).await.stdout;
        assert_eq!(listed.lines().collect::<Vec<_>>(), names);
    });
}
