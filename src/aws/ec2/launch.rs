//! Launches one instance.

use std::time::Duration;

use aws_sdk_ec2::{
    error::ProvideErrorMetadata,
    operation::run_instances::builders::RunInstancesFluentBuilder,
    types::{
        BlockDeviceMapping, EbsBlockDevice, HttpTokensState, IamInstanceProfileSpecification,
        InstanceMetadataEndpointState, InstanceMetadataOptionsRequest, InstanceMetadataTagsState, InstanceType,
        ResourceType, TagSpecification, VolumeType,
    },
};
use backon::{ExponentialBuilder, Retryable};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use skipper_core::{
    desired::tags,
    observed::{InstanceId, InstanceState},
};
use skipper_deploy::ports::{Launch, PortErrorKind, PortResult};

use super::{
    Ec2, filter,
    images::profile_hint,
    instances::{TAG_GROUP, TAG_HOST, state},
    tag,
};

/// What EC2 takes as user-data, before base64 ("Run commands at launch", EC2 user guide).
const USER_DATA_LIMIT: usize = 16 * 1024;

/// A new security group takes a moment until launches see it.
const SETTLE: ExponentialBuilder =
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(500)).with_factor(2.0).with_max_times(5);

impl Ec2 {
    pub(super) async fn run_instance(&self, launch: &Launch) -> PortResult<(InstanceId, Option<InstanceState>)> {
        let asked = self.changes("ec2:RunInstances", format!("host `{}`", launch.host));
        if launch.user_data.len() > USER_DATA_LIMIT {
            let why = format!("its user-data has {} bytes, and EC2 takes {USER_DATA_LIMIT}", launch.user_data.len());
            return Err(asked.refused(PortErrorKind::Invalid, why));
        }
        let answer = async || self.request(launch).send().await;
        let answer = answer.retry(SETTLE).when(|error| error.code() == Some("InvalidGroup.NotFound")).await;
        let reservation = match answer {
            Ok(reservation) => reservation,
            // Since January 2025 the answer to a dead instance's token (boto/boto3#4406); before, the instance itself.
            Err(error) if error.code() == Some("IdempotentInstanceTerminated") => {
                return Ok((self.by_token(&launch.client_token).await?.0, None));
            }
            // A launch with other settings, of which a newer image is one: that matters only while its instance lives.
            Err(error)
                if error.code() == Some("IdempotentParameterMismatch")
                    && let (instance, None) = self.by_token(&launch.client_token).await? =>
            {
                return Ok((instance, None));
            }
            Err(error) => {
                let failed = asked.failed(&error);
                let profile = error.code() == Some("InvalidParameterValue")
                    && error.message().is_some_and(|text| text.to_ascii_lowercase().contains("iaminstanceprofile"));
                return Err(match error.code() {
                    _ if profile => {
                        let mut failed = failed.hint(profile_hint(&launch.spec.instance_profile));
                        failed.kind = PortErrorKind::Missing;
                        failed
                    }
                    Some("IdempotentParameterMismatch") => failed.hint(
                        "an earlier run launched this host with other settings (size, image, subnet, disk) and its record was lost: \
                         terminate that instance, or set the settings back, and run again",
                    ),
                    Some("OptInRequired") => failed.hint("accept the image's terms in the AWS Marketplace, or pin another one in `ami:`"),
                    _ => failed,
                });
            }
        };
        let instance = reservation.instances().first();
        let id = instance.and_then(|instance| instance.instance_id());
        match (instance, id) {
            (Some(instance), Some(id)) => Ok((InstanceId(id.to_owned()), state(instance))),
            _ => Err(asked.refused(PortErrorKind::Unclear, "the answer names no instance")),
        }
    }

    pub(super) fn request(&self, launch: &Launch) -> RunInstancesFluentBuilder {
        let spec = &launch.spec;
        let tags: Vec<_> = tags(&launch.scope)
            .into_iter()
            .map(|(key, value)| tag(key, value))
            .chain([
                tag(TAG_GROUP, launch.host.group.to_string()),
                tag(TAG_HOST, launch.host.to_string()),
                tag("Name", format!("{} {}", launch.scope.stem(), launch.host)),
            ])
            .collect();
        let tags = [ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface]
            .map(|kind| TagSpecification::builder().resource_type(kind).set_tags(Some(tags.clone())).build());
        let root = EbsBlockDevice::builder()
            .volume_type(VolumeType::Gp3)
            .encrypted(true)
            .delete_on_termination(true)
            .set_volume_size(spec.disk.map(|gib| i32::try_from(gib).unwrap_or(i32::MAX)));
        // Hop limit 1: what runs in a container on a bridge does not reach the role of its host.
        let metadata = InstanceMetadataOptionsRequest::builder()
            .http_endpoint(InstanceMetadataEndpointState::Enabled)
            .http_tokens(HttpTokensState::Required)
            .http_put_response_hop_limit(1)
            .instance_metadata_tags(InstanceMetadataTagsState::Disabled);
        self.ec2
            .run_instances()
            .client_token(&launch.client_token)
            .min_count(1)
            .max_count(1)
            .image_id(&spec.image)
            .instance_type(InstanceType::from(spec.size.as_str()))
            .iam_instance_profile(IamInstanceProfileSpecification::builder().name(&spec.instance_profile).build())
            .set_security_group_ids(Some(launch.security_groups.clone()))
            .set_subnet_id(launch.subnet.clone())
            .block_device_mappings(
                BlockDeviceMapping::builder().device_name(&spec.root_device).ebs(root.build()).build(),
            )
            .metadata_options(metadata.build())
            .user_data(STANDARD.encode(&launch.user_data))
            .set_tag_specifications(Some(tags.into()))
    }

    /// The instance that a token belongs to, and its state; EC2 shows a terminated one for up to an hour.
    async fn by_token(&self, token: &str) -> PortResult<(InstanceId, Option<InstanceState>)> {
        let asked = self.reads("ec2:DescribeInstances", "the instance of a client token");
        let found = self
            .ec2
            .describe_instances()
            .filters(filter("client-token", [token]))
            .send()
            .await
            .map_err(|error| asked.failed(&error))?;
        let instance = found.reservations().iter().flat_map(|reservation| reservation.instances()).next();
        let id = instance.and_then(|instance| instance.instance_id());
        let id = InstanceId(id.unwrap_or("an instance that EC2 no longer shows").to_owned());
        Ok((id, instance.and_then(state)))
    }
}
