//! What a token says of its job: never the token itself, and nothing that is needed to use it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::aws::error::shown;

/// The claims that a trust policy may ask for, in the order in which people look for them
/// (<https://docs.github.com/en/actions/reference/security/oidc>).
const TOLD: [&str; 12] = [
    "sub",
    "aud",
    "iss",
    "repository",
    "repository_id",
    "repository_owner_id",
    "ref",
    "environment",
    "event_name",
    "job_workflow_ref",
    "runner_environment",
    "actor",
];

/// The claims of a token, as far as it can be read.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// Reads them without checking the signature: STS does that, and this is only shown.
    pub(super) fn of(token: &str) -> Self {
        let payload = token.split('.').nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
        Self(payload.and_then(|payload| serde_json::from_slice(&payload).ok()).unwrap_or_default())
    }

    /// Whom it is about.
    pub(super) fn subject(&self) -> Option<String> {
        self.value("sub")
    }

    /// One line a claim.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |name: &&str| Some(format!("the token's {name}: {}", self.value(name)?));
        let lines: Vec<String> = TOLD.iter().filter_map(line).collect();
        if lines.is_empty() { vec!["the token is none whose claims can be read".to_owned()] } else { lines }
    }

    fn value(&self, name: &str) -> Option<String> {
        match self.0.get(name)? {
            Value::String(text) => Some(shown(text)),
            other => Some(shown(&other.to_string())),
        }
    }
}
