//! What roles may do, for people who would take them.

use serde_json::{Value, json};

use super::*;
use crate::{
    config,
    orchestrator::{Orchestrator as _, fleet::Fleet},
};

/// The whole of a `skipper.yml` that pins nothing.
const HELLO: &str = "name: hello\nregion: eu-west-1\nservices:\n  web: {repo: {name: a/web, tag: \"1\"}, ports: [\"80:5000\"]}\n\
                     groups:\n  web: {size: t3.small, scale: 2, services: [web]}\n";

/// What is printed for a file and an environment.
fn printed(file: &str, environment: &str, ids: Option<(u64, u64)>, print: impl Fn(&Subject<'_>) -> Value) -> Value {
    let config = config::load(file, "skipper.yml").unwrap();
    let scope = Scope { project: config.project.clone(), environment: environment.parse().unwrap() };
    let repository = Repository { name: "acme/shop".to_owned(), ids };
    let observe = Fleet.observe(&scope);
    let subject =
        Subject { config: &config, scope: &scope, account: "123456789012", repository: &repository, observe: &observe };
    print(&subject)
}

fn statements(role: &Value) -> Vec<&Value> {
    role["policies"].as_object().unwrap().values().flat_map(|policy| policy["Statement"].as_array().unwrap()).collect()
}

fn list(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(values) => values.iter().map(|value| value.as_str().unwrap()).collect(),
        one => vec![one.as_str().unwrap()],
    }
}

/// The statements that allow an action.
fn allowing<'a>(role: &'a Value, action: &str) -> Vec<&'a Value> {
    let allows = |statement: &&Value| statement["Effect"] == "Allow" && list(&statement["Action"]).contains(&action);
    statements(role).into_iter().filter(allows).collect()
}

#[test]
fn a_job_gets_the_role_to_deploy_by_its_environment_alone_in_both_spellings_of_a_repository() {
    let subjects = |role: &str, ids| {
        let printed = printed(HELLO, "production", ids, json);
        let trust = printed[role]["trust"]["Statement"][0].clone();
        assert_eq!(
            trust["Condition"]["StringEquals"],
            json!({"token.actions.githubusercontent.com:aud": "sts.amazonaws.com"})
        );
        let provider = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com";
        assert_eq!(trust["Principal"], json!({ "Federated": provider }));
        trust["Condition"]["StringLike"]["token.actions.githubusercontent.com:sub"].clone()
    };
    assert_eq!(
        subjects("deploy", None),
        json!(["repo:acme/shop:environment:production", "repo:acme@*/shop@*:environment:production"])
    );
    assert_eq!(
        subjects("deploy", Some((7, 99))),
        json!(["repo:acme/shop:environment:production", "repo:acme@7/shop@99:environment:production"])
    );
    assert_eq!(
        subjects("plan", Some((7, 99))),
        json!([
            "repo:acme/shop:pull_request",
            "repo:acme/shop:ref:refs/heads/*",
            "repo:acme@7/shop@99:pull_request",
            "repo:acme@7/shop@99:ref:refs/heads/*",
        ])
    );
}

#[test]
fn who_may_only_plan_has_hosts_observed_and_sends_decrypts_and_changes_nothing() {
    let printed = printed(HELLO, "production", None, json);
    let plan = &printed["plan"];
    let sending: Vec<&str> =
        allowing(plan, "ssm:SendCommand").iter().flat_map(|statement| list(&statement["Resource"])).collect();
    assert_eq!(
        sending,
        [
            "arn:aws:ssm:eu-west-1:123456789012:document/skipper-observe-hello-production",
            "arn:aws:ec2:eu-west-1:123456789012:instance/*",
        ]
    );
    let on_hosts = allowing(plan, "ssm:SendCommand")[1];
    let tags = json!({"ssm:resourceTag/skipper:project": "hello", "ssm:resourceTag/skipper:environment": "production"});
    assert_eq!(on_hosts["Condition"]["StringEquals"], tags);
    for statement in statements(plan) {
        let actions = list(&statement["Action"]);
        if statement["Effect"] == "Deny" {
            assert_eq!((actions, &statement["Resource"]), (vec!["kms:Decrypt"], &json!("*")));
            continue;
        }
        let reads = |action: &str| {
            ["Describe", "Get", "List"].iter().any(|verb| action.split(':').nth(1).unwrap().starts_with(verb))
        };
        assert!(actions.iter().all(|action| reads(action) || *action == "ssm:SendCommand"), "{actions:?}");
    }
    // Of secrets it learns the names and versions, since it decrypts nothing.
    let records = list(&allowing(plan, "ssm:GetParametersByPath")[0]["Resource"]);
    assert!(
        records
            .iter()
            .all(|path| ["/launches", "/lease", "/releases", "/secrets"].iter().any(|folder| path.contains(folder)))
    );
}

#[test]
fn who_deploys_reaches_only_what_carries_the_environment_s_tags() {
    let printed = printed(HELLO, "production", None, json);
    let deploy = &printed["deploy"];
    let of = |key: &str| json!({format!("{key}/skipper:project"): "hello", format!("{key}/skipper:environment"): "production"});
    assert_eq!(allowing(deploy, "ec2:TerminateInstances")[0]["Condition"]["StringEquals"], of("aws:ResourceTag"));
    assert_eq!(
        allowing(deploy, "ec2:RevokeSecurityGroupIngress")[0]["Condition"]["StringEquals"],
        of("aws:ResourceTag")
    );
    let pass = allowing(deploy, "iam:PassRole");
    assert_eq!(pass[0]["Resource"], "arn:aws:iam::123456789012:role/skipper-host");
    assert_eq!(pass[0]["Condition"], json!({"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}));
    let records = "arn:aws:ssm:eu-west-1:123456789012:parameter/skipper/hello/production";
    assert_eq!(allowing(deploy, "ssm:PutParameter")[0]["Resource"], json!([records, format!("{records}/*")]));
    let scripts = allowing(deploy, "ssm:SendCommand");
    assert!(
        scripts.iter().any(|statement| statement["Resource"] == "arn:aws:ssm:eu-west-1::document/AWS-RunShellScript")
    );
    // Nothing is allowed on everything but what reads, and what breaks off a command, which has nothing narrower.
    for statement in statements(deploy).iter().filter(|statement| statement["Resource"] == "*") {
        assert_eq!(statement["Condition"], json!({"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}));
    }
}

#[test]
fn addresses_are_allocated_where_the_file_asks_for_them_and_given_and_released_by_their_tags() {
    let tags = |key: &str| json!({format!("{key}/skipper:project"): "hello", format!("{key}/skipper:environment"): "production"});
    let without = printed(HELLO, "production", None, json);
    let of = |role: &Value, action: &str| {
        let allowed = allowing(role, action);
        allowed.first().map(|statement| statement["Condition"]["StringEquals"].clone())
    };
    for action in ["ec2:AllocateAddress", "ec2:AssociateAddress"] {
        assert_eq!(of(&without["deploy"], action), None);
    }
    // One may still be there to go with its host.
    assert_eq!(of(&without["deploy"], "ec2:ReleaseAddress"), Some(tags("aws:ResourceTag")));
    let file = HELLO.replace("scale: 2", "scale: 2, address: elastic");
    let with = printed(&file, "production", None, json);
    assert_eq!(of(&with["deploy"], "ec2:AllocateAddress"), Some(tags("aws:RequestTag")));
    assert_eq!(of(&with["deploy"], "ec2:AssociateAddress"), Some(tags("aws:ResourceTag")));
    assert_eq!(of(&with["plan"], "ec2:AllocateAddress"), None);
}

#[test]
fn who_deploys_previews_reaches_those_of_every_pull_request_and_nothing_else() {
    let printed = printed(HELLO, "preview", None, json);
    let deploy = &printed["deploy"];
    let subject = &statements(deploy);
    assert!(!subject.iter().any(|statement| statement.to_string().contains("production")));
    let environments = json!({"aws:ResourceTag/skipper:environment": ["pr-*", "preview"]});
    let ends = &allowing(deploy, "ec2:TerminateInstances")[0]["Condition"];
    assert_eq!(ends["StringLike"], environments);
    assert_eq!(ends["StringEquals"], json!({"aws:ResourceTag/skipper:project": "hello"}));
    let deletes = &allowing(deploy, "ec2:DeleteSecurityGroup")[0]["Condition"];
    assert_eq!(deletes["StringLike"], environments);
    let root = "arn:aws:ssm:eu-west-1:123456789012:parameter/skipper/hello";
    assert_eq!(
        allowing(deploy, "ssm:PutParameter")[0]["Resource"],
        json!([
            format!("{root}/pr-*"),
            format!("{root}/pr-*/*"),
            format!("{root}/preview"),
            format!("{root}/preview/*"),
            root
        ])
    );
}

#[test]
fn the_file_s_images_subnets_and_profiles_are_the_only_ones() {
    let pinned = HELLO.replace(
        "services: [web]",
        "services: [web], ami: ami-0123456789abcdef0, subnets: [subnet-0123456789abcdef0], instance_profile: mine",
    );
    let printed = printed(&pinned, "production", None, json);
    let resources: Vec<&str> = allowing(&printed["deploy"], "ec2:RunInstances")
        .iter()
        .flat_map(|statement| list(&statement["Resource"]))
        .collect();
    assert!(resources.contains(&"arn:aws:ec2:eu-west-1::image/ami-0123456789abcdef0"), "{resources:?}");
    assert!(resources.contains(&"arn:aws:ec2:eu-west-1:123456789012:subnet/subnet-0123456789abcdef0"), "{resources:?}");
    assert!(!resources.iter().any(|resource| resource.ends_with("image/*") || resource.ends_with("subnet/*")));
    assert_eq!(printed["hosts"][0]["name"], "mine");
}

#[test]
fn images_on_ecr_are_pushed_by_who_deploys_and_pulled_by_hosts_themselves() {
    let file = HELLO.replace(
        "{name: a/web, tag: \"1\"}",
        "{name: a/web, registry: 210987654321.dkr.ecr.us-east-2.amazonaws.com, tag: \"1\"}",
    );
    let printed = printed(&file, "production", None, json);
    let images = "arn:aws:ecr:us-east-2:210987654321:repository/a/web";
    assert_eq!(allowing(&printed["deploy"], "ecr:PutImage")[0]["Resource"], images);
    assert_eq!(allowing(&printed["plan"], "ecr:BatchGetImage")[0]["Resource"], images);
    assert!(allowing(&printed["plan"], "ecr:PutImage").is_empty());
    assert_eq!(allowing(&printed["plan"], "ecr:GetAuthorizationToken")[0]["Resource"], "*");
    let host = &printed["hosts"][0];
    for action in ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"] {
        assert_eq!(allowing(host, action)[0]["Resource"], images);
    }
    assert_eq!(allowing(host, "ecr:GetAuthorizationToken")[0]["Resource"], "*");
    assert!(allowing(host, "ecr:PutImage").is_empty());
    let elsewhere = self::printed(HELLO, "production", None, json);
    assert!(!elsewhere.to_string().contains("ecr:"), "a file without images there asks for nothing of it");
}

#[test]
fn a_host_reads_its_environment_s_secrets_and_nothing_else_of_it() {
    let printed = printed(HELLO, "production", None, json);
    let read = allowing(&printed["hosts"][0], "ssm:GetParameters");
    let records = "arn:aws:ssm:eu-west-1:123456789012:parameter/skipper/hello/production";
    assert_eq!(read.len(), 1);
    assert_eq!(
        read[0]["Resource"],
        json!(["/secrets", "/secrets/*", "/logins", "/logins/*"].map(|below| format!("{records}{below}")))
    );
}

#[test]
fn everything_fits_into_what_aws_takes_even_under_the_longest_names() {
    let long = HELLO.replace("name: hello", &format!("name: {}", "p".repeat(32)));
    let long = long.replace("scale: 2", "scale: 2, address: elastic");
    let long = long.replace("{name: a/web,", "{name: a/web, registry: 210987654321.dkr.ecr.us-east-2.amazonaws.com,");
    for (file, environment) in [(HELLO, "production"), (long.as_str(), &*"e".repeat(32))] {
        let roles = printed(file, environment, Some((u64::MAX, u64::MAX)), json);
        let template = printed(file, environment, Some((u64::MAX, u64::MAX)), cloudformation);
        for role in [&roles["plan"], &roles["deploy"], &roles["hosts"][0]] {
            assert!(role["name"].as_str().unwrap().len() <= 64);
            // IAM counts no white space: "IAM and AWS STS quotas".
            assert!(role["trust"].to_string().len() <= 2_048, "{}", role["trust"].to_string().len());
            let inline: usize =
                role["policies"].as_object().unwrap().values().map(|policy| policy.to_string().len()).sum();
            assert!(inline <= 10_240, "{inline}");
        }
        let document = &roles["document"];
        assert!(document["name"].as_str().unwrap().len() <= 128 && document["content"].to_string().len() <= 64 * 1024);
        // What is given in a request and not from S3: "Understand CloudFormation quotas".
        let text = serde_json::to_string_pretty(&template).unwrap();
        assert!(text.len() <= 51_200, "{}", text.len());
    }
}

#[test]
fn the_document_holds_the_script_as_a_run_sends_it_and_no_parameter_of_its_own() {
    let printed = printed(HELLO, "production", None, json);
    let content = &printed["document"]["content"];
    let lines = list(&content["mainSteps"][0]["inputs"]["runCommand"]);
    let scope = Scope { project: "hello".parse().unwrap(), environment: "production".parse().unwrap() };
    assert_eq!(lines.join("\n") + "\n", Fleet.observe(&scope).text());
    assert!(!content.to_string().contains("{{"), "Systems Manager would take it for a parameter");
    assert_eq!(content["parameters"], Value::Null);
}

#[test]
fn a_template_s_resources_wait_only_for_what_it_has() {
    let template = printed(HELLO, "production", None, cloudformation);
    let resources = template["Resources"].as_object().unwrap();
    for (name, resource) in resources {
        if let Some(other) = resource["DependsOn"].as_str() {
            assert!(resources.contains_key(other), "{name} waits for {other}");
        }
        if let Some(condition) = resource["Condition"].as_str() {
            assert!(template["Conditions"].get(condition).is_some() && template["Parameters"].get(condition).is_some());
        }
    }
    assert_eq!(
        template["Outputs"]["DeployRole"]["Value"],
        "arn:aws:iam::123456789012:role/skipper-hello-production-deploy"
    );
}

/// The same project in two regions.
fn in_two_regions() -> String {
    HELLO.replace("region: eu-west-1", "regions: [eu-west-1, us-east-1]")
}

#[test]
fn roles_of_several_regions_reach_those_and_no_others() {
    let printed = printed(&in_two_regions(), "production", None, json);
    let both = json!(["eu-west-1", "us-east-1"]);
    for role in [&printed["plan"], &printed["deploy"]] {
        let elsewhere = statements(role).into_iter().find(|statement| statement["Sid"] == "NowhereElse").unwrap();
        assert_eq!((&elsewhere["Effect"], &elsewhere["Action"]), (&json!("Deny"), &json!(["ec2:*", "ssm:*"])));
        assert_eq!(elsewhere["Condition"], json!({"StringNotEquals": {"aws:RequestedRegion": both}}));
    }
    // The role of hosts may be that of other projects, too, wherever theirs are.
    let hosts = &printed["hosts"][0];
    assert!(statements(hosts).iter().all(|statement| statement["Effect"] == "Allow"), "{hosts:#}");
    let secrets = allowing(hosts, "ssm:GetParameters")[0];
    assert_eq!(secrets["Condition"]["StringEquals"]["aws:RequestedRegion"], both);
    let look = allowing(&printed["plan"], "ec2:DescribeInstances")[0];
    assert_eq!(look["Condition"]["StringEquals"]["aws:RequestedRegion"], both);
    assert_eq!(
        allowing(&printed["deploy"], "ssm:PutParameter")[0]["Resource"][0],
        "arn:aws:ssm:*:123456789012:parameter/skipper/hello/production"
    );
}

#[test]
fn a_stack_in_each_of_several_regions_makes_the_roles_in_the_first_alone() {
    let template = printed(&in_two_regions(), "production", None, cloudformation);
    let first = json!({"Fn::Equals": [{"Ref": "AWS::Region"}, "eu-west-1"]});
    assert_eq!(template["Conditions"]["IsFirstRegion"], first);
    for (id, resource) in template["Resources"].as_object().unwrap() {
        let condition = resource.get("Condition").and_then(Value::as_str);
        match condition {
            None => assert_eq!(id, "ObserveDocument"),
            Some("IsFirstRegion") => {}
            Some(other) => {
                assert_eq!(template["Conditions"][other]["Fn::And"][1], json!({"Condition": "IsFirstRegion"}))
            }
        }
    }
    assert!(printed(HELLO, "production", None, cloudformation)["Conditions"].get("IsFirstRegion").is_none());
}
