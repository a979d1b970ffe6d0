//! What replicas have printed, of all hosts in the order of time, in as many parts as it takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use skipper_core::{
    desired::Scope,
    exit::Exit,
    failure::Failure,
    log::{LogLine, LogOf, LogPart, read_lines},
    observed::InstanceId,
    orchestrator::Orchestrator,
};

use crate::{
    execute::host_failure,
    ports::{Invocation, Remote},
};

/// How long a host may take for one part.
const DEADLINE: Duration = Duration::from_secs(60);
/// Characters that one host may have collected: what four megabytes take that do not compress, and some.
const LARGEST: u64 = 8_000_000;

/// Whose logs are read, and how.
#[derive(Clone, Copy)]
pub struct Logs<'a> {
    /// Scripts on hosts.
    pub remote: &'a dyn Remote,
    /// What runs replicas.
    pub orchestrator: &'a dyn Orchestrator,
    /// Whose replicas they are.
    pub scope: &'a Scope,
}

/// What was read, and what was not.
#[derive(Debug, Default)]
pub struct Read {
    /// The lines with the hosts that told them, the oldest first.
    pub lines: Vec<(InstanceId, LogLine)>,
    /// Hosts that told nothing, or not everything.
    pub failures: Vec<Failure>,
}

impl Logs<'_> {
    /// Reads the newest lines of the replicas of each host, at most so many of each replica: one question to all, by the name `asked`,
    /// which no other question may have, and one more to those that have more to tell than one answer holds. A host that does not
    /// answer keeps no other from being read.
    pub async fn read(&self, lines: u32, asked: &str, hosts: &BTreeMap<InstanceId, LogOf>) -> Read {
        let mut read = Read::default();
        let mut collected: BTreeMap<InstanceId, String> = BTreeMap::new();
        let mut open: BTreeMap<InstanceId, LogOf> = hosts.clone();
        open.values_mut().for_each(|of_host| of_host.offset = 0);
        while !open.is_empty() {
            let parts = match self.parts(lines, asked, &open).await {
                Ok(parts) => parts,
                Err(failure) => {
                    read.failures.push(failure.during("read the logs"));
                    return read;
                }
            };
            let mut next = BTreeMap::new();
            for (instance, of_host) in open {
                let so_far = collected.entry(instance.clone()).or_default();
                let part = parts.get(&instance).cloned();
                let part = part.unwrap_or_else(|| Err(Failure::new(Exit::Blocked, "it did not answer")));
                match part.and_then(|part| appended(so_far, part)) {
                    Ok(true) => {
                        next.insert(instance, LogOf { offset: so_far.len() as u64, ..of_host });
                    }
                    Ok(false) => {}
                    Err(failure) => {
                        collected.remove(&instance);
                        read.failures.push(during(&instance, failure));
                    }
                }
            }
            open = next;
        }
        for (instance, text) in collected {
            match hosts.get(&instance).and_then(|of_host| read_lines(&text, of_host)) {
                Some((lines, cut)) => {
                    read.lines.extend(lines.into_iter().map(|line| (instance.clone(), line)));
                    if cut {
                        let more = Failure::new(
                            Exit::Serves,
                            "it has printed more than is read at once; the newest are shown",
                        );
                        read.failures.push(during(&instance, more.hint("ask for less, with `--since` or `--tail`")));
                    }
                }
                None => {
                    let unread = Failure::new(Exit::Blocked, "what it has collected cannot be read");
                    read.failures.push(during(&instance, unread));
                }
            }
        }
        // What one replica printed at one moment stays in its order.
        read.lines.sort_by_key(|(_, line)| line.at);
        read
    }

    async fn parts(
        &self,
        lines: u32,
        asked: &str,
        hosts: &BTreeMap<InstanceId, LogOf>,
    ) -> Result<BTreeMap<InstanceId, Result<LogPart, Failure>>, Failure> {
        let script = self.orchestrator.logs(self.scope, lines, asked, hosts);
        let on: BTreeSet<InstanceId> = hosts.keys().cloned().collect();
        let answers = self.remote.run(&on, &script, DEADLINE).await.map_err(|error| error.failure)?;
        let part = |answer| match answer {
            Invocation::Finished { stdout, .. } => {
                self.orchestrator.read_logs(&stdout).map_err(|error| host_failure(&error))
            }
            Invocation::Lost(status) => Err(Failure::new(Exit::Blocked, format!("it did not answer: {status}"))),
        };
        Ok(answers.into_iter().map(|(instance, answer)| (instance, part(answer))).collect())
    }
}

fn during(instance: &InstanceId, failure: Failure) -> Failure {
    failure.during(format!("read the log of instance `{instance}`"))
}

/// Adds a part to what there is; whether there is more to come.
fn appended(so_far: &mut String, part: LogPart) -> Result<bool, Failure> {
    let fits = part.offset == so_far.len() as u64 && part.total <= LARGEST;
    so_far.push_str(&part.text);
    let is_whole = so_far.len() as u64 == part.total;
    // A host that tells nothing new would be asked for ever.
    if fits && (is_whole || !part.text.is_empty() && (so_far.len() as u64) < part.total) {
        Ok(!is_whole)
    } else {
        Err(Failure::new(Exit::Blocked, "its answer is no part of what it has collected"))
    }
}
