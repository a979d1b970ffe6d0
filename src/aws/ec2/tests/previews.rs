//! Previews: what is tagged as one, found as one, and taken away.

use skipper_core::{
    desired::Scope,
    name::EnvironmentName,
    observed::{Address, InstanceId, SecurityGroup},
    preview::{Owned, Thing},
};
use skipper_deploy::ports::{Compute as _, PortErrorKind};

use crate::aws::wire::{aws, ec2_error, scope, xml};

const PAGE: &str = "<securityGroupInfo/>";

fn preview() -> Scope {
    Scope { environment: EnvironmentName::of_pull_request(7), ..scope() }
}

fn tags(tags: &[(&str, &str)]) -> String {
    let items = tags.iter().map(|(key, value)| format!("<item><key>{key}</key><value>{value}</value></item>"));
    format!("<tagSet>{}</tagSet>", items.collect::<String>())
}

fn instance(id: &str, state: &str, tag: &[(&str, &str)]) -> String {
    format!(
        "<item><instancesSet><item><instanceId>{id}</instanceId><instanceState><name>{state}</name></instanceState>{}</item></instancesSet></item>",
        tags(tag)
    )
}

#[tokio::test]
async fn everything_of_a_preview_is_tagged_with_its_pull_request_and_found_without_that() {
    let vpc = "<vpcSet><item><vpcId>vpc-1</vpcId><isDefault>true</isDefault></item></vpcSet>";
    let (aws, wire) = aws([
        xml("DescribeVpcs", vpc),
        xml("CreateSecurityGroup", "<return>true</return><groupId>sg-new</groupId>"),
        xml("DescribeSecurityGroups", PAGE),
    ])
    .await;
    let compute = aws.compute();
    assert_eq!(compute.create_security_group(&preview(), &SecurityGroup::Cluster, None).await.as_deref(), Ok("sg-new"));
    let created = wire.form(1);
    assert!(created.contains(&"TagSpecification.1.Tag.3.Key=skipper:pull-request".to_owned()), "{created:?}");
    assert!(created.contains(&"TagSpecification.1.Tag.3.Value=7".to_owned()), "{created:?}");
    // Were it looked for by that tag, what lacks it would be made a second time.
    compute.security_groups(&preview()).await.unwrap();
    assert!(!wire.form(2).iter().any(|field| field.contains("pull-request")), "{:?}", wire.form(2));
}

#[tokio::test]
async fn what_the_project_owns_is_told_with_its_environment_and_its_pull_request() {
    let of_seven = [("skipper:project", "demo"), ("skipper:environment", "pr-7"), ("skipper:pull-request", "7")];
    let host = [of_seven.as_slice(), &[("skipper:host", "web_1")]].concat();
    let reservations = [
        instance("i-1", "running", &host),
        instance("i-2", "shutting-down", &host),
        instance("i-3", "stopped", &[("skipper:project", "demo"), ("skipper:environment", "pr-7")]),
        instance("i-4", "running", &[("skipper:project", "demo")]),
    ];
    let group = [of_seven.as_slice(), &[("skipper:security-group", "group/web")]].concat();
    let groups = format!("<securityGroupInfo><item><groupId>sg-1</groupId>{}</item></securityGroupInfo>", tags(&group));
    let addresses = format!(
        "<item><allocationId>eipalloc-1</allocationId><publicIp>198.51.100.7</publicIp>{}</item>\
         <item><allocationId>eipalloc-2</allocationId><publicIp>198.51.100.8</publicIp>{}</item>",
        tags(&host),
        tags(&of_seven)
    );
    let (aws, wire) = aws([
        xml("DescribeInstances", &format!("<reservationSet>{}</reservationSet>", reservations.concat())),
        xml("DescribeSecurityGroups", &groups),
        xml("DescribeAddresses", &format!("<addressesSet>{addresses}</addressesSet>")),
    ])
    .await;
    let owned = aws.compute().owned(&scope().project).await.unwrap();
    let environment = EnvironmentName::of_pull_request(7);
    let thing = |pull_request, thing| Owned { environment: environment.clone(), pull_request, thing };
    let instance = |id: &str, host: Option<&str>| Thing::Instance {
        instance: InstanceId(id.to_owned()),
        host: host.map(|host| host.parse().unwrap()),
    };
    let address = |id: &str, ip: Option<&str>| {
        let allocation = id.to_owned();
        let address = ip.map(|ip| Address {
            host: "web_1".parse().unwrap(),
            allocation: allocation.clone(),
            ip: ip.to_owned(),
            instance: None,
        });
        Thing::Address { allocation, address }
    };
    let web = Some(SecurityGroup::Group("web".parse().unwrap()));
    assert_eq!(
        owned,
        [
            thing(Some(7), instance("i-1", Some("web_1"))),
            thing(None, instance("i-3", None)),
            thing(Some(7), Thing::SecurityGroup { id: "sg-1".to_owned(), security_group: web }),
            thing(Some(7), address("eipalloc-1", Some("198.51.100.7"))),
            thing(Some(7), address("eipalloc-2", None)),
        ]
    );
    assert!(wire.form(0).contains(&"Filter.1.Name=tag:skipper:project".to_owned()), "{:?}", wire.form(0));
}

#[tokio::test]
async fn a_security_group_that_is_in_use_is_told_from_one_that_is_gone() {
    let (aws, wire) = aws([
        ec2_error(400, "DependencyViolation", "resource sg-1 has a dependent object"),
        ec2_error(400, "InvalidGroup.NotFound", "The security group 'sg-1' does not exist"),
        xml("DeleteSecurityGroup", "<return>true</return>"),
    ])
    .await;
    let compute = aws.compute();
    assert_eq!(compute.delete_security_group("sg-1").await.unwrap_err().kind, PortErrorKind::InUse);
    assert_eq!(compute.delete_security_group("sg-1").await, Ok(()));
    assert_eq!(compute.delete_security_group("sg-1").await, Ok(()));
    assert_eq!(wire.form(2), ["Action=DeleteSecurityGroup", "GroupId=sg-1", "Version=2016-11-15"]);
}
