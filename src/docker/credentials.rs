//! The logins to registries: those the run was given, else those in Docker's own configuration.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::Path,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use skipper_core::{
    image::{DEFAULT_REGISTRY, Repository},
    secret::Secret,
};
use skipper_deploy::ports::{Login, PortErrorKind, PortResult};

use super::trouble::failed;

/// Every login there is, by registry.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    logins: BTreeMap<String, Login>,
    /// Registries whose login exists but cannot be read, and why.
    unreadable: BTreeMap<String, String>,
    /// The credential helper for every registry without its own.
    helper_for_all: Option<String>,
}

/// Docker's `config.json`, as far as it is about registries: <https://docs.docker.com/reference/cli/docker/#configuration-files>.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConfigFile {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase", default)]
struct Auth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

impl Credentials {
    /// Reads Docker's configuration, where there is one, and puts `given` above it.
    pub(super) fn read(config: Option<&Path>, given: BTreeMap<String, (String, Secret)>) -> PortResult<Self> {
        let mut credentials = Self::default();
        if let Some(path) = config {
            credentials.add_file(path)?;
        }
        for (registry, (username, password)) in given {
            credentials.logins.insert(host_of(&registry), Login { username, password });
        }
        Ok(credentials)
    }

    fn add_file(&mut self, path: &Path) -> PortResult<()> {
        let operation = format!("read Docker's configuration `{}`", path.display());
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(PortErrorKind::Invalid, operation).because(error.to_string())),
        };
        // The parser's message could show what is in the file, so its place alone is told.
        let file: ConfigFile = serde_json::from_slice(&text).map_err(|error| {
            failed(PortErrorKind::Invalid, operation).because(format!(
                "line {}, column {} is not what Docker writes",
                error.line(),
                error.column()
            ))
        })?;
        for (registry, auth) in file.auths {
            let host = host_of(&registry);
            if let Some(login) = auth.login() {
                self.logins.insert(host, login);
            } else if !auth.identitytoken.is_empty() {
                self.unreadable.insert(host, "an identity token, which skipper does not exchange".to_owned());
            }
        }
        for (registry, helper) in file.cred_helpers {
            self.unreadable.insert(host_of(&registry), in_helper(&helper));
        }
        self.helper_for_all = file.creds_store.filter(|helper| !helper.is_empty());
        Ok(())
    }

    /// The login for a registry, if there is one.
    pub(super) fn of(&self, repository: &Repository) -> Option<&Login> {
        self.logins.get(&host_of(repository.registry()))
    }

    /// Why there may be a login that is not used: shown when the registry refuses.
    pub(super) fn hint_for(&self, repository: &Repository) -> Option<String> {
        let registry = host_of(repository.registry());
        if self.logins.contains_key(&registry) {
            return None;
        }
        let for_all = || self.helper_for_all.as_deref().map(in_helper);
        let kept_in = self.unreadable.get(&registry).cloned().or_else(for_all)?;
        Some(format!(
            "Docker's configuration keeps the login of `{registry}` in {kept_in}: give the user name and password themselves"
        ))
    }

    /// The login for a push, as the engine takes it.
    pub(super) fn for_engine(&self, repository: &Repository) -> Option<DockerCredentials> {
        self.of(repository).map(for_engine)
    }

    /// Every login, under the names that BuildKit asks by.
    pub(super) fn for_builder(&self) -> HashMap<String, DockerCredentials> {
        let name = |registry: &str| {
            if registry == DEFAULT_REGISTRY { "registry-1.docker.io".to_owned() } else { registry.to_owned() }
        };
        self.logins.iter().map(|(registry, login)| (name(registry), for_engine(login))).collect()
    }
}

fn for_engine(login: &Login) -> DockerCredentials {
    DockerCredentials {
        username: Some(login.username.clone()),
        password: Some(login.password.expose().to_owned()),
        ..DockerCredentials::default()
    }
}

impl Auth {
    fn login(&self) -> Option<Login> {
        let decoded =
            BASE64_STANDARD.decode(&self.auth).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let (username, password) = decoded.split_once(':').unwrap_or((&self.username, &self.password));
        // Docker pads what it encodes with NUL.
        let password = password.trim_end_matches('\0');
        let is_whole = !username.is_empty() && !password.is_empty();
        is_whole.then(|| Login { username: username.to_owned(), password: Secret::new(password) })
    }
}

fn in_helper(helper: &str) -> String {
    format!("the credential helper `docker-credential-{helper}`, which skipper cannot run")
}

/// The registry's host in what Docker's configuration calls it: `https://index.docker.io/v1/`, `ghcr.io`.
fn host_of(registry: &str) -> String {
    let host = registry.split_once("://").map_or(registry, |(_, rest)| rest);
    match host.split('/').next().unwrap_or(host) {
        "docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY.to_owned(),
        host => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, given: &[(&str, &str)]) -> PortResult<Credentials> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, text).unwrap();
        let given = given
            .iter()
            .map(|(registry, password)| ((*registry).to_owned(), ("me".to_owned(), Secret::new(*password))))
            .collect();
        Credentials::read(Some(&path), given)
    }

    fn at(registry: &str) -> Repository {
        Repository::new(registry, "web").unwrap()
    }

    fn password<'a>(credentials: &'a Credentials, registry: &str) -> Option<&'a str> {
        credentials.of(&at(registry)).map(|login| login.password.expose())
    }

    #[test]
    fn logins_are_found_by_every_name_docker_gives_a_registry() {
        let config = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "bWU6aHVi"},
            "ghcr.io": {"auth": "bWU6YTpi"},
            "127.0.0.1:5000": {"username": "me", "password": "plain"},
            "empty.example": {}
        }, "HttpHeaders": {"User-Agent": "Docker"}}"#;
        let credentials = read(config, &[]).unwrap();
        assert_eq!(password(&credentials, DEFAULT_REGISTRY), Some("hub"));
        assert_eq!(password(&credentials, "ghcr.io"), Some("a:b"), "a password may hold a colon");
        assert_eq!(password(&credentials, "127.0.0.1:5000"), Some("plain"));
        assert_eq!(password(&credentials, "empty.example"), None);
        let mut names: Vec<_> = credentials.for_builder().into_keys().collect();
        names.sort();
        assert_eq!(names, ["127.0.0.1:5000", "ghcr.io", "registry-1.docker.io"]);
        assert!(!format!("{credentials:?}").contains("hub"));
    }

    #[test]
    fn what_the_run_was_given_stands_above_the_configuration() {
        let credentials =
            read(r#"{"auths": {"ghcr.io": {"auth": "bWU6b2xk"}}}"#, &[("ghcr.io", "new"), ("docker.io", "hub")])
                .unwrap();
        assert_eq!(
            (password(&credentials, "ghcr.io"), password(&credentials, DEFAULT_REGISTRY)),
            (Some("new"), Some("hub"))
        );
    }

    #[test]
    fn a_login_in_a_credential_helper_is_explained() {
        let config =
            r#"{"auths": {"ghcr.io": {}}, "credsStore": "desktop", "credHelpers": {"a.example": "ecr-login"}}"#;
        let credentials = read(config, &[("given.example", "x")]).unwrap();
        assert_eq!(
            credentials.hint_for(&at("a.example")).unwrap(),
            "Docker's configuration keeps the login of `a.example` in the credential helper `docker-credential-ecr-login`, which skipper cannot run: give the user name and password themselves"
        );
        assert!(credentials.hint_for(&at("ghcr.io")).unwrap().contains("docker-credential-desktop"));
        assert_eq!(credentials.hint_for(&at("given.example")), None);
        assert_eq!(Credentials::default().hint_for(&at("ghcr.io")), None);
    }

    #[test]
    fn a_broken_configuration_is_refused_without_showing_it_and_a_missing_one_is_none() {
        let error = read("{\"auths\": {\"ghcr.io\": \"hunter2\"}}", &[]).unwrap_err();
        assert!(error.failure.causes[0].starts_with("line 1, column ") && !format!("{error:?}").contains("hunter2"));
        assert!(Credentials::read(Some(Path::new("/nowhere/config.json")), BTreeMap::new()).is_ok());
    }
}
