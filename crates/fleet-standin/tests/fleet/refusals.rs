//! What the stand-in does not do it says, with an exit code that fleet never uses; and the mistakes that fleet lets pass, pass.

use std::time::Duration;

use crate::cluster::{Answer, Cluster, on_one_thread};

const REFUSED: i32 = 70;
const GLOBAL: &str = "[Service]\nExecStart=/bin/sleep 1\n\n[X-Fleet]\nGlobal=true\n";

async fn cluster() -> Cluster {
    let mut cluster = Cluster::new(&[("0123", "10.0.0.1", "host=web_1")], Duration::from_secs(30)).await;
    cluster.machines[0].start_by_hand().await;
    cluster
}

#[test]
fn units_that_would_need_a_scheduler_are_refused_before_anything_is_stored() {
    on_one_thread(async {
        let cluster = cluster().await;
        cluster.write("scheduled.service", "[Service]\nExecStart=/bin/sleep 1\n");
        cluster.write("with.service", &format!("{GLOBAL}Conflicts=b*\n"));
        cluster.write("t@.service", GLOBAL);
        for (args, what) in [
            (["start", "scheduled.service"], "scheduled units"),
            (["load", "with.service"], "`Conflicts=` in [X-Fleet]"),
            (["submit", "t@.service"], "templates"),
            (["start", "t@1.service"], "templates"),
        ] {
            let Answer { exit, stdout, stderr } = cluster.fleetctl(&args).await;
            assert_eq!((exit, &*stdout), (REFUSED, ""), "{args:?}");
            assert!(stderr.contains("stand-in does not do") && stderr.contains(what), "{stderr}");
        }
        assert_eq!(cluster.fleetctl(&["list-unit-files", "--no-legend"]).await.stdout, "");
    });
}

#[test]
fn commands_and_flags_that_would_need_ssh_or_tls_are_refused() {
    on_one_thread(async {
        let cluster = cluster().await;
        for args in [
            &["ssh", "0123"][..],
            &["restart", "a.service"],
            &["fd-forward", "/x"],
            &["--tunnel=10.0.0.1", "list-units"],
            &["--ca-file=/x", "list-units"],
            &["--endpoint=https://10.0.0.1", "list-units"],
        ] {
            let answer = cluster.fleetctl(args).await;
            assert_eq!(answer.exit, REFUSED, "{args:?}");
            assert!(answer.stderr.contains("stand-in"), "{answer:?}");
        }
    });
}

#[test]
fn a_unit_that_another_client_put_there_is_not_run_and_not_started() {
    on_one_thread(async {
        let cluster = cluster().await;
        let hash = [1_u8; 20];
        let name: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let prefix = "/_coreos.com/fleet";
        cluster.etcd.put(&format!("{prefix}/unit/{name}"), r#"{"Raw":"[Service]\nExecStart=/bin/true\n"}"#);
        let object = format!(r#"{{"Name":"foreign.service","UnitHash":{hash:?}}}"#);
        cluster.etcd.put(&format!("{prefix}/job/foreign.service/object"), &object);
        cluster.etcd.put(&format!("{prefix}/job/foreign.service/target-state"), "launched");
        cluster.settle().await;
        assert_eq!(cluster.machines[0].unit_files(), [""; 0]);
        assert!(cluster.machines[0].logged().iter().any(|line| line.contains("scheduled units")));
        assert_eq!(cluster.fleetctl(&["start", "foreign.service"]).await.exit, REFUSED);
        assert_eq!(cluster.fleetctl(&["destroy", "foreign.service"]).await.stdout, "Destroyed foreign.service\n");
    });
}

#[test]
fn another_text_is_silently_kept_out_unless_it_is_to_replace() {
    on_one_thread(async {
        let cluster = cluster().await;
        cluster.write("a.service", GLOBAL);
        let start = cluster.fleetctl(&["start", "--no-block", "a.service"]).await;
        assert_eq!(start.stdout, "Unit a.service \nTriggered global unit a.service start\n");
        cluster.settle().await;

        cluster.write("a.service", &GLOBAL.replace("sleep 1", "sleep 2"));
        let again = cluster.fleetctl(&["start", "--no-block", "a.service"]).await;
        let warning =
            "WARNING: Unit a.service in registry differs from local unit file a.service. Add --replace to override.\n";
        assert_eq!(again, Answer { exit: 0, stdout: String::new(), stderr: warning.to_owned() });
        assert!(cluster.fleetctl(&["cat", "a.service"]).await.stdout.contains("sleep 1\n"));

        let submit = cluster.fleetctl(&["submit", "--replace", "a.service"]).await;
        let warning = "Warning: can not replace Unit(a.service) in state 'launched', use the appropriate command\n";
        assert_eq!(submit, Answer { exit: 0, stdout: String::new(), stderr: warning.to_owned() });

        let process = cluster.machines[0].systemd.process("a.service");
        let replace = ["start", "--replace", "--no-block", "a.service"];
        assert_eq!(cluster.fleetctl(&replace).await.exit, 0);
        cluster.settle().await;
        assert_ne!(cluster.machines[0].systemd.process("a.service"), process);
        assert!(cluster.fleetctl(&["cat", "a.service"]).await.stdout.contains("sleep 2\n"));
        let same = cluster.fleetctl(&replace).await;
        assert_eq!(same.stdout, "Found same Unit(a.service) in Registry, nothing to do\n");
    });
}

#[test]
fn mistakes_of_the_command_line_print_an_error_and_exit_0() {
    on_one_thread(async {
        let cluster = cluster().await;
        for (args, message) in [
            (&["list-units", "--foo"][..], "unknown flag: --foo"),
            (&["list-units", "--fields"], "flag needs an argument: --fields"),
            (&["--no-legend", "list-units"], "unknown flag: --no-legend"),
        ] {
            let answer = cluster.fleetctl(args).await;
            let stderr = format!("Error: {message}\n\ncannot execute cmdFleet: {message}\n");
            assert_eq!((answer.exit, answer.stderr), (0, stderr), "{args:?}");
            assert!(answer.stdout.starts_with("NAME:\n"));
        }
    });
}
