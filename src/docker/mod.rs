//! Images by way of a Docker engine and registries: hashed, built, pushed, resolved, copied.
//!
//! The engine builds and pushes; what a registry has is asked of the registry itself, so a run that builds nothing needs no engine.

mod archive;
mod build;
mod clean;
mod context;
mod credentials;
mod dockerignore;
mod engine;
mod inputs;
mod output;
mod push;
mod registry;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod trouble;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    rc::Rc,
};

use async_trait::async_trait;
use skipper_core::{
    clean::Stocked,
    image::{Digest, PinnedImage, Repository, Tag},
    secret::Secret,
};
use skipper_deploy::ports::{BuildRequest, Images, Login, PortError, PortErrorKind, PortResult, Resolved};

use self::{
    credentials::Credentials,
    engine::Engine,
    registry::Registry,
    trouble::{failed, unreadable},
};

/// When an image was built: <https://specs.opencontainers.org/image-spec/annotations/>.
const CREATED_LABEL: &str = "org.opencontainers.image.created";

/// The commit that an image was built from: <https://specs.opencontainers.org/image-spec/annotations/>.
const REVISION_LABEL: &str = "org.opencontainers.image.revision";

/// Where the engine and the registries are, and who asks.
#[derive(Debug, Default)]
pub struct Settings {
    /// The engine's address as in `DOCKER_HOST`, `unix://` or `tcp://` without TLS; the local socket when absent.
    pub host: Option<String>,
    /// Docker's `config.json`, for the logins in its `auths`; it need not exist.
    pub config: Option<PathBuf>,
    /// User name and password (or token) by registry; they stand above those of the configuration.
    pub logins: BTreeMap<String, (String, Secret)>,
    /// The address by which this process reaches a registry, `http://host:port` by registry, where its name leads elsewhere from here.
    pub endpoints: BTreeMap<String, String>,
}

/// A Docker engine and the registries beside it.
#[derive(Debug)]
pub struct Docker {
    engine: Engine,
    registry: Registry,
    credentials: Rc<Credentials>,
}

impl Docker {
    /// Checks the settings; engine and registries are reached when they are first needed.
    ///
    /// # Errors
    /// When Docker's configuration cannot be read or an endpoint is no address.
    pub fn connect(settings: Settings) -> PortResult<Self> {
        let credentials = Rc::new(Credentials::read(settings.config.as_deref(), settings.logins)?);
        Ok(Self {
            engine: Engine::new(settings.host),
            registry: Registry::new(Rc::clone(&credentials), settings.endpoints)?,
            credentials,
        })
    }

    /// Whether the engine answers, and the version of its API.
    ///
    /// # Errors
    /// When there is none, or this process may not use it.
    pub async fn engine(&self) -> PortResult<String> {
        let version = self.engine.client().await?.client_version();
        Ok(format!("it answers, API {}.{}", version.major_version, version.minor_version))
    }

    /// Whether this run may push to a repository; nothing is pushed.
    ///
    /// # Errors
    /// When it may not, and as the registry answers.
    pub async fn try_push(&self, repository: &Repository) -> PortResult<()> {
        self.registry.try_push(repository).await.map_err(|error| self.explain(error, repository))
    }

    /// Builds an image and names it in the engine; nothing is pushed.
    ///
    /// # Errors
    /// When there is no engine, and when the build fails.
    pub async fn build(
        &self,
        build: &BuildRequest,
        repository: &Repository,
        tag: &Tag,
        output: &mut dyn FnMut(String),
    ) -> PortResult<()> {
        let docker = self.engine.client().await?;
        let name = format!("{repository}:{tag}");
        build::build(docker, build, &name, self.credentials.for_builder(), output).await
    }

    /// Whether the engine has an image by this name.
    ///
    /// # Errors
    /// When there is no engine, and as it answers.
    pub async fn has(&self, repository: &Repository, tag: &Tag) -> PortResult<bool> {
        let name = format!("{repository}:{tag}");
        match self.engine.client().await?.inspect_image(&name).await {
            Ok(_) => Ok(true),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
            Err(error) => Err(engine::engine_error(format!("look for `{name}` in the engine"), &error)),
        }
    }

    /// Pushes an image that the engine has, and returns the digest that the registry has now.
    ///
    /// # Errors
    /// When there is no engine, and when the registry refuses.
    pub async fn push(&self, repository: &Repository, tag: &Tag, output: &mut dyn FnMut(String)) -> PortResult<Digest> {
        let docker = self.engine.client().await?;
        let pushed = push::push(docker, repository, tag, self.credentials.for_engine(repository), output).await;
        pushed.map_err(|error| self.explain(error, repository))
    }

    /// Adds why a login that exists may not have been used.
    fn explain(&self, error: PortError, repository: &Repository) -> PortError {
        match self.credentials.hint_for(repository) {
            Some(hint) if error.kind == PortErrorKind::Denied => error.hint(hint),
            _ => error,
        }
    }
}

#[async_trait(?Send)]
impl Images for Docker {
    async fn inputs(&self, build: &BuildRequest) -> PortResult<String> {
        let build = build.clone();
        let hashed = tokio::task::spawn_blocking(move || inputs::hash(&build)).await;
        let hashed = hashed
            .map_err(|error| failed(PortErrorKind::Other, "hash the build context").because(error.to_string()))?;
        hashed.map_err(|error| unreadable(&error))
    }

    async fn resolve(&self, repository: &Repository, tag: &Tag) -> PortResult<Option<Resolved>> {
        self.registry.resolve(repository, tag).await
    }

    async fn login(&self, repository: &Repository) -> PortResult<Option<Login>> {
        Ok(self.credentials.of(repository).cloned())
    }

    async fn copy(&self, image: &PinnedImage, tag: &Tag) -> PortResult<()> {
        self.registry.copy(image, tag).await
    }

    async fn build_and_push(
        &self,
        build: &BuildRequest,
        repository: &Repository,
        tags: &[Tag],
        output: &mut dyn FnMut(String),
    ) -> PortResult<Digest> {
        let Some((first, others)) = tags.split_first() else {
            return Err(failed(PortErrorKind::Invalid, format!("push `{repository}`"))
                .because("there is no tag to push it under"));
        };
        self.build(build, repository, first, output).await?;
        let digest = self.push(repository, first, output).await?;
        // Another name for what is there: quicker than pushing it again, and certain to be the same image.
        let image = PinnedImage { repository: repository.clone(), digest };
        for tag in others {
            self.registry.copy(&image, tag).await?;
        }
        Ok(image.digest)
    }

    async fn stock(&self, repositories: &BTreeSet<Repository>) -> PortResult<Vec<Stocked>> {
        clean::stock(self.engine.client().await.map_err(engine::needed_to_clean)?, repositories).await
    }

    async fn clean(&self, image: &Stocked) -> PortResult<bool> {
        clean::clean(self.engine.client().await.map_err(engine::needed_to_clean)?, image).await
    }
}
