//! Security groups: which the project owns, what they let in, and changing that.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::{
    error::ProvideErrorMetadata,
    operation::create_security_group::builders::CreateSecurityGroupFluentBuilder,
    types::{self, IpPermission, IpRange, Ipv6Range, ResourceType, TagSpecification, UserIdGroupPair},
};
use skipper_core::{
    desired::{Scope, tags},
    observed::{IngressRule, ObservedSecurityGroup, SecurityGroup, Source},
};
use skipper_deploy::ports::{GroupIds, PortError, PortErrorKind, PortResult};

use super::{Ec2, filter, instances::TAG_GROUP, owned_by, tag, tagged};
use crate::aws::error::Asked;

/// The tag that says which of the project's security groups one is.
pub(super) const TAG_SECURITY_GROUP: &str = "skipper:security-group";

/// Security groups a page; the most that EC2 takes.
const PAGE: i32 = 1_000;

/// The description of rules that skipper writes. Rules have no tags in their permission, and by this one the two hands are told apart.
const MARK: &str = "skipper";

const ANY_IPV4: &str = "0.0.0.0/0";
const ANY_IPV6: &str = "::/0";

impl Ec2 {
    pub(super) async fn owned_security_groups(
        &self,
        scope: &Scope,
    ) -> PortResult<BTreeMap<SecurityGroup, ObservedSecurityGroup>> {
        let asked = self.reads("ec2:DescribeSecurityGroups", format!("the security groups of `{}`", scope.stem()));
        let mut groups = self
            .ec2
            .describe_security_groups()
            .set_filters(Some(owned_by(scope)))
            .into_paginator()
            .page_size(PAGE)
            .items()
            .send();
        let mut described = BTreeMap::new();
        while let Some(group) = groups.next().await {
            let group = group.map_err(|error| asked.failed(&error))?;
            let Some(which) = tagged(group.tags(), TAG_SECURITY_GROUP).and_then(read_tag) else { continue };
            if let Some(other) = described.insert(which.clone(), group) {
                let id = other.group_id().unwrap_or_default();
                let why = format!("`{id}` and another one both carry the tag of {which}");
                return Err(asked.refused(PortErrorKind::Invalid, why).hint("delete the one that no host uses"));
            }
        }
        let owned: BTreeMap<String, SecurityGroup> =
            described.iter().filter_map(|(which, group)| Some((group.group_id()?.to_owned(), which.clone()))).collect();
        let observed = described.into_iter().filter_map(|(which, group)| {
            let mut observed =
                ObservedSecurityGroup { id: group.group_id.clone()?, rules: BTreeSet::new(), marked: BTreeSet::new() };
            for single in group.ip_permissions().iter().flat_map(singles) {
                let rules = rules(&single, &owned);
                if is_marked(&single) {
                    let ours = rules.iter().filter(|rule| !matches!(rule.source, Source::Other(_)));
                    observed.marked.extend(ours.cloned());
                }
                observed.rules.extend(rules);
            }
            Some((which, observed))
        });
        Ok(observed.collect())
    }

    pub(super) async fn create_owned_security_group(
        &self,
        scope: &Scope,
        security_group: &SecurityGroup,
        subnet: Option<&str>,
    ) -> PortResult<String> {
        let vpc = self.vpc(subnet).await?;
        let name = name(scope, security_group);
        let asked = self.changes("ec2:CreateSecurityGroup", format!("security group `{name}`"));
        match self.creation(scope, security_group, &vpc).send().await {
            Ok(created) => {
                created.group_id.ok_or_else(|| asked.refused(PortErrorKind::Other, "the answer names no id"))
            }
            Err(error) if error.code() == Some("InvalidGroup.Duplicate") => {
                self.take_up(scope, security_group, &name, &vpc).await
            }
            Err(error) => Err(asked.failed(&error)),
        }
    }

    pub(super) fn creation(
        &self,
        scope: &Scope,
        security_group: &SecurityGroup,
        vpc: &str,
    ) -> CreateSecurityGroupFluentBuilder {
        let name = name(scope, security_group);
        let tags = tags(scope)
            .into_iter()
            .map(|(key, value)| tag(key, value))
            .chain([tag(TAG_SECURITY_GROUP, security_group.tag()), tag("Name", &name)])
            .chain(match security_group {
                SecurityGroup::Cluster => None,
                SecurityGroup::Group(group) => Some(tag(TAG_GROUP, group.to_string())),
            });
        self.ec2
            .create_security_group()
            .group_name(&name)
            .description(format!("skipper: {} of {}", security_group.tag(), scope.stem()))
            .vpc_id(vpc)
            .tag_specifications(
                TagSpecification::builder()
                    .resource_type(ResourceType::SecurityGroup)
                    .set_tags(Some(tags.collect()))
                    .build(),
            )
    }

    /// The id of a security group that exists under our name, if it is ours.
    async fn take_up(
        &self,
        scope: &Scope,
        security_group: &SecurityGroup,
        name: &str,
        vpc: &str,
    ) -> PortResult<String> {
        let asked = self.reads("ec2:DescribeSecurityGroups", format!("security group `{name}`"));
        let found = self
            .ec2
            .describe_security_groups()
            .filters(filter("group-name", [name]))
            .filters(filter("vpc-id", [vpc]))
            .send()
            .await
            .map_err(|error| asked.failed(&error))?;
        let ours = |group: &types::SecurityGroup| {
            tags(scope).iter().all(|(key, value)| tagged(group.tags(), key) == Some(value.as_str()))
                && tagged(group.tags(), TAG_SECURITY_GROUP) == Some(security_group.tag().as_str())
        };
        let names: Vec<&str> = tags(scope).into_iter().map(|(name, _)| name).collect();
        found.security_groups.unwrap_or_default().into_iter().find(ours).and_then(|group| group.group_id).ok_or_else(
            || {
                asked
                    .refused(
                        PortErrorKind::Invalid,
                        format!("one of that name exists in `{vpc}` and does not carry the project's tags"),
                    )
                    .hint(format!("delete it, or give it the tags `{}` and `{TAG_SECURITY_GROUP}`", names.join("`, `")))
            },
        )
    }

    pub(super) async fn delete_group(&self, id: &str) -> PortResult<()> {
        let asked = self.changes("ec2:DeleteSecurityGroup", format!("security group `{id}`"));
        match self.ec2.delete_security_group().group_id(id).send().await.map_err(|error| asked.failed(&error)) {
            // Gone is what was asked for.
            Err(PortError { kind: PortErrorKind::Missing, .. }) => Ok(()),
            answer => answer.map(drop),
        }
    }

    pub(super) async fn vpc(&self, subnet: Option<&str>) -> PortResult<String> {
        if let Some(subnet) = subnet {
            let asked = self.reads("ec2:DescribeSubnets", format!("subnet `{subnet}`"));
            let found = self.ec2.describe_subnets().subnet_ids(subnet).send().await.map_err(|error| {
                let failed = asked.failed(&error);
                match failed.kind {
                    PortErrorKind::Missing | PortErrorKind::Invalid => {
                        failed.hint("check `subnets:` in skipper.yml, and `region:`: a subnet belongs to one region")
                    }
                    _ => failed,
                }
            })?;
            let vpc = found.subnets.unwrap_or_default().into_iter().find_map(|subnet| subnet.vpc_id);
            return vpc.ok_or_else(|| asked.refused(PortErrorKind::Missing, "the answer names no VPC"));
        }
        let asked = self.reads("ec2:DescribeVpcs", "the default VPC");
        let found = self
            .ec2
            .describe_vpcs()
            .filters(filter("is-default", ["true"]))
            .send()
            .await
            .map_err(|error| asked.failed(&error))?;
        found.vpcs.unwrap_or_default().into_iter().find_map(|vpc| vpc.vpc_id).ok_or_else(|| {
            asked
                .refused(PortErrorKind::Invalid, "the region has no default VPC")
                .hint("name the group's `subnets:` in skipper.yml")
        })
    }

    pub(super) async fn let_in(&self, id: &str, rules: &[IngressRule], groups: &GroupIds) -> PortResult<()> {
        let asked = self.changes("ec2:AuthorizeSecurityGroupIngress", format!("security group `{id}`"));
        together_or_singly(rules, async |rules| {
            let permissions = permissions(rules, groups, Some(MARK), &asked)?;
            match self
                .ec2
                .authorize_security_group_ingress()
                .group_id(id)
                .set_ip_permissions(Some(permissions))
                .send()
                .await
            {
                Ok(_) => Ok(true),
                Err(error) if error.code() == Some("InvalidPermission.Duplicate") => Ok(false),
                Err(error) => Err(asked.failed(&error)),
            }
        })
        .await
    }

    pub(super) async fn shut_out(&self, id: &str, rules: &[IngressRule], groups: &GroupIds) -> PortResult<()> {
        let asked = self.changes("ec2:RevokeSecurityGroupIngress", format!("security group `{id}`"));
        let (foreign, ours): (Vec<IngressRule>, Vec<IngressRule>) =
            rules.iter().cloned().partition(|rule| matches!(rule.source, Source::Other(_)));
        self.shut_out_foreign(id, &foreign, groups, &asked).await?;
        together_or_singly(&ours, async |rules| {
            let permissions = permissions(rules, groups, None, &asked)?;
            match self
                .ec2
                .revoke_security_group_ingress()
                .group_id(id)
                .set_ip_permissions(Some(permissions))
                .send()
                .await
            {
                Ok(_) => Ok(true),
                Err(error) if error.code() == Some("InvalidPermission.NotFound") => Ok(false),
                Err(error) => Err(asked.failed(&error)),
            }
        })
        .await
    }
}

impl Ec2 {
    /// Rules that skipper could not have written are asked for anew and revoked in EC2's own words: theirs say less.
    async fn shut_out_foreign(
        &self,
        id: &str,
        rules: &[IngressRule],
        groups: &GroupIds,
        asked: &Asked<'_>,
    ) -> PortResult<()> {
        if rules.is_empty() {
            return Ok(());
        }
        let reading = self.reads("ec2:DescribeSecurityGroups", format!("security group `{id}`"));
        let found = self.ec2.describe_security_groups().group_ids(id).send().await;
        let found = found.map_err(|error| reading.failed(&error))?.security_groups.unwrap_or_default();
        let all = found.iter().flat_map(types::SecurityGroup::ip_permissions).flat_map(singles);
        let owned = groups.iter().map(|(which, id)| (id.clone(), which.clone())).collect();
        let is_meant = |single: &IpPermission| self::rules(single, &owned).iter().any(|rule| rules.contains(rule));
        for permission in all.filter(is_meant) {
            let sent = self.ec2.revoke_security_group_ingress().group_id(id).ip_permissions(permission).send().await;
            match sent {
                Ok(_) => {}
                Err(error) if error.code() == Some("InvalidPermission.NotFound") => {}
                Err(error) => return Err(asked.failed(&error)),
            }
        }
        Ok(())
    }
}

/// A permission of EC2 as several, with one source each.
fn singles(permission: &IpPermission) -> Vec<IpPermission> {
    let empty = || {
        IpPermission::builder()
            .set_ip_protocol(permission.ip_protocol.clone())
            .set_from_port(permission.from_port)
            .set_to_port(permission.to_port)
    };
    let ipv4 = permission.ip_ranges().iter().map(|range| empty().ip_ranges(range.clone()));
    let ipv6 = permission.ipv6_ranges().iter().map(|range| empty().ipv6_ranges(range.clone()));
    let groups = permission.user_id_group_pairs().iter().map(|pair| empty().user_id_group_pairs(pair.clone()));
    let lists = permission.prefix_list_ids().iter().map(|list| empty().prefix_list_ids(list.clone()));
    ipv4.chain(ipv6).chain(groups).chain(lists).map(|permission| permission.build()).collect()
}

/// Whether skipper wrote the one source of a permission.
fn is_marked(single: &IpPermission) -> bool {
    let ipv4 = single.ip_ranges().iter().map(IpRange::description);
    let ipv6 = single.ipv6_ranges().iter().map(Ipv6Range::description);
    let groups = single.user_id_group_pairs().iter().map(UserIdGroupPair::description);
    ipv4.chain(ipv6).chain(groups).any(|description| description == Some(MARK))
}

/// EC2 refuses a request as a whole when one of its rules is there, or gone, already (`Ok(false)`); then each rule gets its own.
async fn together_or_singly(
    rules: &[IngressRule],
    request: impl AsyncFn(&[IngressRule]) -> PortResult<bool>,
) -> PortResult<()> {
    if rules.is_empty() || request(rules).await? || rules.len() == 1 {
        return Ok(());
    }
    for rule in rules.chunks(1) {
        request(rule).await?;
    }
    Ok(())
}

/// Within EC2's 255 characters; unique in a VPC, so that two runs cannot create it twice.
fn name(scope: &Scope, security_group: &SecurityGroup) -> String {
    match security_group {
        SecurityGroup::Cluster => format!("skipper-{}-cluster", scope.stem()),
        SecurityGroup::Group(group) => format!("skipper-{}-group-{group}", scope.stem()),
    }
}

/// The opposite of [`SecurityGroup::tag`].
pub(super) fn read_tag(word: &str) -> Option<SecurityGroup> {
    if word == SecurityGroup::Cluster.tag() {
        return Some(SecurityGroup::Cluster);
    }
    Some(SecurityGroup::Group(word.strip_prefix("group/")?.parse().ok()?))
}

/// The rules that one permission of EC2 stands for. What skipper could not have written becomes [`Source::Other`], in EC2's words.
fn rules(permission: &IpPermission, owned: &BTreeMap<String, SecurityGroup>) -> BTreeSet<IngressRule> {
    let protocol = permission.ip_protocol().unwrap_or("-1");
    let port = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok());
    let ports = match (protocol, port(permission.from_port()), port(permission.to_port())) {
        ("tcp" | "6", Some(from), Some(to)) => Some((from, to)),
        _ => None,
    };
    let ipv4 = permission.ip_ranges().iter().filter_map(IpRange::cidr_ip).map(|cidr| match cidr {
        ANY_IPV4 => Source::AnyIpv4,
        other => Source::Other(other.to_owned()),
    });
    let ipv6 = permission.ipv6_ranges().iter().filter_map(Ipv6Range::cidr_ipv6).map(|cidr| match cidr {
        ANY_IPV6 => Source::AnyIpv6,
        other => Source::Other(other.to_owned()),
    });
    let groups = permission
        .user_id_group_pairs()
        .iter()
        .filter_map(UserIdGroupPair::group_id)
        .map(|id| owned.get(id).cloned().map_or_else(|| Source::Other(id.to_owned()), Source::from));
    let lists = permission
        .prefix_list_ids()
        .iter()
        .filter_map(|list| list.prefix_list_id())
        .map(|id| Source::Other(id.to_owned()));
    let rule = |source: Source| match ports {
        Some((from_port, to_port)) => IngressRule { from_port, to_port, source },
        None => {
            let protocol = if protocol == "-1" { "every protocol" } else { protocol };
            IngressRule { from_port: 0, to_port: u16::MAX, source: Source::Other(format!("{source} ({protocol})")) }
        }
    };
    ipv4.chain(ipv6).chain(groups).chain(lists).map(rule).collect()
}

/// Rules as EC2 wants them. What is revoked is known by the rest: rules that somebody else wrote have other descriptions, or none.
pub(super) fn permissions(
    rules: &[IngressRule],
    groups: &GroupIds,
    mark: Option<&str>,
    asked: &Asked<'_>,
) -> PortResult<Vec<IpPermission>> {
    let mark = mark.map(ToOwned::to_owned);
    let pair = |rule: &IngressRule| {
        let id = rule.source.security_group().and_then(|group| groups.get(&group));
        let id = id.ok_or_else(|| {
            asked.refused(PortErrorKind::Invalid, format!("the rule `{rule}` names a security group that is not there"))
        })?;
        Ok(UserIdGroupPair::builder().group_id(id).set_description(mark.clone()).build())
    };
    let permission = |rule: &IngressRule| {
        let permission =
            IpPermission::builder().ip_protocol("tcp").from_port(rule.from_port.into()).to_port(rule.to_port.into());
        let permission =
            match &rule.source {
                Source::AnyIpv4 => {
                    permission.ip_ranges(IpRange::builder().cidr_ip(ANY_IPV4).set_description(mark.clone()).build())
                }
                Source::AnyIpv6 => permission
                    .ipv6_ranges(Ipv6Range::builder().cidr_ipv6(ANY_IPV6).set_description(mark.clone()).build()),
                Source::Cluster | Source::Group(_) => permission.user_id_group_pairs(pair(rule)?),
                Source::Other(_) => {
                    return Err(asked
                        .refused(PortErrorKind::Invalid, format!("the rule `{rule}` is not one that skipper writes")));
                }
            };
        Ok(permission.build())
    };
    rules.iter().map(permission).collect()
}
