//! What people read of whole runs, held to files: `SKIPPER_BLESS=1 cargo test -p skipper-deploy golden` writes them anew.

use std::{fs, path::PathBuf};

use skipper_core::{
    progress::Progress,
    render::{
        log::{Log, Style},
        markdown,
    },
};
use skipper_deploy::sim::SimWorld;

use crate::shop::{Told, commit, ship, shop};

/// Compares with the file of that name, or writes it.
fn hold(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/simulated/golden").join(name);
    if std::env::var_os("SKIPPER_BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == text, "{} differs from what is rendered:\n{text}", path.display());
}

fn hold_both(name: &str, told: &Told, style: Style) {
    let mut log = Log::new(style);
    let lines: Vec<String> = told.events.iter().flat_map(|event| log.lines(event)).collect();
    hold(&format!("{name}.log"), &format!("{}\n", lines.join("\n")));
    hold(&format!("{name}.md"), &markdown::comment(&Progress::of(&told.events)));
}

#[test]
fn golden_first_deploy_in_a_workflow() {
    let world = SimWorld::default();
    let told = ship(&world, &shop(2), &commit(1));
    hold_both("first-deploy", &told, Style { workflow: true, ..Style::default() });
}

#[test]
fn golden_release_that_fails_at_a_terminal() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    world.change().registry.sources.insert("web".to_owned(), "new".to_owned());
    world.change().broken_hosts.insert("app_1".parse().unwrap());
    let told = ship(&world, &shop(2), &commit(2));
    hold_both("failed-release", &told, Style::default());
}

#[test]
fn golden_build_that_fails_says_its_last_lines_to_the_quiet() {
    let world = SimWorld::default();
    world.change().registry.failing.push("web".to_owned());
    let told = ship(&world, &shop(1), &commit(1));
    hold_both("failed-build", &told, Style { quiet: true, ..Style::default() });
}
