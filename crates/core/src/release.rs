//! A release: a revision together with the pinned image of every service.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    image::{PinnedImage, Revision},
    name::ServiceName,
};

/// What is shipped. Images are digests before anything is planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The commit the run was triggered for.
    pub revision: Revision,
    /// What each service runs.
    pub images: BTreeMap<ServiceName, PinnedImage>,
}

impl Release {
    /// The release with what `earlier` ran for the services that this one does not have, as far as `services` names them.
    #[must_use]
    pub fn completed_from(mut self, earlier: &Self, services: &BTreeSet<ServiceName>) -> Self {
        for (service, image) in earlier.images.iter().filter(|(service, _)| services.contains(*service)) {
            self.images.entry(service.clone()).or_insert_with(|| image.clone());
        }
        self
    }
}
