//! Runs one script on several hosts and judges every answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use skipper_core::{
    exit::Exit,
    failure::Failure,
    name::HostName,
    observed::InstanceId,
    orchestrator::{HostError, HostErrorKind},
    script::Script,
};

use super::{Run, StepResult, logins::Failures};
use crate::ports::Invocation;

impl Run<'_> {
    /// Runs a script that reports nothing but success; the first host that failed is the failure, the others are its causes.
    pub(super) async fn run_done(
        &self,
        hosts: &[HostName],
        script: &Script,
        deadline: Duration,
        verb: &str,
    ) -> StepResult {
        first(self.failures(hosts, script, deadline, verb).await?.into_iter().map(|(_, failure)| failure).collect())
    }

    /// Runs a script that reports nothing but success; what has failed, with its kind where the host says it.
    pub(super) async fn failures(
        &self,
        hosts: &[HostName],
        script: &Script,
        deadline: Duration,
        verb: &str,
    ) -> Result<Failures, Failure> {
        let answers = self.run(hosts, script, deadline).await?;
        let failed = |(host, answer): (HostName, Result<String, Failure>)| {
            let result = answer.map_err(|failure| (None, failure)).and_then(|output| {
                let done = self.hands.orchestrator.read_done(&output);
                done.map_err(|error| (kind(&error), host_failure(&error)))
            });
            result.err().map(|(kind, failure)| (kind, failure.during(format!("{verb} host `{host}`"))))
        };
        Ok(answers.into_iter().filter_map(failed).collect())
    }

    /// Runs a script and gives each host's standard output, or why there is none.
    pub(super) async fn run(
        &self,
        hosts: &[HostName],
        script: &Script,
        deadline: Duration,
    ) -> Result<BTreeMap<HostName, Result<String, Failure>>, Failure> {
        let by_instance: BTreeMap<InstanceId, &HostName> =
            hosts.iter().map(|host| Ok((self.known.instance(host)?, host))).collect::<Result<_, Failure>>()?;
        let on: BTreeSet<InstanceId> = by_instance.keys().cloned().collect();
        let answers = self
            .ask(async || self.hands.remote.run(&on, script, deadline).await)
            .await
            .map_err(|error| error.failure.during(format!("run the script `{}` on the hosts", script.name)))?;
        Ok(by_instance
            .into_iter()
            .map(|(instance, host)| {
                let output = match answers.get(&instance) {
                    Some(Invocation::Finished { stdout, stderr, code }) => self.judge(host, *code, stdout, stderr),
                    Some(Invocation::Lost(status)) => Err(Failure::new(
                        Exit::Blocked,
                        format!("the script `{}` did not end on it: {status}", script.name),
                    )
                    .hint("see whether the instance and its SSM agent are healthy, and run again")),
                    None => {
                        Err(Failure::new(Exit::Blocked, format!("nothing was heard of the script `{}`", script.name)))
                    }
                };
                (host.clone(), output)
            })
            .collect())
    }

    /// A result is believed whatever the exit code says, since it is what the script itself reports; without one the code and the last words are the failure.
    fn judge(&self, host: &HostName, code: i32, stdout: &str, stderr: &str) -> Result<String, Failure> {
        for line in stderr.lines().filter(|line| !line.trim().is_empty()).take(20) {
            self.say(format!("{host} | {line}"));
        }
        if code == 0 || skipper_core::script::decode_result(stdout).is_ok() {
            return Ok(stdout.to_owned());
        }
        let words =
            stderr.lines().chain(stdout.lines()).rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        Err(Failure::new(Exit::Blocked, format!("the script ended with exit code {code}")).because(words.to_owned()))
    }
}

/// The first failure, with the others as its causes.
pub(super) fn first(failures: Vec<Failure>) -> StepResult {
    let mut failures = failures.into_iter();
    let Some(first) = failures.next() else { return Ok(()) };
    let all = failures.fold(first, |first, other| {
        let cause =
            other.causes.first().map_or_else(|| other.message.clone(), |cause| format!("{}: {cause}", other.message));
        first.because(cause)
    });
    Err(all.into())
}

const fn kind(error: &HostError) -> Option<HostErrorKind> {
    match error {
        HostError::Said { kind, .. } => Some(*kind),
        HostError::Unreadable(_) | HostError::NotUnderstood(_) => None,
    }
}

/// What a host said went wrong, with the remedy where there is one.
pub(crate) fn host_failure(error: &HostError) -> Failure {
    let failure = Failure::new(Exit::Blocked, error.to_string());
    let failure = std::error::Error::source(error).map_or(failure.clone(), |source| failure.because_of(source));
    let HostError::Said { kind, .. } = error else { return failure };
    match kind {
        HostErrorKind::ArchiveMissing => failure.hint("check `fleet.url` in skipper.yml, for arm64 hosts `fleet.arm64.url`: the hosts fetch the archive from there by themselves"),
        HostErrorKind::ArchiveHash => failure.hint("if the archive is the one you want, put its SHA-256 into `fleet.sha256`, that for arm64 into `fleet.arm64.sha256`; if not, it was changed on its way or at its source"),
        HostErrorKind::Engine => failure.hint("see why on the host (`skipper instances ssh UUID -- journalctl -u docker -u containerd`), or take the host away (`skipper instances remove UUID --force`), and deploy again: it is launched anew"),
        HostErrorKind::DiskFull => failure.hint("give the group a larger `disk`, or remove images on the host with `docker image prune`"),
        HostErrorKind::Platform => failure.hint("the image is not for the hosts' architecture: name one that is, or choose a `size` of the image's architecture"),
        HostErrorKind::Pull => failure.hint("the hosts pull by themselves, with the login that this run has for the registry: a private image needs one (`registry-username` and `registry-password`, or Docker's configuration), and the registry must be reachable from the hosts"),
        HostErrorKind::RegistryRole => failure.hint("hosts log in to registries of ECR with the role of their instance profile, which needs `ecr:GetAuthorizationToken`, and `ecr:BatchGetImage` and `ecr:GetDownloadUrlForLayer` on the repository: `skipper iam` prints its policy; or give this run a login to the registry"),
        HostErrorKind::Secret => failure.hint("hosts fetch secrets with the role of their instance profile, which needs `ssm:GetParameters` on them: `skipper iam` prints its policy"),
        HostErrorKind::Fenced => Failure { exit: Exit::Held, ..failure }.hint("another run has taken over: see `skipper lease`; where nobody has, and the leases in Parameter Store were deleted, run again, and if it stays so remove `/var/lib/skipper/fences` on the hosts"),
        HostErrorKind::Other => failure,
    }
}
