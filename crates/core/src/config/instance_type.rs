//! EC2 instance types, by their form alone: whether one exists is for EC2 to say.

use std::{fmt, str::FromStr};

use crate::name::{NameError, as_string};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An EC2 instance type, such as `t3.small`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceType(String);

/// A processor's instruction set: it decides the machine image, and whether fleet's release runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// x86-64.
    Amd64,
    /// AArch64.
    Arm64,
}

impl Architecture {
    /// Its name in images.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl FromStr for Architecture {
    type Err = NameError;

    fn from_str(word: &str) -> Result<Self, NameError> {
        let known = [Self::Amd64, Self::Arm64].into_iter().find(|known| known.as_str() == word);
        known.ok_or_else(|| NameError("a processor is `amd64` or `arm64`".to_owned()))
    }
}

impl InstanceType {
    /// The processor, as the family's name tells it.
    ///
    /// AWS marks its own (Graviton) processors by a `g` among the letters behind the generation (`t4g`, `c6gn`,
    /// `x2gd`); before it had the mark there was `a1`
    /// (<https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html>).
    pub fn architecture(&self) -> Architecture {
        let family = self.0.split(['.', '-']).next().unwrap_or_default();
        let behind_generation = family.trim_start_matches(|char: char| !char.is_ascii_digit());
        if family == "a1" || behind_generation.contains('g') { Architecture::Arm64 } else { Architecture::Amd64 }
    }
}

impl FromStr for InstanceType {
    type Err = NameError;

    fn from_str(size: &str) -> Result<Self, NameError> {
        let inner = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
        let is_part = |part: &str| !part.is_empty() && part.chars().all(inner);
        let is_family = |family: &str| {
            is_part(family)
                && family.starts_with(|char: char| char.is_ascii_lowercase())
                && family.contains(|char: char| char.is_ascii_digit())
        };
        match size.split_once('.') {
            Some((family, rest)) if is_family(family) && is_part(rest) => Ok(Self(size.to_owned())),
            _ => Err(NameError("a size is an EC2 instance type such as `t3.small`".to_owned())),
        }
    }
}

impl AsRef<str> for InstanceType {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_string!(InstanceType);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_family_with_its_generation_and_a_size_in_it() {
        for good in ["t3.small", "m7i-flex.large", "u-6tb1.56xlarge", "mac2-m2.metal"] {
            assert_eq!(good.parse::<InstanceType>().unwrap().as_ref(), good);
        }
        for wrong in ["", "small", "t3", "t3.", ".small", "T3.small", "t.small", "t3.small.x", "t3.small\n"] {
            assert!(wrong.parse::<InstanceType>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_processor_is_known_by_the_family() {
        let architecture = |size: &str| size.parse::<InstanceType>().unwrap().architecture();
        for arm in ["t4g.small", "m6g.large", "c6gn.large", "x2gd.medium", "im4gn.large", "a1.medium", "hpc7g.4xlarge"]
        {
            assert_eq!(architecture(arm), Architecture::Arm64, "{arm}");
        }
        for amd in ["t3.small", "g4dn.xlarge", "g5.large", "gr6.4xlarge", "m7i-flex.large", "u-6tb1.56xlarge"] {
            assert_eq!(architecture(amd), Architecture::Amd64, "{amd}");
        }
    }
}
