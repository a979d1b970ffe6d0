//! What skipper has to be allowed in AWS for one `skipper.yml` and one environment, and nothing more.
//!
//! Three kinds of role. `plan` is what any pull request of the repository may have: it looks, has hosts observed by a kept
//! document, decrypts nothing and changes nothing. `deploy` belongs to jobs of the environment alone. The hosts' own role lets
//! Systems Manager reach them. Which call needs which permission, and what it can be limited by:
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html>.

mod cloudformation;
mod document;
mod ecr;
mod policy;
mod roles;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests;

use std::collections::BTreeSet;

pub use cloudformation::cloudformation;
pub use document::kept_document;
pub use ecr::EcrRegistry;
use serde_json::{Map, Value, json};

use crate::{
    config::Config,
    desired::{Scope, TAG_ENVIRONMENT, TAG_PROJECT},
    image::hex_digest,
    preview::PREVIEW,
    script::Script,
};

/// What the names of all previews have in common.
const EVERY_PREVIEW: &str = "pr-*";

/// Characters that the name of a role may have (IAM's quotas).
const ROLE_NAME: usize = 64;

/// The account that publishes Flatcar's images (the project's own statement in flatcar/Flatcar#887).
pub const FLATCAR_OWNER: &str = "075585003325";

/// Who issues the tokens of workflows' jobs, without its scheme.
const ISSUER: &str = "token.actions.githubusercontent.com";
/// Whom those tokens are for.
const AUDIENCE: &str = "sts.amazonaws.com";

/// A repository on GitHub, with its ids where they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// As `owner/name`.
    pub name: String,
    /// The ids of its owner and of itself, which outlive their names.
    pub ids: Option<(u64, u64)>,
}

impl Repository {
    /// The beginnings that the subject of a token of this repository may have: by names, and by names with their ids, which
    /// repositories have that are younger than 15 July 2026 (<https://docs.github.com/en/actions/reference/security/oidc>).
    fn subjects(&self) -> [String; 2] {
        let (owner, name) = self.name.split_once('/').unwrap_or((&self.name, ""));
        let immutable = match self.ids {
            Some((of_owner, of_repository)) => format!("repo:{owner}@{of_owner}/{name}@{of_repository}"),
            None => format!("repo:{owner}@*/{name}@*"),
        };
        [format!("repo:{}", self.name), immutable]
    }
}

/// What roles and policies are made for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What `skipper.yml` says.
    pub config: &'a Config,
    /// Whose things they are about.
    pub scope: &'a Scope,
    /// The account's number.
    pub account: &'a str,
    /// The repository whose workflows take the roles.
    pub repository: &'a Repository,
    /// The script by which hosts are observed.
    pub observe: &'a Script,
}

impl Subject<'_> {
    /// The name of a role of the runner's: `plan` or `deploy`.
    fn role(&self, part: &str) -> String {
        let stem = format!("skipper-{}", self.scope.stem());
        if stem.len() + 1 + part.len() <= ROLE_NAME {
            return format!("{stem}-{part}");
        }
        // Cut, and told apart from others that are cut at the same place.
        let hash = &hex_digest(stem.as_bytes())[..8];
        let kept = ROLE_NAME - part.len() - hash.len() - 2;
        format!("{}-{hash}-{part}", &stem[..stem.floor_char_boundary(kept)])
    }

    /// Whether they are made for the previews of all pull requests, each of which is an environment of its own.
    fn is_for_previews(&self) -> bool {
        self.scope.environment.as_ref() == PREVIEW
    }

    /// The environment's name as it stands in paths and tags; of previews what all of their names have in common, and that of
    /// the hosts that they share, or have shared when the file said so.
    fn environments(&self) -> Vec<String> {
        let every_preview = self.is_for_previews().then(|| EVERY_PREVIEW.to_owned());
        every_preview.into_iter().chain([self.scope.environment.to_string()]).collect()
    }

    /// The tags of everything that is handled, each with the values that it may have.
    fn owned(&self) -> [(&'static str, Vec<String>); 2] {
        [(TAG_PROJECT, vec![self.scope.project.to_string()]), (TAG_ENVIRONMENT, self.environments())]
    }

    /// The name under which the observing script is kept.
    fn document(&self) -> String {
        self.observe.kept_as.clone().unwrap_or_else(|| format!("skipper-observe-{}", self.scope.stem()))
    }

    /// `aws`, or that of the regions that are a world of their own.
    fn partition(&self) -> &'static str {
        match self.config.region.as_str() {
            region if region.starts_with("cn-") => "aws-cn",
            region if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        }
    }

    /// EC2, as roles are passed to it and taken by it.
    fn ec2(&self) -> &'static str {
        if self.partition() == "aws-cn" { "ec2.amazonaws.com.cn" } else { "ec2.amazonaws.com" }
    }

    /// The region as it stands in ARNs. Of several it is any: they would be more than a role's policies may hold, so each role
    /// has a statement of its own that keeps it from all others.
    fn region(&self) -> &str {
        if self.is_in_several_regions() { "*" } else { &self.config.region }
    }

    fn is_in_several_regions(&self) -> bool {
        self.config.regions.len() > 1
    }

    /// The ARN of something of the account's in the region.
    fn regional(&self, service: &str, what: &str) -> String {
        format!("arn:{}:{service}:{}:{}:{what}", self.partition(), self.region(), self.account)
    }

    /// The ARN of something of AWS's own in the region.
    fn public(&self, service: &str, what: &str) -> String {
        format!("arn:{}:{service}:{}::{what}", self.partition(), self.region())
    }

    /// The ARN of something of IAM's.
    fn iam(&self, what: &str) -> String {
        format!("arn:{}:iam::{}:{what}", self.partition(), self.account)
    }

    /// The instance profiles of the hosts; each has one role of the same name.
    fn profiles(&self) -> BTreeSet<&str> {
        self.config.groups.values().map(|group| group.instance_profile.as_str()).collect()
    }
}

/// Everything as one JSON document: the roles with their trust and their policies, and the document that hosts are observed by.
pub fn json(subject: &Subject<'_>) -> Value {
    let role = |role: roles::Role| {
        let mut described = Map::new();
        described.insert("name".to_owned(), json!(role.name));
        described.insert("trust".to_owned(), role.trust.json());
        let policies = role.policies.iter().map(|(name, policy)| (name.clone(), policy.json()));
        described.insert("policies".to_owned(), Value::Object(policies.collect()));
        Value::Object(described)
    };
    let hosts: Vec<Value> = roles::hosts(subject).into_iter().map(role).collect();
    json!({
        "provider": { "url": format!("https://{ISSUER}"), "audience": AUDIENCE },
        "plan": role(roles::plan(subject)),
        "deploy": role(roles::deploy(subject)),
        "hosts": hosts,
        "document": { "name": subject.document(), "type": "Command", "content": kept_document(subject.observe) },
    })
}
