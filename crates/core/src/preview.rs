//! Previews, the environments of pull requests: which there should be, which there are, and which have outlived themselves.
//!
//! A preview is an environment like any other, by the name `pr-<n>` of its pull request. What sets it apart is that it ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    config::{Previews, show_duration},
    desired::Scope,
    failure::Failure,
    image::Revision,
    lease::Chain,
    name::{EnvironmentName, HostName},
    observed::{Address, InstanceId, Observed, SecurityGroup},
    record::Records,
};

/// What a workflow calls the environment of whichever pull request its event is about, and what the hosts are an environment by
/// that previews share.
pub const PREVIEW: &str = "preview";
/// What a run is called that removes a preview, whichever command it is part of.
pub const REMOVE: &str = "remove preview";

/// Something that happened to a pull request, as its event tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Happened {
    /// GitHub's word for it: `opened`, `synchronize`, `closed`, `labeled` and so on.
    pub action: String,
    /// The label that was put on or taken off, where that is what happened.
    pub label: Option<String>,
    /// The labels that the pull request carries now.
    pub labels: Vec<String>,
}

/// What an event asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The preview runs the pull request's head.
    Ship,
    /// There is no preview any more.
    Remove(Cause),
    /// Nothing is done; why.
    Nothing(String),
}

/// Why a preview ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its pull request is not open any more.
    Closed,
    /// Its pull request does not carry the label that previews are for.
    Unlabeled {
        /// The label.
        label: String,
    },
    /// It was last shipped to longer ago than previews last.
    Expired {
        /// How long they last, in seconds.
        ttl_seconds: u64,
    },
    /// No preview is left that shares its hosts.
    Unused,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("its pull request is closed"),
            Self::Unlabeled { label } => write!(f, "its pull request does not carry the label `{label}`"),
            Self::Unused => f.write_str("no preview is left"),
            Self::Expired { ttl_seconds } => {
                let ttl = show_duration(Duration::from_secs(*ttl_seconds));
                write!(f, "nothing was shipped to it for more than {ttl}")
            }
        }
    }
}

/// What an event asks for: a preview for an open pull request of this repository that carries the label, if there is one.
pub fn wish(previews: &Previews, from_fork: bool, happened: &Happened) -> Wish {
    // Not even its end is acted on: GitHub gives such a run no credentials.
    if from_fork {
        return Wish::Nothing("pull requests from forks get no preview".to_owned());
    }
    if happened.action == "closed" {
        return Wish::Remove(Cause::Closed);
    }
    match &previews.label {
        Some(label) if !carries(&happened.labels, label) => {
            let taken_off = happened.action == "unlabeled" && happened.label.as_ref().is_some_and(|it| same(it, label));
            if taken_off {
                Wish::Remove(Cause::Unlabeled { label: label.clone() })
            } else {
                Wish::Nothing(format!("only pull requests with the label `{label}` get a preview"))
            }
        }
        _ => Wish::Ship,
    }
}

/// GitHub takes labels that differ in case alone for the same.
fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

fn carries(labels: &[String], label: &str) -> bool {
    labels.iter().any(|other| same(other, label))
}

/// A pull request as the code host knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Whether it is open.
    pub open: bool,
    /// The labels that it carries.
    pub labels: Vec<String>,
}

/// Why a preview is to end, if it is. What is not known of it, its age or its pull request, is no reason.
pub fn outlived(previews: &Previews, age: Option<Duration>, pull_request: Option<&PullRequest>) -> Option<Cause> {
    let unlabeled = |label: &String| Cause::Unlabeled { label: label.clone() };
    match (pull_request, &previews.label) {
        (Some(PullRequest { open: false, .. }), _) => return Some(Cause::Closed),
        (Some(pull), Some(label)) if !carries(&pull.labels, label) => return Some(unlabeled(label)),
        _ => {}
    }
    age.filter(|age| *age > previews.ttl).map(|_| Cause::Expired { ttl_seconds: previews.ttl.as_secs() })
}

/// Something that carries the project's ownership tag, in whichever environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The environment that it is tagged with.
    pub environment: EnvironmentName,
    /// The pull request that it is tagged with.
    pub pull_request: Option<u64>,
    /// What it is.
    pub thing: Thing,
}

/// A thing that costs money, or is in the way of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// An instance that is not terminated, nor about to be.
    Instance {
        /// Its id.
        instance: InstanceId,
        /// The host that it says it is.
        host: Option<HostName>,
    },
    /// A security group.
    SecurityGroup {
        /// Its id, `sg-…`.
        id: String,
        /// Which of its environment's it says it is.
        security_group: Option<SecurityGroup>,
    },
    /// An elastic address.
    Address {
        /// Its id, `eipalloc-…`.
        allocation: String,
        /// The address, where it says which host it is for.
        address: Option<Address>,
    },
}

impl Owned {
    /// The preview that it belongs to: its name and its tag must both say so.
    pub fn preview(&self) -> Option<u64> {
        self.environment.pull_request().filter(|number| self.pull_request == Some(*number))
    }
}

/// The pull requests with a preview that costs money.
pub fn running(owned: &[Owned]) -> BTreeSet<u64> {
    owned.iter().filter_map(Owned::preview).collect()
}

/// The pull requests with a preview that shares its hosts, or has hosts of its own still: those that something was shipped to.
pub fn shipped(owned: &[Owned], records: &BTreeMap<String, String>) -> BTreeSet<u64> {
    let previews = list(owned, records);
    let costs = |preview: &Preview| preview.instances > 0 || preview.revision.is_some();
    previews.into_iter().filter(|(_, preview)| costs(preview)).map(|(number, _)| number).collect()
}

/// Whether there is a preview that is not among those that are ending, or a run at work in any: the first thing that a run leaves is
/// its lease. A run that ended before it did anything leaves nothing else.
pub fn in_use(records: &BTreeMap<String, String>, ending: &BTreeSet<u64>) -> bool {
    list(&[], records).into_keys().any(|number| {
        let below = format!("{}/{LEASES}", EnvironmentName::of_pull_request(number));
        let leases =
            records.iter().filter_map(|(name, text)| Some((name.strip_prefix(&below)?.to_owned(), text.clone())));
        let name = EnvironmentName::of_pull_request(number).to_string();
        let of_it = |record: &&String| record.strip_prefix(&name).is_some_and(|rest| rest.starts_with('/'));
        let is_there = records.keys().filter(of_it).any(|record| !record.starts_with(&below));
        !ending.contains(&number) && is_there || Chain::read(&leases.collect::<BTreeMap<_, _>>()).held().is_some()
    })
}

/// Whether there is anything of hosts that previews share, if only a record.
pub fn is_shared(owned: &[Owned], records: &BTreeMap<String, String>) -> bool {
    let below = format!("{PREVIEW}/");
    owned.iter().any(|owned| owned.environment.as_ref() == PREVIEW)
        || records.keys().any(|name| name.starts_with(&below))
}

/// The instances that previews share.
pub fn shared_instances(owned: &[Owned]) -> usize {
    let is_one =
        |owned: &&Owned| owned.environment.as_ref() == PREVIEW && matches!(owned.thing, Thing::Instance { .. });
    owned.iter().filter(is_one).count()
}

/// What there is of one environment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remains {
    /// What carries its tags.
    pub owned: Vec<Owned>,
    /// The names of what is recorded of it, below its path in the store.
    pub records: BTreeSet<String>,
    /// The hosts that it shares with others, with its own replicas and volumes on them; and its own security groups with their rules.
    pub shared: Observed,
}

/// Below which name the leases of an environment are recorded: whoever changes it holds one.
pub const LEASES: &str = "lease/";

impl Remains {
    /// Whether there is nothing at all of the scope that they are of.
    pub fn is_empty(&self, scope: &Scope) -> bool {
        let Observed { gaps, hosts, .. } = &self.shared;
        let mut reports = hosts.values().filter_map(|host| host.report.as_ref());
        let on_hosts =
            reports.any(|report| !report.stray.is_empty() || !report.replicas.is_empty() || report.has_volumes(scope));
        self.owned.is_empty() && self.records.is_empty() && gaps.is_empty() && !on_hosts
    }

    /// What is recorded, but for the leases, which the one who removes the rest holds himself. What was rolled out comes
    /// last: by it others see that there is something left.
    pub fn forgettable(&self) -> Vec<String> {
        let (releases, others): (Vec<&String>, Vec<&String>) = self
            .records
            .iter()
            .filter(|name| !name.starts_with(LEASES))
            .partition(|name| name.starts_with("releases/"));
        others.into_iter().chain(releases).cloned().collect()
    }
}

/// A preview, as a list shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// Its instances that are not terminated.
    pub instances: usize,
    /// The commit that was last shipped to it.
    pub revision: Option<Revision>,
    /// When that was, RFC 3339 in UTC.
    pub shipped_at: Option<String>,
}

impl Preview {
    /// Whether nothing was ever shipped to it: a run began and ended before it did anything.
    pub fn is_nothing(&self) -> bool {
        self.instances == 0 && self.revision.is_none()
    }
}

/// A preview as it was found, with what is known of its pull request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Surveyed {
    /// What there is of it.
    #[serde(flatten)]
    pub preview: Preview,
    /// How long ago it was last shipped to, in seconds.
    pub age_seconds: Option<u64>,
    /// Whether its pull request is open; absent when that is not known.
    pub open: Option<bool>,
    /// Why it is to end, if it is.
    pub ends: Option<Cause>,
    /// Why nothing is known of its pull request, where it is kept for that.
    pub unknown: Option<Failure>,
}

/// The previews of a project by their pull requests: what carries their tags, and what is recorded of them.
/// `records` are all of the project's, by their names below its path, such as `pr-7/releases/1`.
pub fn list(owned: &[Owned], records: &BTreeMap<String, String>) -> BTreeMap<u64, Preview> {
    let mut previews: BTreeMap<u64, Preview> = BTreeMap::new();
    for owned in owned {
        let Some(number) = owned.preview() else { continue };
        let preview = previews.entry(number).or_default();
        preview.instances += usize::from(matches!(owned.thing, Thing::Instance { .. }));
    }
    let mut releases: BTreeMap<u64, BTreeMap<String, String>> = BTreeMap::new();
    for (name, value) in records {
        let Some((environment, name)) = name.split_once('/') else { continue };
        let environment: Option<EnvironmentName> = environment.parse().ok();
        let Some(number) = environment.and_then(|environment| environment.pull_request()) else { continue };
        previews.entry(number).or_default();
        if let Some(release) = name.strip_prefix("releases/") {
            releases.entry(number).or_default().insert(release.to_owned(), value.clone());
        }
    }
    for (number, values) in releases {
        let records = Records::read(&values);
        let Some((_, newest)) = records.newest_first().next() else { continue };
        let preview = previews.entry(number).or_default();
        preview.revision = Some(newest.release.revision.clone());
        preview.shipped_at = Some(newest.ended.as_ref().map_or(&newest.holder.since, |ended| &ended.at).clone());
    }
    previews
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn labeled() -> Previews {
        Previews { label: Some("preview".to_owned()), ..Previews::default() }
    }

    fn happened(action: &str, labels: &[&str]) -> Happened {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        Happened { action: action.to_owned(), labels, ..Happened::default() }
    }

    fn label_taken_off(label: &str, left: &[&str]) -> Happened {
        Happened { label: Some(label.to_owned()), ..happened("unlabeled", left) }
    }

    #[test]
    fn a_pull_request_has_a_preview_from_its_opening_to_its_close() {
        let previews = Previews::default();
        for action in ["opened", "synchronize", "reopened", "labeled", "ready_for_review"] {
            assert_eq!(wish(&previews, false, &happened(action, &[])), Wish::Ship, "{action}");
        }
        assert_eq!(wish(&previews, false, &happened("closed", &[])), Wish::Remove(Cause::Closed));
        assert_eq!(wish(&previews, false, &label_taken_off("bug", &[])), Wish::Ship);
    }

    #[test]
    fn where_a_label_is_asked_for_only_pull_requests_that_carry_it_have_one() {
        let previews = labeled();
        assert_eq!(wish(&previews, false, &happened("labeled", &["bug", "Preview"])), Wish::Ship);
        assert!(matches!(wish(&previews, false, &happened("opened", &["bug"])), Wish::Nothing(_)));
        assert!(matches!(wish(&previews, false, &label_taken_off("bug", &[])), Wish::Nothing(_)));
        assert_eq!(wish(&previews, false, &label_taken_off("bug", &["preview"])), Wish::Ship);
        let gone = Wish::Remove(Cause::Unlabeled { label: "preview".to_owned() });
        assert_eq!(wish(&previews, false, &label_taken_off("preview", &["bug"])), gone);
        assert_eq!(wish(&previews, false, &happened("closed", &[])), Wish::Remove(Cause::Closed));
    }

    #[test]
    fn a_fork_gets_none() {
        for action in ["opened", "closed"] {
            let foreign = wish(&labeled(), true, &happened(action, &["preview"]));
            assert!(matches!(foreign, Wish::Nothing(_)), "{action}");
        }
    }

    #[test]
    fn a_preview_ends_when_its_pull_request_is_closed_or_unlabeled_or_nobody_shipped_to_it_for_long() {
        let open = PullRequest { open: true, labels: vec!["preview".to_owned()] };
        let closed = PullRequest { open: false, ..open.clone() };
        let bare = PullRequest { open: true, labels: Vec::new() };
        let previews = labeled();
        assert_eq!(outlived(&previews, Some(2 * DAY), Some(&open)), None);
        assert_eq!(outlived(&previews, Some(2 * DAY), Some(&closed)), Some(Cause::Closed));
        assert!(matches!(outlived(&previews, None, Some(&bare)), Some(Cause::Unlabeled { .. })));
        assert_eq!(outlived(&Previews::default(), None, Some(&bare)), None);
        let expired = outlived(&previews, Some(3 * DAY + Duration::from_secs(1)), Some(&open)).unwrap();
        assert_eq!(expired.to_string(), "nothing was shipped to it for more than 3d");
    }

    #[test]
    fn what_is_not_known_ends_no_preview() {
        assert_eq!(outlived(&labeled(), None, None), None);
        assert_eq!(outlived(&labeled(), Some(DAY), None), None);
    }

    fn instance(environment: &str, pull_request: Option<u64>) -> Owned {
        let thing = Thing::Instance { instance: InstanceId("i-1".to_owned()), host: None };
        Owned { environment: environment.parse().unwrap(), pull_request, thing }
    }

    #[test]
    fn previews_are_found_by_their_tags_and_by_their_records() {
        let record = |at: &str| {
            let holder =
                format!(r#"{{"who":"octocat","command":"ship","revision":null,"run_url":null,"since":"{at}"}}"#);
            let release = format!(r#"{{"revision":"{}","images":{{}}}}"#, "c0ffee00".repeat(5));
            format!(r#"{{"holder":{holder},"release":{release},"ended":null}}"#)
        };
        let records = BTreeMap::from([
            ("pr-7/releases/9".to_owned(), record("2026-01-01T00:00:00Z")),
            ("pr-7/releases/10".to_owned(), record("2026-01-02T00:00:00Z")),
            ("pr-8/lease/1".to_owned(), String::new()),
            ("production/releases/1".to_owned(), record("2026-01-03T00:00:00Z")),
        ]);
        let owned = [instance("pr-7", Some(7)), instance("pr-9", Some(9)), instance("production", None)];
        let previews = list(&owned, &records);
        assert_eq!(previews.keys().copied().collect::<Vec<_>>(), [7, 8, 9]);
        assert_eq!(previews[&7].shipped_at.as_deref(), Some("2026-01-02T00:00:00Z"));
        assert_eq!((previews[&7].instances, previews[&8].instances), (1, 0));
    }

    #[test]
    fn hosts_are_in_use_by_what_was_shipped_and_by_who_is_at_work() {
        let entry = |state: &str| {
            let holder =
                r#"{"who":"octocat","command":"ship","revision":null,"run_url":null,"since":"2026-01-01T00:00:00Z"}"#;
            format!(r#"{{"holder":{holder},"nonce":"n","beat":3,"state":"{state}"}}"#)
        };
        let in_use = |records: &[(&str, String)], ending: &[u64]| {
            let records = records.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect();
            in_use(&records, &ending.iter().copied().collect())
        };
        let shipped = [("pr-7/releases/1", String::new()), ("pr-7/lease/1", entry("released"))];
        assert!(in_use(&shipped, &[]) && in_use(&shipped, &[8]) && !in_use(&shipped, &[7]));
        assert!(in_use(&[("pr-7/lease/2", entry("held")), ("pr-7/lease/1", entry("released"))], &[7]));
        // Of a run that ended before it did anything only its lease is left, and others are no previews.
        assert!(!in_use(&[("pr-7/lease/1", entry("released")), ("production/releases/1", String::new())], &[]));
    }

    #[test]
    fn what_does_not_carry_its_pull_request_s_tag_is_no_preview() {
        let impostors = [instance("pr-7", None), instance("pr-7", Some(8)), instance("staging", Some(7))];
        assert!(running(&impostors).is_empty() && list(&impostors, &BTreeMap::new()).is_empty());
    }
}
