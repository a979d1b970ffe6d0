//! The three kinds of role: who may take each, and what it may do.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::desired::{LOGINS, SECRETS};

use super::{
    AUDIENCE, EcrRegistry, FLATCAR_OWNER, ISSUER, Subject,
    policy::{Policy, Statement},
};

/// The condition key that holds a call to the project's region.
const REGION: &str = "aws:RequestedRegion";
/// The document that runs any text.
const ANY_SCRIPT: &str = "document/AWS-RunShellScript";

/// A role.
pub(super) struct Role {
    pub(super) name: String,
    pub(super) trust: Policy,
    /// Its policies, by name.
    pub(super) policies: Vec<(String, Policy)>,
}

/// What jobs of pull requests and branches may take.
pub(super) fn plan(subject: &Subject<'_>) -> Role {
    let look = [
        looking(subject),
        reading(subject, &["ssm:GetParametersByPath"], &["launches", "lease", "releases", SECRETS]),
        observing(subject),
        instances_observed(subject),
        // The key of AWS's own that parameters are encrypted with lets everybody decrypt who may read them.
        Statement::deny("DecryptNothing", &["kms:Decrypt"]),
    ];
    Role {
        name: subject.role("plan"),
        trust: trusting(subject, &["pull_request", "ref:refs/heads/*"]),
        policies: vec![(
            "skipper".to_owned(),
            Policy([look.to_vec(), profiles(subject), images(subject, PULLING), elsewhere(subject)].concat()),
        )],
    }
}

/// What jobs of the environment may take, and no others.
pub(super) fn deploy(subject: &Subject<'_>) -> Role {
    let environment = format!("environment:{}", subject.scope.environment);
    let mut statements = vec![
        looking(subject),
        reading(subject, &["ssm:GetParametersByPath", "ssm:PutParameter", "ssm:DeleteParameters"], &[]),
        observing(subject),
        Statement::allow("RunScripts", &["ssm:SendCommand"]).on([subject.public("ssm", ANY_SCRIPT)]),
        instances_observed(subject),
        Statement::allow("BreakOff", &["ssm:CancelCommand"]).when("StringEquals", REGION, regions(subject)),
    ];
    statements.extend(profiles(subject));
    statements.extend(images(subject, &[PULLING, PUSHING].concat()));
    statements.extend(launching(subject));
    statements.extend(opening(subject));
    statements.extend(elsewhere(subject));
    Role {
        name: subject.role("deploy"),
        trust: trusting(subject, &[&environment]),
        policies: vec![("skipper".to_owned(), Policy(statements))],
    }
}

/// What hosts have: one role for each instance profile, of the same name. First what the agent needs, which is the same for
/// every project, then what is this environment's own.
pub(super) fn hosts(subject: &Subject<'_>) -> Vec<Role> {
    // Other projects and environments may have hosts of the same role, wherever they are: nothing is denied to it.
    let mut reading = reading(subject, &["ssm:GetParameters"], &[SECRETS, LOGINS]);
    if subject.is_in_several_regions() {
        reading = reading.when("StringEquals", REGION, regions(subject));
    }
    let role = |profile: &str| Role {
        name: profile.to_owned(),
        trust: Policy(vec![Statement::trust("Instances", "sts:AssumeRole", json!({ "Service": subject.ec2() }))]),
        policies: vec![
            ("skipper-agent".to_owned(), agent()),
            (
                format!("skipper-{}", subject.scope.stem()),
                Policy([vec![reading.clone()], images(subject, FETCHING)].concat()),
            ),
        ],
    };
    subject.profiles().into_iter().map(role).collect()
}

/// Jobs of the repository whose token's subject ends in one of these.
fn trusting(subject: &Subject<'_>, contexts: &[&str]) -> Policy {
    let beginnings = subject.repository.subjects();
    let subjects: Vec<String> = beginnings
        .iter()
        .flat_map(|beginning| contexts.iter().map(move |context| format!("{beginning}:{context}")))
        .collect();
    let provider = json!({ "Federated": subject.iam(&format!("oidc-provider/{ISSUER}")) });
    Policy(vec![
        Statement::trust("Jobs", "sts:AssumeRoleWithWebIdentity", provider)
            .when("StringEquals", format!("{ISSUER}:aud"), AUDIENCE)
            .when("StringLike", format!("{ISSUER}:sub"), subjects),
    ])
}

/// Calls that read and cannot be limited to the project's own things.
fn looking(subject: &Subject<'_>) -> Statement {
    let mut actions = vec![
        "ec2:DescribeAddresses",
        "ec2:DescribeImages",
        "ec2:DescribeInstances",
        "ec2:DescribeInstanceTypes",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
    ];
    actions.extend(["ssm:DescribeInstanceInformation", "ssm:GetCommandInvocation", "ssm:ListCommandInvocations"]);
    Statement::allow("Look", &actions).when("StringEquals", REGION, regions(subject))
}

/// The regions of the file, as a condition has them.
fn regions(subject: &Subject<'_>) -> Value {
    match subject.config.regions.as_slice() {
        [_, _, ..] => json!(subject.config.regions),
        _ => json!(subject.config.region),
    }
}

/// Where the file has several regions, what is allowed is allowed in those alone.
fn elsewhere(subject: &Subject<'_>) -> Vec<Statement> {
    let nowhere_else = || Statement::deny("NowhereElse", &["ec2:*", "ssm:*"]);
    let is_needed = subject.is_in_several_regions();
    is_needed.then(|| nowhere_else().when("StringNotEquals", REGION, regions(subject))).into_iter().collect()
}

/// Parameters of the environment; those below these folders where there are any.
fn reading(subject: &Subject<'_>, actions: &[&'static str], folders: &[&str]) -> Statement {
    let root = |environment| format!("parameter/skipper/{}/{environment}", subject.scope.project);
    let below = |root: String| match folders {
        [] => vec![root],
        folders => folders.iter().map(|folder| format!("{root}/{folder}")).collect(),
    };
    let paths: Vec<String> = subject.environments().into_iter().map(root).flat_map(below).collect();
    // Who looks for the previews there are lists what the project has.
    let listed = subject.is_for_previews().then(|| format!("parameter/skipper/{}", subject.scope.project));
    let with_what_is_below = paths.iter().flat_map(|path| [path.clone(), format!("{path}/*")]).chain(listed);
    Statement::allow("Records", actions)
        .on(with_what_is_below.map(|path| subject.regional("ssm", &path)).collect::<Vec<_>>())
}

/// Having the kept script carried out, and looking whether it is the one of this version of skipper.
fn observing(subject: &Subject<'_>) -> Statement {
    let document = subject.regional("ssm", &format!("document/{}", subject.document()));
    Statement::allow("ObserveHosts", &["ssm:GetDocument", "ssm:SendCommand"]).on([document])
}

/// The hosts that any script goes to: Systems Manager asks for the document and for each instance.
fn instances_observed(subject: &Subject<'_>) -> Statement {
    Statement::allow("OnItsHosts", &["ssm:SendCommand"])
        .on([subject.regional("ec2", "instance/*")])
        .tagged("ssm:resourceTag", &subject.owned())
}

/// What a registry of ECR asks an engine for that pulls an image.
const FETCHING: &[&str] = &["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
/// And a run that looks it up, too.
const PULLING: &[&str] = &["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
/// And to take one in.
const PUSHING: &[&str] = &["ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"];

/// The file's repositories on ECR, where it has any.
fn images(subject: &Subject<'_>, actions: &[&'static str]) -> Vec<Statement> {
    let repositories = subject.config.services.values().map(|service| &service.repository);
    let arns: BTreeSet<String> = repositories
        .filter_map(|repository| {
            let EcrRegistry { account, region } = EcrRegistry::of(repository.registry())?;
            Some(format!("arn:{}:ecr:{region}:{account}:repository/{}", subject.partition(), repository.path()))
        })
        .collect();
    if arns.is_empty() {
        return Vec::new();
    }
    vec![
        Statement::allow("LogInToRegistry", &["ecr:GetAuthorizationToken"]),
        Statement::allow("Images", actions).on(arns),
    ]
}

fn profiles(subject: &Subject<'_>) -> Vec<Statement> {
    let profiles: Vec<String> =
        subject.profiles().iter().map(|profile| subject.iam(&format!("instance-profile/{profile}"))).collect();
    if profiles.is_empty() {
        return Vec::new();
    }
    vec![Statement::allow("InstanceProfiles", &["iam:GetInstanceProfile"]).on(profiles)]
}

/// Launching and terminating the project's instances, and nothing that is not tagged as its own.
fn launching(subject: &Subject<'_>) -> Vec<Statement> {
    let own = subject.owned();
    let groups: Vec<_> = subject.config.groups.values().collect();
    if groups.is_empty() {
        return Vec::new();
    }
    let ec2 = |what: &str| subject.regional("ec2", what);
    let profiles: Vec<String> =
        subject.profiles().iter().map(|profile| subject.iam(&format!("instance-profile/{profile}"))).collect();
    let roles: Vec<String> = subject.profiles().iter().map(|profile| subject.iam(&format!("role/{profile}"))).collect();
    let mut subnets: Vec<String> =
        groups.iter().flat_map(|group| &group.subnets).map(|subnet| ec2(&format!("subnet/{subnet}"))).collect();
    if groups.iter().any(|group| group.subnets.is_empty()) {
        subnets = vec![ec2("subnet/*")];
    }
    let pinned: Vec<String> = groups
        .iter()
        .filter_map(|group| group.ami.as_ref())
        .map(|ami| subject.public("ec2", &format!("image/{ami}")))
        .collect();
    let run = |sid| Statement::allow(sid, &["ec2:RunInstances"]);
    let mut statements = vec![
        run("LaunchHosts")
            .on([ec2("instance/*")])
            .tagged("aws:RequestTag", &own)
            .when("StringEquals", "ec2:MetadataHttpTokens", "required")
            .when("ArnEquals", "ec2:InstanceProfile", profiles),
        run("LaunchWithDisksAndInterfaces")
            .on([ec2("volume/*"), ec2("network-interface/*")])
            .tagged("aws:RequestTag", &own),
        run("LaunchInSubnets").on(subnets),
        run("LaunchBehindGroups").on([ec2("security-group/*")]).tagged("aws:ResourceTag", &own),
        Statement::allow("TagLaunched", &["ec2:CreateTags"])
            .on([ec2("instance/*"), ec2("volume/*"), ec2("network-interface/*")])
            .tagged("aws:RequestTag", &own)
            .when("StringEquals", "ec2:CreateAction", "RunInstances"),
        Statement::allow("GiveHostsTheirRole", &["iam:PassRole"]).on(roles).when(
            "StringEquals",
            "iam:PassedToService",
            subject.ec2(),
        ),
        Statement::allow(
            "EndHosts",
            &["ec2:RebootInstances", "ec2:StartInstances", "ec2:StopInstances", "ec2:TerminateInstances"],
        )
        .on([ec2("instance/*")])
        .tagged("aws:ResourceTag", &own),
        // Of an instance's attributes its size alone: others are its user-data and who may reach it.
        Statement::allow("ResizeHosts", &["ec2:ModifyInstanceAttribute"])
            .on([ec2("instance/*")])
            .tagged("aws:ResourceTag", &own)
            .when("StringEquals", "ec2:Attribute", "InstanceType"),
    ];
    let addresses = || [ec2("elastic-ip/*")];
    // Where the file asks for none any more, one may still be there to go with its host.
    statements.push(
        Statement::allow("ReleaseAddresses", &["ec2:ReleaseAddress"]).on(addresses()).tagged("aws:ResourceTag", &own),
    );
    if groups.iter().any(|group| group.elastic) {
        statements.push(
            Statement::allow("AllocateAddresses", &["ec2:AllocateAddress"])
                .on(addresses())
                .tagged("aws:RequestTag", &own),
        );
        statements.push(
            Statement::allow("TagAddresses", &["ec2:CreateTags"]).on(addresses()).tagged("aws:RequestTag", &own).when(
                "StringEquals",
                "ec2:CreateAction",
                "AllocateAddress",
            ),
        );
        statements.push(
            Statement::allow("GiveAddresses", &["ec2:AssociateAddress"])
                .on([ec2("elastic-ip/*"), ec2("instance/*"), ec2("network-interface/*")])
                .tagged("aws:ResourceTag", &own),
        );
    }
    if groups.iter().any(|group| group.ami.is_none()) {
        let any = subject.public("ec2", "image/*");
        statements.push(run("LaunchFlatcar").on([any]).when("StringEquals", "ec2:Owner", FLATCAR_OWNER));
    }
    if !pinned.is_empty() {
        statements.push(run("LaunchPinnedImages").on(pinned));
    }
    statements
}

/// Security groups of the project, and their rules.
fn opening(subject: &Subject<'_>) -> Vec<Statement> {
    let own = subject.owned();
    let group = subject.regional("ec2", "security-group/*");
    // Only previews end as a whole.
    let ending = subject.is_for_previews().then(|| {
        Statement::allow("EndGroups", &["ec2:DeleteSecurityGroup"]).on([group.clone()]).tagged("aws:ResourceTag", &own)
    });
    let making = vec![
        Statement::allow("MakeGroups", &["ec2:CreateSecurityGroup"]).on([group.clone()]).tagged("aws:RequestTag", &own),
        Statement::allow("MakeGroupsInNetworks", &["ec2:CreateSecurityGroup"]).on([subject.regional("ec2", "vpc/*")]),
        Statement::allow("TagGroups", &["ec2:CreateTags"]).on([group.clone()]).tagged("aws:RequestTag", &own).when(
            "StringEquals",
            "ec2:CreateAction",
            "CreateSecurityGroup",
        ),
        Statement::allow("OpenAndClose", &["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"])
            .on([group])
            .tagged("aws:ResourceTag", &own),
    ];
    making.into_iter().chain(ending).collect()
}

/// What the agent of Systems Manager does: the managed policy `AmazonSSMManagedInstanceCore` (version 2) without its reading of
/// every parameter of the account.
fn agent() -> Policy {
    let instance = [
        "ssm:DescribeAssociation",
        "ssm:DescribeDocument",
        "ssm:GetDeployablePatchSnapshotForInstance",
        "ssm:GetDocument",
        "ssm:GetManifest",
        "ssm:ListAssociations",
        "ssm:ListInstanceAssociations",
        "ssm:PutComplianceItems",
        "ssm:PutConfigurePackageResult",
        "ssm:PutInventory",
        "ssm:UpdateAssociationStatus",
        "ssm:UpdateInstanceAssociationStatus",
        "ssm:UpdateInstanceInformation",
    ];
    let channels = [
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
    ];
    let messages = [
        "ec2messages:AcknowledgeMessage",
        "ec2messages:DeleteMessage",
        "ec2messages:FailMessage",
        "ec2messages:GetEndpoint",
        "ec2messages:GetMessages",
        "ec2messages:SendReply",
    ];
    Policy(vec![
        Statement::allow("Agent", &instance),
        Statement::allow("Channels", &channels),
        Statement::allow("Messages", &messages),
    ])
}
