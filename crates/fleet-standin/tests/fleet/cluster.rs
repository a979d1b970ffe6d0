//! Machines with a fleetd each over one etcd, and fleetctl as a process on the first of them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet_standin::Log;
use fleet_standin::fleetd::{Config, Fleetd};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::process::Command;
use tokio::task::{JoinHandle, LocalSet};

use crate::etcd::Etcd;
use crate::systemd::FakeSystemd;

/// Runs a test on one thread, as the programs themselves run.
pub(crate) fn on_one_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

/// What fleetctl answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// One machine. It outlives its fleetd, as systemd and the units' files do.
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) systemd: FakeSystemd,
    config: Config,
    socket: PathBuf,
    fleetd: Option<Rc<Fleetd>>,
    tasks: Vec<JoinHandle<()>>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Machine {
    /// Starts fleetd, waits until it is registered, and leaves its agent to [`Cluster::settle`].
    pub(crate) async fn start_by_hand(&mut self) {
        let fleetd = self.start(|_| async {});
        fleetd.register().await;
        fleetd.answer();
        self.fleetd = Some(fleetd);
    }

    /// Starts fleetd as it is.
    pub(crate) fn start_alone(&mut self) {
        let fleetd = self.start(|fleetd| async move {
            fleetd.register().await;
            fleetd.run().await;
        });
        self.fleetd = Some(fleetd);
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.tasks.drain(..).for_each(|task| task.abort());
        self.fleetd = None;
    }

    /// SIGTERM.
    pub(crate) async fn leave(&mut self) {
        let fleetd = self.fleetd.take().unwrap();
        self.tasks.drain(..).for_each(|task| task.abort());
        fleetd.leave().await;
    }

    /// Names of the unit files that fleet has written.
    pub(crate) fn unit_files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.config.units_directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// What its fleetds have logged so far.
    pub(crate) fn logged(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    fn start<F: Future<Output = ()> + 'static>(&mut self, work: impl FnOnce(Rc<Fleetd>) -> F) -> Rc<Fleetd> {
        std::fs::remove_file(&self.socket).ok();
        let listener = UnixListener::bind(&self.socket).unwrap();
        let log = Log::into_lines(self.log.clone());
        let systemd = Box::new(self.systemd.clone());
        let fleetd = Rc::new(Fleetd::new(&self.config, &self.id, systemd, log).unwrap());
        let server = fleetd.clone();
        self.tasks.push(tokio::task::spawn_local(async move { server.serve(listener).await }));
        self.tasks.push(tokio::task::spawn_local(work(fleetd.clone())));
        fleetd
    }
}

/// Everything of one test.
pub(crate) struct Cluster {
    pub(crate) etcd: Etcd,
    pub(crate) machines: Vec<Machine>,
    /// Where fleetctl is run.
    pub(crate) files: PathBuf,
    /// An address where nobody listens.
    pub(crate) nobody: String,
    dir: TempDir,
}

impl Cluster {
    /// Machines that have not been started, each of an id, an address and metadata.
    pub(crate) async fn new(machines: &[(&str, &str, &str)], ttl: Duration) -> Self {
        let dir = TempDir::new().unwrap();
        let etcd = Etcd::start().await;
        let machine = |(id, ip, metadata): &(&str, &str, &str)| {
            let text = format!(
                "etcd_servers=[\"{}\"]\npublic_ip={ip}\nmetadata=\"{metadata}\"\nagent_ttl={}ms\nunits_directory={}\n",
                etcd.url(),
                ttl.as_millis(),
                dir.path().join(ip).join("units").display()
            );
            Machine {
                id: (*id).to_owned(),
                systemd: FakeSystemd::default(),
                config: Config::read(&text, |_| None).unwrap(),
                socket: dir.path().join(format!("{ip}.sock")),
                fleetd: None,
                tasks: Vec::new(),
                log: Arc::default(),
            }
        };
        let machines = machines.iter().map(machine).collect();
        let files = dir.path().join("files");
        std::fs::create_dir(&files).unwrap();
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        Self { etcd, machines, files, nobody, dir }
    }

    /// Writes a unit file where fleetctl is run.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.files.join(name), text).unwrap();
    }

    /// The socket of the first machine's fleetd.
    pub(crate) fn socket(&self) -> PathBuf {
        self.machines.first().map_or_else(|| self.dir.path().join("fleet.sock"), |machine| machine.socket.clone())
    }

    /// Lets time pass: every registered machine looks once at the registry, publishes, and its units go on.
    pub(crate) async fn settle(&self) {
        for machine in &self.machines {
            if let Some(fleetd) = &machine.fleetd {
                fleetd.agent().reconcile().await;
                fleetd.agent().publish().await;
                machine.systemd.advance();
            }
        }
    }

    /// Runs fleetctl on the first machine.
    pub(crate) async fn fleetctl(&self, args: &[&str]) -> Answer {
        fleetctl(args, &self.files, &self.socket()).await
    }

    /// Runs fleetctl until its standard output is `stdout`.
    pub(crate) async fn until(&self, args: &[&str], stdout: &str) {
        let wait = async {
            while self.fleetctl(args).await.stdout != stdout {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(15), wait).await.is_err() {
            panic!("`{}` never printed {stdout:?} but {:?}", args.join(" "), self.fleetctl(args).await);
        }
    }
}

async fn fleetctl(args: &[&str], dir: &Path, socket: &Path) -> Answer {
    let output = Command::new(env!("CARGO_BIN_EXE_fleet-standin"))
        .arg0("/usr/bin/fleetctl")
        .args(args)
        .env_clear()
        .env("FLEETCTL_ENDPOINT", format!("unix://{}", socket.display()))
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    Answer {
        exit: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
