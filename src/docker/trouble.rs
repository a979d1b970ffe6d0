//! What an engine's or a registry's refusal means to a run.

use std::error::Error;

use skipper_core::{exit::Exit, failure::Failure};
use skipper_deploy::ports::{PortError, PortErrorKind};

use super::{context::ContextError, output::plain};

/// The remedy of every refusal by a registry.
const LOGIN_HINT: &str = "give a user name and password (or token) that may read and write this repository: the inputs `registry-username` and `registry-password`";

/// The remedy where a registry wants less of somebody.
pub(super) const LIMIT_HINT: &str = "registries allow more to those they know: log in, by the inputs `registry-username` and `registry-password` or by `docker login` before this step; or run again later";

/// An error of this folder: whatever it is, nothing was deployed.
pub(super) fn failed(kind: PortErrorKind, message: impl Into<String>) -> PortError {
    let exit = if kind == PortErrorKind::Denied { Exit::Refused } else { Exit::BuildFailed };
    let error = PortError { kind, failure: Failure::new(exit, message) };
    if kind == PortErrorKind::Denied { error.hint(LOGIN_HINT) } else { error }
}

/// A context that cannot be sent. What skipper.yml names and is not there is bad input, found before anything was touched.
pub(super) fn unreadable(error: &ContextError) -> PortError {
    let described = described(PortErrorKind::Invalid, error);
    let hint = match error {
        ContextError::Open { .. } | ContextError::NotAFolder(_) => {
            "correct `build` in skipper.yml, and see that the workflow checks the repository out before this step"
        }
        ContextError::NoDockerfile { .. } | ContextError::NotADockerfile(_) => {
            "correct `build` in skipper.yml: the Dockerfile's path is relative to the context"
        }
        ContextError::Pattern { .. } | ContextError::Read { .. } | ContextError::Abandoned => return described,
    };
    let mut bad_input = described.hint(hint);
    bad_input.failure.exit = Exit::BadInput;
    bad_input
}

/// An error with its chain of sources as causes.
pub(super) fn described(kind: PortErrorKind, error: &dyn Error) -> PortError {
    let mut described = failed(kind, error.to_string());
    if let Some(source) = error.source() {
        described.failure = described.failure.because_of(source);
    }
    described
}

/// An error and its sources, outermost first.
pub(super) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// The kind of a refusal that the engine passes on from a registry as text.
///
/// The words are those of <https://github.com/distribution/distribution> (`registry/api/errcode`) and of the engine's own
/// client of it; there is no other sign of what went wrong.
pub(super) fn kind_of_refusal(message: &str) -> PortErrorKind {
    const DENIED: &[&str] = &[
        "unauthorized",
        "denied",
        "no basic auth credentials",
        "incorrect username or password",
        "authentication required",
        "authorization failed",
        "insufficient_scope",
        "403 forbidden",
    ];
    const TRANSIENT: &[&str] = &[
        "toomanyrequests",
        "too many requests",
        "timeout",
        "timed out",
        "connection refused",
        "connection reset",
        "no such host",
        "unexpected eof",
        "500 internal",
        "502 bad",
        "503 service",
        "504 gateway",
        "temporary failure",
        "server misbehaving",
    ];
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    // Too many logins are refused with 401 and `toomanyrequests`: waiting helps, so that comes first.
    if says(TRANSIENT) {
        PortErrorKind::Transient
    } else if says(DENIED) {
        PortErrorKind::Denied
    } else {
        PortErrorKind::Other
    }
}

/// Whether a registry refuses because too much was asked of it.
pub(super) fn is_about_limits(message: &str) -> bool {
    let message = message.to_lowercase();
    ["toomanyrequests", "too many requests"].iter().any(|words| message.contains(words))
}

/// A registry's refusal in the engine's words.
pub(super) fn refused(operation: String, message: &str) -> PortError {
    let message = plain(message);
    let error = failed(kind_of_refusal(&message), operation).because(message.clone());
    if is_about_limits(&message) {
        return error.hint(LIMIT_HINT);
    }
    if message.contains("server gave HTTP response to HTTPS client") {
        return error.hint("the engine takes a registry without TLS only from a loopback address, or when its `insecure-registries` name it");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_words_for_a_refused_login_lead_to_exit_3_with_a_remedy() {
        for message in [
            "denied: requested access to the resource is denied",
            "unauthorized: authentication required",
            "no basic auth credentials",
            "error parsing HTTP 403 response body: unexpected end of JSON input: 403 Forbidden",
            "denied: permission_denied: write_package",
        ] {
            let error = refused("push `a/b:1`".into(), message);
            assert_eq!((error.kind, error.failure.exit), (PortErrorKind::Denied, Exit::Refused), "{message}");
            assert_eq!(error.failure.hints, [LOGIN_HINT]);
        }
    }

    #[test]
    fn trouble_on_the_way_is_worth_another_try() {
        for message in [
            "toomanyrequests: You have reached your pull rate limit",
            "Get \"https://ghcr.io/v2/\": dial tcp: lookup ghcr.io: no such host",
            "received unexpected HTTP status: 503 Service Unavailable",
            "Get \"http://127.0.0.1:5000/v2/\": dial tcp 127.0.0.1:5000: connect: connection refused",
        ] {
            let error = refused("push `a/b:1`".into(), message);
            assert_eq!((error.kind, error.failure.exit), (PortErrorKind::Transient, Exit::BuildFailed), "{message}");
        }
        assert_eq!(kind_of_refusal("name unknown"), PortErrorKind::Other);
    }
}
