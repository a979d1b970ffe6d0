//! What `clean` removed where, and how much room that made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::repository_of;
use crate::{
    config::Config,
    failure::Failure,
    image::Repository,
    name::{HostName, ServiceName},
};

/// What became of every place that was cleaned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleaned {
    /// The places, this machine first.
    pub places: Vec<Place>,
}

/// A place that has images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The host; this machine when absent.
    pub host: Option<HostName>,
    /// What was removed there.
    pub removed: Vec<Removed>,
    /// Images that were removed, too, and for whose names a host's answer had no room.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unnamed: u64,
    /// The bytes that this freed; absent where they are not known.
    pub freed: Option<u64>,
    /// What went wrong there.
    pub failures: Vec<Failure>,
}

/// An image that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// The services whose repository it was in.
    pub services: Vec<ServiceName>,
    /// What it was called.
    pub image: String,
    /// The bytes of all of its layers, those that others have, too, among them.
    pub size: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Place {
    /// What people call it.
    pub fn name(&self) -> String {
        self.host.as_ref().map_or_else(|| "this machine".to_owned(), ToString::to_string)
    }

    /// How many images were removed there.
    pub fn count(&self) -> u64 {
        self.unnamed + self.removed.len() as u64
    }
}

impl Cleaned {
    /// How many images were removed in all.
    pub fn count(&self) -> u64 {
        self.places.iter().map(Place::count).sum()
    }

    /// The bytes that were freed in all; absent where they are known of no place.
    pub fn freed(&self) -> Option<u64> {
        let known: Vec<u64> = self.places.iter().filter_map(|place| place.freed).collect();
        (!known.is_empty()).then(|| known.iter().fold(0_u64, |sum, freed| sum.saturating_add(*freed)))
    }
}

/// The services by the repositories that their images are in.
pub struct Owners(BTreeMap<Repository, Vec<ServiceName>>);

impl Owners {
    /// Those of a file, or of the part of it that is meant.
    pub fn of(config: &Config) -> Self {
        let mut owners: BTreeMap<Repository, Vec<ServiceName>> = BTreeMap::new();
        for (name, service) in &config.services {
            owners.entry(service.repository.clone()).or_default().push(name.clone());
        }
        Self(owners)
    }

    /// The repositories.
    pub fn repositories(&self) -> impl Iterator<Item = &Repository> {
        self.0.keys()
    }

    /// An image of one of the repositories that was removed; nothing for any other.
    pub fn removed(&self, image: String, size: u64) -> Option<Removed> {
        let services = self.0.get(&repository_of(&image)?)?.clone();
        Some(Removed { services, image, size })
    }
}
