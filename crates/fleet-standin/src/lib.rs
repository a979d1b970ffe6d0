//! The lab's fleet: a stand-in for fleet 1.0.0 that keeps its traps.
//!
//! It speaks fleet's own registry layout on etcd's v2 keys and fleet's own API, so that either half can be
//! exchanged for the real one. It runs global units only: there is no engine and no scheduler, each
//! [`fleetd`] decides for its own host. Whatever else fleet can do is refused with [`REFUSED`], never imitated.
//!
//! Texts, exit codes and timings are those of the recorded calls in `tests/transcripts`, which are replayed
//! against it. Names of source files in log lines are part of those texts.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test that cannot go on should panic"))]

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

pub mod api;
pub mod client;
mod console;
pub mod etcd;
pub mod fleetctl;
pub mod fleetd;
pub mod http;
mod log;
pub mod registry;
mod tabs;
pub mod unit;
pub mod wire;

pub use console::Console;
pub use log::Log;

/// The release whose behaviour is imitated; what `version` prints and machines publish.
pub const VERSION: &str = "1.0.0";

/// Exit code of everything that fleet can do and the stand-in does not (`EX_SOFTWARE`; fleet never uses it).
pub const REFUSED: u8 = 70;

/// Runs the program that the first argument's file name asks for and returns its exit code.
pub fn run(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let called = args.next().unwrap_or_default();
    let program = Path::new(&called).file_name().unwrap_or_default().to_string_lossy();
    let args: Vec<String> = args.map(|a| a.to_string_lossy().into_owned()).collect();
    let mut console = Console::standard();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            console.err(&format!("fleet-standin: failed to start a runtime: {error}"));
            return ExitCode::from(REFUSED);
        }
    };
    let code = match &*program {
        "fleetctl" => runtime.block_on(fleetctl::main(&args, &mut console)),
        "fleetd" => runtime.block_on(fleetd::main(&args, &mut console)),
        other => {
            console.err(&format!("fleet-standin: called as `{other}`: call it `fleetd` or `fleetctl`"));
            REFUSED
        }
    };
    ExitCode::from(code)
}
