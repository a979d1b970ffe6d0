//! Runs one script on many instances and waits for every result.
//!
//! One listing of invocations serves all hosts of a command: the list carries the head of each output, which is where scripts put
//! their result. Only what does not fit there is fetched by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_sdk_ssm::{
    error::ProvideErrorMetadata, operation::send_command::builders::SendCommandFluentBuilder, types::CommandInvocation,
};
use backon::{ExponentialBuilder, Retryable};
use futures::future::{join_all, try_join_all};
use skipper_core::{
    lease::Timing,
    observed::InstanceId,
    script::{RESULT_CLOSES, RESULT_OPENS, Script},
};
use skipper_deploy::ports::{Invocation, PortError, PortErrorKind, PortResult};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{
    RunCommand,
    kept::{Kept, explained},
};
use crate::aws::error::{Asked, shown};

/// For sending a script, with all tries: no longer than a lease grants a change, so that none is sent after it has lapsed.
const SEND_WITHIN: Duration = Timing::STANDARD.call;
/// Instances of one command, and invocations of one page; the most that Systems Manager takes.
const PAGE: usize = 50;
/// Bytes of one script. The document limit is 64 KB, and no limit for parameters is documented: this stays below.
const TEXT_LIMIT: usize = 60 * 1024;
/// Seconds until an agent must have picked a command up; the least that Systems Manager takes.
const DELIVERY_SECONDS: i32 = 30;
/// The bounds of `executionTimeout`: outside of them the agent silently takes an hour (its `pluginutil.go`).
const EXECUTION_SECONDS: (u64, u64) = (5, 172_800);
/// Characters of a command's comment.
const COMMENT: usize = 100;

/// The pause before the first look: nothing is listed sooner.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The bounds of the pause before every other look, which is a sixth of what the script has taken so far: short scripts do not
/// wait for their watcher, and long ones are not looked at all the time (looking every second from many runs is throttled).
const PAUSES: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(2));

/// The agent's line between standard output and standard error where both are one text (its `iohandler.go`).
const ERROR_TITLE: &str = "\n----------ERROR-------\n";
/// What the agent leaves where it cut standard error (its `iohandler.go`).
const ERROR_CUT: &str = "---Error truncated----";

/// An invocation that was listed may take a moment until it can be fetched.
const SETTLE: ExponentialBuilder =
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(300)).with_factor(2.0).with_max_times(5);

impl RunCommand {
    pub(super) async fn run_everywhere(
        &self,
        on: &BTreeSet<InstanceId>,
        script: &Script,
        deadline: Duration,
    ) -> PortResult<BTreeMap<InstanceId, Invocation>> {
        let kept = self.kept(script).await?;
        let text = script.text();
        if text.len() > TEXT_LIMIT {
            let why = format!("it has {} bytes, and at most {TEXT_LIMIT} are sent", text.len());
            return Err(self.sending(script).refused(PortErrorKind::Invalid, why));
        }
        let instances: Vec<&InstanceId> = on.iter().collect();
        // All of them to their end, even when one fails: no command is left running unwatched.
        let answers =
            join_all(instances.chunks(PAGE).map(|chunk| self.command(chunk, script, &text, kept, deadline))).await;
        answers.into_iter().try_fold(BTreeMap::new(), |mut all, answer| {
            all.extend(answer?);
            Ok(all)
        })
    }

    fn sending(&self, script: &Script) -> Asked<'_> {
        Asked::changes(&self.region, "ssm:SendCommand", format!("the script `{}`", script.name))
    }

    /// One command, from sending it to its last result.
    async fn command(
        &self,
        on: &[&InstanceId],
        script: &Script,
        text: &str,
        kept: Kept,
        deadline: Duration,
    ) -> PortResult<BTreeMap<InstanceId, Invocation>> {
        let until = Instant::now() + deadline;
        let id = self.send(on, script, text, kept, deadline).await?;
        let mut listed: BTreeMap<InstanceId, Seen> = BTreeMap::new();
        // The time is up where the listing of invocations hangs, too.
        let watched = timeout_at(until, self.watch(&id, script, on, &mut listed)).await;
        match watched {
            Ok(answer) => answer?,
            Err(_elapsed) => self.cancel(&id).await,
        }
        let answers = on.iter().map(|&instance| {
            let seen = listed.remove(instance);
            let id = &id;
            async move {
                let invocation = match seen {
                    Some(Seen::Ended(ended)) => self.complete(id, instance, ended).await?,
                    Some(Seen::Never(words)) => Invocation::Lost(words),
                    Some(Seen::Running(words)) => Invocation::Lost(format!("{words} after {} s", deadline.as_secs())),
                    None => Invocation::Lost(format!("not started after {} s", deadline.as_secs())),
                };
                Ok::<_, PortError>((instance.clone(), invocation))
            }
        });
        Ok(try_join_all(answers).await?.into_iter().collect())
    }

    /// Has the script carried out that is kept, where it is; else sends its text.
    async fn send(
        &self,
        on: &[&InstanceId],
        script: &Script,
        text: &str,
        kept: Kept,
        deadline: Duration,
    ) -> PortResult<String> {
        let request = self.ssm.send_command();
        if let (Kept::Ready, Some(name)) = (kept, &script.kept_as) {
            match self.send_as(request.clone().document_name(name), on, script).await {
                // The document went, or this role may read it and no more.
                Err(error) if matches!(error.kind, PortErrorKind::Missing | PortErrorKind::Denied) => {
                    tracing::debug!("{error}");
                    self.note_kept(name, Kept::Absent);
                }
                answer => return answer,
            }
        }
        let (least, most) = EXECUTION_SECONDS;
        let request = request
            .document_name("AWS-RunShellScript")
            .parameters("commands", vec![text.to_owned()])
            .parameters("executionTimeout", vec![deadline.as_secs().clamp(least, most).to_string()]);
        self.send_as(request, on, script).await.map_err(|error| explained(error, script, kept))
    }

    async fn send_as(
        &self,
        request: SendCommandFluentBuilder,
        on: &[&InstanceId],
        script: &Script,
    ) -> PortResult<String> {
        let asked = self.sending(script);
        let sending = request
            .set_instance_ids(Some(on.iter().map(|instance| instance.0.clone()).collect()))
            .timeout_seconds(DELIVERY_SECONDS)
            .comment(format!("skipper {}", script.name).chars().take(COMMENT).collect::<String>())
            // One host's failure is no reason to keep the script from another.
            .max_concurrency("100%")
            .max_errors("100%")
            .send();
        let Ok(sent) = timeout(SEND_WITHIN, sending).await else {
            let why = format!("no answer came within {} s", SEND_WITHIN.as_secs());
            return Err(asked.refused(PortErrorKind::Unclear, why));
        };
        match sent {
            Ok(sent) => sent
                .command
                .and_then(|command| command.command_id)
                .ok_or_else(|| asked.refused(PortErrorKind::Unclear, "the answer names no command")),
            Err(error) if error.code() == Some("InvalidInstanceId") => Err(asked.failed(&error).hint(
                "the SSM agent of at least one of the instances is not registered, or its instance does not run: see its instance \
                 profile and its way out to Systems Manager, and run again",
            )),
            Err(error) => Err(asked.failed(&error)),
        }
    }

    /// Looks until every invocation has ended, keeping what it saw last.
    async fn watch(
        &self,
        id: &str,
        script: &Script,
        on: &[&InstanceId],
        listed: &mut BTreeMap<InstanceId, Seen>,
    ) -> PortResult<()> {
        let asked = Asked::reads(&self.region, "ssm:ListCommandInvocations", format!("the script `{}`", script.name));
        let sent = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            sleep(pause).await;
            pause = (sent.elapsed() / 6).clamp(PAUSES.0, PAUSES.1);
            let mut invocations = self
                .ssm
                .list_command_invocations()
                .command_id(id)
                .details(true)
                .into_paginator()
                .page_size(i32::try_from(PAGE).unwrap_or(i32::MAX))
                .items()
                .send();
            // An empty list is normal at first: the command is known before its invocations are.
            while let Some(invocation) = invocations.next().await {
                match invocation.map_err(|error| asked.failed(&error)) {
                    Ok(invocation) => listed.extend(read(&invocation)),
                    // The script runs on whether or not it can be watched; the deadline ends this.
                    Err(error) if error.is_worth_retrying() => {
                        tracing::warn!("{error}");
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
            if on.iter().all(|&instance| listed.get(instance).is_some_and(Seen::is_final)) {
                return Ok(());
            }
        }
    }

    /// Fetches what did not fit into the list.
    async fn complete(&self, id: &str, instance: &InstanceId, ended: Ended) -> PortResult<Invocation> {
        if !ended.is_cut() {
            let Ended { code, stdout, stderr } = ended;
            return Ok(Invocation::Finished { code, stdout, stderr });
        }
        let asked = Asked::reads(&self.region, "ssm:GetCommandInvocation", format!("instance `{instance}`"));
        let fetch = async || self.ssm.get_command_invocation().command_id(id).instance_id(&instance.0).send().await;
        let fetched = fetch
            .retry(SETTLE)
            .when(|error| error.code() == Some("InvocationDoesNotExist"))
            .await
            .map_err(|error| asked.failed(&error))?;
        Ok(Invocation::Finished {
            code: ended.code,
            stdout: fetched.standard_output_content.unwrap_or(ended.stdout),
            stderr: fetched.standard_error_content.unwrap_or(ended.stderr),
        })
    }

    /// Asks the agents to stop; nobody guarantees that they do, and nothing depends on it.
    async fn cancel(&self, id: &str) {
        let asked = Asked::changes(&self.region, "ssm:CancelCommand", format!("command `{id}`"));
        if let Err(error) = self.ssm.cancel_command().command_id(id).send().await {
            tracing::debug!("{}", asked.failed(&error));
        }
    }
}

/// What one look told of one instance.
enum Seen {
    /// Not over yet; the status in the provider's words.
    Running(String),
    /// The script ended by itself.
    Ended(Ended),
    /// It did not run to its end; the status in the provider's words.
    Never(String),
}

impl Seen {
    const fn is_final(&self) -> bool {
        !matches!(self, Self::Running(_))
    }
}

/// A script that ended, as far as the list shows it.
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ended {
    /// Whether something that is needed is missing: the rest of a result, or why the script failed.
    fn is_cut(&self) -> bool {
        let result = self.stdout.trim_start().starts_with(RESULT_OPENS) && !self.stdout.contains(RESULT_CLOSES);
        let reason = self.code != 0 && (self.stderr.is_empty() || self.stderr.contains(ERROR_CUT));
        result || reason
    }
}

/// Judges one invocation: the command as a whole counts as a success where an invocation could not be delivered.
fn read(invocation: &CommandInvocation) -> Option<(InstanceId, Seen)> {
    let instance = InstanceId(invocation.instance_id()?.to_owned());
    let words =
        invocation.status_details().or_else(|| invocation.status().map(|status| status.as_str())).unwrap_or("Pending");
    // Spelt with spaces in one half of the documentation, without in the other.
    let status: String = words.chars().filter(|char| !char.is_whitespace()).collect();
    let seen = match status.as_str() {
        "Success" | "Failed" => match ended(invocation) {
            Some(ended) => Seen::Ended(ended),
            None => Seen::Never(shown(words)),
        },
        "TimedOut" | "DeliveryTimedOut" | "ExecutionTimedOut" | "Cancelled" | "Undeliverable" | "Terminated"
        | "InvalidPlatform" | "AccessDenied" => Seen::Never(shown(words)),
        _ => Seen::Running(shown(words)),
    };
    Some((instance, seen))
}

/// Nothing when no script ran: the code is -1 then.
fn ended(invocation: &CommandInvocation) -> Option<Ended> {
    let plugins = invocation.command_plugins();
    let plugin =
        plugins.iter().find(|plugin| plugin.name() == Some("aws:runShellScript")).or_else(|| plugins.first())?;
    let code = plugin.response_code();
    if code < 0 {
        return None;
    }
    let output = plugin.output().unwrap_or_default();
    let (stdout, stderr) = output.split_once(ERROR_TITLE).unwrap_or((output, ""));
    Some(Ended { code, stdout: stdout.to_owned(), stderr: stderr.to_owned() })
}
