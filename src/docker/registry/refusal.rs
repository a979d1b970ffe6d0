//! Why a registry gave no answer that can be used: what it means, and what to do about it.

use std::time::Duration;

use http::StatusCode;
use reqwest::Url;
use skipper_core::image::Repository;
use skipper_deploy::ports::PortErrorKind;

use crate::docker::trouble::{LIMIT_HINT, chain};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    #[error("the registry refuses the login of user `{0}`")]
    LoginRefused(String),
    #[error("the registry wants a login, and there is none for it")]
    LoginMissing,
    #[error("the registry answered {0}")]
    Forbidden(StatusCode, #[source] Detail),
    #[error("the registry asks for a login in a way that is not understood")]
    Challenge,
    #[error("the registry wants the password sent to `{0}`, which is not encrypted")]
    Realm(Url),
    #[error("the registry answered {status}{}", asked(.pause))]
    Busy {
        status: StatusCode,
        pause: Option<Duration>,
        #[source]
        detail: Detail,
    },
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the token service's answer holds no token")]
    NoToken,
    #[error("the registry does not answer within {} s", .0.as_secs_f32())]
    Silent(Duration),
    #[error("no answer from the registry")]
    Unreachable(#[source] Detail),
    #[error("the registry's address does not make a URL")]
    Address,
}

/// What a registry says about its refusal, or the machine about the way to it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Detail(pub String);

impl TransportError {
    /// The innermost cause says what happened; those around it only which library was in use.
    pub(super) fn unreachable(error: &reqwest::Error) -> Self {
        let innermost = chain(error).last().map(ToString::to_string);
        Self::Unreachable(Detail(innermost.unwrap_or_default()))
    }

    pub(super) fn is_passing(&self) -> bool {
        self.kind() == PortErrorKind::Transient
    }

    /// How long the registry asks to wait.
    pub(super) fn pause(&self) -> Option<Duration> {
        match self {
            Self::Busy { pause, .. } => *pause,
            _ => None,
        }
    }

    pub(super) fn kind(&self) -> PortErrorKind {
        match self {
            Self::LoginRefused(_) | Self::LoginMissing | Self::Forbidden(..) => PortErrorKind::Denied,
            Self::Busy { .. } | Self::Silent(_) | Self::Unreachable(_) => PortErrorKind::Transient,
            Self::Challenge | Self::Realm(_) | Self::TooLarge(_) | Self::NoToken | Self::Address => {
                PortErrorKind::Other
            }
        }
    }

    /// What to do about it, where it is not a matter of the login alone.
    pub(super) fn hint(&self, repository: &Repository) -> Option<String> {
        let registry = repository.registry();
        match self {
            Self::Busy { status: StatusCode::TOO_MANY_REQUESTS, .. } => Some(LIMIT_HINT.to_owned()),
            Self::Busy { .. } => Some(format!("run again when `{registry}` is well again")),
            Self::Silent(_) | Self::Unreachable(_) => Some(format!(
                "check the registry in skipper.yml, and that `{registry}` can be reached from where skipper runs; if it is in trouble, run again later"
            )),
            _ => None,
        }
    }
}

fn asked(pause: &Option<Duration>) -> String {
    pause.map_or_else(String::new, |pause| format!(" and asks to wait {} s", pause.as_secs()))
}
