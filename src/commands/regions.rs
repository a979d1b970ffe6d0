//! The regions that a command is about: it does the same in each of them, side by side, and is told as one.

use std::collections::BTreeMap;

use futures::future::join_all;
use serde_json::{Map, Value, json};
use skipper_core::{
    config::Config,
    exit::Exit,
    failure::Failure,
    progress::Progress,
    render::{log::failure_lines, text},
};
use skipper_deploy::{runner::ExpectedPlan, shared_images::SharedImages};

use super::{
    output::{self, Printer},
    run::{self, Ended, Removal, Source},
};
use crate::settings::{Command, Settings, Workflow};

/// The file as each region has it that is meant: the one that was asked for, else all of them.
///
/// # Errors
/// When the one that was asked for is none of several, or several are meant by what can only be about one.
pub(super) fn meant(config: Config, settings: &Settings) -> Result<Vec<Config>, Failure> {
    let known = config.regions.clone();
    let named = || known.iter().map(|region| format!("`{region}`")).collect::<Vec<_>>().join(", ");
    // What 2014's file says comes last: after the flag, the input and skipper.yml.
    let is_in_file = ["region", "regions"].iter().any(|key| config.spans.contains_key(*key));
    let of_keys = settings.keys.as_ref().and_then(|keys| keys.region.clone()).filter(|_| !is_in_file);
    let asked = settings.region.clone().or(of_keys);
    let is_one_of_several = config.regions.len() > 1;
    match asked {
        Some(region) if is_one_of_several && !known.contains(&region) => {
            let failure = Failure::new(Exit::BadInput, format!("skipper.yml has no region `{region}`"));
            Err(failure.hint(format!("correct `--region` (input `region`): there are {}", named())))
        }
        Some(region) if is_one_of_several => Ok(vec![config.in_region(&region)]),
        Some(region) => Ok(vec![Config { regions: vec![region.clone()], region, ..config }]),
        None if is_one_of_several && (settings.command.is_about_one_region() || settings.break_lease) => {
            let what = format!("`{}` is about one region, and skipper.yml has several", settings.command.as_str());
            Err(Failure::new(Exit::BadInput, what)
                .hint(format!("give `--region` (input `region`) with one of {}", named())))
        }
        None => Ok(known.iter().map(|region| config.in_region(region)).collect()),
    }
}

/// Carries the command out in every region that is meant.
pub(super) async fn run(
    regions: &[Config],
    settings: &Settings,
    quiet: bool,
    printer: Printer,
    removal: Option<&Removal>,
) -> Exit {
    match regions {
        [config] => run::run(config, settings, quiet, printer, removal).await,
        regions => match side_by_side(regions, settings, quiet, printer, removal).await {
            Ok(exit) => exit,
            Err(failure) => super::end_early(&failure, settings.output_file(), printer),
        },
    }
}

/// One run a region, all of them with the same images.
async fn side_by_side(
    regions: &[Config],
    settings: &Settings,
    quiet: bool,
    printer: Printer,
    removal: Option<&Removal>,
) -> Result<Exit, Failure> {
    let Some(first) = regions.first() else { return Ok(Exit::Serves) };
    if let Some(ExpectedPlan::Hash(_)) = settings.expect_plan {
        let failure =
            Failure::new(Exit::BadInput, "`expect-plan` is one plan, and each of several regions has its own");
        return Err(failure.hint(
            "give the output `plan-hash` of a step that planned for all of them, or `--region` (input `region`)",
        ));
    }
    run::install_tls();
    let logins = run::logins_alone(first, settings, printer).await?;
    let concealed = run::passwords(&logins);
    let docker = run::connect_docker(first, settings, logins)?;
    let images = SharedImages::new(&docker);
    let started_at = &run::time();
    let parts: Vec<(&Config, Settings)> = regions.iter().map(|config| (config, of(settings, &config.region))).collect();
    let events = parts.iter().filter_map(|(_, settings)| settings.events.as_ref());
    output::begin_state(settings, events.map(|events| events.path.clone()).collect(), started_at, printer);
    let runs = parts.iter().map(|(config, settings)| {
        let printer = printer.of_region(&config.region);
        let source = Source { images: &images, concealed: concealed.clone() };
        async move {
            let ended = run::carry_out(config, settings, started_at, quiet, printer, removal, Some(source)).await;
            ended.unwrap_or_else(|failure| {
                printer.log(&failure_lines("error", &failure, printer.is_workflow()));
                Ended { exit: failure.exit, progress: Progress::default(), has_told: true }
            })
        }
    });
    let ended: Vec<Ended> = join_all(runs.map(Box::pin)).await;
    let exits: Vec<Exit> = ended.iter().map(|ended| ended.exit).collect();
    let exit = match settings.command {
        // Nothing was changed: what went wrong is all that there is to say.
        Command::Ps | Command::Plan => first_failure(exits.iter().copied()),
        _ => Exit::of_regions(&exits),
    };
    let has_told = ended.iter().all(|ended| ended.has_told);
    let told: BTreeMap<String, Progress> =
        regions.iter().zip(ended).map(|(config, ended)| (config.region.clone(), ended.progress)).collect();
    show(settings.command, &told, quiet, printer);
    printer.log(&[summary(regions, &exits, exit)]);
    output::runner_files_of_regions(settings, &told, exit, printer);
    if has_told {
        output::end_state(settings, printer);
    }
    Ok(run::passed(settings, exit))
}

/// The settings of the part that is about this region: it keeps its events in a file of its own.
pub(super) fn of(settings: &Settings, region: &str) -> Settings {
    let events = settings.events.as_ref().map(|events| events.of_part(region));
    let workflow = settings.workflow.clone().map(Workflow::part);
    Settings { events, workflow, ..settings.clone() }
}

/// What was asked for, of each region.
fn show(command: Command, told: &BTreeMap<String, Progress>, quiet: bool, printer: Printer) {
    let documents: Map<String, Value> =
        told.iter().map(|(region, progress)| (region.clone(), run::document(command, progress))).collect();
    printer.json(&documents);
    for (region, progress) in told {
        if let Some(text) = run::asked_for_text(command, progress, quiet, printer) {
            printer.text(&format!("{region}:\n{text}"));
        }
    }
}

/// How each region ended, in one line.
fn summary(regions: &[Config], exits: &[Exit], all: Exit) -> String {
    let each = regions.iter().zip(exits).map(|(config, exit)| format!("{} {}", config.region, exit.status()));
    text::line(&format!("regions: {} (exit {})", each.collect::<Vec<_>>().join(", "), all.code()))
}

/// Looks in each region, one after another, and tells what was found: as it is where only one is meant, else by region.
pub(super) async fn look(
    regions: &[Config],
    settings: &Settings,
    printer: Printer,
    look: impl AsyncFn(&Config) -> Result<(String, Value), Failure>,
) -> Exit {
    run::install_tls();
    if let [config] = regions {
        return match look(config).await {
            Ok((text, document)) => {
                printer.text(&text);
                printer.json(&document);
                output::early_outputs(settings.output_file(), Exit::Serves, printer);
                Exit::Serves
            }
            Err(failure) => super::end_early(&failure, settings.output_file(), printer),
        };
    }
    let mut documents = Map::new();
    let mut exits = Vec::new();
    for config in regions {
        let region = &config.region;
        match look(config).await {
            Ok((text, document)) => {
                printer.text(&format!("{region}:\n{text}"));
                documents.insert(region.clone(), document);
                exits.push(Exit::Serves);
            }
            Err(failure) => {
                printer.of_region(region).log(&failure_lines("error", &failure, printer.is_workflow()));
                documents.insert(region.clone(), json!({ "failure": failure }));
                exits.push(failure.exit);
            }
        }
    }
    printer.json(&documents);
    let exit = first_failure(exits);
    output::early_outputs(settings.output_file(), exit, printer);
    exit
}

/// What the first that went wrong has ended with.
pub(super) fn first_failure(exits: impl IntoIterator<Item = Exit>) -> Exit {
    exits.into_iter().find(|exit| *exit != Exit::Serves).unwrap_or(Exit::Serves)
}
