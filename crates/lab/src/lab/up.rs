//! Starting a lab: what is missing is built, and every part is waited for.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::down::{down, remnants};
use super::found::{find, label, runs};
use super::{Lab, Options};
use crate::binaries::Binaries;
use crate::clock::Clock;
use crate::docker::{self, docker, docker_with_input};
use crate::fleet::{self, Archive};
use crate::guard::Guard;
use crate::http::Http;
use crate::images::{self, Images};
use crate::topology::{INDEX_LABEL, LABEL, Name, Part, RECIPE_LABEL, Topology};

/// How long a part may take from its start to its first answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two looks at something that is awaited.
const PAUSE: Duration = Duration::from_millis(50);

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
        let recipe = [images.host.as_str(), &images.cloud, &images.registry, &github_image, &archive.sha256].join(" ");

        let guard = options.ephemeral.then(|| Guard::start(&binaries.lab, &options.name)).transpose()?;
        let http = Arc::new(Http::new()?);
        if let Some(topology) = find(&options.name)? {
            let same = !options.ephemeral && runs(&topology)? && label(&topology, RECIPE_LABEL)? == recipe;
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
            clock.measure(&format!("removing what an earlier lab `{}` left", options.name), || down(&options.name))?;
        }

        let topology = clock.measure("making the network", || network(&options.name, &recipe))?;
        let lab =
            Self { topology, http, skipper: binaries.skipper, fleet_sha256: archive.sha256.clone(), _guard: guard };
        let started = clock
            .measure("starting the registry", || lab.start_registry(&images))
            .and_then(|()| clock.measure("starting GitHub", || lab.start_github(&github_image, &archive)))
            .and_then(|()| clock.measure("starting the cloud", || lab.start_cloud(&images)))
            .and_then(|()| clock.measure("waiting for all of them", || lab.wait()));
        started.with_context(|| {
            format!("starting the lab `{0}` (`cargo lab down --name {0}` removes what was started)", lab.topology.name)
        })?;
        clock.say(&format!("the lab `{}` is up", lab.topology.name));
        Ok(lab)
    }

    fn start_registry(&self, images: &Images) -> Result<()> {
        let [open, private] = [5000, 5001].map(|port| format!("{}:{port}:{port}", self.topology.loopback()));
        let mut arguments = vec!["run", "--detach", "--publish", &open, "--publish", &private];
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
        arguments.extend([image, "serve-github", "--listen", "0.0.0.0:80", "--files", "/files"]);
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
        let socket = format!("{}:/var/run/docker.sock", docker::socket());
        let environment = [
            format!("LAB_NAME={}", topology.name),
            format!("LAB_NETWORK={}", topology.network()),
            format!("LAB_SUBNET={}", topology.subnet()),
            format!("LAB_HOST_IMAGE={}", images.host),
            format!("LAB_REGISTRY_NAME={}", topology.registry()),
            format!("LAB_REGISTRY_ADDRESS={}:5000", topology.address(Part::Registry)),
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
                    let ended = if state == "true" { "does not answer" } else { "has ended" };
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

/// Makes the network of a new lab, on the first subnet that no other lab has.
fn network(name: &Name, recipe: &str) -> Result<Topology> {
    let mut refusal = None;
    for index in name.indexes() {
        let topology = Topology { name: name.clone(), index };
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
    Err(refusal.context("there are no indexes for labs")?).context("finding a free subnet for the lab")
}
