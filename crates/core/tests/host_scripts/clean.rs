//! Older images are removed, and none that something needs.

use std::collections::BTreeSet;

use skipper_core::{
    clean::Cleaning,
    image::Digest,
    orchestrator::{HostCleaned, HostErrorKind, Orchestrator as _, fleet::Fleet},
};

use crate::host::*;

const WEB: &str = "ghcr.io/acme/web";

fn digest(number: u32) -> Digest {
    format!("sha256:{number:064x}").parse().unwrap()
}

/// A line of what the engine has: image `number` of a repository, of 1000 bytes, as old as its number says.
fn stocked(repository: &str, number: u32) -> String {
    let moment = format!("2026-08-{:02}T10:11:12.5Z", number % 28 + 1);
    format!("sha256:id{number}\t{repository}\t<none>\t{}\t{moment}\t1000\n", digest(number))
}

fn stock(host: &Host, lines: impl IntoIterator<Item = String>) {
    host.write("world/stock", &lines.into_iter().collect::<String>());
}

fn cleaning(cutoff: u32, needed: &[u32]) -> Cleaning {
    let repositories = [WEB, "redis"].map(|name| name.parse().unwrap()).into();
    Cleaning { repositories, cutoff, needed: needed.iter().map(|number| digest(*number)).collect() }
}

fn clean(host: &Host, cleaning: &Cleaning) -> HostCleaned {
    Fleet.read_cleaned(&host.run(&Fleet.clean(&scope(), cleaning))).unwrap()
}

fn gone(cleaned: &HostCleaned) -> BTreeSet<&str> {
    cleaned.removed.iter().map(|(image, _)| image.as_str()).collect()
}

#[test]
fn the_newest_stay_and_what_is_older_goes_with_its_room() {
    let host = Host::configured();
    stock(&host, [3, 1, 5, 2, 4].map(|number| stocked(WEB, number)).into_iter().chain([stocked("redis", 9)]));
    let cleaned = clean(&host, &cleaning(3, &[]));
    let names = [1, 2].map(|number| format!("{WEB}@{}", digest(number)));
    assert_eq!(gone(&cleaned), names.iter().map(String::as_str).collect());
    assert_eq!((cleaned.freed, cleaned.removed[0].1, cleaned.stuck.len()), (Some(2000), 1000, 0));
    assert_eq!(host.read("world/stock").lines().count(), 4);
    // A second delivery finds nothing more to do.
    assert_eq!(clean(&host, &cleaning(3, &[])), HostCleaned { freed: Some(0), ..HostCleaned::default() });
}

#[test]
fn what_is_used_needed_or_on_record_stays_and_so_does_all_that_is_none_of_the_services() {
    let host = Host::configured();
    let mut lines: Vec<String> = (1..=5).map(|number| stocked(WEB, number)).collect();
    lines.extend(["ghcr.io/acme/web-2", "ghcr.io/acme", "docker.io/redis"].map(|other| stocked(other, 7)));
    lines.push(stocked("redis", 8));
    stock(&host, lines);
    host.write("world/image-of/demo-web_1", "sha256:id1\n");
    host.write(
        "var/lib/skipper/units/demo-web_2.service",
        &format!("  --name x \\\n  docker.io/a/b@{} \\\n", digest(3)),
    );
    let cleaned = clean(&host, &cleaning(0, &[2]));
    let names = [format!("{WEB}@{}", digest(4)), format!("{WEB}@{}", digest(5)), format!("redis@{}", digest(8))];
    assert_eq!(gone(&cleaned), names.iter().map(String::as_str).collect());
}

#[test]
fn an_image_of_two_repositories_loses_its_names_in_one_alone() {
    let host = Host::configured();
    let tagged = |repository: &str, tag: &str| stocked(repository, 1).replace("<none>", tag);
    stock(&host, [tagged(WEB, "v1"), tagged(WEB, "v2"), stocked("mine", 1)]);
    let cleaned = clean(&host, &cleaning(0, &[]));
    assert_eq!((cleaned.removed.len(), cleaned.freed), (1, Some(0)));
    assert_eq!(host.read("world/stock"), stocked("mine", 1));
}

#[test]
fn an_image_that_docker_does_not_let_go_is_told_and_keeps_no_other() {
    let host = Host::configured();
    stock(&host, (1..=2).map(|number| stocked(WEB, number)));
    host.write("world/held", &format!("{WEB}@{}\n", digest(1)));
    let cleaned = clean(&host, &cleaning(0, &[]));
    assert_eq!(cleaned.removed.len(), 1);
    let (image, why) = &cleaned.stuck[0];
    assert_eq!(*image, format!("{WEB}@{}", digest(1)));
    assert!(why.contains("unable to remove repository reference"), "{why}");
}

#[test]
fn where_docker_does_not_answer_nothing_is_removed() {
    let host = Host::configured();
    stock(&host, [stocked(WEB, 1)]);
    host.write("world/docker-says", "Cannot connect to the Docker daemon\n");
    let output = host.run(&Fleet.clean(&scope(), &cleaning(0, &[])));
    let told = said(Fleet.read_cleaned(&output).map(drop));
    assert_eq!(told, (HostErrorKind::Other, "docker images: Cannot connect to the Docker daemon".to_owned()));
    assert_eq!(host.calls("docker rmi"), 0);
}

#[test]
fn more_names_than_an_answer_holds_are_counted() {
    let host = Host::configured();
    let noise = |number: u32| skipper_core::image::hex_digest(&number.to_be_bytes());
    let line = |number: u32| format!("id{number}\t{WEB}\t<none>\tsha256:{}\t2026-08-01T00:00:00Z\t10\n", noise(number));
    stock(&host, (0..700).map(line));
    let output = host.run(&Fleet.clean(&scope(), &cleaning(100, &[])));
    assert!(output.split(":end").next().unwrap().len() < 24_000, "Systems Manager would cut it");
    let cleaned = Fleet.read_cleaned(&output).unwrap();
    assert_eq!((cleaned.removed.len() as u64 + cleaned.unnamed, cleaned.freed), (600, Some(6000)));
    assert!(cleaned.unnamed > 0 && cleaned.removed.len() > 200, "{}", cleaned.removed.len());
}

#[test]
fn a_host_that_has_seen_a_later_lease_cleans_nothing() {
    let host = Host::configured();
    stock(&host, [stocked(WEB, 1)]);
    host.run(&Fleet.observe(&scope()).fenced(9));
    let output = host.run(&Fleet.clean(&scope(), &cleaning(0, &[])).fenced(8));
    assert_eq!(said(Fleet.read_cleaned(&output).map(drop)).0, HostErrorKind::Fenced);
    assert_eq!(host.calls("docker rmi"), 0);
}
