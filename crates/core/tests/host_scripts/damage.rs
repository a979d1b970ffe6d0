//! Whatever fleetctl prints is read as it stands or refused.

use std::{fs, path::Path};

use proptest::{prelude::*, sample::Index};
use skipper_core::{
    observed::{Handle, OrchestratorState},
    orchestrator::{HostError, fleet::Unit},
};

use crate::host::*;

/// What becomes of an answer on its way: it is cut, a line is lost or told twice, a piece gets in, or it is another text.
#[derive(Clone, Debug)]
enum Damage {
    None,
    Cut(Index),
    Lost(Index),
    Twice(Index),
    Piece(Index, &'static str),
    Other(String),
}

impl Damage {
    fn any() -> impl Strategy<Value = Self> {
        let pieces = prop::sample::select(vec![
            "\t",
            "\n",
            "\t\t",
            " ",
            "-",
            "../",
            "/",
            "$(touch canary)",
            "`touch canary`",
            "; touch canary;",
            "'",
            "\"",
            "\\",
            "%s",
            "*",
            "launched",
            "Error: x",
            "web_3",
            " of demo/production",
            "\u{1b}[31m",
        ]);
        prop_oneof![
            Just(Self::None),
            any::<Index>().prop_map(Self::Cut),
            any::<Index>().prop_map(Self::Lost),
            any::<Index>().prop_map(Self::Twice),
            (any::<Index>(), pieces).prop_map(|(at, piece)| Self::Piece(at, piece)),
            "[ -~\\t\\n]{0,80}".prop_map(Self::Other),
        ]
    }

    fn to(&self, answer: &str) -> String {
        let mut lines: Vec<&str> = answer.split_inclusive('\n').collect();
        match self {
            Self::None => {}
            Self::Cut(at) => return answer[..at.index(answer.len())].to_owned(),
            Self::Lost(at) => drop(lines.remove(at.index(lines.len()))),
            Self::Twice(at) => lines.insert(0, lines[at.index(lines.len())]),
            Self::Piece(at, piece) => {
                let (before, behind) = answer.split_at(at.index(answer.len()));
                return format!("{before}{piece}{behind}");
            }
            Self::Other(text) => return text.clone(),
        }
        lines.concat()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

proptest! {
    // Each runs the whole script.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fleetctl_prints_is_read_as_it_stands_or_refused(
        files in Damage::any(),
        units in Damage::any(),
        machines in Damage::any(),
    ) {
        let host = Host::configured();
        let handles = ["web_1", "web_2"].map(|replica| Unit::new(&scope(), &spec(replica, "0a")).handle);
        let rows = |row: &dyn Fn(usize, &Handle) -> String| handles.iter().enumerate().map(|(n, handle)| row(n + 1, handle)).collect::<String>();
        let answer = |command: &str, damage: &Damage, whole: &str| {
            let text = damage.to(whole);
            host.write(&format!("world/prints/{command}"), &text);
            text
        };
        let told = answer("list-unit-files", &files, &rows(&|n, handle| {
            format!("{handle}\tlaunched\ttrue\t\tweb_{n} on web_1 of demo/production\n")
        }));
        answer("list-units", &units, &rows(&|_, handle| {
            format!("{handle}\tffff0000ffff0000ffff0000ffff0000/10.0.0.1\tactive\trunning\n")
        }));
        answer("list-machines", &machines, "aaaa0000aaaa0000aaaa0000aaaa0000\tgroup=web,host=web_2\nffff0000ffff0000ffff0000ffff0000\tgroup=web,host=web_1\n");

        let report = host.observe();
        match &report {
            Ok(report) => {
                let found: Vec<&Handle> = report.replicas.iter().map(|replica| &replica.handle).collect();
                prop_assert!(found.iter().chain(&report.stray.iter().map(|stray| &stray.handle).collect::<Vec<_>>()).all(|handle| told.contains(&handle.0)), "{:?}", report);
                if matches!(files, Damage::None) && report.orchestrator == OrchestratorState::Ready {
                    let mut whole: Vec<&Handle> = handles.iter().collect();
                    whole.sort();
                    prop_assert_eq!(found, whole);
                }
            }
            Err(HostError::Said { .. } | HostError::NotUnderstood(_)) => {}
            Err(error @ HostError::Unreadable(_)) => prop_assert!(false, "{error}"),
        }
        // Nothing was run, and nothing written beside the script's own folder.
        prop_assert_eq!(names(host.root.path()), ["etc", "opt", "run", "world"]);
        prop_assert_eq!(names(&host.path("run")), ["skipper"]);
        prop_assert!(!host.path("run/skipper/canary").exists() && !Path::new("canary").exists());
    }
}
