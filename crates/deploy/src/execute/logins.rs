//! The logins that registries ask hosts for: by the hosts' own role where the registry takes that, else those of this run, kept,
//! encrypted, for as long as hosts pull, and removed again.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use skipper_core::{
    desired::{LOGINS, SecretVersion},
    exit::Exit,
    failure::Failure,
    image::{DEFAULT_REGISTRY, PinnedImage, Repository, hex_digest},
    name::EnvName,
    orchestrator::{HostErrorKind, KeptLogin, RegistryLogin},
    secret::Secret,
};

use super::Run;
use crate::ports::Login;

/// The registries of images, each with a repository there.
struct Registries<'i> {
    /// Those that hosts log in to by their own role.
    by_role: BTreeMap<&'i str, &'i Repository>,
    /// All others.
    others: BTreeMap<&'i str, &'i Repository>,
}

/// What has failed, with its kind where the host says it.
pub(super) type Failures = Vec<(Option<HostErrorKind>, Failure)>;

impl<'i> Registries<'i> {
    fn of(images: impl Iterator<Item = &'i PinnedImage>) -> Self {
        let all = images.map(|image| (image.repository.registry(), &image.repository));
        let (by_role, others) = all.partition(|(registry, _)| RegistryLogin::by_role(registry).is_some());
        Self { by_role, others }
    }

    /// How hosts log in: by the logins that were kept for them, and by their own role where there is none.
    fn logins(&self, kept: &[KeptLogin]) -> Vec<RegistryLogin> {
        let is_kept = |registry: &str| kept.iter().any(|login| login.registry == registry);
        let own = self.by_role.keys().filter(|registry| !is_kept(registry));
        let own = own.filter_map(|registry| RegistryLogin::by_role(registry));
        kept.iter().cloned().map(RegistryLogin::Kept).chain(own).collect()
    }
}

impl Run<'_> {
    /// Has hosts fetch these images with the logins that their registries ask for. Where a host's own role does not get it in and this
    /// run has a login, all fetch once more with that.
    pub(super) async fn with_logins(
        &self,
        images: impl Iterator<Item = &PinnedImage>,
        fetch: impl AsyncFn(&[RegistryLogin]) -> Result<Failures, Failure>,
    ) -> Result<Failures, Failure> {
        let registries = Registries::of(images);
        let mut kept = self.keep_logins(&registries.others).await?;
        let mut fetched = fetch(&registries.logins(&kept)).await;
        let refused: Vec<String> = fetched.iter().flatten().filter_map(refused_by_role).collect();
        if !refused.is_empty() {
            match self.keep_logins(&registries.by_role).await {
                Ok(lent) if lent.is_empty() => {}
                Ok(lent) => {
                    refused.into_iter().for_each(|line| self.say(line));
                    self.say(
                        "so the hosts get the login of this run; `skipper iam` prints what their role needs".to_owned(),
                    );
                    kept.extend(lent);
                    fetched = fetch(&registries.logins(&kept)).await;
                }
                Err(failure) => fetched = Err(failure),
            }
        }
        self.forget_logins(&kept).await;
        fetched
    }

    /// Keeps this run's logins to these registries where hosts find them. Registries that it has none for are asked without.
    async fn keep_logins(&self, repositories: &BTreeMap<&str, &Repository>) -> Result<Vec<KeptLogin>, Failure> {
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
    async fn forget_logins(&self, logins: &[KeptLogin]) {
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

/// What is told of a host whose own role does not get it into a registry.
fn refused_by_role((kind, failure): &(Option<HostErrorKind>, Failure)) -> Option<String> {
    let words = || std::iter::once(&failure.message).chain(&failure.causes).cloned().collect::<Vec<_>>().join(": ");
    (*kind == Some(HostErrorKind::RegistryRole)).then(words)
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
