//! The names and addresses of a lab's parts: all follow from its name and its index.

use std::fmt;

use anyhow::{Result, bail};
use sha2::{Digest, Sha256};

use crate::github::id_token_url;

/// The label that everything of a lab carries, with the lab's name; `down` removes by it.
pub(crate) const LABEL: &str = "skipper-lab";
/// The label with the lab's index.
pub(crate) const INDEX_LABEL: &str = "skipper-lab.index";
/// The label, on the network, with the images the lab was started from.
pub(crate) const RECIPE_LABEL: &str = "skipper-lab.recipe";

/// Labs that can run side by side on one machine.
const INDEXES: u8 = 250;

/// What tells one lab from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// # Errors
    /// When `name` would not do in the names of containers.
    pub fn new(name: &str) -> Result<Self> {
        let fits = (1..=30).contains(&name.len())
            && !name.starts_with('-')
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !fits {
            bail!("`{name}` is no name for a lab: use up to 30 of a-z, 0-9 and `-`");
        }
        Ok(Self(name.to_owned()))
    }

    /// The indexes for a lab of this name, the preferred one first.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = u8> {
        let first = Sha256::digest(self.0.as_bytes())[0] % INDEXES;
        (0..INDEXES).map(move |offset| {
            let index = (u16::from(first) + u16::from(offset)) % u16::from(INDEXES);
            u8::try_from(index).unwrap_or_default() + 1
        })
    }

    /// The filter for everything of this lab.
    pub(crate) fn filter(&self) -> String {
        format!("label={LABEL}={self}")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A part of the lab other than its hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// EC2, STS, IAM, SSM, and the hosts' metadata service.
    Cloud,
    /// The image registry.
    Registry,
    /// GitHub, and the server of the fleet archive.
    GitHub,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Registry, Self::GitHub, Self::Cloud];

    /// As people type it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cloud => "cloud",
            Self::Registry => "registry",
            Self::GitHub => "github",
        }
    }
}

/// Where the parts of one lab are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// The lab's name.
    pub name: Name,
    /// The lab's number on this machine, from 1.
    pub index: u8,
}

impl Topology {
    /// The Docker network.
    #[must_use]
    pub fn network(&self) -> String {
        format!("skipper-lab-{}", self.name)
    }

    /// The first three bytes of all addresses.
    #[must_use]
    pub fn subnet(&self) -> String {
        format!("10.213.{}", self.index)
    }

    /// The container of `part`.
    #[must_use]
    pub fn container(&self, part: Part) -> String {
        format!("{}-{}", self.network(), part.name())
    }

    /// The address of `part`.
    #[must_use]
    pub fn address(&self, part: Part) -> String {
        let last = match part {
            Part::Cloud => 2,
            Part::Registry => 3,
            Part::GitHub => 4,
        };
        format!("{}.{last}", self.subnet())
    }

    /// The address on this machine's loopback by which the engine and the hosts know the registry.
    #[must_use]
    pub fn loopback(&self) -> String {
        format!("127.213.{}.1", self.index)
    }

    /// The registry's name, the same on this machine and on every host.
    #[must_use]
    pub fn registry(&self) -> String {
        format!("{}:5000", self.loopback())
    }

    /// The name of the registry of private images, which asks for a login.
    #[must_use]
    pub fn private_registry(&self) -> String {
        format!("{}:5001", self.loopback())
    }

    /// The AWS endpoint.
    #[must_use]
    pub fn cloud_url(&self) -> String {
        format!("http://{}:4566", self.address(Part::Cloud))
    }

    /// The GitHub API.
    #[must_use]
    pub fn github_url(&self) -> String {
        format!("http://{}", self.address(Part::GitHub))
    }

    /// Where jobs ask GitHub for the tokens that tell what they are.
    #[must_use]
    pub fn id_token_url(&self) -> String {
        id_token_url(&self.github_url())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tries_every_index_once_and_always_in_the_same_order() {
        let name = Name::new("dev").unwrap();
        let mut indexes: Vec<u8> = name.indexes().collect();
        assert_eq!(indexes, name.indexes().collect::<Vec<u8>>());
        indexes.sort_unstable();
        assert_eq!(indexes, (1..=250).collect::<Vec<u8>>());
    }

    #[test]
    fn a_name_that_docker_would_refuse_is_refused_here() {
        for name in ["", "-a", "Dev", "a b", "a/b", &"a".repeat(31)] {
            assert!(Name::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn everything_follows_from_name_and_index() {
        let lab = Topology { name: Name::new("dev").unwrap(), index: 7 };
        assert_eq!(lab.container(Part::GitHub), "skipper-lab-dev-github");
        assert_eq!(lab.registry(), "127.213.7.1:5000");
        assert_eq!(lab.cloud_url(), "http://10.213.7.2:4566");
        assert_eq!(lab.github_url(), "http://10.213.7.4");
    }
}
