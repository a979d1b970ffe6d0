//! `clean`: older images go, from the engine on this machine and, where that is asked for, from the hosts.
//!
//! What may be rolled back to is read first: without it nothing is removed anywhere. On hosts it is read under their lease, so that no
//! rollout comes between.

use std::{collections::BTreeMap, time::Duration};

use skipper_core::{
    clean::{Cleaned, Cleaning, Needed, Owners, Place, outdated},
    event::EventKind,
    exit::Exit,
    failure::Failure,
    name::HostName,
    observed::{Gap, InstanceId, Observed},
    orchestrator::HostCleaned,
    render::words,
};

use super::{Runner, ending::Ending};
use crate::{
    cancel,
    execute::host_failure,
    lease::Lease,
    ports::{Invocation, Remote as _},
    records::{Past, read_records_of_all},
};

/// How long a host may take: what else changes it ends before.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// What `clean` is asked for, beside the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// How many images of a service stay, the newest.
    pub cutoff: u32,
    /// Whether the hosts are cleaned, too.
    pub hosts: bool,
}

impl Runner<'_> {
    /// Removes the older images of the services that are within the bounds of this run.
    pub async fn clean(&self, wanted: Wanted) -> Exit {
        self.start();
        let mut cleaned = Cleaned::default();
        let reached = self.try_clean(wanted, &mut cleaned).await;
        if !cleaned.places.is_empty() {
            self.events.emit(EventKind::Cleaned { cleaned: cleaned.clone() });
        }
        self.finish(reached.map_or_else(Ending::from, |()| ending(&cleaned))).await
    }

    async fn try_clean(&self, wanted: Wanted, cleaned: &mut Cleaned) -> Result<(), Failure> {
        let owners = Owners::of(&self.in_bounds());
        let look = async {
            self.check_account().await?;
            let past = self.past().await?;
            let needed = self.needed(&past).await?;
            let hosts = match wanted.hosts {
                true => Some(self.eyes().observe_shared(self.scope(), self.scope()).await?),
                false => None,
            };
            Ok((past, needed, hosts))
        };
        let (past, needed, hosts) = self.unless_cancelled(look).await?;
        cleaned.places.push(self.clean_here(&owners, wanted.cutoff, &needed).await);
        if self.cancel.is_cancelled() {
            return Err(Failure::new(Exit::Cancelled, "cancelled while images were removed"));
        }
        let Some(observed) = hosts else { return Ok(()) };
        for gap in observed.gaps.iter().filter(|gap| gap.host.is_none()) {
            self.events.warn(spoken(gap));
        }
        let (hosts, away) = answering(&observed);
        if !hosts.is_empty() {
            let past = past.above(observed.fence());
            let lease = self.acquire(&past.chain).await?;
            let work = self.clean_hosts(&lease, &hosts, &owners, wanted.cutoff);
            let places = lease.hold(self.events, self.cancel, Box::pin(work)).await;
            lease.release(self.events, self.cancel).await;
            cleaned.places.extend(places?);
        }
        cleaned.places.extend(away);
        cleaned.places.sort_by(|one, other| one.host.cmp(&other.host));
        Ok(())
    }

    /// What releases may be rolled back to. Hosts that previews share have the images of all of them.
    async fn needed(&self, past: &Past) -> Result<Needed, Failure> {
        if *self.scope() != self.scope().of_previews() {
            return Ok(Needed::of(past.records.may_serve()));
        }
        let (store, project) = (self.world.store, &self.scope().project);
        let what = "read the records of all environments";
        let all = self.eyes().ask(what, async || read_records_of_all(store, project).await).await?;
        Ok(Needed::of(all.iter().flat_map(|records| records.may_serve())))
    }

    /// Removes what is older on this machine, one after another.
    async fn clean_here(&self, owners: &Owners, cutoff: u32, needed: &Needed) -> Place {
        let images = self.world.images;
        let mut here = Place { freed: Some(0), ..Place::default() };
        let repositories = owners.repositories().cloned().collect();
        let stock = match images.stock(&repositories).await {
            Ok(stock) => stock,
            Err(error) => {
                here.failures.push(error.failure.during("look for the images on this machine"));
                return here;
            }
        };
        for repository in repositories {
            let of_it = stock.iter().filter(|image| image.repository == repository).cloned().collect();
            for image in outdated(of_it, cutoff, needed) {
                if self.cancel.is_cancelled() {
                    return here;
                }
                match images.clean(&image).await {
                    Ok(is_gone) => {
                        // An image that has names elsewhere keeps its layers.
                        let freed = if is_gone { image.own } else { Some(0) };
                        here.freed = here.freed.zip(freed).map(|(sum, freed)| sum.saturating_add(freed));
                        here.removed.extend(owners.removed(image.name(), image.size));
                    }
                    Err(error) => here.failures.push(error.failure.during(format!("remove `{}`", image.name()))),
                }
            }
        }
        here
    }

    /// Has the hosts remove what is older there, all of them by one command. What one of them says is no matter of the others.
    async fn clean_hosts(
        &self,
        lease: &Lease<'_>,
        hosts: &BTreeMap<InstanceId, HostName>,
        owners: &Owners,
        cutoff: u32,
    ) -> Result<Vec<Place>, Failure> {
        let guarded = self.guarded(lease, None);
        // Anew: another run may have ended in between.
        let read = async { self.needed(&self.past().await?).await };
        let needed = self.unless_cancelled(read).await?.digests;
        let cleaning = Cleaning { repositories: owners.repositories().cloned().collect(), cutoff, needed };
        let script = self.world.orchestrator.clean(self.scope(), &cleaning);
        let on = hosts.keys().cloned().collect();
        let eyes = self.eyes();
        let asked = eyes.ask("remove older images on the hosts", async || guarded.run(&on, &script, DEADLINE).await);
        let Some(answers) = self.cancel.within(cancel::HAND, asked).await else {
            let failure = Failure::new(Exit::Cancelled, "cancelled while the hosts removed images");
            return Err(failure.hint("they go on with what they have begun, and end by themselves"));
        };
        let answers = answers?;
        let place = |(instance, host): (&InstanceId, &HostName)| {
            let said = match answers.get(instance) {
                Some(Invocation::Finished { stdout, .. }) => {
                    self.world.orchestrator.read_cleaned(stdout).map_err(|error| host_failure(&error))
                }
                Some(Invocation::Lost(status)) => Err(silent(status)),
                None => Err(silent("nothing was heard of the script")),
            };
            let place = Place { host: Some(host.clone()), ..Place::default() };
            match said {
                Ok(said) => told(place, said, owners),
                Err(failure) => Place { failures: vec![failure], ..place },
            }
        };
        Ok(hosts.iter().map(place).collect())
    }
}

/// The hosts that can be asked, and what is said of the others.
fn answering(observed: &Observed) -> (BTreeMap<InstanceId, HostName>, Vec<Place>) {
    let mut answering = BTreeMap::new();
    let mut away = Vec::new();
    for (host, found) in &observed.hosts {
        if found.report.is_some() {
            answering.insert(found.instance.clone(), host.clone());
            continue;
        }
        let gaps = observed.gaps.iter().filter(|gap| gap.host.as_ref() == Some(host));
        away.push(Place { host: Some(host.clone()), failures: gaps.map(spoken).collect(), ..Place::default() });
    }
    (answering, away)
}

fn spoken(gap: &Gap) -> Failure {
    gap.hint.iter().cloned().fold(Failure::new(Exit::Blocked, gap.what.clone()), Failure::hint)
}

/// What a host says that it did. It speaks for images of these services alone.
fn told(place: Place, said: HostCleaned, owners: &Owners) -> Place {
    let HostCleaned { removed, unnamed, freed, stuck } = said;
    let mut place = Place { unnamed, freed, ..place };
    for (image, size) in removed {
        match owners.removed(image.clone(), size) {
            Some(removed) => place.removed.push(removed),
            None => {
                let what = format!("it says that it removed `{image}`, which is no image of these services");
                place.failures.push(Failure::new(Exit::Blocked, what));
            }
        }
    }
    place
        .failures
        .extend(stuck.into_iter().map(|(image, why)| Failure::new(Exit::Blocked, format!("`{image}` stays: {why}"))));
    place
}

fn silent(why: &str) -> Failure {
    let failure = Failure::new(Exit::Blocked, format!("it did not answer: {why}"));
    failure.hint("see whether the instance and its SSM agent are healthy, and run again")
}

/// Everything that went wrong, in one failure; what was removed is removed all the same.
fn ending(cleaned: &Cleaned) -> Ending {
    let count = usize::try_from(cleaned.count()).unwrap_or(usize::MAX);
    let summary = match (count, cleaned.freed()) {
        (0, _) => "nothing was removed".to_owned(),
        (_, None) => format!("removed {}", words::count(count, "image")),
        (_, Some(freed)) => format!("removed {}, {} freed", words::count(count, "image"), words::bytes(freed)),
    };
    let failures =
        || cleaned.places.iter().flat_map(|place| place.failures.iter().map(move |failure| (place, failure)));
    let Some((_, first)) = failures().next() else { return Ending::good(summary) };
    let exits = || failures().map(|(_, failure)| failure.exit);
    let exit = exits().find(|exit| matches!(exit, Exit::Refused | Exit::Held)).unwrap_or(first.exit);
    let failure = Failure::new(exit, "older images could not be removed everywhere");
    let failure = failures().fold(failure, |failure, (place, one)| {
        let chain: Vec<&str> = std::iter::once(&one.message).chain(&one.causes).map(String::as_str).collect();
        let failure = failure.because(format!("{}: {}", place.name(), chain.join(": ")));
        one.hints.iter().cloned().fold(failure, Failure::hint)
    });
    Ending { exit, failure: Some(failure), ..Ending::good(summary) }
}
