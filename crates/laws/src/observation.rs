//! A host's answer to `observe`, with what it carries of fleetctl's, systemd's and Docker's words.

use skipper_core::{
    orchestrator::{
        Orchestrator as _,
        fleet::{Fleet, encode_report},
    },
    script::encode_result,
};

/// `data` as the lines of a report, and as the whole output of the script.
pub fn observation(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = Fleet.read_observation(&text);
    // Scripts write no carriage returns: they make them spaces.
    let Ok(report) = Fleet.read_observation(&encode_result(&text.replace('\r', " "))) else { return };
    for handle in
        report.replicas.iter().map(|replica| &replica.handle).chain(report.stray.iter().map(|stray| &stray.handle))
    {
        // It becomes the name of a file on hosts, and a word for fleetctl.
        let inner = |char: char| char.is_ascii_alphanumeric() || "-_.:@".contains(char);
        let stem = handle.0.strip_suffix(".service").unwrap_or_default();
        assert!(stem.starts_with(|char: char| char.is_ascii_alphanumeric()) && stem.chars().all(inner), "{handle:?}");
    }
    assert_eq!(Fleet.read_observation(&encode_report(&report)), Ok(report));
}
