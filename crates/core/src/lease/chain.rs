//! The chain of leases as it stands in the store.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::KEPT;
use crate::image::Revision;

/// Who holds a lease, for those who find it held.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// A person's or a bot's name, as the code host or the machine knows it.
    pub who: String,
    /// What it runs, such as `ship`.
    pub command: String,
    /// The commit it is about.
    pub revision: Option<Revision>,
    /// Where its run can be looked at.
    pub run_url: Option<String>,
    /// Since when, RFC 3339 in UTC by its own clock; for people only.
    pub since: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of {}", self.command, self.who)?;
        if let Some(revision) = &self.revision {
            write!(f, " for commit {}", revision.short())?;
        }
        write!(f, ", since {}", self.since)?;
        self.run_url.iter().try_for_each(|url| write!(f, " ({url})"))
    }
}

/// Whether a lease is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its holder works, or has died.
    Held,
    /// Its holder has ended and left nothing under way.
    Released,
    /// Its holder has ended, or somebody broke the lease before this one, and a call may still be on its way to a host.
    ReleasedUnsure,
}

/// One lease, as it stands in the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// Whose it is.
    pub holder: Holder,
    /// Random, one a run: tells one's own entry from another's when a reply was lost.
    pub nonce: String,
    /// Changes while the holder lives.
    pub beat: u64,
    /// Whether it is in use.
    pub state: State,
}

impl Entry {
    /// What cannot be read is a lease that somebody holds, by a version of skipper that this one does not know.
    fn unreadable(text: &str) -> Self {
        let holder = Holder {
            who: "somebody whose record cannot be read".to_owned(),
            command: "an unknown command".to_owned(),
            revision: None,
            run_url: None,
            since: "an unknown time".to_owned(),
        };
        Self { holder, nonce: text.to_owned(), beat: 0, state: State::Held }
    }
}

/// Every lease that is kept, by its number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Chain {
    entries: BTreeMap<u64, Entry>,
    /// The highest number that is known to have been used, though it may not be kept.
    used: u64,
}

impl Chain {
    /// Reads the values below the chain's path, by their names.
    pub fn read<'a>(values: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let entries = values.into_iter().filter_map(|(name, text)| {
            let entry = serde_json::from_str(text).unwrap_or_else(|_| Entry::unreadable(text));
            Some((name.parse().ok()?, entry))
        });
        entries.collect()
    }

    /// The same, and a number up to which all have been used: hosts remember the leases of an environment that was removed.
    #[must_use]
    pub fn above(self, used: u64) -> Self {
        Self { used: used.max(self.used), ..self }
    }

    /// The number up to which all are known to have been used beside those that are kept.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// The lease that counts: the one with the highest number.
    pub fn highest(&self) -> Option<(u64, &Entry)> {
        self.entries.last_key_value().map(|(number, entry)| (*number, entry))
    }

    /// The lease that is in use, if one is.
    pub fn held(&self) -> Option<(u64, &Entry)> {
        self.highest().filter(|(_, entry)| entry.state == State::Held)
    }

    /// The number that the next lease has.
    pub fn next(&self) -> u64 {
        self.highest().map_or(0, |(number, _)| number).max(self.used).saturating_add(1)
    }

    /// Whether nothing has come between this chain, as it was read, and a later reading: its highest lease is still there. One that
    /// is not was removed together with the environment, and its number may be another's now.
    pub fn is_kept_by(&self, later: &Self) -> bool {
        let is_same =
            |(number, entry): (u64, &Entry)| later.entries.get(&number).is_some_and(|kept| kept.nonce == entry.nonce);
        self.highest().is_none_or(is_same)
    }

    /// Whether the highest lease is the same one, in whatever state.
    pub fn has_the_same_highest(&self, other: &Self) -> bool {
        let highest = |chain: &Self| chain.highest().map(|(number, entry)| (number, entry.nonce.clone()));
        highest(self) == highest(other)
    }

    /// Whether the last holder ended in order, so that nothing of it can be on its way any more.
    pub fn is_settled(&self) -> bool {
        self.highest().is_none_or(|(_, entry)| entry.state == State::Released)
    }

    /// The numbers that are no longer needed. Never the highest: a number must not be used again.
    pub fn outdated(&self) -> Vec<u64> {
        self.entries.keys().rev().skip(KEPT).copied().collect()
    }
}

impl FromIterator<(u64, Entry)> for Chain {
    fn from_iter<T: IntoIterator<Item = (u64, Entry)>>(entries: T) -> Self {
        Self { entries: entries.into_iter().collect(), used: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> Chain {
        let values: BTreeMap<String, String> =
            values.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Chain::read(&values)
    }

    fn entry(state: &str) -> String {
        format!(
            r#"{{"holder":{{"who":"octocat","command":"ship","revision":null,"run_url":null,"since":"2026-01-01T00:00:00Z"}},"nonce":"n","beat":3,"state":"{state}"}}"#
        )
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let (held, released) = (entry("held"), entry("released"));
        let chain = read(&[("9", &held), ("10", &released)]);
        assert_eq!(chain.highest().map(|(number, _)| number), Some(10));
        assert_eq!((chain.held(), chain.next(), chain.is_settled()), (None, 11, true));
    }

    #[test]
    fn a_record_that_cannot_be_read_is_a_lease_that_somebody_holds() {
        let chain = read(&[("1", &entry("released")), ("2", "{\"state\":\"of a later version\"}"), ("notes", "mine")]);
        let held = chain.held().map(|(number, entry)| (number, entry.holder.who.as_str()));
        assert_eq!(held, Some((2, "somebody whose record cannot be read")));
        assert!(!chain.is_settled());
    }

    #[test]
    fn an_unsure_release_frees_the_lease_and_does_not_settle_it() {
        let chain = read(&[("3", &entry("released_unsure"))]);
        assert_eq!((chain.held(), chain.is_settled()), (None, false));
    }

    #[test]
    fn a_number_that_a_host_has_seen_is_not_used_again() {
        assert_eq!(Chain::default().above(5).next(), 6);
        assert_eq!(read(&[("3", &entry("released"))]).above(5).above(2).next(), 6);
        assert_eq!(read(&[("7", &entry("released"))]).above(5).next(), 8);
    }

    #[test]
    fn the_newest_nine_are_kept() {
        let chain: Chain = (1..=12).map(|number| (number, Entry::unreadable(""))).collect();
        assert_eq!(chain.outdated(), [3, 2, 1]);
        let chain: Chain = (4..=12).map(|number| (number, Entry::unreadable(""))).collect();
        assert!(chain.outdated().is_empty());
    }
}
