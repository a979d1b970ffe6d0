//! One state for all that nothing can tell apart.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{super::READS, Claim, NOW, Pending, Phase, Reply, Request, Run, TICK, Timing, World};

impl World {
    /// A tick passes.
    pub(super) fn grow_older(&mut self) {
        for run in &mut self.runs {
            run.pending.iter_mut().for_each(|pending| pending.sent -= TICK);
            match &mut run.phase {
                Phase::Claiming(claim) => {
                    claim.tried.values_mut().for_each(|tried| *tried -= TICK);
                    claim.watched.iter_mut().for_each(|watched| watched.since -= TICK);
                }
                Phase::Holding(tenure) => tenure.valid_until -= TICK,
                Phase::Idle | Phase::Gone => {}
            }
        }
    }

    pub(super) fn settle(&mut self, timing: &Timing) {
        for index in 0..self.runs.len() {
            self.settle_requests(index);
            let highest = self.highest.as_ref().map(|(number, entry)| (*number, entry.nonce.as_str()));
            self.runs[index].settle_phase(highest, timing);
        }
        self.settle_beats();
        self.settle_numbers();
    }

    /// The beats of one lease keep their order.
    fn settle_beats(&mut self) {
        let mut mentions = self.mentions();
        let order: BTreeSet<(u64, u64)> = mentions.iter().map(|(number, beat)| (**number, **beat)).collect();
        for (number, beat) in &mut mentions {
            **beat = order.range((**number, 0)..(**number, **beat)).count() as u64;
        }
    }

    /// Numbers keep their order and which of them follow each other; how large a gap is does not matter.
    fn settle_numbers(&mut self) {
        let mut order: BTreeSet<u64> = self.mentions().iter().map(|(number, _)| **number).collect();
        order.extend(self.claims().flat_map(|claim| claim.tried.keys()));
        let mut settled = BTreeMap::from([(0, 0)]);
        let (mut before, mut last) = (0, 0);
        for number in order {
            last += (number - before).min(2);
            before = number;
            settled.insert(number, last);
        }
        for (number, _) in self.mentions() {
            *number = settled[number];
        }
        for claim in self.claims() {
            claim.tried = claim.tried.iter().map(|(number, sent)| (settled[number], *sent)).collect();
        }
    }

    fn claims(&mut self) -> impl Iterator<Item = &mut Claim> {
        self.runs.iter_mut().filter_map(|run| match &mut run.phase {
            Phase::Claiming(claim) => Some(claim),
            _ => None,
        })
    }

    /// What can have no effect any more may as well have had it.
    fn settle_requests(&mut self, index: usize) {
        let is_vain = |request: &Request| *request != Request::List && !self.is_changed_by(request);
        let Run { pending, orphan, .. } = &self.runs[index];
        let is_orphan_vain = orphan.as_ref().is_some_and(is_vain);
        let is_pending_vain = pending.as_ref().is_some_and(|pending| is_vain(&pending.request));
        let Run { pending, orphan, .. } = &mut self.runs[index];
        if is_orphan_vain {
            *orphan = None;
        }
        match pending {
            Some(Pending { request: Request::Create(..), .. }) if is_pending_vain => self.send(index, Request::List),
            Some(pending) if is_pending_vain => pending.reply = Some(Reply::Done),
            _ => {}
        }
    }

    /// Every place where a lease is known by its number and beat.
    fn mentions(&mut self) -> Vec<(&mut u64, &mut u64)> {
        let mut mentions: Vec<(&mut u64, &mut u64)> = Vec::new();
        mentions.extend(self.highest.iter_mut().map(|(number, entry)| (number, &mut entry.beat)));
        for run in &mut self.runs {
            if let Some(Pending { request, reply, .. }) = &mut run.pending {
                mentions.extend(request.mention());
                if let Some(Reply::Listed(Some((number, entry)))) = reply {
                    mentions.push((number, &mut entry.beat));
                }
            }
            mentions.extend(run.orphan.iter_mut().filter_map(Request::mention));
            match &mut run.phase {
                Phase::Claiming(claim) => {
                    mentions.extend(claim.watched.iter_mut().map(|watched| (&mut watched.number, &mut watched.beat)));
                }
                Phase::Holding(tenure) => mentions.push((&mut tenure.number, &mut tenure.entry.beat)),
                Phase::Idle | Phase::Gone => {}
            }
        }
        mentions
    }
}

impl Request {
    fn mention(&mut self) -> Option<(&mut u64, &mut u64)> {
        match self {
            Self::List => None,
            Self::Create(number, entry) | Self::Write(number, entry) => Some((number, &mut entry.beat)),
        }
    }
}

impl Run {
    /// Makes all times one that are too long ago to matter. `highest` is the number and the nonce that the store shows.
    fn settle_phase(&mut self, highest: Option<(u64, &str)>, timing: &Timing) {
        let forgotten = NOW - timing.valid - TICK;
        match &mut self.phase {
            Phase::Idle | Phase::Gone => self.pending = None,
            Phase::Holding(tenure) => {
                tenure.lost = None;
                tenure.valid_until = tenure.valid_until.max(NOW - TICK);
                if let Some(pending) = &mut self.pending {
                    let adds = pending.sent + timing.valid > tenure.valid_until;
                    pending.sent = if adds { pending.sent } else { forgotten };
                }
            }
            Phase::Claiming(claim) => {
                let listed = match &self.pending {
                    Some(Pending { reply: Some(Reply::Listed(Some((number, entry)))), .. }) => Some((*number, entry)),
                    _ => None,
                };
                let own = |number: u64, nonce: &str| nonce == claim.nonce && claim.tried.contains_key(&number);
                let top = highest.map_or(0, |(number, _)| number);
                let kept = |number: u64| {
                    number > top
                        || highest.is_some_and(|(highest, nonce)| highest == number && own(number, nonce))
                        || listed.is_some_and(|(listed, entry)| listed == number && own(number, &entry.nonce))
                };
                let numbers: Vec<u64> = claim.tried.keys().copied().filter(|number| kept(*number)).collect();
                claim.tried.retain(|number, tried| {
                    *tried = (*tried).max(forgotten);
                    numbers.contains(number)
                });
                claim.watched.take_if(|watched| {
                    watched.number != top && listed.is_none_or(|(number, _)| number != watched.number)
                });
                if let Some(watched) = &mut claim.watched {
                    // Many reads only make a take-over later, and being alive is for people.
                    (watched.reads, watched.alive) = (READS, false);
                }
                let since = claim.watched.as_mut().map(|watched| &mut watched.since);
                settle_watch(since, self.pending.as_mut().map(|pending| &mut pending.sent), timing);
            }
        }
    }
}

/// Of a watched beat it matters whether it has stood still for long enough as of the list under way, and when it will have as of one to come.
fn settle_watch(since: Option<&mut Duration>, asked: Option<&mut Duration>, timing: &Timing) {
    let ripe = NOW - timing.stale;
    match (since, asked) {
        (None, None) => {}
        (None, Some(asked)) => *asked = NOW,
        (Some(since), None) => *since = (*since).max(ripe),
        (Some(since), Some(asked)) if asked.saturating_sub(*since) >= timing.stale => (*since, *asked) = (ripe, NOW),
        (Some(since), Some(asked)) => {
            *since = (*since).max(ripe);
            *asked = *since;
        }
    }
}
