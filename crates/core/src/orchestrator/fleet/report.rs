//! What a host script says: tab-separated lines, raw as the host found them, and how they are read.
//!
//! The writers are the scripts themselves; those here say the same for the simulated world.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::unit::{read_binding, read_probe};
use crate::{
    command::{CommandState, LARGEST_PART, Part, Seen},
    etcd::{EtcdMember, MemberState, Membership},
    log::LogPart,
    name::ReplicaName,
    observed::{Handle, Health, HostReport, ObservedReplica, OrchestratorState, ReplicaState, Stray},
    orchestrator::{HostCleaned, HostError, HostErrorKind, StartOutcome, Started, fleet::quote::systemd_word},
    script::{decode_result, encode_result, pack_bytes, unpack_bytes},
};

/// A field that is not there.
const NONE: &str = "-";

/// The lines of a result, split into fields; a reported failure is the error.
fn lines(output: &str) -> Result<Vec<Vec<String>>, HostError> {
    let text = decode_result(output).map_err(HostError::Unreadable)?;
    let lines: Vec<Vec<String>> = text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect();
    let error = lines.iter().find_map(|line| match &line[..] {
        [word, kind, what @ ..] if word == "error" => {
            Some(HostError::Said { kind: read_kind(kind), what: what.join(" ") })
        }
        _ => None,
    });
    error.map_or(Ok(lines), Err)
}

const KINDS: [(HostErrorKind, &str); 10] = [
    (HostErrorKind::ArchiveMissing, "archive-missing"),
    (HostErrorKind::ArchiveHash, "archive-hash"),
    (HostErrorKind::Engine, "engine"),
    (HostErrorKind::DiskFull, "disk-full"),
    (HostErrorKind::Platform, "platform"),
    (HostErrorKind::Secret, "secret"),
    (HostErrorKind::Pull, "pull"),
    (HostErrorKind::RegistryRole, "registry-role"),
    (HostErrorKind::Fenced, "fenced"),
    (HostErrorKind::Other, "other"),
];

fn read_kind(word: &str) -> HostErrorKind {
    KINDS.iter().find(|(_, known)| *known == word).map_or(HostErrorKind::Other, |(kind, _)| *kind)
}

fn not_understood(line: &[String]) -> HostError {
    HostError::NotUnderstood(line.join(" ").chars().take(200).collect())
}

/// Reads the answer of a script that reports nothing but success.
pub(super) fn read_done(output: &str) -> Result<(), HostError> {
    match lines(output)?.as_slice() {
        [line] if line[..] == ["done"] => Ok(()),
        other => Err(not_understood(&other.concat())),
    }
}

/// Reads the answer to `start`.
pub(super) fn read_started(output: &str) -> Result<Vec<Started>, HostError> {
    let mut started: Vec<Started> = Vec::new();
    for line in lines(output)? {
        let fields: Vec<&str> = line.iter().map(String::as_str).collect();
        let replica = |word: &str| word.parse::<ReplicaName>().map_err(|_| not_understood(&line));
        let millis = |word: &str| word.parse::<u64>().map_err(|_| not_understood(&line));
        match fields[..] {
            ["healthy", name, handle, took] => started.push(Started {
                replica: replica(name)?,
                handle: Handle(handle.to_owned()),
                outcome: StartOutcome::Healthy,
                took_ms: millis(took)?,
            }),
            ["failed", name, handle, took, ref why @ ..] => started.push(Started {
                replica: replica(name)?,
                handle: Handle(handle.to_owned()),
                outcome: StartOutcome::Failed { why: why.join(" "), journal: Vec::new() },
                took_ms: millis(took)?,
            }),
            ["journal", handle, ref words @ ..] => {
                let of = started.iter_mut().find(|started| started.handle.0 == handle);
                match of.map(|started| &mut started.outcome) {
                    Some(StartOutcome::Failed { journal, .. }) => journal.push(words.join("\t")),
                    _ => return Err(not_understood(&line)),
                }
            }
            _ => return Err(not_understood(&line)),
        }
    }
    Ok(started)
}

/// Reads the answer to `logs`.
pub(super) fn read_logs(output: &str) -> Result<LogPart, HostError> {
    let lines = lines(output)?;
    let line = lines.first().filter(|_| lines.len() == 1).ok_or_else(|| not_understood(&lines.concat()))?;
    let fields: Vec<&str> = line.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse::<u64>().map_err(|_| not_understood(line));
    match fields[..] {
        ["part", offset, total, text] => {
            Ok(LogPart { offset: number(offset)?, total: number(total)?, text: text.to_owned() })
        }
        _ => Err(not_understood(line)),
    }
}

/// Reads the answer to `clean`.
pub(super) fn read_cleaned(output: &str) -> Result<HostCleaned, HostError> {
    let mut cleaned = HostCleaned::default();
    let mut has_ended = false;
    for line in lines(output)? {
        let fields: Vec<&str> = line.iter().map(String::as_str).collect();
        let number = |word: &str| word.parse::<u64>().map_err(|_| not_understood(&line));
        match fields[..] {
            ["removed", image, size] => cleaned.removed.push((image.to_owned(), number(size)?)),
            ["unnamed", count] => cleaned.unnamed = number(count)?,
            ["stuck", image, ref words @ ..] => cleaned.stuck.push((image.to_owned(), words.join(" "))),
            ["freed", NONE] => has_ended = true,
            ["freed", bytes] => {
                cleaned.freed = Some(number(bytes)?);
                has_ended = true;
            }
            _ => return Err(not_understood(&line)),
        }
    }
    if has_ended { Ok(cleaned) } else { Err(HostError::NotUnderstood("an answer without its last line".to_owned())) }
}

/// Reads the answer to `command`.
pub(super) fn read_seen(output: &str) -> Result<Seen, HostError> {
    let lines = lines(output)?;
    let part = |line: &[String], name: &str| match line {
        [word, offset, total, packed] if word == name => {
            let bytes = unpack_bytes(packed, LARGEST_PART)?;
            Some(Part { offset: offset.parse().ok()?, total: total.parse().ok()?, bytes })
        }
        _ => None,
    };
    let state = |line: &[String]| match line {
        [word, state] if word == "state" => Some(match state.as_str() {
            "running" => CommandState::Running,
            "lost" => CommandState::Lost,
            code => CommandState::Ended(code.parse().ok()?),
        }),
        _ => None,
    };
    let read = match &lines[..] {
        [err, out, last] => part(err, "err").zip(part(out, "out")).zip(state(last)),
        _ => None,
    };
    let ((err, out), state) = read.ok_or_else(|| not_understood(&lines.concat()))?;
    Ok(Seen { out, err, state })
}

/// One unit of the host, as far as the lines have told.
struct Found {
    /// systemd's active state by fleet's row of this host; `-` without a row.
    active: String,
    /// Whether its container runs.
    running: bool,
    observed: ObservedReplica,
}

/// Reads the answer to `observe`.
pub(super) fn read_observation(output: &str) -> Result<HostReport, HostError> {
    let lines = lines(output)?;
    let mut configured = None;
    let mut boot = None;
    let mut membership = None;
    let mut etcd = Vec::new();
    let mut orchestrator = None;
    let mut engine = None;
    let mut host = None;
    let mut stray = Vec::new();
    let mut fence = 0;
    let mut links = None;
    let mut held_ports = BTreeSet::new();
    let mut volumes = None;
    let mut units: BTreeMap<Handle, Found> = BTreeMap::new();
    for line in &lines {
        let fields: Vec<&str> = line.iter().map(String::as_str).collect();
        match fields[..] {
            ["configured", identity] => configured = (identity != NONE).then(|| identity.to_owned()),
            ["boot", id] => boot = Some(id.to_owned()),
            ["member", word] => {
                let known = Membership::ALL.into_iter().find(|known| known.word() == word);
                membership = Some(known.ok_or_else(|| not_understood(line))?);
            }
            ["etcd", address, word] => {
                let known = MemberState::ALL.into_iter().find(|known| known.word() == word);
                let state = known.ok_or_else(|| not_understood(line))?;
                etcd.push(EtcdMember { address: address.to_owned(), state });
            }
            ["fence", lease] => fence = lease.parse().map_err(|_| not_understood(line))?,
            ["links", identity] => links = Some(identity.to_owned()),
            ["held", ref ports @ ..] => {
                held_ports = ports
                    .iter()
                    .map(|port| port.parse())
                    .collect::<Result<_, _>>()
                    .map_err(|_| not_understood(line))?;
            }
            ["volumes", ref names @ ..] => volumes = Some(names.iter().map(|name| (*name).to_owned()).collect()),
            ["fleet", "absent"] => orchestrator = Some(OrchestratorState::Absent),
            ["fleet", "ready"] => orchestrator = Some(OrchestratorState::Ready),
            ["fleet", "silent", ref words @ ..] => orchestrator = Some(OrchestratorState::Silent(words.join(" "))),
            ["fleet", "emptied", ref words @ ..] => orchestrator = Some(OrchestratorState::Emptied(words.join(" "))),
            ["engine", ref words @ ..] => engine = Some(words.join(" ")),
            ["host", name] => host = Some(name.parse().map_err(|_| not_understood(line))?),
            ["stray", handle, host] => match (read_handle(handle), host.parse()) {
                (Some(handle), Ok(host)) => stray.push(Stray { handle, host }),
                _ => return Err(not_understood(line)),
            },
            ["unit", handle, replica, desired_state, active] => {
                let found = Found::new(handle, replica, desired_state, active).ok_or_else(|| not_understood(line))?;
                // A second line would take away what is known of the container.
                if units.insert(found.observed.handle.clone(), found).is_some() {
                    return Err(not_understood(line));
                }
            }
            ["text" | "container" | "health", handle, ref facts @ ..] => {
                let unit = units.get_mut(&Handle(handle.to_owned())).ok_or_else(|| not_understood(line))?;
                unit.learn(fields[0], facts).ok_or_else(|| not_understood(line))?;
            }
            _ => return Err(not_understood(line)),
        }
    }
    let (Some(membership), Some(orchestrator)) = (membership, orchestrator) else {
        return Err(HostError::NotUnderstood("a report without its first lines".to_owned()));
    };
    let replicas = units.into_values().map(Found::finish).collect();
    // In one order, whatever the order they were told in.
    etcd.sort();
    Ok(HostReport {
        configured,
        boot,
        membership,
        etcd,
        fence,
        orchestrator,
        engine,
        replicas,
        host,
        stray,
        links,
        held_ports,
        volumes,
    })
}

/// A unit's name, as systemd takes it. It goes back to other hosts, where it names a file.
fn read_handle(word: &str) -> Option<Handle> {
    let inner = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.' | ':' | '@');
    let stem = word.strip_suffix(".service")?;
    let fits = stem.starts_with(|char: char| char.is_ascii_alphanumeric()) && stem.chars().all(inner);
    fits.then(|| Handle(word.to_owned()))
}

impl Found {
    fn new(handle: &str, replica: &str, desired_state: &str, active: &str) -> Option<Self> {
        Some(Self {
            observed: ObservedReplica {
                replica: replica.parse().ok()?,
                handle: read_handle(handle)?,
                wanted: match desired_state {
                    "launched" => true,
                    "loaded" | "inactive" => false,
                    // Taken for one that should not run, it might be removed.
                    _ => return None,
                },
                state: ReplicaState::Waiting,
                image: None,
                bindings: Vec::new(),
                probe: None,
                health: Health::Unknown,
                since: None,
            },
            active: active.to_owned(),
            running: false,
        })
    }

    /// Takes in the facts of one more line; nothing when they make no sense.
    fn learn(&mut self, word: &str, facts: &[&str]) -> Option<()> {
        match (word, facts) {
            // What the unit file says: published ports, and the label with the probe as it stands there.
            ("text", [publish, probe]) => {
                let words = publish.split(' ').filter(|word| !word.is_empty() && *word != NONE);
                self.observed.bindings = words.map(read_binding).collect::<Option<_>>()?;
                self.observed.probe = read_probe(probe);
            }
            ("container", [image, status, since]) => {
                self.running = *status == "running";
                // A container that somebody started by another reference runs no pinned image.
                self.observed.image = image.parse().ok();
                self.observed.since = (*since != NONE).then(|| (*since).to_owned());
            }
            ("health", ["healthy"]) => self.observed.health = Health::Healthy,
            ("health", ["unhealthy", words @ ..]) => self.observed.health = Health::Unhealthy(words.join(" ")),
            _ => return None,
        }
        Some(())
    }

    /// The container is believed before fleet's row, which lags behind.
    fn finish(self) -> ObservedReplica {
        let Self { active, running, mut observed } = self;
        observed.state = match active.as_str() {
            _ if running => ReplicaState::Running,
            NONE if observed.wanted => ReplicaState::Waiting,
            _ if !observed.wanted => ReplicaState::Stopped,
            "active" | "activating" | "reloading" => ReplicaState::Starting,
            // Asked to run, known to systemd, and it does not: fleet itself would leave it so.
            _ => ReplicaState::Failed,
        };
        observed
    }
}

/// What `observe` says on a host of which this is true.
pub fn encode_report(report: &HostReport) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "configured\t{}", report.configured.as_deref().unwrap_or(NONE));
    if let Some(boot) = &report.boot {
        let _ = writeln!(text, "boot\t{boot}");
    }
    let _ = writeln!(text, "member\t{}", report.membership.word());
    for EtcdMember { address, state } in &report.etcd {
        let _ = writeln!(text, "etcd\t{address}\t{}", state.word());
    }
    let _ = writeln!(text, "fence\t{}", report.fence);
    if let Some(links) = &report.links {
        let _ = writeln!(text, "links\t{links}");
    }
    if let Some(volumes) = &report.volumes {
        let names: String = volumes.iter().map(|name| format!("\t{name}")).collect();
        let _ = writeln!(text, "volumes{names}");
    }
    if let Some(words) = &report.engine {
        let _ = writeln!(text, "engine\t{words}");
    }
    let _ = match &report.orchestrator {
        OrchestratorState::Absent => writeln!(text, "fleet\tabsent"),
        OrchestratorState::Ready => writeln!(text, "fleet\tready"),
        OrchestratorState::Silent(words) => writeln!(text, "fleet\tsilent\t{words}"),
        OrchestratorState::Emptied(words) => writeln!(text, "fleet\temptied\t{words}"),
    };
    if let Some(host) = &report.host {
        let _ = writeln!(text, "host\t{host}");
    }
    for replica in &report.replicas {
        let ObservedReplica { replica: name, handle, wanted, state, image, bindings, probe, health, since } = replica;
        let desired_state = if *wanted { "launched" } else { "loaded" };
        let active = match state {
            ReplicaState::Running => "active",
            ReplicaState::Starting => "activating",
            ReplicaState::Failed => "failed",
            ReplicaState::Stopped => "inactive",
            ReplicaState::Waiting => NONE,
        };
        let _ = writeln!(text, "unit\t{handle}\t{name}\t{desired_state}\t{active}");
        let publish: Vec<String> =
            bindings.iter().map(|binding| format!("{}:{}", binding.host, binding.container)).collect();
        let probe = probe.as_ref().map_or(NONE.to_owned(), |probe| systemd_word(&format!("skipper.probe={probe}")));
        let publish = if publish.is_empty() { NONE.to_owned() } else { publish.join(" ") };
        let _ = writeln!(text, "text\t{handle}\t{publish}\t{probe}");
        if *state == ReplicaState::Running || image.is_some() || since.is_some() {
            let image = image.as_ref().map_or(NONE.to_owned(), ToString::to_string);
            let status = if *state == ReplicaState::Running { "running" } else { "created" };
            let _ = writeln!(text, "container\t{handle}\t{image}\t{status}\t{}", since.as_deref().unwrap_or(NONE));
        }
        let _ = match health {
            Health::Healthy => writeln!(text, "health\t{handle}\thealthy"),
            Health::Unhealthy(words) => writeln!(text, "health\t{handle}\tunhealthy\t{words}"),
            Health::Unknown => Ok(()),
        };
    }
    if !report.held_ports.is_empty() {
        let ports: Vec<String> = report.held_ports.iter().map(u16::to_string).collect();
        let _ = writeln!(text, "held\t{}", ports.join("\t"));
    }
    for Stray { handle, host } in &report.stray {
        let _ = writeln!(text, "stray\t{handle}\t{host}");
    }
    encode_result(&text)
}

/// What `start` says when this is how it ended.
pub fn encode_started(started: &[Started]) -> String {
    let mut text = String::new();
    for Started { replica, handle, outcome, took_ms } in started {
        let _ = match outcome {
            StartOutcome::Healthy => writeln!(text, "healthy\t{replica}\t{handle}\t{took_ms}"),
            StartOutcome::Failed { why, journal } => {
                let _ = writeln!(text, "failed\t{replica}\t{handle}\t{took_ms}\t{why}");
                journal.iter().try_for_each(|line| writeln!(text, "journal\t{handle}\t{line}"))
            }
        };
    }
    encode_result(&text)
}

/// What `logs` says where this is the part.
pub fn encode_log_part(part: &LogPart) -> String {
    encode_result(&format!("part\t{}\t{}\t{}\n", part.offset, part.total, part.text))
}

/// What `clean` says when this is what it did.
pub fn encode_cleaned(cleaned: &HostCleaned) -> String {
    let HostCleaned { removed, unnamed, freed, stuck } = cleaned;
    let mut text = String::new();
    for (image, size) in removed {
        let _ = writeln!(text, "removed\t{image}\t{size}");
    }
    if *unnamed > 0 {
        let _ = writeln!(text, "unnamed\t{unnamed}");
    }
    for (image, words) in stuck {
        let _ = writeln!(text, "stuck\t{image}\t{words}");
    }
    let freed = freed.map_or_else(|| NONE.to_owned(), |bytes| bytes.to_string());
    let _ = writeln!(text, "freed\t{freed}");
    encode_result(&text)
}

/// What `command` says where this is to be seen.
pub fn encode_seen(seen: &Seen) -> String {
    let part =
        |name: &str, part: &Part| format!("{name}\t{}\t{}\t{}\n", part.offset, part.total, pack_bytes(&part.bytes));
    let state = match seen.state {
        CommandState::Running => "running".to_owned(),
        CommandState::Lost => "lost".to_owned(),
        CommandState::Ended(code) => code.to_string(),
    };
    encode_result(&format!("{}{}state\t{state}\n", part("err", &seen.err), part("out", &seen.out)))
}

/// What a script says that has done its work and has nothing to report.
pub fn encode_done() -> String {
    encode_result("done\n")
}

/// What a script says that failed.
pub fn encode_error(kind: HostErrorKind, what: &str) -> String {
    let word = KINDS.iter().find(|(known, _)| *known == kind).map_or("other", |(_, word)| word);
    encode_result(&format!("error\t{word}\t{what}\n"))
}
