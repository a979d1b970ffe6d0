//! `tag` and `push`: images on this machine, and from it to their registries, without a deployment.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use skipper_core::{
    config::{Build, Config, ImageSource},
    exit::Exit,
    failure::Failure,
    image::{Repository, Tag},
    name::ServiceName,
    render::{log::failure_lines, text},
};
use skipper_deploy::{cancel::Cancel, images::build_request, ports::BuildRequest};

use super::{
    output::{self, Printer},
    run,
};
use crate::{
    docker::Docker,
    settings::{Command, Settings},
};

/// An image that is to be made or pushed.
struct Image {
    service: ServiceName,
    repository: Repository,
    tag: Tag,
    build: BuildRequest,
}

/// Builds or pushes every image that was asked for, side by side, and shows their names.
pub(crate) async fn run(config: &Config, settings: &Settings, quiet: bool, printer: Printer) -> Exit {
    run::install_tls();
    let ready = async {
        let images = asked_for(config, settings)?;
        let logins = run::logins_alone(config, settings, printer).await?;
        Ok((images, run::connect_docker(config, settings, logins)?))
    };
    let (images, docker) = match ready.await {
        Ok(ready) => ready,
        Err(failure) => return super::end_early(&failure, settings.output_file(), printer),
    };
    let cancel = Cancel::default();
    run::listen_for_signals(&cancel);
    let log = if quiet { None } else { Some(printer) };
    if settings.command == Command::Push
        && let Err(failure) = all_built(&images, &docker).await
    {
        return super::end_early(&failure, settings.output_file(), printer);
    }
    let conceal = |line| settings.concealed(line);
    let work = join_all(images.iter().map(|image| one(settings.command, image, &docker, &conceal, log)));
    let cancelled = || vec![Err(Failure::new(Exit::Cancelled, "cancelled while images were under way"))];
    let done = cancel.within(Duration::ZERO, work).await.unwrap_or_else(cancelled);
    let mut exit = Exit::Serves;
    let mut rows: Vec<Value> = Vec::new();
    for result in done {
        match result {
            Ok(row) => {
                printer.text(&text::line(&format!(
                    "{} {}",
                    row["service"].as_str().unwrap_or_default(),
                    row["image"].as_str().unwrap_or_default()
                )));
                rows.push(row);
            }
            Err(failure) => {
                let lines = failure_lines("error", &failure, printer.is_workflow());
                printer.log(&lines.into_iter().map(&conceal).collect::<Vec<_>>());
                exit = if exit == Exit::Serves { failure.exit } else { exit };
            }
        }
    }
    printer.json(&rows);
    output::early_outputs(settings.output_file(), exit, printer);
    exit
}

/// The images of the services that are named, else of all that are built here.
fn asked_for(config: &Config, settings: &Settings) -> Result<Vec<Image>, Failure> {
    let commit = settings.trigger.as_ref().map(|trigger| &trigger.revision);
    let commit = commit.ok_or_else(|| Failure::new(Exit::Defect, "the commit is not known"))?;
    let image = |service: &ServiceName, repository: &Repository, build: &Build, tag: Option<&Tag>| Image {
        service: service.clone(),
        repository: repository.clone(),
        tag: tag.cloned().unwrap_or_else(|| commit.tag()),
        build: build_request(build, commit, &run::root(&settings.config)),
    };
    let mut images = Vec::new();
    for (name, service) in &config.services {
        let named = settings.services.get(name);
        match &service.source {
            ImageSource::Build(build) if named.is_some() || settings.services.is_empty() => {
                images.push(image(name, &service.repository, build, named.and_then(Option::as_ref)));
            }
            ImageSource::Tag(_) if named.is_some() => {
                let failure = Failure::new(Exit::BadInput, format!("service `{name}` is not built here"));
                return Err(
                    failure.hint(format!("leave it out, or give it `build` in `{}`", settings.config.display()))
                );
            }
            _ => {}
        }
    }
    match images.is_empty() {
        true => Err(Failure::new(Exit::BadInput, "no service is built here")
            .hint(format!("give one `build` in `{}`", settings.config.display()))),
        false => Ok(images),
    }
}

/// Nothing is pushed where not everything can be.
async fn all_built(images: &[Image], docker: &Docker) -> Result<(), Failure> {
    let mut missing = Failure::new(Exit::BadInput, "not every image is built on this machine");
    let mut is_missing = false;
    for Image { service, repository, tag, .. } in images {
        if !docker.has(repository, tag).await.map_err(|error| error.failure.during("look for the images"))? {
            is_missing = true;
            missing = missing.because(format!("there is no `{repository}:{tag}`"));
            missing = missing.hint(format!("build it with `skipper tag {service}:{tag}`"));
        }
    }
    if is_missing { Err(missing) } else { Ok(()) }
}

async fn one(
    command: Command,
    image: &Image,
    docker: &Docker,
    conceal: &dyn Fn(String) -> String,
    log: Option<Printer>,
) -> Result<Value, Failure> {
    let Image { service, repository, tag, build } = image;
    let mut output = |line: String| {
        if let Some(log) = log {
            log.log(&[text::line(&conceal(format!("{service} | {line}")))]);
        }
    };
    let name = format!("{repository}:{tag}");
    if command == Command::Tag {
        let made = docker.build(build, repository, tag, &mut output).await;
        made.map_err(|error| error.failure.during(format!("tag the image of service `{service}`")))?;
        return Ok(json!({ "service": service, "image": name }));
    }
    let during = |failure: Failure| failure.during(format!("push the image of service `{service}`"));
    let digest = docker.push(repository, tag, &mut output).await.map_err(|error| during(error.failure))?;
    Ok(json!({ "service": service, "image": name, "digest": digest }))
}
