//! A lab: started, looked at, used and taken down.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::binaries::{Binaries, target_folder};
use crate::clock::Clock;
use crate::cloud::Cloud;
use crate::docker::{self, docker, docker_with_input, lines, succeeds};
use crate::fleet::{self, Archive};
use crate::github;
use crate::guard::Guard;
use crate::host::{self, Host};
use crate::http::{Answer, Http};
use crate::images::{self, Images};
use crate::topology::{INDEX_LABEL, LABEL, Name, Part, RECIPE_LABEL, Topology};

/// How long a part may take from its start to its first answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two looks at something that is awaited.
const PAUSE: Duration = Duration::from_millis(50);
/// The region that the lab speaks of as its own.
pub const REGION: &str = "us-east-1";
/// The account whose credentials the lab accepts; it accepts any.
pub const ACCOUNT: &str = "123456789012";

/// What lab to start.
#[derive(Debug, Clone)]
pub struct Options {
    name: Name,
    fleet: Option<String>,
    ephemeral: bool,
    with_skipper: bool,
}

impl Options {
    /// A lab that stays until it is taken down; one that runs is used again.
    ///
    /// # Errors
    /// When `name` would not do in the names of containers.
    pub fn lasting(name: &str) -> Result<Self> {
        Ok(Self {
            name: Name::new(name)?,
            fleet: None,
            ephemeral: false,
            with_skipper: false,
        })
    }

    /// A lab that starts empty and is gone with the process that started it, even when that is killed. Drop the
    /// [`Lab`] before ending the process, to have waited for it.
    ///
    /// # Errors
    /// When `name` would not do in the names of containers.
    pub fn ephemeral(name: &str) -> Result<Self> {
        Ok(Self {
            ephemeral: true,
            ..Self::lasting(name)?
        })
    }

    /// With a freshly compiled skipper, which takes minutes the first time.
    #[must_use]
    pub fn with_skipper(self) -> Self {
        Self {
            with_skipper: true,
            ..self
        }
    }

    /// The fleet archive at a path or an http(s) address, in place of the stand-in.
    #[must_use]
    pub fn fleet(self, source: Option<String>) -> Self {
        Self {
            fleet: source,
            ..self
        }
    }
}

/// A running lab.
#[derive(Debug)]
pub struct Lab {
    topology: Topology,
    http: Arc<Http>,
    skipper: Option<PathBuf>,
    fleet_sha256: String,
    /// Last, so that everything else is gone when it is told.
    _guard: Option<Guard>,
}

impl Lab {
    /// Starts a lab: builds what is missing, says what it does, and returns when every part answers.
    ///
    /// # Errors
    /// When Docker is missing, something cannot be built, or a part does not start.
    pub fn up(options: &Options, clock: &Clock) -> Result<Self> {
        docker::check()?;
        let (binaries, images) = std::thread::scope(|scope| {
            let images = scope.spawn(|| Images::build(clock));
            let what = if options.with_skipper {
                "compiling skipper, the fleet stand-in and the lab"
            } else {
                "compiling the fleet stand-in and the lab"
            };
            let binaries = clock.measure(what, || Binaries::build(options.with_skipper));
            match images.join() {
                Ok(images) => (binaries, images),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        });
        let (binaries, images) = (binaries?, images?);
        let github_image = images::import(clock, &binaries.lab)?;
        let archive = clock.time("packing the fleet archive", || match &options.fleet {
            Some(source) => Archive::from(source),
            None => Archive::stand_in(&binaries.fleet),
        })?;
        let recipe = [
            images.host.as_str(),
            &images.cloud,
            &images.registry,
            &github_image,
            &archive.sha256,
        ]
        .join(" ");

        let guard = options
            .ephemeral
            .then(|| Guard::start(&binaries.lab, &options.name))
            .transpose()?;
        let http = Arc::new(Http::new()?);
        if let Some(topology) = find(&options.name)? {
            let same =
                !options.ephemeral && runs(&topology)? && label(&topology, RECIPE_LABEL)? == recipe;
            if same {
                clock.say(&format!("the lab `{}` is up already", topology.name));
                return Ok(Self {
                    topology,
                    http,
                    skipper: binaries.skipper,
                    fleet_sha256: archive.sha256,
                    _guard: guard,
                });
            }
        }
        if remnants(&options.name)? {
            clock.measure(
                &format!("removing what an earlier lab `{}` left", options.name),
                || down(&options.name),
            )?;
        }

        let topology = clock.measure("making the network", || network(&options.name, &recipe))?;
        let lab = Self {
            topology,
            http,
            skipper: binaries.skipper,
            fleet_sha256: archive.sha256.clone(),
            _guard: guard,
        };
        let started = clock
            .measure("starting the registry", || lab.start_registry(&images))
            .and_then(|()| {
                clock.measure("starting GitHub", || {
                    lab.start_github(&github_image, &archive)
                })
            })
            .and_then(|()| clock.measure("starting the cloud", || lab.start_cloud(&images)))
            .and_then(|()| clock.measure("waiting for all of them", || lab.wait()));
        started.with_context(|| {
            format!(
                "starting the lab `{0}` (`cargo lab down --name {0}` removes what was started)",
                lab.topology.name
            )
        })?;
        clock.say(&format!("the lab `{}` is up", lab.topology.name));
        Ok(lab)
    }

    /// The lab called `name` that is up.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(name: &str) -> Result<Self> {
        docker::check()?;
        let name = Name::new(name)?;
        let Some(topology) = find(&name)? else {
            bail!("there is no lab `{name}`\nhint: `cargo lab up --name {name}` starts it");
        };
        let recipe = label(&topology, RECIPE_LABEL)?;
        Ok(Self {
            topology,
            http: Arc::new(Http::new()?),
            skipper: None,
            fleet_sha256: recipe.rsplit(' ').next().unwrap_or_default().to_owned(),
            _guard: None,
        })
    }

    /// The names and addresses of its parts.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The fresh skipper, where [`Options::with_skipper`] asked for it.
    ///
    /// # Errors
    /// Where it did not.
    pub fn skipper(&self) -> Result<&Path> {
        self.skipper
            .as_deref()
            .context("skipper was not compiled for this lab")
    }

    /// The fleet archive, as `skipper.yml` names it: its address, and its SHA-256 in hexadecimal.
    #[must_use]
    pub fn fleet(&self) -> (String, &str) {
        let url = format!("{}/fleet/{}", self.topology.github_url(), fleet::FILE);
        (url, &self.fleet_sha256)
    }

    /// What a run of skipper needs in its environment to meet this lab in place of AWS and GitHub.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", self.topology.cloud_url()),
            ("AWS_ACCESS_KEY_ID", "lab".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "lab".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("GITHUB_API_URL", self.topology.github_url()),
            ("GITHUB_SERVER_URL", self.topology.github_url()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Its cloud.
    #[must_use]
    pub fn cloud(&self) -> Cloud {
        Cloud::new(self.http.clone(), self.topology.cloud_url())
    }

    /// Its GitHub.
    #[must_use]
    pub fn github(&self) -> github::Client {
        github::Client::new(self.http.clone(), self.topology.github_url())
    }

    /// Its hosts, by address.
    ///
    /// # Errors
    /// When Docker or the cloud does not answer.
    pub fn hosts(&self) -> Result<Vec<Host>> {
        let names = self.cloud().host_names()?;
        host::list(&self.topology, &names)
    }

    /// The host that `word` means: by its name, its instance id or its address.
    ///
    /// # Errors
    /// When there is none.
    pub fn host(&self, word: &str) -> Result<Host> {
        let hosts = self.hosts()?;
        let known: Vec<String> = hosts
            .iter()
            .map(|host| host.name.as_ref().unwrap_or(&host.instance).clone())
            .collect();
        hosts
            .into_iter()
            .find(|host| host.is(word))
            .with_context(|| {
                if known.is_empty() {
                    format!("there is no host `{word}`: the lab has no hosts yet")
                } else {
                    format!(
                        "there is no host `{word}`: the hosts are {}",
                        known.join(", ")
                    )
                }
            })
    }

    /// GET of an address in the lab.
    ///
    /// # Errors
    /// When there is no answer; any status is one.
    pub fn http_get(&self, url: &str) -> Result<Answer> {
        self.http.get(url)
    }

    /// A command that shows the log of one of its parts.
    #[must_use]
    pub fn logs(&self, part: Part) -> Command {
        docker::command(&["logs", &self.topology.container(part)])
    }

    /// A folder for files that go with this lab; `down` removes it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(&self) -> Result<PathBuf> {
        let folder = folder(&self.topology.name);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("making the folder `{}`", folder.display()))?;
        Ok(folder)
    }

    fn start_registry(&self, images: &Images) -> Result<()> {
        let publish = format!("{}:5000:5000", self.topology.loopback());
        let mut arguments = vec!["run", "--detach", "--publish", &publish];
        let place = self.place(Part::Registry);
        arguments.extend(place.iter().map(String::as_str));
        arguments.push(&images.registry);
        docker(&arguments)?;
        Ok(())
    }

    fn start_github(&self, image: &str, archive: &Archive) -> Result<()> {
        let mut arguments = vec!["create"];
        let place = self.place(Part::GitHub);
        arguments.extend(place.iter().map(String::as_str));
        arguments.extend([
            image,
            "serve-github",
            "--listen",
            "0.0.0.0:80",
            "--files",
            "/files",
        ]);
        let container = docker(&arguments)?;
        let mut file = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(archive.bytes.len()).context("measuring the archive")?);
        header.set_mode(0o644);
        let file = file
            .append_data(&mut header, fleet::FILE, archive.bytes.as_slice())
            .and_then(|()| file.into_inner())
            .context("packing the fleet archive")?;
        docker_with_input(&["cp", "-", &format!("{container}:/files")], &file)?;
        docker(&["start", &container])?;
        Ok(())
    }

    fn start_cloud(&self, images: &Images) -> Result<()> {
        let topology = &self.topology;
        let socket = format!("{}:/var/run/docker.sock", engine_socket());
        let environment = [
            format!("LAB_NAME={}", topology.name),
            format!("LAB_NETWORK={}", topology.network()),
            format!("LAB_SUBNET={}", topology.subnet()),
            format!("LAB_HOST_IMAGE={}", images.host),
            format!("LAB_REGISTRY_NAME={}", topology.registry()),
            format!(
                "LAB_REGISTRY_ADDRESS={}:5000",
                topology.address(Part::Registry)
            ),
            format!("LAB_CLOUD_ADDRESS={}", topology.address(Part::Cloud)),
        ];
        let mut arguments = vec!["run", "--detach", "--volume", &socket];
        let place = self.place(Part::Cloud);
        arguments.extend(place.iter().map(String::as_str));
        for variable in &environment {
            arguments.extend(["--env", variable]);
        }
        arguments.push(&images.cloud);
        docker(&arguments)?;
        Ok(())
    }

    /// The arguments that give a container its name, its labels and its place in the network.
    fn place(&self, part: Part) -> [String; 5] {
        [
            format!("--name={}", self.topology.container(part)),
            format!("--label={LABEL}={}", self.topology.name),
            format!("--label={INDEX_LABEL}={}", self.topology.index),
            format!("--network={}", self.topology.network()),
            format!("--ip={}", self.topology.address(part)),
        ]
    }

    /// Waits until every part answers.
    fn wait(&self) -> Result<()> {
        let began = Instant::now();
        for part in Part::ALL {
            let url = match part {
                Part::Registry => format!("http://{}/v2/", self.topology.registry()),
                Part::GitHub => format!("{}/lab/dump", self.topology.github_url()),
                Part::Cloud => format!("{}/lab/calls", self.topology.cloud_url()),
            };
            let container = self.topology.container(part);
            while !self.http.get(&url).is_ok_and(|answer| answer.status == 200) {
                let state = docker(&["inspect", "--format", "{{.State.Running}}", &container])?;
                if state != "true" || began.elapsed() > PATIENCE {
                    let ended = if state == "true" {
                        "does not answer"
                    } else {
                        "has ended"
                    };
                    let log = docker::attempt(&["logs", "--tail", "20", &container], None)?;
                    bail!(
                        "the {} {ended}; its last lines:\n{}{}",
                        part.name(),
                        String::from_utf8_lossy(&log.stdout),
                        String::from_utf8_lossy(&log.stderr)
                    );
                }
                sleep(PAUSE);
            }
        }
        Ok(())
    }
}

/// Removes everything of the lab called `name`, also what a killed one has left: hosts, parts, volumes, the images
/// that were pushed to its registry, and its network. Nothing there is no error.
///
/// # Errors
/// When Docker refuses.
pub fn down(name: &Name) -> Result<()> {
    docker::check()?;
    let filter = name.filter();
    let topology = find(name)?;
    // The cloud first, or it could start another host meanwhile.
    let cloud = format!("skipper-lab-{name}-cloud");
    if succeeds(&["inspect", "--type", "container", &cloud])? {
        docker(&["rm", "--force", "--volumes", &cloud])?;
    }
    remove(
        &["ps", "--all", "--quiet", "--filter", &filter],
        &["rm", "--force", "--volumes"],
    )?;
    remove(
        &["volume", "ls", "--quiet", "--filter", &filter],
        &["volume", "rm", "--force"],
    )?;
    if let Some(topology) = topology {
        let registry = format!("{}/", topology.registry());
        let format = "{{.Repository}} {{.Tag}} {{.Digest}}";
        let images = lines(&["images", "--all", "--digests", "--format", format])?;
        for image in images.iter().filter(|image| image.starts_with(&registry)) {
            let mut words = image.split(' ');
            let mut next = || words.next().unwrap_or("<none>");
            let (repository, tag, digest) = (next(), next(), next());
            let reference = match (tag, digest) {
                ("<none>", "<none>") => continue,
                ("<none>", digest) => format!("{repository}@{digest}"),
                (tag, _) => format!("{repository}:{tag}"),
            };
            // One image with several names goes with the last of them.
            succeeds(&["rmi", "--force", &reference])?;
        }
    }
    let folder = folder(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("removing the folder `{}`", folder.display()))?;
    }
    // Last: what is left of the lab is found by it when this is interrupted.
    remove(
        &["network", "ls", "--quiet", "--filter", &filter],
        &["network", "rm"],
    )
}

/// Runs `remove` with everything that `list` prints as its further arguments, if it prints anything.
fn remove(list: &[&str], remove: &[&str]) -> Result<()> {
    let found = lines(list)?;
    if !found.is_empty() {
        let arguments: Vec<&str> = remove
            .iter()
            .copied()
            .chain(found.iter().map(String::as_str))
            .collect();
        docker(&arguments)?;
    }
    Ok(())
}

/// Whether anything carries the lab's label.
fn remnants(name: &Name) -> Result<bool> {
    let filter = name.filter();
    for list in [
        ["ps", "--all", "--quiet", "--filter", &filter].as_slice(),
        &["network", "ls", "--quiet", "--filter", &filter],
        &["volume", "ls", "--quiet", "--filter", &filter],
    ] {
        if !lines(list)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The lab called `name`, if its network is there.
fn find(name: &Name) -> Result<Option<Topology>> {
    let format = format!("{{{{.Label \"{INDEX_LABEL}\"}}}}");
    let networks = lines(&[
        "network",
        "ls",
        "--filter",
        &name.filter(),
        "--format",
        &format,
    ])?;
    let Some(index) = networks.first() else {
        return Ok(None);
    };
    Ok(Some(Topology {
        name: name.clone(),
        index: index
            .parse()
            .with_context(|| format!("reading the index `{index}` of the lab `{name}`"))?,
    }))
}

fn label(topology: &Topology, name: &str) -> Result<String> {
    let format = format!("{{{{index .Labels \"{name}\"}}}}");
    docker(&[
        "network",
        "inspect",
        "--format",
        &format,
        &topology.network(),
    ])
}

/// Whether every part of the lab runs.
fn runs(topology: &Topology) -> Result<bool> {
    let format = "{{.Names}}";
    let running = lines(&[
        "ps",
        "--filter",
        &topology.name.filter(),
        "--format",
        format,
    ])?;
    Ok(Part::ALL
        .iter()
        .all(|part| running.contains(&topology.container(*part))))
}

/// Makes the network of a new lab, on the first subnet that no other lab has.
fn network(name: &Name, recipe: &str) -> Result<Topology> {
    let mut refusal = None;
    for index in name.indexes() {
        let topology = Topology {
            name: name.clone(),
            index,
        };
        let made = docker(&[
            "network",
            "create",
            &format!("--subnet={}.0/24", topology.subnet()),
            &format!("--gateway={}.1", topology.subnet()),
            &format!("--label={LABEL}={name}"),
            &format!("--label={INDEX_LABEL}={index}"),
            &format!("--label={RECIPE_LABEL}={recipe}"),
            &topology.network(),
        ]);
        match made {
            Ok(_) => return Ok(topology),
            // Docker's words for a subnet that is taken; there is no code for it.
            Err(error) if error.to_string().contains("overlaps") => refusal = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(refusal.context("there are no indexes for labs")?)
        .context("finding a free subnet for the lab")
}

/// The engine's socket on its machine.
fn engine_socket() -> String {
    std::env::var("DOCKER_HOST")
        .ok()
        .and_then(|host| host.strip_prefix("unix://").map(str::to_owned))
        .unwrap_or_else(|| "/var/run/docker.sock".to_owned())
}

fn folder(name: &Name) -> PathBuf {
    target_folder().join("lab").join(name.to_string())
}
