//! What a host script is told: the typed work, its header of assignments, and back.
//!
//! Every host gets the same text. What differs from host to host is a table of tab-separated lines that begin with the
//! instance's id, and each host picks its own.

use std::collections::BTreeMap;

use super::{
    table::{
        archive_rows, by_host, cluster_rows, instance, read_by_host, read_log_of, read_starts, read_supplies,
        read_table, seconds, start_rows, supply_rows, write_table,
    },
    unit::Unit,
};
use crate::{
    clean::Cleaning,
    command::Look,
    config::FleetArchive,
    desired::Scope,
    image::hex_digest,
    log::LogOf,
    name::ReplicaName,
    observed::{Handle, InstanceId},
    orchestrator::{Cluster, ClusterHost, Place, Probe, RegistryLogin, Supplies},
    script::{SCOPE, Script, pack, unpack},
};

/// The text of a script, with what all of them share in front.
macro_rules! body {
    ($($name:literal)+) => {
        concat!(include_str!("../scripts/lib.sh"), $(include_str!(concat!("../scripts/", $name, ".sh"))),+)
    };
}

const OBSERVE: &str = body!("observe");
const CONFIGURE: &str = body!("cluster" "configure");
const HOLD: &str = body!("cluster" "hold");
const JOIN: &str = body!("cluster" "join");
const LEAVE: &str = body!("cluster" "leave");
const LINK: &str = body!("link");
const PULL: &str = body!("pull");
const START: &str = body!("start");
const LOGS: &str = body!("logs");
const REMOVE: &str = body!("remove");
const CLEAN: &str = body!("clean");
const COMMAND: &str = body!("command");
const STOP: &str = body!("stop");

/// Installed on hosts by `configure`: keeps containers away from etcd, through reboots and restarts of Docker.
const FIREWALL: &str = include_str!("../scripts/firewall.sh");
/// Installed on hosts without an etcd member: leads one connection to a member that is up.
const ETCD_CONNECT: &str = include_str!("../scripts/etcd-connect.sh");
/// Installed on hosts by `configure`, and run by `pull`: fetches secrets, and runs a command with them.
const WITH_SECRETS: &str = include_str!("../scripts/with-secrets.sh");

/// What hosts are asked to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Say what they are and run.
    Observe {
        /// Whose replicas are asked for.
        scope: Scope,
    },
    /// Become a part of the cluster.
    Configure {
        /// The cluster.
        cluster: Cluster,
    },
    /// Keep the orchestrator away from a registry that is empty, or is about to be.
    Hold {
        /// The cluster.
        cluster: Cluster,
    },
    /// Become a part of the cluster again, and register what the host has on record. Where the members are `founding`, they found
    /// etcd in the place of one that is lost.
    Restore {
        /// The cluster.
        cluster: Cluster,
    },
    /// Get a member of etcd.
    Join {
        /// The cluster, with this host among its members.
        cluster: Cluster,
    },
    /// Have etcd forget a member, and give up what is left of it on its own host.
    Leave {
        /// The cluster, with the members that stay.
        cluster: Cluster,
        /// The address of the member that goes.
        address: String,
    },
    /// Tell containers where the services are that they link to.
    Link {
        /// Whose containers they are.
        scope: Scope,
        /// By host, in the order in which they are tried.
        places: BTreeMap<InstanceId, Vec<Place>>,
    },
    /// Fetch images and secrets.
    Pull {
        /// Whose replicas they are for.
        scope: Scope,
        /// By host.
        supplies: BTreeMap<InstanceId, Supplies>,
        /// What registries ask for.
        logins: Vec<RegistryLogin>,
    },
    /// Start replicas and wait for them.
    Start {
        /// Whose replicas they are.
        scope: Scope,
        /// By host.
        starts: BTreeMap<InstanceId, Vec<UnitStart>>,
    },
    /// Tell what replicas have printed.
    Logs {
        /// Whose replicas they are.
        scope: Scope,
        /// The most lines of each.
        lines: u32,
        /// The name of the question.
        asked: String,
        /// Of which replicas, by host.
        hosts: BTreeMap<InstanceId, LogOf>,
    },
    /// Stop units, and keep them.
    Stop {
        /// Whose units they are.
        scope: Scope,
        /// By host.
        handles: BTreeMap<InstanceId, Vec<Handle>>,
    },
    /// Stop and forget units.
    Remove {
        /// Whose units they are.
        scope: Scope,
        /// By the host that does it.
        handles: BTreeMap<InstanceId, Vec<Handle>>,
        /// Whether the environment ends with them.
        ends: bool,
    },
    /// Remove older images.
    Clean {
        /// Whose host it is.
        scope: Scope,
        /// Which go, and which stay.
        cleaning: Cleaning,
    },
    /// Carry out a command, and tell how far it is.
    Command {
        /// Whose host it is.
        scope: Scope,
        /// The command, and what was seen of it so far.
        look: Look,
    },
    /// End a command.
    EndCommand {
        /// Whose host it is.
        scope: Scope,
        /// Its name.
        asked: String,
    },
}

/// One replica to be started, as its host is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitStart {
    /// Its symbolic name.
    pub replica: ReplicaName,
    /// The unit's name.
    pub handle: Handle,
    /// The unit; absent when it is registered already.
    pub unit: Option<Unit>,
    /// How it is probed.
    pub probe: Probe,
    /// What must have stopped before.
    pub stop_before: Option<Handle>,
}

impl Task {
    /// The script that does it.
    pub fn script(&self) -> Script {
        match self {
            Self::Observe { scope } => {
                let header = vec![(SCOPE, scope.to_string())];
                Script {
                    name: "observe",
                    header,
                    body: OBSERVE,
                    kept_as: Some(format!("skipper-observe-{}", scope.stem())),
                }
            }
            Self::Configure { cluster } => configure_script("configure", cluster),
            Self::Hold { cluster } => cluster_script("hold", HOLD, cluster, Vec::new()),
            Self::Restore { cluster } => configure_script("restore", cluster),
            Self::Join { cluster } => cluster_script("join", JOIN, cluster, Vec::new()),
            Self::Leave { cluster, address } => {
                cluster_script("leave", LEAVE, cluster, vec![("LEAVING", address.clone())])
            }
            Self::Link { scope, places } => {
                let rows = by_host(places).map(|(instance, Place { service, address })| {
                    vec![instance.0.clone(), address.to_string(), service.to_string()]
                });
                Script {
                    name: "link",
                    header: vec![(SCOPE, scope.to_string()), ("TABLE", write_table(rows))],
                    body: LINK,
                    kept_as: None,
                }
            }
            Self::Pull { scope, supplies, logins } => {
                let rows = supplies.iter().flat_map(|(instance, supplies)| supply_rows(instance, supplies, logins));
                Script {
                    name: "pull",
                    header: vec![
                        (SCOPE, scope.to_string()),
                        ("TABLE", write_table(rows)),
                        ("WITH_SECRETS", WITH_SECRETS.to_owned()),
                    ],
                    body: PULL,
                    kept_as: None,
                }
            }
            Self::Start { scope, starts } => {
                let rows = by_host(starts).flat_map(|(instance, start)| start_rows(instance, start));
                Script {
                    name: "start",
                    header: vec![(SCOPE, scope.to_string()), ("TABLE", write_table(rows))],
                    body: START,
                    kept_as: None,
                }
            }
            Self::Logs { scope, lines, asked, hosts } => {
                let rows = hosts.iter().flat_map(|(instance, LogOf { offset, since, replicas })| {
                    let since = since.map_or_else(|| "-".to_owned(), seconds);
                    let row = move |(replica, handle): &(ReplicaName, Handle)| {
                        let words = [offset.to_string(), replica.to_string(), handle.0.clone(), since.clone()];
                        std::iter::once(instance.0.clone()).chain(words).collect()
                    };
                    replicas.iter().map(row)
                });
                Script {
                    name: "logs",
                    header: vec![
                        (SCOPE, scope.to_string()),
                        ("TABLE", write_table(rows)),
                        ("LINES", lines.to_string()),
                        ("ASKED", asked.clone()),
                    ],
                    body: LOGS,
                    kept_as: None,
                }
            }
            Self::Stop { scope, handles } => unit_script("stop", STOP, scope, handles),
            Self::Remove { scope, handles, ends } => {
                let mut script = unit_script("remove", REMOVE, scope, handles);
                script.header.push(("ENDS", if *ends { "yes" } else { "" }.to_owned()));
                script
            }
            Self::Clean { scope, cleaning } => {
                let Cleaning { repositories, cutoff, needed } = cleaning;
                let repositories: String =
                    repositories.iter().map(|repository| format!("{}\n", repository.familiar())).collect();
                let needed: String = needed.iter().map(|digest| format!("{digest}\n")).collect();
                Script {
                    name: "clean",
                    header: vec![
                        (SCOPE, scope.to_string()),
                        ("REPOSITORIES", pack(&repositories)),
                        ("CUTOFF", cutoff.to_string()),
                        ("NEEDED", pack(&needed)),
                    ],
                    body: CLEAN,
                    kept_as: None,
                }
            }
            Self::Command { scope, look: Look { asked, text, out, err } } => {
                // Packed: Systems Manager would take double braces within it for its own.
                command(scope, asked, "", [pack(text), out.to_string(), err.to_string()])
            }
            Self::EndCommand { scope, asked } => command(scope, asked, "yes", Default::default()),
        }
    }

    /// Reads a script that [`Task::script`] wrote; nothing for any other. For the simulated world, which carries tasks out.
    pub fn decode(script: &Script) -> Option<Self> {
        let rows = || read_table(script.value("TABLE")?);
        let scope = || script.scope();
        Some(match script.name {
            "observe" => Self::Observe { scope: scope()? },
            "configure" => Self::Configure { cluster: read_cluster(script)? },
            "hold" => Self::Hold { cluster: read_cluster(script)? },
            "restore" => Self::Restore { cluster: read_cluster(script)? },
            "join" => Self::Join { cluster: read_cluster(script)? },
            "leave" => Self::Leave { cluster: read_cluster(script)?, address: script.value("LEAVING")?.to_owned() },
            "pull" => {
                let (supplies, logins) = read_supplies(&rows()?)?;
                Self::Pull { scope: scope()?, supplies, logins }
            }
            "link" => {
                let place = |row: &[String]| {
                    Some(Place { address: row.get(1)?.parse().ok()?, service: row.get(2)?.parse().ok()? })
                };
                Self::Link { scope: scope()?, places: read_by_host(&rows()?, place)? }
            }
            "start" => Self::Start { scope: scope()?, starts: read_starts(&rows()?)? },
            "logs" => Self::Logs {
                scope: scope()?,
                lines: script.value("LINES")?.parse().ok()?,
                asked: script.value("ASKED")?.to_owned(),
                hosts: read_log_of(&rows()?)?,
            },
            "stop" => Self::Stop {
                scope: scope()?,
                handles: read_by_host(&rows()?, |row| Some(Handle(row.get(1)?.clone())))?,
            },
            "remove" => Self::Remove {
                scope: scope()?,
                handles: read_by_host(&rows()?, |row| Some(Handle(row.get(1)?.clone())))?,
                ends: !script.value("ENDS")?.is_empty(),
            },
            "clean" => {
                let lines = |name| Some(unpack(script.value(name)?)?.lines().map(str::to_owned).collect::<Vec<_>>());
                let repositories =
                    lines("REPOSITORIES")?.iter().map(|line| line.parse().ok()).collect::<Option<_>>()?;
                let needed = lines("NEEDED")?.iter().map(|line| line.parse().ok()).collect::<Option<_>>()?;
                let cutoff = script.value("CUTOFF")?.parse().ok()?;
                Self::Clean { scope: scope()?, cleaning: Cleaning { repositories, cutoff, needed } }
            }
            "command" if script.value("END")?.is_empty() => Self::Command {
                scope: scope()?,
                look: Look {
                    asked: script.value("ASKED")?.to_owned(),
                    text: unpack(script.value("COMMAND")?)?,
                    out: script.value("OUT")?.parse().ok()?,
                    err: script.value("ERR")?.parse().ok()?,
                },
            },
            "command" => Self::EndCommand { scope: scope()?, asked: script.value("ASKED")?.to_owned() },
            _ => return None,
        })
    }
}

fn command(scope: &Scope, asked: &str, end: &str, [text, out, err]: [String; 3]) -> Script {
    let header = vec![
        (SCOPE, scope.to_string()),
        ("ASKED", asked.to_owned()),
        ("END", end.to_owned()),
        ("COMMAND", text),
        ("OUT", out),
        ("ERR", err),
    ];
    Script { name: "command", header, body: COMMAND, kept_as: None }
}

/// The identity of a cluster's configuration: everything that a host is given and that is the same for every host. Hosts
/// without a member are no part of it, so that adding one leaves the others as they are; the script is, so that a release
/// of skipper that configures hosts differently does.
pub(super) fn configuration(cluster: &Cluster) -> String {
    let members: String =
        cluster_rows(cluster).filter(|row| row[3] == "member").map(|row| format!("{} {}\n", row[1], row[2])).collect();
    let archives: String = archive_rows(cluster).map(|row| format!("{}\n", row.join(" "))).collect();
    short_hash(
        &[&cluster.scope.to_string(), members.as_str(), &archives, FIREWALL, ETCD_CONNECT, WITH_SECRETS, CONFIGURE]
            .join("\n"),
    )
}

/// The identity of a hosts file, as its host tells it: of all but the names of the host's own containers.
pub(super) fn linked(places: &[Place]) -> String {
    let lines = places.iter().map(|Place { service, address }| format!("{address} {service}\n"));
    short_hash(&std::iter::once("127.0.0.1 localhost\n".to_owned()).chain(lines).collect::<String>())
}

pub(super) fn short_hash(text: &str) -> String {
    hex_digest(text.as_bytes())[..12].to_owned()
}

/// A script about units.
fn unit_script(
    name: &'static str,
    body: &'static str,
    scope: &Scope,
    handles: &BTreeMap<InstanceId, Vec<Handle>>,
) -> Script {
    let rows = by_host(handles).map(|(instance, handle)| vec![instance.0.clone(), handle.0.clone()]);
    let header = vec![(SCOPE, scope.to_string()), ("TABLE", write_table(rows))];
    Script { name, header, body, kept_as: None }
}

/// A script that brings hosts to the cluster's configuration.
fn configure_script(name: &'static str, cluster: &Cluster) -> Script {
    let more = vec![
        ("CONFIGURATION", configuration(cluster)),
        ("FIREWALL", FIREWALL.to_owned()),
        ("WITH_SECRETS", WITH_SECRETS.to_owned()),
    ];
    cluster_script(name, CONFIGURE, cluster, more)
}

/// A script that changes what a host has in its cluster.
fn cluster_script(
    name: &'static str,
    body: &'static str,
    cluster: &Cluster,
    more: Vec<(&'static str, String)>,
) -> Script {
    let founding = match (cluster.founding, name) {
        (false, _) => "no",
        (true, "hold" | "restore") => "anew",
        (true, _) => "yes",
    };
    let header = vec![
        (SCOPE, cluster.scope.to_string()),
        ("TABLE", write_table(cluster_rows(cluster))),
        ("FOUNDING", founding.to_owned()),
        ("ARCHIVES", write_table(archive_rows(cluster))),
        ("ETCD_CONNECT", ETCD_CONNECT.to_owned()),
    ];
    Script { name, header: header.into_iter().chain(more).collect(), body, kept_as: None }
}

fn read_cluster(script: &Script) -> Option<Cluster> {
    let rows = read_table(script.value("TABLE")?)?;
    let host = |row: &Vec<String>| {
        Some(ClusterHost {
            host: row.get(1)?.parse().ok()?,
            instance: instance(row)?,
            private_address: row.get(2)?.clone(),
            architecture: row.get(4)?.parse().ok()?,
        })
    };
    let archive = |row: &Vec<String>| {
        let sha256 = row.get(3).filter(|sha256| !sha256.is_empty()).cloned();
        Some((row.first()?.parse().ok()?, FleetArchive { url: row.get(2)?.clone(), sha256 }))
    };
    let is_member = |row: &&Vec<String>| row.get(3).is_some_and(|word| word == "member");
    Some(Cluster {
        scope: script.scope()?,
        hosts: rows.iter().map(host).collect::<Option<_>>()?,
        members: rows.iter().filter(is_member).map(|row| row.get(1)?.parse().ok()).collect::<Option<_>>()?,
        founding: script.value("FOUNDING")? != "no",
        archives: read_table(script.value("ARCHIVES")?)?.iter().map(archive).collect::<Option<_>>()?,
    })
}
