//! Groups: hosts, their public ports and the services they carry.

use super::*;
use crate::{
    config::{Group, InstanceType},
    image::is_lower_hex,
    name::{GroupName, ServiceName},
};

impl Reader {
    /// `known` are the services of the file; `fleet` has its archives, unless something is wrong with those.
    pub(super) fn groups(
        &mut self,
        entry: &Entry<'_>,
        known: &[&str],
        fleet: Option<&Archives>,
    ) -> Option<BTreeMap<GroupName, Group>> {
        let mut groups = BTreeMap::new();
        let mut whole = true;
        for (key, entry) in self.entries(entry)? {
            let name: Option<GroupName> = self.parse_text(key, entry.key, "a name for a group");
            let group = self.group(&entry, known, fleet);
            match name.zip(group) {
                Some((name, group)) => drop(groups.insert(name, group)),
                None => whole = false,
            }
        }
        whole.then_some(groups)
    }

    fn group(&mut self, entry: &Entry<'_>, known: &[&str], fleet: Option<&Archives>) -> Option<Group> {
        let section: raw::Group<'_> = self.section(entry)?;
        let size = section.size.as_ref().and_then(|size| self.size(size, fleet));
        let scale = section.scale.as_ref().map_or(Some(1), |scale| self.integer(scale, 0..=MOST_REPLICAS));
        let services =
            section.services.as_ref().map_or(Some(Vec::new()), |services| self.service_list(services, known));
        // What is wrong with the list hides nothing of the ports of those on it.
        let listed: Vec<&str> = section.services.as_ref().map(|services| texts_of(services.value)).unwrap_or_default();
        self.host_port_collisions(&listed);
        let in_doubt = listed.iter().any(|service| !known.contains(service) || self.ports_in_doubt.contains(*service));
        let public_ports =
            section.ports.as_ref().map_or(Some(Vec::new()), |ports| self.public_ports(ports, &listed, in_doubt));
        let instance_profile =
            section.instance_profile.as_ref().map_or(Some("skipper-host"), |profile| self.instance_profile(profile));
        let subnets = section
            .subnets
            .as_ref()
            .map_or(Some(Vec::new()), |subnets| self.list(subnets, |reader, item| reader.resource_id(item, "subnet-")));
        let ami = section.ami.as_ref().map_or(Some(None), |ami| self.resource_id(ami, "ami-").map(Some));
        let disk = section.disk.as_ref().map_or(Some(None), |disk| self.integer(disk, DISK).map(Some));
        let elastic = section.address.as_ref().map_or(Some(false), |address| self.address_kind(address));
        Some(Group {
            size: size?,
            scale: scale?,
            public_ports: public_ports?,
            services: services?,
            instance_profile: instance_profile?.to_owned(),
            subnets: subnets?,
            ami: ami?,
            disk: disk?,
            elastic: elastic?,
        })
    }

    fn address_kind(&mut self, entry: &Entry<'_>) -> Option<bool> {
        let is_elastic = self.text(entry)? == "elastic";
        if !is_elastic {
            self.expected(entry, "`elastic`, or left out");
        }
        is_elastic.then_some(true)
    }

    fn size(&mut self, entry: &Entry<'_>, fleet: Option<&Archives>) -> Option<InstanceType> {
        let size: InstanceType = self.parse(entry, "a size")?;
        if fleet.is_some_and(|fleet| fleet.for_processor(size.architecture()).is_none()) {
            let problem = Diagnostic::error(
                entry.place(),
                format!("`{size}` has an arm64 processor, and fleet's release is for amd64"),
            );
            self.report(
                problem.hint(
                    "choose an amd64 size such as `t3.small`, or set `fleet.arm64.url` to an arm64 build of fleet",
                ),
            );
            return None;
        }
        Some(size)
    }

    fn service_list(&mut self, entry: &Entry<'_>, known: &[&str]) -> Option<Vec<ServiceName>> {
        let mut seen: Vec<(&str, Span)> = Vec::new();
        self.list(entry, |reader, item| {
            let text = reader.text(item)?;
            if !known.contains(&text) {
                let problem = Diagnostic::error(item.place(), format!("there is no service `{}`", shown(text)));
                let hint = match reader.nearest(text, known) {
                    Some(near) => format!("did you mean `{}`?", shown(near)),
                    None => format!("the services of this file are {}", listed(known)),
                };
                reader.report(problem.hint(hint));
                return None;
            }
            if let Some((_, first)) = seen.iter().find(|(other, _)| *other == text) {
                let problem = Diagnostic::error(item.place(), format!("service `{}` is there twice", shown(text)));
                reader.report(
                    problem
                        .label("again")
                        .related(*first, "first")
                        .hint("its `scale` says how many replicas a host runs"),
                );
                return None;
            }
            seen.push((text, item.place()));
            // A wrong name has been reported where the service is.
            text.parse().ok()
        })
    }

    /// Two services of one host cannot have the same port of it.
    fn host_port_collisions(&mut self, services: &[&str]) {
        let mut taken: BTreeMap<u16, (&str, Span)> = BTreeMap::new();
        let ports: Vec<(&str, u16, Span)> = services
            .iter()
            .flat_map(|service| {
                self.host_ports.get(*service).into_iter().flatten().map(|(port, place)| (*service, *port, *place))
            })
            .collect();
        for (service, port, place) in ports {
            match taken.get(&port) {
                Some((first, first_place)) if *first != service => {
                    let message = format!(
                        "services `{first}` and `{service}` fix the same port {port} on the hosts of one group"
                    );
                    let problem = Diagnostic::error(place, message).label("again").related(*first_place, "first");
                    self.report(problem.hint("give one another host port, or put the services into different groups"));
                }
                Some(_) => {}
                None => drop(taken.insert(port, (service, place))),
            }
        }
    }

    fn public_ports(&mut self, entry: &Entry<'_>, services: &[&str], in_doubt: bool) -> Option<Vec<u16>> {
        let section: raw::GroupPorts<'_> = self.section(entry)?;
        let Some(public) = &section.public else { return Some(Vec::new()) };
        let published: Vec<u16> = services
            .iter()
            .flat_map(|service| self.host_ports.get(*service).into_iter().flatten().map(|(port, _)| *port))
            .collect();
        let mut seen: Vec<(u16, Span)> = Vec::new();
        let mut ports = self.list(public, |reader, item| {
            let port = reader.port(item)?;
            let place = item.place();
            let refuse = |why: &str| Diagnostic::error(place, format!("port {port} cannot be public")).label(why);
            match port {
                22 => {
                    reader
                        .report(refuse("hosts are reached over AWS Systems Manager, without SSH").hint("leave it out"));
                    return None;
                }
                2379 | 2380 => {
                    reader
                        .report(refuse("it is etcd's: whoever reaches it is root on every host").hint("leave it out"));
                    return None;
                }
                _ => {}
            }
            if let Some((_, first)) = seen.iter().find(|(other, _)| *other == port) {
                let problem = Diagnostic::error(place, format!("port {port} is there twice"));
                reader.report(problem.label("again").related(*first, "first").hint("keep one of them"));
                return None;
            }
            seen.push((port, place));
            if !in_doubt && !published.contains(&port) {
                let problem = Diagnostic::error(place, format!("no service of the group publishes port {port}"));
                reader.report(problem.hint(format!("add `ports: [\"{port}:CONTAINER\"]` to one of its services")));
                return None;
            }
            Some(port)
        })?;
        ports.sort_unstable();
        Some(ports)
    }

    /// The form is IAM's: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_InstanceProfile.html>.
    fn instance_profile<'a>(&mut self, entry: &Entry<'a>) -> Option<&'a str> {
        let name = self.text(entry)?;
        let inner = |char: char| char.is_ascii_alphanumeric() || "_+=,.@-".contains(char);
        if name.len() > 128 || !name.chars().all(inner) {
            self.expected(entry, "the name of an instance profile, not its ARN");
            return None;
        }
        Some(name)
    }

    /// An identifier such as `subnet-0123456789abcdef0`.
    fn resource_id(&mut self, entry: &Entry<'_>, prefix: &str) -> Option<String> {
        let id = self.text(entry)?;
        let digits = id.strip_prefix(prefix).unwrap_or_default();
        if !(8..=17).contains(&digits.len()) || !is_lower_hex(digits, digits.len()) {
            self.expected(entry, &format!("an identifier such as `{prefix}0123456789abcdef0`"));
            return None;
        }
        Some(id.to_owned())
    }
}

/// The texts of a list, each once.
fn texts_of(list: &Node) -> Vec<&str> {
    let items = if let Value::List(items) = &list.value { items.as_slice() } else { &[] };
    let mut seen = BTreeSet::new();
    items.iter().filter_map(Node::spelling).filter(|text| seen.insert(*text)).collect()
}
