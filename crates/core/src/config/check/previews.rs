//! The environments of pull requests.

use std::ops::RangeInclusive;

use super::*;
use crate::config::{PreviewHosts, Previews};

/// What a preview may last: sweeps run by a schedule, and none of them runs more often than every few minutes.
const LIFETIMES: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(365 * 24 * 60 * 60);
/// The longest label that GitHub takes, in characters.
const LONGEST_LABEL: usize = 50;

impl Reader {
    pub(super) fn previews(&mut self, entry: &Entry<'_>) -> Option<Previews> {
        let section: raw::Previews<'_> = self.section(entry)?;
        let default = Previews::default();
        let hosts = section.hosts.as_ref().map_or(Some(default.hosts), |hosts| self.preview_hosts(hosts));
        let ttl = section.ttl.as_ref().map_or(Some(default.ttl), |ttl| self.duration(ttl, LIFETIMES));
        let max = section.max.as_ref().map_or(Some(default.max), |max| self.integer(max, 1..=MOST_PREVIEWS));
        let label = section.label.as_ref().map_or(Some(default.label), |label| self.label(label).map(Some));
        Some(Previews { hosts: hosts?, ttl: ttl?, max: max?, label: label? })
    }

    fn preview_hosts(&mut self, entry: &Entry<'_>) -> Option<PreviewHosts> {
        match self.text(entry)? {
            "own" => Some(PreviewHosts::Own),
            "shared" => Some(PreviewHosts::Shared),
            _ => {
                self.expected(entry, "`own` or `shared`");
                None
            }
        }
    }

    fn label(&mut self, entry: &Entry<'_>) -> Option<String> {
        let text = self.text(entry)?;
        if text.chars().count() > LONGEST_LABEL {
            self.expected(entry, &format!("a label of at most {LONGEST_LABEL} characters"));
            return None;
        }
        Some(text.to_owned())
    }
}
