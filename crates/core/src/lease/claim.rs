//! Getting the lease: what to do next, from what the chain shows now.

use std::{collections::BTreeMap, time::Duration};

use super::{Chain, Entry, Holder, READS, State, Tenure, Timing};

/// A run's wish for the lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    holder: Holder,
    pub(super) nonce: String,
    /// When each number was first tried: the create that took effect may be the first of several whose replies were lost.
    pub(super) tried: BTreeMap<u64, Duration>,
    pub(super) watched: Option<Watched>,
}

/// A lease of somebody else that is being watched for signs of life.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Watched {
    pub(super) number: u64,
    pub(super) nonce: String,
    pub(super) beat: u64,
    /// When this beat was first read.
    pub(super) since: Duration,
    pub(super) reads: u32,
    /// Whether the beat has changed under the eyes of this run.
    pub(super) alive: bool,
}

/// What the chain shows, and so what is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Look {
    /// It is free, or its holder is dead: create this number with this entry where nothing is, whatever comes of it list again, and look again.
    Create {
        /// The number.
        number: u64,
        /// The entry.
        entry: Entry,
        /// Whose lease is taken over, where it was not released.
        over: Option<Holder>,
    },
    /// Somebody holds it: list again after a pause.
    Held {
        /// Its number.
        number: u64,
        /// Who.
        holder: Holder,
        /// Whether the holder was seen to live; until then it may yet turn out to be dead.
        alive: bool,
    },
    /// This run holds it.
    Mine(Tenure),
}

impl Claim {
    /// A claim. `nonce` must be unlike that of any other run.
    pub fn new(holder: Holder, nonce: String) -> Self {
        Self { holder, nonce, tried: BTreeMap::new(), watched: None }
    }

    /// Looks at a chain that was asked for at `asked` and had come by `now`, on a clock that never goes back. A beat counts as seen
    /// from `now` on, and as still standing at `asked`: in between, nobody knows when the answer was made.
    pub fn look(&mut self, chain: &Chain, timing: &Timing, asked: Duration, now: Duration) -> Look {
        let Some((number, entry)) = chain.highest() else { return self.create(chain, None, now) };
        if entry.nonce == self.nonce {
            return match (self.tried.get(&number), entry.state) {
                (Some(sent), State::Held) => Look::Mine(Tenure::new(number, entry.clone(), *timing, *sent)),
                // Somebody else's doing; a lease is not taken up again.
                _ => self.create(chain, None, now),
            };
        }
        if entry.state != State::Held {
            return self.create(chain, None, now);
        }
        let watched = self.watch(number, entry, now);
        if watched.reads >= READS && asked.saturating_sub(watched.since) >= timing.stale {
            return self.create(chain, Some(entry.holder.clone()), now);
        }
        Look::Held { number, holder: entry.holder.clone(), alive: watched.alive }
    }

    fn create(&mut self, chain: &Chain, over: Option<Holder>, now: Duration) -> Look {
        let number = chain.next();
        self.tried.entry(number).or_insert(now);
        let entry = Entry { holder: self.holder.clone(), nonce: self.nonce.clone(), beat: 0, state: State::Held };
        Look::Create { number, entry, over }
    }

    fn watch(&mut self, number: u64, entry: &Entry, now: Duration) -> &Watched {
        let fresh =
            |alive| Watched { number, nonce: entry.nonce.clone(), beat: entry.beat, since: now, reads: 0, alive };
        let watched = self.watched.get_or_insert_with(|| fresh(false));
        if (watched.number, &watched.nonce, watched.beat) != (number, &entry.nonce, entry.beat) {
            // It beat, or another holder came, while this run looked: it lives.
            *watched = fresh(true);
        }
        watched.reads = (watched.reads + 1).min(READS);
        watched
    }
}
