//! Bad `skipper.yml`, inputs and events, and files of the runner's that cannot be written.

use std::{fs, path::Path};

use super::{Trials, changed_nothing, fresh};
use crate::{
    World,
    errors::Section,
    shop::{REPOSITORY, Told, finish, run},
};

pub(super) const TRIALS: Trials = &[
    ("a_file_that_is_not_right_touches_nothing", a_file_that_is_not_right_touches_nothing),
    ("what_is_no_configuration_is_refused_in_little_memory", what_is_no_configuration_is_refused_in_little_memory),
    ("an_event_that_is_missing_or_odd_is_refused", an_event_that_is_missing_or_odd_is_refused),
    ("the_commit_is_found_in_whatever_checkout_there_is", the_commit_is_found_in_whatever_checkout_there_is),
    ("what_the_runner_cannot_take_is_a_warning", what_the_runner_cannot_take_is_a_warning),
    ("streams_that_cannot_be_written_stop_nothing", streams_that_cannot_be_written_stop_nothing),
];

fn a_file_that_is_not_right_touches_nothing(world: &World) {
    let shop = fresh(world, "wrong");
    let good = std::fs::read_to_string(shop.folder.join("skipper.yml")).unwrap();
    world.lab.cloud().clear_calls().unwrap();
    let cases: [(&str, &str, &str, &[&str]); 10] = [
        ("no YAML", "name: wrong\n", "name: [wrong\n", &["skipper.yml:"]),
        (
            "a key that does not exist",
            "services:\n",
            "servcies:\n",
            &["`servcies` is not a key", "did you mean `services`?"],
        ),
        ("a key that is missing", "repo: {name: wrong/web, ", "repo: {", &["`services.web.repo.name` is missing"]),
        (
            "a group that lists an unknown service",
            "services: [web, clock]",
            "services: [wbe, clock]",
            &["there is no service `wbe`", "did you mean `web`?"],
        ),
        ("a host port twice", "[\"80:5000\"]", "[\"80:5000\", \"80:5001\"]", &["port 80 of the host is there twice"]),
        ("a port that does not exist", "[\"80:5000\"]", "[\"80:70000\"]", &["ports from 1 to 65535"]),
        (
            "a key that is not built yet",
            "    build: web\n",
            "    build: {context: web, platforms: [linux/arm64]}\n    scael: 2\n",
            &["`services.web.build.platforms` is not built yet", "`services.web.scael`"],
        ),
        (
            "a volume that is a folder of the host",
            "    build: web\n",
            "    build: web\n    volumes: [\"/srv/data:/data\"]\n",
            &["`/srv/data:/data` is not a named volume"],
        ),
        (
            "a link to a service without a port of its own",
            "    build: web\n",
            "    build: web\n    links: [clock]\n",
            &["service `clock`, which `web` links to", "write `ports: [\"9000:9000\"]` for `clock`"],
        ),
        (
            "a link of a service to itself",
            "    build: web\n",
            "    build: web\n    links: [web]\n",
            &["service `web` links to itself"],
        ),
    ];
    for (input, from, to, words) in cases {
        assert!(good.contains(from), "{from}");
        std::fs::write(shop.folder.join("skipper.yml"), good.replacen(from, to, 1)).unwrap();
        let told = world
            .refusal(&shop, Section::File, input, || shop.skipper(world, &["ship"]))
            .ends_with(2)
            .says("nothing was touched")
            .says("::error file=skipper.yml,line=");
        assert_eq!(told.outcome.outputs["status"], "bad-input");
        words.iter().fold(told, |told, words| told.says(words));
    }
    std::fs::remove_file(shop.folder.join("skipper.yml")).unwrap();
    let told = world.refusal(&shop, Section::File, "there is no skipper.yml", || shop.skipper(world, &["ship"]));
    told.ends_with(2).says("skipper.yml").says("hint: ");
    assert!(world.lab.cloud().calls().unwrap().is_empty());
}

/// The same binary, started by a shell that arranges its surroundings.
fn by_shell(job: &skipper_lab::Job, script: &str) -> Told {
    let arguments = ["-c", script, env!("CARGO_BIN_EXE_skipper")];
    finish(job.start(Path::new("/bin/sh"), &arguments).unwrap(), 0)
}

fn what_is_no_configuration_is_refused_in_little_memory(world: &World) {
    let shop = fresh(world, "odd");
    let sha = shop.commit("a commit");
    let path = shop.folder.join("skipper.yml");
    let good = fs::read(&path).unwrap();
    let and_good = |front: &str| [front.as_bytes(), &good].concat();
    let laughs = (1..12).fold("x-0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |laughs, n| {
        let again = vec![format!("*a{}", n - 1); 9].join(", ");
        format!("{laughs}x-{n}: &a{n} [{again}]\n")
    });
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("a file that is not UTF-8", [&good[..], b"# caf\xe9\n"].concat(), "is not UTF-8"),
        ("tabs before a key", and_good("name:\n\tx: 1\n"), "tabs disallowed"),
        ("a file of a few megabytes", [&good[..], &b"#".repeat(3 << 20)].concat(), "larger than"),
        ("a file of half a megabyte", [&good[..], &b"#".repeat(1 << 19)].concat(), "larger than 256 KiB"),
        ("aliases that repeat aliases (a billion laughs)", and_good(&laughs), "what its aliases repeat"),
        (
            "lists in lists without end",
            and_good(&format!("x-a: {}{}\n", "[".repeat(50_000), "]".repeat(50_000))),
            "recursion limit",
        ),
        ("control characters", and_good("x-a: \u{1b}]0;x\u{7}\n"), "the file is not YAML"),
    ];
    // 128 MiB for all that is not the program itself.
    let script = "ulimit -d 131072; exec \"$0\" ship";
    for (input, text, words) in cases {
        fs::write(&path, text).unwrap();
        let told = world.refusal(&shop, Section::File, input, || by_shell(&shop.job(world, &sha), script));
        let told = told.ends_with(2).says(words);
        assert_eq!(told.outcome.outputs["status"], "bad-input");
        assert!(told.events.is_empty() && !told.outcome.log.contains('\u{1b}'), "{}", told.outcome.log);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let told = world.refusal(&shop, Section::File, "a folder", || by_shell(&shop.job(world, &sha), script));
    assert_eq!(told.ends_with(2).says("it is a folder").outcome.outputs["status"], "bad-input");
    fs::remove_dir(&path).unwrap();
    // What editors elsewhere leave in a good one changes nothing.
    let windows = format!("\u{feff}{}", String::from_utf8(good).unwrap().replace('\n', "\r\n"));
    fs::write(&path, windows).unwrap();
    run(&shop.job(world, &sha), &["check"], 0).ends_with(0).says("skipper.yml is fine");
    assert!(world.lab.cloud().calls().unwrap().is_empty());
}

fn an_event_that_is_missing_or_odd_is_refused(world: &World) {
    let shop = fresh(world, "eventful");
    let sha = shop.commit("a commit");
    let event = shop.folder.join("event.json");
    let job = || shop.job(world, &sha).variable("GITHUB_EVENT_PATH", event.to_str().unwrap());
    let refused = |input: &str, job: skipper_lab::Job, words: &str| {
        let told = world.refusal(&shop, Section::Run, input, || run(&job, &["ship"], 0));
        let told = told.ends_with(2).says(words).says("hint: ");
        assert_eq!(told.outcome.outputs["status"], "bad-input");
        assert!(told.events.is_empty());
    };
    refused("an event file that is missing", job(), "read the event file");
    let odd = [
        ("an event file that is empty", "push", "", "EOF"),
        ("an event file that is no JSON", "push", "ref=main", "expected"),
        ("an event file of another shape", "push", "[1, 2]", "understand the event file"),
        ("a pull request's event without its head", "pull_request", "{\"number\": 1}", "missing field `pull_request`"),
        (
            "a pull request's event whose head is no commit",
            "pull_request",
            r#"{"pull_request": {"number": 1, "head": {"sha": "$(touch x)", "repo": null}}}"#,
            "head commit",
        ),
    ];
    for (input, name, text, words) in odd {
        fs::write(&event, text).unwrap();
        refused(input, job().variable("GITHUB_EVENT_NAME", name), words);
    }
    fs::File::create(&event).unwrap().set_len(1 << 40).unwrap();
    refused("an event file of a terabyte", job(), "which no event of GitHub's does");
    let hostile = "--no\n::error::PWNED";
    let told = run(&shop.job(world, &sha), &["ship", hostile], 0).ends_with(2).says("unexpected argument");
    assert!(!told.outcome.log.contains("\n::error::PWNED"), "{}", told.outcome.log);
    assert_eq!(told.outcome.outputs["status"], "bad-input");
    refused("no `GITHUB_SHA`", shop.job(world, &sha).without("GITHUB_SHA"), "`GITHUB_SHA` is not set");
    refused("a `GITHUB_SHA` that is a branch", shop.job(world, &sha).variable("GITHUB_SHA", "main"), "`GITHUB_SHA`");
    assert!(world.lab.cloud().calls().unwrap().is_empty());
}

fn the_commit_is_found_in_whatever_checkout_there_is(world: &World) {
    let shop = fresh(world, "found");
    let sha = shop.commit("a commit");
    let elsewhere = tempfile::tempdir().unwrap();
    let by_hand = |folder: &Path| {
        let job = skipper_lab::Job::push(&world.lab, folder, REPOSITORY, &sha);
        run(&job.without("GITHUB_ACTIONS"), &["plan"], 0)
    };
    fs::copy(shop.folder.join("skipper.yml"), elsewhere.path().join("skipper.yml")).unwrap();
    let told =
        world.refusal(&shop, Section::Run, "no git repository and no `--revision`", || by_hand(elsewhere.path()));
    told.ends_with(2).says("is a git repository").says("hint: give the full SHA with `--revision`");
    let shallow = elsewhere.path().join("shallow");
    shop.git(&[
        "clone",
        "--quiet",
        "--depth",
        "1",
        &format!("file://{}", shop.folder.display()),
        shallow.to_str().unwrap(),
    ]);
    // Git itself refuses to look at somebody else's checkout, as a container action finds it.
    for entry in [shop.folder.clone(), shop.folder.join(".git"), shop.folder.join(".git/HEAD")] {
        // Whoever is not root has no such checkout to try.
        let _ = std::os::unix::fs::chown(entry, Some(12_345), Some(12_345));
    }
    for folder in [&shallow, &shop.folder] {
        by_hand(folder).ends_with(0).says(&sha[..7]);
    }
}

fn what_the_runner_cannot_take_is_a_warning(world: &World) {
    let shop = fresh(world, "untold");
    let sha = shop.commit("a commit");
    let at = |name: &str| shop.folder.join(name).display().to_string();
    fs::create_dir_all(at("temp/events.jsonl")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    let cases = [
        ("outputs in a folder that is missing", "GITHUB_OUTPUT", at("missing/output"), "write the step's outputs"),
        ("outputs that are a folder", "GITHUB_OUTPUT", at("folder"), "write the step's outputs"),
        ("outputs on a full disk", "GITHUB_OUTPUT", "/dev/full".to_owned(), "write the step's outputs"),
        ("a job summary in a folder that is missing", "GITHUB_STEP_SUMMARY", at("missing/summary"), "the job summary"),
        ("a job summary on a full disk", "GITHUB_STEP_SUMMARY", "/dev/full".to_owned(), "the job summary"),
        ("a temporary folder that takes no events", "RUNNER_TEMP", at("temp"), "so the events are not kept"),
    ];
    for (input, variable, value, words) in cases {
        let job = shop.job(world, &sha).variable(variable, &value);
        let told = world.refusal(&shop, Section::Run, input, || run(&job, &["ps"], 0));
        told.ends_with(0).says("::warning::failed to").says(words).says("replicas serve");
    }
    // The run's own failure is what counts.
    shop.replace("skipper.yml", "t3.small", "x9.huge");
    let job = shop.job(world, &sha).variable("GITHUB_OUTPUT", "/dev/full").variable("GITHUB_STEP_SUMMARY", "/dev/full");
    run(&job, &["plan"], 0).ends_with(5).says("warning: failed to write the job summary");

    // Events on a full disk are given up, those that were asked for and cannot even begin stop the run.
    run(&shop.job(world, &sha), &["plan", "--events", "/dev/full"], 0).ends_with(5).says("so the events are not kept");
    let told = world.refusal(&shop, Section::Run, "`--events` names a file that cannot be made", || {
        run(&shop.job(world, &sha), &["ship", "--events", &at("missing/events")], 0)
    });
    assert_eq!(told.ends_with(2).says("hint: correct `--events`").outcome.outputs["status"], "bad-input");
    changed_nothing(world);

    // The runner drops a summary of more than 1 MiB as a whole.
    fs::write(at("summary"), "x".repeat((1 << 20) - 300)).unwrap();
    run(&shop.job(world, &sha).variable("GITHUB_STEP_SUMMARY", &at("summary")), &["plan"], 0).ends_with(5);
    let summary = fs::read_to_string(at("summary")).unwrap();
    assert!(summary.len() <= 1 << 20 && summary.contains("cut here"), "{}", &summary[(1 << 20) - 300..]);
}

fn streams_that_cannot_be_written_stop_nothing(world: &World) {
    let shop = fresh(world, "mute");
    let sha = shop.commit("a commit");
    for streams in [">&- 2>&-", ">/dev/full 2>/dev/full", "| true"] {
        for output in ["text", "json"] {
            let told =
                by_shell(&shop.job(world, &sha), &format!("RUNNER_DEBUG=1 \"$0\" plan --output {output} {streams}"));
            assert_eq!(told.outcome.outputs["exit-code"], "0", "{streams}: {}", told.outcome.log);
            assert_eq!(told.outcome.outputs["status"], "succeeded");
        }
    }
}
