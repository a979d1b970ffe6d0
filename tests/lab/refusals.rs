//! What bad input gets: a clear message with what to do, the right exit code, and nothing changed.

use skipper_lab::github::{Failure, Fault};

use crate::{World, shop::Shop};

pub(crate) const TRIALS: &[(&str, fn(&World))] = &[
    ("a_file_that_is_not_right_touches_nothing", a_file_that_is_not_right_touches_nothing),
    ("a_build_that_fails_shows_its_last_lines", a_build_that_fails_shows_its_last_lines),
    ("credentials_that_are_missing_or_wrong_are_refused", credentials_that_are_missing_or_wrong_are_refused),
    ("a_registry_that_refuses_the_login_is_named", a_registry_that_refuses_the_login_is_named),
    ("what_a_launch_lacks_is_told_before_anything_changes", what_a_launch_lacks_is_told_before_anything_changes),
    ("an_archive_that_is_missing_or_another_is_not_installed", an_archive_that_is_missing_or_another_is_not_installed),
    (
        "github_in_trouble_is_a_warning_and_the_deployment_stands",
        github_in_trouble_is_a_warning_and_the_deployment_stands,
    ),
];

/// A project on one host that has not been deployed.
fn fresh(world: &World, name: &str) -> Shop {
    let shop = Shop::make(world, name).on_one_host();
    shop.commit("the first commit");
    shop
}

fn changed_nothing(world: &World) {
    let calls = world.lab.cloud().calls().unwrap();
    let mutating =
        ["RunInstances", "CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "SendCommand", "PutParameter"];
    assert!(mutating.iter().all(|call| !calls.contains_key(*call)), "{calls:?}");
}

fn a_file_that_is_not_right_touches_nothing(world: &World) {
    let shop = fresh(world, "wrong");
    let good = std::fs::read_to_string(shop.folder.join("skipper.yml")).unwrap();
    world.lab.cloud().clear_calls().unwrap();
    let cases: [(&str, &str, &[&str]); 7] = [
        ("name: wrong\n", "name: [wrong\n", &["skipper.yml:"]),
        ("services:\n", "servcies:\n", &["`servcies` is not a key", "did you mean `services`?"]),
        ("repo: {name: wrong/web, ", "repo: {", &["`services.web.repo.name` is missing"]),
        ("services: [web, clock]", "services: [wbe, clock]", &["there is no service `wbe`", "did you mean `web`?"]),
        ("[\"80:5000\"]", "[\"80:5000\", \"80:5001\"]", &["port 80 of the host is there twice"]),
        ("[\"80:5000\"]", "[\"80:70000\"]", &["ports from 1 to 65535"]),
        (
            "    build: web\n",
            "    build: web\n    secrets: [KEY]\n    scael: 2\n",
            &["`services.web.secrets` is not built yet", "`services.web.scael`"],
        ),
    ];
    for (from, to, words) in cases {
        assert!(good.contains(from), "{from}");
        std::fs::write(shop.folder.join("skipper.yml"), good.replacen(from, to, 1)).unwrap();
        let told = shop
            .skipper(world, &["ship"])
            .ends_with(2)
            .says("nothing was touched")
            .says("::error file=skipper.yml,line=");
        assert_eq!(told.outcome.outputs["status"], "bad-input");
        words.iter().fold(told, |told, words| told.says(words));
    }
    std::fs::remove_file(shop.folder.join("skipper.yml")).unwrap();
    shop.skipper(world, &["ship"]).ends_with(2).says("skipper.yml").says("hint: ");
    assert!(world.lab.cloud().calls().unwrap().is_empty());
}

fn a_build_that_fails_shows_its_last_lines(world: &World) {
    let shop = fresh(world, "unbuilt");
    shop.append("web/Dockerfile", "RUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo words before the end; exit 9\"]\n");
    world.lab.cloud().clear_calls().unwrap();
    let told = shop.ship(world, "a Dockerfile that fails").ends_with(4);
    told.says("  | words before the end").says("failed to make the image of service `web` ready");
    changed_nothing(world);
}

fn credentials_that_are_missing_or_wrong_are_refused(world: &World) {
    let shop = fresh(world, "strangers");
    let sha = shop.commit("a commit");
    world.lab.cloud().clear_calls().unwrap();
    let missing = shop
        .job(world, &sha)
        .without("AWS_ACCESS_KEY_ID")
        .without("AWS_SECRET_ACCESS_KEY")
        .variable("AWS_EC2_METADATA_DISABLED", "true");
    let told = crate::shop::run(&missing, &["ship"], 0)
        .ends_with(3)
        .says("no usable AWS credentials")
        .says("hint: set `AWS_ACCESS_KEY_ID`");
    assert_eq!(told.outcome.outputs["status"], "refused");
    let wrong = shop.job(world, &sha).variable("AWS_ACCESS_KEY_ID", "AKIAWRONGWRONGWRONG1");
    crate::shop::run(&wrong, &["ship"], 0).ends_with(3).says("InvalidClientTokenId");
    shop.replace("skipper.yml", "\"123456789012\"", "\"210987654321\"");
    shop.ship(world, "another account").ends_with(3).says("`123456789012`").says("`210987654321`");
    changed_nothing(world);
}

fn a_registry_that_refuses_the_login_is_named(world: &World) {
    let shop = fresh(world, "locked");
    let registry = refusing_registry();
    shop.replace("skipper.yml", &world.lab.topology().registry(), &registry);
    let (sha, _) = shop.merge(world, "a registry that refuses");
    let job =
        shop.job(world, &sha).input("registry-username", "somebody").input("registry-password", "canary-password");
    let told = crate::shop::run(&job, &["ship"], 0).ends_with(3).says(&registry).says("hint: ");
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

fn what_a_launch_lacks_is_told_before_anything_changes(world: &World) {
    let shop = fresh(world, "lacking");
    let cases: [(&str, &[&str]); 3] = [
        ("scale: 1\n    instance_profile: nobody", &["instance profile", "`nobody`", "AmazonSSMManagedInstanceCore"]),
        ("scale: 1\n    ami: ami-0123456789abcdef0", &["ami-0123456789abcdef0", "Flatcar"]),
        ("scale: 1", &["x9.huge"]),
    ];
    let good = std::fs::read_to_string(shop.folder.join("skipper.yml")).unwrap();
    for (group, words) in cases {
        let text = good.replacen("scale: 1", group, 1);
        let text = if group == "scale: 1" { text.replace("t3.small", "x9.huge") } else { text };
        std::fs::write(shop.folder.join("skipper.yml"), text).unwrap();
        world.lab.cloud().clear_calls().unwrap();
        let told = shop.ship(world, "a launch that lacks something").ends_with(5).says("hint: ");
        words.iter().fold(told, |told, words| told.says(words));
        changed_nothing(world);
    }
}

fn an_archive_that_is_missing_or_another_is_not_installed(world: &World) {
    let shop = fresh(world, "unpacked");
    let (url, sha256) = world.lab.fleet();
    shop.replace("skipper.yml", &url, &format!("{url}.nowhere"));
    shop.ship(world, "an archive that is missing")
        .ends_with(5)
        .says("failed to configure host `web_1`")
        .says("fleet.url");
    shop.replace("skipper.yml", ".nowhere", "");
    shop.replace("skipper.yml", sha256, &"0".repeat(64));
    shop.ship(world, "an archive that is another").ends_with(5).says(sha256).says("fleet.sha256");
    // The hosts are there, and a run with the right one goes on from them.
    shop.replace("skipper.yml", &"0".repeat(64), sha256);
    shop.ship(world, "the right archive").ends_with(0);
}

fn github_in_trouble_is_a_warning_and_the_deployment_stands(world: &World) {
    let shop = Shop::make(world, "unheard").on_one_host();
    let troubles = [
        (Failure::BadCredentials, "401"),
        (Failure::NotAccessible, "pull-requests"),
        (Failure::NotFound, "404"),
        (Failure::BadGateway, "502"),
        (Failure::Hang, "pull request"),
    ];
    for (failure, words) in troubles {
        world.lab.github().fault(&Fault::always(failure)).unwrap();
        let told = shop.ship(world, "while GitHub is in trouble");
        world.lab.github().clear_faults().unwrap();
        told.ends_with(0).says("warning: ").says(words);
    }
}
