//! What registries answer: documents, challenges, pauses.

#[path = "../../../src/docker/registry/authorization.rs"]
mod authorization;
#[path = "../../../src/docker/registry/documents.rs"]
mod documents;

use authorization::{Challenge, TokenReply};
use documents::{ImageConfig, ManifestFields, detail, pause_of};
use http::HeaderValue;
use jiff::Timestamp;

use crate::harmless;

/// A moment that no run has: 2024-01-01.
const NOW: i64 = 1_704_067_200;

/// `data` as each of them: a body, and the lines of headers.
pub fn registry(data: &[u8]) {
    let said = detail(data);
    harmless::line(&said);
    assert!(said.chars().count() <= 300);

    if let Ok(fields) = serde_json::from_slice::<ManifestFields>(data) {
        for descriptor in fields.manifests.iter().chain(&fields.config) {
            // It becomes a part of the next request's path.
            let hex = descriptor.digest.as_ref().strip_prefix("sha256:").unwrap();
            assert!(hex.len() == 64 && hex.chars().all(|char| char.is_ascii_hexdigit()));
            descriptor.platform().iter().for_each(|platform| harmless::line(platform));
        }
    }
    if let Ok(config) = serde_json::from_slice::<ImageConfig>(data) {
        config.platform.name().iter().for_each(|platform| harmless::line(platform));
        let now = Timestamp::from_second(NOW).unwrap();
        let _ = config.created("org.opencontainers.image.created").map(|created| now.duration_since(created));
    }
    if let Some(authorization) = serde_json::from_slice(data).ok().and_then(TokenReply::into_authorization) {
        assert!(authorization.expose().starts_with("Bearer ") && authorization.expose().len() > 7);
    }

    for line in data.split(|byte| *byte == b'\n') {
        let Ok(header) = HeaderValue::from_bytes(line) else { continue };
        if let Some(Challenge::Bearer { realm, service }) = Challenge::of([&header].into_iter()) {
            assert!(matches!(realm.scheme(), "http" | "https") && realm.has_host(), "{realm}");
            assert!(service.is_none_or(|service| !service.contains(['\r', '\n'])));
        }
        let now = Timestamp::from_second(NOW).unwrap();
        let pause = header.to_str().ok().and_then(|text| pause_of(text, now));
        let _ = pause.map(|pause| pause.as_secs());
    }
}
