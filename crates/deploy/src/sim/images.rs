//! A registry and a builder whose digests follow from what is built.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use skipper_core::{
    clean::Stocked,
    exit::Exit,
    image::{Digest, PinnedImage, Repository, Tag, hex_digest},
};

use super::SimWorld;
use crate::ports::{BuildRequest, Images, Login, PortError, PortErrorKind, PortResult, Resolved};

/// The registry's content, and the sources that are built.
#[derive(Clone, Debug, Default)]
pub struct SimRegistry {
    /// What each tag points to.
    pub tags: BTreeMap<(Repository, Tag), Digest>,
    /// The contents of each build context, by its path; a context that is not here is empty.
    pub sources: BTreeMap<String, String>,
    /// Contexts whose build fails.
    pub failing: Vec<String>,
    /// How much longer than usual a build takes.
    pub build_lags: Duration,
    /// How old every image is.
    pub age: Duration,
    /// What every image says it runs on.
    pub platforms: BTreeSet<String>,
    /// What the engine of the machine that skipper runs on has.
    pub stock: Vec<Stocked>,
}

impl SimRegistry {
    /// Whether an image can be pulled.
    pub fn has(&self, image: &PinnedImage) -> bool {
        self.tags.iter().any(|((repository, _), digest)| *repository == image.repository && *digest == image.digest)
    }

    fn inputs(&self, build: &BuildRequest) -> String {
        let context = build.context.display().to_string();
        let content = self.sources.get(&context).cloned().unwrap_or_default();
        hex_digest(format!("{context}\n{content}\n{:?}", build.args).as_bytes())[..16].to_owned()
    }
}

#[async_trait(?Send)]
impl Images for SimWorld {
    async fn inputs(&self, build: &BuildRequest) -> PortResult<String> {
        Ok(self.look().registry.inputs(build))
    }

    async fn resolve(&self, repository: &Repository, tag: &Tag) -> PortResult<Option<Resolved>> {
        self.call("registry.resolve", async || {
            let state = self.look();
            let digest = state.registry.tags.get(&(repository.clone(), tag.clone())).cloned();
            let platforms = state.registry.platforms.clone();
            Ok(digest.map(|digest| Resolved { digest, age: Some(state.registry.age), platforms, revision: None }))
        })
        .await
    }

    async fn login(&self, _repository: &Repository) -> PortResult<Option<Login>> {
        Ok(self.look().login.clone())
    }

    async fn copy(&self, image: &PinnedImage, tag: &Tag) -> PortResult<()> {
        self.call("registry.copy", async || {
            let mut state = self.change();
            state.earlier.tags = state.registry.tags.clone();
            state.registry.tags.insert((image.repository.clone(), tag.clone()), image.digest.clone());
            Ok(())
        })
        .await
    }

    async fn build_and_push(
        &self,
        build: &BuildRequest,
        repository: &Repository,
        tags: &[Tag],
        output: &mut dyn FnMut(String),
    ) -> PortResult<Digest> {
        output("#1 building".to_owned());
        self.call("engine.build_and_push", async || {
            let lags = self.look().registry.build_lags;
            tokio::time::sleep(Duration::from_secs(20) + lags).await;
            let mut state = self.change();
            if state.registry.failing.contains(&build.context.display().to_string()) {
                let mut error = PortError::new(PortErrorKind::Invalid, "the build failed at `RUN false`");
                error.failure.exit = Exit::BuildFailed;
                return Err(error);
            }
            // Like a label with the commit, the revision makes a new image of unchanged sources.
            let content = format!("{}{}{}", state.registry.inputs(build), build.revision, repository);
            let digest = format!("sha256:{}", hex_digest(content.as_bytes()))
                .parse::<Digest>()
                .map_err(|error| PortError::new(PortErrorKind::Other, error.to_string()))?;
            state.earlier.tags = state.registry.tags.clone();
            for tag in tags {
                state.registry.tags.insert((repository.clone(), tag.clone()), digest.clone());
            }
            Ok(digest)
        })
        .await
    }

    async fn stock(&self, repositories: &BTreeSet<Repository>) -> PortResult<Vec<Stocked>> {
        self.call("engine.stock", async || {
            let state = self.look();
            Ok(state.registry.stock.iter().filter(|image| repositories.contains(&image.repository)).cloned().collect())
        })
        .await
    }

    async fn clean(&self, image: &Stocked) -> PortResult<bool> {
        self.call("engine.clean", async || {
            let mut state = self.change();
            let stock = &mut state.registry.stock;
            if stock.iter().any(|found| found.id == image.id && found.used) {
                return Err(PortError::new(PortErrorKind::InUse, "a container uses it"));
            }
            stock.retain(|found| found.id != image.id || found.repository != image.repository);
            Ok(stock.iter().all(|found| found.id != image.id))
        })
        .await
    }
}
