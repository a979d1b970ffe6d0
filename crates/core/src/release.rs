//! A release: a revision together with the pinned image of every service.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    image::{PinnedImage, Revision},
    name::{EnvName, ServiceName},
};

/// What is shipped. Images are digests before anything is planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The commit the run was triggered for.
    pub revision: Revision,
    /// What each service runs.
    pub images: BTreeMap<ServiceName, PinnedImage>,
    /// Which version of each secret each service is given; services without secrets have no entry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<ServiceName, SecretVersions>,
}

/// Versions of secrets, by the secret's name, as the store counts them from 1.
pub type SecretVersions = BTreeMap<EnvName, u64>;

impl Release {
    /// The release with what `earlier` ran for the services that this one does not have, as far as `services` names them.
    #[must_use]
    pub fn completed_from(mut self, earlier: &Self, services: &BTreeSet<ServiceName>) -> Self {
        for (service, image) in earlier.images.iter().filter(|(service, _)| services.contains(*service)) {
            if !self.images.contains_key(service) {
                self.images.insert(service.clone(), image.clone());
                self.secrets.extend(
                    earlier.secrets.get_key_value(service).map(|(name, versions)| (name.clone(), versions.clone())),
                );
            }
        }
        self
    }
}
