//! Images that several runs side by side use: whoever asks first has them made, and the others get the same, so that all deploy one release.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use async_trait::async_trait;
use skipper_core::{
    clean::Stocked,
    image::{Digest, PinnedImage, Repository, Tag},
};
use tokio::sync::OnceCell;

use crate::ports::{BuildRequest, Images, Login, PortResult, Resolved};

/// One [`Images`] for several runs.
pub struct SharedImages<'a> {
    images: &'a dyn Images,
    inputs: Answers<String>,
    resolved: Answers<Option<Resolved>>,
    copied: Answers<()>,
    built: Answers<Digest>,
}

impl<'a> SharedImages<'a> {
    /// Shares these images.
    pub fn new(images: &'a dyn Images) -> Self {
        Self {
            images,
            inputs: Answers::default(),
            resolved: Answers::default(),
            copied: Answers::default(),
            built: Answers::default(),
        }
    }
}

/// What was answered, by what was asked. A refusal is an answer, too: no run gets further than the others.
struct Answers<T>(RefCell<BTreeMap<String, Rc<OnceCell<PortResult<T>>>>>);

impl<T> Default for Answers<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: Clone> Answers<T> {
    /// The answer, which is asked for once; whoever asks meanwhile waits for it.
    async fn get(&self, asked: String, ask: impl Future<Output = PortResult<T>>) -> PortResult<T> {
        let answer = Rc::clone(self.0.borrow_mut().entry(asked).or_default());
        answer.get_or_init(|| ask).await.clone()
    }
}

#[async_trait(?Send)]
impl Images for SharedImages<'_> {
    async fn inputs(&self, build: &BuildRequest) -> PortResult<String> {
        self.inputs.get(format!("{build:?}"), self.images.inputs(build)).await
    }

    async fn resolve(&self, repository: &Repository, tag: &Tag) -> PortResult<Option<Resolved>> {
        self.resolved.get(format!("{repository}:{tag}"), self.images.resolve(repository, tag)).await
    }

    async fn login(&self, repository: &Repository) -> PortResult<Option<Login>> {
        self.images.login(repository).await
    }

    async fn copy(&self, image: &PinnedImage, tag: &Tag) -> PortResult<()> {
        self.copied.get(format!("{image} {tag}"), self.images.copy(image, tag)).await
    }

    async fn build_and_push(
        &self,
        build: &BuildRequest,
        repository: &Repository,
        tags: &[Tag],
        output: &mut dyn FnMut(String),
    ) -> PortResult<Digest> {
        let asked = format!("{build:?} {repository} {tags:?}");
        self.built.get(asked, self.images.build_and_push(build, repository, tags, output)).await
    }

    async fn stock(&self, repositories: &BTreeSet<Repository>) -> PortResult<Vec<Stocked>> {
        self.images.stock(repositories).await
    }

    async fn clean(&self, image: &Stocked) -> PortResult<bool> {
        self.images.clean(image).await
    }
}
