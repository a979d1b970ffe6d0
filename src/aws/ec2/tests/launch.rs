//! Instances: launched, found, terminated.

use skipper_core::{
    observed::{InstanceId, InstanceState},
    plan::LaunchSpec,
};
use skipper_deploy::ports::{Compute as _, Launch, PortErrorKind};

use crate::aws::wire::{aws, ec2_error, scope, xml};

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

#[tokio::test]
async fn a_host_reboots_by_its_instance_and_one_that_does_not_run_is_told() {
    let refusal = ec2_error(
        400,
        "IncorrectInstanceState",
        "This instance 'i-1' is not in a state from which it can be rebooted.",
    );
    let (aws, wire) = aws([xml("RebootInstances", "<return>true</return>"), refusal]).await;
    let instance = InstanceId("i-1".to_owned());
    assert_eq!(aws.compute().reboot(&instance).await, Ok(()));
    assert!(wire.form(0).contains(&"InstanceId.1=i-1".to_owned()), "{:?}", wire.form(0));
    let error = aws.compute().reboot(&instance).await.unwrap_err();
    assert!(error.failure.causes.iter().any(|cause| cause.contains("rebooted")), "{:?}", error.failure);
}

#[tokio::test]
async fn an_instance_gets_its_size_while_it_is_stopped() {
    let none = ec2_error(500, "InsufficientInstanceCapacity", "We currently do not have sufficient capacity");
    let done = |action: &str| xml(action, "<return>true</return>");
    let (aws, wire) = aws([done("StopInstances"), done("ModifyInstanceAttribute"), none]).await;
    let (instance, compute) = (InstanceId("i-1".to_owned()), aws.compute());
    assert_eq!(compute.stop(&instance).await, Ok(()));
    assert_eq!(compute.set_size(&instance, "t3.large").await, Ok(()));
    assert_eq!(compute.start(&instance).await.unwrap_err().kind, PortErrorKind::Capacity);
    assert!(wire.form(1).contains(&"InstanceType.Value=t3.large".to_owned()), "{:?}", wire.form(1));
    assert_eq!(wire.actions(), ["StopInstances", "ModifyInstanceAttribute", "StartInstances"]);
}

#[tokio::test]
async fn a_token_of_other_settings_is_in_the_way_only_while_its_instance_lives() {
    let refusal =
        || ec2_error(400, "IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent");
    let described = |state: &str| {
        xml(
            "DescribeInstances",
            &format!("<reservationSet><item>{}</item></reservationSet>", reservation("i-0abc", state)),
        )
    };
    let (dead, _) = aws([refusal(), described("terminated")]).await;
    assert_eq!(dead.compute().launch(&launch()).await, Ok((InstanceId("i-0abc".to_owned()), None)));
    let (forgotten, _) = aws([refusal(), xml("DescribeInstances", "<reservationSet/>")]).await;
    assert!(matches!(forgotten.compute().launch(&launch()).await, Ok((_, None))));
    let (alive, _) = aws([refusal(), described("running")]).await;
    let error = alive.compute().launch(&launch()).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Invalid);
    assert!(error.failure.hints.iter().any(|hint| hint.contains("other settings")), "{:?}", error.failure.hints);
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
        let root = if id == "i-2" { "instance-store" } else { "ebs" };
        format!(
            "<item><instancesSet><item><instanceId>{id}</instanceId><instanceState><code>16</code><name>{state}</name></instanceState>\
             <instanceType>t3.small</instanceType><rootDeviceType>{root}</rootDeviceType><privateIpAddress>10.0.0.7</privateIpAddress><ipAddress>54.1.2.3</ipAddress>\
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
    assert_eq!(found.iter().map(|found| found.instance_store).collect::<Vec<_>>(), [false, true, false]);
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
