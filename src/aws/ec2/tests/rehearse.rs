//! Changes that are only asked for.

use skipper_core::observed::InstanceId;
use skipper_deploy::ports::PortErrorKind;

use crate::aws::wire::{aws, ec2_error, scope, xml};

const WOULD: &str = "Request would have succeeded, but DryRun flag is set.";

#[tokio::test]
async fn what_ec2_would_do_is_allowed_and_nothing_is_done() {
    let would = || ec2_error(412, "DryRunOperation", WOULD);
    let vpc = xml("DescribeVpcs", "<vpcSet><item><vpcId>vpc-1</vpcId></item></vpcSet>");
    let (aws, wire) = aws([would(), vpc, would(), would(), would()]).await;
    let compute = aws.compute();
    compute.rehearse_end(&InstanceId("i-1".to_owned())).await.unwrap();
    compute.rehearse_group(&scope(), None).await.unwrap();
    compute.rehearse_rules("sg-1").await.unwrap();
    let revoke = "RevokeSecurityGroupIngress";
    let asked = ["TerminateInstances", "DescribeVpcs", "CreateSecurityGroup", "AuthorizeSecurityGroupIngress", revoke];
    assert_eq!(wire.actions(), asked);
    for change in [0, 2, 3, 4] {
        assert!(wire.form(change).contains(&"DryRun=true".to_owned()), "{:?}", wire.form(change));
    }
}

#[tokio::test]
async fn what_is_there_already_was_allowed_and_what_is_denied_is_told() {
    let there = ec2_error(400, "InvalidPermission.Duplicate", "the specified rule already exists");
    let denied = ec2_error(403, "UnauthorizedOperation", "You are not authorized to perform this operation.");
    let (aws, _) = aws([there, denied]).await;
    let error = aws.compute().rehearse_rules("sg-1").await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Denied);
    assert!(error.failure.message.contains("`ec2:RevokeSecurityGroupIngress`"), "{error}");
}
