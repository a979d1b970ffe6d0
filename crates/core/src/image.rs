//! Images: repositories, tags that move, digests that do not, and the revision a release is made from.

use std::{fmt, fmt::Write as _, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest as _;

use crate::name::as_string;

/// Why a part of an image's name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ImageError(pub String);

/// The registry of images that name none, as the 2014 file called it.
pub const DEFAULT_REGISTRY: &str = "index.docker.io";

/// Where a service's images live.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Repository {
    registry: String,
    name: String,
}

impl Repository {
    /// A repository of a registry (`host[:port]`), by its name there.
    ///
    /// # Errors
    /// When either does not follow the grammar of Docker's references.
    pub fn new(registry: &str, name: &str) -> Result<Self, ImageError> {
        let host = registry.split_once(':').map_or(registry, |(host, _)| host);
        let port_is_number = registry.split_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_ok());
        let host_char = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-');
        if host.is_empty() || !host.chars().all(host_char) || !port_is_number {
            return Err(ImageError(format!("`{registry}` is not a registry: a host, and a port if need be")));
        }
        let part_is_fine = |part: &str| {
            let edge = |char: Option<char>| char.is_some_and(|char| char.is_ascii_lowercase() || char.is_ascii_digit());
            let inner = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '.' | '_' | '-');
            edge(part.chars().next()) && edge(part.chars().last()) && part.chars().all(inner)
        };
        if name.is_empty() || name.len() > 200 || !name.split('/').all(part_is_fine) {
            return Err(ImageError(format!("`{name}` is not a repository: lowercase letters, digits, `.`, `_`, `-`, and `/` between its parts")));
        }
        Ok(Self { registry: registry.to_owned(), name: name.to_owned() })
    }

    /// The registry, as the file says.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Whether this is Docker Hub, by any of its names.
    pub fn is_docker_hub(&self) -> bool {
        matches!(self.registry.as_str(), DEFAULT_REGISTRY | "docker.io" | "registry-1.docker.io")
    }

    /// The name within the registry; Docker Hub's own images live below `library/`.
    pub fn path(&self) -> String {
        if self.is_docker_hub() && !self.name.contains('/') { format!("library/{}", self.name) } else { self.name.clone() }
    }
}

impl fmt::Display for Repository {
    /// As Docker takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_docker_hub() { write!(f, "docker.io/{}", self.path()) } else { write!(f, "{}/{}", self.registry, self.name) }
    }
}

/// A moving label of an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl FromStr for Tag {
    type Err = ImageError;

    fn from_str(tag: &str) -> Result<Self, ImageError> {
        let first = |char: char| char.is_ascii_alphanumeric() || char == '_';
        let inner = |char: char| first(char) || matches!(char, '.' | '-');
        if tag.chars().next().is_some_and(first) && tag.chars().all(inner) && tag.len() <= 128 {
            Ok(Self(tag.to_owned()))
        } else {
            Err(ImageError(format!("`{tag}` is not a tag: up to 128 letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`")))
        }
    }
}

impl AsRef<str> for Tag {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_string!(Tag);

/// The immutable identity of an image: `sha256:` and 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// The first twelve hex digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(7..19).unwrap_or(&self.0)
    }
}

impl FromStr for Digest {
    type Err = ImageError;

    fn from_str(digest: &str) -> Result<Self, ImageError> {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        if is_lower_hex(hex, 64) { Ok(Self(digest.to_owned())) } else { Err(ImageError(format!("`{digest}` is not a digest: `sha256:` and 64 hex digits"))) }
    }
}

impl AsRef<str> for Digest {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_string!(Digest);

/// An image by its digest: what a replica runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PinnedImage {
    /// Where it lives.
    pub repository: Repository,
    /// Which one.
    pub digest: Digest,
}

impl fmt::Display for PinnedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

impl FromStr for PinnedImage {
    type Err = ImageError;

    fn from_str(image: &str) -> Result<Self, ImageError> {
        let wrong = || ImageError(format!("`{image}` is not a pinned image: `registry/name@sha256:…`"));
        let (repository, digest) = image.split_once('@').ok_or_else(wrong)?;
        let (registry, name) = repository.split_once('/').ok_or_else(wrong)?;
        // Docker Hub is spelt in more than one way; one image has one value.
        let repository = match Repository::new(registry, name)? {
            hub if hub.is_docker_hub() => Repository { registry: DEFAULT_REGISTRY.to_owned(), name: name.strip_prefix("library/").unwrap_or(name).to_owned() },
            other => other,
        };
        Ok(Self { repository, digest: digest.parse()? })
    }
}

as_string!(PinnedImage);

/// The commit a run was triggered for: 40 lowercase hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(String);

impl Revision {
    /// The first seven digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..7).unwrap_or(&self.0)
    }

    /// The tag that people read: the full SHA.
    pub fn tag(&self) -> Tag {
        Tag(self.0.clone())
    }
}

impl FromStr for Revision {
    type Err = ImageError;

    fn from_str(revision: &str) -> Result<Self, ImageError> {
        if is_lower_hex(revision, 40) { Ok(Self(revision.to_owned())) } else { Err(ImageError(format!("`{revision}` is not a commit SHA: 40 hex digits"))) }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_string!(Revision);

/// The SHA-256 of some bytes in hex.
pub fn hex_digest(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn is_lower_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.chars().all(|char| char.is_ascii_digit() || ('a'..='f').contains(&char))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_hub_has_many_names_and_an_image_there_one_value() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let short = Repository::new(DEFAULT_REGISTRY, "redis").unwrap();
        assert_eq!(short.to_string(), "docker.io/library/redis");
        let pinned = PinnedImage { repository: short, digest: digest.parse().unwrap() };
        assert_eq!(pinned.to_string().parse::<PinnedImage>(), Ok(pinned.clone()));
        assert_eq!(format!("index.docker.io/redis@{digest}").parse::<PinnedImage>(), Ok(pinned));
    }

    #[test]
    fn a_registry_with_a_port_is_kept_in_full() {
        let repository = Repository::new("127.213.7.1:5000", "hello/web").unwrap();
        assert_eq!(repository.to_string(), "127.213.7.1:5000/hello/web");
    }

    #[test]
    fn what_docker_would_refuse_is_refused_here() {
        for (registry, name) in [("", "a"), ("a b", "a"), ("host:port", "a"), ("ghcr.io", "Acme/web"), ("ghcr.io", "acme//web"), ("ghcr.io", "acme/web:v1")] {
            assert!(Repository::new(registry, name).is_err(), "{registry} {name}");
        }
        for tag in ["", ".v1", "-v1", "v 1", &"v".repeat(129)] {
            assert!(tag.parse::<Tag>().is_err(), "{tag}");
        }
        assert!("sha256:12".parse::<Digest>().is_err());
        assert!("ABCDEF".parse::<Revision>().is_err());
    }
}
