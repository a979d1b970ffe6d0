//! A unit's text: read, hashed, and asked which machines it is for.

mod name;
mod parse;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sha1::{Digest, Sha1};

pub(crate) use name::with_suffix;
pub use name::{InvalidName, check_name, mangle};
pub use parse::SyntaxError;

use crate::wire::UnitOption;

/// The section that is for fleet and not for systemd.
const FLEET_SECTION: &str = "X-Fleet";

/// A unit's options in the order of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitFile {
    options: Vec<UnitOption>,
}

/// Why a unit is refused although fleet would take it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unit `{unit}`: the lab's fleet stand-in does not do {what}; it runs global units only (`--fleet` takes the real one)"
)]
pub struct Unsupported {
    unit: String,
    what: String,
}

impl UnitFile {
    /// Reads a text. Comments and blank lines are dropped, so they do not count for the hash.
    ///
    /// # Errors
    /// What fleet's parser refuses, in its words.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        Ok(Self { options: parse::options(text)? })
    }

    /// A unit from what the API carries.
    #[must_use]
    pub fn from_options(options: Vec<UnitOption>) -> Self {
        Self { options }
    }

    /// What the API carries.
    #[must_use]
    pub fn options(&self) -> &[UnitOption] {
        &self.options
    }

    /// The text that fleet keeps and hashes: sections in the order in which they first appear, each with all of its options.
    #[must_use]
    pub fn text(&self) -> String {
        let mut sections: Vec<(&str, String)> = Vec::new();
        for UnitOption { section, name, value } in &self.options {
            let at = sections.iter().position(|(known, _)| known == section).unwrap_or_else(|| {
                sections.push((section, format!("[{section}]\n")));
                sections.len() - 1
            });
            writeln!(sections[at].1, "{name}={value}").ok();
        }
        sections.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("\n")
    }

    /// SHA-1 of [`text`](Self::text).
    #[must_use]
    pub fn hash(&self) -> [u8; 20] {
        Sha1::digest(self.text()).into()
    }

    /// [`hash`](Self::hash) as fleet prints it.
    #[must_use]
    pub fn hash_text(&self) -> String {
        self.hash().iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").ok();
            text
        })
    }

    /// `Description`, empty when there is none.
    #[must_use]
    pub fn description(&self) -> &str {
        self.options
            .iter()
            .find(|option| option.section == "Unit" && option.name == "Description")
            .map_or("", |option| &option.value)
    }

    /// Whether every machine that fits runs it. The last value wins.
    #[must_use]
    pub fn is_global(&self) -> bool {
        self.demands("Global")
            .last()
            .is_some_and(|value| matches!(&*value.to_lowercase(), "true" | "yes" | "1" | "on" | "t"))
    }

    /// Whether a machine with `metadata` is one of those that the unit is for: for each key that it demands,
    /// the machine has one of the demanded values.
    #[must_use]
    pub fn fits(&self, metadata: &BTreeMap<String, String>) -> bool {
        let mut demanded: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for pair in self.demands("MachineMetadata") {
            // Pairs of any other shape are passed over, as fleet does.
            if let Some((key, value)) = pair.split_once('=')
                && !key.is_empty()
                && !value.is_empty()
                && !value.contains('=')
            {
                demanded.entry(key.to_owned()).or_default().insert(value.to_owned());
            }
        }
        demanded.iter().all(|(key, values)| metadata.get(key).is_some_and(|value| values.contains(value)))
    }

    /// Finds what fleet would do for this unit and the stand-in does not.
    ///
    /// # Errors
    /// The first such thing.
    pub fn check_supported(&self, unit: &str) -> Result<(), Unsupported> {
        let refuse = |what: String| Err(Unsupported { unit: unit.to_owned(), what });
        check_no_template(unit)?;
        for UnitOption { section, name, value } in &self.options {
            if section == "Install" {
                return refuse("units with an [Install] section".to_owned());
            }
            if section == FLEET_SECTION {
                if !matches!(&**name, "Global" | "MachineMetadata") {
                    return refuse(format!("`{name}=` in [X-Fleet]"));
                }
                if value.contains('%') {
                    return refuse(format!("specifiers in [X-Fleet] (`{name}={value}`)"));
                }
            }
        }
        if !self.is_global() {
            return refuse("scheduled units (no `Global=true` in [X-Fleet])".to_owned());
        }
        Ok(())
    }

    fn demands(&self, name: &str) -> Vec<String> {
        self.options
            .iter()
            .filter(|option| option.section == FLEET_SECTION && option.name == name)
            .flat_map(|option| quoted_values(&option.value))
            .collect()
    }
}

/// Refuses templates and their instances, which would need more than a text of their own.
///
/// # Errors
/// For a name with an `@`.
pub fn check_no_template(unit: &str) -> Result<(), Unsupported> {
    if unit.contains('@') {
        return Err(Unsupported { unit: unit.to_owned(), what: "templates and instances".to_owned() });
    }
    Ok(())
}

/// The values of `"a=b" "c=d"`; anything that is not quoted at both ends is one value.
fn quoted_values(line: &str) -> Vec<String> {
    if line.len() < 2 || !line.starts_with('"') || !line.ends_with('"') {
        return vec![line.to_owned()];
    }
    let mut values = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => values.push(String::new()),
            c => {
                if let Some(value) = values.last_mut() {
                    value.push(c);
                }
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(text: &str) -> UnitFile {
        UnitFile::parse(text).unwrap()
    }

    fn metadata(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn the_hash_is_that_of_the_recorded_calls_whatever_the_comments_and_blank_lines() {
        let plain = "[Unit]\nDescription=hello\n\n[Service]\nExecStart=/bin/sh -c 'while true; do echo hello-v1; sleep 2; done'\n";
        let noisy = "# of ours\n\n[Unit]\n; more\n Description = hello\n\n\n[Service]\nExecStart=/bin/sh -c 'while true; do echo hello-v1; sleep 2; done'";
        assert_eq!(unit(plain).hash_text(), "52e5660d2a3682e5349a10624d7a9700556c3a5e");
        assert_eq!(unit(noisy).hash_text(), unit(plain).hash_text());
        assert_eq!(unit(noisy).text(), plain);
    }

    #[test]
    fn options_of_a_section_that_comes_twice_are_brought_together() {
        let text = unit("[Unit]\nA=1\n[Service]\nB=2\n[Unit]\nC=3\n").text();
        assert_eq!(text, "[Unit]\nA=1\nC=3\n\n[Service]\nB=2\n");
    }

    #[test]
    fn a_machine_needs_every_demanded_key_with_one_of_its_values() {
        let unit =
            unit("[X-Fleet]\nGlobal=true\nMachineMetadata=host=web_1\nMachineMetadata=\"host=web_2\" \"group=web\"\n");
        assert!(unit.fits(&metadata(&[("host", "web_1"), ("group", "web")])));
        assert!(unit.fits(&metadata(&[("host", "web_2"), ("group", "web"), ("az", "a")])));
        assert!(!unit.fits(&metadata(&[("host", "web_3"), ("group", "web")])));
        assert!(!unit.fits(&metadata(&[("host", "web_1")])));
    }

    #[test]
    fn the_last_value_says_whether_a_unit_is_global() {
        assert!(unit("[X-Fleet]\nGlobal=no\nGlobal=Yes\n").is_global());
        assert!(!unit("[X-Fleet]\nGlobal=true\nGlobal=false\n").is_global());
        assert!(!unit("[Service]\nGlobal=true\n").is_global());
    }

    #[test]
    fn what_the_stand_in_does_not_do_is_named() {
        let why = |name: &str, text: &str| unit(text).check_supported(name).unwrap_err().what;
        assert!(why("a.service", "[Service]\nExecStart=/bin/true\n").starts_with("scheduled units"));
        assert!(why("a@1.service", "[X-Fleet]\nGlobal=true\n").starts_with("templates"));
        assert_eq!(why("a.service", "[X-Fleet]\nGlobal=true\nConflicts=b*\n"), "`Conflicts=` in [X-Fleet]");
        assert!(why("a.service", "[Install]\nWantedBy=x\n[X-Fleet]\nGlobal=true\n").contains("[Install]"));
        assert!(why("a.service", "[X-Fleet]\nGlobal=true\nMachineMetadata=host=%i\n").contains("specifiers"));
        assert_eq!(unit("[X-Fleet]\nGlobal=true\n").check_supported("a.service"), Ok(()));
    }
}
