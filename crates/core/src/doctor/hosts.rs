//! What hosts tell of themselves, and what it means for a deployment.

use std::{collections::BTreeMap, time::Duration};

use super::{Finding, Verdict};
use crate::{
    desired::Scope,
    name::HostName,
    observed::Agent,
    script::{ResultError, SCOPE, Script, decode_result},
};

/// What is run on the hosts.
const CHECKUP: &str =
    concat!(include_str!("../orchestrator/scripts/lib.sh"), include_str!("../orchestrator/scripts/checkup.sh"));

/// The first agent that knows Flatcar; older ones call it an unknown platform (flatcar/Flatcar#1738, aws/amazon-ssm-agent#442).
const OLDEST_AGENT: [u32; 3] = [3, 2, 1542];
/// Room that images of one more release need, in KiB: less, and the next pull may fill the disk.
const LEAST_ROOM: u64 = 2 * 1024 * 1024;
/// How far a host's clock may be off. AWS refuses signatures that are five minutes old, and etcd's members get restless before.
const LARGEST_SKEW: Duration = Duration::from_secs(30);
/// What Flatcar's update engine says when an update waits for a restart.
const NEEDS_REBOOT: &str = "UPDATE_STATUS_UPDATED_NEED_REBOOT";

/// What one host tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// Free KiB where images are kept.
    pub free: u64,
    /// All KiB there.
    pub total: u64,
    /// Its time, in milliseconds since 1970.
    pub clock: u64,
    /// What its update engine is about; absent where there is none.
    pub update: Option<String>,
    /// The role of its instance; absent where it has none.
    pub role: Option<String>,
}

/// The script that asks a host for its facts.
pub fn checkup(scope: &Scope) -> Script {
    Script { name: "checkup", header: vec![(SCOPE, scope.to_string())], body: CHECKUP, kept_as: None }
}

/// Reads a host's answer to [`checkup`]; nothing where it makes no sense.
///
/// # Errors
/// When there is no whole result.
pub fn read_facts(output: &str) -> Result<Option<HostFacts>, ResultError> {
    let text = decode_result(output)?;
    let (mut room, mut clock, mut update, mut role) = (None, None, None, None);
    let known = |word: &str| (word != "-").then(|| word.to_owned());
    for line in text.lines() {
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["room", free, total] => room = free.parse().ok().zip(total.parse().ok()),
            ["clock", millis] => clock = millis.parse().ok(),
            ["update", word] => update = Some(known(word)),
            ["role", word] => role = Some(known(word)),
            _ => return Ok(None),
        }
    }
    let facts = room.zip(clock).zip(update.zip(role));
    Ok(facts.map(|(((free, total), clock), (update, role))| HostFacts { free, total, clock, update, role }))
}

/// The agents: each host's has to answer, and to be new enough.
pub fn judge_agents(agents: &BTreeMap<HostName, (Agent, Option<String>)>) -> Vec<Finding> {
    let judge = |(host, (agent, version)): (&HostName, &(Agent, Option<String>))| {
        let what = format!("host `{host}`: SSM agent");
        let version = version.as_deref().unwrap_or("of unknown version");
        match agent {
            Agent::Online if is_old(version) => Finding::of(
                Verdict::Wrong,
                what,
                format!("{version}, which does not know Flatcar"),
                "let the host update itself to a newer Flatcar, or terminate it: a new one has a newer agent (3.2.1542 at least)",
            ),
            Agent::Online => Finding::fine(what, format!("online, {version}")),
            Agent::Lost => Finding::of(
                Verdict::Wrong,
                what,
                "it has stopped answering",
                "see whether the instance is healthy and has a way out to Systems Manager, and restart it",
            ),
            Agent::Absent => Finding::of(
                Verdict::Wrong,
                what,
                "it has never registered",
                "see that the role of its instance profile has what `skipper iam` prints for hosts, and that it has a way out to Systems Manager",
            ),
        }
    };
    agents.iter().map(judge).collect()
}

/// Whether a version is before [`OLDEST_AGENT`]; one that cannot be read is not.
fn is_old(version: &str) -> bool {
    let parts: Result<Vec<u32>, _> = version.split('.').take(OLDEST_AGENT.len()).map(str::parse).collect();
    parts.is_ok_and(|parts| parts.len() == OLDEST_AGENT.len() && parts[..] < OLDEST_AGENT[..])
}

/// One host. It was asked and had answered within `asked`, in milliseconds since 1970 by the clock of whoever asked.
pub fn judge_host(host: &HostName, facts: &HostFacts, asked: (u64, u64), role: &str) -> Vec<Finding> {
    let what = |part: &str| format!("host `{host}`: {part}");
    let gib = |kib: u64| format!("{}.{} GiB", kib / 1024 / 1024, kib / 1024 % 1024 * 10 / 1024);
    let room = format!("{} of {} free", gib(facts.free), gib(facts.total));
    let disk = if facts.free < LEAST_ROOM {
        let hint = "remove images that nothing uses (`docker image prune --all` on the host), or give the group a larger `disk` and replace the host";
        Finding::of(Verdict::Wrong, what("disk"), room, hint)
    } else {
        Finding::fine(what("disk"), room)
    };
    let skew = Duration::from_millis(asked.0.saturating_sub(facts.clock).max(facts.clock.saturating_sub(asked.1)));
    let clock = if skew > LARGEST_SKEW {
        let says = format!("it is {} s off the clock of this machine", skew.as_secs());
        Finding::of(
            Verdict::Wrong,
            what("clock"),
            says,
            "see whether `systemd-timesyncd` runs on the host, and whether this machine's own clock is right",
        )
    } else {
        Finding::fine(what("clock"), "it agrees with this machine's")
    };
    let update = match facts.update.as_deref() {
        Some(NEEDS_REBOOT) => {
            let hint = "restart the host when its replicas may be away for a minute: skipper keeps Flatcar from doing it by itself";
            Finding::of(Verdict::Advice, what("update"), "an update waits for a restart", hint)
        }
        Some(_) => Finding::fine(what("update"), "none is pending"),
        None => Finding::fine(what("update"), "it has no update engine"),
    };
    let role = match &facts.role {
        Some(found) => Finding::fine(what("role"), format!("`{found}`")),
        None => Finding::of(
            Verdict::Wrong,
            what("role"),
            "its instance has no role",
            format!("give the instance the instance profile `{role}`: `aws ec2 associate-iam-instance-profile`"),
        ),
    };
    vec![disk, clock, update, role]
}
