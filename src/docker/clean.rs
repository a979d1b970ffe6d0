//! Older images in the engine of this machine: which there are, and taking them out by their names.

use std::collections::{BTreeMap, BTreeSet};

use bollard::{
    errors::Error,
    models::ImageSummary,
    query_parameters::{ListContainersOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptions},
};
use skipper_core::{
    clean::Stocked,
    image::{PinnedImage, Repository, Tag},
};
use skipper_deploy::ports::{PortErrorKind, PortResult};

use super::engine::{engine_error, needed_to_clean};

/// The images of these repositories. One that two of them name is there twice, with the names that it has in each.
pub(super) async fn stock(docker: &bollard::Docker, repositories: &BTreeSet<Repository>) -> PortResult<Vec<Stocked>> {
    let failed = |what: &str, error: &Error| needed_to_clean(engine_error(format!("list {what} of the engine"), error));
    let options = ListContainersOptionsBuilder::new().all(true).build();
    let containers = docker.list_containers(Some(options)).await.map_err(|error| failed("the containers", &error))?;
    let used: BTreeSet<String> = containers.into_iter().filter_map(|container| container.image_id).collect();
    let options = ListImagesOptionsBuilder::new().shared_size(true).build();
    let images = docker.list_images(Some(options)).await.map_err(|error| failed("the images", &error))?;
    Ok(images.iter().flat_map(|image| stocked(image, repositories, &used)).collect())
}

fn stocked(image: &ImageSummary, repositories: &BTreeSet<Repository>, used: &BTreeSet<String>) -> Vec<Stocked> {
    let size = u64::try_from(image.size).unwrap_or_default();
    // Engines before 23.0, which do not know this, say -1.
    let own = u64::try_from(image.shared_size).ok().and_then(|shared| size.checked_sub(shared));
    let empty = |repository: &Repository| Stocked {
        id: image.id.clone(),
        repository: repository.clone(),
        tags: BTreeSet::new(),
        digests: BTreeSet::new(),
        created: image.created,
        size,
        own,
        used: used.contains(&image.id),
    };
    let mut by_repository: BTreeMap<Repository, Stocked> = BTreeMap::new();
    let mut of = |repository: Repository, add: &dyn Fn(&mut Stocked)| {
        if repositories.contains(&repository) {
            add(by_repository.entry(repository.clone()).or_insert_with(|| empty(&repository)));
        }
    };
    for name in &image.repo_tags {
        let parts = name.rsplit_once(':').and_then(|(repository, tag)| Some((repository.parse().ok()?, tag)));
        if let Some((repository, Ok(tag))) = parts.map(|(repository, tag)| (repository, tag.parse::<Tag>())) {
            of(repository, &|stocked| stocked.tags.extend([tag.clone()]));
        }
    }
    for PinnedImage { repository, digest } in image.repo_digests.iter().filter_map(|name| name.parse().ok()) {
        of(repository, &|stocked| stocked.digests.extend([digest.clone()]));
    }
    by_repository.into_values().collect()
}

/// Takes an image by all names that it has in its repository; whether nothing is left of it.
pub(super) async fn clean(docker: &bollard::Docker, image: &Stocked) -> PortResult<bool> {
    for name in image.names() {
        match docker.remove_image(&name, None::<RemoveImageOptions>, None).await {
            // With its last tag its digests go, too.
            Ok(_) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(error) => {
                let is_used = matches!(error, Error::DockerResponseServerError { status_code: 409, .. });
                let mut error = needed_to_clean(engine_error(format!("remove `{name}` from the engine"), &error));
                if is_used {
                    error.kind = PortErrorKind::InUse;
                }
                return Err(error);
            }
        }
    }
    match docker.inspect_image(&image.id).await {
        Ok(_) => Ok(false),
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(true),
        Err(error) => {
            Err(needed_to_clean(engine_error(format!("look for image `{}` in the engine", image.id), &error)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_told_by_repository_and_under_no_name_that_others_gave_it() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let image = ImageSummary {
            id: "sha256:1".to_owned(),
            repo_tags: ["acme/web:v1", "acme/web:v2", "ghcr.io:443/acme/web:v1", "other:v1", "<none>:<none>"]
                .map(str::to_owned)
                .into(),
            repo_digests: vec![format!("redis@{digest}"), "<none>@<none>".to_owned()],
            size: 100,
            shared_size: 30,
            ..ImageSummary::default()
        };
        let repositories = ["acme/web", "redis", "ghcr.io/acme/web"].map(|name| name.parse().unwrap()).into();
        let used = BTreeSet::from(["sha256:1".to_owned()]);
        let stocked = stocked(&image, &repositories, &used);
        let names: Vec<Vec<String>> = stocked.iter().map(Stocked::names).collect();
        let web = ["docker.io/acme/web:v1", "docker.io/acme/web:v2"].map(str::to_owned).to_vec();
        assert_eq!(names, [web, vec![format!("docker.io/library/redis@{digest}")]]);
        assert!(stocked.iter().all(|image| image.used && image.own == Some(70)));
        let unknown = super::stocked(&ImageSummary { shared_size: -1, ..image }, &repositories, &used);
        assert_eq!(unknown[0].own, None);
    }
}
