//! `skipper.yml` as its users write it: what is read, what is refused, and what they are told.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
#![expect(clippy::disallowed_methods, reason = "the files that are read here are those of the tests")]

use std::{collections::BTreeMap, fs, path::Path};

use proptest::prelude::*;
use serde_json::Value;
use skipper_core::config::{
    Architecture, Config, Diagnostic, FleetArchive, Severity, json_schema, load, load_for, problems_of_all,
};

fn corpus(folder: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(folder);
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap()))
        .collect()
}

fn good(name: &str) -> Config {
    load(&corpus("good")[name], "skipper.yml").unwrap()
}

fn without_places(config: Config) -> Config {
    Config { spans: BTreeMap::new(), ..config }
}

/// What the log shows of a bad file.
fn told(name: &str) -> String {
    let source = &corpus("bad")[name];
    let problems = load(source, "skipper.yml").unwrap_err();
    problems.iter().map(|problem| problem.render(source, false)).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn every_good_file_is_read_and_every_bad_one_refused() {
    for (name, source) in corpus("good") {
        let read = load(&source, "skipper.yml");
        assert!(read.is_ok(), "{name}: {read:#?}");
    }
    for (name, source) in corpus("bad") {
        let problems = load(&source, "skipper.yml").err().unwrap_or_default();
        assert!(problems.iter().any(|problem| problem.severity == Severity::Error), "{name}");
    }
}

#[test]
fn a_full_file_means_what_it_says() {
    insta::assert_json_snapshot!(without_places(good("full")));
}

#[test]
fn what_a_file_leaves_out_has_its_default() {
    insta::assert_json_snapshot!(without_places(good("minimal")));
}

#[test]
fn a_file_of_2014_keeps_its_meaning() {
    let config = good("of-2014");
    let web = &config.services[&"web".parse().unwrap()];
    let group = &config.groups[&"web".parse().unwrap()];
    assert_eq!(web.repository.to_string(), "docker.io/acme/flask-web");
    assert_eq!((web.ports[0].host, web.ports[0].container), (Some(80), 5000));
    assert_eq!((group.size.as_ref(), group.scale, group.public_ports.as_slice()), ("t1.micro", 2, [80].as_slice()));
    assert_eq!(config.warnings, []);
}

#[test]
fn each_kind_of_processor_that_a_file_has_gets_its_archive_of_fleet() {
    let archives = |sizes: [&str; 2], fleet: &str| -> Vec<String> {
        let [web, api] = sizes;
        let file = format!(
            "{{ name: demo, services: {{ web: {{ repo: {{ name: nginx, tag: \"1\" }} }} }}, groups: {{ web: {{ size: {web}, services: [web] }}, \
             api: {{ size: {api}, services: [web] }} }}, fleet: {{ {fleet} }} }}"
        );
        let archive = |(kind, archive): (&Architecture, &FleetArchive)| format!("{} {}", kind.as_str(), archive.url);
        load(&file, "skipper.yml").unwrap().fleet.iter().map(archive).collect()
    };
    let both = ["t3.small", "t4g.small"];
    let own = "url: \"https://x/amd64\", arm64: { url: \"https://x/arm64\" }";
    assert_eq!(archives(both, own), ["amd64 https://x/amd64", "arm64 https://x/arm64"]);
    assert_eq!(archives(["t4g.small", "c7g.large"], own), ["arm64 https://x/arm64"]);
    let release = archives(both, "arm64: { url: \"https://x/arm64\" }");
    assert!(
        release[0].starts_with("amd64 https://github.com/coreos/fleet/releases/")
            && release[1] == "arm64 https://x/arm64"
    );
}

#[test]
fn the_readme_s_own_file_of_2014_keeps_its_meaning() {
    let config = good("of-2014-quick-start");
    let web = &config.services[&"web".parse().unwrap()];
    let group = &config.groups[&"web".parse().unwrap()];
    assert_eq!((config.project.as_ref(), config.region.as_str(), group.scale), ("demo", "us-east-1", 1));
    assert_eq!(web.repository.to_string(), "docker.io/cameronmaske/flask-web");
    assert_eq!((web.scale, web.ports[0].host, web.ports[0].container), (1, Some(80), 5000));
    assert_eq!(config.warnings, []);
}

#[test]
fn every_key_of_2014_keeps_its_meaning_in_each_of_its_forms() {
    let config = good("of-2014-two-groups");
    let service = |name: &str| &config.services[&name.parse().unwrap()];
    let (web, worker) = (service("web"), service("worker"));
    assert_eq!((config.region.as_str(), web.scale, worker.scale), ("ap-northeast-1", 2, 10));
    assert_eq!((web.ports[0].host, web.ports[0].container), (None, 80), "a port of the host is chosen");
    assert_eq!(worker.repository.to_string(), "registry.acme.example:5000/acme/worker");
    assert_eq!(config.groups[&"front".parse().unwrap()].scale, 10);
    assert_eq!(config.groups[&"back".parse().unwrap()].services.len(), 2, "a service in several groups");
    assert_eq!(config.warnings, []);
}

#[test]
fn an_anchor_is_read_where_it_is_used_and_overridden_there() {
    let config = good("anchors");
    let grace = |service: &str| config.services[&service.parse().unwrap()].stop_grace_period.as_secs();
    assert_eq!((grace("web"), grace("api")), (20, 5));
    assert_eq!(config.services[&"api".parse().unwrap()].env[&"A".parse().unwrap()], "1");
}

#[test]
fn a_place_in_the_file_is_found_by_the_path_of_its_key() {
    let config = good("minimal");
    let place = |path: &str| config.span(path).map(|span| (span.line, span.column, span.length));
    assert_eq!(place("groups.web.size"), Some((8, 5, 4)));
    assert_eq!(place("groups.web.scale"), Some((7, 3, 3)), "left out: the group");
    assert_eq!(place("nowhere"), None);
}

#[test]
fn warnings_come_with_the_configuration() {
    let source = &corpus("good")["idle"];
    let warnings = good("idle").warnings;
    let rendered: Vec<String> = warnings.iter().map(|problem| problem.render(source, false)).collect();
    insta::assert_snapshot!(rendered.join("\n\n"));
}

macro_rules! told {
    ($($test:ident: $file:literal;)*) => {$(
        #[test]
        fn $test() {
            insta::assert_snapshot!(told($file));
        }
    )*};
}

told! {
    unknown_keys_are_all_told_with_what_was_meant: "unknown-keys";
    keys_that_are_not_built_yet_are_told_with_what_to_do: "not-built-yet";
    what_is_missing_is_told: "missing";
    values_of_a_wrong_kind_are_told: "types";
    values_that_were_forgotten_are_told: "null-values";
    ports_that_cannot_be_are_told: "ports";
    logging_that_cannot_be_is_told: "logging";
    secrets_that_cannot_be_are_told: "secrets";
    previews_that_cannot_be_are_told: "previews";
    volumes_that_cannot_be_are_told: "volumes";
    links_that_lead_nowhere_or_in_a_circle_are_told: "links";
    names_of_nothing_are_told: "references";
    keys_that_are_there_twice_are_told: "duplicates";
    variables_that_nobody_fills_in_are_told: "interpolation";
    hostile_texts_are_shown_and_not_obeyed: "control-characters";
}

#[test]
fn links_are_refused_for_previews_that_share_hosts_and_for_nothing_else() {
    let file = |previews: &str, more: &str| {
        format!(
            "name: demo\nservices:\n  web: {{repo: {{name: acme/web}}, build: ., links: [redis]}}\n  redis: {{repo: {{name: redis, tag: \"7\"}}, ports: [\"6379:6379\"]}}\ngroups: {{web: {{size: t3.small, services: [web, redis]}}}}\npreviews: {previews}\n{more}"
        )
    };
    let read = |source: &str, environment: &str| load_for(source, "skipper.yml", &environment.parse().unwrap());
    let shared = file("{hosts: shared}", "");
    assert!(read(&shared, "production").is_ok());
    for environment in ["preview", "pr-7"] {
        let problems = read(&shared, environment).unwrap_err();
        let problem = &problems[0];
        assert_eq!(problem.message, "service `web` has a link, and previews share their hosts");
        assert_eq!((problem.span.line, problem.span.column, problem.span.length), (3, 51, 5));
        assert!(problem.hint.as_ref().unwrap().contains("`previews: {hosts: own}`"), "{problem:?}");
        assert_eq!(problems_of_all(&shared, "skipper.yml"), problems, "`check` tells it, too");
    }
    assert!(read(&file("{hosts: own}", ""), "pr-7").is_ok());
    let without = "environments: {preview: {services: {web: {links: []}}}}\n";
    assert!(read(&file("{hosts: shared}", without), "pr-7").is_ok());
    assert_eq!(problems_of_all(&file("{hosts: shared}", without), "skipper.yml"), []);
}

#[test]
fn many_links_are_looked_at_in_no_time() {
    let service =
        |n: usize| format!("s{n}: {{repo: {{name: a}}, build: ., ports: [\"1:1\"], links: [s{}]}}", (n + 1) % 3_000);
    let services = (0..3_000).map(service).collect::<Vec<_>>().join(", ");
    let problems = load(&format!("{{name: demo, services: {{{services}}}}}"), "skipper.yml").unwrap_err();
    let circle = problems.iter().find(|problem| problem.message.contains("link in a circle")).unwrap();
    assert!(circle.message.contains("and 2980 more"), "{}", circle.message);
}

#[test]
fn what_is_not_yaml_is_told_with_its_place() {
    let files = ["empty", "comment-only", "list", "tab", "not-yaml", "two-documents", "unknown-anchor"];
    insta::assert_snapshot!(files.map(told).join("\n\n"));
}

#[test]
fn what_would_not_fit_a_unit_is_refused() {
    let with = |keys: &str| {
        let source = format!("{{name: demo, services: {{web: {{repo: {{name: acme/web}}, build: ., {keys}}}}}}}");
        load(&source, "skipper.yml").map_or_else(|problems| problems, |config| config.warnings)
    };
    let messages = |keys: &str| {
        with(keys)
            .into_iter()
            .filter(|problem| problem.severity == Severity::Error)
            .map(|problem| problem.message)
            .collect::<Vec<_>>()
    };
    let (most, more) = ("x".repeat(1_500), "x".repeat(1_501));
    assert_eq!(messages(&format!("env: {{A: {most}}}")), [""; 0]);
    assert_eq!(messages(&format!("env: {{A: {more}}}")), ["`services.web.env.A` is longer than 1500 bytes"]);
    assert_eq!(messages(&format!("command: [a, {most}]")), ["`services.web.command` is longer than 1500 bytes"]);
}

#[test]
fn a_file_that_is_far_too_large_is_not_read() {
    let problems = load(&"x: 1\n".repeat(60_000), "skipper.yml").unwrap_err();
    assert_eq!(problems[0].message, "the file is larger than 256 KiB");
}

#[test]
fn an_empty_argument_is_one_in_a_list_as_in_a_text() {
    let command = |words: &str| {
        let source = format!("{{name: demo, services: {{web: {{repo: {{name: web}}, build: ., command: {words}}}}}}}");
        load(&source, "skipper.yml").unwrap().services[&"web".parse().unwrap()].command.clone()
    };
    assert_eq!(command(r#"["serve", "--prefix", ""]"#), command(r#""serve --prefix ''""#));
}

/// As large as a file may be, and wrong everywhere: it is read at once, and what is told of it can be read.
#[test]
fn a_file_that_is_wrong_everywhere_is_told_in_few_words() {
    let many = |each: &dyn Fn(usize) -> String, count: usize| (0..count).map(each).collect::<String>();
    let services = many(&|n| format!("s{n}: {{repo: {{name: a}}, build: .}}, "), 2_500);
    let files = [
        many(&|n| format!("k{n}: 1\n"), 25_000),
        format!("{{{}}}", many(&|n| format!("k{n}: 1, "), 22_000)),
        format!("x-list: [{}]", "1, ".repeat(80_000)),
        format!(
            "name: a\nservices: {{{services}}}\ngroups: {{g: {{size: t3.small, services: [{}]}}}}",
            many(&|n| format!("t{n}, "), 20_000)
        ),
    ];
    for source in files {
        assert!(source.len() < 256 * 1024, "{}", source.len());
        let problems = load(&source, "skipper.yml").unwrap_err();
        assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
        assert!(problems.len() <= 101, "{}", problems.len());
        for problem in problems.iter().take(3).chain(problems.last()) {
            assert!(problem.render(&source, false).len() < 2_000, "{}", problem.message);
        }
    }
}

#[test]
fn the_problems_that_are_not_shown_are_counted() {
    let unknown = (0..150).map(|n| format!("k{n}: 1\n")).collect::<String>();
    let problems = load(&unknown, "skipper.yml").unwrap_err();
    let last = problems.last().unwrap();
    assert_eq!((problems.len(), last.message.as_str()), (101, "52 more problems are not shown"));
    assert_eq!((last.file.as_str(), last.span.line), ("skipper.yml", 98));
}

/// Each alias doubles what the one before it holds.
#[test]
fn a_file_that_grows_without_end_is_refused() {
    let doubling: String = (1..40).map(|n| format!("x-{n}: &a{n} [*a{}, *a{}]\n", n - 1, n - 1)).collect();
    let problems = load(&format!("x-0: &a0 [1, 1]\n{doubling}"), "skipper.yml").unwrap_err();
    assert_eq!(problems[0].message, "the file is larger than a configuration can be, with what its aliases repeat");
}

#[test]
fn in_actions_each_problem_marks_its_line() {
    let problems = load(&corpus("bad")["references"], "config/skipper.yml").unwrap_err();
    insta::assert_snapshot!(problems.iter().map(Diagnostic::annotation).collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_schema_in_the_repository_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema/skipper.schema.json");
    if std::env::var_os("SKIPPER_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, json_schema()).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == json_schema(), "write it anew: SKIPPER_BLESS=1 cargo test -p skipper-core --test config");
}

/// The defaults that editors show, written out, change nothing.
#[test]
fn the_defaults_of_the_schema_are_those_of_the_reader() {
    let schema: Value = serde_json::from_str(&json_schema()).unwrap();
    let defaults = |section: &Value| {
        let properties = section["properties"].as_object().unwrap();
        properties
            .iter()
            .filter_map(|(key, form)| Some(format!("{key}: {}", form.get("default")?)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let of = |section: &str| defaults(&schema["$defs"][section]);
    let explicit = format!(
        "{{ name: demo, {}, services: {{ web: {{ repo: {{ name: acme/web, {} }}, build: {{ {} }}, {}, healthcheck: {{ {} }} }} }}, \
         groups: {{ web: {{ size: t3.small, services: [web], {} }} }}, fleet: {{ {} }} }}",
        defaults(&schema),
        of("Repo"),
        of("Build"),
        of("Service"),
        of("Healthcheck"),
        of("Group"),
        of("Fleet"),
    );
    let explicit = load(&explicit, "skipper.yml").unwrap();
    assert_eq!(without_places(explicit), without_places(good("minimal")));
}

/// Whether `value` follows `schema`, by the keywords that our schema has; any other keyword fails the test.
fn follows(value: &Value, schema: &Value, root: &Value) -> bool {
    let Value::Object(keywords) = schema else { return schema == &Value::Bool(true) };
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("type {other}"),
    };
    let each = |object: &serde_json::Map<String, Value>, wanted: &dyn Fn(&str, &Value) -> bool| {
        object.iter().all(|(key, value)| wanted(key, value))
    };
    keywords.iter().all(|(keyword, form)| match keyword.as_str() {
        "$ref" => follows(value, root.pointer(form.as_str().unwrap().trim_start_matches('#')).unwrap(), root),
        "type" => form
            .as_array()
            .map_or_else(|| is(form.as_str().unwrap()), |types| types.iter().any(|name| is(name.as_str().unwrap()))),
        "anyOf" => form.as_array().unwrap().iter().any(|form| follows(value, form, root)),
        "enum" => form.as_array().unwrap().contains(value),
        "minimum" => value.as_f64().is_none_or(|number| number >= form.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= form.as_f64().unwrap()),
        "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= form.as_u64().unwrap()),
        "maxLength" => value.as_str().is_none_or(|text| text.len() as u64 <= form.as_u64().unwrap()),
        "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= form.as_u64().unwrap()),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| follows(item, form, root))),
        "required" => value
            .as_object()
            .is_none_or(|object| form.as_array().unwrap().iter().all(|key| object.contains_key(key.as_str().unwrap()))),
        "properties" => value.as_object().is_none_or(|object| {
            each(object, &|key, value| form.get(key).is_none_or(|form| follows(value, form, root)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|object| {
            let known = |key: &str| {
                schema["properties"].get(key).is_some()
                    || (schema.get("patternProperties").is_some() && key.starts_with("x-"))
            };
            each(object, &|key, value| known(key) || follows(value, form, root))
        }),
        // Patterns are left to editors: the reader has the same rule in code.
        "pattern" | "propertyNames" | "patternProperties" | "uniqueItems" | "description" | "default" | "title"
        | "$schema" | "$defs" => true,
        other => panic!("keyword {other}"),
    })
}

#[test]
fn the_schema_and_the_reader_agree_on_keys_and_kinds() {
    let schema: Value = serde_json::from_str(&json_schema()).unwrap();
    let read = |source: &str| serde_saphyr::from_str::<Value>(source).unwrap();
    for (name, source) in corpus("good") {
        assert!(follows(&read(&source), &schema, &schema), "{name}");
    }
    for name in ["unknown-keys", "not-built-yet", "missing", "types", "null-values", "list", "empty", "regions-none"] {
        assert!(!follows(&read(&corpus("bad")[name]), &schema, &schema), "{name}");
    }
}

fn width(source: &str, line: usize) -> Option<usize> {
    // A byte order mark is no character of the first line.
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let lines = source.replace("\r\n", "\n").replace('\r', "\n");
    lines.split('\n').nth(line.checked_sub(1)?).map(|line| line.chars().count())
}

/// Reading never panics; what it says has its place within the file, can be shown, and shows nothing that acts.
fn check_reading(source: &str) {
    let problems = load(source, "skipper.yml").map_or_else(|problems| problems, |config| config.warnings);
    // Rendering thousands of problems of one generated file teaches nothing more.
    for problem in problems.iter().take(20) {
        for span in problem.related.iter().map(|related| related.span).chain([problem.span]) {
            let width = width(source, span.line).unwrap_or_else(|| panic!("no line for {span:?} in {source:?}"));
            assert!(span.column >= 1 && span.column - 1 + span.length <= width, "{span:?} in {source:?}");
        }
        let rendered = problem.render(source, false);
        assert!(rendered.chars().all(|char| char == '\n' || !char.is_control()), "{rendered:?}");
        assert!(!problem.annotation().contains(['\n', '\r']));
        assert!(problem.message.chars().all(|char| !char.is_control()), "{problem:?}");
    }
}

fn any_good_file() -> impl Strategy<Value = String> {
    prop::sample::select(corpus("good").into_values().collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(source in any::<String>()) {
        check_reading(&source);
    }

    #[test]
    fn any_yaml_like_text_is_read_or_refused(source in r"([a-z]{1,3}|services|groups|web|[0-9]{1,6}|[:\-\[\]{},&*!|>'#\x22$%@]|\n| |  |\r\n|\r|\u{feff}|\u{1b}|é|\u{1f511}|<<: ){0,40}") {
        check_reading(&source);
    }

    /// A good file with a piece of it cut out, doubled, or replaced.
    #[test]
    fn any_damaged_file_is_read_or_refused(
        source in any_good_file(),
        from in any::<prop::sample::Index>(),
        length in 0_usize..30,
        piece in prop_oneof![Just(String::new()), r"\PC{0,4}", Just("\n".to_owned()), Just(": ".to_owned()), Just("null".to_owned()), Just("- ".to_owned()), Just("-1".to_owned())],
    ) {
        let chars: Vec<char> = source.chars().collect();
        let from = from.index(chars.len());
        let to = (from + length).min(chars.len());
        let damaged: String = chars[..from].iter().copied().chain(piece.chars()).chain(chars[to..].iter().copied()).collect();
        check_reading(&damaged);
    }

    /// The same, with one value of the file replaced by another kind.
    #[test]
    fn any_changed_value_is_read_or_refused(
        source in any_good_file(),
        line in any::<prop::sample::Index>(),
        value in prop::sample::select(vec!["", "[]", "{}", "1", "-7", "true", "~", "a", "[{a: b}]", "{a: [b]}", "99999999999", "1e9", "\"\\e[31m\"", "*env", "${A}"]),
    ) {
        let lines: Vec<&str> = source.lines().collect();
        let line = line.index(lines.len());
        let changed: Vec<String> = lines.iter().enumerate().map(|(index, text)| match text.split_once(": ") {
            Some((key, _)) if index == line => format!("{key}: {value}"),
            _ => (*text).to_owned(),
        }).collect();
        check_reading(&changed.join("\n"));
    }
}

const OF_TWO_ENVIRONMENTS: &str = r#"name: demo
env: {TZ: UTC, LOG: info}
services:
  web: {repo: {name: a/web, tag: "1"}, ports: ["80:5000"]}
groups:
  web: {size: t3.small, scale: 2, ports: {public: ["80"]}, services: [web]}
environments:
  staging:
    region: eu-west-1
    env: {LOG: debug}
    groups: {web: {scale: 1, ports: {public: []}}}
  preview:
    groups: {web: {size: t3.micro, scale: 1}}
  production:
"#;

fn of(environment: &str) -> Config {
    load_for(OF_TWO_ENVIRONMENTS, "skipper.yml", &environment.parse().unwrap()).unwrap()
}

fn problems_of(source: &str, environment: &str) -> Vec<Diagnostic> {
    load_for(source, "skipper.yml", &environment.parse().unwrap()).unwrap_err()
}

#[test]
fn an_environment_differs_in_what_the_file_says_of_it_and_in_nothing_else() {
    let (production, staging) = (of("production"), of("staging"));
    let group = |config: &Config| config.groups[&"web".parse().unwrap()].clone();
    assert_eq!(production, load(OF_TWO_ENVIRONMENTS, "skipper.yml").unwrap());
    assert_eq!((production.region.as_str(), group(&production).scale), ("us-east-1", 2));
    assert_eq!((staging.region.as_str(), group(&staging).scale), ("eu-west-1", 1));
    assert!(group(&staging).public_ports.is_empty() && group(&staging).size == group(&production).size);
    // Maps are joined key by key.
    let env: Vec<(&str, &str)> = staging.services[&"web".parse().unwrap()]
        .env
        .iter()
        .map(|(name, value)| (name.as_ref(), value.as_str()))
        .collect();
    assert_eq!(env, [("LOG", "debug"), ("TZ", "UTC")]);
    // Each preview is what the file says of `preview`.
    assert_eq!(of("pr-7"), of("preview"));
    assert_eq!(group(&of("pr-7")).size.to_string(), "t3.micro");
}

#[test]
fn several_regions_each_have_the_groups_and_an_environment_may_have_one_alone() {
    let several = good("regions");
    assert_eq!((several.region.as_str(), several.regions.len()), ("us-east-1", 2));
    let there = several.in_region("eu-west-1");
    assert_eq!(
        (there.region.as_str(), &there.groups, &there.regions),
        ("eu-west-1", &several.groups, &several.regions)
    );
    let staging = load_for(&corpus("good")["regions"], "skipper.yml", &"staging".parse().unwrap()).unwrap();
    assert_eq!(
        (staging.region.as_str(), staging.regions.as_slice()),
        ("eu-central-1", ["eu-central-1".to_owned()].as_slice())
    );
}

#[test]
fn regions_that_cannot_be_meant_are_told() {
    for (name, says) in [
        ("regions", "`region` and `regions` are both there"),
        ("regions-twice", "`us-east-1` is there twice"),
        ("regions-none", "at least one AWS region"),
        ("regions-of-one", "`groups.web.subnets` is of one region, and `regions` names several"),
        ("regions-of-one", "`groups.web.ami` is of one region"),
    ] {
        let told = told(name);
        assert!(told.contains(says), "{name}: {told}");
    }
}

#[test]
fn an_environment_that_the_file_does_not_name_is_refused_where_it_names_some() {
    let [problem] = &problems_of(OF_TWO_ENVIRONMENTS, "stagging")[..] else { panic!("one problem") };
    assert_eq!((problem.span.line, problem.message.as_str()), (7, "`environments` does not name `stagging`"));
    assert!(problem.hint.as_ref().unwrap().contains("`staging`"), "{problem:?}");
    let without = OF_TWO_ENVIRONMENTS.split("environments:").next().unwrap();
    assert!(load_for(without, "skipper.yml", &"anything".parse().unwrap()).is_ok());
}

#[test]
fn a_problem_of_an_environment_is_told_at_its_own_line() {
    let wrong = OF_TWO_ENVIRONMENTS.replace("{scale: 1, ports: {public: []}}", "{scale: many}");
    let [problem] = &problems_of(&wrong, "staging")[..] else { panic!("one problem") };
    assert_eq!((problem.span.line, problem.message.contains("groups.web.scale")), (11, true), "{problem:?}");
    assert!(load(&wrong, "skipper.yml").is_ok(), "production is fine");
    let all = problems_of_all(&wrong, "skipper.yml");
    assert_eq!(all.iter().map(|problem| problem.span.line).collect::<Vec<_>>(), [11]);

    for (key, why) in [
        ("name: other", "which has one name"),
        ("previews: {max: 2}", "the project's"),
        ("environments: {}", "none of its own"),
    ] {
        let wrong = OF_TWO_ENVIRONMENTS.replace("region: eu-west-1", key);
        // Told whichever environment is meant.
        let [problem] = &problems_of(&wrong, "production")[..] else { panic!("one problem") };
        assert_eq!(problem.span.line, 9);
        assert!(problem.hint.as_ref().unwrap().contains(why), "{problem:?}");
    }
    for (name, value) in [("Staging", "{}"), ("staging", "[1]")] {
        let wrong = format!(
            "name: demo\nservices: {{web: {{repo: {{name: a/web, tag: \"1\"}}}}}}\nenvironments:\n  {name}: {value}\n"
        );
        let problems = problems_of(&wrong, "production");
        assert_eq!(problems.iter().filter(|problem| problem.severity == Severity::Error).count(), 1, "{wrong}");
    }
}
