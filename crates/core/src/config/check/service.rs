//! Services: images, ports, health checks.

use std::{path::PathBuf, time::Duration};

use super::*;
use crate::{
    config::{Build, Check, Healthcheck, ImageSource, Logging, Port, SecretTarget, SecretUse, Service},
    image::{DEFAULT_REGISTRY, ImageError, Repository, Tag},
    name::{EnvName, ServiceName},
};

/// Host ports that skipper chooses for services which fix none.
const CHOSEN_PORTS: RangeInclusive<u16> = 20_000..=29_999;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

impl Reader {
    pub(super) fn services(
        &mut self,
        entry: &Entry<'_>,
        env: &BTreeMap<EnvName, String>,
    ) -> Option<BTreeMap<ServiceName, Service>> {
        let entries = self.entries(entry)?;
        if entries.is_empty() {
            self.expected(entry, "a map with at least one service");
            return None;
        }
        let known: Vec<&str> = entries.iter().map(|(key, _)| *key).collect();
        let mut services: Vec<(ServiceName, Service, Span)> = Vec::new();
        let mut whole = true;
        for (key, entry) in &entries {
            let name: Option<ServiceName> = self.parse_text(key, entry.key, "a name for a service");
            let service = self.service(key, entry, env, &known);
            match name.zip(service) {
                Some((name, service)) => services.push((name, service, entry.key)),
                None => whole = false,
            }
        }
        for (index, (name, service, span)) in services.iter().enumerate() {
            if let Some((first, _, place)) = services[..index].iter().find(|(_, other, _)| overwrites(service, other)) {
                let message =
                    format!("services `{first}` and `{name}` push different images to `{}`", service.repository);
                let problem =
                    Diagnostic::error(*span, message).label("the tag of the commit would be its image or the other's");
                self.report(
                    problem.related(*place, "first").hint("give each its own `repo.name`, or both the same `build`"),
                );
            }
        }
        self.check_links(&services.iter().map(|(name, service, _)| (name.as_ref(), service)).collect());
        whole.then(|| services.into_iter().map(|(name, service, _)| (name, service)).collect())
    }

    fn service(
        &mut self,
        name: &str,
        entry: &Entry<'_>,
        common_env: &BTreeMap<EnvName, String>,
        known: &[&str],
    ) -> Option<Service> {
        let section: raw::Service<'_> = self.section(entry)?;
        let repo = section.repo.as_ref().and_then(|repo| self.repo(repo));
        let build = section.build.as_ref().map(|build| self.build(build));
        let scale = section.scale.as_ref().map_or(Some(1), |scale| self.integer(scale, 0..=MOST_REPLICAS));
        let ports = section.ports.as_ref().map_or(Some(Vec::new()), |ports| self.ports(name, ports));
        let mut env = common_env.clone();
        env.extend(section.env.as_ref().map(|env| self.env(env)).unwrap_or_default());
        let secrets = section.secrets.as_ref().map_or(Some(Vec::new()), |secrets| self.secrets(secrets, &env));
        let command = section.command.as_ref().map_or(Some(Vec::new()), |command| self.command(command));
        let healthcheck = self.healthcheck(section.healthcheck.as_ref(), ports.as_deref());
        let stop_grace_period =
            section.stop_grace_period.as_ref().map_or(Some(10 * SECOND), |grace| self.whole_seconds(grace));
        let logging = section.logging.as_ref().map(|logging| self.logging(logging));
        let links = section.links.as_ref().map_or(Some(Vec::new()), |links| self.links(name, links, known));
        let taken = mounted(secrets.as_deref().unwrap_or_default(), section.links.is_some());
        let volumes = section.volumes.as_ref().map_or(Some(Vec::new()), |volumes| self.volumes(volumes, &taken));
        if scale.is_some_and(|scale| scale > 1)
            && let Some((port, place)) = self.host_ports.get(name).and_then(|ports| ports.first()).copied()
        {
            let message = format!("service `{}` fixes port {port} of its host and has a `scale` over 1", shown(name));
            let problem = Diagnostic::error(place, message).label("only one replica on a host can have it");
            let problem = section
                .scale
                .iter()
                .fold(problem, |problem, scale| problem.related(scale.place(), "this many on each host"));
            self.report(problem.hint("leave the host port out to have one chosen for each replica, or set `scale: 1` and raise that of the group"));
        }

        let (repository, tag) = repo?;
        let source = match (build, tag) {
            (Some(build), None) => ImageSource::Build(build?),
            (None, Some((tag, _))) => ImageSource::Tag(tag),
            (Some(_), Some((_, place))) => {
                let problem =
                    Diagnostic::error(place, format!("service `{}` has both `build` and `repo.tag`", shown(name)));
                self.report(
                    problem
                        .label("what is built is tagged with the commit")
                        .hint("leave `tag` out, or `build` to run somebody else's image"),
                );
                return None;
            }
            (None, None) => {
                let problem = Diagnostic::error(entry.key, format!("service `{}` has no image", shown(name)));
                self.report(
                    problem
                        .hint("write `build: .` to build it, or `repo: {name: …, tag: …}` to run an image that exists"),
                );
                return None;
            }
        };
        Some(Service {
            repository,
            source,
            scale: scale?,
            ports: ports?,
            env,
            secrets: secrets?,
            command: command?,
            logging: logging.map_or(Some(None), |logging| logging.map(Some))?,
            healthcheck: healthcheck?,
            stop_grace_period: stop_grace_period?,
            links: links?,
            volumes: volumes?,
        })
    }

    fn logging(&mut self, entry: &Entry<'_>) -> Option<Logging> {
        let section: raw::Logging<'_> = self.section(entry)?;
        let inner = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
        let driver = section.driver.as_ref().and_then(|driver| {
            let text = self.text(driver)?;
            let is_one = text.len() <= 128
                && text.starts_with(inner)
                && text.ends_with(inner)
                && text.chars().all(|char| inner(char) || matches!(char, '.' | '_' | '/' | ':' | '-'));
            if !is_one {
                self.expected(driver, "the name of a log driver, such as `awslogs`");
            }
            is_one.then(|| text.to_owned())
        });
        let mut options = BTreeMap::new();
        for (key, value) in section.options.as_ref().and_then(|options| self.entries(options)).unwrap_or_default() {
            let is_one = key.len() <= 64
                && key.starts_with(inner)
                && key.chars().all(|char| inner(char) || matches!(char, '.' | '_' | '-'));
            if !is_one {
                let message = format!("`{}` cannot be an option of a log driver", shown(key));
                self.report(
                    Diagnostic::error(value.key, message)
                        .hint("write it as the driver's documentation does, such as `awslogs-group`"),
                );
                continue;
            }
            options.extend(self.value(&value).map(|text| (key.to_owned(), text)));
        }
        Some(Logging { driver: driver?, options })
    }

    fn repo(&mut self, entry: &Entry<'_>) -> Option<(Repository, Option<(Tag, Span)>)> {
        if let Value::Text(text) = &entry.value.value {
            let problem = Diagnostic::error(entry.place(), format!("`{}` must be a map", shown(&entry.path)));
            self.report(
                problem
                    .label(format!("found {}", entry.value.found()))
                    .hint(format!("write `repo: {{name: {}}}`", shown(text))),
            );
            return None;
        }
        let section: raw::Repo<'_> = self.section(entry)?;
        let registry = section.registry.as_ref().map_or(Some(DEFAULT_REGISTRY), |registry| {
            let text = self.text(registry)?;
            // With a name that is right, whatever is wrong is the registry.
            self.image_part(registry.place(), Repository::new(text, "a")).map(|_| text)
        });
        let tag = section.tag.as_ref().map_or(Some(None), |tag| {
            let parsed: Tag = self.text(tag).and_then(|text| self.image_part(tag.place(), text.parse()))?;
            Some(Some((parsed, tag.place())))
        });
        let name = section.name?;
        let text = self.text(&name)?;
        let repository = self.image_part(name.place(), Repository::new(registry?, text))?;
        Some((repository, tag?))
    }

    fn image_part<T>(&mut self, place: Span, part: Result<T, ImageError>) -> Option<T> {
        part.map_err(|ImageError(why)| self.report(Diagnostic::error(place, why))).ok()
    }

    fn build(&mut self, entry: &Entry<'_>) -> Option<Build> {
        let mut build = Build {
            context: PathBuf::from("."),
            dockerfile: "Dockerfile".to_owned(),
            target: None,
            args: BTreeMap::new(),
            max_age: 7 * DAY,
        };
        if matches!(entry.value.value, Value::Text(_)) {
            build.context = self.relative_path(entry)?.into();
            return Some(build);
        }
        if !matches!(entry.value.value, Value::Map(_)) {
            self.expected(entry, "a folder such as `.`, or a map");
            return None;
        }
        let section: raw::Build<'_> = self.section(entry)?;
        let context = section.context.as_ref().map_or(Some("."), |context| self.relative_path(context));
        let dockerfile = section.dockerfile.as_ref().map_or(Some("Dockerfile"), |file| self.relative_path(file));
        let target = section.target.as_ref().map_or(Some(None), |target| self.text(target).map(Some));
        build.args = section
            .args
            .as_ref()
            .map(|args| self.env(args))
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| (name.to_string(), value))
            .collect();
        let max_age =
            section.max_age.as_ref().map_or(Some(build.max_age), |age| self.duration(age, Duration::ZERO..=365 * DAY));
        build.context = context?.into();
        build.dockerfile = dockerfile?.to_owned();
        build.target = target?.map(str::to_owned);
        build.max_age = max_age?;
        Some(build)
    }

    fn relative_path<'a>(&mut self, entry: &Entry<'a>) -> Option<&'a str> {
        let path = self.text(entry)?;
        let is_address = path.contains("://") || path.starts_with("git@");
        if path.starts_with('/') || is_address {
            let problem =
                Diagnostic::error(entry.place(), format!("`{}` must be a path within the commit", shown(&entry.path)));
            let why = if is_address {
                "only what the commit holds is built"
            } else {
                "an absolute path is another one on every machine"
            };
            self.report(problem.label(why).hint("write it relative to the folder of this file"));
            return None;
        }
        Some(path)
    }

    /// The ports of a service. Fixed host ports are remembered for the checks of its groups.
    fn ports(&mut self, service: &str, entry: &Entry<'_>) -> Option<Vec<Port>> {
        let mut fixed: Vec<(u16, Span)> = Vec::new();
        let mut containers: Vec<(u16, Span)> = Vec::new();
        let ports = self.list(entry, |reader, item| {
            let port = reader.mapping(item)?;
            let place = item.place();
            if let Some(host) = port.host {
                if let Some((_, first)) = fixed.iter().find(|(known, _)| *known == host) {
                    let problem = Diagnostic::error(place, format!("port {host} of the host is there twice"));
                    reader.report(problem.label("again").related(*first, "first"));
                    return None;
                }
                fixed.push((host, place));
                reader.may_fix(host, place)?;
            } else if let Some((_, first)) = containers.iter().find(|(known, _)| *known == port.container) {
                let problem = Diagnostic::error(place, format!("port {} is there twice", port.container));
                reader.report(problem.label("again").related(*first, "first"));
                return None;
            }
            containers.push((port.container, place));
            Some(port)
        });
        if ports.is_none() {
            self.ports_in_doubt.insert(service.to_owned());
        }
        self.host_ports.insert(service.to_owned(), fixed);
        ports
    }

    fn mapping(&mut self, entry: &Entry<'_>) -> Option<Port> {
        let text = match &entry.value.value {
            Value::Integer(_, text) | Value::Text(text) => text.as_str(),
            _ => "",
        };
        let port = match text.split_once(':') {
            Some((host, container)) => scalar::parse_port(host)
                .zip(scalar::parse_port(container))
                .map(|(host, container)| Port { host: Some(host), container }),
            None => scalar::parse_port(text).map(|container| Port { host: None, container }),
        };
        if port.is_none() {
            let problem = Diagnostic::error(
                entry.place(),
                format!("`{}` must be `HOST:CONTAINER` or `CONTAINER`, ports from 1 to 65535", shown(&entry.path)),
            );
            let problem = problem.label(format!("found {}", entry.value.found()));
            let problem = match text {
                text if text.contains('/') => problem.hint("only TCP is published; leave the protocol out"),
                text if text.matches(':').count() > 1 => {
                    problem.hint("ports are published on all addresses of the host; leave the address out")
                }
                text if text.contains('-') => problem.hint("write each port of a range"),
                _ => problem,
            };
            self.report(problem);
        }
        port
    }

    /// Refuses host ports that are taken on every host.
    fn may_fix(&mut self, host: u16, place: Span) -> Option<()> {
        let (why, hint) = match host {
            22 => ("the host's own SSH daemon has it", "choose another port"),
            2379 | 2380 => ("etcd has it on every host: whoever reaches etcd is root there", "choose another port"),
            _ if CHOSEN_PORTS.contains(&host) => {
                ("skipper chooses ports from 20000 to 29999", "choose one outside of them, or leave the host port out")
            }
            _ => return Some(()),
        };
        self.report(Diagnostic::error(place, format!("port {host} of the host cannot be fixed")).label(why).hint(hint));
        None
    }

    fn healthcheck(&mut self, entry: Option<&Entry<'_>>, ports: Option<&[Port]>) -> Option<Healthcheck> {
        let section: raw::Healthcheck<'_> = match entry {
            Some(entry) => self.section(entry)?,
            None => raw::Healthcheck::default(),
        };
        let path = section.path.as_ref().map_or(Some(None), |path| self.http_path(path).map(Some));
        let given = section.port.as_ref().map_or(Some(None), |port| self.port(port).map(Some));
        let interval =
            section.interval.as_ref().map_or(Some(2 * SECOND), |entry| self.duration(entry, SECOND / 10..=HOUR));
        let timeout =
            section.timeout.as_ref().map_or(Some(2 * SECOND), |entry| self.duration(entry, SECOND / 10..=HOUR));
        let retries = section.retries.as_ref().map_or(Some(15), |entry| self.integer(entry, 1..=MOST_RETRIES));
        let start_period = section
            .start_period
            .as_ref()
            .map_or(Some(Duration::ZERO), |entry| self.duration(entry, Duration::ZERO..=HOUR));
        let port = given?.or_else(|| ports.and_then(|ports| ports.first()).map(|port| port.container));
        let check = match (path?, port) {
            (Some(path), Some(port)) => Check::Http { port, path },
            (None, Some(port)) => Check::Tcp { port },
            (None, None) => Check::Running,
            (Some(_), None) => {
                // Ports that could not be read have been reported.
                let place = section.path.as_ref().zip(ports)?.0.place();
                let problem =
                    Diagnostic::error(place, "a `healthcheck.path` needs a port to ask, and the service has none");
                self.report(problem.hint("add `port` beside it, or `ports` to the service"));
                return None;
            }
        };
        Some(Healthcheck {
            check,
            interval: interval?,
            timeout: timeout?,
            retries: retries?,
            start_period: start_period?,
        })
    }

    fn http_path(&mut self, entry: &Entry<'_>) -> Option<String> {
        let path = self.text(entry)?;
        if !path.starts_with('/') || !path.chars().all(|char| char.is_ascii_graphic()) {
            self.expected(entry, "a path such as `/up`, without spaces");
            return None;
        }
        Some(path.to_owned())
    }

    /// A duration in seconds: Docker takes no parts of one when it stops a container.
    fn whole_seconds(&mut self, entry: &Entry<'_>) -> Option<Duration> {
        let duration = self.duration(entry, Duration::ZERO..=HOUR)?;
        if duration.subsec_nanos() > 0 {
            self.expected(entry, "whole seconds");
            return None;
        }
        Some(duration)
    }
}

/// The paths in a service's containers that have something else than a volume, each with what that is.
fn mounted(secrets: &[SecretUse], has_links: bool) -> Vec<(&str, &'static str)> {
    let files = secrets.iter().filter_map(|secret| match &secret.target {
        SecretTarget::File(path) => Some((path.as_str(), "a secret")),
        SecretTarget::Env(_) => None,
    });
    files.chain(has_links.then_some(("/etc/hosts", "what `links` lead to"))).collect()
}

/// Whether both services push to one repository what is not the same image.
fn overwrites(a: &Service, b: &Service) -> bool {
    match (&a.source, &b.source) {
        (ImageSource::Build(first), ImageSource::Build(second)) => a.repository == b.repository && first != second,
        _ => false,
    }
}
