//! The commands that change units or show one. None of them ever says whether a global unit runs.

use std::path::Path;
use std::time::Duration;

use crate::REFUSED;
use crate::client::{Error, Fleet};
use crate::console::Console;
use crate::registry::JobState;
use crate::unit::{UnitFile, Unsupported, check_name, check_no_template, mangle, with_suffix};
use crate::wire::Unit;

use super::FAILED;
use super::flags::Parsed;

/// How long fleetctl waits before it looks whether what it created is there.
const BEFORE_LOOKING: Duration = Duration::from_millis(250);

/// Why units could not be created or asked for.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Unsupported(#[from] Unsupported),
    #[error("{0}")]
    Fleet(String),
}

impl Failure {
    /// Says it the way fleetctl does, and gives the exit code.
    fn report(&self, what: &str, console: &mut Console) -> u8 {
        match self {
            Self::Unsupported(unsupported) => {
                console.err(&unsupported.to_string());
                REFUSED
            }
            Self::Fleet(message) => {
                console.err(&format!("Error {what} units: {message}"));
                FAILED
            }
        }
    }
}

/// `cat`.
pub(super) async fn cat(line: &Parsed, fleet: &impl Fleet, console: &mut Console) -> u8 {
    let [argument] = &line.arguments[..] else {
        console.err("One unit file must be provided");
        return FAILED;
    };
    let name = mangle(argument);
    match fleet.unit(&name).await {
        Ok(Some(unit)) => {
            console.out_raw(&UnitFile::from_options(unit.options).text());
            0
        }
        Ok(None) => {
            console.err(&format!("Unit {name} not found"));
            FAILED
        }
        Err(error) => {
            console.err(&format!("Error retrieving Unit {name}: {error}"));
            FAILED
        }
    }
}

/// `status`: nothing at all for a global unit, whatever became of it.
pub(super) async fn status(line: &Parsed, fleet: &impl Fleet, console: &mut Console) -> u8 {
    for argument in &line.arguments {
        let name = mangle(argument);
        match fleet.unit(&name).await {
            Ok(Some(unit)) if is_global(&unit) => {}
            Ok(Some(_)) => {
                console.err(&format!("Unit {name} does not appear to be loaded."));
                return FAILED;
            }
            Ok(None) => {
                console.err(&format!("Unit {name} does not exist."));
                return FAILED;
            }
            Err(error) => {
                console.err(&format!("Error retrieving unit: {error}"));
                return FAILED;
            }
        }
    }
    0
}

/// `journal`: of no unit that can exist here.
pub(super) async fn journal(line: &Parsed, fleet: &impl Fleet, console: &mut Console) -> u8 {
    let [argument] = &line.arguments[..] else {
        console.err("One unit file must be provided.");
        return FAILED;
    };
    let name = mangle(argument);
    console.err(&match fleet.unit(&name).await {
        Ok(Some(unit)) if is_global(&unit) => {
            format!("Unable to retrieve journal of global unit {name}.")
        }
        Ok(Some(_)) => format!("Unit {name} does not appear to be running."),
        Ok(None) => format!("Unit {name} does not exist."),
        Err(error) => format!("Error retrieving unit {name}: {error}"),
    });
    FAILED
}

/// `destroy`.
pub(super) async fn destroy(line: &Parsed, fleet: &impl Fleet, console: &mut Console) -> u8 {
    let units = match known_units(line, fleet, console).await {
        Ok(units) => units,
        Err(code) => return code,
    };
    let mut code = 0;
    for Unit { name, .. } in units {
        match fleet.destroy_unit(&name).await {
            Ok(()) => console.out(&format!("Destroyed {name}")),
            Err(Error::NoSuchUnit) => {}
            Err(error) => {
                console.err(&format!("Error destroying units: {error}"));
                code = FAILED;
            }
        }
    }
    code
}

/// `submit`.
pub(super) async fn submit(line: &Parsed, fleet: &impl Fleet, console: &mut Console) -> u8 {
    if let Some(code) = nothing_to_do(line, console) {
        return code;
    }
    match create("submit", line, fleet, console).await {
        Ok(()) => 0,
        Err(failure) => failure.report("creating", console),
    }
}

/// `load` and `start`. A unit that is in the asked-for state already is left alone without a word, dead or not.
pub(super) async fn load_or_start(command: &str, line: &Parsed, fleet: &impl Fleet, console: &mut Console) -> u8 {
    if let Some(code) = nothing_to_do(line, console) {
        return code;
    }
    if let Err(failure) = create(command, line, fleet, console).await {
        return failure.report("creating", console);
    }
    let (state, doing) =
        if command == "load" { (JobState::Loaded, "loading") } else { (JobState::Launched, "starting") };
    match ask_for(state, line, fleet).await {
        Ok(triggered) => {
            for name in triggered {
                console.out(&format!("Triggered global unit {name} {command}"));
            }
            0
        }
        Err(failure) => failure.report(doing, console),
    }
}

/// `stop` and `unload`, which pass over whatever goes wrong with a unit. The list in their last line is of
/// scheduled units, so it is always empty here.
pub(super) async fn stop_or_unload(command: &str, line: &Parsed, fleet: &impl Fleet, console: &mut Console) -> u8 {
    let units = match known_units(line, fleet, console).await {
        Ok(units) => units,
        Err(code) => return code,
    };
    let (state, done) =
        if command == "stop" { (JobState::Loaded, "stopped") } else { (JobState::Inactive, "unloaded") };
    for Unit { name, .. } in units {
        fleet.set_target(&name, state).await.ok();
        console.out(&format!("Triggered global unit {name} {command}"));
    }
    console.err(&format!("Successfully {done} units []."));
    0
}

fn nothing_to_do(line: &Parsed, console: &mut Console) -> Option<u8> {
    line.arguments.is_empty().then(|| {
        console.err("No units given");
        0
    })
}

/// The units of the command line that exist; those that do not are passed over.
async fn known_units(line: &Parsed, fleet: &impl Fleet, console: &mut Console) -> Result<Vec<Unit>, u8> {
    if let Some(code) = nothing_to_do(line, console) {
        return Err(code);
    }
    let all = fleet.units().await.map_err(|error| {
        console.err(&error.to_string());
        FAILED
    })?;
    let named = |argument: &String| all.iter().find(|unit| unit.name == mangle(argument)).cloned();
    let units: Vec<Unit> = line.arguments.iter().filter_map(named).collect();
    if units.is_empty() {
        console.err("Units not found in registry");
        return Err(0);
    }
    if let Some(unit) = units.iter().find(|unit| !is_global(unit))
        && let Err(unsupported) = UnitFile::from_options(unit.options.clone()).check_supported(&unit.name)
    {
        // Only another client can have put it there; it may still be destroyed.
        if line.command.is_none_or(|command| command.name != "destroy") {
            console.err(&unsupported.to_string());
            return Err(REFUSED);
        }
    }
    Ok(units)
}

/// Creates what does not exist yet, and with `--replace` what differs.
async fn create(command: &str, line: &Parsed, fleet: &impl Fleet, console: &mut Console) -> Result<(), Failure> {
    let mut created = Vec::new();
    for argument in &line.arguments {
        let path = with_suffix(argument);
        let name = mangle(argument);
        let known = fleet
            .unit(&name)
            .await
            .map_err(|error| Failure::Fleet(format!("error retrieving Unit({name}) from Registry: {error}")))?;
        if let Some(known) = known
            && !should_replace(command, line, &path, &known, console)?
        {
            continue;
        }
        check_no_template(&name)?;
        let file = read_file(&path, &name)?;
        check_name(&name).map_err(|error| Failure::Fleet(error.to_string()))?;
        file.check_supported(&name)?;
        fleet
            .create_unit(&name, &file)
            .await
            .map_err(|error| Failure::Fleet(format!("failed creating unit {name}: {error}")))?;
        created.push(name);
    }
    if !created.is_empty() {
        tokio::time::sleep(BEFORE_LOOKING).await;
    }
    for name in created {
        // fleetctl prints the unit's current state here, and a global unit has none.
        console.out(&format!("Unit {name} "));
    }
    Ok(())
}

/// Whether the text of a known unit is to be replaced by the file's. Without `--replace` a difference is
/// only warned of, and the old text is what runs.
fn should_replace(
    command: &str,
    line: &Parsed,
    path: &str,
    known: &Unit,
    console: &mut Console,
) -> Result<bool, Failure> {
    let name = &known.name;
    let replace = line.is("replace");
    let Ok(local) = read_file(path, name) else {
        // Not having the file is a fault only where it would have to be compared.
        if !replace {
            return Ok(false);
        }
        return Err(Failure::Fleet(format!("error Unit {path} does not seem to be a template unit")));
    };
    let differs = local.hash() != UnitFile::from_options(known.options.clone()).hash();
    if !replace {
        if differs {
            console.err(&format!(
                "WARNING: Unit {name} in registry differs from local unit file {path}. Add --replace to override."
            ));
        }
        return Ok(false);
    }
    if !differs {
        console.out(&format!("Found same Unit({name}) in Registry, nothing to do"));
        return Ok(false);
    }
    let state = &known.desired_state;
    let allowed = match command {
        "submit" => matches!(&**state, "inactive"),
        "load" => matches!(&**state, "inactive" | "loaded"),
        _ => true,
    };
    if !allowed {
        console.err(&format!("Warning: can not replace Unit({name}) in state '{state}', use the appropriate command"));
    }
    Ok(allowed)
}

fn read_file(path: &str, name: &str) -> Result<UnitFile, Failure> {
    if !Path::new(path).exists() {
        return Err(Failure::Fleet(format!("unable to find Unit({name}) in Registry or on filesystem")));
    }
    let unreadable =
        |error: &dyn std::error::Error| Failure::Fleet(format!("failed getting Unit({path}) from file: {error}"));
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    UnitFile::parse(&text).map_err(|error| unreadable(&error))
}

/// Asks for `state` of every unit of the command line that is in another one; gives their names.
async fn ask_for(state: JobState, line: &Parsed, fleet: &impl Fleet) -> Result<Vec<String>, Failure> {
    let mut triggered = Vec::new();
    for argument in &line.arguments {
        let name = mangle(argument);
        let unit = fleet
            .unit(&name)
            .await
            .map_err(|error| Failure::Fleet(format!("error retrieving unit {name} from registry: {error}")))?
            .ok_or_else(|| Failure::Fleet(format!("unable to find unit {name}")))?;
        if !is_global(&unit) {
            UnitFile::from_options(unit.options).check_supported(&name)?;
        } else if unit.desired_state != state.to_string() {
            fleet.set_target(&name, state).await.map_err(|error| Failure::Fleet(error.to_string()))?;
            triggered.push(name);
        }
    }
    Ok(triggered)
}

fn is_global(unit: &Unit) -> bool {
    UnitFile::from_options(unit.options.clone()).is_global()
}
