//! Requests and answers of EC2, IAM and STS in their real shapes.

#![expect(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

use std::collections::BTreeMap;

use skipper_core::{
    observed::{IngressRule, InstanceId, InstanceState, LaunchFacts, SecurityGroup, Source},
    plan::LaunchSpec,
};
use skipper_deploy::ports::{Compute as _, Launch, LaunchQuery, PortErrorKind};

use crate::aws::wire::{aws, ec2_error, query_error, scope, xml};

fn launch() -> Launch {
    Launch {
        scope: scope(),
        host: "web_1".parse().unwrap(),
        spec: LaunchSpec {
            size: "t3.small".to_owned(),
            image: "ami-0f1a7ca5".to_owned(),
            image_name: "Flatcar-stable-4593.2.5-hvm".to_owned(),
            root_device: "/dev/xvda".to_owned(),
            disk: None,
            instance_profile: "skipper-host".to_owned(),
            subnets: Vec::new(),
            generation: 1,
        },
        subnet: None,
        security_groups: vec!["sg-1".to_owned(), "sg-2".to_owned()],
        user_data: "{}".to_owned(),
        client_token: "skipper-0123456789".to_owned(),
    }
}

fn reservation(instance: &str, state: &str) -> String {
    format!(
        "<reservationId>r-1</reservationId><ownerId>123456789012</ownerId><groupSet/><instancesSet><item><instanceId>{instance}</instanceId>\
         <instanceState><code>0</code><name>{state}</name></instanceState></item></instancesSet>"
    )
}

#[tokio::test]
async fn a_launch_carries_its_tags_its_token_and_its_safety_in_one_request() {
    let (aws, wire) = aws([xml("RunInstances", &reservation("i-0abc", "pending"))]).await;
    let launched = aws.compute().launch(&launch()).await;
    assert_eq!(launched, Ok((InstanceId("i-0abc".to_owned()), Some(InstanceState::Pending))));
    let tags = |number: u32, kind: &str| {
        let pairs = [
            ("skipper:project", "demo"),
            ("skipper:environment", "production"),
            ("skipper:group", "web"),
            ("skipper:host", "web_1"),
            ("Name", "demo-production web_1"),
        ];
        let mut lines = vec![format!("TagSpecification.{number}.ResourceType={kind}")];
        for (index, (key, value)) in (1..).zip(pairs) {
            lines.push(format!("TagSpecification.{number}.Tag.{index}.Key={key}"));
            lines.push(format!("TagSpecification.{number}.Tag.{index}.Value={value}"));
        }
        lines
    };
    let mut wanted: Vec<String> = [
        "Action=RunInstances",
        "BlockDeviceMapping.1.DeviceName=/dev/xvda",
        "BlockDeviceMapping.1.Ebs.DeleteOnTermination=true",
        "BlockDeviceMapping.1.Ebs.Encrypted=true",
        "BlockDeviceMapping.1.Ebs.VolumeType=gp3",
        "ClientToken=skipper-0123456789",
        "IamInstanceProfile.Name=skipper-host",
        "ImageId=ami-0f1a7ca5",
        "InstanceType=t3.small",
        "MaxCount=1",
        "MetadataOptions.HttpEndpoint=enabled",
        "MetadataOptions.HttpPutResponseHopLimit=1",
        "MetadataOptions.HttpTokens=required",
        "MetadataOptions.InstanceMetadataTags=disabled",
        "MinCount=1",
        "SecurityGroupId.1=sg-1",
        "SecurityGroupId.2=sg-2",
        "UserData=e30=",
        "Version=2016-11-15",
    ]
    .map(ToOwned::to_owned)
    .into();
    wanted.extend(
        [(1, "instance"), (2, "volume"), (3, "network-interface")]
            .into_iter()
            .flat_map(|(number, kind)| tags(number, kind)),
    );
    wanted.sort();
    assert_eq!(wire.form(0), wanted);
}

#[tokio::test]
async fn a_subnet_and_a_disk_are_asked_for_only_where_the_file_names_them() {
    let (aws, wire) = aws([xml("RunInstances", &reservation("i-0abc", "pending"))]).await;
    let mut launch = launch();
    launch.subnet = Some("subnet-1".to_owned());
    launch.spec.disk = Some(20);
    aws.compute().launch(&launch).await.unwrap();
    let form = wire.form(0);
    assert!(form.contains(&"SubnetId=subnet-1".to_owned()), "{form:?}");
    assert!(form.contains(&"BlockDeviceMapping.1.Ebs.VolumeSize=20".to_owned()), "{form:?}");
}

#[tokio::test]
async fn user_data_over_the_limit_is_refused_before_anything_is_asked() {
    let (aws, wire) = aws::<String>([]).await;
    let mut launch = launch();
    launch.user_data = "x".repeat(16 * 1024 + 1);
    let error = aws.compute().launch(&launch).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Invalid);
    assert_eq!(error.failure.causes, ["its user-data has 16385 bytes, and EC2 takes 16384"]);
    assert!(wire.actions().is_empty());
}

#[tokio::test]
async fn a_token_of_a_dead_instance_says_so_in_both_of_the_answers_ec2_has_for_it() {
    let (old, _) = aws([xml("RunInstances", &reservation("i-dead", "terminated"))]).await;
    assert_eq!(old.compute().launch(&launch()).await, Ok((InstanceId("i-dead".to_owned()), None)));

    let refusal = ec2_error(
        400,
        "IdempotentInstanceTerminated",
        "The client token you have provided is associated with a terminated instance.",
    );
    let described = format!("<reservationSet><item>{}</item></reservationSet>", reservation("i-dead", "terminated"));
    let (new, wire) = aws([refusal, xml("DescribeInstances", &described)]).await;
    assert_eq!(new.compute().launch(&launch()).await, Ok((InstanceId("i-dead".to_owned()), None)));
    assert!(wire.form(1).contains(&"Filter.1.Name=client-token".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_launch_waits_for_the_security_group_that_was_just_created() {
    let missing = ec2_error(400, "InvalidGroup.NotFound", "The security group 'sg-1' does not exist");
    let (patient, wire) =
        aws([missing.clone(), missing.clone(), xml("RunInstances", &reservation("i-0abc", "pending"))]).await;
    patient.compute().launch(&launch()).await.unwrap();
    assert_eq!(wire.actions(), ["RunInstances"; 3]);

    let (gone, _) = aws(std::iter::repeat_n(missing, 6)).await;
    assert_eq!(gone.compute().launch(&launch()).await.unwrap_err().kind, PortErrorKind::Missing);
}

#[tokio::test(start_paused = true)]
async fn a_refused_launch_has_the_kind_and_the_remedy_that_fit() {
    let profile =
        "Value (skipper-host) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name";
    let cases = [
        (400, "InvalidParameterValue", profile, PortErrorKind::Missing, "AmazonSSMManagedInstanceCore"),
        (
            400,
            "IdempotentParameterMismatch",
            "Arguments on this idempotent request are inconsistent",
            PortErrorKind::Invalid,
            "other settings",
        ),
        (
            400,
            "VcpuLimitExceeded",
            "You have requested more vCPU capacity than your current limit",
            PortErrorKind::Quota,
            "Service Quotas",
        ),
        (
            400,
            "Unsupported",
            "Your requested instance type is not supported in your requested Availability Zone",
            PortErrorKind::Capacity,
            "availability zones",
        ),
        (401, "OptInRequired", "you need to accept terms and subscribe", PortErrorKind::Invalid, "Marketplace"),
    ];
    for (status, code, text, kind, remedy) in cases {
        let (aws, _) = aws([ec2_error(status, code, text)]).await;
        let error = aws.compute().launch(&launch()).await.unwrap_err();
        assert_eq!(error.kind, kind, "{code}");
        assert!(error.failure.message.contains("host `web_1`"), "{error}");
        assert!(error.failure.hints.iter().any(|hint| hint.contains(remedy)), "{code}: {:?}", error.failure.hints);
    }
    let busy = ec2_error(500, "InsufficientInstanceCapacity", "We currently do not have sufficient t3.small capacity");
    let (full, wire) = aws([busy]).await;
    assert_eq!(full.compute().launch(&launch()).await.unwrap_err().kind, PortErrorKind::Capacity);
    assert_eq!(wire.actions().len(), 1, "asking the same zone again is of no use; the next one is asked at once");
}

#[tokio::test]
async fn every_page_of_instances_is_read_and_two_that_say_the_same_are_both_returned() {
    let instance = |id: &str, state: &str, host: &str| {
        format!(
            "<item><instancesSet><item><instanceId>{id}</instanceId><instanceState><code>16</code><name>{state}</name></instanceState>\
             <instanceType>t3.small</instanceType><privateIpAddress>10.0.0.7</privateIpAddress><ipAddress>54.1.2.3</ipAddress>\
             <tagSet><item><key>skipper:host</key><value>{host}</value></item></tagSet></item></instancesSet></item>"
        )
    };
    let first = format!(
        "<reservationSet>{}{}</reservationSet><nextToken>page-2</nextToken>",
        instance("i-1", "running", "web_1"),
        instance("i-9", "shutting-down", "web_9")
    );
    let second = format!(
        "<reservationSet>{}{}</reservationSet>",
        instance("i-2", "stopped", "web_1"),
        instance("i-3", "pending", "../evil")
    );
    let (aws, wire) = aws([xml("DescribeInstances", &first), xml("DescribeInstances", &second)]).await;
    let found = aws.compute().instances(&scope()).await.unwrap();
    let seen: Vec<_> = found
        .iter()
        .map(|found| (found.instance.0.as_str(), found.host.as_ref().map(ToString::to_string), found.state))
        .collect();
    assert_eq!(
        seen,
        [
            ("i-1", Some("web_1".to_owned()), InstanceState::Running),
            ("i-2", Some("web_1".to_owned()), InstanceState::Stopped),
            ("i-3", None, InstanceState::Pending),
        ]
    );
    assert_eq!(
        (found[0].size.as_str(), found[0].private_address.as_deref(), found[0].public_address.as_deref()),
        ("t3.small", Some("10.0.0.7"), Some("54.1.2.3"))
    );
    assert_eq!(
        wire.form(1),
        [
            "Action=DescribeInstances",
            "Filter.1.Name=tag:skipper:project",
            "Filter.1.Value.1=demo",
            "Filter.2.Name=tag:skipper:environment",
            "Filter.2.Value.1=production",
            "Filter.3.Name=instance-state-name",
            "Filter.3.Value.1=pending",
            "Filter.3.Value.2=running",
            "Filter.3.Value.3=stopping",
            "Filter.3.Value.4=stopped",
            "MaxResults=1000",
            "NextToken=page-2",
            "Version=2016-11-15",
        ]
    );
}

fn rule(from_port: u16, to_port: u16, source: Source) -> IngressRule {
    IngressRule { from_port, to_port, source }
}

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
        </ipPermissions></item>\
        <item><groupId>sg-odd</groupId><tagSet><item><key>skipper:security-group</key><value>../x</value></item></tagSet></item>\
        </securityGroupInfo>";
    let (aws, _) = aws([xml("DescribeSecurityGroups", groups)]).await;
    let found = aws.compute().security_groups(&scope()).await.unwrap();
    let cluster = &found[&SecurityGroup::Cluster];
    assert_eq!(cluster.id, "sg-cluster");
    assert_eq!(
        cluster.rules,
        [rule(2379, 2380, Source::Cluster), rule(2379, 2380, Source::Other("sg-else".to_owned()))].into()
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

const DEFAULT_VPC: &str = "<vpcSet><item><vpcId>vpc-1</vpcId><isDefault>true</isDefault></item></vpcSet>";

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
    fresh.compute().authorize("sg-1", &rules, "sg-cluster").await.unwrap();
    assert_eq!(
        wire.form(0),
        [
            "Action=AuthorizeSecurityGroupIngress",
            "GroupId=sg-1",
            "IpPermissions.1.FromPort=80",
            "IpPermissions.1.IpProtocol=tcp",
            "IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0",
            "IpPermissions.1.ToPort=80",
            "IpPermissions.2.FromPort=80",
            "IpPermissions.2.IpProtocol=tcp",
            "IpPermissions.2.Ipv6Ranges.1.CidrIpv6=::/0",
            "IpPermissions.2.ToPort=80",
            "IpPermissions.3.FromPort=2379",
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
    again.compute().authorize("sg-1", &rules, "sg-cluster").await.unwrap();
    assert_eq!(wire.actions().len(), 4);

    let (nothing, wire) = aws::<String>([]).await;
    nothing.compute().authorize("sg-1", &[], "sg-cluster").await.unwrap();
    assert!(wire.actions().is_empty());
}

#[tokio::test]
async fn a_rule_that_is_gone_already_is_no_error_and_a_foreign_one_is_never_revoked() {
    let gone =
        ec2_error(400, "InvalidPermission.NotFound", "The specified rule does not exist in this security group.");
    let (absent, wire) = aws([gone]).await;
    absent.compute().revoke("sg-1", &[rule(80, 80, Source::AnyIpv4)], "sg-cluster").await.unwrap();
    assert_eq!(wire.actions(), ["RevokeSecurityGroupIngress"]);

    let (foreign, wire) = aws::<String>([]).await;
    let error = foreign
        .compute()
        .revoke("sg-1", &[rule(22, 22, Source::Other("10.0.0.0/8".to_owned()))], "sg-cluster")
        .await
        .unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Invalid);
    assert!(wire.actions().is_empty());
}

#[tokio::test]
async fn terminating_what_is_gone_is_done() {
    let gone = ec2_error(400, "InvalidInstanceID.NotFound", "The instance ID 'i-1' does not exist");
    let (aws, _) = aws([gone]).await;
    assert_eq!(aws.compute().terminate(&InstanceId("i-1".to_owned())).await, Ok(()));
}

#[tokio::test]
async fn the_account_is_the_one_of_the_credentials() {
    let identity = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
        <Arn>arn:aws:iam::123456789012:user/ci</Arn><UserId>AIDA</UserId><Account>123456789012</Account></GetCallerIdentityResult>\
        <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>";
    let (aws, _) = aws([(200, identity)]).await;
    assert_eq!(aws.compute().account().await.as_deref(), Ok("123456789012"));
}

fn query(size: &str, image: Option<&str>) -> LaunchQuery {
    LaunchQuery {
        size: size.to_owned(),
        image: image.map(ToOwned::to_owned),
        instance_profile: "skipper-host".to_owned(),
        subnets: vec![],
    }
}

fn types() -> (u16, String) {
    let item = |size: &str, architectures: &[&str]| {
        let architectures: String = architectures.iter().map(|word| format!("<item>{word}</item>")).collect();
        format!(
            "<item><instanceType>{size}</instanceType><processorInfo><supportedArchitectures>{architectures}</supportedArchitectures></processorInfo></item>"
        )
    };
    xml(
        "DescribeInstanceTypes",
        &format!(
            "<instanceTypeSet>{}{}</instanceTypeSet>",
            item("t2.micro", &["i386", "x86_64"]),
            item("t4g.small", &["arm64"])
        ),
    )
}

fn image(id: &str, version: &str, architecture: &str, created: &str) -> String {
    format!(
        "<item><imageId>{id}</imageId><name>Flatcar-stable-{version}-hvm</name><architecture>{architecture}</architecture>\
         <creationDate>{created}</creationDate><imageState>available</imageState><rootDeviceName>/dev/xvda</rootDeviceName></item>"
    )
}

fn images() -> (u16, String) {
    let images = [
        image("ami-old", "4459.2.4", "x86_64", "2026-05-02T10:00:00.000Z"),
        image("ami-new", "4593.2.5", "x86_64", "2026-08-12T10:00:00.000Z"),
        image("ami-mid", "4593.2.4", "x86_64", "2026-08-01T10:00:00.000Z"),
        image("ami-arm", "4593.2.5-arm64", "arm64", "2026-08-12T10:01:00.000Z"),
    ];
    xml("DescribeImages", &format!("<imagesSet>{}</imagesSet>", images.concat()))
}

fn profile(roles: &str) -> (u16, String) {
    (
        200,
        format!(
            "<GetInstanceProfileResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><GetInstanceProfileResult><InstanceProfile>\
             <InstanceProfileId>AIPA</InstanceProfileId><InstanceProfileName>skipper-host</InstanceProfileName><Path>/</Path>\
             <Arn>arn:aws:iam::123456789012:instance-profile/skipper-host</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate>\
             <Roles>{roles}</Roles></InstanceProfile></GetInstanceProfileResult></GetInstanceProfileResponse>"
        ),
    )
}

const ROLE: &str = "<member><RoleName>skipper-host</RoleName><RoleId>AROA</RoleId><Path>/</Path><Arn>arn:aws:iam::1:role/skipper-host</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate></member>";

fn why(facts: &LaunchFacts) -> (String, String) {
    match facts {
        LaunchFacts::Impossible { why, hint, .. } => (why.clone(), hint.clone().unwrap()),
        LaunchFacts::Ready { image, .. } => panic!("a launch from {image} could be tried"),
    }
}

#[tokio::test]
async fn the_newest_image_of_the_sizes_architecture_is_taken_and_many_groups_cost_no_more_calls_than_one() {
    let (aws, wire) = aws([types(), images(), profile(ROLE)]).await;
    let queries: BTreeMap<_, _> =
        [("api", "t2.micro"), ("batch", "t4g.small"), ("web", "t2.micro"), ("typo", "t3.smal")]
            .map(|(group, size)| (group.parse().unwrap(), query(size, None)))
            .into();
    let facts = aws.compute().launch_facts(&queries).await.unwrap();
    assert_eq!(
        facts[&"web".parse().unwrap()],
        LaunchFacts::Ready {
            image: "ami-new".to_owned(),
            image_name: "Flatcar-stable-4593.2.5-hvm".to_owned(),
            root_device: "/dev/xvda".to_owned()
        }
    );
    assert!(matches!(&facts[&"batch".parse().unwrap()], LaunchFacts::Ready { image, .. } if image == "ami-arm"));
    let (why, hint) = why(&facts[&"typo".parse().unwrap()]);
    assert_eq!(why, "there is no instance type `t3.smal` in `us-east-1`");
    assert!(hint.contains("t3.small"));
    assert_eq!(wire.actions(), ["DescribeInstanceTypes", "DescribeImages", "GetInstanceProfile"]);
    assert_eq!(
        wire.form(1),
        [
            "Action=DescribeImages",
            "Filter.1.Name=name",
            "Filter.1.Value.1=Flatcar-stable-*-hvm",
            "Filter.2.Name=state",
            "Filter.2.Value.1=available",
            "Owner.1=075585003325",
            "Version=2016-11-15",
        ]
    );
}

#[tokio::test]
async fn a_pinned_image_that_is_gone_or_does_not_fit_says_what_to_pin() {
    let pinned = xml(
        "DescribeImages",
        &format!("<imagesSet>{}</imagesSet>", image("ami-arm", "4593.2.5-arm64", "arm64", "2026-08-12T10:01:00.000Z")),
    );
    let (aws, wire) = aws([types(), images(), pinned, profile(ROLE)]).await;
    let queries = [
        ("gone", query("t2.micro", Some("ami-gone"))),
        ("other", query("t2.micro", Some("ami-arm"))),
        ("fits", query("t4g.small", Some("ami-arm"))),
    ]
    .map(|(group, query)| (group.parse().unwrap(), query))
    .into();
    let facts = aws.compute().launch_facts(&queries).await.unwrap();
    let (gone, hint) = why(&facts[&"gone".parse().unwrap()]);
    assert_eq!(gone, "the image `ami-gone` does not exist in `us-east-1`");
    assert!(hint.contains("the newest is `ami-new`"), "{hint}");
    let (other, _) = why(&facts[&"other".parse().unwrap()]);
    assert_eq!(other, "the image `ami-arm` is for `arm64`, and `t2.micro` is `x86_64`");
    assert!(matches!(facts[&"fits".parse().unwrap()], LaunchFacts::Ready { .. }));
    assert_eq!(wire.actions().len(), 4);
}

#[tokio::test]
async fn a_region_without_flatcar_and_an_account_without_the_profile_are_told_before_anything_is_launched() {
    let queries: BTreeMap<_, _> = [("web".parse().unwrap(), query("t2.micro", None))].into();
    let web = "web".parse().unwrap();
    let (no_image, _) = aws([types(), xml("DescribeImages", "<imagesSet/>"), profile(ROLE)]).await;
    let facts = no_image.compute().launch_facts(&queries).await.unwrap();
    assert_eq!(why(&facts[&web]).0, "there is no Flatcar image for `x86_64` in `us-east-1`");

    let missing = query_error(404, "NoSuchEntity", "Instance Profile skipper-host cannot be found.");
    let (no_profile, _) = aws([types(), images(), missing]).await;
    let facts = no_profile.compute().launch_facts(&queries).await.unwrap();
    let (reason, hint) = why(&facts[&web]);
    assert_eq!(reason, "the instance profile `skipper-host` does not exist");
    assert!(hint.contains("arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"), "{hint}");

    let (no_role, _) = aws([types(), images(), profile("")]).await;
    let facts = no_role.compute().launch_facts(&queries).await.unwrap();
    assert_eq!(why(&facts[&web]).0, "the instance profile `skipper-host` has no role");

    let denied = query_error(
        403,
        "AccessDenied",
        "User: arn:x is not authorized to perform: iam:GetInstanceProfile on resource: x",
    );
    let (may_not_look, _) = aws([types(), images(), denied]).await;
    let facts = may_not_look.compute().launch_facts(&queries).await.unwrap();
    assert!(matches!(facts[&web], LaunchFacts::Ready { .. }), "the launch will tell");
}
