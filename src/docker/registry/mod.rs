//! What a registry has, and giving it another name: the distribution API, without an engine in between.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>

mod authorization;
mod documents;
mod transport;

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode};
use skipper_core::image::{Digest, ImageError, PinnedImage, Repository, Tag, hex_digest};
use skipper_deploy::ports::{PortError, PortErrorKind, PortResult, Resolved};

use self::{
    documents::{ImageConfig, ManifestFields, refusal},
    transport::{Access, Call, Reply, Transport},
};
use super::{CREATED_LABEL, credentials::Credentials, trouble::failed};

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
        Ok(Self { transport: Transport::new(credentials, endpoints)? })
    }

    /// What a tag points to.
    pub(super) async fn resolve(&self, repository: &Repository, tag: &Tag) -> PortResult<Option<Resolved>> {
        let operation = format!("look up `{repository}:{tag}` in the registry");
        let Some(manifest) = self.manifest(repository, tag.as_ref(), &operation).await? else { return Ok(None) };
        let age = self.age(repository, &manifest, &operation).await?;
        Ok(Some(Resolved { digest: manifest.digest, age }))
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
            status => Err(unexpected(status, &reply, operation)),
        }
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

    /// How long ago an image was made; for an index, its first image. Absent when it does not say.
    async fn age(&self, repository: &Repository, manifest: &Manifest, operation: &str) -> PortResult<Option<Duration>> {
        let mut fields = parsed(&manifest.bytes, operation)?;
        if let Some(first) = fields.manifests.first() {
            let Some(manifest) = self.manifest(repository, first.digest.as_ref(), operation).await? else {
                return Ok(None);
            };
            fields = parsed(&manifest.bytes, operation)?;
        }
        let Some(config) = fields.config else { return Ok(None) };
        let Some(reply) = self.get(repository, format!("blobs/{}", config.digest), "*/*", operation).await? else {
            return Ok(None);
        };
        // An artefact's configuration may be anything at all: it has no age.
        let config: ImageConfig = serde_json::from_slice(&reply.bytes).unwrap_or_default();
        Ok(config
            .created(CREATED_LABEL)
            .map(|created| Duration::try_from(jiff::Timestamp::now().duration_since(created)).unwrap_or_default()))
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

fn unexpected(status: StatusCode, reply: &Reply, operation: String) -> PortError {
    failed(PortErrorKind::Invalid, operation)
        .because(format!("the registry answered {status}"))
        .because(refusal(&reply.bytes))
}

#[cfg(test)]
mod tests;
