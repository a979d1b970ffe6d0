//! What a launch needs to know before anything is launched.

use std::collections::BTreeMap;

use skipper_core::observed::LaunchFacts;
use skipper_deploy::ports::{Compute as _, LaunchQuery};

use crate::aws::wire::{aws, query_error, xml};

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
