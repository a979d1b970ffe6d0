//! Builds that fail, engines that are not there, and registries in trouble.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixListener,
    path::Path,
};

use super::{Trials, changed_nothing, fresh};
use crate::{
    World,
    errors::Section,
    shop::{Shop, run},
};

pub(super) const TRIALS: Trials = &[
    ("a_build_that_fails_shows_its_last_lines", a_build_that_fails_shows_its_last_lines),
    ("a_base_image_that_does_not_exist_is_told_in_the_builder_s_words", a_base_image_that_does_not_exist),
    ("without_an_engine_that_can_build_nothing_is_deployed", without_an_engine_that_can_build_nothing_is_deployed),
    ("a_registry_in_trouble_is_waited_for_and_named", a_registry_in_trouble_is_waited_for_and_named),
    ("an_image_that_hosts_cannot_run_is_told_before_anything_changes", an_image_that_hosts_cannot_run),
    ("an_image_that_has_lost_a_part_is_built_anew", an_image_that_has_lost_a_part_is_built_anew),
];

fn a_build_that_fails_shows_its_last_lines(world: &World) {
    let shop = fresh(world, "unbuilt");
    shop.append("web/Dockerfile", "RUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo words before the end; exit 9\"]\n");
    let told = world.refusal(&shop, Section::Images, "a Dockerfile that fails", || shop.ship(world, "a failing build"));
    told.ends_with(4).says("  | words before the end").says("failed to make the image of service `web` ready");
    changed_nothing(world);
}

fn a_base_image_that_does_not_exist(world: &World) {
    let shop = fresh(world, "baseless");
    let base = format!("{}/nobody/nothing:1", world.lab.topology().registry());
    shop.replace("web/Dockerfile", "FROM scratch", &format!("FROM {base}"));
    let told =
        world.refusal(&shop, Section::Images, "a base image that does not exist", || shop.ship(world, "no base"));
    told.ends_with(4).says(&base).says("hint: check the `FROM` of the Dockerfile");
    changed_nothing(world);
}

fn without_an_engine_that_can_build_nothing_is_deployed(world: &World) {
    let shop = fresh(world, "engineless");
    let (sha, _) = shop.merge(world, "a commit to build");
    let at = |name: &str| shop.folder.join(name);
    std::fs::create_dir(at("folder")).unwrap();
    engine(&at("old"), "1.40");
    engine(&at("dying"), "1.41");
    let cases = [
        ("no Docker socket", "gone", "there is no such socket"),
        ("a folder in the place of Docker's socket", "folder", "it is an empty folder"),
        ("an engine that is too old", "old", "its API 1.40 is too old: 1.41 is needed"),
    ];
    for (input, socket, words) in cases {
        let job = shop.job(world, &sha).variable("DOCKER_HOST", &format!("unix://{}", at(socket).display()));
        let told = world.refusal(&shop, Section::Images, input, || run(&job, &["ship"], 0));
        told.ends_with(4).says(words).says("hint: ");
        changed_nothing(world);
    }
    // In which words the connection ends differs from one time to the next.
    let job = shop.job(world, &sha).variable("DOCKER_HOST", &format!("unix://{}", at("dying").display()));
    run(&job, &["ship"], 0)
        .ends_with(4)
        .says("build `Dockerfile` in")
        .says("hint: see that the Docker engine still runs");
    changed_nothing(world);
}

/// An engine of this version at a socket, which ends every connection on which it is asked to build.
fn engine(socket: &Path, api: &'static str) {
    let listener = UnixListener::bind(socket).unwrap();
    // It ends with the process of the trials.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            if head(&mut stream).contains("/version") {
                let body = format!(r#"{{"Version": "20.10.24", "ApiVersion": "{api}"}}"#);
                let _ = stream.write_all(answer("200 OK", "application/json", "", &body).as_bytes());
            }
        }
    });
}

fn a_registry_in_trouble_is_waited_for_and_named(world: &World) {
    let limit = r#"{"errors": [{"code": "TOOMANYREQUESTS", "message": "\u001b[31mpull rate limit\n::error::PWNED"}]}"#;
    let refused = r#"{"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]}"#;
    let json = "application/json";
    let cases: [(&str, &str, String, i32, &[&str]); 5] = [
        (
            "a registry that refuses the login",
            "locked",
            answer("401 Unauthorized", json, "Www-Authenticate: Basic realm=\"locked\"\r\n", refused),
            3,
            &["refuses the login of user `somebody`", "hint: give a user name and password"],
        ),
        (
            "a registry that limits requests and says for how long",
            "limiting",
            answer("429 Too Many Requests", json, "Retry-After: 3600\r\n", limit),
            4,
            &["asks to wait 3600 s", "pull rate limit", "hint: registries allow more to those they know: log in"],
        ),
        (
            "a registry that limits requests",
            "limited",
            answer("429 Too Many Requests", json, "", limit),
            4,
            &["429 Too Many Requests", "hint: registries allow more to those they know: log in"],
        ),
        (
            "a registry that answers 503 for longer than it is asked",
            "unwell",
            answer("503 Service Unavailable", json, "Retry-After: 0\r\n", "{}"),
            4,
            &["503 Service Unavailable", "hint: run again when"],
        ),
        (
            "a registry that resets connections",
            "resetting",
            String::new(),
            4,
            &["no answer from the registry", "hint: "],
        ),
    ];
    for (input, name, answer, code, words) in cases {
        let shop = fresh(world, name);
        let registry = registry(move |_| answer.clone());
        shop.replace("skipper.yml", &world.lab.topology().registry(), &registry);
        let (sha, _) = shop.merge(world, "a registry in trouble");
        let job =
            shop.job(world, &sha).input("registry-username", "somebody").input("registry-password", "canary-password");
        let told = world.refusal(&shop, Section::Images, input, || run(&job, &["ship"], 0));
        let told = words.iter().fold(told.ends_with(code).says(&registry), |told, words| told.says(words));
        let log = &told.outcome.log;
        assert!(!log.contains("canary-password") && !log.contains("\n::error::PWNED"), "{log}");
        changed_nothing(world);
    }
}

fn an_image_that_hosts_cannot_run(world: &World) {
    let index = r#"{"manifests": [{"digest": "DIGEST", "platform": {"os": "linux", "architecture": "arm64"}}]}"#;
    let index = index.replace("DIGEST", &format!("sha256:{}", "a".repeat(64)));
    let manifest = r#"{"schemaVersion": 2, "layers": []}"#;
    let kind = |kind: &str| format!("application/vnd.oci.image.{kind}.v1+json");
    let registry = registry(move |path| match path.rsplit('/').next() {
        Some("arm") => answer("200 OK", &kind("index"), "", &index),
        Some(digest) if digest.starts_with("sha256:") => answer("200 OK", &kind("manifest"), "", manifest),
        _ => answer("404 Not Found", "application/json", "", "{}"),
    });
    let cases = [
        ("an image of another platform", "arm", "does not run on the hosts of group `web`, which are linux/amd64"),
        ("a tag that does not exist", "gone", "the registry has no tag `gone`"),
    ];
    for (input, tag, words) in cases {
        let shop = fresh(world, tag);
        external(&shop, &registry, tag);
        shop.skipper(world, &["plan"]).ends_with(4).says(words).says("hint: ");
        let told = world.refusal(&shop, Section::Images, input, || shop.skipper(world, &["ship"]));
        told.ends_with(4).says(words).says("hint: ");
        changed_nothing(world);
    }
}

/// Takes `web` from a tag of this registry.
fn external(shop: &Shop, registry: &str, tag: &str) {
    let name = &shop.name;
    let yml = std::fs::read_to_string(shop.folder.join("skipper.yml")).unwrap();
    let line = yml.lines().find(|line| line.contains(&format!("name: {name}/web"))).unwrap().to_owned();
    shop.replace(
        "skipper.yml",
        &line,
        &format!("    repo: {{name: {name}/web, registry: \"{registry}\", tag: {tag}}}"),
    );
    shop.replace("skipper.yml", "    build: web\n", "");
    shop.commit("an image of somebody else");
}

fn an_image_that_has_lost_a_part_is_built_anew(world: &World) {
    let shop = fresh(world, "parted");
    // What follows the images does not matter here.
    shop.replace("skipper.yml", "t3.small", "x9.huge");
    let built = shop.ship(world, "a commit").ends_with(5);
    let registry = world.lab.topology().registry();
    let image = &built.outcome.outputs["images"];
    let image: serde_json::Value = serde_json::from_str(image).unwrap();
    let digest = image["web"].as_str().unwrap().rsplit_once('@').unwrap().1.to_owned();
    let manifest = ask(&registry, "GET", &format!("/v2/parted/web/manifests/{digest}"));
    let manifest: serde_json::Value = serde_json::from_str(manifest.split_once("\r\n\r\n").unwrap().1).unwrap();
    let config = manifest["config"]["digest"].as_str().unwrap();
    let deleted = ask(&registry, "DELETE", &format!("/v2/parted/web/blobs/{config}"));
    assert!(deleted.starts_with("HTTP/1.1 202"), "{deleted}");
    let told = shop.ship(world, "the same sources").ends_with(5);
    told.says("so it is built anew").says("lost").says("image of `web` is");
}

/// A request to the lab's registry, and its answer.
fn ask(registry: &str, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(registry).unwrap();
    let accept = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json";
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {registry}\r\nAccept: {accept}\r\nConnection: close");
    write!(stream, "{head}\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// A registry on loopback that answers each path so; where the answer is empty, it resets the connection.
fn registry(answers: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // It ends with the process of the trials.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // What is closed with something unread in it is reset.
            let mut first = [0];
            let _ = stream.read(&mut first);
            if answers("").is_empty() {
                continue;
            }
            let head = head(&mut stream);
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let _ = stream.write_all(answers(&path).as_bytes());
        }
    });
    address
}

/// A request up to its body.
fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn answer(status: &str, kind: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Type: {kind}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}
