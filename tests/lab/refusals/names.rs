//! Hostile names and words: refused where a name is asked for, else quoted and shown, and never run.

use std::{fs, path::Path};

use serde_json::json;

use super::{Trials, changed_nothing, fresh};
use crate::{
    World,
    errors::Section,
    shop::{Shop, run},
};

pub(super) const TRIALS: Trials = &[
    ("names_that_something_would_run_are_refused", names_that_something_would_run_are_refused),
    ("hostile_words_are_shown_and_never_run", hostile_words_are_shown_and_never_run),
];

/// A file that is there when any of it was run; the same on this machine and on hosts.
const CANARY: &str = "/tmp/skipper-canary";

fn names_that_something_would_run_are_refused(world: &World) {
    let _ = fs::remove_file(CANARY);
    let shop = fresh(world, "unnamed");
    let good = fs::read_to_string(shop.folder.join("skipper.yml")).unwrap();
    let cases = [
        ("a project's name with a command in it", "name: unnamed\n", "name: \"$(touch CANARY)\"\n"),
        ("a service's name with a command in it", "  clock:\n", "  \"cl`touch CANARY`\":\n"),
        ("a group's name with a workflow command in it", "groups:\n  web:", "groups:\n  \"::error::web\":"),
        ("a repository's name with a command in it", "name: unnamed/web", "name: \"unnamed/web;touch CANARY\""),
        ("a tag with a command in it", "}\n    build: web\n", ", tag: \"7 | touch CANARY\"}\n"),
        (
            "a variable's name with a command in it",
            "    build: web\n",
            "    build: web\n    env: {\"A=$(touch CANARY)\": b}\n",
        ),
        ("a variable with a NUL", "    build: web\n", "    build: web\n    env: {A: \"b\\0c\"}\n"),
        ("a size with a line break in it", "size: t3.small", "size: \"t3.small\\n::error::x\""),
        (
            "an instance profile with quotes in it",
            "scale: 1\n",
            "scale: 1\n    instance_profile: \"a'; touch CANARY; '\"\n",
        ),
    ];
    for (input, from, to) in cases {
        assert!(good.contains(from), "{from}:\n{good}");
        let text = good.replacen(from, &to.replace("CANARY", CANARY), 1);
        fs::write(shop.folder.join("skipper.yml"), text).unwrap();
        let told = world.refusal(&shop, Section::Names, input, || shop.skipper(world, &["ship"])).ends_with(2);
        holds_no_command(&told.outcome.log);
    }
    fs::write(shop.folder.join("skipper.yml"), good).unwrap();
    for (input, name) in [
        ("an environment's name with a path in it", "../../other"),
        ("an environment's name with a command in it", "$(touch /tmp/skipper-canary)"),
    ] {
        let told =
            world.refusal(&shop, Section::Names, input, || shop.skipper(world, &["ship", "--environment", name]));
        told.ends_with(2).says("hint: ");
    }
    changed_nothing(world);
    assert!(!Path::new(CANARY).exists());
}

fn hostile_words_are_shown_and_never_run(world: &World) {
    let _ = fs::remove_file(CANARY);
    let shop = fresh(world, "hostile");
    let words = "::error::PWNED\n::stop-commands::PWNED\n  ::add-mask::PWNED\n##[set-output name=status]PWNED\n\
        \u{1b}[31mPWNED\u{1b}]0;PWNED\u{7}\n```\n<img src=x onerror=PWNED></details>@octo-team\n\u{202e}PWNED\u{200b}\0\r::error::PWNED\n";
    let run_me = "$(touch CANARY) `touch CANARY` '; touch CANARY; ' \"; touch CANARY; \" | touch CANARY & %H $HOME \\n"
        .replace("CANARY", CANARY);
    fs::write(shop.folder.join("web/words"), words).unwrap();
    // It says all that while it is built, and says it again and ends when it is started.
    shop.append(
        "web/Dockerfile",
        "COPY words /words\nRUN [\"/bin/busybox\", \"cat\", \"/words\"]\n\
         CMD [\"/bin/busybox\", \"sh\", \"-c\", \"busybox cat /words; busybox printf '%s\\\\n' \\\"$HOSTILE\\\" \\\"$0\\\"; exit 3\", \"unused\"]\n",
    );
    let command =
        ["/bin/busybox", "sh", "-c", "busybox cat /words; busybox printf '%s\\n' \"$HOSTILE\" \"$0\"; exit 3", &run_me];
    let more = format!("    build: web\n    env: {}\n    command: {}\n", json!({"HOSTILE": run_me}), json!(command));
    shop.replace("skipper.yml", "    build: web\n", &more);
    let subject = format!("{run_me} ::error::PWNED @octo-team");
    shop.replace("skipper.yml", "timeout: 2s, retries: 8", "timeout: 1s, retries: 2");
    let (sha, pull_request) = shop.merge(world, &subject);
    let branch = format!("refs/heads/{run_me}");
    let job = shop.job(world, &sha).variable("GITHUB_REF", &branch).variable("GITHUB_HEAD_REF", &run_me);
    let told = run(&job.variable("GITHUB_ACTOR", &run_me), &["ship"], pull_request).ends_with(7);

    // What reached the container came as it was written: from its environment and from its arguments.
    assert!(told.outcome.log.matches(run_me.as_str()).count() >= 2, "{}", told.outcome.log);
    holds_no_command(&told.outcome.log);
    assert_eq!(told.outcome.outputs["status"], "degraded");
    for page in [&shop.comments(world, &told)[0].body, &told.outcome.summary] {
        mentions_nobody(page);
    }
    assert!(!Path::new(CANARY).exists(), "something was run on the runner");
    for host in on_hosts(&shop, world) {
        assert_eq!(host, "no canary", "something was run on a host");
    }
    let shown = shop.skipper(world, &["ps"]);
    holds_no_command(&shown.outcome.log);
}

fn on_hosts(shop: &Shop, world: &World) -> Vec<String> {
    let look = format!("test -e {CANARY} && echo found || echo no canary");
    shop.hosts(world).iter().map(|host| host.exec(&look).unwrap().success().unwrap().trim().to_owned()).collect()
}

/// Nothing but skipper's own words is a command to the runner, as it reads a log, and nothing is one to a terminal.
#[track_caller]
fn holds_no_command(log: &str) {
    let own = |line: &str| {
        let mark = ["::group::", "::endgroup::", "::error ", "::error::", "::warning::"];
        mark.iter().any(|mark| line.starts_with(mark)) && !line.contains("::PWNED") && !line.starts_with("::error::x")
    };
    for line in log.lines().filter(|line| line.trim_start().starts_with("::")) {
        assert!(own(line), "the runner would obey `{line}`:\n{log}");
    }
    let hidden = |char: char| (char.is_control() && char != '\n') || ('\u{202a}'..='\u{202e}').contains(&char);
    assert!(!log.contains("##[") && !log.contains(hidden), "{log:?}");
}

/// Outside of fences, where Markdown means nothing, nobody is mentioned and no HTML is that of others.
#[track_caller]
fn mentions_nobody(page: &str) {
    let mut fence: Option<&str> = None;
    let mut prose = String::new();
    for line in page.lines() {
        let marks = &line[..line.len() - line.trim_start_matches('`').len()];
        match fence {
            Some(open) if line == open => fence = None,
            Some(_) => {}
            None if marks.len() >= 3 => fence = Some(marks),
            None => prose.extend([line, "\n"]),
        }
    }
    assert!(fence.is_none(), "a fence is open:\n{page}");
    assert!(!prose.contains("@octo-team") && !prose.contains("<img"), "{page}");
    assert_eq!(prose.matches("<details>").count(), prose.matches("</details>").count(), "{page}");
}
