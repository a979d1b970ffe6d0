//! `doctor`: looks at everything that a deployment needs, changes nothing, and names the remedy for what is not as it should be.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::json;
use skipper_core::{
    config::{Config, ImageSource},
    desired::Scope,
    doctor::{self, Checkup, Finding, Verdict},
    image::Tag,
    name::{GroupName, HostName},
    observed::{Agent, InstanceId, LaunchFacts, ObservedSecurityGroup, SecurityGroup},
    orchestrator::{Orchestrator as _, fleet::Fleet},
    plan::LaunchSpec,
};
use skipper_deploy::ports::{
    Compute as _, FoundInstance, Images as _, Invocation, Launch, LaunchQuery, PortError, Remote as _, Store as _,
};

use super::{
    output::{self, Printer},
    run,
};
use crate::{
    aws::{Aws, Ec2, Kept, RunCommand},
    settings::Settings,
};

/// How long a host may take to tell how it is.
const CHECKUP_DEADLINE: Duration = Duration::from_secs(60);
/// What a registry is asked for where a service's image is built: whether it is there does not matter.
const ANY_TAG: &str = "latest";

/// Looks, and tells what was found.
pub(crate) async fn run(regions: &[Config], settings: &Settings, printer: Printer) -> skipper_core::exit::Exit {
    run::install_tls();
    let mut checkup = Checkup::default();
    if let Some(config) = regions.first() {
        checkup.findings.extend(images(config, settings, printer).await);
    }
    checkup.findings.push(code_host(settings));
    for config in regions {
        let findings = aws(config, settings, printer).await;
        let of_region = |finding: Finding| match regions {
            [_] => finding,
            _ => Finding { what: format!("{}: {}", config.region, finding.what), ..finding },
        };
        checkup.findings.extend(findings.into_iter().map(of_region));
    }
    let exit = checkup.exit();
    printer.text(&checkup.table());
    printer.json(&json!({ "status": exit.status(), "findings": checkup.findings }));
    output::early_outputs(settings.output_file(), exit, printer);
    exit
}

fn told(what: &str, result: Result<impl Into<String>, PortError>) -> Finding {
    match result {
        Ok(says) => Finding::fine(what, says),
        Err(error) => Finding::failed(what, &error.failure),
    }
}

/// The engine, where something is built, and the registries.
async fn images(config: &Config, settings: &Settings, printer: Printer) -> Vec<Finding> {
    let connected = run::logins_alone(config, settings, printer).await;
    let docker = match connected.and_then(|logins| run::connect_docker(config, settings, logins)) {
        Ok(docker) => docker,
        Err(failure) => return vec![Finding::failed("Docker's configuration", &failure)],
    };
    let mut findings = Vec::new();
    if config.services.values().any(|service| matches!(service.source, ImageSource::Build(_))) {
        findings.push(told("Docker engine", docker.engine().await));
    }
    for (name, service) in &config.services {
        let what = format!("registry of service `{name}`");
        let repository = &service.repository;
        let (tag, needed) = match &service.source {
            ImageSource::Tag(tag) => (Some(tag.clone()), true),
            ImageSource::Build(_) => (ANY_TAG.parse::<Tag>().ok(), false),
        };
        let Some(tag) = tag else { continue };
        findings.push(match docker.resolve(repository, &tag).await {
            Ok(None) if needed => Finding::of(
                Verdict::Wrong,
                what,
                format!("there is no `{repository}:{tag}`"),
                "correct `repo` of the service: a tag that the registry has",
            ),
            Ok(_) => Finding::fine(what, "it answers, and lets this run read"),
            Err(error) => Finding::failed(what, &error.failure),
        });
        if !needed {
            let pushed = docker.try_push(repository).await.map(|()| "the registry would take one");
            findings.push(told(&format!("push of service `{name}`"), pushed));
        }
    }
    findings
}

fn code_host(settings: &Settings) -> Finding {
    match &settings.code_host {
        Some(_) => Finding::fine("GitHub token", "there is one"),
        None => Finding::of(
            Verdict::Advice,
            "GitHub token",
            "there is none: pull requests are told nothing",
            "in a workflow leave the input `github-token` as it is; elsewhere set `GITHUB_TOKEN` and `GITHUB_REPOSITORY`",
        ),
    }
}

async fn aws(config: &Config, settings: &Settings, printer: Printer) -> Vec<Finding> {
    let aws = match run::connect_aws(config, settings, printer).await {
        Ok(aws) => aws,
        Err(failure) => return vec![Finding::failed("AWS", &failure)],
    };
    let scope = Scope { project: config.project.clone(), environment: settings.environment.clone() };
    let hosts_of = scope.hosts_of(config);
    let compute = aws.compute();
    // Without credentials nothing else is worth asking.
    let mut findings = match compute.account().await {
        Err(error) => return vec![Finding::failed("AWS credentials", &error.failure)],
        Ok(account) => vec![credentials(account, config)],
    };
    let (instances, groups) = futures::join!(compute.instances(&hosts_of), compute.security_groups(&hosts_of));
    findings
        .push(told("records", aws.store().read(&format!("{}/lease", scope.path())).await.map(|_| "they can be read")));
    let (facts, launches) = launches(config, &compute).await;
    findings.extend(launches);
    let group_ids = match &groups {
        Ok(groups) => groups.clone(),
        Err(error) => {
            findings.push(Finding::failed("security groups", &error.failure));
            BTreeMap::new()
        }
    };
    let instances = match instances {
        Ok(instances) => instances,
        Err(error) => {
            findings.push(Finding::failed("hosts", &error.failure));
            return findings;
        }
    };
    findings.extend(rehearse(config, &hosts_of, &compute, &facts, &group_ids, &instances).await);
    findings.extend(hosts(config, (&scope, &hosts_of), &aws, &instances).await);
    findings
}

fn credentials(account: String, config: &Config) -> Finding {
    match &config.account {
        Some(wanted) if *wanted != account => Finding::of(
            Verdict::Refused,
            "AWS credentials",
            format!("they belong to account `{account}`, and skipper.yml says `{wanted}`"),
            "use credentials of the account that `account` names, or change `account`",
        ),
        _ => Finding::fine("AWS credentials", format!("account `{account}`")),
    }
}

/// What a launch in each group would use.
async fn launches(config: &Config, compute: &Ec2) -> (BTreeMap<GroupName, LaunchFacts>, Vec<Finding>) {
    let query = |group: &skipper_core::config::Group| LaunchQuery {
        size: group.size.to_string(),
        image: group.ami.clone(),
        instance_profile: group.instance_profile.clone(),
        subnets: group.subnets.clone(),
    };
    let queries = config.groups.iter().map(|(name, group)| (name.clone(), query(group))).collect();
    match compute.launch_facts(&queries).await {
        Err(error) => (BTreeMap::new(), vec![Finding::failed("launches", &error.failure)]),
        Ok(facts) => {
            let told =
                facts.iter().map(|(group, facts)| Finding::launches(format!("launches in group `{group}`"), facts));
            let told = told.collect();
            (facts, told)
        }
    }
}

/// What a deployment may change, asked for without doing it.
async fn rehearse(
    config: &Config,
    scope: &Scope,
    compute: &Ec2,
    facts: &BTreeMap<GroupName, LaunchFacts>,
    groups: &BTreeMap<SecurityGroup, ObservedSecurityGroup>,
    instances: &[FoundInstance],
) -> Vec<Finding> {
    let allowed = "EC2 would allow it";
    let subnet = config.groups.values().flat_map(|group| &group.subnets).next();
    let mut findings = vec![told(
        "permission to make security groups",
        compute.rehearse_group(scope, subnet.map(String::as_str)).await.map(|()| allowed),
    )];
    let Some(cluster) = groups.get(&SecurityGroup::Cluster) else {
        findings.push(Finding::of(
            Verdict::Advice,
            "permission to launch",
            "it cannot be tried before the first deployment has made the security groups",
            "run `skipper doctor` again after it",
        ));
        return findings;
    };
    findings.push(told("permission to change rules", compute.rehearse_rules(&cluster.id).await.map(|()| allowed)));
    for (name, group) in &config.groups {
        let Some(LaunchFacts::Ready { image, image_name, root_device }) = facts.get(name) else { continue };
        let own = groups.get(&SecurityGroup::Group(name.clone())).into_iter().chain([cluster]);
        let launch = Launch {
            scope: scope.clone(),
            host: HostName { group: name.clone(), number: 1 },
            spec: LaunchSpec {
                size: group.size.to_string(),
                image: image.clone(),
                image_name: image_name.clone(),
                root_device: root_device.clone(),
                disk: group.disk,
                instance_profile: group.instance_profile.clone(),
                subnets: group.subnets.clone(),
                generation: 1,
            },
            subnet: group.subnets.first().cloned(),
            security_groups: own.map(|group| group.id.clone()).collect(),
            user_data: String::new(),
            client_token: format!("skipper-doctor-{name}"),
        };
        let what = format!("permission to launch in group `{name}`");
        findings.push(told(&what, compute.rehearse_launch(&launch).await.map(|()| allowed)));
    }
    if let Some(found) = instances.first() {
        let ended = compute.rehearse_end(&found.instance).await;
        findings.push(told("permission to terminate", ended.map(|()| allowed)));
    }
    findings
}

/// The hosts' agents, the document by which they are observed, and what they tell of themselves.
async fn hosts(
    config: &Config,
    (scope, hosts_of): (&Scope, &Scope),
    aws: &Aws,
    instances: &[FoundInstance],
) -> Vec<Finding> {
    let remote = aws.remote();
    let mut findings = vec![document(&remote, scope).await];
    let versions = match remote.versions(hosts_of).await {
        Ok(versions) => versions,
        Err(error) => return vec![Finding::failed("SSM agents", &error.failure)],
    };
    let named = instances.iter().filter_map(|found| Some((found.host.clone()?, found.instance.clone())));
    let named: BTreeMap<HostName, InstanceId> = named.collect();
    let agents: BTreeMap<HostName, (Agent, Option<String>)> = named
        .iter()
        .map(|(host, instance)| (host.clone(), versions.get(instance).cloned().unwrap_or((Agent::Absent, None))))
        .collect();
    findings.extend(doctor::judge_agents(&agents));
    let online: BTreeSet<InstanceId> = named
        .iter()
        .filter(|(host, _)| agents.get(*host).is_some_and(|(agent, _)| *agent == Agent::Online))
        .map(|(_, instance)| instance.clone())
        .collect();
    if online.is_empty() {
        return findings;
    }
    let sent = now();
    let answers = match remote.run(&online, &doctor::checkup(scope), CHECKUP_DEADLINE).await {
        Ok(answers) => answers,
        Err(error) => {
            findings.push(Finding::failed("hosts' disks, clocks, updates and roles", &error.failure));
            return findings;
        }
    };
    let asked = (sent, now());
    for (host, instance) in named.iter().filter(|(_, instance)| online.contains(*instance)) {
        let profile = config.groups.get(&host.group).map_or("skipper-host", |group| &group.instance_profile);
        findings.extend(match answers.get(instance) {
            Some(Invocation::Finished { stdout, .. }) if let Ok(Some(facts)) = doctor::read_facts(stdout) => {
                doctor::judge_host(host, &facts, asked, profile)
            }
            _ => vec![Finding::of(
                Verdict::Unknown,
                format!("host `{host}`"),
                "it did not tell how it is",
                "run again; if it stays so, look at the host",
            )],
        });
    }
    findings
}

/// Milliseconds since 1970.
fn now() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default()
}

async fn document(remote: &RunCommand, scope: &Scope) -> Finding {
    const WHAT: &str = "document to observe hosts by";
    const DEPLOY: &str = "deploy the template that `skipper iam --format cloudformation` prints";
    match remote.kept(&Fleet.observe(scope)).await {
        Ok(Kept::Ready) => Finding::fine(WHAT, "it is there, and of this version of skipper"),
        Ok(Kept::Absent) => {
            Finding::of(Verdict::Advice, WHAT, "there is none: a role that may only plan cannot look at hosts", DEPLOY)
        }
        Ok(Kept::Other) => Finding::of(
            Verdict::Advice,
            WHAT,
            "it is of another version of skipper: a role that may only plan cannot look at hosts",
            DEPLOY,
        ),
        Err(error) => Finding::failed(WHAT, &error.failure),
    }
}
