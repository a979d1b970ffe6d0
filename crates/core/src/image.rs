//! Images: repositories, tags that move, digests that do not, and the revision a release is made from.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest as _;

use crate::name::{as_string, shown};

/// Why a part of an image's name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ImageError(pub String);

/// The registry of images that name none, as the 2014 file called it.
pub const DEFAULT_REGISTRY: &str = "index.docker.io";

/// Where a service's images live: a registry, and a name in it.
///
/// One repository has one value, however it is spelt: `redis`, `docker.io/redis` and
/// `index.docker.io/library/redis` are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    registry: String,
    path: String,
}

impl Repository {
    /// A repository of a registry (`host[:port]`), by its name there.
    ///
    /// # Errors
    /// When either does not follow the [grammar of Docker's references](https://pkg.go.dev/github.com/distribution/reference).
    pub fn new(registry: &str, name: &str) -> Result<Self, ImageError> {
        let registry = match registry {
            "docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY,
            other => other,
        };
        check_registry(registry)?;
        check_repository_name(name)?;
        let on_hub = registry == DEFAULT_REGISTRY;
        if on_hub
            && let Some((first, rest)) = name.split_once('/')
            && names_registry(first)
        {
            return Err(ImageError(format!(
                "the name begins with a registry: write `name: {rest}` and `registry: {first}`"
            )));
        }
        // Docker Hub's own images live below `library/`.
        let path = if on_hub && !name.contains('/') { format!("library/{name}") } else { name.to_owned() };
        Ok(Self { registry: registry.to_owned(), path })
    }

    /// The registry, `host[:port]`; Docker Hub as [`DEFAULT_REGISTRY`].
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Whether this is Docker Hub, by any of its names.
    pub fn is_docker_hub(&self) -> bool {
        self.registry == DEFAULT_REGISTRY
    }

    /// As Docker lists it: images of Docker Hub without the registry, and its own ones without `library/`.
    pub fn familiar(&self) -> String {
        match (self.is_docker_hub(), self.path.strip_prefix("library/")) {
            (true, Some(name)) if !name.contains('/') => name.to_owned(),
            (true, _) => self.path.clone(),
            (false, _) => self.to_string(),
        }
    }

    /// The name within the registry; Docker Hub's own images live below `library/`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Repository {
    /// As Docker takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let registry = if self.is_docker_hub() { "docker.io" } else { &self.registry };
        write!(f, "{registry}/{}", self.path)
    }
}

impl FromStr for Repository {
    type Err = ImageError;

    /// As in Docker, the first part is a registry only when it could not be a user of Docker Hub.
    fn from_str(repository: &str) -> Result<Self, ImageError> {
        match repository.split_once('/') {
            Some((registry, name)) if names_registry(registry) => Self::new(registry, name),
            _ => Self::new(DEFAULT_REGISTRY, repository),
        }
    }
}

as_string!(Repository);

/// Docker's rule for telling `ghcr.io/web` (a registry) from `acme/web` (a user of Docker Hub).
fn names_registry(part: &str) -> bool {
    part == "localhost" || part.contains(['.', ':'])
}

fn check_registry(registry: &str) -> Result<(), ImageError> {
    if let Some((_, rest)) = registry.split_once("://") {
        return Err(ImageError(format!("a registry has no scheme: write `{}`", shown(rest))));
    }
    if let Some((host, path)) = registry.split_once('/') {
        let (host, path) = (shown(host), shown(path));
        return Err(ImageError(format!(
            "a registry is a host alone: write `{host}`, and begin the name with `{path}/`"
        )));
    }
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    let inner = |char: char| char.is_ascii_alphanumeric() || char == '-';
    let is_label =
        |label: &str| !label.is_empty() && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-');
    let is_ipv6 = |host: &str| {
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let port_is_fine = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if !(port_is_fine && (host.split('.').all(is_label) || is_ipv6(host))) {
        return Err(ImageError(format!("`{}` is not a registry: a host, and `:port` if need be", shown(registry))));
    }
    if !names_registry(registry) {
        return Err(ImageError(format!(
            "Docker takes `{registry}` for a user of Docker Hub: a registry has a `.` or a port, or is `localhost`"
        )));
    }
    Ok(())
}

fn check_repository_name(name: &str) -> Result<(), ImageError> {
    if let Some((before, _)) = name.split_once('@') {
        return Err(ImageError(format!("the name holds a digest: write `name: {}`", shown(before))));
    }
    if let Some((before, tag)) = name.rsplit_once(':')
        && !tag.contains('/')
    {
        return Err(ImageError(format!(
            "the name holds a tag: write `name: {}` and `tag: \"{}\"`",
            shown(before),
            shown(tag)
        )));
    }
    let inner = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
    let is_separator = |text: &str| matches!(text, "" | "." | "_" | "__") || text.chars().all(|char| char == '-');
    let is_part = |part: &str| part.starts_with(inner) && part.ends_with(inner) && part.split(inner).all(is_separator);
    if name.len() > 200 || !name.split('/').all(is_part) {
        return Err(ImageError(format!(
            "`{}` is not a repository: lowercase letters, digits, `.`, `_`, `-`, and `/` between its parts",
            shown(name)
        )));
    }
    Ok(())
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
            Err(ImageError(format!(
                "`{}` is not a tag: up to 128 letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`",
                shown(tag)
            )))
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
        if is_lower_hex(hex, 64) {
            Ok(Self(digest.to_owned()))
        } else {
            Err(ImageError(format!("`{}` is not a digest: `sha256:` and 64 hex digits", shown(digest))))
        }
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
        let wrong = || ImageError(format!("`{}` is not a pinned image: `registry/name@sha256:…`", shown(image)));
        let (repository, digest) = image.split_once('@').ok_or_else(wrong)?;
        Ok(Self { repository: repository.parse()?, digest: digest.parse()? })
    }
}

as_string!(PinnedImage);

/// The commit a run was triggered for: 40 lowercase hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(String);

impl Revision {
    /// That of no commit: all zeros, as git writes it.
    pub fn none() -> Self {
        Self("0".repeat(40))
    }

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
        if is_lower_hex(revision, 40) {
            Ok(Self(revision.to_owned()))
        } else {
            Err(ImageError(format!("`{}` is not a commit SHA: 40 hex digits", shown(revision))))
        }
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
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    sha2::Sha256::digest(bytes).iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

pub(crate) fn is_lower_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.chars().all(|char| char.is_ascii_digit() || ('a'..='f').contains(&char))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;

    #[test]
    fn docker_hub_has_many_names_and_an_image_there_one_value() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let short = Repository::new(DEFAULT_REGISTRY, "redis").unwrap();
        for spelling in ["redis", "library/redis", "docker.io/redis", "index.docker.io/library/redis"] {
            assert_eq!(spelling.parse(), Ok(short.clone()), "{spelling}");
        }
        for familiar in ["redis", "acme/web", "ghcr.io/acme/web", "127.213.7.1:5000/web"] {
            assert_eq!(familiar.parse::<Repository>().unwrap().familiar(), familiar);
        }
        assert_eq!("acme/web".parse::<Repository>().unwrap().to_string(), "docker.io/acme/web");
        assert_eq!(short.to_string(), "docker.io/library/redis");
        let pinned = PinnedImage { repository: short, digest: digest.parse().unwrap() };
        assert_eq!(pinned.to_string().parse::<PinnedImage>(), Ok(pinned.clone()));
        assert_eq!(format!("index.docker.io/redis@{digest}").parse::<PinnedImage>(), Ok(pinned));
    }

    #[test]
    fn a_registry_with_a_port_is_kept_in_full() {
        let repository = Repository::new("127.213.7.1:5000", "hello/web").unwrap();
        assert_eq!(repository.to_string(), "127.213.7.1:5000/hello/web");
        for text in ["ghcr.io/acme/web", "localhost/web", "[::1]:5000/a/b__c/d-e.f"] {
            assert_eq!(text.parse::<Repository>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_repository_written_in_one_word_is_refused_with_the_words_to_write() {
        let refusal = |registry: &str, name: &str| Repository::new(registry, name).unwrap_err().to_string();
        assert_eq!(
            refusal(DEFAULT_REGISTRY, "ghcr.io/acme/web"),
            "the name begins with a registry: write `name: acme/web` and `registry: ghcr.io`"
        );
        assert_eq!(refusal(DEFAULT_REGISTRY, "redis:7"), "the name holds a tag: write `name: redis` and `tag: \"7\"`");
        assert_eq!(refusal("https://ghcr.io", "acme/web"), "a registry has no scheme: write `ghcr.io`");
        assert_eq!(
            refusal("ghcr.io/acme", "web"),
            "a registry is a host alone: write `ghcr.io`, and begin the name with `acme/`"
        );
    }

    #[test]
    fn what_docker_would_refuse_is_refused_here() {
        for (registry, name) in [
            ("", "a"),
            ("a b", "a"),
            ("host:port", "a"),
            ("ghcr.io", "Acme/web"),
            ("ghcr.io", "acme//web"),
            ("ghcr.io", "acme/web:v1"),
            ("ghcr.io", "a..b"),
            ("ghcr.io", "a___b"),
            ("registry", "acme/web"),
            ("ghcr.io:0", "a"),
        ] {
            assert!(Repository::new(registry, name).is_err(), "{registry} {name}");
        }
        for tag in ["", ".v1", "-v1", "v 1", &"v".repeat(129)] {
            assert!(tag.parse::<Tag>().is_err(), "{tag}");
        }
        assert!("sha256:12".parse::<Digest>().is_err());
        assert!("ABCDEF".parse::<Revision>().is_err());
    }
}
