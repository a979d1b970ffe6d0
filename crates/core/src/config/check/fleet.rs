//! Where hosts get fleet from: an archive for each kind of processor.

use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, Reader, raw};
use crate::{
    config::{Architecture, FLEET_RELEASE, FleetArchive, Group},
    image::is_lower_hex,
    name::GroupName,
};

/// The archives that a file names, before it is known which of them its groups need.
#[derive(Default)]
pub(super) struct Archives {
    url: Option<String>,
    sha256: Option<String>,
    arm64: Option<FleetArchive>,
}

impl Archives {
    /// The archive for a processor; fleet's own release is for amd64 alone.
    pub(super) fn for_processor(&self, architecture: Architecture) -> Option<FleetArchive> {
        match architecture {
            Architecture::Arm64 => self.arm64.clone(),
            Architecture::Amd64 => {
                let url = self.url.clone().unwrap_or_else(|| FLEET_RELEASE.to_owned());
                Some(FleetArchive { url, sha256: self.sha256.clone() })
            }
        }
    }

    /// Those that the hosts of these groups need. What others may be named for has none: hosts that are about to be replaced keep
    /// what they have.
    pub(super) fn of(&self, groups: &BTreeMap<GroupName, Group>) -> BTreeMap<Architecture, FleetArchive> {
        let needed: BTreeSet<Architecture> = groups.values().map(|group| group.size.architecture()).collect();
        needed.into_iter().filter_map(|needed| Some((needed, self.for_processor(needed)?))).collect()
    }
}

impl Reader {
    pub(super) fn fleet(&mut self, entry: &Entry<'_>) -> Option<Archives> {
        let section: raw::Fleet<'_> = self.section(entry)?;
        let url = section.url.as_ref().map_or(Some(None), |url| self.address(url).map(Some));
        let sha256 = section.sha256.as_ref().map_or(Some(None), |hash| self.sha256(hash).map(Some));
        let arm64 = section.arm64.as_ref().map_or(Some(None), |archive| self.archive(archive).map(Some));
        Some(Archives { url: url?, sha256: sha256?, arm64: arm64? })
    }

    fn archive(&mut self, entry: &Entry<'_>) -> Option<FleetArchive> {
        let section: raw::Archive<'_> = self.section(entry)?;
        let url = section.url.as_ref().and_then(|url| self.address(url));
        let sha256 = section.sha256.as_ref().map_or(Some(None), |hash| self.sha256(hash).map(Some));
        Some(FleetArchive { url: url?, sha256: sha256? })
    }

    fn address(&mut self, entry: &Entry<'_>) -> Option<String> {
        let url = self.text(entry)?;
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
        if rest.is_empty() || !rest.chars().all(|char| char.is_ascii_graphic()) {
            self.expected(entry, "an address that begins with `https://`");
            return None;
        }
        Some(url.to_owned())
    }

    fn sha256(&mut self, entry: &Entry<'_>) -> Option<String> {
        let hash = self.text(entry)?;
        if !is_lower_hex(hash, 64) {
            self.expected(entry, "64 lowercase hexadecimal digits");
            return None;
        }
        Some(hash.to_owned())
    }
}
