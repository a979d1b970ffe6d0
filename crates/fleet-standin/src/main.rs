//! Starts as `fleetd` or `fleetctl`, by the name it was called under.

use std::process::ExitCode;

fn main() -> ExitCode {
    fleet_standin::run(std::env::args_os())
}
