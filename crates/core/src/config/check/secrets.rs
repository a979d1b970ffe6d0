//! The secrets of a service: which ones, and how each arrives in its containers.

use std::collections::BTreeMap;

use super::*;
use crate::{
    config::{SecretTarget, SecretUse},
    name::EnvName,
};

/// Parameter Store takes names of 1,011 bytes, path included; what is longer than this is no name.
pub(in crate::config) const LONGEST_SECRET_NAME: usize = 128;

/// Beginnings of variables that the run itself is told things by. A secret of such a name would hand them on to the containers.
const OF_THE_RUN: [&str; 8] = ["ACTIONS_", "AWS_", "DOCKER_", "GITHUB_", "INPUT_", "RUNNER_", "SKIPPER_", "SSL_"];
/// Whole names of the same kind.
const ALSO_OF_THE_RUN: [&str; 8] = ["CI", "HOME", "HOSTNAME", "PATH", "PWD", "SHELL", "TMPDIR", "USER"];

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
            return Some((SecretUse { target: SecretTarget::Env(name.clone()), name }, entry.place()));
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
        Some((SecretUse { name: name?, target }, place))
    }

    /// A name by which the run may be given a value: that of a variable which is not the run's own.
    fn secret_name(&mut self, entry: &Entry<'_>) -> Option<EnvName> {
        let name: EnvName = self.parse(entry, "the name of a secret")?;
        let text = name.as_ref();
        if text.len() > LONGEST_SECRET_NAME {
            self.expected(entry, &format!("a name of at most {LONGEST_SECRET_NAME} characters"));
            return None;
        }
        let upper = text.to_ascii_uppercase();
        if OF_THE_RUN.iter().any(|beginning| upper.starts_with(beginning)) || ALSO_OF_THE_RUN.contains(&upper.as_str())
        {
            let problem = Diagnostic::error(entry.place(), format!("`{text}` cannot be the name of a secret"));
            self.report(problem.label("the run itself is told something by this variable").hint(format!(
                "give it another name here, and its own in the container: `{{name: APP_{text}, env: {text}}}`"
            )));
            return None;
        }
        Some(name)
    }

    /// A path in a container that an option of the engine can hold: its fields have commas between them.
    fn file_path(&mut self, entry: &Entry<'_>) -> Option<String> {
        let path = self.text(entry)?;
        let is_one = path.starts_with('/')
            && !path.ends_with('/')
            && path.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-' | '/'))
            && path.split('/').all(|part| part != "..");
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
