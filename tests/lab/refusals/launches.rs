//! Launches that cannot be.

use serde_json::json;

use super::{Trials, changed_nothing, fresh, refused, with};
use crate::{World, errors::Section, shop::run};

pub(super) const TRIALS: Trials = &[
    ("what_a_launch_lacks_is_told_before_anything_changes", what_a_launch_lacks_is_told_before_anything_changes),
    ("a_launch_that_ec2_refuses_says_what_to_do", a_launch_that_ec2_refuses_says_what_to_do),
    ("a_host_goes_where_there_is_capacity_and_is_waited_for", a_host_goes_where_there_is_capacity_and_is_waited_for),
];

const FULL: &str = "We currently do not have sufficient t3.small capacity in the Availability Zone you requested (us-east-1a). Our \
                    system will be working on provisioning additional capacity.";

fn what_a_launch_lacks_is_told_before_anything_changes(world: &World) {
    let shop = fresh(world, "lacking");
    let cases: [(&str, &str, &[&str]); 4] = [
        (
            "an instance profile that does not exist",
            "scale: 1\n    instance_profile: nobody",
            &["instance profile", "`nobody`", "AmazonSSMManagedInstanceCore"],
        ),
        (
            "a pinned image that is gone",
            "scale: 1\n    ami: ami-0123456789abcdef0",
            &["ami-0123456789abcdef0", "Flatcar", "the newest is `ami-"],
        ),
        ("a size that does not exist", "scale: 1", &["x9.huge"]),
        ("a size and a pinned image of two architectures", "scale: 1\n    ami: ", &["x86_64", "arm64"]),
    ];
    let good = std::fs::read_to_string(shop.folder.join("skipper.yml")).unwrap();
    let mut newest = String::new();
    for (input, group, words) in cases {
        let text = good.replacen("scale: 1", group, 1);
        let text = match group {
            "scale: 1" => text.replace("t3.small", "x9.huge"),
            // With an archive of fleet for them, hosts may be arm64. They run nothing here: that no image is
            // for them would be told first.
            "scale: 1\n    ami: " => text
                .replace("ami: ", &format!("ami: {newest}"))
                .replace("t3.small", "t4g.small")
                .replace("fleet: {", "fleet: {arm64: {url: \"https://fleet.example/arm64\"}, ")
                .replace("    ports: {public: [\"80\"]}\n", "")
                .replace("services: [web, clock]", "services: []"),
            _ => text,
        };
        std::fs::write(shop.folder.join("skipper.yml"), text).unwrap();
        let told = world.refusal(&shop, Section::Launches, input, || shop.ship(world, "a launch that lacks something"));
        let told = told.ends_with(5).says("hint: ");
        let told = words.iter().fold(told, |told, words| told.says(words));
        if let Some((_, rest)) = told.outcome.log.split_once("the newest is `") {
            newest = rest.split('`').next().unwrap().to_owned();
        }
        changed_nothing(world);
    }
    // Fleet's own release runs on amd64 only.
    let text: String =
        good.lines().filter(|line| !line.starts_with("fleet:")).map(|line| format!("{line}\n")).collect();
    std::fs::write(shop.folder.join("skipper.yml"), text.replace("t3.small", "t4g.small")).unwrap();
    let ship = || shop.ship(world, "an arm64 size");
    let told =
        world.refusal(&shop, Section::Launches, "a size of an architecture that fleet is not released for", ship);
    told.ends_with(2).says("`t4g.small` has an arm64 processor").says("hint: ");
}

fn a_launch_that_ec2_refuses_says_what_to_do(world: &World) {
    let shop = fresh(world, "unlaunched");
    let quota = "hint: ask AWS for a higher quota";
    let cases = [
        (
            "the quota of security groups is used up",
            "CreateSecurityGroup",
            400,
            "SecurityGroupLimitExceeded",
            "The maximum number of security groups for VPC 'vpc-0123456789abcdef0' has been reached.",
            quota,
        ),
        (
            "the quota of rules is used up",
            "AuthorizeSecurityGroupIngress",
            400,
            "RulesPerSecurityGroupLimitExceeded",
            "The maximum number of rules per security group has been reached.",
            quota,
        ),
        (
            "the quota of vCPUs is used up",
            "RunInstances",
            400,
            "VcpuLimitExceeded",
            "You have requested more vCPU capacity than your current vCPU limit of 1 allows for the instance bucket that the specified \
             instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.",
            quota,
        ),
        (
            "the quota of instances is used up",
            "RunInstances",
            400,
            "InstanceLimitExceeded",
            "Your quota allows for 0 more running instance(s). You requested at least 1",
            quota,
        ),
        ("no zone has capacity", "RunInstances", 500, "InsufficientInstanceCapacity", FULL, "hint: run again later"),
        (
            "a size that the zone does not offer",
            "RunInstances",
            400,
            "Unsupported",
            "Your requested instance type (t3.small) is not supported in your requested Availability Zone (us-east-1e). Please retry \
             your request by not specifying an Availability Zone or choosing us-east-1a, us-east-1b.",
            "hint: choose another `size`",
        ),
        (
            "the account is blocked",
            "RunInstances",
            400,
            "Blocked",
            "This account is currently blocked and not recognized as a valid account.",
            "hint: the account is blocked",
        ),
    ];
    for (input, action, status, code, message, words) in cases {
        if action == "AuthorizeSecurityGroupIngress" {
            // So that both security groups are there, and their rules are asked for at once.
            with(world, &[refused(action, status, code, message)], || shop.ship_again(world)).ends_with(5);
        }
        let ship = || with(world, &[refused(action, status, code, message)], || shop.ship_again(world));
        let told = world.refusal(&shop, Section::Launches, input, ship);
        told.ends_with(if code == "Blocked" { 3 } else { 5 }).says(code).says(words);
    }
    let subnets = world.lab.cloud().subnets().unwrap();
    let named = format!("scale: 1\n    subnets: [{}, {}]", subnets[0], subnets[1]);
    shop.replace("skipper.yml", "scale: 1", &named);
    let full = refused("RunInstances", 500, "InsufficientInstanceCapacity", FULL);
    let ship = || with(world, &[full], || shop.ship(world, "two subnets"));
    let told = world.refusal(&shop, Section::Launches, "no subnet of the group has capacity", ship).ends_with(5);
    told.says(&format!("trying `{}`", subnets[1])).says(&format!("tried before, in vain: `{}`", subnets[0]));
    assert_eq!(world.lab.cloud().calls().unwrap()["RunInstances"], 2, "a full subnet is asked once");
}

fn a_host_goes_where_there_is_capacity_and_is_waited_for(world: &World) {
    let shop = fresh(world, "waiting");
    let subnets = world.lab.cloud().subnets().unwrap();
    shop.replace("skipper.yml", "scale: 1", &format!("scale: 1\n    subnets: [{}, {}]", subnets[0], subnets[1]));
    let (sha, _) = shop.merge(world, "two subnets");
    let job = shop.job(world, &sha).input("host-timeout", "3s");
    let faults = [
        json!({ "action": "RunInstances", "code": "InsufficientInstanceCapacity", "message": FULL, "status": 500 }),
        json!({ "action": "DescribeInstanceInformation", "never_online": true }),
    ];
    let ship = || with(world, &faults, || run(&job, &["ship"], 0));
    let told = world.refusal(&shop, Section::Hosts, "a host whose SSM agent never comes online", ship).ends_with(5);
    told.says(&format!("trying `{}`", subnets[1]))
        .says("hosts did not come online within 3 s")
        .says("AmazonSSMManagedInstanceCore")
        .says("`--host-timeout`");
    // The next run takes up the host that is there.
    shop.ship_again(world).ends_with(0);
    assert_eq!(shop.hosts(world).len(), 1);
    // Its project is what other trials need; where one was there already, this one is done with.
    let _ = world.small.set(shop);
}
