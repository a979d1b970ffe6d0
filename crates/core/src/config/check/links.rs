//! Links between services: each leads to a service that can be found, and none leads back.

use super::*;
use crate::{
    config::{Port, PreviewHosts, Service},
    name::ServiceName,
};

/// What every container knows itself by.
const ITSELF: &str = "localhost";

impl Reader {
    /// The services that one links to. They are remembered for the checks of all links together.
    pub(super) fn links(&mut self, service: &str, entry: &Entry<'_>, known: &[&str]) -> Option<Vec<ServiceName>> {
        let mut found: Vec<(String, Span)> = Vec::new();
        let links = self.list(entry, |reader, item| {
            let text = reader.text(item)?;
            let place = item.place();
            let to = shown(text);
            if text == service {
                let problem = Diagnostic::error(place, format!("service `{to}` links to itself"));
                reader.report(problem.hint("leave it out; a container reaches itself as `localhost`"));
                return None;
            }
            if !known.contains(&text) {
                let problem = Diagnostic::error(place, format!("there is no service `{to}`"));
                let hint = match reader.nearest(text, known) {
                    Some(near) => format!("did you mean `{}`?", shown(near)),
                    None => format!("the services of this file are {}", listed(known)),
                };
                reader.report(problem.hint(hint));
                return None;
            }
            if text == ITSELF {
                let problem = Diagnostic::error(place, format!("a service by the name `{ITSELF}` cannot be linked to"));
                reader.report(problem.label("every container is that to itself").hint("give it another name"));
                return None;
            }
            if let Some((_, first)) = found.iter().find(|(other, _)| other == text) {
                let problem = Diagnostic::error(place, format!("service `{to}` is there twice"));
                reader.report(problem.label("again").related(*first, "first").hint("keep one of them"));
                return None;
            }
            found.push((text.to_owned(), place));
            // A wrong name has been reported where the service is.
            text.parse().ok()
        });
        self.links.insert(service.to_owned(), found);
        links
    }

    /// What is wrong with the links of all services together; those that could be read are at hand.
    pub(super) fn check_links(&mut self, services: &BTreeMap<&str, &Service>) {
        let links = std::mem::take(&mut self.links);
        for (from, to, place) in each(&links) {
            let Some(service) = services.get(to) else { continue };
            if !service.ports.iter().any(|port| port.linked().is_some()) {
                self.report(without_a_port(from, to, place, &service.ports));
            }
        }
        for circle in circles(&links) {
            self.report(in_a_circle(&circle));
        }
        self.links = links;
    }

    /// The first link to a service from one that runs somewhere.
    pub(super) fn link_to(&self, service: &str, listed: &BTreeSet<&str>) -> Option<(&str, Span)> {
        let mut links = each(&self.links).filter(|(from, to, _)| *to == service && listed.contains(from));
        links.next().map(|(from, _, place)| (from, place))
    }

    /// No port of a host is fixed where previews share it, and a link is a name with the port of its service.
    pub(super) fn refuse_links_on_shared_hosts(&mut self, previews: &Previews) {
        if !self.for_previews || previews.hosts != PreviewHosts::Shared {
            return;
        }
        let links: Vec<(String, Span)> = each(&self.links).map(|(from, _, place)| (from.to_owned(), place)).collect();
        for (from, place) in links {
            let from = shown(&from);
            let problem =
                Diagnostic::error(place, format!("service `{from}` has a link, and previews share their hosts"));
            self.report(problem.label("no port is fixed there by which it could be found").hint(format!(
                "write `previews: {{hosts: own}}`, or take the links of previews away: `environments: {{preview: {{services: {{{from}: {{links: []}}}}}}}}`"
            )));
        }
    }
}

/// Every link: from, to, and where it stands.
fn each(links: &BTreeMap<String, Vec<(String, Span)>>) -> impl Iterator<Item = (&str, &str, Span)> {
    links.iter().flat_map(|(from, to)| to.iter().map(move |(to, place)| (from.as_str(), to.as_str(), *place)))
}

fn without_a_port(from: &str, to: &str, place: Span, ports: &[Port]) -> Diagnostic {
    let (from, to) = (shown(from), shown(to));
    let message = format!("service `{to}`, which `{from}` links to, has no port that is the same on its host");
    let port = ports.first().map_or_else(|| "PORT".to_owned(), |port| port.container.to_string());
    Diagnostic::error(place, message)
        .label("a link is a name: the port is the one that the service listens on")
        .hint(format!("write `ports: [\"{port}:{port}\"]` for `{to}`"))
}

fn in_a_circle(circle: &[(&str, Span)]) -> Diagnostic {
    let names: Vec<&str> = circle.iter().map(|(name, _)| *name).collect();
    let message = format!("services {} link in a circle", listed(&names));
    let mut places = circle.iter().map(|(_, place)| *place);
    let problem = Diagnostic::error(places.next().unwrap_or(START), message)
        .label("a service starts after those that it links to")
        .hint("take one of these links away");
    places.take(3).fold(problem, |problem, place| problem.related(place, "and on"))
}

/// The circles that links go in, no two of which have a service in common: the services of each, with its link to the next one.
fn circles(links: &BTreeMap<String, Vec<(String, Span)>>) -> Vec<Vec<(&str, Span)>> {
    let mut left: BTreeMap<&str, Vec<(&str, Span)>> = BTreeMap::new();
    let mut linked_from: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to, place) in each(links) {
        left.entry(from).or_default().push((to, place));
        linked_from.entry(to).or_default().push(from);
    }
    // How many links a service has to others that may be in a circle.
    let mut open: BTreeMap<&str, usize> = left.iter().map(|(from, to)| (*from, to.len())).collect();
    let mut ends: Vec<&str> = linked_from.keys().copied().filter(|service| !left.contains_key(service)).collect();
    let mut circles = Vec::new();
    loop {
        // A service all of whose links end somewhere is in none.
        while let Some(end) = ends.pop() {
            for from in linked_from.get(end).into_iter().flatten() {
                let Some(count) = open.get_mut(from) else { continue };
                *count -= 1;
                if *count == 0 {
                    open.remove(from);
                    ends.push(from);
                }
            }
        }
        // Any other leads on to one that is left, and so at last to one where the walk has been.
        let Some(mut here) = open.keys().next().copied() else { return circles };
        let mut walk: Vec<(&str, Span)> = Vec::new();
        let mut been: BTreeMap<&str, usize> = BTreeMap::new();
        while !been.contains_key(here) {
            let next = left.get(here).and_then(|to| to.iter().find(|(to, _)| open.contains_key(to)));
            let Some((to, place)) = next.copied() else { return circles };
            been.insert(here, walk.len());
            walk.push((here, place));
            here = to;
        }
        let circle = walk.split_off(been[here]);
        for (service, _) in &circle {
            open.remove(service);
            ends.push(service);
        }
        circles.push(circle);
    }
}
