//! Changes that are asked for and not made: EC2 tells whether it would allow them (`DryRun`).

use aws_sdk_ec2::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use skipper_core::{
    desired::Scope,
    observed::{IngressRule, InstanceId, SecurityGroup, Source},
};
use skipper_deploy::ports::{GroupIds, Launch, PortResult};

use super::{Ec2, network::permissions};
use crate::aws::error::Asked;

/// What EC2 answers in place of doing what it would do.
const WOULD_DO: &str = "DryRunOperation";

impl Ec2 {
    /// Whether a host could be launched like this.
    pub async fn rehearse_launch(&self, launch: &Launch) -> PortResult<()> {
        let asked = self.reads("ec2:RunInstances", format!("host `{}` (a dry run)", launch.host));
        would(self.request(launch).dry_run(true).send().await, &asked, &[])
    }

    /// Whether an instance could be terminated.
    pub async fn rehearse_end(&self, instance: &InstanceId) -> PortResult<()> {
        let asked = self.reads("ec2:TerminateInstances", format!("instance `{instance}` (a dry run)"));
        would(self.ec2.terminate_instances().instance_ids(&instance.0).dry_run(true).send().await, &asked, &[])
    }

    /// Whether a security group could be made, in the default VPC or the subnet's.
    pub async fn rehearse_group(&self, scope: &Scope, subnet: Option<&str>) -> PortResult<()> {
        let vpc = self.vpc(subnet).await?;
        let asked = self.reads("ec2:CreateSecurityGroup", "the cluster's security group (a dry run)");
        let request = self.creation(scope, &SecurityGroup::Cluster, &vpc).dry_run(true);
        would(request.send().await, &asked, &["InvalidGroup.Duplicate"])
    }

    /// Whether rules of a security group could be added and taken away; `id` is that of the cluster's.
    pub async fn rehearse_rules(&self, id: &str) -> PortResult<()> {
        let asked = self.reads("ec2:AuthorizeSecurityGroupIngress", format!("security group `{id}` (a dry run)"));
        let rule = IngressRule { from_port: 2_379, to_port: 2_380, source: Source::Cluster };
        let groups = GroupIds::from([(SecurityGroup::Cluster, id.to_owned())]);
        let rules = permissions(&[rule], &groups, None, &asked)?;
        let adding = self.ec2.authorize_security_group_ingress().group_id(id).set_ip_permissions(Some(rules.clone()));
        would(adding.dry_run(true).send().await, &asked, &["InvalidPermission.Duplicate"])?;
        let asked = self.reads("ec2:RevokeSecurityGroupIngress", format!("security group `{id}` (a dry run)"));
        let taking = self.ec2.revoke_security_group_ingress().group_id(id).set_ip_permissions(Some(rules));
        would(taking.dry_run(true).send().await, &asked, &["InvalidPermission.NotFound"])
    }
}

/// EC2 asks for the permission before it looks at anything else, so these other answers say that it is there.
fn would<T, E>(answer: Result<T, SdkError<E, HttpResponse>>, asked: &Asked<'_>, also: &[&str]) -> PortResult<()>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match answer {
        Ok(_) => Ok(()),
        Err(error) if error.code().is_some_and(|code| code == WOULD_DO || also.contains(&code)) => Ok(()),
        Err(error) => Err(asked.failed(&error)),
    }
}
