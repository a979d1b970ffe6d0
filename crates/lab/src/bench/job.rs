//! The whole job — a first deploy, an update, nothing to change — beside `benches/deploy.sh`, in turns, in one lab.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Bench;
use super::aws::AwsCli;
use super::client::Client;
use super::paired::{Paired, Sample};
use super::project::{REPOSITORY, job};
use super::table::Section;
use crate::binaries::workspace;
use crate::demo::project::{GREETING, PAGE, Project};
use crate::docker::last_lines;
use crate::github::Seed;
use crate::lab::Lab;

const PATIENCE: Duration = Duration::from_secs(600);
const TOKEN: &str = "ghs_bench";
const SCRIPT: &str = "benches/deploy.sh";
/// Between two looks at whether terminated hosts are gone.
const PAUSE: Duration = Duration::from_millis(200);

/// The three runs of a project, with the part of the script's time that skipper may take.
const STAGES: [(&str, f64); 3] =
    [("first deploy: two hosts, two services", 1.0), ("update: one service changed", 1.0), ("nothing to change", 0.5)];

/// What one run took.
#[derive(Clone, Copy)]
struct Cost {
    time: Duration,
    calls: u64,
}

/// Who ships.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Skipper,
    Script,
}

struct Contest<'a> {
    bench: &'a Bench<'a>,
    lab: &'a Lab,
    aws: AwsCli,
    client: Client,
}

pub(super) fn measure(bench: &Bench<'_>) -> Result<Section> {
    let lab = bench.lab()?;
    let aws = bench.clock.measure("installing the `aws` command line", AwsCli::install)?;
    let contest = Contest { bench, lab, aws, client: Client::find(lab)? };
    lab.github().seed(&[Seed::repository(REPOSITORY), Seed::workflow_token(TOKEN, REPOSITORY)])?;
    contest.warm_up()?;

    let mut times: [Paired; 3] = Default::default();
    let mut calls: [[Sample; 2]; 3] = Default::default();
    for run in 0..bench.runs {
        // Who comes second finds a warmer machine: in turns that, too.
        let sides = if run % 2 == 0 { [Side::Skipper, Side::Script] } else { [Side::Script, Side::Skipper] };
        let mut costs = [[Cost { time: Duration::ZERO, calls: 0 }; 3]; 2];
        for side in sides {
            costs[side as usize] = contest.life(side, run)?;
        }
        for stage in 0..STAGES.len() {
            times[stage].push(costs[0][stage].time, costs[1][stage].time);
            for side in 0..2 {
                calls[stage][side].push(costs[side][stage].calls as f64);
            }
        }
    }

    let mut section = Section::new(
        "The whole job",
        &["what", "skipper", "script", "ratio", "AWS calls of skipper", "AWS calls of the script"],
    );
    section.say(format!(
        "`skipper ship` beside [{SCRIPT}](../{SCRIPT}) with {} and {}: the same project (`examples/hello`), images, hosts, security groups, etcd, fleet and \
         health checks, each on fresh hosts, with the base layers of the images in the engine's cache. The script is a careful one: it builds side by side, \
         looks every second where the waiters of `aws` pause for five and fifteen, and serves both hosts by one command where it can. \
         skipper also comments on the pull request, records the release, keeps containers from etcd, and proves by a second look what it says; the script does none of that.",
        contest.aws.version()?,
        contest.client.describe(),
    ));
    for (stage, (what, limit)) in STAGES.into_iter().enumerate() {
        let cells = [what.to_owned()].into_iter().chain(times[stage].cells());
        let cells = cells.chain(calls[stage].iter().map(|calls| format!("{:.0}", calls.median())));
        let ratio = times[stage].ratios().median();
        let wanted = if limit < 1.0 { format!("at most {limit}") } else { "below 1".to_owned() };
        section.held_row(cells, &wanted, if limit < 1.0 { ratio <= limit } else { ratio < 1.0 });
    }
    Ok(section)
}

impl Contest<'_> {
    /// Builds the images once, so that the base layers are in the engine's cache for whoever comes first.
    fn warm_up(&self) -> Result<()> {
        let project = Project::make(self.lab, "bench-warm")?;
        self.bench.clock.measure("building the images once", || {
            ["web", "clock"].into_iter().try_for_each(|service| {
                let image = format!("{}/bench-warm/{service}:warm", self.lab.topology().registry());
                self.client.build_and_push(&image, &project.folder().join(service))
            })
        })
    }

    /// A project from its first deploy to its end.
    fn life(&self, side: Side, run: usize) -> Result<[Cost; 3]> {
        let name = format!(
            "{}{run}",
            match side {
                Side::Skipper => "skipper",
                Side::Script => "script",
            }
        );
        let project = Project::make(self.lab, &name)?;
        // Neither side finds what another run has built.
        project.replace(PAGE, GREETING, &format!("first of {name}"))?;
        project.replace("clock/site/cgi-bin/index.cgi", "clock:", &format!("clock of {name}:"))?;
        let first = self.ship(side, &name, &project, STAGES[0].0, &format!("first of {name}"))?;
        project.replace(PAGE, &format!("first of {name}"), &format!("second of {name}"))?;
        let update = self.ship(side, &name, &project, STAGES[1].0, &format!("second of {name}"))?;
        let nothing = self.again(side, &name, &project, STAGES[2].0, &format!("second of {name}"))?;
        self.end()?;
        Ok([first, update, nothing])
    }

    fn ship(&self, side: Side, name: &str, project: &Project, what: &str, page: &str) -> Result<Cost> {
        project.commit(page)?;
        self.again(side, name, project, what, page)
    }

    /// Ships the last commit, and sees that both hosts serve it.
    fn again(&self, side: Side, name: &str, project: &Project, what: &str, page: &str) -> Result<Cost> {
        let sha = project.head()?;
        self.lab.cloud().clear_calls()?;
        let time =
            self.bench.clock.measure(
                &format!("{what}: {}", name.trim_end_matches(char::is_numeric)),
                || match side {
                    Side::Skipper => self.skipper(project, &sha),
                    Side::Script => self.script(name, project, &sha),
                },
            )?;
        let calls = self.lab.cloud().calls()?.values().sum();
        let hosts = self.lab.hosts()?;
        if hosts.len() != 2 {
            bail!("there are {} hosts after `{what}`, and not two", hosts.len());
        }
        for host in hosts {
            let answer = self.lab.http_get(&format!("http://{}/", host.address))?.success()?;
            if !answer.body.contains(page) {
                bail!("`{}` does not serve `{page}` after `{what}`:\n{}", host.address, answer.body);
            }
        }
        Ok(Cost { time, calls })
    }

    fn skipper(&self, project: &Project, sha: &str) -> Result<Duration> {
        let job = job(self.lab, project.folder(), sha).input("github-token", TOKEN);
        let began = Instant::now();
        let outcome = job.start(&self.bench.skipper, &["ship"])?.wait(PATIENCE)?;
        let took = began.elapsed();
        if outcome.code != Some(0) {
            bail!("`skipper ship` failed:\n{}", outcome.log);
        }
        Ok(took)
    }

    fn script(&self, name: &str, project: &Project, sha: &str) -> Result<Duration> {
        let home = tempfile::tempdir().context("making a home for the script")?;
        let path = std::env::join_paths(
            std::iter::once(self.aws.bin()).chain(std::env::split_paths(&self.client.search_path())),
        )
        .context("making the search path of the script")?;
        let (url, sha256) = self.lab.fleet();
        let mut command = Command::new(workspace().join(SCRIPT));
        command
            .arg(sha)
            .current_dir(project.folder())
            .env_clear()
            .env("PATH", path)
            .env("HOME", home.path())
            .envs(std::env::var_os("DOCKER_HOST").map(|host| ("DOCKER_HOST", host)))
            .envs(AwsCli::environment(self.lab))
            .envs([
                ("APP", name),
                ("REGISTRY", &self.lab.topology().registry()),
                ("FLEET_URL", &url),
                ("FLEET_SHA256", sha256),
            ])
            .stdin(Stdio::null());
        let began = Instant::now();
        let output = command.output().with_context(|| format!("starting `{SCRIPT}`"))?;
        let took = began.elapsed();
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            bail!("`{SCRIPT}` failed: {}", last_lines(&String::from_utf8_lossy(&said), 40));
        }
        Ok(took)
    }

    /// Terminates all hosts, and waits until they are gone.
    fn end(&self) -> Result<()> {
        let instances: Vec<String> = self.lab.hosts()?.into_iter().map(|host| host.instance).collect();
        self.bench.clock.time("terminating hosts", || {
            self.aws.terminate(self.lab, &instances)?;
            let began = Instant::now();
            while !self.lab.hosts()?.is_empty() {
                if began.elapsed() > PATIENCE {
                    bail!("the terminated hosts are still there");
                }
                sleep(PAUSE);
            }
            Ok(())
        })
    }
}
