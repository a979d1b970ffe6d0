//! `ship`, `plan` and `ps`, and the removal of a preview: puts the adapters behind the ports and lets the run go.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufWriter, Write as _},
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::FutureExt as _;
use jiff::{Timestamp, Unit};
use serde::Serialize;
use serde_json::{Value, json};
use skipper_core::{
    config::{Config, ImageSource},
    desired::Scope,
    event::{Event, RunStarted},
    exit::Exit,
    failure::Failure,
    iam::EcrRegistry,
    observed::Observed,
    orchestrator::fleet::Fleet,
    preview::{Cause, REMOVE},
    progress::Progress,
    render::{
        cleaned,
        log::{Log, Places, Style, failure_lines, plan_lines},
        table,
    },
    secret::Secret,
};
use skipper_deploy::{
    cancel::Cancel,
    events::{Events, Listener, SHORTEST_SECRET},
    images::ImageOptions,
    lease::Terms,
    ports::{CodeHost, Images},
    report::{Publicity, Reporter},
    runner::{Bounds, Runner, Wanted, World},
};
use tokio::signal::unix::{SignalKind, signal};

use super::output::{self, Printer};
use crate::{
    aws::Aws,
    docker::{self, Docker},
    github::GitHub,
    settings::{self, Command, EventsFile, Settings, Trigger, Verdict},
};

/// The end of an environment: of a preview, or of the hosts that previews share.
pub(crate) struct Removal {
    /// Why it ends.
    pub(crate) cause: Cause,
    /// The previews that end with the hosts.
    pub(crate) ending: BTreeSet<u64>,
}

impl From<Cause> for Removal {
    fn from(cause: Cause) -> Self {
        Self { cause, ending: BTreeSet::new() }
    }
}

/// How a run ended, and what it has come to.
pub(super) struct Ended {
    pub(super) exit: Exit,
    pub(super) progress: Progress,
    /// Whether there is nothing left to tell the code host.
    pub(super) has_told: bool,
}

/// Where a run gets its images from.
pub(super) struct Source<'a> {
    pub(super) images: &'a dyn Images,
    /// Passwords that it was given for registries.
    pub(super) concealed: Vec<Secret>,
}

/// Runs the command and writes what came of it. With a removal it is that which is carried out or planned in its place.
pub(crate) async fn run(
    config: &Config,
    settings: &Settings,
    quiet: bool,
    printer: Printer,
    removal: Option<&Removal>,
) -> Exit {
    let started_at = time();
    let events = settings.events.iter().map(|events| events.path.clone()).collect();
    output::begin_state(settings, events, &started_at, printer);
    let ended = match carry_out(config, settings, &started_at, quiet, printer, removal, None).await {
        Ok(ended) => ended,
        Err(failure) => {
            output::end_state(settings, printer);
            return super::end_early(&failure, settings.output_file(), printer);
        }
    };
    // A sweep is told as a whole.
    if settings.command != Command::Sweep {
        printer.json(&document(settings.command, &ended.progress));
        if let Some(text) = asked_for_text(settings.command, &ended.progress, quiet, printer) {
            printer.text(&text);
        }
    }
    output::runner_files(settings, &ended.progress, printer);
    if ended.has_told {
        output::end_state(settings, printer);
    }
    passed(settings, ended.exit)
}

/// In a workflow a step that gave way has nothing to be mended.
pub(super) fn passed(settings: &Settings, exit: Exit) -> Exit {
    let passes = settings.workflow.is_some() && settings.on_superseded == Verdict::Pass;
    if exit == Exit::Superseded && passes { Exit::Serves } else { exit }
}

/// Puts the adapters behind the ports and lets the run go. Without a source of images it makes one of its own.
///
/// # Errors
/// When there is nothing to run with.
pub(super) async fn carry_out(
    config: &Config,
    settings: &Settings,
    started_at: &str,
    quiet: bool,
    printer: Printer,
    removal: Option<&Removal>,
    source: Option<Source<'_>>,
) -> Result<Ended, Failure> {
    install_tls();
    let kept = keep_events(settings, printer)?;
    let secrets = settings::given_secrets(config).map_err(|error| error.failure())?;
    let aws = connect_aws(config, settings, printer).await?;
    let docker;
    let Source { images, concealed: obtained } = match source {
        Some(source) => source,
        None => {
            let logins = ecr_logins(config, settings, &aws, printer).await;
            let concealed = passwords(&logins);
            docker = connect_docker(config, settings, logins)?;
            Source { images: &docker, concealed }
        }
    };
    let tagged;
    let config = match settings.command {
        Command::Deploy => {
            tagged = from_registry(config, settings);
            &tagged
        }
        _ => config,
    };
    let (compute, remote, store) = (aws.compute(), aws.remote(), aws.store());
    let code_host = connect_code_host(settings, printer);
    let code_host = code_host.as_ref().map(|code_host| code_host as &dyn CodeHost);
    let publicity = publicity(settings);
    let (reporter, fold) = Reporter::new(code_host.filter(|_| is_told(settings)), publicity);
    let is_asked_for = matches!(settings.command, Command::Ps) && !printer.is_workflow();
    let places = Places::of(config, settings.config.display().to_string());
    let log = log_to(printer, quiet || is_asked_for, places);
    let mut listeners = vec![fold, log];
    listeners.extend(kept);
    // Shorter ones would hide ordinary words from whoever reads the log.
    for secret in secrets.values().filter(|secret| secret.expose().len() >= SHORTEST_SECRET) {
        printer.conceal(secret.expose());
    }
    let concealed: Vec<Secret> =
        settings.secrets().into_iter().chain(secrets.values().cloned()).chain(obtained).collect();
    let events = Events::new(listeners).concealing(&concealed);
    let cancel = Cancel::default();
    listen_for_signals(&cancel);

    // Images are a host's: where previews share hosts, they are of all of them.
    let scope = Scope { project: config.project.clone(), environment: settings.environment.clone() };
    let scope = if settings.command == Command::Clean { scope.hosts_of(config) } else { scope };
    let terms = Terms { who: settings.who.clone(), nonce: nonce(), timing: settings.lease, wait: settings.wait };
    let about = about(config, settings, started_at, scope, removal);
    let runner = Runner {
        config,
        about,
        options: ImageOptions {
            root: root(&settings.config),
            rebuild: settings.rebuild,
            tags_are_asked_for: settings.command == Command::Deploy,
        },
        secrets: &secrets,
        bounds: Bounds {
            services: settings.services.keys().cloned().collect(),
            hosts_only: settings.command == Command::InstancesDeploy,
            allow_terminate: settings.allow_terminate,
            allow_data_loss: settings.allow_data_loss,
            prune_rules: settings.prune_rules,
            expected_plan: settings.expect_plan.clone(),
            ending: removal.map(|removal| removal.ending.clone()).unwrap_or_default(),
            gives_way: settings.trigger.as_ref().is_some_and(Trigger::gives_way) && !settings.names_tags(),
        },
        world: World { compute: &compute, remote: &remote, images, store: &store, orchestrator: &Fleet, code_host },
        events: &events,
        reporter: &reporter,
        cancel: &cancel,
        terms: &terms,
        time: &time,
        clock: &clock,
        host_timeout: settings.host_timeout,
        calls: &|| aws.calls(),
    };
    let revision = settings.trigger.as_ref().map(|trigger| &trigger.revision);
    let work = async {
        match (settings.command, revision, removal.map(|removal| &removal.cause)) {
            (Command::Plan, _, Some(cause)) => runner.plan_removal(cause).await,
            (_, _, Some(cause)) => runner.remove(cause).await,
            (Command::Plan, Some(revision), None) => runner.plan(revision).await,
            (Command::Remove, ..) => runner.remove_replica(settings.uuid.as_deref().unwrap_or_default()).await,
            (Command::Clean, ..) => runner.clean(Wanted { cutoff: settings.cutoff, hosts: settings.clean_hosts }).await,
            (Command::InstancesDeploy, ..) => runner.bring_up().await,
            (Command::InstancesReboot, ..) => runner.reboot_hosts(settings.uuid.as_deref()).await,
            (Command::InstancesRemove, ..) => {
                runner.remove_host(settings.uuid.as_deref().unwrap_or_default(), settings.force).await
            }
            (Command::Ship | Command::Deploy, Some(revision), None) => runner.ship(revision).await,
            _ => runner.ps().await,
        }
    };
    let exit = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(exit) => exit,
        Err(_) => runner.break_off(super::defect::failure()).await,
    };
    Ok(Ended { exit, progress: reporter.progress(), has_told: reporter.has_concluded() })
}

/// The document that was asked for.
pub(super) fn document(command: Command, progress: &Progress) -> Value {
    match command {
        Command::Ps => asked_for(progress, progress.state()),
        Command::Plan => asked_for(progress, progress.plan.as_ref()),
        Command::Clean => asked_for(progress, progress.cleaned.as_ref()),
        _ => json!(progress),
    }
}

/// What was asked for as text, where the log has not shown it.
pub(super) fn asked_for_text(command: Command, progress: &Progress, quiet: bool, printer: Printer) -> Option<String> {
    match command {
        Command::Ps if !printer.is_workflow() => progress.state().map(table::plain),
        Command::Plan if quiet => progress.plan.as_ref().map(|plan| plan_lines(plan).join("\n")),
        Command::Clean if quiet => progress.cleaned.as_ref().map(cleaned::table),
        _ => None,
    }
}

/// What was asked for; where there is none, why.
fn asked_for(progress: &Progress, document: Option<impl Serialize>) -> Value {
    let failure = || progress.finished.as_ref().and_then(|finished| finished.failure.as_ref());
    document.map_or_else(|| json!({ "failure": failure() }), |document| json!(document))
}

/// Warns of hosts that did not tell what they run.
pub(super) fn tell_gaps(observed: &Observed, printer: Printer) {
    for gap in &observed.gaps {
        let what = gap.host.as_ref().map_or_else(|| gap.what.clone(), |host| format!("host `{host}`: {}", gap.what));
        let warning = Failure::new(Exit::Serves, what);
        let warning = gap.hint.iter().fold(warning, |warning, hint| warning.hint(hint.clone()));
        printer.log(&failure_lines("warning", &warning, printer.is_workflow()));
    }
}

/// Who is told what of this run.
pub(super) fn publicity(settings: &Settings) -> Publicity {
    let pull_request = settings.trigger.as_ref().and_then(|trigger| trigger.pull_request.as_ref());
    Publicity {
        pull_request: pull_request.map(|pull_request| pull_request.number),
        comments: settings.comments,
        deployments: settings.deployments,
    }
}

/// Whether the code host is told of the run: of one that plans or sweeps, only the pull request that it is about.
pub(super) fn is_told(settings: &Settings) -> bool {
    let names_one = settings.trigger.as_ref().is_some_and(|trigger| trigger.pull_request.is_some());
    settings.command.rolls_out() || names_one && matches!(settings.command, Command::Plan | Command::Sweep)
}

fn about(
    config: &Config,
    settings: &Settings,
    started_at: &str,
    scope: Scope,
    removal: Option<&Removal>,
) -> RunStarted {
    let revision = settings.trigger.as_ref().map(|trigger| trigger.revision.clone());
    let workflow = settings.workflow.as_ref();
    RunStarted {
        command: match (settings.command, removal) {
            (Command::Plan, _) | (_, None) => settings.command.as_str().to_owned(),
            (_, Some(_)) => REMOVE.to_owned(),
        },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        scope,
        region: config.region.clone(),
        is_one_of_several: config.regions.len() > 1,
        started_at: started_at.to_owned(),
        run_url: workflow.map(|workflow| workflow.run_url()),
        commit_url: workflow.zip(revision.as_ref()).map(|(workflow, revision)| workflow.commit_url(revision)),
        run: workflow.map(|workflow| workflow.run()),
        revision,
    }
}

/// AWS with the role's credentials where one was asked for, else with those of the environment.
pub(super) async fn connect_aws(config: &Config, settings: &Settings, printer: Printer) -> Result<Aws, Failure> {
    let conceal = Arc::new(move |secret: &str| printer.conceal(secret));
    // What the environment has stands above them.
    let keys = settings.keys.as_ref().map(|keys| {
        printer.conceal(keys.secret.expose());
        (keys.id.clone(), keys.secret.clone())
    });
    let connected = Aws::connect(&config.region, settings.aws_role.clone(), keys, conceal).await;
    connected.map_err(|error| error.failure.during("make ready to ask AWS"))
}

/// One TLS provider for all; where another thread was first, that is the same one.
pub(super) fn install_tls() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// The time since this machine was started, that of its sleep included: a lease goes on lapsing while a laptop is shut.
fn clock() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(time).unwrap_or_default()
}

/// The time of day, to the second.
pub(super) fn time() -> String {
    let now = Timestamp::now();
    now.round(Unit::Second).unwrap_or(now).to_string()
}

/// By which a run knows its own lease. Without randomness the process and the moment must do.
pub(super) fn nonce() -> String {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Err(_) => format!("{}-{}", std::process::id(), Timestamp::now().as_nanosecond()),
    }
}

/// Nothing is built: each service is what the registry has under the tag that is asked for, else under the commit's.
fn from_registry(config: &Config, settings: &Settings) -> Config {
    let commit = settings.trigger.as_ref().map(|trigger| trigger.revision.tag());
    let mut config = config.clone();
    for (name, service) in &mut config.services {
        let asked = settings.services.get(name).cloned().flatten();
        let is_built = matches!(service.source, ImageSource::Build(_));
        if let Some(tag) = asked.or_else(|| commit.clone().filter(|_| is_built)) {
            service.source = ImageSource::Tag(tag);
        }
    }
    config
}

/// Build contexts are relative to the folder of `skipper.yml`.
pub(super) fn root(config: &Path) -> PathBuf {
    config
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Logins by registry.
pub(super) type Logins = BTreeMap<String, (String, Secret)>;

/// The file's registries of ECR that this run logs in to by itself: those of a command that asks registries, and was given no login.
fn ecr_registries<'a>(config: &'a Config, settings: &Settings) -> BTreeMap<&'a str, EcrRegistry> {
    let registries = config.services.values().map(|service| service.repository.registry());
    let of_ecr = registries.filter_map(|registry| Some((registry, EcrRegistry::of(registry)?)));
    of_ecr.filter(|_| settings.command.asks_registries() && settings.registry_login.is_none()).collect()
}

/// Logins to them, for the credentials of this run. Where those may not ask, what Docker's configuration has may do.
async fn ecr_logins(config: &Config, settings: &Settings, aws: &Aws, printer: Printer) -> Logins {
    let mut logins = Logins::new();
    for (registry, ecr) in ecr_registries(config, settings) {
        match aws.registry_login(&ecr).await {
            Ok(login) => {
                printer.conceal(login.password.expose());
                logins.insert(registry.to_owned(), (login.username, login.password));
            }
            Err(error) => {
                let what = format!("log in to `{registry}`, so Docker's own login is used");
                let warning = Failure { exit: Exit::Serves, ..error.failure.during(what) };
                printer.log(&failure_lines("warning", &warning, printer.is_workflow()));
            }
        }
    }
    logins
}

/// What nobody is to be told of logins.
pub(super) fn passwords(logins: &Logins) -> Vec<Secret> {
    logins.values().map(|(_, password)| password.clone()).collect()
}

/// The same for a command that asks AWS for nothing else.
pub(super) async fn logins_alone(config: &Config, settings: &Settings, printer: Printer) -> Result<Logins, Failure> {
    if ecr_registries(config, settings).is_empty() {
        return Ok(Logins::new());
    }
    Ok(ecr_logins(config, settings, &connect_aws(config, settings, printer).await?, printer).await)
}

/// The login is for the registries that are pushed to, and told to no other.
pub(super) fn connect_docker(config: &Config, settings: &Settings, more: Logins) -> Result<Docker, Failure> {
    let built = config.services.values().filter(|service| matches!(service.source, ImageSource::Build(_)));
    let logins = settings
        .registry_login
        .iter()
        .flat_map(|login| built.clone().map(|service| (service.repository.registry().to_owned(), login.clone())))
        .chain(more)
        .collect();
    Docker::connect(docker::Settings {
        host: settings.docker_host.clone(),
        config: settings.docker_config.as_ref().map(|folder| folder.join("config.json")),
        logins,
        endpoints: settings.registry_endpoints.clone(),
    })
    .map_err(|error| error.failure)
}

/// GitHub, where repository and token are known and the run is about a commit; one that cannot be asked is said.
pub(super) fn connect_code_host(settings: &Settings, printer: Printer) -> Option<GitHub> {
    let revision = &settings.trigger.as_ref()?.revision;
    match GitHub::new(settings.code_host.as_ref()?, Some(revision)) {
        Ok(code_host) => Some(code_host),
        Err(error) => {
            printer.log(&failure_lines("warning", &error.failure, printer.is_workflow()));
            None
        }
    }
}

pub(super) fn log_to(printer: Printer, quiet: bool, places: Places) -> Listener {
    let style = Style { workflow: printer.is_workflow(), quiet, side_by_side: printer.is_one_of_several() };
    let mut log = Log::new(style).with_places(places);
    Box::new(move |event| printer.log(&log.lines(event)))
}

/// Keeps the events in a file, one JSON object a line; one that cannot be written is said once and given up, unless
/// somebody asked for it and can still correct that.
fn keep_events(settings: &Settings, printer: Printer) -> Result<Option<Listener>, Failure> {
    let Some(EventsFile { path, asked_for }) = &settings.events else { return Ok(None) };
    let shown = path.display().to_string();
    let warn = move |failure: &Failure| printer.log(&failure_lines("warning", failure, printer.is_workflow()));
    let failed = |exit, what, error: &io::Error| Failure::failed_to(exit, what).because_of(error);
    let file = match File::create(path) {
        Ok(file) => file,
        Err(error) if *asked_for => {
            let failure = failed(Exit::BadInput, format!("create `{shown}` for the run's events"), &error);
            return Err(failure.hint("correct `--events` (input `events`), or leave it out"));
        }
        Err(error) => {
            warn(&failed(Exit::Serves, format!("create `{shown}`, so the events are not kept"), &error));
            return Ok(None);
        }
    };
    let mut writer = Some(BufWriter::new(file));
    Ok(Some(Box::new(move |event: &Event| {
        let Some(file) = writer.as_mut() else { return };
        let written = serde_json::to_writer(&mut *file, event)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(file))
            .and_then(|()| file.flush());
        if let Err(error) = written {
            // What it still holds would be written, and fail, once more.
            drop(writer.take().map(BufWriter::into_parts));
            warn(&failed(Exit::Serves, format!("write to `{shown}`, so the events are not kept"), &error));
        }
    })))
}

/// As PID 1 of the action's container, signals that nobody handles would be ignored.
pub(super) fn listen_for_signals(cancel: &Cancel) {
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let Ok(mut signals) = signal(kind) else { continue };
        let cancel = cancel.clone();
        tokio::task::spawn_local(async move {
            while signals.recv().await.is_some() {
                cancel.cancel();
            }
        });
    }
}
