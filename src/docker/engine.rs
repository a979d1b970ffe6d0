//! The way to the Docker engine, taken only when something is built.

use std::{fs, io, os::unix::fs::FileTypeExt, path::Path, time::Duration};

use bollard::{API_DEFAULT_VERSION, ClientVersion, errors::Error};
use http::HeaderValue;
use skipper_core::{exit::Exit, failure::Failure};
use skipper_deploy::ports::{PortError, PortErrorKind, PortResult};
use tokio::sync::OnceCell;

use super::{
    output::plain,
    trouble::{chain, failed, refused},
};

/// Where the engine listens when nothing else is said.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// The oldest API that this is tried with: Docker 20.10, whose BuildKit is on without being asked for.
const OLDEST: (usize, usize) = (1, 41);
/// Until an answer begins; how long it goes on is not limited. A build's answer begins when its context has arrived.
const ANSWER_WITHIN: Duration = Duration::from_secs(600);
const GONE_HINT: &str =
    "see that the Docker engine still runs, then run again: what is built already is not built twice";
const NO_ENGINE_HINT: &str = "building needs a Docker engine: run on a runner that has one, mount its socket at `/var/run/docker.sock`, or set `DOCKER_HOST`";
const NO_ENGINE_TO_CLEAN_HINT: &str =
    "start the Docker engine, mount its socket at `/var/run/docker.sock`, or set `DOCKER_HOST`";
const GONE_TO_CLEAN_HINT: &str = "see that the Docker engine still runs, then run again";

/// An engine that is connected to when it is first needed.
#[derive(Debug)]
pub(super) struct Engine {
    host: String,
    connected: OnceCell<bollard::Docker>,
}

impl Engine {
    /// The engine at `host`, as in `DOCKER_HOST`; the local one when absent.
    pub(super) fn new(host: Option<String>) -> Self {
        Self { host: host.unwrap_or_else(|| DEFAULT_HOST.to_owned()), connected: OnceCell::new() }
    }

    /// The connection, made at the first call.
    pub(super) async fn client(&self) -> PortResult<&bollard::Docker> {
        self.connected.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> PortResult<bollard::Docker> {
        let (scheme, address) = self.host.split_once("://").unwrap_or(("unix", &self.host));
        let seconds = ANSWER_WITHIN.as_secs();
        let docker = match scheme {
            "unix" => {
                check_socket(Path::new(address))?;
                bollard::Docker::connect_with_unix(address, seconds, API_DEFAULT_VERSION)
            }
            "tcp" | "http" => bollard::Docker::connect_with_http(address, seconds, API_DEFAULT_VERSION),
            _ => {
                return Err(failed(PortErrorKind::Invalid, format!("connect to the Docker engine at `{}`", self.host))
                    .because(format!("skipper speaks to an engine over `unix://` or `tcp://`, not `{scheme}://`")));
            }
        };
        let operation = format!("connect to the Docker engine at `{}`", self.host);
        let unreachable = |error: Error| {
            let hint = match refuses_us(&error) {
                true => {
                    "the user that skipper runs as may not use the socket: run as root, or as one of the group that owns it"
                }
                false => NO_ENGINE_HINT,
            };
            // The hint of a connection that breaks off later does not fit here.
            let PortError { kind, failure } = engine_error(operation.clone(), &error);
            PortError { kind, failure: Failure { hints: Vec::new(), ..failure } }.hint(hint)
        };
        let docker = docker.map_err(unreachable)?.with_request_modifier(url_safe_credentials);
        let docker = docker.negotiate_version().await.map_err(unreachable)?;
        let ClientVersion { major_version, minor_version } = docker.client_version();
        if (major_version, minor_version) < OLDEST {
            return Err(failed(PortErrorKind::Invalid, operation)
                .because(format!(
                    "its API {major_version}.{minor_version} is too old: {}.{} is needed, for BuildKit",
                    OLDEST.0, OLDEST.1
                ))
                .hint("update the engine to Docker 20.10 or newer"));
        }
        Ok(docker)
    }
}

/// Refuses what only looks like a socket, with the reason.
fn check_socket(path: &Path) -> PortResult<()> {
    let error = |cause: String| {
        failed(PortErrorKind::Other, format!("find a Docker engine at `{}`", path.display()))
            .because(cause)
            .hint(NO_ENGINE_HINT)
    };
    match fs::metadata(path) {
        Ok(found) if found.file_type().is_socket() => Ok(()),
        // What `docker run -v` makes of a path that does not exist.
        Ok(found) if found.is_dir() => {
            Err(error("it is an empty folder: the machine that mounted it has no engine there".to_owned()))
        }
        Ok(_) => Err(error("it is not a socket".to_owned())),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Err(error("there is no such socket".to_owned())),
        Err(source) => Err(error(source.to_string())),
    }
}

/// Makes the engine read every password: it expects the URL-safe alphabet of base64 in this header and takes anything else for
/// no credentials at all, while the client writes the standard one.
fn url_safe_credentials<B>(mut request: http::Request<B>) -> http::Request<B> {
    if let Some(value) = request.headers_mut().get_mut("X-Registry-Auth")
        && let Ok(url_safe) = value.to_str().map(|text| text.replace('+', "-").replace('/', "_"))
        && let Ok(mut url_safe) = HeaderValue::try_from(url_safe)
    {
        url_safe.set_sensitive(true);
        *value = url_safe;
    }
    request
}

/// An error of a call to the engine, with what it may pass on from a registry.
pub(super) fn engine_error(operation: String, error: &Error) -> PortError {
    match error {
        Error::DockerStreamError { error } => refused(operation, error),
        Error::DockerResponseServerError { message, .. } => refused(operation, message),
        error => {
            // The innermost cause says what happened, those around it only which library was in use.
            let cause = chain(error).last().map(|cause| cause.to_string()).unwrap_or_default();
            failed(PortErrorKind::Transient, operation).because(plain(&cause)).hint(GONE_HINT)
        }
    }
}

/// The same where images are removed: no build has failed, and what there is to do is not about building.
pub(super) fn needed_to_clean(mut error: PortError) -> PortError {
    if error.failure.exit == Exit::BuildFailed {
        error.failure.exit = Exit::Blocked;
    }
    for hint in &mut error.failure.hints {
        if hint == NO_ENGINE_HINT {
            NO_ENGINE_TO_CLEAN_HINT.clone_into(hint);
        } else if hint == GONE_HINT {
            GONE_TO_CLEAN_HINT.clone_into(hint);
        }
    }
    error
}

/// Whether the machine refuses the connection to who skipper runs as.
fn refuses_us(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = chain(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(host: String) -> (String, Vec<String>) {
        let error = Engine::new(Some(host)).client().await.unwrap_err();
        assert_eq!(error.failure.exit, Exit::BuildFailed);
        (error.failure.message, error.failure.causes)
    }

    #[tokio::test]
    async fn a_missing_engine_is_told_apart_from_a_folder_and_a_file_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("file"), "").unwrap();
        let unix = |name: &str| format!("unix://{}", at(name));
        assert_eq!(
            refusal(unix("gone")).await,
            (format!("find a Docker engine at `{}`", at("gone")), vec!["there is no such socket".into()])
        );
        assert_eq!(
            refusal(unix("folder")).await.1,
            ["it is an empty folder: the machine that mounted it has no engine there"]
        );
        assert_eq!(refusal(unix("file")).await.1, ["it is not a socket"]);
        let _listener = std::os::unix::net::UnixListener::bind(at("deaf")).map(drop);
        assert_eq!(refusal(unix("deaf")).await.0, format!("connect to the Docker engine at `unix://{}`", at("deaf")));
        assert_eq!(
            refusal("ssh://host".into()).await.1,
            ["skipper speaks to an engine over `unix://` or `tcp://`, not `ssh://`"]
        );
    }

    #[test]
    fn a_socket_that_is_closed_to_us_is_told_apart() {
        #[derive(Debug, thiserror::Error)]
        #[error("the client's own words")]
        struct Connect(#[source] io::Error);
        let refused = |kind: io::ErrorKind| refuses_us(&Connect(kind.into()));
        assert!(refused(io::ErrorKind::PermissionDenied));
        assert!(!refused(io::ErrorKind::ConnectionRefused));
    }

    #[test]
    fn every_password_reaches_the_engine_in_the_alphabet_it_reads() {
        let request =
            http::Request::builder().header("X-Registry-Auth", "a+b/c=").header("Other", "a+b").body(()).unwrap();
        let request = url_safe_credentials(request);
        assert_eq!(
            (&request.headers()["X-Registry-Auth"], &request.headers()["Other"]),
            (&HeaderValue::from_static("a-b_c="), &HeaderValue::from_static("a+b"))
        );
    }
}
