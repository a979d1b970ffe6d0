//! Which names a unit may have.

/// Suffixes that fleetctl knows; any other name gets `.service` after it, `foo.target` too.
const KNOWN_SUFFIXES: [&str; 7] = ["service", "socket", "timer", "path", "device", "mount", "automount"];

/// Suffixes that fleet takes in the end.
const VALID_TYPES: [&str; 13] = [
    "automount",
    "busname",
    "device",
    "mount",
    "path",
    "scope",
    "service",
    "slice",
    "snapshot",
    "socket",
    "swap",
    "target",
    "timer",
];

const LONGEST: usize = 256;

/// A name that fleet refuses, in its words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Over 256 bytes.
    #[error("unit name exceeds maximum length ({LONGEST})")]
    TooLong,
    /// A suffix that is no unit type.
    #[error("invalid unit type: {0:?}")]
    Type(String),
    /// A character that systemd does not take either.
    #[error("invalid character {0:?} in unit name")]
    Character(char),
    /// A template of nothing.
    #[error("unit name cannot start in \"@\"")]
    Template,
}

/// The name that fleetctl makes of an argument: its file name, with `.service` unless it has a suffix that fleetctl knows.
#[must_use]
pub fn mangle(argument: &str) -> String {
    let name = argument.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    with_suffix(name)
}

/// `argument` with `.service` unless it has a suffix that fleetctl knows.
#[must_use]
pub(crate) fn with_suffix(argument: &str) -> String {
    match argument.rsplit_once('.') {
        Some((_, suffix)) if KNOWN_SUFFIXES.contains(&suffix) => argument.to_owned(),
        _ => format!("{argument}.service"),
    }
}

/// Checks a mangled name.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), InvalidName> {
    if name.len() > LONGEST {
        return Err(InvalidName::TooLong);
    }
    let (stem, suffix) = name.rsplit_once('.').unwrap_or((name, ""));
    if !VALID_TYPES.contains(&suffix) {
        return Err(InvalidName::Type(suffix.to_owned()));
    }
    if let Some(bad) = stem.chars().find(|c| !c.is_ascii_alphanumeric() && !r":-_.\@".contains(*c)) {
        return Err(InvalidName::Character(bad));
    }
    if name.starts_with('@') {
        return Err(InvalidName::Template);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_becomes_a_file_name_with_a_suffix() {
        assert_eq!(mangle("units/hello.service"), "hello.service");
        assert_eq!(mangle("plain"), "plain.service");
        assert_eq!(mangle("foo.target"), "foo.target.service");
    }

    #[test]
    fn a_name_that_systemd_could_not_hold_is_refused() {
        assert_eq!(check_name("web_1-1a2b.service"), Ok(()));
        assert_eq!(check_name("a b.service"), Err(InvalidName::Character(' ')));
        assert_eq!(check_name("a.txt"), Err(InvalidName::Type("txt".to_owned())));
        assert_eq!(check_name(&format!("{}.service", "a".repeat(300))), Err(InvalidName::TooLong));
        assert_eq!(check_name("@.service"), Err(InvalidName::Template));
    }
}
