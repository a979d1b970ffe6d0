//! What a registry has, and giving it another name: the distribution API, without an engine in between.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>

mod authorization;
mod documents;
mod refusal;
mod transport;

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use http::{Method, StatusCode};
use skipper_core::image::{Digest, ImageError, PinnedImage, Repository, Tag, hex_digest};
use skipper_deploy::ports::{PortError, PortErrorKind, PortResult, Resolved};

use self::{
    documents::{Descriptor, ImageConfig, ManifestFields, detail},
    transport::{Access, Call, Pace, Reply, Transport},
};
use super::{CREATED_LABEL, REVISION_LABEL, credentials::Credentials, trouble::failed};

/// Every kind of manifest and index that Docker and BuildKit write.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// The registries, each reached when it is first asked for something.
#[derive(Debug)]
pub(super) struct Registry {
    transport: Transport,
}

/// A manifest as the registry keeps it.
struct Manifest {
    bytes: Bytes,
    content_type: String,
    digest: Digest,
}

impl Registry {
    /// Reads from registries with these logins; `endpoints` gives the address that replaces a registry's own, as `http://host:port`.
    pub(super) fn new(credentials: Rc<Credentials>, endpoints: BTreeMap<String, String>) -> PortResult<Self> {
        Self::with_pace(credentials, endpoints, Pace::default())
    }

    fn with_pace(credentials: Rc<Credentials>, endpoints: BTreeMap<String, String>, pace: Pace) -> PortResult<Self> {
        Ok(Self { transport: Transport::new(credentials, endpoints, pace)? })
    }

    /// What a tag points to.
    pub(super) async fn resolve(&self, repository: &Repository, tag: &Tag) -> PortResult<Option<Resolved>> {
        let operation = format!("look up `{repository}:{tag}` in the registry");
        let Some(manifest) = self.manifest(repository, tag.as_ref(), &operation).await? else { return Ok(None) };
        let (config, platforms) = self.facts(repository, &manifest, &operation).await?;
        let age = |created| Duration::try_from(jiff::Timestamp::now().duration_since(created)).unwrap_or_default();
        Ok(Some(Resolved {
            digest: manifest.digest,
            age: config.created(CREATED_LABEL).map(age),
            platforms,
            revision: config.label(REVISION_LABEL).and_then(|revision| revision.parse().ok()),
        }))
    }

    /// Gives an image another tag: the same bytes under another name.
    pub(super) async fn copy(&self, image: &PinnedImage, tag: &Tag) -> PortResult<()> {
        let operation = format!("tag `{image}` as `{tag}` in the registry");
        let missing =
            || failed(PortErrorKind::Missing, operation.clone()).because("the registry does not have this image");
        let manifest =
            self.manifest(&image.repository, image.digest.as_ref(), &operation).await?.ok_or_else(missing)?;
        if manifest.digest != image.digest {
            return Err(failed(PortErrorKind::Other, operation)
                .because(format!("the registry answered with another image, `{}`", manifest.digest)));
        }
        let call = Call {
            method: Method::PUT,
            repository: &image.repository,
            path: format!("manifests/{tag}"),
            access: Access::Push,
            accept: MANIFESTS,
            body: Some((manifest.content_type, manifest.bytes)),
        };
        let reply = self.transport.call(&call, &operation).await?;
        match reply.status {
            status if status.is_success() => Ok(()),
            // It has the manifest and not all that the manifest names.
            status if lacks_a_blob(&detail(&reply.bytes)) => {
                let error = unexpected(status, &reply, operation);
                Err(PortError { kind: PortErrorKind::Missing, ..error })
            }
            status => Err(unexpected(status, &reply, operation)),
        }
    }

    /// Whether this run may push: begins an upload, and breaks it off before there is anything in it.
    pub(super) async fn try_push(&self, repository: &Repository) -> PortResult<()> {
        let operation = format!("begin a push to `{repository}`");
        let call = |method, path, body| Call { method, repository, path, access: Access::Push, accept: "*/*", body };
        let nothing = ("application/octet-stream".to_owned(), Bytes::new());
        let begin = call(Method::POST, "blobs/uploads/".to_owned(), Some(nothing));
        let reply = self.transport.call(&begin, &operation).await?;
        if !reply.status.is_success() {
            return Err(unexpected(reply.status, &reply, operation));
        }
        let below = format!("/v2/{}/", repository.path());
        if let Some((_, upload)) = reply.location.as_deref().and_then(|location| location.split_once(&below)) {
            // A registry forgets by itself what nobody goes on with.
            let _ = self.transport.call(&call(Method::DELETE, upload.to_owned(), None), &operation).await;
        }
        Ok(())
    }

    /// A manifest by tag or digest; its digest is that of the bytes received, whatever the registry says of them.
    async fn manifest(
        &self,
        repository: &Repository,
        reference: &str,
        operation: &str,
    ) -> PortResult<Option<Manifest>> {
        let Some(reply) = self.get(repository, format!("manifests/{reference}"), MANIFESTS, operation).await? else {
            return Ok(None);
        };
        let wrong = |cause: String| failed(PortErrorKind::Other, operation).because(cause);
        let digest: Digest = format!("sha256:{}", hex_digest(&reply.bytes))
            .parse()
            .map_err(|error: ImageError| wrong(error.to_string()))?;
        if let Some(claimed) = reply.digest.filter(|claimed| claimed.as_str() != digest.as_ref()) {
            return Err(wrong(format!("the registry names the digest `{claimed}`, but what it sent has `{digest}`")));
        }
        let content_type = reply.content_type.unwrap_or_default();
        if !MANIFESTS.split(", ").any(|known| known == content_type) {
            return Err(wrong(format!(
                "the registry answered with `{content_type}`, which is no image manifest of today"
            )));
        }
        Ok(Some(Manifest { bytes: reply.bytes, content_type, digest }))
    }

    /// What an image says of itself, and what it runs on; of an index, what its first image says.
    async fn facts(
        &self,
        repository: &Repository,
        manifest: &Manifest,
        operation: &str,
    ) -> PortResult<(ImageConfig, BTreeSet<String>)> {
        let mut fields = parsed(&manifest.bytes, operation)?;
        let mut platforms: BTreeSet<String> = fields.manifests.iter().filter_map(Descriptor::platform).collect();
        let first = fields.manifests.iter().find(|image| image.platform().is_some()).or(fields.manifests.first());
        if let Some(first) = first {
            let image = self.manifest(repository, first.digest.as_ref(), operation).await?;
            fields = parsed(&image.ok_or_else(|| lost(&first.digest, operation))?.bytes, operation)?;
        }
        let Some(Descriptor { digest, .. }) = fields.config else { return Ok((ImageConfig::default(), platforms)) };
        let reply = self.get(repository, format!("blobs/{digest}"), "*/*", operation).await?;
        let reply = reply.ok_or_else(|| lost(&digest, operation))?;
        // An artefact's configuration may be anything at all: it has no age and runs on nothing.
        let config: ImageConfig = serde_json::from_slice(&reply.bytes).unwrap_or_default();
        if platforms.is_empty() {
            platforms.extend(config.platform.name());
        }
        Ok((config, platforms))
    }

    /// What is at a path below the repository; nothing when the registry does not have it.
    async fn get(
        &self,
        repository: &Repository,
        path: String,
        accept: &str,
        operation: &str,
    ) -> PortResult<Option<Reply>> {
        let call = Call { method: Method::GET, repository, path, access: Access::Pull, accept, body: None };
        let reply = self.transport.call(&call, operation).await?;
        match reply.status {
            status if status.is_success() => Ok(Some(reply)),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(unexpected(status, &reply, operation.to_owned())),
        }
    }
}

fn parsed(manifest: &[u8], operation: &str) -> PortResult<ManifestFields> {
    serde_json::from_slice(manifest).map_err(|error| {
        failed(PortErrorKind::Other, operation)
            .because("read the manifest that the registry sent")
            .because(error.to_string())
    })
}

/// The registry has an image's name and not all that the image is made of.
fn lost(digest: &Digest, operation: &str) -> PortError {
    let mut error =
        failed(PortErrorKind::Missing, format!("the registry has lost `{digest}`, which the image is made of"));
    error.failure = error.failure.during(operation);
    error.hint("push the image again")
}

fn lacks_a_blob(detail: &str) -> bool {
    detail.contains("_BLOB_UNKNOWN") || detail.starts_with("BLOB_UNKNOWN")
}

fn unexpected(status: StatusCode, reply: &Reply, operation: String) -> PortError {
    failed(PortErrorKind::Invalid, operation)
        .because(format!("the registry answered {status}"))
        .because(detail(&reply.bytes))
}

#[cfg(test)]
mod tests;
