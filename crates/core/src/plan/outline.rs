//! What a plan comes to, without what a merge changes: by it a plan that stands on a pull request is compared with the one made
//! after the merge.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::{Action, Plan, Removal, Step};
use crate::{
    image::{hex_digest, is_lower_hex},
    name::{HostName, NameError},
};

/// Hexadecimal digits of a plan's hash.
const DIGITS: usize = 16;

/// The changes of a plan, one line each, in the plan's order. No commit, digest, address, port that skipper chose, machine image
/// or price is in it: those differ before and after a merge although nothing else has moved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outline(pub Vec<String>);

impl Outline {
    /// The outline of a plan.
    pub fn of(plan: &Plan) -> Self {
        Self(plan.steps.iter().flat_map(changes).collect())
    }

    /// The hash by which two plans are told apart.
    pub fn hash(&self) -> PlanHash {
        PlanHash(hex_digest(self.0.join("\n").as_bytes()).chars().take(DIGITS).collect())
    }

    /// The changes of this plan that `shown` does not have. A plan that does less is one of which a part has been carried out.
    pub fn beyond(&self, shown: &Self) -> Vec<&str> {
        self.without(shown)
    }

    /// The changes of `shown` that this plan does not have any more.
    pub fn gone_since<'a>(&self, shown: &'a Self) -> Vec<&'a str> {
        shown.without(self)
    }

    /// The lines without those of `other`, each of which takes away one.
    fn without(&self, other: &Self) -> Vec<&str> {
        let mut left: BTreeMap<&str, usize> = BTreeMap::new();
        for line in &other.0 {
            *left.entry(line).or_default() += 1;
        }
        let lines = self.0.iter().map(String::as_str);
        lines
            .filter(|line| match left.get_mut(line) {
                Some(_) if is_on_the_way(line) => false,
                Some(count) if *count > 0 => {
                    *count -= 1;
                    false
                }
                _ => true,
            })
            .collect()
    }
}

/// The hash of a plan's outline: 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanHash(String);

impl fmt::Display for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PlanHash {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_lower_hex(text, DIGITS) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError(format!("a plan's hash has {DIGITS} lowercase hexadecimal digits")))
        }
    }
}

/// Whether it is done as often as it takes: a run that goes on where another was cut off may move a member of etcd, or tell a host
/// something, once more.
fn is_on_the_way(line: &str) -> bool {
    ["configure host `", "tell host `", "take the member of etcd from host `"].iter().any(|verb| line.starts_with(verb))
        || line.ends_with("` a member of etcd")
}

/// What a step changes for good. Waiting for hosts and fetching images follow from the rest.
fn changes(step: &Step) -> Vec<String> {
    match &step.action {
        Action::CreateSecurityGroup { security_group } => {
            vec![format!("create the security group of {security_group}")]
        }
        Action::AuthorizeIngress { security_group, rules } => {
            rules.iter().map(|rule| format!("open {rule} into {security_group}")).collect()
        }
        Action::RevokeIngress { security_group, rules } => {
            rules.iter().map(|rule| format!("close {rule} into {security_group}")).collect()
        }
        Action::LaunchHost { host, spec } => {
            let disk = spec.disk.map(|disk| format!(", {disk} GiB")).unwrap_or_default();
            let subnets: BTreeSet<&str> = spec.subnets.iter().map(String::as_str).collect();
            let subnets: String = subnets.into_iter().map(|subnet| format!(", {subnet}")).collect();
            vec![format!("launch host `{host}` ({}{disk}, {}{subnets})", spec.size, spec.instance_profile)]
        }
        Action::GiveAddresses { addresses } => {
            addresses.keys().map(|host| format!("give host `{host}` an elastic address")).collect()
        }
        Action::ReleaseAddress { address } => vec![format!("release the address of host `{}`", address.host)],
        Action::AwaitHosts { .. } | Action::PullImages { .. } => Vec::new(),
        Action::ConfigureHosts { hosts, members, .. } => {
            let members: Vec<String> = members.iter().map(|member| format!("`{member}`")).collect();
            hosts.iter().map(|host| format!("configure host `{host}` (etcd on {})", members.join(", "))).collect()
        }
        Action::HoldHosts { hosts, .. } => {
            hosts.iter().map(|host| format!("hold the orchestrator on host `{host}`")).collect()
        }
        Action::RestoreRegistry { hosts, members, founding } => {
            let found = members.iter().filter(|_| *founding).map(|host| format!("found etcd anew on host `{host}`"));
            let fill = hosts.iter().map(|host| format!("register again what host `{host}` has"));
            found.chain(fill).collect()
        }
        Action::JoinEtcd { host, .. } => vec![format!("give host `{host}` a member of etcd")],
        Action::LeaveEtcd { host, .. } => vec![format!("take the member of etcd from host `{host}`")],
        Action::ForgetMember { .. } => vec!["have etcd forget a member that no host has".to_owned()],
        Action::LinkServices { hosts, .. } => {
            hosts.iter().map(|host| format!("tell host `{host}` where linked services are")).collect()
        }
        Action::StartReplicas { replicas } => replicas
            .iter()
            .map(|fresh| format!("start `{}` on `{}`", fresh.placement.replica, fresh.placement.host))
            .collect(),
        Action::ReplaceReplicas { host, replacements } => replacements
            .iter()
            .map(|replacement| {
                format!("replace `{}` on `{host}` ({})", replacement.new.replica, replacement.order.word())
            })
            .collect(),
        Action::RemoveReplicas { removals, .. } => {
            let replicas =
                removals.iter().flat_map(|(host, removals)| removals.iter().map(|removal| removed(host, removal)));
            let data = removals.iter().filter(|(_, removals)| removals.is_empty());
            let data = data.map(|(host, _)| format!("remove volumes of the environment from `{host}`"));
            replicas.chain(data).collect()
        }
        Action::StopReplicas { host, replicas } => {
            replicas.iter().map(|paused| format!("stop `{}` on `{host}`", paused.replica)).collect()
        }
        Action::ResizeHost { host, size, .. } => vec![format!("resize host `{host}` to {size}")],
        Action::RebootHost { host, .. } => vec![format!("reboot host `{host}`")],
        Action::ResumeReplicas { host, replicas } => {
            replicas.iter().map(|paused| format!("start `{}` again on `{host}`", paused.replica)).collect()
        }
        Action::TerminateHost { host, .. } => vec![format!("terminate host `{host}`")],
        Action::DeleteSecurityGroup { security_group, .. } => {
            vec![format!("delete the security group of {security_group}")]
        }
        Action::ForgetRecords { .. } => vec!["remove what is recorded of the environment".to_owned()],
    }
}

fn removed(host: &HostName, removal: &Removal) -> String {
    match &removal.replica {
        Some(replica) => format!("remove `{replica}` from `{host}`"),
        None => "remove what is registered for a host that is gone".to_owned(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn outline(lines: &[&str]) -> Outline {
        Outline(lines.iter().map(|line| (*line).to_owned()).collect())
    }

    #[test]
    fn a_plan_that_does_less_than_was_shown_holds_nothing_new() {
        let shown = outline(&["start `web_1` on `web_1`", "replace `web_2` on `web_2` (start-first)"]);
        let rest = outline(&["replace `web_2` on `web_2` (start-first)"]);
        assert!(rest.beyond(&shown).is_empty());
        assert_eq!(rest.gone_since(&shown), ["start `web_1` on `web_1`"]);
        assert_ne!(rest.hash(), shown.hash());
    }

    #[test]
    fn a_change_that_was_shown_once_is_not_taken_for_two() {
        let shown = outline(&["remove what is registered for a host that is gone"]);
        let twice = outline(&["remove what is registered for a host that is gone"; 2]);
        assert_eq!(twice.beyond(&shown).len(), 1);
    }

    #[test]
    fn a_hash_is_read_back_and_nothing_else_is() {
        let hash = Outline::default().hash();
        assert_eq!(hash.to_string().parse::<PlanHash>().unwrap(), hash);
        for other in ["", "e3b0c44298fc1c1", "E3B0C44298FC1C14", "pr"] {
            assert!(other.parse::<PlanHash>().is_err(), "{other}");
        }
    }
}
