//! Builds that fail, and registries that refuse.

use super::{Trials, changed_nothing, fresh};
use crate::{World, errors::Section, shop::run};

pub(super) const TRIALS: Trials = &[
    ("a_build_that_fails_shows_its_last_lines", a_build_that_fails_shows_its_last_lines),
    ("a_registry_that_refuses_the_login_is_named", a_registry_that_refuses_the_login_is_named),
];

fn a_build_that_fails_shows_its_last_lines(world: &World) {
    let shop = fresh(world, "unbuilt");
    shop.append("web/Dockerfile", "RUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo words before the end; exit 9\"]\n");
    world.lab.cloud().clear_calls().unwrap();
    let told = world.refusal(&shop, Section::Images, "a Dockerfile that fails", || shop.ship(world, "a failing build"));
    told.ends_with(4).says("  | words before the end").says("failed to make the image of service `web` ready");
    changed_nothing(world);
}

fn a_registry_that_refuses_the_login_is_named(world: &World) {
    let shop = fresh(world, "locked");
    let registry = refusing_registry();
    shop.replace("skipper.yml", &world.lab.topology().registry(), &registry);
    let (sha, _) = shop.merge(world, "a registry that refuses");
    let job =
        shop.job(world, &sha).input("registry-username", "somebody").input("registry-password", "canary-password");
    let told = world.refusal(&shop, Section::Images, "a registry that refuses the login", || run(&job, &["ship"], 0));
    let told = told.ends_with(3).says(&registry).says("hint: ");
    assert!(!told.outcome.log.contains("canary-password"), "{}", told.outcome.log);
}

/// A registry on loopback that answers every request with 401.
fn refusing_registry() -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // It ends with the process of the trials.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}"#;
            let head = "HTTP/1.1 401 Unauthorized\r\nWww-Authenticate: Basic realm=\"locked\"\r\nContent-Type: application/json\r\nConnection: close";
            let _ = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}
