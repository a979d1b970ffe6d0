//! What was rolled out when: one record a rollout, by the number of the lease that it ran under.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    exit::Exit,
    lease::{Chain, Holder},
    name::ServiceName,
    release::Release,
};

/// Records that are kept. Two pages of Parameter Store's ten.
const KEPT: usize = 20;

/// One rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Who did it, and since when.
    pub holder: Holder,
    /// What was rolled out.
    pub release: Release,
    /// The services that were deployed; all of the release's when empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub services: BTreeSet<ServiceName>,
    /// How it ended; absent while it goes on, and for ever where the run was killed.
    pub ended: Option<Ended>,
}

/// How a rollout ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// With which exit code.
    pub exit: Exit,
    /// Whether the release served everywhere then, as last observed.
    pub serves: bool,
    /// The replicas by which it did, by their symbolic names; empty in records of earlier versions.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub replicas: BTreeSet<String>,
}

/// The records that are kept, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records(BTreeMap<u64, Record>);

/// What became of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its run still holds the lease.
    Running,
    /// Its run told nothing of its end: it was killed, or could not write.
    Unknown,
    /// It ended with this exit code.
    Ended(Exit),
}

impl Record {
    /// Whether the release served everywhere when its rollout ended.
    pub fn served(&self) -> bool {
        self.ended.as_ref().is_some_and(|ended| ended.serves)
    }
}

impl Records {
    /// Reads the values below the records' path, by their names; what cannot be read is no record of this version's.
    pub fn read(values: &BTreeMap<String, String>) -> Self {
        let read = |(name, text): (&String, &String)| Some((name.parse().ok()?, serde_json::from_str(text).ok()?));
        Self(values.iter().filter_map(read).collect())
    }

    /// The records, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = (u64, &Record)> {
        self.0.iter().rev().map(|(number, record)| (*number, record))
    }

    /// The releases that served everywhere when their rollout ended, the newest first.
    pub fn served(&self) -> impl Iterator<Item = &Release> {
        self.that_served().map(|(_, record)| &record.release)
    }

    /// The newest rollout after which its release served everywhere.
    pub fn last_served(&self) -> Option<&Record> {
        self.that_served().map(|(_, record)| record).next()
    }

    /// The releases that something may go back to: those that served, and those of rollouts whose end nobody told.
    pub fn may_serve(&self) -> impl Iterator<Item = &Release> {
        self.newest_first()
            .filter(|(_, record)| record.ended.as_ref().is_none_or(|ended| ended.serves))
            .map(|(_, record)| &record.release)
    }

    /// The newest release that served everywhere and whose rollout deployed these services, or all where none are named.
    pub fn served_for(&self, services: &BTreeSet<ServiceName>) -> Option<&Release> {
        let deployed = |record: &Record| {
            record.services.is_empty() || (!services.is_empty() && services.is_subset(&record.services))
        };
        self.that_served().map(|(_, record)| record).find(|record| deployed(record)).map(|record| &record.release)
    }

    /// What became of a rollout, given who holds the lease now.
    pub fn fate(number: u64, record: &Record, chain: &Chain) -> Fate {
        match &record.ended {
            Some(ended) => Fate::Ended(ended.exit),
            None if chain.held().is_some_and(|(held, _)| held == number) => Fate::Running,
            None => Fate::Unknown,
        }
    }

    /// The numbers that are no longer needed. The newest release that served is always kept: it is what a rollback goes to.
    pub fn outdated(&self) -> Vec<u64> {
        let last_served = self.that_served().map(|(number, _)| number).next();
        self.newest_first()
            .skip(KEPT - 1)
            .map(|(number, _)| number)
            .filter(|number| Some(*number) != last_served)
            .collect()
    }

    fn that_served(&self) -> impl Iterator<Item = (u64, &Record)> {
        self.newest_first().filter(|(_, record)| record.served())
    }
}

impl Fate {
    /// The word that people read.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Unknown => "unknown",
            Self::Ended(exit) => exit.status(),
        }
    }
}
