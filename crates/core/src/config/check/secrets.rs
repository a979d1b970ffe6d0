//! The secrets of a service: which ones, and how each arrives in its containers.

use std::collections::BTreeMap;

use super::*;
use crate::{
    config::{SecretTarget, SecretUse},
    name::EnvName,
};

/// Parameter Store takes names of 1,011 bytes, path included; what is longer than this is no name.
pub(in crate::config) const LONGEST_SECRET_NAME: usize = 128;

/// Variables that the run itself is told things by; with `_` at its end all that begin so. A secret of such a name would hand them
/// on to the containers.
#[rustfmt::skip]
const OF_THE_RUN: [&str; 21] = [
    "ACTIONS_", "AWS_", "DOCKER_", "GITHUB_", "INPUT_", "RUNNER_", "SKIPPER_", "SSL_",
    "ALL_PROXY", "CI", "HOME", "HOSTNAME", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PATH", "PWD", "RUST_LOG", "SHELL", "TMPDIR", "USER",
];
/// Variables that root's shell and the engine's client on a host obey: through their environment a secret comes to its container.
#[rustfmt::skip]
const OF_THE_HOST: [&str; 15] = [
    "BASH_", "DOCKER_", "LD_", "SKIPPER_",
    "BASHOPTS", "ENV", "EUID", "HOME", "IFS", "OLDPWD", "PATH", "PPID", "PWD", "SHELLOPTS", "UID",
];

fn is_among(name: &EnvName, names: &[&str]) -> bool {
    let upper = name.as_ref().to_ascii_uppercase();
    names.iter().any(|known| if known.ends_with('_') { upper.starts_with(known) } else { upper == *known })
}

impl Reader {
    /// The secrets of a service, none twice and none in the place of another or of one of its variables.
    pub(super) fn secrets(&mut self, entry: &Entry<'_>, env: &BTreeMap<EnvName, String>) -> Option<Vec<SecretUse>> {
        let mut known: Vec<(SecretTarget, Span)> = Vec::new();
        self.list(entry, |reader, item| {
            let (secret, place) = reader.secret(item)?;
            if let Some((_, first)) = known.iter().find(|(target, _)| *target == secret.target) {
                let problem =
                    Diagnostic::error(place, format!("two secrets arrive as {}", shown_target(&secret.target)));
                reader.report(problem.label("again").related(*first, "first").hint("leave one of them out"));
                return None;
            }
            if let SecretTarget::Env(variable) = &secret.target
                && env.contains_key(variable)
            {
                let problem = Diagnostic::error(place, format!("`{variable}` is both a secret and a value of `env`"));
                reader.report(problem.hint("leave the value out of `env`"));
                return None;
            }
            known.push((secret.target.clone(), place));
            Some(secret)
        })
    }

    /// One of them, and where the file says as what it arrives.
    fn secret(&mut self, entry: &Entry<'_>) -> Option<(SecretUse, Span)> {
        if !matches!(entry.value.value, Value::Map(_)) {
            let name = self.secret_name(entry)?;
            let target = SecretTarget::Env(name.clone());
            self.may_arrive(&target, entry.place())?;
            return Some((SecretUse { name, target }, entry.place()));
        }
        let section: raw::SecretUse<'_> = self.section(entry)?;
        let name = section.name.as_ref().and_then(|name| self.secret_name(name));
        let target = match (&section.env, &section.file) {
            (Some(env), Some(_)) => {
                let message = format!("`{}` arrives as a variable and as a file", shown(&entry.path));
                self.report(
                    Diagnostic::error(env.key, message).hint("leave out `env` or `file`, or list the secret twice"),
                );
                return None;
            }
            (Some(env), None) => SecretTarget::Env(self.parse(env, "the name of a variable")?),
            (None, Some(file)) => SecretTarget::File(self.file_path(file)?),
            (None, None) => SecretTarget::Env(name.clone()?),
        };
        let place = section.env.or(section.file).or(section.name)?.place();
        self.may_arrive(&target, place)?;
        Some((SecretUse { name: name?, target }, place))
    }

    /// Refuses variables that what starts a container would obey itself.
    fn may_arrive(&mut self, target: &SecretTarget, place: Span) -> Option<()> {
        let SecretTarget::Env(variable) = target else { return Some(()) };
        if is_among(variable, &OF_THE_HOST) {
            let problem = Diagnostic::error(place, format!("a secret cannot arrive as the variable `{variable}`"));
            self.report(
                problem
                    .label("the host's own shell and Docker would obey it")
                    .hint("let it arrive as a `file`, or as a variable of another name that the service reads"),
            );
            return None;
        }
        Some(())
    }

    /// A name by which the run may be given a value: that of a variable which is not the run's own.
    fn secret_name(&mut self, entry: &Entry<'_>) -> Option<EnvName> {
        let name: EnvName = self.parse(entry, "the name of a secret")?;
        let text = name.as_ref();
        if text.len() > LONGEST_SECRET_NAME {
            self.expected(entry, &format!("a name of at most {LONGEST_SECRET_NAME} characters"));
            return None;
        }
        if is_among(&name, &OF_THE_RUN) {
            let problem = Diagnostic::error(entry.place(), format!("`{text}` cannot be the name of a secret"));
            self.report(problem.label("the run itself is told something by this variable").hint(format!(
                "give it another name here, and its own in the container: `{{name: APP_{text}, env: {text}}}`"
            )));
            return None;
        }
        Some(name)
    }

    fn file_path(&mut self, entry: &Entry<'_>) -> Option<String> {
        let path = self.text(entry)?;
        let is_one = scalar::is_path(path);
        if !is_one {
            self.expected(
                entry,
                "the whole path of a file, such as `/run/secrets/key`, of letters, digits, `.`, `_` and `-`",
            );
        }
        is_one.then(|| path.to_owned())
    }
}

fn shown_target(target: &SecretTarget) -> String {
    match target {
        SecretTarget::Env(variable) => format!("the variable `{variable}`"),
        SecretTarget::File(path) => format!("the file `{path}`"),
    }
}
