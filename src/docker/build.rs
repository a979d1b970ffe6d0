//! Builds an image with the engine's BuildKit.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher, RandomState},
};

use bollard::{
    auth::DockerCredentials,
    body_try_stream,
    errors::Error,
    models::{BuildInfo, BuildInfoAux},
    query_parameters::{BuildImageOptionsBuilder, BuilderVersion},
};
use futures::StreamExt;
use skipper_deploy::ports::{BuildRequest, PortError, PortErrorKind, PortResult};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    CREATED_LABEL, REVISION_LABEL,
    archive::pack,
    context::{Context, ContextError},
    engine::engine_error,
    output::{Progress, plain},
    trouble::{LIMIT_HINT, failed, is_about_limits, kind_of_refusal, unreadable},
};

/// Builds and names the image in the engine. `logins` are for the base images' registries.
pub(super) async fn build(
    docker: &bollard::Docker,
    build: &BuildRequest,
    name: &str,
    logins: HashMap<String, DockerCredentials>,
    output: &mut dyn FnMut(String),
) -> PortResult<()> {
    let request = build.clone();
    let context = tokio::task::spawn_blocking(move || Context::open(&request))
        .await
        .map_err(defect)?
        .map_err(|error| unreadable(&error))?;
    let options = BuildImageOptionsBuilder::new()
        .version(BuilderVersion::BuilderBuildKit)
        .session(&session_id())
        .t(name)
        .dockerfile(context.dockerfile())
        .target(build.target.as_deref().unwrap_or_default())
        .buildargs(&build.args.clone().into_iter().collect())
        .labels(&HashMap::from([
            (REVISION_LABEL, build.revision.to_string()),
            (CREATED_LABEL, jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        ]))
        .build();
    let archive = pack(context);
    let body = body_try_stream(ReceiverStream::new(archive.chunks));
    let mut progress = Progress::default();
    let result = follow(docker.build_image(options, Some(logins), Some(body)), &mut progress, output).await;
    // The body is dropped by now, so packing ends soon where it has not ended.
    match (result, archive.packing.await.map_err(defect)?) {
        (Err(_), Err(error)) if !matches!(error, ContextError::Abandoned) => Err(unreadable(&error)),
        (Err(error), _) => Err(build_error(build, &error, &progress)),
        (Ok(()), _) => Ok(()),
    }
}

async fn follow(
    mut replies: impl futures::Stream<Item = Result<BuildInfo, Error>> + Unpin,
    progress: &mut Progress,
    output: &mut dyn FnMut(String),
) -> Result<(), Error> {
    let mut is_built = false;
    while let Some(reply) = replies.next().await {
        match reply?.aux {
            Some(BuildInfoAux::BuildKit(status)) => progress.take(status, output),
            Some(BuildInfoAux::Default(image)) => is_built |= image.id.is_some(),
            None => {}
        }
    }
    match is_built {
        true => Ok(()),
        // The engine was stopped, or a proxy in between broke the answer off.
        false => {
            Err(Error::DockerStreamError { error: "the engine's answer ended before the image was there".to_owned() })
        }
    }
}

fn build_error(build: &BuildRequest, error: &Error, progress: &Progress) -> PortError {
    let message = match error {
        Error::DockerStreamError { error } => error,
        error => return engine_error(operation(build), error),
    };
    let step = progress.failed_step();
    // Only these speak with a registry; what a RUN says of itself is no word of one.
    let is_about_base_image = step.is_some_and(|step| {
        step.starts_with("[internal] load metadata for") || step.starts_with("resolve image config for")
    });
    let kind = if is_about_base_image { kind_of_refusal(message) } else { PortErrorKind::Invalid };
    let mut failure = failed(kind, operation(build)).failure;
    if is_about_base_image {
        failure = failure.hint(match (kind, is_about_limits(message)) {
            (_, true) => LIMIT_HINT,
            (PortErrorKind::Transient, _) => "see that the registry of the base image can be reached from the Docker engine, then run again",
            _ => "check the `FROM` of the Dockerfile: the registry has no such image, or shows it to those who log in alone",
        });
    }
    if let Some(step) = step {
        failure = failure.because(format!("step `{step}` failed"));
    }
    let failure = failure.because(plain(message)).with_lines(progress.last_lines());
    PortError { kind, failure }
}

fn operation(build: &BuildRequest) -> String {
    format!("build `{}` in `{}`", build.dockerfile, build.context.display())
}

fn defect(error: tokio::task::JoinError) -> PortError {
    failed(PortErrorKind::Other, "read the build context").because(error.to_string())
}

/// A name for the connection over which BuildKit asks for credentials; two builds at a time must differ in it.
fn session_id() -> String {
    // The standard library seeds each of these differently, which is all that is needed.
    format!("skipper-{}-{:016x}", std::process::id(), RandomState::new().build_hasher().finish())
}
