//! A small project on the simulated world, and runs over it.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    pin::pin,
    rc::Rc,
    time::Duration,
};

use futures::future::Either;
use skipper_core::{
    config::{
        Architecture, Build, Check, Config, FleetArchive, Group, Healthcheck, ImageSource, Port, Previews, Service,
    },
    desired::Scope,
    event::{Event, EventKind, RunFinished, RunStarted, check},
    exit::Exit,
    image::{PinnedImage, Repository, Revision},
    lease::Timing,
    orchestrator::fleet::Fleet,
    plan::Plan,
};
use skipper_deploy::{
    cancel::Cancel,
    events::{Events, Listener},
    images::ImageOptions,
    lease::Terms,
    report::{Publicity, Reporter},
    runner::{Bounds, Runner, World},
    secrets::GivenSecrets,
    sim::SimWorld,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Notify,
    task::LocalSet,
};

pub(crate) const HOST_TIMEOUT: Duration = Duration::from_secs(6 * 60);

fn archive(kind: Architecture) -> FleetArchive {
    let sha256 = (kind == Architecture::Arm64).then(|| "a".repeat(64));
    FleetArchive { url: format!("https://fleet.example/fleet-{}.tar.gz", kind.as_str()), sha256 }
}

/// Two services on one group: `web` on a fixed port, `clock` on a chosen one.
pub(crate) fn shop(hosts: u32) -> Config {
    let group = Group {
        size: "t3.small".parse().unwrap(),
        scale: hosts,
        public_ports: vec![80],
        services: vec!["web".parse().unwrap(), "clock".parse().unwrap()],
        instance_profile: "skipper-host".to_owned(),
        subnets: Vec::new(),
        ami: None,
        disk: None,
        elastic: false,
    };
    Config {
        project: "shop".parse().unwrap(),
        region: "us-east-1".to_owned(),
        regions: vec!["us-east-1".to_owned()],
        account: Some("123456789012".to_owned()),
        services: BTreeMap::from([
            ("web".parse().unwrap(), service("web", Port { host: Some(80), container: 5000 })),
            ("clock".parse().unwrap(), service("clock", Port { host: None, container: 9000 })),
        ]),
        groups: BTreeMap::from([("app".parse().unwrap(), group)]),
        fleet: [Architecture::Amd64, Architecture::Arm64].map(|kind| (kind, archive(kind))).into(),
        prices: BTreeMap::new(),
        previews: Previews::default(),
        warnings: Vec::new(),
        spans: BTreeMap::new(),
    }
}

pub(crate) fn service(name: &str, port: Port) -> Service {
    Service {
        repository: Repository::new("registry.example", &format!("shop/{name}")).unwrap(),
        source: ImageSource::Build(Build {
            context: PathBuf::from(name),
            dockerfile: "Dockerfile".to_owned(),
            target: None,
            args: BTreeMap::new(),
            max_age: Duration::from_secs(7 * 24 * 3600),
        }),
        scale: 1,
        ports: vec![port],
        env: BTreeMap::new(),
        secrets: Vec::new(),
        command: Vec::new(),
        logging: None,
        healthcheck: Healthcheck {
            check: Check::Tcp { port: port.container },
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            retries: 5,
            start_period: Duration::ZERO,
        },
        stop_grace_period: Duration::from_secs(10),
        links: Vec::new(),
        volumes: Vec::new(),
    }
}

/// Commit `n`: the digit forty times.
pub(crate) fn commit(n: u8) -> Revision {
    char::from(b'0' + n).to_string().repeat(40).parse().unwrap()
}

/// Gives the sources of a service new contents.
pub(crate) fn edit(world: &SimWorld, service: &str, contents: &str) {
    world.change().registry.sources.insert(service.to_owned(), contents.to_owned());
}

/// Nothing that is new in the images of this commit will ever answer.
pub(crate) fn break_images_of(world: &SimWorld, revision: &Revision) {
    // The digest of an image follows from its sources and its commit, so a run on a copy of the registry tells it.
    let copy = SimWorld::default();
    copy.change().registry = world.look().registry.clone();
    ship(&copy, &shop(1), revision);
    let images = |world: &SimWorld| -> BTreeSet<PinnedImage> {
        world.look().hosts.values().flat_map(|host| host.images.clone()).collect()
    };
    let broken = images(&copy).difference(&images(world)).cloned().collect();
    world.change().broken_images = broken;
}

/// Whose things they are.
pub(crate) fn scope(config: &Config) -> Scope {
    Scope { project: config.project.clone(), environment: "production".parse().unwrap() }
}

/// What a run has told.
pub(crate) struct Told {
    pub(crate) exit: Exit,
    pub(crate) events: Vec<Event>,
}

impl Told {
    pub(crate) fn finished(&self) -> &RunFinished {
        match &self.events.last().unwrap().kind {
            EventKind::RunFinished(finished) => finished,
            other => panic!("the last event is {other:?}"),
        }
    }

    pub(crate) fn plan(&self) -> &Plan {
        self.events
            .iter()
            .find_map(|event| match &event.kind {
                EventKind::Planned { plan, .. } => Some(plan),
                _ => None,
            })
            .expect("there is a plan")
    }

    /// The steps of the plan, in words.
    pub(crate) fn steps(&self) -> Vec<String> {
        self.plan().steps.iter().map(skipper_core::render::words::step).collect()
    }

    /// What the user was told beside it.
    pub(crate) fn warnings(&self) -> Vec<&str> {
        let warnings = self.events.iter().filter_map(|event| match &event.kind {
            EventKind::Warning { failure } => Some(failure.message.as_str()),
            _ => None,
        });
        warnings.collect()
    }

    /// Everything that is said about the failure.
    pub(crate) fn failure(&self) -> String {
        let failure = self.finished().failure.as_ref().expect("the run failed");
        std::iter::once(&failure.message).chain(&failure.causes).cloned().collect::<Vec<_>>().join("\n")
    }
}

/// Ships a commit on a paused clock, and holds the events to their guarantees.
pub(crate) fn ship(world: &SimWorld, config: &Config, revision: &Revision) -> Told {
    run(world, config, revision, |_| false, async |runner| runner.ship(revision).await)
}

/// Ships a commit, and asks for a stop when something is told.
pub(crate) fn ship_and_cancel(
    world: &SimWorld,
    config: &Config,
    revision: &Revision,
    when: impl Fn(&Event) -> bool + 'static,
) -> Told {
    run(world, config, revision, when, async |runner| runner.ship(revision).await)
}

/// Ships a commit until something is told or a fault ends the run for good; whether it has died.
pub(crate) fn ship_and_die(
    world: &SimWorld,
    config: &Config,
    revision: &Revision,
    when: impl Fn(&Event) -> bool + 'static,
) -> bool {
    run_and_die(world, config, revision, when, async |runner| runner.ship(revision).await)
}

/// Runs until something is told or a fault ends the run for good; whether it has died.
pub(crate) fn run_and_die(
    world: &SimWorld,
    config: &Config,
    revision: &Revision,
    when: impl Fn(&Event) -> bool + 'static,
    run: impl AsyncFnOnce(Runner<'_>) -> Exit,
) -> bool {
    let death = Rc::new(Notify::new());
    let kill = Rc::clone(&death);
    let at = move |event: &Event| {
        if when(event) {
            kill.notify_one();
        }
        false
    };
    in_time(async {
        let dies = async {
            futures::future::select(pin!(death.notified()), pin!(world.died())).await;
        };
        // The run is looked at first: what it does at once at the moment of its death, it has done.
        match futures::future::select(pin!(running(world, config, revision, None, at, run)), pin!(dies)).await {
            Either::Left(_) => false,
            Either::Right(_) => true,
        }
    })
}

/// Ships within bounds.
pub(crate) fn ship_within(world: &SimWorld, config: &Config, revision: &Revision, bounds: Bounds) -> Told {
    let ship = async |runner: Runner<'_>| Runner { bounds, ..runner }.ship(revision).await;
    run(world, config, revision, |_| false, ship)
}

/// Plans a commit.
pub(crate) fn plan(world: &SimWorld, config: &Config, revision: &Revision) -> Told {
    let plan = async |runner: Runner<'_>| {
        let about = RunStarted { command: "plan".to_owned(), ..runner.about.clone() };
        Runner { about, ..runner }.plan(revision).await
    };
    run(world, config, revision, |_| false, plan)
}

thread_local! {
    /// Runs of this test so far.
    static RUNS: Cell<u64> = const { Cell::new(1) };
    /// One paused clock a test, so that time goes on from one run to the next, and with it what hosts have in hand.
    static CLOCK: (Runtime, LocalSet) =
        (Builder::new_current_thread().enable_time().start_paused(true).build().unwrap(), LocalSet::new());
}

/// Waits for something on this test's clock.
pub(crate) fn in_time<T>(work: impl Future<Output = T>) -> T {
    CLOCK.with(|(clock, hosts)| hosts.block_on(clock, work))
}

pub(crate) fn run(
    world: &SimWorld,
    config: &Config,
    revision: &Revision,
    stop_at: impl Fn(&Event) -> bool + 'static,
    run: impl AsyncFnOnce(Runner<'_>) -> Exit,
) -> Told {
    let told = in_time(running(world, config, revision, None, stop_at, run));
    check(&told.events).unwrap();
    // Events are what `replay` reads: nothing may be lost on the way.
    for event in &told.events {
        let line = serde_json::to_string(event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), *event, "{line}");
    }
    told
}

/// Ships a commit beside other runs, waiting for the lease as long as is said.
pub(crate) async fn ship_beside(
    world: &SimWorld,
    config: &Config,
    revision: Revision,
    wait: Option<Duration>,
    hear: impl Fn(&EventKind) + 'static,
) -> Told {
    run_beside(world, config, &revision, wait, hear, async |runner| runner.ship(&revision).await).await
}

/// Runs beside other runs, waiting for the lease as long as is said.
pub(crate) async fn run_beside(
    world: &SimWorld,
    config: &Config,
    revision: &Revision,
    wait: Option<Duration>,
    hear: impl Fn(&EventKind) + 'static,
    run: impl AsyncFnOnce(Runner<'_>) -> Exit,
) -> Told {
    let listen = move |event: &Event| {
        hear(&event.kind);
        false
    };
    let told = running(world, config, revision, wait, listen, run).await;
    check(&told.events).unwrap();
    told
}

async fn running(
    world: &SimWorld,
    config: &Config,
    revision: &Revision,
    wait: Option<Duration>,
    stop_at: impl Fn(&Event) -> bool + 'static,
    run: impl AsyncFnOnce(Runner<'_>) -> Exit,
) -> Told {
    let told: Rc<RefCell<Vec<Event>>> = Rc::default();
    let (reporter, listener) = Reporter::new(Some(world), Publicity::default());
    let heard = Rc::clone(&told);
    let hear: Listener = Box::new(move |event| heard.borrow_mut().push(event.clone()));
    let cancel = Cancel::default();
    let wish = cancel.clone();
    let stop: Listener = Box::new(move |event| {
        if stop_at(event) {
            wish.cancel()
        }
    });
    let events = Events::new(vec![listener, hear, stop]);
    let number = RUNS.with(|runs| runs.replace(runs.get() + 1));
    let terms = Terms { who: "octocat".to_owned(), nonce: format!("run {number}"), timing: Timing::STANDARD, wait };
    let began = tokio::time::Instant::now();
    let runner = Runner {
        config,
        about: RunStarted {
            command: "ship".to_owned(),
            version: "0.0.0".to_owned(),
            scope: scope(config),
            region: config.region.clone(),
            is_one_of_several: false,
            revision: Some(revision.clone()),
            started_at: "2026-01-01T00:00:00Z".to_owned(),
            run_url: None,
            commit_url: None,
            run: Some((1, 1)),
        },
        options: ImageOptions { root: PathBuf::new(), rebuild: false, tags_are_asked_for: false },
        secrets: &GivenSecrets::new(),
        bounds: Bounds::default(),
        world: World {
            compute: world,
            remote: world,
            images: world,
            store: world,
            orchestrator: &Fleet,
            code_host: Some(world),
        },
        events: &events,
        reporter: &reporter,
        cancel: &cancel,
        host_timeout: HOST_TIMEOUT,
        terms: &terms,
        time: &|| "2026-01-01T00:00:00Z".to_owned(),
        clock: &|| began.elapsed(),
        calls: &|| world.look().calls.clone(),
    };
    let exit = run(runner).await;
    let events = told.borrow().clone();
    Told { exit, events }
}
