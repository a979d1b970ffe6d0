//! Security groups and their rules.

use skipper_core::observed::{IngressRule, SecurityGroup, Source};
use skipper_deploy::ports::{Compute as _, GroupIds, PortErrorKind};

use crate::aws::wire::{aws, ec2_error, scope, xml};

fn rule(from_port: u16, to_port: u16, source: Source) -> IngressRule {
    IngressRule { from_port, to_port, source }
}

fn group_ids() -> GroupIds {
    let group = |name: &str| SecurityGroup::Group(name.parse().unwrap());
    [(SecurityGroup::Cluster, "sg-cluster"), (group("web"), "sg-web"), (group("store"), "sg-store")]
        .map(|(name, id)| (name, id.to_owned()))
        .into()
}

const DEFAULT_VPC: &str = "<vpcSet><item><vpcId>vpc-1</vpcId><isDefault>true</isDefault></item></vpcSet>";

#[tokio::test]
async fn rules_that_skipper_did_not_write_are_not_taken_for_its_own() {
    let groups = "<securityGroupInfo>\
        <item><groupId>sg-web</groupId><tagSet><item><key>skipper:security-group</key><value>group/web</value></item></tagSet><ipPermissions>\
          <item><ipProtocol>tcp</ipProtocol><fromPort>80</fromPort><toPort>80</toPort>\
            <ipRanges><item><cidrIp>0.0.0.0/0</cidrIp></item><item><cidrIp>10.0.0.0/8</cidrIp></item></ipRanges>\
            <ipv6Ranges><item><cidrIpv6>::/0</cidrIpv6></item></ipv6Ranges></item>\
          <item><ipProtocol>udp</ipProtocol><fromPort>53</fromPort><toPort>53</toPort><ipRanges><item><cidrIp>0.0.0.0/0</cidrIp></item></ipRanges></item>\
          <item><ipProtocol>-1</ipProtocol><prefixListIds><item><prefixListId>pl-1</prefixListId></item></prefixListIds></item>\
          <item><ipProtocol>icmp</ipProtocol><fromPort>-1</fromPort><toPort>-1</toPort><ipv6Ranges><item><cidrIpv6>::/0</cidrIpv6></item></ipv6Ranges></item>\
        </ipPermissions></item>\
        <item><groupId>sg-cluster</groupId><tagSet><item><key>skipper:security-group</key><value>cluster</value></item></tagSet><ipPermissions>\
          <item><ipProtocol>tcp</ipProtocol><fromPort>2379</fromPort><toPort>2380</toPort>\
            <groups><item><groupId>sg-cluster</groupId></item><item><groupId>sg-else</groupId></item></groups></item>\
          <item><ipProtocol>tcp</ipProtocol><fromPort>6379</fromPort><toPort>6379</toPort>\
            <groups><item><groupId>sg-web</groupId></item></groups></item>\
        </ipPermissions></item>\
        <item><groupId>sg-odd</groupId><tagSet><item><key>skipper:security-group</key><value>../x</value></item></tagSet></item>\
        </securityGroupInfo>";
    let (aws, _) = aws([xml("DescribeSecurityGroups", groups)]).await;
    let found = aws.compute().security_groups(&scope()).await.unwrap();
    let cluster = &found[&SecurityGroup::Cluster];
    assert_eq!(cluster.id, "sg-cluster");
    assert_eq!(
        cluster.rules,
        [
            rule(2379, 2380, Source::Cluster),
            rule(2379, 2380, Source::Other("sg-else".to_owned())),
            rule(6379, 6379, Source::Group("web".parse().unwrap())),
        ]
        .into()
    );
    let web = &found[&SecurityGroup::Group("web".parse().unwrap())];
    let other = |text: &str| Source::Other(text.to_owned());
    assert_eq!(
        web.rules,
        [
            rule(80, 80, Source::AnyIpv4),
            rule(80, 80, Source::AnyIpv6),
            rule(80, 80, other("10.0.0.0/8")),
            rule(0, 65535, other("0.0.0.0/0 (udp)")),
            rule(0, 65535, other("pl-1 (every protocol)")),
            rule(0, 65535, other("::/0 (icmp)")),
        ]
        .into()
    );
    assert_eq!(found.len(), 2);
}

#[tokio::test]
async fn two_security_groups_with_one_tag_are_refused_rather_than_one_of_them_chosen() {
    let item = |id: &str| {
        format!(
            "<item><groupId>{id}</groupId><tagSet><item><key>skipper:security-group</key><value>cluster</value></item></tagSet></item>"
        )
    };
    let (aws, _) = aws([xml(
        "DescribeSecurityGroups",
        &format!("<securityGroupInfo>{}{}</securityGroupInfo>", item("sg-1"), item("sg-2")),
    )])
    .await;
    assert_eq!(aws.compute().security_groups(&scope()).await.unwrap_err().kind, PortErrorKind::Invalid);
}

#[tokio::test]
async fn a_security_group_is_created_with_its_tags_in_the_default_vpc() {
    let (aws, wire) = aws([
        xml("DescribeVpcs", DEFAULT_VPC),
        xml("CreateSecurityGroup", "<return>true</return><groupId>sg-new</groupId>"),
    ])
    .await;
    let group = SecurityGroup::Group("web".parse().unwrap());
    assert_eq!(aws.compute().create_security_group(&scope(), &group, None).await.as_deref(), Ok("sg-new"));
    assert_eq!(
        wire.form(1),
        [
            "Action=CreateSecurityGroup",
            "GroupDescription=skipper: group/web of demo-production",
            "GroupName=skipper-demo-production-group-web",
            "TagSpecification.1.ResourceType=security-group",
            "TagSpecification.1.Tag.1.Key=skipper:project",
            "TagSpecification.1.Tag.1.Value=demo",
            "TagSpecification.1.Tag.2.Key=skipper:environment",
            "TagSpecification.1.Tag.2.Value=production",
            "TagSpecification.1.Tag.3.Key=skipper:security-group",
            "TagSpecification.1.Tag.3.Value=group/web",
            "TagSpecification.1.Tag.4.Key=Name",
            "TagSpecification.1.Tag.4.Value=skipper-demo-production-group-web",
            "TagSpecification.1.Tag.5.Key=skipper:group",
            "TagSpecification.1.Tag.5.Value=web",
            "Version=2016-11-15",
            "VpcId=vpc-1",
        ]
    );
}

#[tokio::test]
async fn a_security_group_of_that_name_is_taken_up_only_when_it_is_ours() {
    let duplicate = ec2_error(
        400,
        "InvalidGroup.Duplicate",
        "The security group 'skipper-demo-production-cluster' already exists for VPC 'vpc-2'",
    );
    let subnet =
        xml("DescribeSubnets", "<subnetSet><item><subnetId>subnet-1</subnetId><vpcId>vpc-2</vpcId></item></subnetSet>");
    let found = |project: &str| {
        let tags = [
            ("skipper:project", project),
            ("skipper:environment", "production"),
            ("skipper:security-group", "cluster"),
        ]
        .map(|(key, value)| format!("<item><key>{key}</key><value>{value}</value></item>"))
        .concat();
        xml(
            "DescribeSecurityGroups",
            &format!(
                "<securityGroupInfo><item><groupId>sg-old</groupId><tagSet>{tags}</tagSet></item></securityGroupInfo>"
            ),
        )
    };
    let (ours, wire) = aws([subnet.clone(), duplicate.clone(), found("demo")]).await;
    assert_eq!(
        ours.compute().create_security_group(&scope(), &SecurityGroup::Cluster, Some("subnet-1")).await.as_deref(),
        Ok("sg-old")
    );
    assert!(wire.form(1).contains(&"VpcId=vpc-2".to_owned()));

    let (theirs, _) = aws([subnet, duplicate, found("another")]).await;
    let error =
        theirs.compute().create_security_group(&scope(), &SecurityGroup::Cluster, Some("subnet-1")).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Invalid);
}

#[tokio::test]
async fn without_a_default_vpc_the_file_has_to_name_subnets() {
    let (aws, _) = aws([xml("DescribeVpcs", "<vpcSet/>")]).await;
    let error = aws.compute().create_security_group(&scope(), &SecurityGroup::Cluster, None).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Invalid);
    assert!(error.failure.hints[0].contains("`subnets:`"));
}

#[tokio::test]
async fn rules_are_let_in_together_and_one_that_is_there_already_does_not_keep_the_others_out() {
    let rules = [rule(80, 80, Source::AnyIpv4), rule(80, 80, Source::AnyIpv6), rule(2379, 2380, Source::Cluster)];
    let done = || xml("AuthorizeSecurityGroupIngress", "<return>true</return>");
    let (fresh, wire) = aws([done()]).await;
    fresh.compute().authorize("sg-1", &rules, &group_ids()).await.unwrap();
    assert_eq!(
        wire.form(0),
        [
            "Action=AuthorizeSecurityGroupIngress",
            "GroupId=sg-1",
            "IpPermissions.1.FromPort=80",
            "IpPermissions.1.IpProtocol=tcp",
            "IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0",
            "IpPermissions.1.IpRanges.1.Description=skipper",
            "IpPermissions.1.ToPort=80",
            "IpPermissions.2.FromPort=80",
            "IpPermissions.2.IpProtocol=tcp",
            "IpPermissions.2.Ipv6Ranges.1.CidrIpv6=::/0",
            "IpPermissions.2.Ipv6Ranges.1.Description=skipper",
            "IpPermissions.2.ToPort=80",
            "IpPermissions.3.FromPort=2379",
            "IpPermissions.3.Groups.1.Description=skipper",
            "IpPermissions.3.Groups.1.GroupId=sg-cluster",
            "IpPermissions.3.IpProtocol=tcp",
            "IpPermissions.3.ToPort=2380",
            "Version=2016-11-15",
        ]
    );

    let there = || {
        ec2_error(
            400,
            "InvalidPermission.Duplicate",
            "the specified rule \"peer: 0.0.0.0/0, TCP, from port: 80, to port: 80, ALLOW\" already exists",
        )
    };
    let (again, wire) = aws([there(), there(), done(), done()]).await;
    again.compute().authorize("sg-1", &rules, &group_ids()).await.unwrap();
    assert_eq!(wire.actions().len(), 4);

    let (nothing, wire) = aws::<String>([]).await;
    nothing.compute().authorize("sg-1", &[], &group_ids()).await.unwrap();
    assert!(wire.actions().is_empty());
}

#[tokio::test]
async fn a_group_is_let_in_by_its_security_group_and_by_no_address() {
    let (aws, wire) = aws([xml("AuthorizeSecurityGroupIngress", "<return>true</return>")]).await;
    let rules = [rule(6379, 6379, Source::Group("web".parse().unwrap()))];
    aws.compute().authorize("sg-store", &rules, &group_ids()).await.unwrap();
    assert_eq!(
        wire.form(0),
        [
            "Action=AuthorizeSecurityGroupIngress",
            "GroupId=sg-store",
            "IpPermissions.1.FromPort=6379",
            "IpPermissions.1.Groups.1.Description=skipper",
            "IpPermissions.1.Groups.1.GroupId=sg-web",
            "IpPermissions.1.IpProtocol=tcp",
            "IpPermissions.1.ToPort=6379",
            "Version=2016-11-15",
        ]
    );
    let unknown = [rule(6379, 6379, Source::Group("elsewhere".parse().unwrap()))];
    let error = aws.compute().authorize("sg-store", &unknown, &group_ids()).await.unwrap_err();
    assert_eq!((error.kind, wire.actions().len()), (PortErrorKind::Invalid, 1));
}

#[tokio::test]
async fn a_rule_that_is_gone_already_is_no_error() {
    let gone =
        ec2_error(400, "InvalidPermission.NotFound", "The specified rule does not exist in this security group.");
    let (absent, wire) = aws([gone]).await;
    absent.compute().revoke("sg-1", &[rule(80, 80, Source::AnyIpv4)], &group_ids()).await.unwrap();
    assert_eq!(wire.actions(), ["RevokeSecurityGroupIngress"]);
}

#[tokio::test]
async fn rules_of_another_hand_are_revoked_in_the_words_that_ec2_has_for_them_and_no_others() {
    let group = "<securityGroupInfo><item><groupId>sg-1</groupId><ipPermissions>\
          <item><ipProtocol>udp</ipProtocol><fromPort>53</fromPort><toPort>53</toPort>\
            <ipRanges><item><cidrIp>0.0.0.0/0</cidrIp><description>dns</description></item><item><cidrIp>10.0.0.0/8</cidrIp></item></ipRanges></item>\
          <item><ipProtocol>-1</ipProtocol><prefixListIds><item><prefixListId>pl-1</prefixListId></item></prefixListIds></item>\
        </ipPermissions></item></securityGroupInfo>";
    let done = || xml("RevokeSecurityGroupIngress", "<return>true</return>");
    let (aws, wire) = aws([xml("DescribeSecurityGroups", group), done(), done(), done()]).await;
    let other = |text: &str| rule(0, u16::MAX, Source::Other(text.to_owned()));
    // And one that somebody wrote as skipper would have.
    let rules = [other("0.0.0.0/0 (udp)"), other("pl-1 (every protocol)"), rule(22, 22, Source::AnyIpv4)];
    aws.compute().revoke("sg-1", &rules, &group_ids()).await.unwrap();
    assert_eq!(
        wire.form(1),
        [
            "Action=RevokeSecurityGroupIngress",
            "GroupId=sg-1",
            "IpPermissions.1.FromPort=53",
            "IpPermissions.1.IpProtocol=udp",
            "IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0",
            "IpPermissions.1.IpRanges.1.Description=dns",
            "IpPermissions.1.ToPort=53",
            "Version=2016-11-15",
        ]
    );
    assert!(wire.form(2).contains(&"IpPermissions.1.PrefixListIds.1.PrefixListId=pl-1".to_owned()));
    assert!(wire.form(3).contains(&"IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0".to_owned()));
    assert_eq!(wire.actions().len(), 4);
}

#[tokio::test]
async fn what_skipper_wrote_is_known_by_its_description() {
    let group = "<securityGroupInfo><item><groupId>sg-web</groupId>\
        <tagSet><item><key>skipper:security-group</key><value>group/web</value></item></tagSet><ipPermissions>\
          <item><ipProtocol>tcp</ipProtocol><fromPort>80</fromPort><toPort>80</toPort>\
            <ipRanges><item><cidrIp>0.0.0.0/0</cidrIp><description>skipper</description></item></ipRanges>\
            <ipv6Ranges><item><cidrIpv6>::/0</cidrIpv6></item></ipv6Ranges></item>\
          <item><ipProtocol>tcp</ipProtocol><fromPort>22</fromPort><toPort>22</toPort>\
            <ipRanges><item><cidrIp>10.0.0.0/8</cidrIp><description>skipper</description></item></ipRanges></item>\
        </ipPermissions></item></securityGroupInfo>";
    let (aws, _) = aws([xml("DescribeSecurityGroups", group)]).await;
    let found = aws.compute().security_groups(&scope()).await.unwrap();
    let web = &found[&SecurityGroup::Group("web".parse().unwrap())];
    assert_eq!(web.marked, [rule(80, 80, Source::AnyIpv4)].into());
    assert_eq!(web.rules.len(), 3);
}
