//! Plans for 500 hosts with 5,000 replicas, and tells in one line of JSON how long the plan itself took and how much memory
//! the process has used at most. `cargo lab bench plan` runs it.
//!
//! usage: `plan_many first|update|nothing`
#![expect(clippy::disallowed_methods, reason = "this measures core, and is none of it")]

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use skipper_core::{
    config::{self, Config},
    desired::Desired,
    etcd::{EtcdMember, MemberState, Membership},
    image::{PinnedImage, Revision, hex_digest},
    name::HostName,
    observed::{
        Agent, Health, HostReport, InstanceId, InstanceState, LaunchFacts, Observed, ObservedHost, ObservedReplica,
        ObservedSecurityGroup, OrchestratorState, ReplicaState, SecurityGroup,
    },
    orchestrator::{Orchestrator as _, Probe, fleet::Fleet},
    plan::{Action, Placement, Plan, cluster, plan},
    release::Release,
};

const GROUPS: usize = 5;
const HOSTS: u32 = 100;
const SERVICES: usize = 10;

fn main() -> ExitCode {
    let mut out = std::io::stdout();
    let scenario = std::env::args().nth(1).unwrap_or_default();
    let Some((took, plan)) = measured(&scenario) else {
        let _ = writeln!(std::io::stderr(), "usage: plan_many first|update|nothing");
        return ExitCode::FAILURE;
    };
    let told = serde_json::json!({
        "scenario": scenario,
        "took_us": u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "steps": plan.steps.len(),
        "kept": plan.kept.len(),
        "blocked": plan.blocked.len(),
        "peak_kib": peak_kib(),
    });
    match writeln!(out, "{told}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The plan of a scenario, and how long it took; nothing for one that is not known.
fn measured(scenario: &str) -> Option<(Duration, Plan)> {
    let config = config();
    let now = desired(&config, 1);
    let empty = Observed { launch: launch_facts(&config), ..Observed::default() };
    let timed = |desired: &Desired, observed: &Observed| {
        let began = Instant::now();
        let plan = plan(desired, observed, &Fleet);
        (began.elapsed(), plan)
    };
    Some(match scenario {
        "first" => timed(&now, &empty),
        "update" => {
            let observed = carried_out(&config, &now, &plan(&now, &empty, &Fleet));
            timed(&desired(&config, 2), &observed)
        }
        "nothing" => {
            let observed = carried_out(&config, &now, &plan(&now, &empty, &Fleet));
            timed(&now, &observed)
        }
        _ => return None,
    })
}

/// Groups of hosts that all carry the same services, each with a fixed port, a chosen one, and settings.
#[expect(clippy::expect_used, reason = "the file is written here")]
fn config() -> Config {
    let mut text = "name: many\nservices:\n".to_owned();
    for service in 0..SERVICES {
        text.push_str(&format!(
            "  service{service}:\n    repo: {{name: acme/service{service}, registry: registry.example.com, tag: \"1\"}}\n    \
             ports: [\"{}:5000\", \"9000\"]\n    env: {{LOG_LEVEL: info, GREETING: \"hello from {service}\"}}\n    \
             healthcheck: {{path: /up, interval: 2s, timeout: 2s, retries: 15}}\n",
            8000 + service
        ));
    }
    text.push_str("groups:\n");
    let services: Vec<String> = (0..SERVICES).map(|service| format!("service{service}")).collect();
    for group in 0..GROUPS {
        text.push_str(&format!(
            "  group{group}: {{size: t3.small, scale: {HOSTS}, ports: {{public: [\"8000\"]}}, services: [{}]}}\n",
            services.join(", ")
        ));
    }
    config::load(&text, "skipper.yml").expect("a sound file")
}

#[expect(clippy::expect_used, reason = "the names are written here")]
fn desired(config: &Config, release: u8) -> Desired {
    let digest = format!("sha256:{}", hex_digest(&[release]));
    let images = config.services.iter().map(|(name, service)| {
        let digest = digest.parse().expect("a digest");
        (name.clone(), PinnedImage { repository: service.repository.clone(), digest })
    });
    let revision: Revision = hex_digest(&[release])[..40].parse().expect("a commit");
    let release = Release { revision, images: images.collect(), secrets: BTreeMap::new() };
    Desired::new(config, "production".parse().expect("a name"), &release)
}

fn launch_facts(config: &Config) -> BTreeMap<skipper_core::name::GroupName, LaunchFacts> {
    let ready = LaunchFacts::Ready {
        image: "ami-0".to_owned(),
        image_name: "Flatcar-stable-4593.2.5-hvm".to_owned(),
        root_device: "/dev/xvda".to_owned(),
    };
    config.groups.keys().map(|group| (group.clone(), ready.clone())).collect()
}

/// The world after a plan of a first deploy.
fn carried_out(config: &Config, desired: &Desired, plan: &Plan) -> Observed {
    let mut observed = Observed { launch: launch_facts(config), ..Observed::default() };
    let mut members = Vec::new();
    for (index, host) in desired.hosts().enumerate() {
        observed.hosts.insert(host, observed_host(index));
    }
    for step in &plan.steps {
        match &step.action {
            Action::CreateSecurityGroup { security_group } => {
                let found = ObservedSecurityGroup {
                    id: security_group.tag(),
                    rules: Default::default(),
                    marked: Default::default(),
                };
                observed.security_groups.insert(security_group.clone(), found);
            }
            Action::AuthorizeIngress { security_group, rules } => {
                if let Some(found) = observed.security_groups.get_mut(security_group) {
                    found.rules.extend(rules.iter().cloned());
                }
            }
            Action::ConfigureHosts { members: chosen, .. } => members.clone_from(chosen),
            Action::StartReplicas { replicas } => {
                for fresh in replicas {
                    report(&mut observed, &fresh.placement.host).replicas.push(running(desired, &fresh.placement));
                }
            }
            _ => {}
        }
    }
    let configured = cluster(desired, &observed.hosts, &members, false).map(|cluster| Fleet.configuration(&cluster));
    let address = |host: &HostName| observed.hosts.get(host)?.private_address.clone();
    let etcd: Vec<EtcdMember> = members
        .iter()
        .filter_map(|host| Some(EtcdMember { address: address(host)?, state: MemberState::Healthy }))
        .collect();
    for host in desired.hosts() {
        let membership = if members.contains(&host) { Membership::Member } else { Membership::None };
        let report = report(&mut observed, &host);
        report.configured.clone_from(&configured);
        report.membership = membership;
        report.etcd.clone_from(&etcd);
    }
    debug_assert!(observed.security_groups.contains_key(&SecurityGroup::Cluster));
    observed
}

fn observed_host(index: usize) -> ObservedHost {
    let address = format!("10.0.{}.{}", index / 250, index % 250 + 1);
    ObservedHost {
        instance: InstanceId(format!("i-{index:017x}")),
        state: InstanceState::Running,
        size: "t3.small".to_owned(),
        instance_store: false,
        private_address: Some(address.clone()),
        public_address: Some(address),
        agent: Agent::Online,
        report: Some(HostReport { fence: 1, ..HostReport::bare(OrchestratorState::Ready) }),
    }
}

#[expect(clippy::expect_used, reason = "every host was given one")]
fn report<'a>(observed: &'a mut Observed, host: &HostName) -> &'a mut HostReport {
    observed.hosts.get_mut(host).and_then(|found| found.report.as_mut()).expect("a report")
}

fn running(desired: &Desired, placement: &Placement) -> ObservedReplica {
    let probe = desired.services.get(&placement.replica.service).map(|service| Probe::from(&service.healthcheck));
    ObservedReplica {
        replica: placement.replica.clone(),
        handle: placement.handle.clone(),
        wanted: true,
        state: ReplicaState::Running,
        image: Some(placement.image.clone()),
        bindings: placement.bindings.clone(),
        probe: probe.map(|probe| probe.to_string()),
        health: Health::Healthy,
        since: Some("2026-01-01T00:00:00Z".to_owned()),
    }
}

/// The most memory that this process has had resident.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
