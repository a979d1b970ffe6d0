//! A project of two services in the lab, and runs of the binary over it as the runner starts them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use skipper_core::event::Event;
use skipper_lab::{
    Job, Outcome, Running,
    github::{Comment, Seed},
};

use crate::World;

pub(crate) const REPOSITORY: &str = "acme/shop";
pub(crate) const TOKEN: &str = "ghs_canary_token";
/// Something that looks like a secret and must not be seen anywhere.
pub(crate) const SECRET_KEY: &str = "canary-secret-access-key";

const PATIENCE: Duration = Duration::from_secs(400);

static RUNS: AtomicU64 = AtomicU64::new(1);

/// A git repository with a copy of `examples/hello`, under a name of its own.
pub(crate) struct Shop {
    pub(crate) folder: PathBuf,
    pub(crate) name: String,
}

/// A run of the binary, and what it left.
pub(crate) struct Told {
    pub(crate) outcome: Outcome,
    pub(crate) events: Vec<Event>,
    pub(crate) pull_request: u64,
}

impl Shop {
    /// A fresh copy with the lab's registry and fleet archive written in, committed once.
    pub(crate) fn make(world: &World, name: &str) -> Self {
        let folder = world.lab.folder().unwrap().join(name);
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello"), &folder);
        let shop = Self { folder, name: name.to_owned() };
        let (url, sha256) = world.lab.fleet();
        shop.replace("skipper.yml", "registry.example.com", &world.lab.topology().registry());
        shop.replace("skipper.yml", "name: hello/", &format!("name: {name}/"));
        shop.replace("skipper.yml", "name: hello\n", &format!("name: {name}\n"));
        // A release that does not answer is told soon.
        shop.replace("skipper.yml", "retries: 30", "retries: 8");
        shop.replace(
            "skipper.yml",
            "build: clock\n",
            "build: clock\n    healthcheck: {interval: 1s, timeout: 1s, retries: 8}\n",
        );
        shop.append("skipper.yml", &format!("\nfleet: {{url: \"{url}\", sha256: \"{sha256}\"}}\n"));
        shop.git(&["init", "--quiet"]);
        world.lab.github().seed(&[Seed::repository(REPOSITORY), Seed::workflow_token(TOKEN, REPOSITORY)]).unwrap();
        shop
    }

    /// Deploys nothing yet: one host.
    pub(crate) fn on_one_host(self) -> Self {
        self.replace("skipper.yml", "scale: 2", "scale: 1");
        self
    }

    pub(crate) fn replace(&self, file: &str, from: &str, to: &str) {
        let path = self.folder.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "`{file}` does not say `{from}`:\n{text}");
        fs::write(&path, text.replace(from, to)).unwrap();
    }

    pub(crate) fn append(&self, file: &str, more: &str) {
        let path = self.folder.join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text + more).unwrap();
    }

    /// Commits what is there.
    pub(crate) fn commit(&self, subject: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", subject]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=trial", "-c", "user.email=trial@example.invalid"];
        let output = Command::new("git").args(identity).args(arguments).current_dir(&self.folder).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Merges what is there by a pull request of its own.
    pub(crate) fn merge(&self, world: &World, subject: &str) -> (String, u64) {
        let sha = self.commit(subject);
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        world.lab.github().seed(&[Seed::merged_pull(REPOSITORY, number, subject, &sha)]).unwrap();
        (sha, number)
    }

    /// Commits what is there as the head of an open pull request of its own.
    pub(crate) fn open(&self, world: &World, subject: &str) -> (String, u64) {
        let sha = self.commit(subject);
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        world.lab.github().seed(&[Seed::open_pull(REPOSITORY, number, subject, &sha)]).unwrap();
        (sha, number)
    }

    /// The job of something that happened to a pull request with these labels, in its preview.
    pub(crate) fn preview_job(&self, world: &World, number: u64, sha: &str, action: &str, labels: &[&str]) -> Job {
        push(world, sha, false);
        let labels: Vec<Value> = labels.iter().map(|label| json!({"name": label})).collect();
        let event = json!({
            "action": action,
            "number": number,
            "label": labels.last().filter(|_| action == "labeled"),
            "pull_request": {
                "number": number,
                "state": if action == "closed" { "closed" } else { "open" },
                "labels": labels,
                "head": {"sha": sha, "repo": {"full_name": REPOSITORY}},
            },
            "repository": {"full_name": REPOSITORY},
        });
        let reference = format!("refs/pull/{number}/merge");
        let job = Job::new(&world.lab, &self.folder, "pull_request", REPOSITORY, &reference, sha, event);
        secretive(job).input("environment", "preview")
    }

    /// The job of a schedule.
    pub(crate) fn scheduled_job(&self, world: &World) -> Job {
        let sha = self.git(&["rev-parse", "HEAD"]);
        let event = json!({"schedule": "0 3 * * *"});
        let job = Job::new(&world.lab, &self.folder, "schedule", REPOSITORY, "refs/heads/main", &sha, event);
        secretive(job)
    }

    /// The job of a push of a commit.
    pub(crate) fn job(&self, world: &World, sha: &str) -> Job {
        push(world, sha, true);
        secretive(Job::push(&world.lab, &self.folder, REPOSITORY, sha))
    }

    /// The same, with a lease that is taken over soon.
    pub(crate) fn brisk_job(&self, world: &World, sha: &str) -> Job {
        brisk(self.job(world, sha))
    }

    /// Commits, merges and ships.
    pub(crate) fn ship(&self, world: &World, subject: &str) -> Told {
        let (sha, pull_request) = self.merge(world, subject);
        run(&self.job(world, &sha), &["ship"], pull_request)
    }

    /// Ships the same commit again, as a re-run of its workflow does.
    pub(crate) fn ship_again(&self, world: &World) -> Told {
        let sha = self.git(&["rev-parse", "HEAD"]);
        run(&self.job(world, &sha), &["ship"], 0)
    }

    /// Runs another command on the last commit.
    pub(crate) fn skipper(&self, world: &World, arguments: &[&str]) -> Told {
        let sha = self.git(&["rev-parse", "HEAD"]);
        run(&self.job(world, &sha), arguments, 0)
    }

    /// The comments on a pull request.
    pub(crate) fn comments(&self, world: &World, told: &Told) -> Vec<Comment> {
        world.lab.github().comments(REPOSITORY, told.pull_request).unwrap()
    }

    /// What the app answers on each of this project's hosts.
    pub(crate) fn answers(&self, world: &World) -> Vec<String> {
        let addresses = self.addresses(world);
        addresses
            .iter()
            .map(|address| world.lab.http_get(&format!("http://{address}/")).unwrap().success().unwrap().body)
            .collect()
    }

    /// The addresses of this project's hosts, as `ps` tells them.
    pub(crate) fn addresses(&self, world: &World) -> Vec<String> {
        let told = self.skipper(world, &["ps", "--output", "json"]);
        let table: serde_json::Value = serde_json::from_str(&told.outcome.stdout).unwrap();
        let hosts = table["hosts"].as_array().unwrap();
        hosts.iter().map(|host| host["address"].as_str().unwrap().to_owned()).collect()
    }

    /// The process ids of a service's containers, by host: what changes when one is restarted.
    pub(crate) fn processes(&self, world: &World, service: &str) -> Vec<String> {
        let list = format!(
            "docker ps -q --filter label=skipper.project={} --filter label=skipper.service={service} | xargs -r docker inspect -f '{{{{.State.Pid}}}} {{{{.Id}}}}'",
            self.name
        );
        self.hosts(world).iter().map(|host| host.exec(&list).unwrap().success().unwrap()).collect()
    }

    pub(crate) fn hosts(&self, world: &World) -> Vec<skipper_lab::Host> {
        let addresses = self.addresses(world);
        let hosts = world.lab.hosts().unwrap();
        hosts.into_iter().filter(|host| addresses.contains(&host.address)).collect()
    }
}

impl Told {
    #[track_caller]
    pub(crate) fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.outcome.code, Some(code), "\n{}", self.outcome.log);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(self.outcome.log.contains(words), "it does not say `{words}`:\n{}", self.outcome.log);
        self
    }
}

/// Pushes a commit: GitHub knows it from now on.
fn push(world: &World, sha: &str, on_default_branch: bool) {
    let repository = REPOSITORY.to_owned();
    let commit = Seed::Commit { repository, sha: sha.to_owned(), on_default_branch, checks_pending: false };
    world.lab.github().seed(&[commit]).unwrap();
}

/// The job as another run of its workflow, with what must not be told.
pub(crate) fn secretive(job: Job) -> Job {
    job.input("github-token", TOKEN)
        .variable("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .run_id(RUNS.fetch_add(1, Ordering::Relaxed))
}

/// The job with a lease that is taken over after twenty seconds in place of a minute: a beat that a busy machine still keeps.
pub(crate) fn brisk(job: Job) -> Job {
    job.variable("SKIPPER_LEASE_BEAT", "5s")
}

/// Runs the binary as the runner would, and holds what it tells to the contract.
pub(crate) fn run(job: &Job, arguments: &[&str], pull_request: u64) -> Told {
    finish(start(job, arguments), pull_request)
}

/// Starts the binary as the runner would.
pub(crate) fn start(job: &Job, arguments: &[&str]) -> Running {
    job.start(Path::new(env!("CARGO_BIN_EXE_skipper")), arguments).unwrap()
}

pub(crate) fn finish(running: Running, pull_request: u64) -> Told {
    let outcome = running.wait(PATIENCE).unwrap();
    let text = fs::read_to_string(outcome.temporary().join("events.jsonl")).unwrap_or_default();
    let events: Vec<Event> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    if !events.is_empty() {
        skipper_core::event::check(&events).unwrap();
    }
    for secret in [TOKEN, SECRET_KEY] {
        assert!(!outcome.log.contains(secret) && !text.contains(secret), "a secret was told");
    }
    Told { outcome, events, pull_request }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
