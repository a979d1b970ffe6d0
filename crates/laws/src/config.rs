//! `skipper.yml`: what is wrong has its place and can be shown; what is right means the same when it is written out in full.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use skipper_core::config::{
    Architecture, Build, Check, Config, Diagnostic, FleetArchive, Group, ImageSource, Logging, PreviewHosts, Previews,
    SecretTarget, SecretUse, Service, Span, Volume, load,
};

use crate::harmless;

/// What all problems of a file may come to; a workflow's log takes more, and nobody reads more.
const SHOWN_LIMIT: usize = 1024 * 1024;

/// `data` as a file.
pub fn config(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else { return };
    let loaded = load(source, "skipper.yml");
    let lines = Lines::new(source);
    match &loaded {
        Ok(config) => {
            config.spans.values().for_each(|span| lines.hold(*span));
            serde_json::to_string(config).unwrap();
            let full = in_full(config);
            let again = load(&full, "skipper.yml").unwrap_or_else(|problems| panic!("{problems:#?}\n{full}"));
            assert_eq!(meaning(again), meaning(config.clone()), "{full}");
        }
        Err(problems) => assert!(!problems.is_empty()),
    }
    let problems = loaded.map_or_else(|problems| problems, |config| config.warnings);
    let shown: usize = problems.iter().map(|problem| shown(problem, source, &lines)).sum();
    assert!(shown <= SHOWN_LIMIT, "{} problems are told in {shown} bytes", problems.len());
}

/// The bytes a problem is shown in.
fn shown(problem: &Diagnostic, source: &str, lines: &Lines<'_>) -> usize {
    problem.related.iter().map(|related| related.span).chain([problem.span]).for_each(|span| lines.hold(span));
    let rendered = problem.render(source, false);
    rendered.split('\n').for_each(harmless::line);
    let annotation = problem.annotation();
    harmless::workflow_line(&annotation);
    let texts = [&problem.message, &problem.label].into_iter().chain(&problem.hint);
    texts.for_each(|text| harmless::text(text));
    rendered.len() + annotation.len()
}

/// The widths of a file's lines, in characters.
struct Lines<'a>(Vec<(usize, &'a str)>);

impl<'a> Lines<'a> {
    fn new(source: &'a str) -> Self {
        // A byte order mark is no character of the first line.
        let source = source.strip_prefix('\u{feff}').unwrap_or(source);
        let mut lines = Vec::new();
        let mut rest = source;
        while let Some(end) = rest.find(['\n', '\r']) {
            lines.push((rest[..end].chars().count(), &rest[..end]));
            let length = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
            rest = &rest[end + length..];
        }
        lines.push((rest.chars().count(), rest));
        Self(lines)
    }

    /// Holds a place to being one of this file.
    fn hold(&self, span: Span) {
        let (width, line) = self.0.get(span.line.wrapping_sub(1)).unwrap_or_else(|| panic!("no line for {span:?}"));
        assert!(span.column >= 1 && span.column - 1 + span.length <= *width, "{span:?} in {line:?}");
    }
}

/// The configuration without its places in the file.
fn meaning(config: Config) -> Config {
    Config { spans: BTreeMap::new(), warnings: Vec::new(), ..config }
}

/// A file that leaves nothing to defaults, as a flow of quoted texts.
fn in_full(config: &Config) -> String {
    let services = config.services.iter().map(|(name, each)| (name.as_ref(), service(each)));
    let groups = config.groups.iter().map(|(name, each)| (name.as_ref(), group(each)));
    let archive = |FleetArchive { url, sha256 }: &FleetArchive| {
        let hash = sha256.as_ref().map(|hash| ("sha256", text(hash)));
        [("url", text(url))].into_iter().chain(hash).collect::<Vec<_>>()
    };
    let mut fleet = config.fleet.get(&Architecture::Amd64).map(archive).unwrap_or_default();
    fleet.extend(config.fleet.get(&Architecture::Arm64).map(|own| ("arm64", map(archive(own)))));
    let mut file = vec![
        ("name", text(config.project.as_ref())),
        ("region", text(&config.region)),
        ("services", map(services)),
        ("groups", map(groups)),
        ("fleet", map(fleet)),
        ("previews", previews(&config.previews)),
    ];
    file.extend(config.account.as_ref().map(|account| ("account", text(account))));
    map(file)
}

fn previews(previews: &Previews) -> String {
    let Previews { hosts, ttl, max, label } = previews;
    let hosts = match hosts {
        PreviewHosts::Own => "own",
        PreviewHosts::Shared => "shared",
    };
    let mut keys = vec![("hosts", text(hosts)), ("ttl", duration(*ttl)), ("max", max.to_string())];
    keys.extend(label.as_ref().map(|label| ("label", text(label))));
    map(keys)
}

fn secret(secret: &SecretUse) -> String {
    let (key, arrives) = match &secret.target {
        SecretTarget::Env(variable) => ("env", text(variable.as_ref())),
        SecretTarget::File(path) => ("file", text(path)),
    };
    map([("name", text(secret.name.as_ref())), (key, arrives)])
}

fn service(service: &Service) -> String {
    let Service {
        repository,
        source,
        scale,
        ports,
        env,
        secrets,
        command,
        logging,
        healthcheck,
        stop_grace_period,
        links,
        volumes,
    } = service;
    let mut repo = vec![("registry", text(repository.registry())), ("name", text(repository.path()))];
    let mut keys = vec![
        ("scale", scale.to_string()),
        ("env", map(env.iter().map(|(name, value)| (name.as_ref(), text(value))))),
        ("stop_grace_period", duration(*stop_grace_period)),
    ];
    match source {
        ImageSource::Tag(tag) => repo.push(("tag", text(tag.as_ref()))),
        ImageSource::Build(Build { context, dockerfile, target, args, max_age }) => {
            let mut build = vec![
                ("context", text(context.to_str().unwrap())),
                ("dockerfile", text(dockerfile)),
                ("args", map(args.iter().map(|(name, value)| (name.as_str(), text(value))))),
                ("max_age", duration(*max_age)),
            ];
            build.extend(target.as_ref().map(|target| ("target", text(target))));
            keys.push(("build", map(build)));
        }
    }
    keys.push(("repo", map(repo)));
    keys.push(("secrets", list(secrets.iter().map(secret))));
    keys.push((
        "ports",
        list(ports.iter().map(|port| match port.host {
            Some(host) => text(&format!("{host}:{}", port.container)),
            None => text(&port.container.to_string()),
        })),
    ));
    if let Some(Logging { driver, options }) = logging {
        let options = map(options.iter().map(|(option, value)| (option.as_str(), text(value))));
        keys.push(("logging", map([("driver", text(driver)), ("options", options)])));
    }
    keys.push(("links", list(links.iter().map(|service| text(service.as_ref())))));
    keys.push((
        "volumes",
        list(volumes.iter().map(|Volume { name, path, read_only }| {
            text(&format!("{name}:{path}{}", if *read_only { ":ro" } else { "" }))
        })),
    ));
    keys.push(("command", list(command.iter().map(|word| text(word)))));
    let mut check = vec![
        ("interval", duration(healthcheck.interval)),
        ("timeout", duration(healthcheck.timeout)),
        ("retries", healthcheck.retries.to_string()),
        ("start_period", duration(healthcheck.start_period)),
    ];
    match &healthcheck.check {
        Check::Http { port, path } => check.extend([("port", port.to_string()), ("path", text(path))]),
        Check::Tcp { port } => check.push(("port", port.to_string())),
        Check::Running => {}
    }
    keys.push(("healthcheck", map(check)));
    map(keys)
}

fn group(group: &Group) -> String {
    let Group { size, scale, public_ports, services, instance_profile, subnets, ami, disk, elastic } = group;
    let mut keys = vec![
        ("size", text(size.as_ref())),
        ("scale", scale.to_string()),
        ("ports", map([("public", list(public_ports.iter().map(u16::to_string)))])),
        ("services", list(services.iter().map(|service| text(service.as_ref())))),
        ("instance_profile", text(instance_profile)),
        ("subnets", list(subnets.iter().map(|subnet| text(subnet)))),
    ];
    keys.extend(ami.as_ref().map(|ami| ("ami", text(ami))));
    keys.extend(disk.map(|disk| ("disk", disk.to_string())));
    keys.extend(elastic.then(|| ("address", text("elastic"))));
    map(keys)
}

fn map<'a>(entries: impl IntoIterator<Item = (&'a str, String)>) -> String {
    // A key of more than 1,024 characters needs its mark.
    let entries: Vec<String> = entries.into_iter().map(|(key, value)| format!("? {} : {value}", text(key))).collect();
    format!("{{{}}}", entries.join(", "))
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(", "))
}

fn duration(duration: Duration) -> String {
    text(&format!("{}ms", duration.as_millis()))
}

/// In double quotes, with everything escaped that is more than a printable character of ASCII.
fn text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            ' '..='~' => quoted.push(char),
            other => drop(write!(quoted, "\\U{:08x}", u32::from(other))),
        }
    }
    quoted.push('"');
    quoted
}
