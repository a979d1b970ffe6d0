//! Names of things: checked once, then never a bare string again.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::preview::PREVIEW;

/// Why a name was refused: what it has to look like, to be read after "`x` is not a valid …: ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(pub String);

/// Characters a name may have: it becomes part of unit names, tags, security groups and parameter paths.
const NAME_LENGTH: usize = 32;

fn check_name(name: &str) -> Result<(), NameError> {
    let inner = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
    if name.contains('_') {
        return Err(NameError("a name has no `_`: it parts a name from a number, as in `web_1`; write `-`".to_owned()));
    }
    let well_formed = !name.is_empty() && name.chars().all(inner) && !name.starts_with('-') && !name.ends_with('-');
    if !well_formed {
        return Err(NameError("a name is lowercase letters, digits and inner hyphens".to_owned()));
    }
    if name.len() > NAME_LENGTH {
        return Err(NameError(format!("a name has at most {NAME_LENGTH} characters")));
    }
    Ok(())
}

/// A foreign text made fit for one line of a message: characters that a terminal or a browser would act on, or
/// hide, are escaped, and the rest is cut after 64.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 64;
    let mut chars = text.chars();
    let mut shown = String::new();
    for char in chars.by_ref().take(LONGEST) {
        if is_unprintable(char) { shown.extend(char.escape_default()) } else { shown.push(char) }
    }
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Whether a terminal or a browser would act on the character, or hide it, instead of showing it.
pub(crate) fn is_unprintable(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        // A soft hyphen, the Arabic and Mongolian marks, the marks of annotations, and letters that nobody sees.
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                check_name(name)?;
                Ok(Self(name.to_owned()))
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        as_string!($name);
    )*};
}

macro_rules! as_string {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}
pub(crate) use as_string;

names! {
    /// The `name` of a `skipper.yml`; the ownership tag on all it creates.
    ProjectName
    /// Where a release is deployed to, such as `production`.
    EnvironmentName
    /// A container that the project runs.
    ServiceName
    /// A set of like hosts.
    GroupName
    /// Data of services, which stay on their host.
    VolumeName
}

/// What comes before a pull request's number in the name of its environment.
const PULL_REQUEST: &str = "pr-";

impl EnvironmentName {
    /// Where one deploys when nobody says anything else.
    pub const PRODUCTION: &str = "production";

    /// The environment by that name.
    pub fn production() -> Self {
        Self(Self::PRODUCTION.to_owned())
    }

    /// The environment of a pull request: its preview, by the only name that a preview has.
    pub fn of_pull_request(number: u64) -> Self {
        Self(format!("{PULL_REQUEST}{number}"))
    }

    /// What the hosts that previews share are an environment by; nothing is deployed to it itself.
    pub fn of_previews() -> Self {
        Self(PREVIEW.to_owned())
    }

    /// The pull request that the environment belongs to; nothing for an environment that is no preview.
    pub fn pull_request(&self) -> Option<u64> {
        let number = self.0.strip_prefix(PULL_REQUEST)?.parse().ok()?;
        // Only one spelling names a thing: no leading zero.
        (number > 0 && Self::of_pull_request(number) == *self).then_some(number)
    }
}

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident, $stem:ident: $stem_type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            /// What it is one of.
            pub $stem: $stem_type,
            /// Which one, counted from 1.
            pub number: u32,
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", self.$stem, self.number)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                let wrong = || NameError(format!("`{}` does not end in `_` and a number from 1", shown(name)));
                let (stem, digits) = name.rsplit_once('_').ok_or_else(wrong)?;
                let number: u32 = digits.parse().map_err(|_| wrong())?;
                // Only one spelling names a thing: no sign, no leading zero.
                if number == 0 || number.to_string() != digits {
                    return Err(wrong());
                }
                Ok(Self { $stem: stem.parse()?, number })
            }
        }

        as_string!($name);
    };
}

numbered! {
    /// A machine that skipper wants, by its symbolic name: `web_1` is the first host of group `web`.
    HostName, group: GroupName
}
numbered! {
    /// One wanted copy of a service, by its symbolic name: `web_3` is the third replica of service `web`.
    ReplicaName, service: ServiceName
}

/// The name of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvName(String);

impl FromStr for EnvName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        let mut chars = name.chars();
        let first = chars.next().is_some_and(|char| char.is_ascii_alphabetic() || char == '_');
        if first && chars.all(|char| char.is_ascii_alphanumeric() || char == '_') {
            Ok(Self(name.to_owned()))
        } else {
            Err(NameError("a variable's name is letters, digits and `_`, and does not begin with a digit".to_owned()))
        }
    }
}

impl AsRef<str> for EnvName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_string!(EnvName);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_ordered_by_group_and_then_by_number() {
        let mut hosts: Vec<HostName> =
            ["web_10", "web_2", "api_1"].into_iter().map(|name| name.parse().unwrap()).collect();
        hosts.sort();
        let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["api_1", "web_2", "web_10"]);
    }

    #[test]
    fn a_replica_has_one_spelling() {
        for wrong in ["web", "web_", "web_0", "web_01", "web_+1", "_1", "We_1", "web_4294967296"] {
            assert!(wrong.parse::<ReplicaName>().is_err(), "{wrong}");
        }
        assert_eq!("my-web_7".parse::<ReplicaName>().unwrap().to_string(), "my-web_7");
    }

    #[test]
    fn names_that_would_break_a_unit_or_a_path_are_refused() {
        for wrong in ["", "-web", "web-", "web_1", "Web", "we/b", "we b", "w\u{e9}b", &"w".repeat(33)] {
            assert!(wrong.parse::<ServiceName>().is_err(), "{wrong}");
        }
        assert!("a".parse::<ServiceName>().is_ok());
    }

    #[test]
    fn an_environment_belongs_to_a_pull_request_by_one_spelling_alone() {
        let number = |name: &str| name.parse::<EnvironmentName>().unwrap().pull_request();
        assert_eq!(number("pr-7"), Some(7));
        assert_eq!(EnvironmentName::of_pull_request(u64::MAX).pull_request(), Some(u64::MAX));
        for other in ["production", "pr", "pr-0", "pr-07", "pr-7a", "pr-99999999999999999999", "my-pr-7"] {
            assert_eq!(number(other), None, "{other}");
        }
    }

    #[test]
    fn an_underscore_is_refused_with_its_reason() {
        let refusal = "my_web".parse::<GroupName>().unwrap_err().to_string();
        assert_eq!(refusal, "a name has no `_`: it parts a name from a number, as in `web_1`; write `-`");
    }

    #[test]
    fn a_message_shows_foreign_text_without_obeying_it() {
        let refusal = "\u{1b}[2J\u{202e}web".parse::<HostName>().unwrap_err().to_string();
        assert_eq!(refusal, r"`\u{1b}[2J\u{202e}web` does not end in `_` and a number from 1");
        assert_eq!(shown(&"w".repeat(70)), format!("{}…", "w".repeat(64)));
    }
}
