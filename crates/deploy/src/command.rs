//! A command on a host for somebody who looks on: found, begun, watched to its end, or ended with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use skipper_core::{
    command::{CommandState, Look, Part, Seen},
    desired::Scope,
    exit::Exit,
    failure::Failure,
    name::HostName,
    observed::{Agent, InstanceId},
    orchestrator::Orchestrator,
    script::Script,
};

use crate::{
    execute::host_failure,
    observe::Eyes,
    ports::{Invocation, PortError, Remote},
};

/// How long a host may take for one look, which waits for news for some seconds.
const DEADLINE: Duration = Duration::from_secs(60);
/// Looks in a row that may bring nothing.
const PATIENCE: u32 = 5;
/// Between two of them.
const PAUSE: Duration = Duration::from_secs(2);

/// Which of a command's streams something was printed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Its output.
    Out,
    /// Its errors.
    Err,
}

/// The instance of the host of this name, and whether its agent answers.
///
/// # Errors
/// [`Exit::BadInput`] with the hosts that there are, where none has it.
pub async fn find_host(
    eyes: &Eyes<'_>,
    hosts_of: &Scope,
    uuid: &str,
) -> Result<(HostName, InstanceId, Agent), Failure> {
    let (instances, agents) = futures::try_join!(eyes.instances(hosts_of), eyes.agents(hosts_of))?;
    let known: BTreeMap<HostName, InstanceId> =
        instances.into_iter().filter_map(|found| Some((found.host?, found.instance))).collect();
    let found = uuid.parse::<HostName>().ok().and_then(|host| known.get_key_value(&host));
    match found {
        Some((host, instance)) => {
            let agent = agents.get(instance).copied().unwrap_or(Agent::Absent);
            Ok((host.clone(), instance.clone(), agent))
        }
        None => {
            let names: Vec<String> = known.keys().map(|host| format!("`{host}`")).collect();
            let failure = Failure::new(Exit::BadInput, format!("there is no host `{uuid}`"));
            Err(failure.hint(match names.is_empty() {
                true => "there are no hosts; `skipper instances deploy` brings them up".to_owned(),
                false => format!("name one of {}", names.join(", ")),
            }))
        }
    }
}

/// One command on one host.
#[derive(Clone, Copy)]
pub struct Command<'a> {
    /// Scripts on hosts.
    pub remote: &'a dyn Remote,
    /// What they are made by.
    pub orchestrator: &'a dyn Orchestrator,
    /// Whose host it is.
    pub scope: &'a Scope,
    /// Which host.
    pub instance: &'a InstanceId,
    /// The command's name, which no other has.
    pub asked: &'a str,
}

impl Command<'_> {
    /// Carries it out, shows what it prints as it comes, and returns its exit code. Where nothing is heard for long it is given up,
    /// and goes on.
    ///
    /// # Errors
    /// When it cannot be begun, or nobody knows how it ended.
    pub async fn carry_out(&self, text: &str, mut show: impl FnMut(Stream, &[u8])) -> Result<u8, Failure> {
        let mut look = Look { asked: self.asked.to_owned(), text: text.to_owned(), out: 0, err: 0 };
        let mut in_vain = 0;
        loop {
            let script = self.orchestrator.look_at_command(self.scope, &look);
            let seen = match self.ask(&script).await {
                Ok(stdout) => self.orchestrator.read_command(&stdout).map_err(|error| host_failure(&error))?,
                Err((_, true)) if in_vain < PATIENCE => {
                    in_vain += 1;
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err((failure, _)) => return Err(failure),
            };
            in_vain = 0;
            let Seen { out, err, state } = seen;
            let is_whole_err = advance(&mut look.err, &err)?;
            show(Stream::Err, &err.bytes);
            let is_whole_out = advance(&mut look.out, &out)?;
            show(Stream::Out, &out.bytes);
            match state {
                CommandState::Running => {}
                // There is more to tell.
                _ if !(is_whole_err && is_whole_out) => {}
                CommandState::Ended(code) => return Ok(code),
                CommandState::Lost => {
                    let failure = Failure::new(Exit::Blocked, "the command is gone, and nobody knows how it ended");
                    return Err(
                        failure.hint("somebody stopped it, or the host was restarted; what it has printed is above")
                    );
                }
            }
        }
    }

    /// Ends it with everything that it has begun.
    ///
    /// # Errors
    /// When it may go on.
    pub async fn end(&self) -> Result<(), Failure> {
        let script = self.orchestrator.end_command(self.scope, self.asked);
        let stdout = self.ask(&script).await.map_err(|(failure, _)| failure)?;
        self.orchestrator.read_done(&stdout).map_err(|error| host_failure(&error))
    }

    /// The host's answer; with the failure whether asking again may help.
    async fn ask(&self, script: &Script) -> Result<String, (Failure, bool)> {
        let on = BTreeSet::from([self.instance.clone()]);
        let answers = self.remote.run(&on, script, DEADLINE).await;
        // Sending it twice does no harm: a look is by its offsets, and a command begins once.
        let mut answers = answers.map_err(|error| (error.failure.clone(), PortError::is_worth_retrying(&error)))?;
        match answers.remove(self.instance) {
            Some(Invocation::Finished { stdout, .. }) => Ok(stdout),
            Some(Invocation::Lost(status)) => {
                Err((Failure::new(Exit::Blocked, format!("the host did not answer: {status}")), true))
            }
            None => Err((Failure::new(Exit::Blocked, "the host did not answer"), true)),
        }
    }
}

/// Goes on behind a part; whether there is nothing more.
fn advance(offset: &mut u64, part: &Part) -> Result<bool, Failure> {
    let end = part.offset.saturating_add(part.bytes.len() as u64);
    let is_progress = !part.bytes.is_empty() || end == part.total;
    if part.offset != *offset || end > part.total || !is_progress {
        return Err(Failure::new(Exit::Blocked, "the host's answer is no part of what the command has printed"));
    }
    *offset = end;
    Ok(end == part.total)
}
