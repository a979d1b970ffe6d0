//! A release: a revision together with the pinned image of every service.

use std::collections::BTreeMap;

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
