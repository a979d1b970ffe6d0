//! Previews: what an event asks for, which there are, and the sweep of those that have outlived their pull requests.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use skipper_core::{
    config::Config,
    exit::Exit,
    failure::Failure,
    name::EnvironmentName,
    preview::{self, Cause, Surveyed, Wish},
    render::{log::failure_lines, previews as render, words},
};
use skipper_deploy::{
    ports::CodeHost,
    previews::{Found, Survey},
};

use super::{
    output::{self, Printer},
    regions,
    run::{self, Removal},
};
use crate::{
    github::GitHub,
    settings::{Command, EventKind, PullRequest, Settings, Trigger, Workflow},
};

/// What the event asks for. Where the environment is not the preview of its pull request, that is what the command says.
pub(crate) fn wish(config: &Config, settings: &Settings) -> Wish {
    let asked = settings.preview().and_then(|pull| Some((pull.from_fork, pull.happened.as_ref()?)));
    asked.map_or(Wish::Ship, |(from_fork, happened)| preview::wish(&config.previews, from_fork, happened))
}

/// Shows the previews.
pub(crate) async fn show(regions: &[Config], settings: &Settings, printer: Printer) -> Exit {
    let look = async |config: &Config| {
        let found = survey(config, settings, printer, false).await?;
        tell_unknown(&found, printer);
        Ok((render::table(&found.previews, found.shared_instances), json!(render::rows(&found.previews))))
    };
    regions::look(regions, settings, printer, look).await
}

/// Sweeps the previews of one region after another.
pub(crate) async fn sweep(regions: &[Config], settings: &Settings, quiet: bool, printer: Printer) -> Exit {
    run::install_tls();
    let mut exits = Vec::new();
    let mut documents = Map::new();
    for config in regions {
        let is_one_of_several = regions.len() > 1;
        let printer = if is_one_of_several { printer.of_region(&config.region) } else { printer };
        let settings = &of_region(settings, &config.region, is_one_of_several);
        let (exit, document) = match survey(config, settings, printer, true).await {
            Ok(found) => {
                tell_unknown(&found, printer);
                sweep_region(config, settings, quiet, printer, &found).await
            }
            Err(failure) => {
                printer.log(&failure_lines("error", &failure, printer.is_workflow()));
                (failure.exit, json!({ "failure": failure }))
            }
        };
        exits.push(exit);
        documents.insert(config.region.clone(), document);
    }
    match regions {
        [_] => documents.values().for_each(|document| printer.json(document)),
        _ => printer.json(&documents),
    }
    let exit = regions::first_failure(exits);
    output::early_outputs(settings.output_file(), exit, printer);
    exit
}

/// The settings of the sweep of one region. The same pull request may have a preview in each of several.
fn of_region(settings: &Settings, region: &str, is_one_of_several: bool) -> Settings {
    if is_one_of_several { regions::of(settings, region) } else { settings.clone() }
}

/// Says of which pull requests nothing is known.
fn tell_unknown(found: &Found, printer: Printer) {
    for unknown in found.previews.values().filter_map(|found| found.unknown.as_ref()) {
        printer.log(&failure_lines("warning", unknown, printer.is_workflow()));
    }
}

/// Looks at all previews. Without a code host nobody knows of their pull requests, which a sweep does not begin with.
async fn survey(config: &Config, settings: &Settings, printer: Printer, sweeps: bool) -> Result<Found, Failure> {
    let code_host = settings.code_host.as_ref().map(|access| GitHub::new(access, None)).transpose();
    let code_host = code_host.map_err(|error| error.failure)?;
    if sweeps && code_host.is_none() {
        let failure = Failure::failed_to(Exit::BadInput, "sweep previews")
            .because("nobody can be asked which pull requests are open");
        return Err(failure.hint("give `GITHUB_REPOSITORY` and a token (input `github-token`, or `GITHUB_TOKEN`)"));
    }
    let aws = run::connect_aws(config, settings, printer).await?;
    let (compute, store) = (aws.compute(), aws.store());
    let survey = Survey {
        compute: &compute,
        store: &store,
        code_host: code_host.as_ref().map(|code_host| code_host as &dyn CodeHost),
        age: &age,
    };
    survey.look(&config.project, &config.previews).await
}

/// Nothing for a moment that is none; no time at all for one that is still to come by this machine's clock.
fn age(moment: &str) -> Option<Duration> {
    let moment: Timestamp = moment.parse().ok()?;
    Some(Duration::try_from(Timestamp::now().duration_since(moment)).unwrap_or_default())
}

/// Removes one preview after another, each by a run of its own; one that fails does not keep the others. The exit is that of the
/// first that went wrong, or why nothing is known of a pull request.
async fn sweep_region(
    config: &Config,
    settings: &Settings,
    quiet: bool,
    printer: Printer,
    found: &Found,
) -> (Exit, Value) {
    let mut ended: BTreeMap<EnvironmentName, Exit> = BTreeMap::new();
    if found.shared && found.previews.values().all(|found| found.ends.is_some() || found.preview.is_nothing()) {
        // Before the previews: what runs there goes with the hosts, whether or not those answer.
        let removal = Removal { cause: Cause::Unused, ending: found.previews.keys().copied().collect() };
        let settings = of(settings, EnvironmentName::of_previews());
        let exit = run::run(config, &settings, quiet, printer, Some(&removal)).await;
        ended.insert(settings.environment, exit);
    }
    for (number, found) in &found.previews {
        let Some(cause) = &found.ends else { continue };
        if ended.values().any(|exit| *exit == Exit::Cancelled) {
            break;
        }
        let settings = of_preview(settings, *number, found);
        let exit = run::run(config, &settings, quiet, printer, Some(&cause.clone().into())).await;
        ended.insert(settings.environment, exit);
    }
    let is_removed = |(environment, exit): &(&EnvironmentName, &Exit)| {
        environment.pull_request().is_some() && **exit == Exit::Serves
    };
    let removed = ended.iter().filter(is_removed).count();
    let kept = words::count(found.previews.len() - removed, "preview");
    printer.log(&[format!("swept: {} removed, {kept} kept", words::count(removed, "preview"))]);
    let exits: BTreeMap<String, u8> =
        ended.iter().map(|(environment, exit)| (environment.to_string(), exit.code())).collect();
    let document = json!({ "previews": render::rows(&found.previews), "removals": exits });
    let unknown = found.previews.values().filter_map(|found| found.unknown.as_ref()).map(|failure| failure.exit);
    (regions::first_failure(ended.into_values().chain(unknown)), document)
}

/// The settings of the run that removes a preview: it tells the pull request, by the commit that was last shipped there, and keeps
/// its events in a file of its own.
fn of_preview(settings: &Settings, number: u64, found: &Surveyed) -> Settings {
    let trigger = found.preview.revision.clone().map(|revision| Trigger {
        event: EventKind::Other(Command::Sweep.as_str().to_owned()),
        revision,
        pull_request: Some(PullRequest::named(number)),
        deliberate: false,
    });
    Settings { trigger, ..of(settings, EnvironmentName::of_pull_request(number)) }
}

/// The settings of a part of the sweep, which is about this environment.
fn of(settings: &Settings, environment: EnvironmentName) -> Settings {
    let events = settings.events.as_ref().map(|events| events.of_part(environment.as_ref()));
    let workflow = settings.workflow.clone().map(Workflow::part);
    Settings { environment, trigger: None, events, workflow, ..settings.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Flags;

    #[test]
    fn each_region_s_part_of_a_sweep_keeps_its_events_in_a_file_of_its_own() {
        let flags = Flags {
            command: Some(Command::Sweep),
            events: Some("/tmp/events.jsonl".into()),
            environment: Some("production".to_owned()),
            ..Flags::default()
        };
        let settings = Settings::from_lookup(flags, "/tmp".as_ref(), |_| None).unwrap();
        let file = |settings: &Settings| {
            let part = of(settings, EnvironmentName::of_pull_request(7));
            part.events.unwrap().path.to_string_lossy().into_owned()
        };
        assert_eq!(file(&settings), "/tmp/events.pr-7.jsonl");
        let files = ["eu-west-1", "us-east-1"].map(|region| file(&of_region(&settings, region, true)));
        assert_eq!(files, ["/tmp/events.eu-west-1.pr-7.jsonl", "/tmp/events.us-east-1.pr-7.jsonl"]);
        assert_eq!(file(&of_region(&settings, "eu-west-1", false)), "/tmp/events.pr-7.jsonl");
    }

    #[test]
    fn a_moment_that_is_none_has_no_age() {
        assert_eq!(age("yesterday"), None);
        assert_eq!(age("2999-01-01T00:00:00Z"), Some(Duration::ZERO));
        assert!(age("2026-01-01T00:00:00Z").unwrap() > Duration::from_secs(60));
    }
}
