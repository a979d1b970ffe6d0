//! The keys of `skipper.yml`, declared once: the reader's structs, its tables of known keys and the JSON Schema all
//! come from the declarations below, so none can know a key that another does not.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    diagnostic::Span,
    schema::{self, MapOf},
    tree::{Node, Value},
};

/// A key of the file with its value, both still unchecked.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    /// The keys that lead here: `services.web.scale`.
    pub(super) path: String,
    /// Where the key stands.
    pub(super) key: Span,
    pub(super) value: &'a Node,
}

impl<'a> Entry<'a> {
    /// Where to point: at the value, or at the key when the value is a block or nothing.
    pub(super) fn place(&self) -> Span {
        if self.value.span.length > 0 && !matches!(self.value.value, Value::List(_) | Value::Map(_)) {
            self.value.span
        } else {
            self.key
        }
    }

    /// The items of a list.
    pub(super) fn items(&self, list: &'a [Node]) -> Vec<Self> {
        let item = |(index, value)| Self { path: format!("{}[{index}]", self.path), key: self.key, value };
        list.iter().enumerate().map(item).collect()
    }
}

/// A map whose keys are known.
pub(super) trait Section<'a>: Default {
    /// The keys it may have.
    const KEYS: &'static [&'static str];
    /// Keys it must have, each with what to write.
    const REQUIRED: &'static [(&'static str, &'static str)];
    /// Keys that are planned and not built yet, each with what to do without it.
    const LATER: &'static [(&'static str, &'static str)];
    /// Words of other tools, each with what to write here.
    const FOREIGN: &'static [(&'static str, &'static str)];

    /// Where the value of `key` goes; nothing when there is no such key.
    fn slot(&mut self, key: &str) -> Option<&mut Option<Entry<'a>>>;
}

macro_rules! section {
    (
        $(#[doc = $doc:literal])*
        $name:ident {
            $($(#[doc = $key_doc:literal])* $key:ident: $schema:ty $(= $default:expr)?,)*
        }
        required { $($required:ident: $example:literal,)* }
        later { $($later:literal: $instead:literal,)* }
        foreign { $($foreign:literal: $ours:literal,)* }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Default)]
        pub(super) struct $name<'a> {
            $($(#[doc = $key_doc])* pub(super) $key: Option<Entry<'a>>,)*
        }

        impl<'a> Section<'a> for $name<'a> {
            const KEYS: &'static [&'static str] = &[$(stringify!($key)),*];
            const REQUIRED: &'static [(&'static str, &'static str)] = &[$((stringify!($required), $example)),*];
            const LATER: &'static [(&'static str, &'static str)] = &[$(($later, $instead)),*];
            const FOREIGN: &'static [(&'static str, &'static str)] = &[$(($foreign, $ours)),*];

            fn slot(&mut self, key: &str) -> Option<&mut Option<Entry<'a>>> {
                match key {
                    $(stringify!($key) => Some(&mut self.$key),)*
                    _ => None,
                }
            }
        }

        impl JsonSchema for $name<'_> {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let mut properties = serde_json::Map::new();
                $({
                    let mut property = generator.subschema_for::<$schema>();
                    property.insert("description".to_owned(), schema::prose(&[$($key_doc),*]));
                    $(property.insert("default".to_owned(), serde_json::json!($default));)?
                    properties.insert(stringify!($key).to_owned(), property.into());
                })*
                let required: &[&str] = &[$(stringify!($required)),*];
                json_schema!({
                    "description": schema::prose(&[$($doc),*]),
                    "type": "object",
                    "properties": properties,
                    "required": required,
                    "patternProperties": { "^x-": true },
                    "additionalProperties": false,
                })
            }
        }
    };
}

section! {
    /// A project: the services it runs, and the groups of hosts that run them.
    File {
        /// Names the project; everything it owns is tagged with it.
        name: schema::Name,
        /// The AWS region of the hosts.
        region: schema::Region = "us-east-1",
        /// Several AWS regions in place of one: each has every group, as a cluster of its own.
        regions: schema::Regions,
        /// The AWS account that the credentials must belong to, in quotes; checked before anything changes.
        account: schema::Account,
        /// What starts containers on the hosts.
        orchestrator: schema::Orchestrator = "fleet",
        /// Environment variables of every service.
        env: schema::Env,
        /// The containers that the project runs, by name.
        services: MapOf<Service<'static>>,
        /// Sets of like hosts, by name.
        groups: MapOf<Group<'static>>,
        /// Where hosts get fleet from.
        fleet: Fleet<'static>,
        /// What instances cost, in US dollars an hour by size, in place of the list prices that estimates come from.
        prices: schema::Prices,
        /// What differs by environment: keys of the file that stand above the rest, map by map. Previews have those of `preview`.
        environments: schema::Environments,
        /// Environments of pull requests, for workflows with `environment: preview`.
        previews: Previews<'static>,
    }
    required {
        name: "write `name: demo` at the top",
        services: "write `services: {web: {repo: {name: acme/web}, build: .}}`",
    }
    later {
        "etcd": "leave it out: skipper runs etcd on the hosts",
    }
    foreign {
        "version": "leave it out: the file has no version",
        "environment": "`env` is for every service",
        "volumes": "leave it out: a volume is there once a service names it in its `volumes`",
        "networks": "leave it out: a service reaches those in its `links`",
        "hosts": "`groups` has the hosts, launched by skipper",
    }
}

section! {
    /// A container that the project runs.
    Service {
        /// Where its images live.
        repo: Repo<'static>,
        /// How its image is built: the folder to build, or more than that. Without it, `repo.tag` says what runs.
        build: schema::Either<schema::Text, Build<'static>>,
        /// Replicas on each host of a group that lists the service.
        scale: schema::Scale = 1,
        /// Published ports, `HOST:CONTAINER`; or `CONTAINER`, with a host port that skipper chooses.
        ports: schema::Ports,
        /// Environment variables; they win over those of every service. Numbers and booleans arrive as they are written, nothing as an empty text.
        env: schema::Env,
        /// Secrets, by the names of the variables in which the run is given their values. They arrive as variables of the same names, or as `env` or `file` say.
        secrets: Vec<schema::Either<schema::SecretName, SecretUse<'static>>>,
        /// Arguments in place of the image's own; one text is split as a shell would.
        command: schema::Either<schema::Text, Vec<schema::Text>>,
        /// How a replica shows that it serves. Without it: by TCP on its first port or, when it has none, by running.
        healthcheck: Healthcheck<'static>,
        /// Between SIGTERM and SIGKILL when a replica is stopped, in whole seconds.
        stop_grace_period: schema::Duration = "10s",
        /// Where the engine sends what a replica prints. It is in the host's journal in any case.
        logging: Logging<'static>,
        /// Services that it finds by their names, on whichever host they run. It starts after them.
        links: Vec<schema::Name>,
        /// Named volumes, `NAME:PATH` or `NAME:PATH:ro`. They are on the host's disk: they outlive containers, and go with the host.
        volumes: Vec<schema::Volume>,
    }
    required { repo: "write `repo: {name: acme/web}`", }
    later {}
    foreign {
        "image": "write `repo: {name: redis, tag: \"7\"}`",
        "environment": "write `env`",
        "env_file": "write the values into `env`",
        "args": "write `command`, or `build: {args: …}` for the build",
        "entrypoint": "set it in the Dockerfile; `command` gives its arguments",
        "expose": "write `ports`",
        "replicas": "write `scale`",
        "deploy": "write `scale`",
        "depends_on": "write `links`: a service starts after those that it links to",
        "restart": "leave it out: a replica that ends is always started again",
        "container_name": "leave it out: replicas are named by skipper",
        "networks": "leave it out: a service reaches those in its `links`",
        "size": "it belongs to a group",
    }
}

section! {
    /// Where the images of a service live.
    Repo {
        /// The name within the registry, such as `acme/web`.
        name: schema::Text,
        /// The registry, `host[:port]`.
        registry: schema::Text = "index.docker.io",
        /// For a service that is not built: the tag that runs, resolved to a digest.
        tag: schema::Text,
    }
    required { name: "write `name: acme/web`", }
    later {}
    foreign {
        "url": "write `registry` and `name`",
        "image": "write `name`, and `tag` if it is not built here",
    }
}

section! {
    /// How an image is built.
    Build {
        /// The folder that is sent to the builder, relative to that of this file.
        context: schema::Text = ".",
        /// The Dockerfile, relative to the context.
        dockerfile: schema::Text = "Dockerfile",
        /// The stage to stop at; the last one without it.
        target: schema::Text,
        /// Build arguments. They stay readable in the image: no place for secrets.
        args: schema::Env,
        /// How long an image is used again while its inputs are unchanged.
        max_age: schema::Duration = "7d",
    }
    required {}
    later {
        "secrets": "fetch what needs a secret before the build, outside of it",
        "cache_from": "leave it out: the cache of the builder is used",
        "platforms": "leave it out: images are built for the machine that builds",
    }
    foreign {}
}

section! {
    /// A secret of a service, and how it arrives in its containers.
    SecretUse {
        /// Its name: that of the variable in which the run is given its value.
        name: schema::SecretName,
        /// The variable that it arrives as; one of its own name without it.
        env: schema::EnvName,
        /// The file that it arrives as, in place of a variable.
        file: schema::FilePath,
    }
    required { name: "write `name: DATABASE_URL`", }
    later {}
    foreign {
        "source": "write `name`",
        "target": "write `env` or `file`",
        "value": "leave it out: values come from variables of the run, and stand in no file",
    }
}

section! {
    /// Where the engine sends what a replica prints: `docker run --log-driver … --log-opt …`.
    Logging {
        /// One of the engine's drivers, such as `awslogs` or `syslog`.
        driver: schema::LogDriver,
        /// Its options, as the driver takes them.
        options: schema::LogOptions,
    }
    required { driver: "write `driver: awslogs`", }
    later {}
    foreign { "opts": "write `options`", "log_opt": "write `options`", }
}

section! {
    /// How a replica shows that it serves.
    Healthcheck {
        /// Asked by HTTP GET; 2xx and 3xx are healthy. Without it, a TCP connection is.
        path: schema::HttpPath,
        /// The container's port; its first published one without it.
        port: schema::PortNumber,
        /// Between two tries.
        interval: schema::Duration = "2s",
        /// For one try.
        timeout: schema::Duration = "2s",
        /// Tries after the start period.
        retries: schema::Retries = 15,
        /// In which a failing try does not count.
        start_period: schema::Duration = "0s",
    }
    required {}
    later { "test": "write `path`, or leave both out for a TCP connection", }
    foreign {
        "url": "write `path` and, when it is not the first, `port`",
        "cmd": "write `path`, or leave it out for a TCP connection",
        "disable": "leave it out: without a health check a broken release would pass",
    }
}

section! {
    /// A set of like hosts.
    Group {
        /// The EC2 instance type, such as `t3.small`.
        size: schema::Size,
        /// How many hosts.
        scale: schema::Scale = 1,
        /// Who may reach which ports.
        ports: GroupPorts<'static>,
        /// The services that each of its hosts runs.
        services: Vec<schema::Name>,
        /// The instance profile by which its hosts may speak to AWS Systems Manager.
        instance_profile: schema::Text = "skipper-host",
        /// The subnets to spread hosts over; the region's default ones without it.
        subnets: Vec<schema::Subnet>,
        /// A machine image; the newest stable Flatcar Container Linux without it.
        ami: schema::Ami,
        /// The size of the root volume in GiB; the machine image's own without it.
        disk: schema::Disk,
        /// `elastic` for addresses that outlive the instances of their hosts; without it they change when hosts are replaced.
        address: schema::AddressKind,
    }
    required { size: "write `size: t3.small`", }
    later {}
    foreign {
        "instance_type": "write `size`",
        "type": "write `size`",
        "count": "write `scale`",
        "region": "it stands at the top of the file",
        "loadbalance": "leave it out: load balancers are not built; `ports: {public: …}` opens ports of every host",
        "key_pair": "leave it out: hosts are reached over AWS Systems Manager, without SSH",
    }
}

section! {
    /// Who may reach which ports of a group's hosts.
    GroupPorts {
        /// Ports of the host that the world may reach; services of the group publish them.
        public: schema::HostPorts,
    }
    required {}
    later {}
    foreign { "private": "leave it out: `links` of services open what they need between groups", }
}

section! {
    /// Environments of pull requests: `pr-7` is that of pull request 7.
    Previews {
        /// Where a preview runs: on hosts of its `own`, or on hosts that all previews have `shared`.
        hosts: schema::PreviewHosts = "own",
        /// How long a preview lasts after it was last shipped to; `skipper previews sweep` removes those that are older.
        ttl: schema::Duration = "3d",
        /// How many previews there may be at a time.
        max: schema::PreviewCount = 5,
        /// The label that a pull request must carry to get a preview; every one gets one without it.
        label: schema::Text,
    }
    required {}
    later {}
    foreign {
        "enabled": "leave it out: a workflow with `environment: preview` makes previews",
        "labels": "write `label: preview`",
        "limit": "write `max`",
    }
}

section! {
    /// Where hosts get fleet from.
    Fleet {
        /// The address of the release archive for amd64.
        url: schema::Url = super::FLEET_RELEASE,
        /// The archive's SHA-256 in hex; hosts refuse another one, and warn without.
        sha256: schema::Sha256,
        /// The archive for hosts with an arm64 processor, for which fleet has no release.
        arm64: Archive<'static>,
    }
    required {}
    later {}
    foreign {
        "version": "write the `url` of that version's archive",
        "amd64": "write `url` and `sha256` beside `arm64`",
    }
}

section! {
    /// An archive of fleet for one kind of processor.
    Archive {
        /// The address of the release archive.
        url: schema::Url,
        /// The archive's SHA-256 in hex; hosts refuse another one, and warn without.
        sha256: schema::Sha256,
    }
    required { url: "url: https://example.com/fleet-v1.0.0-linux-arm64.tar.gz", }
    later {}
    foreign {}
}
