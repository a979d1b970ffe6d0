//! What a launch would use: instance types, images and instance profiles, all groups at once.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{ArchitectureType, Image, ImageState, InstanceTypeInfo};
use skipper_core::{iam::FLATCAR_OWNER, name::GroupName, observed::LaunchFacts};
use skipper_deploy::ports::{LaunchQuery, PortErrorKind, PortResult};

use super::{Ec2, filter};

/// The names of the stable channel's images, of every version and architecture.
const FLATCAR_STABLE: &str = "Flatcar-stable-*-hvm";

/// An architecture in EC2's word for it, such as `x86_64`.
type Architecture = String;

/// What is wrong with an instance profile, and what to do about it.
type ProfileProblem = (String, String);

impl Ec2 {
    /// As many calls for one group as for many, but for one more for each further instance profile.
    pub(super) async fn facts(
        &self,
        queries: &BTreeMap<GroupName, LaunchQuery>,
    ) -> PortResult<BTreeMap<GroupName, LaunchFacts>> {
        let sizes = queries.values().map(|query| query.size.as_str()).collect();
        let pins = queries.values().filter_map(|query| query.image.as_deref()).collect();
        let profiles: BTreeSet<&str> = queries.values().map(|query| query.instance_profile.as_str()).collect();
        let (architectures, newest, pinned, profiles) = futures::try_join!(
            self.architectures(sizes),
            self.newest_images(),
            self.pinned_images(pins),
            futures::future::try_join_all(
                profiles.into_iter().map(async |profile| { Ok((profile, self.profile_problem(profile).await?)) })
            ),
        )?;
        let known =
            Known { architectures, newest, pinned, profiles: profiles.into_iter().collect(), region: &self.region };
        Ok(queries.iter().map(|(group, query)| (group.clone(), known.facts(query))).collect())
    }

    /// The architecture of each instance type that exists here. By a filter, since a request that names an unknown type fails as a whole.
    async fn architectures(&self, sizes: BTreeSet<&str>) -> PortResult<BTreeMap<String, Architecture>> {
        let asked = self.reads("ec2:DescribeInstanceTypes", "the sizes of the groups");
        let mut types =
            self.ec2.describe_instance_types().filters(filter("instance-type", sizes)).into_paginator().items().send();
        let mut found = BTreeMap::new();
        while let Some(info) = types.next().await {
            let info = info.map_err(|error| asked.failed(&error))?;
            if let (Some(size), Some(architecture)) = (&info.instance_type, architecture(&info)) {
                found.insert(size.as_str().to_owned(), architecture);
            }
        }
        Ok(found)
    }

    /// The newest Flatcar image of each architecture.
    async fn newest_images(&self) -> PortResult<BTreeMap<Architecture, Image>> {
        let asked = self.reads("ec2:DescribeImages", "Flatcar's images");
        let mut images = self
            .ec2
            .describe_images()
            .owners(FLATCAR_OWNER)
            .filters(filter("name", [FLATCAR_STABLE]))
            .filters(filter("state", ["available"]))
            .into_paginator()
            .items()
            .send();
        let mut newest: BTreeMap<Architecture, Image> = BTreeMap::new();
        while let Some(image) = images.next().await {
            let image = image.map_err(|error| asked.failed(&error))?;
            let Some(architecture) = image.architecture() else { continue };
            // RFC 3339 in UTC: the order of the texts is the order of the times.
            let newer =
                newest.get(architecture.as_str()).is_none_or(|other| other.creation_date() < image.creation_date());
            if newer {
                newest.insert(architecture.as_str().to_owned(), image);
            }
        }
        Ok(newest)
    }

    /// Those of the pinned images that exist. By a filter, since a request that names an unknown one fails as a whole.
    async fn pinned_images(&self, ids: BTreeSet<&str>) -> PortResult<BTreeMap<String, Image>> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let asked = self.reads("ec2:DescribeImages", "the images that skipper.yml pins");
        let mut images = self
            .ec2
            .describe_images()
            .filters(filter("image-id", ids))
            .include_deprecated(true)
            .into_paginator()
            .items()
            .send();
        let mut found = BTreeMap::new();
        while let Some(image) = images.next().await {
            let image = image.map_err(|error| asked.failed(&error))?;
            if let (Some(id), Some(ImageState::Available)) = (image.image_id(), image.state()) {
                found.insert(id.to_owned(), image);
            }
        }
        Ok(found)
    }

    /// Nothing when the profile is fine, and when we may not look: the launch will tell.
    async fn profile_problem(&self, profile: &str) -> PortResult<Option<ProfileProblem>> {
        let asked = self.reads("iam:GetInstanceProfile", format!("instance profile `{profile}`"));
        let answer = self
            .iam
            .get_instance_profile()
            .instance_profile_name(profile)
            .send()
            .await
            .map_err(|error| asked.failed(&error));
        match answer {
            Ok(found) if found.instance_profile().is_some_and(|found| found.roles().is_empty()) => {
                Ok(Some((format!("the instance profile `{profile}` has no role"), profile_hint(profile))))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind == PortErrorKind::Missing => {
                Ok(Some((format!("the instance profile `{profile}` does not exist"), profile_hint(profile))))
            }
            Err(error) if error.kind == PortErrorKind::Denied => {
                tracing::debug!("{error}");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// What an instance profile needs for SSM to reach the host.
pub(super) fn profile_hint(profile: &str) -> String {
    format!(
        "create it: a role that `ec2.amazonaws.com` may assume, with the managed policy \
         `arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore`, in an instance profile named `{profile}` (`aws iam create-role`, \
         `attach-role-policy`, `create-instance-profile`, `add-role-to-instance-profile`); or name another one in `instance_profile:`"
    )
}

/// Everything that the groups' facts are made of.
struct Known<'a> {
    architectures: BTreeMap<String, Architecture>,
    newest: BTreeMap<Architecture, Image>,
    pinned: BTreeMap<String, Image>,
    profiles: BTreeMap<&'a str, Option<ProfileProblem>>,
    region: &'a str,
}

impl Known<'_> {
    fn facts(&self, query: &LaunchQuery) -> LaunchFacts {
        let region = self.region;
        let Some(architecture) = self.architectures.get(&query.size) else {
            return impossible(
                format!("there is no instance type `{}` in `{region}`", query.size),
                "set `size:` to one that exists there, such as `t3.small`",
            );
        };
        if let Some(Some((why, hint))) = self.profiles.get(query.instance_profile.as_str()) {
            return impossible(why.clone(), hint.clone());
        }
        let newest = self.newest.get(architecture);
        let image = match &query.image {
            None => match newest {
                Some(image) => image,
                None => {
                    return impossible(
                        format!("there is no Flatcar image for `{architecture}` in `{region}`"),
                        format!(
                            "pin one in `ami:`, or see whether the account's allowed-AMIs setting hides those of owner {FLATCAR_OWNER}"
                        ),
                    );
                }
            },
            Some(id) => match self.pinned.get(id) {
                Some(image) => image,
                None => {
                    let remedy = newest.and_then(Image::image_id).map_or_else(
                        || "remove `ami:`".to_owned(),
                        |newest| format!("Flatcar unpublishes its images after nine months; the newest is `{newest}`: pin it, or remove `ami:`"),
                    );
                    return impossible(format!("the image `{id}` does not exist in `{region}`"), remedy);
                }
            },
        };
        let (Some(id), Some(root_device)) = (image.image_id(), image.root_device_name()) else {
            return impossible("the image that was found names no root device".to_owned(), "pin another one in `ami:`");
        };
        match image.architecture() {
            Some(of) if of.as_str() != architecture => impossible(
                format!("the image `{id}` is for `{}`, and `{}` is `{architecture}`", of.as_str(), query.size),
                "change `ami:` or `size:` so that both have one architecture",
            ),
            _ => LaunchFacts::Ready {
                image: id.to_owned(),
                image_name: image.name().unwrap_or(id).to_owned(),
                root_device: root_device.to_owned(),
            },
        }
    }
}

fn impossible(why: String, hint: impl Into<String>) -> LaunchFacts {
    LaunchFacts::Impossible { why, hint: Some(hint.into()), refused: false }
}

/// The architecture whose images an instance type boots; some list the 32 bit one besides.
fn architecture(info: &InstanceTypeInfo) -> Option<Architecture> {
    let supported = info.processor_info()?.supported_architectures();
    [ArchitectureType::X8664, ArchitectureType::Arm64]
        .into_iter()
        .find(|architecture| supported.contains(architecture))
        .or_else(|| supported.first().cloned())
        .map(|architecture| architecture.as_str().to_owned())
}
