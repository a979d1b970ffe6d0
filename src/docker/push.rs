//! Pushes an image through the engine.

use bollard::{auth::DockerCredentials, query_parameters::PushImageOptionsBuilder};
use futures::StreamExt;
use skipper_core::image::{Digest, Repository, Tag};
use skipper_deploy::ports::{PortErrorKind, PortResult};

use super::{engine::engine_error, output::plain, trouble::failed};

/// Pushes one tag and returns the digest that the registry gave it.
pub(super) async fn push(
    docker: &bollard::Docker,
    repository: &Repository,
    tag: &Tag,
    login: Option<DockerCredentials>,
    output: &mut dyn FnMut(String),
) -> PortResult<Digest> {
    let operation = format!("push `{repository}:{tag}`");
    let options = PushImageOptionsBuilder::new().tag(tag.as_ref()).build();
    let mut replies = docker.push_image(&repository.to_string(), Some(options), login);
    let mut digest = None;
    while let Some(reply) = replies.next().await {
        let status = reply.map_err(|error| engine_error(operation.clone(), &error))?.status;
        let Some(status) = status else { continue };
        if let Some(found) = digest_in(&status) {
            digest = Some(found);
            output(format!("pushed {}", plain(&status)));
        }
    }
    digest.ok_or_else(|| {
        failed(PortErrorKind::Unclear, operation).because("the engine's answer ended without the image's digest")
    })
}

/// The digest in the engine's last word on a push: `7: digest: sha256:… size: 1573`.
///
/// It is also in an `aux` field, which the client does not pass on; `docker push` has printed this line since version 1.6.
fn digest_in(status: &str) -> Option<Digest> {
    let (_, rest) = status.split_once(": digest: ")?;
    rest.split(' ').next()?.parse().ok()
}
