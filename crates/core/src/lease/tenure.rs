//! Holding the lease: until when it is valid, and what ends it.

use std::time::Duration;

use super::{Chain, Entry, Holder, State, Timing};

/// A lease that this run holds, or held.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tenure {
    pub(super) number: u64,
    pub(super) entry: Entry,
    timing: Timing,
    pub(super) valid_until: Duration,
    pub(super) lost: Option<Lost>,
}

/// Whether a change may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permit {
    /// It may.
    Granted,
    /// Not before a beat has made the lease longer; without one it lapses after this time.
    Later(Duration),
    /// Never again.
    Lost(Lost),
}

/// How a lease was lost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lost {
    /// No beat was acknowledged in time.
    Lapsed,
    /// A later lease stands in the chain.
    Taken {
        /// Its number.
        number: u64,
        /// Whose it is.
        by: Box<Holder>,
    },
}

impl Tenure {
    /// A lease whose entry was first sent at `sent`.
    pub(super) fn new(number: u64, entry: Entry, timing: Timing, sent: Duration) -> Self {
        Self { number, entry, timing, valid_until: sent.saturating_add(timing.valid), lost: None }
    }

    /// Its number, which is the fence.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The entry to write as the next beat.
    pub fn beat(&mut self) -> Entry {
        self.entry.beat += 1;
        self.entry.clone()
    }

    /// Takes in that a beat sent at `sent` was acknowledged by `now`. One that comes after the lease has lapsed revives nothing:
    /// somebody may have taken it over before that beat was there to be seen.
    pub fn acknowledged(&mut self, sent: Duration, now: Duration) {
        if self.check(now) {
            self.valid_until = self.valid_until.max(sent.saturating_add(self.timing.valid));
        }
    }

    /// Looks at the chain: a later lease ends this one. Of one that has lapsed it tells who holds it now.
    pub fn look(&mut self, chain: &Chain) {
        if let Some((number, entry)) = chain.highest().filter(|(number, _)| *number > self.number) {
            self.lost = Some(Lost::Taken { number, by: Box::new(entry.holder.clone()) });
        }
    }

    /// Whether a call that changes something and takes at most [`Timing::call`] may start now: it has to end within the lease.
    pub fn permits(&mut self, now: Duration) -> Permit {
        self.check(now);
        match &self.lost {
            Some(lost) => Permit::Lost(lost.clone()),
            None if now.saturating_add(self.timing.call) <= self.valid_until => Permit::Granted,
            None => Permit::Later(self.valid_until.saturating_sub(now)),
        }
    }

    /// Whether a call that was permitted may still be under way.
    pub fn is_in_force(&self, now: Duration) -> bool {
        self.lost.is_none() && now <= self.valid_until
    }

    /// How it was lost, if it was.
    pub const fn lost(&self) -> Option<&Lost> {
        self.lost.as_ref()
    }

    /// The entry that gives it back. `settled` is false where a call of this run may still be on its way to a host.
    pub fn release(&self, settled: bool) -> Entry {
        let state = if settled { State::Released } else { State::ReleasedUnsure };
        Entry { state, beat: self.entry.beat + 1, ..self.entry.clone() }
    }

    fn check(&mut self, now: Duration) -> bool {
        if self.lost.is_none() && !self.is_in_force(now) {
            self.lost = Some(Lost::Lapsed);
        }
        self.lost.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Created at 100 s: valid until 145 s, and so open for changes until 125 s.
    fn tenure() -> Tenure {
        let holder = Holder {
            who: "octocat".to_owned(),
            command: "ship".to_owned(),
            revision: None,
            run_url: None,
            since: String::new(),
        };
        let entry = Entry { holder, nonce: "mine".to_owned(), beat: 0, state: State::Held };
        Tenure::new(7, entry, Timing::STANDARD, at(100))
    }

    #[test]
    fn a_change_has_to_end_within_the_lease() {
        let mut tenure = tenure();
        assert_eq!(tenure.permits(at(125)), Permit::Granted);
        assert_eq!(tenure.permits(at(126)), Permit::Later(at(19)));
        assert_eq!(tenure.permits(at(146)), Permit::Lost(Lost::Lapsed));
    }

    #[test]
    fn a_beat_makes_the_lease_longer_from_when_it_was_sent() {
        let mut tenure = tenure();
        tenure.acknowledged(at(115), at(119));
        assert_eq!(tenure.permits(at(140)), Permit::Granted);
        assert_eq!(tenure.permits(at(141)), Permit::Later(at(19)));
        // An answer that took long, to a beat that was sent before that one.
        tenure.acknowledged(at(110), at(142));
        assert_eq!(tenure.permits(at(141)), Permit::Later(at(19)));
    }

    #[test]
    fn a_beat_that_is_acknowledged_too_late_revives_nothing() {
        let mut tenure = tenure();
        tenure.acknowledged(at(140), at(146));
        assert_eq!(tenure.permits(at(146)), Permit::Lost(Lost::Lapsed));
        assert!(!tenure.is_in_force(at(120)));
    }

    #[test]
    fn a_later_lease_ends_it_and_tells_whose_it_is() {
        let mut tenure = tenure();
        let later = Entry { nonce: "other".to_owned(), ..tenure.release(true) };
        assert_eq!(tenure.permits(at(146)), Permit::Lost(Lost::Lapsed));
        tenure.look(&[(8, later)].into_iter().collect());
        assert!(matches!(tenure.permits(at(147)), Permit::Lost(Lost::Taken { number: 8, .. })));
    }
}
