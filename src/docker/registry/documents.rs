//! What is read of a registry's answers: manifests, images' configurations, refusals. Compiled by itself for fuzzing, too.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use skipper_core::{image::Digest, render::text};

/// What is read of a manifest or an index; the one has a config, the other manifests.
#[derive(Deserialize)]
pub(super) struct ManifestFields {
    pub(super) config: Option<Descriptor>,
    #[serde(default)]
    pub(super) manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
pub(super) struct Descriptor {
    pub(super) digest: Digest,
}

/// What is read of an image's configuration.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ImageConfig {
    created: Option<String>,
    config: Option<Labels>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Labels {
    labels: Option<BTreeMap<String, String>>,
}

impl ImageConfig {
    /// When the image was built. BuildKit takes `created` from the newest layer, which for a build from its cache is that of an
    /// earlier build; the label that every build of skipper sets tells the truth.
    pub(super) fn created(&self, label: &str) -> Option<jiff::Timestamp> {
        let labels = self.config.as_ref().and_then(|config| config.labels.as_ref());
        let label = labels.and_then(|labels| labels.get(label)).and_then(|text| text.parse().ok());
        label.or_else(|| self.created.as_ref()?.parse().ok())
    }
}

/// What a registry says of its refusal, in one line: `MANIFEST_INVALID: manifest invalid`.
pub(super) fn refusal(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Error>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Error {
        code: String,
        message: String,
    }
    let errors = serde_json::from_slice::<Errors>(body).map(|body| body.errors).unwrap_or_default();
    let texts: Vec<String> = errors.iter().map(|error| format!("{}: {}", error.code, error.message)).collect();
    text::line(&texts.join(", ")).chars().take(300).collect()
}

/// A `Retry-After` header: seconds, or a date.
pub(super) fn pause_of(header: &str, now: jiff::Timestamp) -> Option<Duration> {
    if let Ok(seconds) = header.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(header).ok()?.timestamp();
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}
