//! Credentials that are missing or wrong, and permissions that are missing.

use serde_json::json;

use super::{Trials, changed_nothing, denied, deployed, fresh, with};
use crate::{
    World,
    errors::Section,
    shop::{Shop, Told, run},
};

pub(super) const TRIALS: Trials = &[
    ("credentials_that_are_missing_or_wrong_are_refused", credentials_that_are_missing_or_wrong_are_refused),
    (
        "a_permission_that_is_missing_is_named_with_its_resource",
        a_permission_that_is_missing_is_named_with_its_resource,
    ),
    (
        "a_permission_that_is_missing_on_the_way_is_told_with_what_is_left",
        a_permission_that_is_missing_on_the_way_is_told_with_what_is_left,
    ),
];

/// What a first deployment asks for, in the order in which it comes by it: the call, the permission, and on what it is given.
const PERMISSIONS: [(&str, &str, Option<&str>); 15] = [
    ("GetCallerIdentity", "sts:GetCallerIdentity", None),
    ("DescribeInstances", "ec2:DescribeInstances", None),
    ("DescribeSecurityGroups", "ec2:DescribeSecurityGroups", None),
    ("DescribeInstanceInformation", "ssm:DescribeInstanceInformation", Some("arn:aws:ssm:us-east-1:123456789012:*")),
    ("GetParametersByPath", "ssm:GetParametersByPath", Some("parameter/skipper/denied/production/")),
    ("DescribeInstanceTypes", "ec2:DescribeInstanceTypes", None),
    ("DescribeImages", "ec2:DescribeImages", None),
    ("DescribeVpcs", "ec2:DescribeVpcs", None),
    ("CreateSecurityGroup", "ec2:CreateSecurityGroup", Some("security-group/*")),
    ("CreateSecurityGroup", "ec2:CreateTags", Some("security-group/*")),
    ("AuthorizeSecurityGroupIngress", "ec2:AuthorizeSecurityGroupIngress", Some("security-group/sg-")),
    ("PutParameter", "ssm:PutParameter", Some("parameter/skipper/denied/production/")),
    ("RunInstances", "ec2:RunInstances", Some("instance/*")),
    ("RunInstances", "ec2:CreateTags", Some("instance/*")),
    ("RunInstances", "iam:PassRole", Some("arn:aws:iam::123456789012:role/skipper-host")),
];

fn credentials_that_are_missing_or_wrong_are_refused(world: &World) {
    let shop = fresh(world, "strangers");
    let sha = shop.commit("a commit");
    world.lab.cloud().clear_calls().unwrap();
    let missing = shop
        .job(world, &sha)
        .without("AWS_ACCESS_KEY_ID")
        .without("AWS_SECRET_ACCESS_KEY")
        .variable("AWS_EC2_METADATA_DISABLED", "true");
    let told = world
        .refusal(&shop, Section::Credentials, "no credentials", || run(&missing, &["ship"], 0))
        .ends_with(3)
        .says("no usable AWS credentials")
        .says("hint: set `AWS_ACCESS_KEY_ID`");
    assert_eq!(told.outcome.outputs["status"], "refused");
    let wrong = shop.job(world, &sha).variable("AWS_ACCESS_KEY_ID", "AKIAWRONGWRONGWRONG1");
    let told =
        world.refusal(&shop, Section::Credentials, "credentials that do not exist", || run(&wrong, &["ship"], 0));
    told.ends_with(3).says("InvalidClientTokenId");
    let clock = "Signature expired: 20261124T000000Z is now earlier than 20261124T001500Z (20261124T002000Z - 5 min.)";
    let answers = [
        (
            "credentials that have expired",
            "ExpiredToken",
            "The security token included in the request is expired",
            "get new ones",
        ),
        ("a clock that is twenty minutes late", "SignatureDoesNotMatch", clock, "hint: set the clock of this machine"),
    ];
    for (input, code, message, words) in answers {
        let fault = json!({ "action": "GetCallerIdentity", "code": code, "message": message, "status": 403 });
        let run = || with(world, &[fault], || shop.skipper(world, &["ship"]));
        world.refusal(&shop, Section::Credentials, input, run).ends_with(3).says(words);
    }
    shop.replace("skipper.yml", "us-east-1", "af-south-1");
    let off = json!({ "action": "GetCallerIdentity", "code": "InvalidClientTokenId", "status": 403,
        "message": "The security token included in the request is invalid." });
    let ship = || with(world, &[off], || shop.ship(world, "a region that is off"));
    let told = world.refusal(&shop, Section::Credentials, "a region that the account has not enabled", ship);
    told.ends_with(3).says("`af-south-1` may be off for the account");
    shop.replace("skipper.yml", "af-south-1", "us-east-1");
    shop.replace("skipper.yml", "\"123456789012\"", "\"210987654321\"");
    let told =
        world.refusal(&shop, Section::Credentials, "credentials of another account", || shop.ship(world, "a commit"));
    told.ends_with(3).says("`123456789012`").says("`210987654321`");
    changed_nothing(world);
}

/// A run without one permission: it is named with its resource, in message and hint.
#[track_caller]
fn without(
    world: &World,
    shop: &Shop,
    action: &str,
    permission: &str,
    during: &str,
    run: impl FnOnce() -> Told,
) -> Told {
    let input = format!("`{permission}` is not allowed{during}");
    let run = || with(world, &[denied(action, permission)], run);
    let told = world.refusal(shop, Section::Credentials, &input, run).ends_with(3);
    assert_eq!(told.outcome.outputs["status"], "refused");
    told.says(&format!("AWS denied `{permission}` for ")).says(&format!("hint: allow `{permission}`"))
}

fn a_permission_that_is_missing_is_named_with_its_resource(world: &World) {
    let shop = fresh(world, "denied");
    // The images are made ready beside the first look at AWS: here they are there already.
    with(world, &[denied("DescribeInstances", "ec2:DescribeInstances")], || shop.ship_again(world)).ends_with(3);
    for (action, permission, resource) in PERMISSIONS {
        let during = match (action, permission) {
            ("CreateSecurityGroup", "ec2:CreateTags") => " for security groups",
            ("RunInstances", "ec2:CreateTags") => " for instances",
            _ => "",
        };
        if action == "AuthorizeSecurityGroupIngress" {
            // So that both security groups are there, and their rules are asked for at once.
            with(world, &[denied(action, permission)], || shop.ship_again(world)).ends_with(3);
        }
        let told = without(world, &shop, action, permission, during, || shop.ship_again(world));
        let told = if let Some(resource) = resource { told.says(resource) } else { told };
        // What only AWS can read is not shown.
        assert!(!told.outcome.log.contains("q8_Zr5"), "{}", told.outcome.log);
        if action.starts_with("Run") {
            told.says("hint: AWS's whole reason is encoded");
        }
    }
    // Whether the profile is right need not be known: the launch tells.
    let faults = [denied("GetInstanceProfile", "iam:GetInstanceProfile"), denied("RunInstances", "ec2:RunInstances")];
    with(world, &faults, || shop.ship_again(world)).ends_with(3).says("AWS denied `ec2:RunInstances`");
    // A subnet is looked at when a security group is made in its network.
    let shop = fresh(world, "denied-subnet");
    shop.replace("skipper.yml", "scale: 1", "scale: 1\n    subnets: [subnet-0123456789abcdef0]");
    with(world, &[denied("DescribeInstances", "ec2:DescribeInstances")], || shop.ship(world, "a subnet")).ends_with(3);
    without(world, &shop, "DescribeSubnets", "ec2:DescribeSubnets", "", || shop.ship_again(world));
    let again = || shop.ship_again(world);
    let told = world.refusal(&shop, Section::Launches, "a subnet that does not exist", again);
    told.ends_with(5).says("subnet-0123456789abcdef0").says("hint: check `subnets:`");
}

fn a_permission_that_is_missing_on_the_way_is_told_with_what_is_left(world: &World) {
    let shop = deployed(world);
    let again = || shop.ship_again(world);
    without(world, shop, "SendCommand", "ssm:SendCommand", "", again);
    without(world, shop, "ListCommandInvocations", "ssm:ListCommandInvocations", "", again);
    let cut = json!({ "action": "SendCommand", "invocation": "cut", "script": "observe" });
    let get = || with(world, &[cut], || shop.ship_again(world));
    without(world, shop, "GetCommandInvocation", "ssm:GetCommandInvocation", "", get);

    // A second host is launched, is never configured, and is not wanted any more.
    let one = std::fs::read_to_string(shop.folder.join("skipper.yml")).unwrap();
    shop.replace("skipper.yml", "scale: 1", "scale: 2");
    let lost = json!({ "action": "SendCommand", "invocation": "Undeliverable", "script": "configure" });
    let ship = || with(world, &[lost], || shop.ship(world, "a second host"));
    let told = world.refusal(shop, Section::Hosts, "a new host that a command cannot be delivered to", ship);
    told.ends_with(5).says("failed to configure host").says("Undeliverable").says("hint: ");
    std::fs::write(shop.folder.join("skipper.yml"), one).unwrap();
    let told =
        without(world, shop, "TerminateInstances", "ec2:TerminateInstances", "", || shop.ship(world, "one host again"));
    told.says("terminate host `web_2`").says("the release serves on every host");
    shop.ship_again(world).ends_with(0);
    // A port that is not public any more.
    shop.replace("skipper.yml", "ports: {public: [\"80\"]}", "ports: {public: []}");
    let revoke = || shop.ship(world, "no public port");
    let told = without(world, shop, "RevokeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress", "", revoke);
    told.says("the release serves on every host");
    shop.replace("skipper.yml", "ports: {public: []}", "ports: {public: [\"80\"]}");
    shop.ship(world, "everything is allowed").ends_with(0);
}
