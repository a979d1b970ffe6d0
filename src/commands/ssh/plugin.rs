//! `session-manager-plugin`, the program that speaks with a host in a session, called as AWS's own command line calls it.

use std::{
    env,
    ffi::OsStr,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use skipper_core::{exit::Exit, failure::Failure};

use crate::aws::Session;

const NAME: &str = "session-manager-plugin";
/// The variable that carries what Systems Manager answered: on the command line every user of the machine could read it.
const RESPONSE: &str = "AWS_SSM_START_SESSION_RESPONSE";
/// The last version that takes it on the command line only.
const LAST_WITHOUT_VARIABLE: [u32; 4] = [1, 2, 497, 0];

/// The program, where this machine has it.
#[derive(Debug)]
pub(super) struct Plugin(PathBuf);

/// Looks for it.
pub(super) fn find() -> Result<Plugin, Failure> {
    let path = env::var_os("PATH").unwrap_or_default();
    find_on(&path).ok_or_else(|| {
        let failure = Failure::new(Exit::BadInput, format!("there is no `{NAME}` on `PATH`, through which a shell on a host is reached"));
        failure
            .hint("install it: https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html")
            .hint("a command needs none: `skipper instances ssh UUID -- COMMAND`")
    })
}

fn find_on(path: &OsStr) -> Option<Plugin> {
    let is_program =
        |path: &Path| path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    env::split_paths(path).map(|folder| folder.join(NAME)).find(|program| is_program(program)).map(Plugin)
}

impl Plugin {
    /// Becomes the plugin; returns only where that fails.
    pub(super) fn take_over(&self, session: &Session, region: &str) -> Failure {
        let error = self.call(session, region, takes_variable(&self.version())).exec();
        let failure =
            Failure::new(Exit::Blocked, format!("`{}` cannot be started", self.0.display())).because_of(&error);
        failure.hint("install it anew, for this machine's processor")
    }

    fn version(&self) -> String {
        let asked = Command::new(&self.0).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
        asked.map(|told| String::from_utf8_lossy(&told.stdout).into_owned()).unwrap_or_default()
    }

    /// Its arguments: the answer to StartSession or the variable that holds it, the region, the operation, a profile, what StartSession
    /// was asked, and where (aws-cli, `customizations/sessionmanager.py`).
    fn call(&self, session: &Session, region: &str, takes_variable: bool) -> Command {
        let mut call = Command::new(&self.0);
        let response = session.response.expose();
        if takes_variable {
            call.env(RESPONSE, response).arg(RESPONSE);
        } else {
            call.arg(response);
        }
        let profile = env::var_os("AWS_PROFILE").unwrap_or_default();
        call.args([region, "StartSession"]).arg(profile).args([&session.parameters, &session.endpoint]);
        call
    }
}

/// Whether a plugin of this version takes the answer from a variable.
fn takes_variable(version: &str) -> bool {
    let parts: Option<Vec<u32>> = version.trim().split('.').map(|part| part.parse().ok()).collect();
    parts.is_some_and(|mut parts| {
        parts.resize(4, 0);
        parts[..] > LAST_WITHOUT_VARIABLE[..]
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use skipper_core::secret::Secret;

    use super::*;

    fn session() -> Session {
        Session {
            id: "s-1".to_owned(),
            response: Secret::new("{\"TokenValue\":\"canary\"}"),
            parameters: "{\"Target\":\"i-1\"}".to_owned(),
            endpoint: "https://ssm.eu-west-1.amazonaws.com".to_owned(),
        }
    }

    #[test]
    fn the_token_is_on_the_command_line_of_old_plugins_alone() {
        let plugin = Plugin(PathBuf::from("/bin/plugin"));
        let call = |takes_variable| {
            let call = plugin.call(&session(), "eu-west-1", takes_variable);
            let arguments: Vec<String> = call.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
            let variable = call
                .get_envs()
                .find(|(name, _)| *name == RESPONSE)
                .and_then(|(_, value)| value.map(|value| value.to_owned()));
            (arguments, variable)
        };
        let rest = |first: &str| {
            [first, "eu-west-1", "StartSession", "", "{\"Target\":\"i-1\"}", "https://ssm.eu-west-1.amazonaws.com"]
                .map(str::to_owned)
                .to_vec()
        };
        assert_eq!(call(true), (rest(RESPONSE), Some("{\"TokenValue\":\"canary\"}".into())));
        assert_eq!(call(false), (rest("{\"TokenValue\":\"canary\"}"), None));
        for (version, expected) in [
            ("1.2.553.0\n", true),
            ("1.2.497.0", false),
            ("1.2.497.1", true),
            ("1.3", true),
            ("1.1.61.0", false),
            ("", false),
            ("x", false),
        ] {
            assert_eq!(takes_variable(version), expected, "{version}");
        }
    }

    #[test]
    fn the_plugin_is_the_first_program_of_that_name() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let path = env::join_paths(folders.iter().map(|folder| folder.path())).unwrap();
        assert!(find_on(&path).is_none());
        fs::write(folders[0].path().join(NAME), "no program").unwrap();
        for folder in &folders[1..] {
            let program = folder.path().join(NAME);
            fs::write(&program, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        assert_eq!(find_on(&path).unwrap().0, folders[1].path().join(NAME));
    }
}
