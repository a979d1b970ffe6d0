//! Where the world finds a release: the address of one host and a public port of it.

use crate::{
    config::{Config, Group, Port},
    desired::Binding,
    event::{ReplicaRow, StateTable},
    plan::SHARED_PUBLIC_PORTS,
};

/// The address of what runs: that of the first host on which something serves at a port that its group makes public.
///
/// Nothing where no port is public, or nothing serves at one. Of several ports it is the lowest.
pub fn of(config: &Config, state: &StateTable) -> Option<String> {
    state.hosts.iter().find_map(|host| {
        let group = config.groups.get(&host.host.group)?;
        let serving = state.serving().filter(|row| row.host == host.host);
        let (public, port) = serving.flat_map(|row| public_ports(config, group, row)).min()?;
        Some(address(host.address.as_deref()?, public, port))
    })
}

/// The public ports of the file at which a replica is reached, each with the host port that it has: another one where hosts are
/// shared.
fn public_ports(config: &Config, group: &Group, row: &ReplicaRow) -> Vec<(u16, u16)> {
    let ports = config.services.get(&row.service).into_iter().flat_map(|service| &service.ports);
    let bindings = row.found.iter().flat_map(|found| &found.bindings);
    let reached = |(port, binding): (&Port, &Binding)| {
        let public = port.host.filter(|host| group.public_ports.contains(host))?;
        let is_open = binding.host == public || SHARED_PUBLIC_PORTS.contains(&binding.host);
        (port.container == binding.container && is_open).then_some((public, binding.host))
    };
    ports.zip(bindings).filter_map(reached).collect()
}

/// Ports that a browser goes to by itself are not written.
fn address(host: &str, public: u16, port: u16) -> String {
    let scheme = if public == 443 { "https" } else { "http" };
    match port {
        80 | 443 if port == public => format!("{scheme}://{host}"),
        port => format!("{scheme}://{host}:{port}"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;
    use crate::{
        config::load,
        desired::Binding,
        event::HostRow,
        observed::{Agent, Handle, Health, ObservedReplica, ReplicaState},
    };

    fn config(public: &str) -> Config {
        let source = format!(
            "name: demo\nservices:\n  web: {{repo: {{name: a/web, tag: \"1\"}}, ports: [\"80:5000\", \"8080:5001\"]}}\n  \
             admin: {{repo: {{name: a/admin, tag: \"1\"}}, ports: [\"443:5000\"]}}\n\
             groups:\n  app: {{size: t3.small, scale: 2, ports: {{public: {public}}}, services: [web, admin]}}\n"
        );
        load(&source, "skipper.yml").unwrap()
    }

    fn host(number: u32, address: Option<&str>) -> HostRow {
        HostRow {
            host: format!("app_{number}").parse().unwrap(),
            instance: format!("i-{number}"),
            state: "running".to_owned(),
            address: address.map(str::to_owned),
            size: "t3.small".to_owned(),
            agent: Agent::Online,
        }
    }

    fn replica(service: &str, host: u32, ports: &[u16], health: Health) -> ReplicaRow {
        let found = ObservedReplica {
            replica: format!("{service}_{host}").parse().unwrap(),
            handle: Handle(format!("{service}-{host}")),
            wanted: true,
            state: ReplicaState::Running,
            image: None,
            bindings: ports.iter().zip(5000..).map(|(&host, container)| Binding { host, container }).collect(),
            probe: None,
            health,
            since: None,
        };
        ReplicaRow {
            host: format!("app_{host}").parse().unwrap(),
            instance: None,
            address: None,
            replica: found.replica.to_string(),
            service: service.parse().unwrap(),
            revision: None,
            wanted: true,
            found: Some(found),
        }
    }

    fn state(hosts: Vec<HostRow>, replicas: Vec<ReplicaRow>) -> StateTable {
        StateTable { hosts, replicas, gaps: Vec::new(), url: None }
    }

    #[test]
    fn a_release_is_found_at_the_first_host_s_public_port() {
        let both = state(
            vec![host(1, Some("203.0.113.1")), host(2, Some("203.0.113.2"))],
            vec![replica("web", 1, &[80, 8080], Health::Healthy), replica("web", 2, &[80, 8080], Health::Healthy)],
        );
        assert_eq!(of(&config("[\"80\"]"), &both).as_deref(), Some("http://203.0.113.1"));
        assert_eq!(of(&config("[\"8080\", \"80\"]"), &both).as_deref(), Some("http://203.0.113.1"));
        assert_eq!(of(&config("[\"8080\"]"), &both).as_deref(), Some("http://203.0.113.1:8080"));
    }

    #[test]
    fn a_host_where_it_does_not_serve_or_that_has_no_address_is_passed_over() {
        let sick = replica("web", 1, &[80], Health::Unhealthy("500".to_owned()));
        let well = replica("web", 2, &[80], Health::Healthy);
        let hosts = vec![host(1, Some("203.0.113.1")), host(2, Some("203.0.113.2"))];
        let found = of(&config("[\"80\"]"), &state(hosts, vec![sick, well]));
        assert_eq!(found.as_deref(), Some("http://203.0.113.2"));
        let nowhere = state(vec![host(1, None)], vec![replica("web", 1, &[80], Health::Healthy)]);
        assert_eq!(of(&config("[\"80\"]"), &nowhere), None);
    }

    #[test]
    fn on_shared_hosts_a_public_port_is_found_at_the_one_that_was_chosen_for_it() {
        let shared = state(
            vec![host(1, Some("203.0.113.1"))],
            vec![
                replica("web", 1, &[20_080, 25_001], Health::Healthy),
                replica("admin", 1, &[20_443], Health::Healthy),
            ],
        );
        assert_eq!(of(&config("[\"80\"]"), &shared).as_deref(), Some("http://203.0.113.1:20080"));
        assert_eq!(of(&config("[\"443\"]"), &shared).as_deref(), Some("https://203.0.113.1:20443"));
        assert_eq!(of(&config("[\"8080\"]"), &shared), None);
    }

    #[test]
    fn the_port_of_tls_makes_an_address_of_tls() {
        let secure = state(vec![host(1, Some("203.0.113.1"))], vec![replica("admin", 1, &[443], Health::Healthy)]);
        assert_eq!(of(&config("[\"443\"]"), &secure).as_deref(), Some("https://203.0.113.1"));
    }

    #[test]
    fn what_is_not_public_or_not_wanted_has_no_address() {
        let closed = state(vec![host(1, Some("203.0.113.1"))], vec![replica("web", 1, &[80], Health::Healthy)]);
        assert_eq!(of(&config("[]"), &closed), None);
        let mut left_over = closed;
        left_over.replicas[0].wanted = false;
        assert_eq!(of(&config("[\"80\"]"), &left_over), None);
        assert_eq!(of(&config("[\"80\"]"), &StateTable::default()), None);
    }
}
