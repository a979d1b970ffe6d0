//! The order of a rollout: images everywhere first, then what is new, then one host after another, then what goes away.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Action, Draft, Fresh, Order, Pass, Reason, Removal, Replacement, StepId, hosts::Hosts, links::Telling,
    replicas::Wishes,
};
use crate::{desired::Binding, image::PinnedImage, name::HostName};

/// Puts the wishes of all hosts in order: a service starts and is replaced after those that it links to, and after the steps that
/// open the `ways` between them.
pub(super) fn arrange(
    hosts: &Hosts,
    wishes: BTreeMap<HostName, Wishes>,
    mut telling: Telling<'_>,
    ways: &[StepId],
    pass: &Pass,
    draft: &mut Draft,
) {
    let ready: Vec<StepId> = hosts.up.into_iter().chain(hosts.configured).chain(ways.iter().copied()).collect();
    let mut stages = Stages::default();
    for (host, wishes) in wishes {
        stages.sort_in(host, wishes, &telling);
    }

    let mut last: Vec<StepId> = ready;
    if !stages.images.is_empty() {
        // Docker is there from the start, so fetching need not wait for the configuration.
        let pulled = draft.step(Action::PullImages { images: stages.images }, Reason::ImagesNeeded, hosts.up);
        last.push(pulled);
    }
    let mut then = |draft: &mut Draft, action: Action, reason: Reason| {
        let step = draft.step(action, reason, last.iter().copied());
        last = vec![step];
    };
    if !stages.early_removals.is_empty() {
        let reason = first_reason(&stages.early_removals);
        then(draft, Action::RemoveReplicas { removals: stages.early_removals, ends: false }, reason);
    }
    let last_rank = stages.ranks.keys().copied().chain([telling.last_rank()]).max().unwrap_or(0);
    for rank in 0..=last_rank {
        let stage = stages.ranks.remove(&rank).unwrap_or_default();
        start(stage.fresh, draft, &mut then);
        for (host, replacements) in stage.replacements {
            let reason = replacements.first().map_or(Reason::ImageDiffers, |replacement| replacement.reason.clone());
            then(draft, Action::ReplaceReplicas { host, replacements }, reason);
        }
        start(stage.late_fresh, draft, &mut then);
        if let Some(action) = telling.after(rank) {
            then(draft, action, Reason::LinksDiffer);
        }
    }
    if pass.last && !stages.late_removals.is_empty() {
        let reason = first_reason(&stages.late_removals);
        then(draft, Action::RemoveReplicas { removals: stages.late_removals, ends: false }, reason);
    }
}

fn start(replicas: Vec<Fresh>, draft: &mut Draft, then: &mut impl FnMut(&mut Draft, Action, Reason)) {
    if let Some(first) = replicas.first() {
        let reason = first.reason.clone();
        then(draft, Action::StartReplicas { replicas }, reason);
    }
}

fn first_reason(removals: &BTreeMap<HostName, Vec<Removal>>) -> Reason {
    removals.values().flatten().next().map_or(Reason::Leftover, |removal| removal.reason.clone())
}

/// The work of all hosts by when it is done.
#[derive(Default)]
struct Stages {
    images: BTreeMap<HostName, Vec<PinnedImage>>,
    /// What holds a port that something else on its host is waiting for.
    early_removals: BTreeMap<HostName, Vec<Removal>>,
    /// What starts, by how far its service is from those that link to nothing.
    ranks: BTreeMap<usize, Stage>,
    late_removals: BTreeMap<HostName, Vec<Removal>>,
}

/// What starts after everything that it links to.
#[derive(Default)]
struct Stage {
    fresh: Vec<Fresh>,
    replacements: BTreeMap<HostName, Vec<Replacement>>,
    /// What wants a port that a replaced replica holds until then.
    late_fresh: Vec<Fresh>,
}

impl Stages {
    fn sort_in(&mut self, host: HostName, wishes: Wishes, telling: &Telling<'_>) {
        let Wishes { fresh, mut replacements, removals } = wishes;
        let images: BTreeSet<&PinnedImage> = fresh
            .iter()
            .map(|fresh| &fresh.placement.image)
            .chain(replacements.iter().map(|replacement| &replacement.new.image))
            .collect();
        if !images.is_empty() {
            self.images.insert(host.clone(), images.into_iter().cloned().collect());
        }
        order_swaps(&mut replacements);
        let arriving: BTreeSet<u16> = fresh
            .iter()
            .map(|fresh| &fresh.placement)
            .chain(replacements.iter().map(|replacement| &replacement.new))
            .flat_map(|placement| ports(&placement.bindings))
            .collect();
        for (removal, held) in removals {
            let stage = if held.is_disjoint(&arriving) { &mut self.late_removals } else { &mut self.early_removals };
            stage.entry(host.clone()).or_default().push(removal);
        }
        let ranks = replaced_at(&replacements, telling);
        for fresh in fresh {
            let wanted = ports(&fresh.placement.bindings);
            let holders = replacements.iter().zip(&ranks).filter(|(holder, _)| !holder.old_ports.is_disjoint(&wanted));
            let free_after = holders.map(|(_, rank)| *rank).max();
            let own = telling.rank(&fresh.placement);
            match free_after {
                None => self.ranks.entry(own).or_default().fresh.push(fresh),
                Some(rank) => self.ranks.entry(own.max(rank)).or_default().late_fresh.push(fresh),
            }
        }
        for (replacement, rank) in replacements.into_iter().zip(ranks) {
            self.ranks.entry(rank).or_default().replacements.entry(host.clone()).or_default().push(replacement);
        }
    }
}

/// When each replacement of a host has its turn. Those that want each other's ports have it together, whatever the links between
/// them say.
fn replaced_at(replacements: &[Replacement], telling: &Telling<'_>) -> Vec<usize> {
    let mut ranks: Vec<usize> = replacements.iter().map(|replacement| telling.rank(&replacement.new)).collect();
    for _ in 0..replacements.len() {
        for (index, one) in replacements.iter().enumerate() {
            let wanted = ports(&one.new.bindings);
            for (other, holder) in replacements.iter().enumerate() {
                if !holder.old_ports.is_disjoint(&wanted) {
                    let together = ranks[index].max(ranks[other]);
                    (ranks[index], ranks[other]) = (together, together);
                }
            }
        }
    }
    ranks
}

/// Where replacements of one host want each other's ports, all that are involved stop first.
fn order_swaps(replacements: &mut [Replacement]) {
    let held: Vec<BTreeSet<u16>> = replacements.iter().map(|replacement| replacement.old_ports.clone()).collect();
    let wanted: Vec<BTreeSet<u16>> = replacements.iter().map(|replacement| ports(&replacement.new.bindings)).collect();
    for (index, replacement) in replacements.iter_mut().enumerate() {
        let wants_anothers = held.iter().any(|held| !held.is_disjoint(&wanted[index]));
        let holds_anothers = wanted.iter().any(|wanted| !wanted.is_disjoint(&held[index]));
        if wants_anothers || holds_anothers {
            replacement.order = Order::StopFirst;
        }
    }
}

fn ports(bindings: &[Binding]) -> BTreeSet<u16> {
    bindings.iter().map(|binding| binding.host).collect()
}
