//! The lab's cloud from outside: faults, counts of calls, and which instance is which host.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::http::Http;

/// The signature is not checked; the credential scope tells which of AWS's services is meant.
const SCOPE: &str =
    "AWS4-HMAC-SHA256 Credential=lab/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=lab";

/// Speaks to the `/lab/` paths of the cloud.
#[derive(Debug, Clone)]
pub struct Cloud {
    http: Arc<Http>,
    url: String,
}

/// A call that changed something.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Change {
    /// The action, such as `RunInstances`.
    pub action: String,
    /// The host that was launched, the parameter that was written, the comment of the command; else empty.
    pub about: String,
}

impl Cloud {
    pub(crate) fn new(http: Arc<Http>, url: String) -> Self {
        Self { http, url }
    }

    /// What to give as `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets a fault meet calls of one action; its keys are in `crates/lab/images/README.md`.
    ///
    /// # Errors
    /// When the cloud does not answer, or refuses the fault.
    pub fn fault(&self, fault: &impl Serialize) -> Result<()> {
        self.http.post(&format!("{}/lab/fault", self.url), fault)?.success().context("setting a fault of the cloud")?;
        Ok(())
    }

    /// Makes what a template of CloudFormation has, with these parameters. What roles may do is asked of those who take one by
    /// a job's token; other keys may do everything.
    ///
    /// # Errors
    /// When the cloud does not answer, or the template has what `crates/lab/images/README.md` does not list.
    pub fn stack(&self, template: &impl Serialize, parameters: &[(&str, &str)]) -> Result<()> {
        let parameters: BTreeMap<_, _> = parameters.iter().copied().collect();
        let stack = serde_json::json!({ "template": template, "parameters": parameters });
        self.http.post(&format!("{}/lab/stack", self.url), &stack)?.success().context("making a stack in the cloud")?;
        Ok(())
    }

    /// Ends all faults.
    ///
    /// # Errors
    /// When the cloud does not answer.
    pub fn clear_faults(&self) -> Result<()> {
        self.http.delete(&format!("{}/lab/fault", self.url))?.success().context("clearing the faults of the cloud")?;
        Ok(())
    }

    /// How often each AWS action was called since the counts were last cleared.
    ///
    /// # Errors
    /// When the cloud does not answer.
    pub fn calls(&self) -> Result<BTreeMap<String, u64>> {
        self.http.get(&format!("{}/lab/calls", self.url))?.success().context("reading the calls to the cloud")?.json()
    }

    /// The calls that changed something since the counts were last cleared, in order. A refused call changes nothing.
    ///
    /// # Errors
    /// When the cloud does not answer.
    pub fn changes(&self) -> Result<Vec<Change>> {
        self.http
            .get(&format!("{}/lab/changes", self.url))?
            .success()
            .context("reading the changes in the cloud")?
            .json()
    }

    /// Starts the counts of calls anew.
    ///
    /// # Errors
    /// When the cloud does not answer.
    pub fn clear_calls(&self) -> Result<()> {
        self.http.delete(&format!("{}/lab/calls", self.url))?.success().context("clearing the counts of calls")?;
        Ok(())
    }

    /// The ids of everything that was ever made for a project: instances, volumes, security groups.
    ///
    /// # Errors
    /// When the cloud does not answer.
    pub fn made_for(&self, project: &str) -> Result<Vec<String>> {
        let tagged = self.tagged("skipper:project").context("reading what projects own")?;
        Ok(tagged.into_iter().filter(|(_, value)| value == project).map(|(id, _)| id).collect())
    }

    /// The ids of what is there for one environment of a project: instances that are not terminated, and security groups.
    ///
    /// # Errors
    /// When the cloud does not answer.
    pub fn alive(&self, project: &str, environment: &str) -> Result<Vec<String>> {
        let owned = format!(
            "Filter.1.Name=tag:skipper:project&Filter.1.Value.1={project}\
             &Filter.2.Name=tag:skipper:environment&Filter.2.Value.1={environment}"
        );
        let states = "Filter.3.Name=instance-state-name&Filter.3.Value.1=pending&Filter.3.Value.2=running\
                      &Filter.3.Value.3=shutting-down&Filter.3.Value.4=stopping&Filter.3.Value.5=stopped";
        let instances = self.ids(&format!("Action=DescribeInstances&{owned}&{states}"), "instanceId")?;
        let groups = self.ids(&format!("Action=DescribeSecurityGroups&{owned}"), "groupId")?;
        // A rule names its source in the same way as a group names itself.
        Ok(instances.into_iter().chain(groups).collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// The elastic addresses of a project.
    ///
    /// # Errors
    /// When the cloud does not answer.
    pub fn addresses(&self, project: &str) -> Result<BTreeSet<String>> {
        let query = format!("Action=DescribeAddresses&Filter.1.Name=tag:skipper:project&Filter.1.Value.1={project}");
        Ok(self.ids(&query, "publicIp").context("reading the addresses")?.into_iter().collect())
    }

    /// Terminates an instance by another hand than skipper's.
    ///
    /// # Errors
    /// When the cloud refuses it or does not answer.
    pub fn terminate(&self, instance: &str) -> Result<()> {
        let query = format!("Action=TerminateInstances&InstanceId.1={instance}");
        self.ids(&query, "instanceId").context("terminating an instance").map(drop)
    }

    /// Terminates the hosts of all projects but these, in every region.
    ///
    /// # Errors
    /// When the cloud does not answer.
    pub fn terminate_all_but(&self, projects: &[&str]) -> Result<()> {
        let but = serde_json::json!({ "but": projects });
        self.http.post(&format!("{}/lab/terminate", self.url), &but)?.success().context("terminating hosts")?;
        Ok(())
    }

    /// Lets traffic into a security group by another hand than skipper's.
    ///
    /// # Errors
    /// When the cloud refuses it or does not answer.
    pub fn let_in(&self, security_group: &str, protocol: &str, port: u16, from: &str) -> Result<()> {
        let rule = format!(
            "GroupId={security_group}&IpPermissions.1.IpProtocol={protocol}&IpPermissions.1.FromPort={port}\
             &IpPermissions.1.ToPort={port}&IpPermissions.1.IpRanges.1.CidrIp={from}"
        );
        self.ids(&format!("Action=AuthorizeSecurityGroupIngress&{rule}"), "return")
            .context("letting traffic in")
            .map(drop)
    }

    /// From where a security group lets in traffic over IPv4, one a rule.
    ///
    /// # Errors
    /// When the cloud does not answer.
    pub fn lets_in_from(&self, security_group: &str) -> Result<Vec<String>> {
        let query = format!("Action=DescribeSecurityGroups&GroupId.1={security_group}");
        let answer = self.ask(&query).context("reading what a security group lets in")?;
        // What it lets out stands beside it.
        let inbound = answer.split("<ipPermissions>").skip(1).filter_map(|rest| rest.split("</ipPermissions>").next());
        Ok(inbound.flat_map(|rules| texts(rules, "cidrIp")).collect())
    }

    /// The ids of the subnets of the default VPC, one a zone.
    ///
    /// # Errors
    /// When the cloud does not answer.
    pub fn subnets(&self) -> Result<Vec<String>> {
        self.ids("Action=DescribeSubnets", "subnetId").context("reading the subnets")
    }

    /// The texts of an XML element in the answer to a query of EC2's, in their order.
    fn ids(&self, query: &str, element: &str) -> Result<Vec<String>> {
        Ok(texts(&self.ask(query)?, element))
    }

    /// The answer to a query of EC2's.
    fn ask(&self, query: &str) -> Result<String> {
        let url = format!("{}/?{query}&Version=2016-11-15", self.url);
        Ok(self.http.get_with(&url, "authorization", SCOPE)?.success()?.body)
    }

    /// The names that skipper has given to instances, by instance id.
    pub(crate) fn host_names(&self) -> Result<BTreeMap<String, String>> {
        self.tagged("skipper:host").context("reading the names of the hosts")
    }

    /// The values of a tag, by what carries it.
    fn tagged(&self, key: &str) -> Result<BTreeMap<String, String>> {
        let query = format!("Action=DescribeTags&Version=2016-11-15&Filter.1.Name=key&Filter.1.Value.1={key}");
        let answer = self.http.get_with(&format!("{}/?{query}", self.url), "authorization", SCOPE)?.success()?;
        Ok(tags(&answer.body))
    }
}

/// Resource and value of every tag in an answer to DescribeTags. Ids and host names hold nothing that XML escapes.
fn tags(xml: &str) -> BTreeMap<String, String> {
    let text = |item: &str, element: &str| {
        let (_, rest) = item.split_once(&format!("<{element}>"))?;
        let (text, _) = rest.split_once(&format!("</{element}>"))?;
        Some(text.trim().to_owned())
    };
    xml.split("<item>").skip(1).filter_map(|item| Some((text(item, "resourceId")?, text(item, "value")?))).collect()
}

/// The texts of an element, in their order.
fn texts(xml: &str, element: &str) -> Vec<String> {
    let begin = format!("<{element}>");
    xml.split(&begin).skip(1).filter_map(|rest| Some(rest.split_once('<')?.0.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_read_from_tags() {
        let answer = "<DescribeTagsResponse><tagSet>\
            <item><resourceId>i-1</resourceId><resourceType>instance</resourceType><key>skipper:host</key><value>web_1</value></item>\
            <item>\n <resourceId>i-2</resourceId> <key>skipper:host</key> <value>web_2</value></item>\
            </tagSet></DescribeTagsResponse>";
        let names = tags(answer);
        assert_eq!(names["i-1"], "web_1");
        assert_eq!(names["i-2"], "web_2");
        assert_eq!(tags("<tagSet/>"), BTreeMap::new());
    }
}
