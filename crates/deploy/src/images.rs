//! Makes the release's images ready: what the registry has for the commit is used, what has not changed is tagged anew, the rest is built.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use futures::future::join_all;
use skipper_core::{
    config::{Build, Config, ImageSource, Service},
    event::{EventKind, ImageOrigin},
    exit::Exit,
    failure::Failure,
    image::{PinnedImage, Revision, Tag, hex_digest},
    name::ServiceName,
    release::Release,
};

use crate::{
    events::Events,
    ports::{BuildRequest, Images, PortError, PortErrorKind, PortResult, Resolved},
};

/// How a run makes its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageOptions {
    /// The folder that relative build contexts start from: that of `skipper.yml`.
    pub root: PathBuf,
    /// Builds even what the registry has.
    pub rebuild: bool,
    /// The tags were asked for by whoever runs this, and are not those of the file.
    pub tags_are_asked_for: bool,
}

/// Makes every service's image ready, all services side by side.
///
/// # Errors
/// With the first service that failed, in the order of the file, after all have ended; each has its own `ImageFailed` event.
pub async fn release(
    config: &Config,
    revision: &Revision,
    options: &ImageOptions,
    images: &dyn Images,
    events: &Events,
) -> Result<Release, Failure> {
    let work = config.services.iter().map(|(name, service)| async move {
        let started = events.elapsed_ms();
        events.emit(EventKind::ImageStarted { service: name.clone() });
        let one = One { config, name, service, revision, options, images, events };
        match one.make_ready().await {
            Ok((image, origin, made_from)) => {
                let took_ms = events.elapsed_ms() - started;
                events.emit(EventKind::ImageReady { service: name.clone(), image: image.clone(), origin, took_ms });
                Ok((name.clone(), image, made_from))
            }
            Err(failure) => {
                let failure = failure.during(format!("make the image of service `{name}` ready"));
                events.emit(EventKind::ImageFailed { service: name.clone(), failure: failure.clone() });
                Err(failure)
            }
        }
    });
    let made: Vec<_> = join_all(work).await.into_iter().collect::<Result<_, _>>()?;
    // What was asked for by tags is the commit that those images say they were built from.
    let mut commits = made.iter().map(|(_, _, made_from)| made_from.as_ref());
    let first = commits.next().flatten().filter(|first| commits.all(|other| other == Some(*first)));
    let revision = first.filter(|_| options.tags_are_asked_for).unwrap_or(revision).clone();
    let images = made.into_iter().map(|(name, image, _)| (name, image)).collect();
    Ok(Release { revision, images, secrets: Default::default() })
}

/// Resolves the images that the registry has for a commit, building nothing.
///
/// Services the registry has no image for are returned by name, too: they would be built. Their place is held by an image whose
/// digest is that of their build inputs, which no registry has: with it a plan is made as if they were there.
///
/// # Errors
/// When a registry refuses or does not answer.
pub async fn resolve(
    config: &Config,
    revision: &Revision,
    options: &ImageOptions,
    images: &dyn Images,
) -> Result<(Release, BTreeSet<ServiceName>), Failure> {
    let work = config.services.iter().map(|(name, service)| async move {
        let found = match &service.source {
            ImageSource::Tag(tag) => external(name, service, tag, options, images).await?,
            ImageSource::Build(build) => {
                let tagged = match options.rebuild {
                    true => None,
                    false => whole(images.resolve(&service.repository, &revision.tag()).await)?,
                };
                match tagged {
                    Some(found) => found,
                    None => {
                        let inputs = inputs_tag(&images.inputs(&build_request(build, revision, &options.root)).await?)?;
                        let same = match options.rebuild {
                            true => None,
                            false => whole(unchanged(service, build, &inputs, images).await)?,
                        };
                        match same {
                            Some(found) => found,
                            None => return Ok((name.clone(), place_holder(service, &inputs)?, true)),
                        }
                    }
                }
            }
        };
        Ok::<_, PortError>((name.clone(), pinned(config, name, service, found)?, false))
    });
    let mut release = Release { revision: revision.clone(), images: Default::default(), secrets: Default::default() };
    let mut to_build = BTreeSet::new();
    for resolved in join_all(work).await {
        let (name, image, is_to_build) = resolved.map_err(|error| error.failure)?;
        if is_to_build {
            to_build.insert(name.clone());
        }
        release.images.insert(name, image);
    }
    Ok((release, to_build))
}

/// Stands for an image that is to be built from these inputs.
fn place_holder(service: &Service, inputs: &Tag) -> PortResult<PinnedImage> {
    let digest = format!("sha256:{}", hex_digest(inputs.as_ref().as_bytes())).parse();
    let digest = digest.map_err(|_| PortError::new(PortErrorKind::Other, "a hash does not make a digest"))?;
    Ok(PinnedImage { repository: service.repository.clone(), digest })
}

struct One<'a> {
    config: &'a Config,
    name: &'a ServiceName,
    service: &'a Service,
    revision: &'a Revision,
    options: &'a ImageOptions,
    images: &'a dyn Images,
    events: &'a Events,
}

impl One<'_> {
    /// The image, where it came from, and the commit that one says it was built from which this run does not build.
    async fn make_ready(&self) -> Result<(PinnedImage, ImageOrigin, Option<Revision>), Failure> {
        match &self.service.source {
            ImageSource::Tag(tag) => self.resolved(tag).await,
            ImageSource::Build(build) => self.built(build).await.map(|(image, origin)| (image, origin, None)),
        }
        .map_err(|error| error.failure)
    }

    async fn resolved(&self, tag: &Tag) -> PortResult<(PinnedImage, ImageOrigin, Option<Revision>)> {
        let found = external(self.name, self.service, tag, self.options, self.images).await?;
        let made_from = found.revision.clone();
        Ok((self.pinned(found)?, ImageOrigin::Resolved, made_from))
    }

    async fn built(&self, build: &Build) -> PortResult<(PinnedImage, ImageOrigin)> {
        let repository = &self.service.repository;
        let commit = self.revision.tag();
        let request = build_request(build, self.revision, &self.options.root);
        if !self.options.rebuild
            && let Some(found) = self.unless_broken(self.images.resolve(repository, &commit).await)?
        {
            return Ok((self.pinned(found)?, ImageOrigin::TaggedAlready));
        }
        let inputs = inputs_tag(&self.images.inputs(&request).await?)?;
        if !self.options.rebuild
            && let Some(image) = self.unless_broken(self.tagged_anew(build, &inputs, &commit).await)?
        {
            return Ok((image, ImageOrigin::InputsUnchanged));
        }
        let tags = [commit, inputs];
        let mut output = |line: String| self.events.emit(EventKind::ImageOutput { service: self.name.clone(), line });
        let digest = self.images.build_and_push(&request, repository, &tags, &mut output).await?;
        Ok((PinnedImage { repository: repository.clone(), digest }, ImageOrigin::Built))
    }

    /// Gives the image with the same inputs the commit's tag, where there is one.
    async fn tagged_anew(&self, build: &Build, inputs: &Tag, commit: &Tag) -> PortResult<Option<PinnedImage>> {
        let Some(found) = unchanged(self.service, build, inputs, self.images).await? else { return Ok(None) };
        let image = self.pinned(found)?;
        self.images.copy(&image, commit).await?;
        Ok(Some(image))
    }

    /// An image of which the registry has lost a part is none: it is told, and built anew.
    fn unless_broken<T>(&self, found: PortResult<Option<T>>) -> PortResult<Option<T>> {
        if let Err(error) = &found
            && error.kind == PortErrorKind::Missing
        {
            let failure = Failure { exit: Exit::Serves, ..error.failure.clone() };
            let what = format!("use the image of service `{}` that the registry has, so it is built anew", self.name);
            self.events.warn(failure.during(what));
        }
        whole(found)
    }

    fn pinned(&self, found: Resolved) -> PortResult<PinnedImage> {
        pinned(self.config, self.name, self.service, found)
    }
}

/// The image of a service that this run does not build.
async fn external(
    name: &ServiceName,
    service: &Service,
    tag: &Tag,
    options: &ImageOptions,
    images: &dyn Images,
) -> PortResult<Resolved> {
    let repository = &service.repository;
    images.resolve(repository, tag).await?.ok_or_else(|| {
        let error =
            PortError::new(PortErrorKind::Missing, format!("the registry has no tag `{tag}` of `{repository}`"));
        match options.tags_are_asked_for {
            true => with_exit(error, Exit::BadInput)
                .hint(format!("name a tag that the registry has: `{name}:TAG`"))
                .hint("`skipper ship` builds and deploys a commit; `skipper tag` and `skipper push` make a tag"),
            false => with_exit(error, Exit::BuildFailed).hint(format!(
                "check `repo` of service `{name}` in skipper.yml, or add `build` if it is yours to build"
            )),
        }
    })
}

/// Nothing in the place of an image of which the registry has lost a part.
fn whole<T>(found: PortResult<Option<T>>) -> PortResult<Option<T>> {
    match found {
        Err(error) if error.kind == PortErrorKind::Missing => Ok(None),
        found => found,
    }
}

/// An image with the same inputs that is young enough to be used again; one of unknown age is not.
async fn unchanged(
    service: &Service,
    build: &Build,
    inputs: &Tag,
    images: &dyn Images,
) -> PortResult<Option<Resolved>> {
    let found = images.resolve(&service.repository, inputs).await?;
    Ok(found.filter(|found| found.age.is_some_and(|age| age <= build.max_age)))
}

/// What the engine is asked for, to build an image of a commit.
pub fn build_request(build: &Build, revision: &Revision, root: &Path) -> BuildRequest {
    BuildRequest {
        context: root.join(&build.context),
        dockerfile: build.dockerfile.clone(),
        target: build.target.clone(),
        args: build.args.clone(),
        revision: revision.clone(),
    }
}

fn inputs_tag(hash: &str) -> PortResult<Tag> {
    format!("inputs-{hash}")
        .parse()
        .map_err(|_| PortError::new(PortErrorKind::Other, format!("the hash `{hash}` does not make a tag")))
}

/// The image by its digest, unless a host of the service could not run it.
fn pinned(config: &Config, name: &ServiceName, service: &Service, found: Resolved) -> PortResult<PinnedImage> {
    let image = PinnedImage { repository: service.repository.clone(), digest: found.digest };
    // An image that does not say what it runs on is left to the hosts to judge.
    let needed = if found.platforms.is_empty() { Default::default() } else { config.architectures(name) };
    for (architecture, group) in needed {
        let platform = format!("linux/{}", architecture.as_str());
        if !found.platforms.contains(&platform) {
            let built_for: Vec<&str> = found.platforms.iter().map(String::as_str).collect();
            let size = config.groups.get(group).map(|group| group.size.to_string()).unwrap_or_default();
            let error = PortError::new(
                PortErrorKind::Invalid,
                format!("`{image}` does not run on the hosts of group `{group}`, which are {platform} (`{size}`)"),
            );
            let remedy = match service.source {
                ImageSource::Tag(_) => format!("name a tag in `repo` of service `{name}` that exists for {platform}"),
                ImageSource::Build(_) => format!("build it on a runner that is {platform}, with `rebuild` set once"),
            };
            return Err(with_exit(error, Exit::BuildFailed)
                .because(format!("it was made for {}", built_for.join(", ")))
                .hint(format!("{remedy}, or give the group a `size` of another processor")));
        }
    }
    Ok(image)
}

fn with_exit(mut error: PortError, exit: Exit) -> PortError {
    error.failure.exit = exit;
    error
}
