//! The logins that registries ask hosts for: kept, encrypted, for as long as hosts pull, and removed again.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use skipper_core::{
    desired::{LOGINS, SecretVersion},
    exit::Exit,
    failure::Failure,
    image::{DEFAULT_REGISTRY, PinnedImage, Repository, hex_digest},
    name::EnvName,
    orchestrator::KeptLogin,
    secret::Secret,
};

use super::Run;
use crate::ports::Login;

impl Run<'_> {
    /// Keeps this run's logins to the registries of these images where hosts find them. Registries that it has none for are
    /// asked without.
    pub(super) async fn keep_logins<'b>(
        &self,
        images: impl Iterator<Item = &'b PinnedImage>,
    ) -> Result<Vec<KeptLogin>, Failure> {
        let repositories: BTreeMap<&str, &Repository> =
            images.map(|image| (image.repository.registry(), &image.repository)).collect();
        let mut kept = Vec::new();
        for (registry, repository) in repositories {
            let found = self.hands.images.login(repository).await;
            let during = |failure: Failure| failure.during(format!("keep the login to `{registry}` for the hosts"));
            let Some(login) = found.map_err(|error| during(error.failure))? else { continue };
            let name = parameter_of(registry, self.hands.lease)
                .ok_or_else(|| during(Failure::new(Exit::Defect, "it has no name")))?;
            let path = self.login_path(&name);
            let value = as_docker_has_it(&login);
            let version = self.ask(async || self.hands.store.write_secret(&path, &value).await).await;
            let version = version.map_err(|error| during(error.failure))?;
            kept.push(KeptLogin { registry: as_docker_names(registry), parameter: SecretVersion { name, version } });
        }
        Ok(kept)
    }

    /// Removes them again. One that stays is encrypted, and told.
    pub(super) async fn forget_logins(&self, logins: &[KeptLogin]) {
        if logins.is_empty() {
            return;
        }
        let paths: Vec<String> = logins.iter().map(|login| self.login_path(&login.parameter.name)).collect();
        if let Err(error) = self.ask(async || self.hands.store.remove(&paths).await).await {
            self.say(format!("the login that hosts were given stays at `{}`: {}", paths.join("`, `"), error.failure));
        }
    }

    fn login_path(&self, name: &EnvName) -> String {
        format!("{}/{LOGINS}/{name}", self.known.desired.scope.path())
    }
}

/// A name that Parameter Store takes, which knows no colon. Each run has its own: "after deleting a parameter, wait for at least 30
/// seconds to create a parameter with the same name" (API reference of DeleteParameters).
fn parameter_of(registry: &str, lease: u64) -> Option<EnvName> {
    format!("REGISTRY_{}_{lease}", &hex_digest(registry.as_bytes())[..12]).parse().ok()
}

/// The login as `auth` of Docker's configuration.
fn as_docker_has_it(Login { username, password }: &Login) -> Secret {
    Secret::new(STANDARD.encode(format!("{username}:{}", password.expose())))
}

/// Docker Hub has a name of its own there: <https://docs.docker.com/reference/cli/docker/login/>.
fn as_docker_names(registry: &str) -> String {
    if registry == DEFAULT_REGISTRY { format!("https://{DEFAULT_REGISTRY}/v1/") } else { registry.to_owned() }
}
