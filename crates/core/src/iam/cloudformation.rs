//! The same as a template of CloudFormation: roles, their policies, the hosts' instance profiles, the document.

use serde_json::{Map, Value, json};

use super::{AUDIENCE, ISSUER, Subject, document::kept_document, policy::Policy, roles};
use crate::desired::ownership;

/// The parameter and the condition for GitHub's identity provider, of which an account has one at most.
const PROVIDER: &str = "CreateProvider";
/// Those for the hosts' roles and instance profiles, which environments may share.
const HOSTS: &str = "CreateHostRoles";

/// The resource that is each region's own.
const DOCUMENT: &str = "ObserveDocument";
/// The condition for what all regions share, where there are several: each has the document, and the first one the roles.
const FIRST: &str = "IsFirstRegion";

/// The template, which CloudFormation takes as JSON.
pub fn cloudformation(subject: &Subject<'_>) -> Value {
    let scope = subject.scope;
    let mut resources = Map::new();
    let several = subject.is_in_several_regions();
    resources.insert(
        "Provider".to_owned(),
        json!({
            "Type": "AWS::IAM::OIDCProvider",
            "Condition": PROVIDER,
            "Properties": { "Url": format!("https://{ISSUER}"), "ClientIdList": [AUDIENCE] },
        }),
    );
    for (id, role) in [("PlanRole", roles::plan(subject)), ("DeployRole", roles::deploy(subject))] {
        resources.insert(
            id.to_owned(),
            json!({
                "Type": "AWS::IAM::Role",
                "DependsOn": "Provider",
                "Properties": {
                    "RoleName": role.name,
                    "AssumeRolePolicyDocument": role.trust.json(),
                    "Policies": inline(&role.policies),
                    "Tags": tags(subject),
                },
            }),
        );
    }
    for (number, role) in roles::hosts(subject).into_iter().enumerate() {
        let id = |what: &str| format!("Host{what}{}", number + 1);
        // The first comes with the role; each environment adds the others, whoever made the role.
        let (with_the_role, added) = role.policies.split_at(1);
        resources.insert(
            id("Role"),
            json!({
                "Type": "AWS::IAM::Role",
                "Condition": HOSTS,
                "Properties": {
                    "RoleName": role.name,
                    "AssumeRolePolicyDocument": role.trust.json(),
                    "Policies": inline(with_the_role),
                },
            }),
        );
        resources.insert(
            id("Profile"),
            json!({
                "Type": "AWS::IAM::InstanceProfile",
                "Condition": HOSTS,
                "DependsOn": id("Role"),
                "Properties": { "InstanceProfileName": role.name, "Roles": [role.name] },
            }),
        );
        for (name, policy) in added {
            resources.insert(
                id("Parameters"),
                json!({
                    "Type": "AWS::IAM::RolePolicy",
                    "DependsOn": id("Role"),
                    "Properties": { "RoleName": role.name, "PolicyName": name, "PolicyDocument": policy.json() },
                }),
            );
        }
    }
    resources.insert(
        DOCUMENT.to_owned(),
        json!({
            "Type": "AWS::SSM::Document",
            "Properties": {
                "Name": subject.document(),
                "DocumentType": "Command",
                "DocumentFormat": "JSON",
                "TargetType": "/AWS::EC2::Instance",
                // A document with a name cannot be replaced; a new version becomes the one that is used.
                "UpdateMethod": "NewVersion",
                "Content": kept_document(subject.observe),
                "Tags": tags(subject),
            },
        }),
    );
    if several {
        for (_, resource) in resources.iter_mut().filter(|(id, _)| *id != DOCUMENT) {
            if let Value::Object(resource) = resource {
                resource.entry("Condition").or_insert_with(|| json!(FIRST));
            }
        }
    }
    let choice =
        |what: &str| json!({ "Type": "String", "AllowedValues": ["yes", "no"], "Default": "yes", "Description": what });
    let chosen = |parameter: &str| {
        let chosen = json!({ "Fn::Equals": [{ "Ref": parameter }, "yes"] });
        if several { json!({ "Fn::And": [chosen, { "Condition": FIRST }] }) } else { chosen }
    };
    let mut conditions = Map::new();
    conditions.insert(PROVIDER.to_owned(), chosen(PROVIDER));
    conditions.insert(HOSTS.to_owned(), chosen(HOSTS));
    if let Some(first) = subject.config.regions.first().filter(|_| several) {
        conditions.insert(FIRST.to_owned(), json!({ "Fn::Equals": [{ "Ref": "AWS::Region" }, first] }));
    }
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": format!("What skipper needs to deploy `{}` to `{}`", scope.project, scope.environment),
        "Parameters": {
            PROVIDER: choice("no where the account has the identity provider token.actions.githubusercontent.com already"),
            HOSTS: choice("no where the hosts' roles and instance profiles exist already, as from another environment's stack"),
        },
        "Conditions": conditions,
        "Resources": resources,
        "Outputs": {
            "PlanRole": {
                "Description": "The input `aws-role` of jobs that plan",
                "Value": subject.iam(&format!("role/{}", subject.role("plan"))),
            },
            "DeployRole": {
                "Description": "The input `aws-role` of jobs that deploy",
                "Value": subject.iam(&format!("role/{}", subject.role("deploy"))),
            },
        },
    })
}

/// Policies within the role that they belong to.
fn inline(policies: &[(String, Policy)]) -> Vec<Value> {
    let one = |(name, policy): &(String, Policy)| json!({ "PolicyName": name, "PolicyDocument": policy.json() });
    policies.iter().map(one).collect()
}

fn tags(subject: &Subject<'_>) -> Vec<Value> {
    ownership(subject.scope).iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
}
