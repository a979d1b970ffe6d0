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
    platform: Option<Platform>,
}

/// What an image runs on; of what is no image, such as the account of a build, both are `unknown`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Platform {
    os: String,
    architecture: String,
}

/// What is read of an image's configuration.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ImageConfig {
    #[serde(flatten)]
    pub(super) platform: Platform,
    created: Option<String>,
    config: Option<Labels>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Labels {
    labels: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    pub(super) fn platform(&self) -> Option<String> {
        self.platform.as_ref()?.name()
    }
}

impl Platform {
    /// As Docker writes it: `linux/amd64`.
    pub(super) fn name(&self) -> Option<String> {
        let is_known = |part: &str| !part.is_empty() && part != "unknown";
        let named = is_known(&self.os) && is_known(&self.architecture);
        named.then(|| text::line(&format!("{}/{}", self.os, self.architecture)))
    }
}

impl ImageConfig {
    /// The value of a label.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.config.as_ref()?.labels.as_ref()?.get(name).map(String::as_str)
    }

    /// When the image was built. BuildKit takes `created` from the newest layer, which for a build from its cache is that of an
    /// earlier build; the label that every build of skipper sets, whose name is given, tells the truth.
    pub(super) fn created(&self, label: &str) -> Option<jiff::Timestamp> {
        let label = self.label(label).and_then(|text| text.parse().ok());
        label.or_else(|| self.created.as_ref()?.parse().ok())
    }
}

/// What a registry says of its refusal, in one line: `MANIFEST_INVALID: manifest invalid`.
pub(super) fn detail(body: &[u8]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_read_in_both_forms() {
        let now = "2026-10-21T07:28:00Z".parse().unwrap();
        assert_eq!(pause_of("7", now), Some(Duration::from_secs(7)));
        assert_eq!(pause_of("Wed, 21 Oct 2026 07:28:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(pause_of("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(pause_of("soon", now), None);
        assert_eq!(pause_of("-1", now), None);
    }
}
