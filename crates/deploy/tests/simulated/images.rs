//! Images that no host could run, and registries that have lost a part of one.

use std::path::PathBuf;

use futures::future::join_all;
use skipper_core::{
    config::{ImageSource, Service},
    event::{EventKind, ImageOrigin},
    exit::Exit,
    image::Tag,
};
use skipper_deploy::{
    events::Events,
    images::{ImageOptions, release},
    shared_images::SharedImages,
    sim::{Fault, FaultKind, SimWorld},
};

use crate::shop::{Told, commit, plan, ship, shop};

fn made_for(platform: &str) -> SimWorld {
    let world = SimWorld::default();
    world.change().registry.platforms = [platform.to_owned()].into();
    world
}

#[test]
fn an_image_that_no_host_of_its_group_can_run_is_told_before_anything_changes() {
    let mut config = shop(1);
    let web = config.services.get_mut(&"web".parse().unwrap()).unwrap();
    let (repository, tag): (_, Tag) = (web.repository.clone(), "7".parse().unwrap());
    web.source = ImageSource::Tag(tag.clone());
    for (platform, exit) in [("linux/arm64", Exit::BuildFailed), ("linux/amd64", Exit::Serves)] {
        let world = made_for(platform);
        let digest = format!("sha256:{}", "7".repeat(64)).parse().unwrap();
        world.change().registry.tags.insert((repository.clone(), tag.clone()), digest);
        let planned = plan(&world, &config, &commit(1));
        assert_eq!(planned.exit, exit, "a plan says so, too");
        let told = ship(&world, &config, &commit(1));
        assert_eq!(told.exit, exit, "{:?}", told.finished());
        if exit == Exit::Serves {
            continue;
        }
        let failure = told.finished().failure.clone().unwrap();
        assert!(failure.causes[0].contains("does not run on the hosts of group `app`"), "{failure:?}");
        assert_eq!(failure.causes[1], "it was made for linux/arm64");
        assert!(failure.hints[0].contains("`web`") && failure.hints[0].contains("linux/amd64"), "{failure:?}");
        assert!(world.look().hosts.is_empty());
    }
}

#[test]
fn a_tag_that_does_not_exist_stops_the_plan_too() {
    let mut config = shop(1);
    config.services.get_mut(&"web".parse().unwrap()).unwrap().source = ImageSource::Tag("7".parse().unwrap());
    for told in [plan(&SimWorld::default(), &config, &commit(1)), ship(&SimWorld::default(), &config, &commit(1))] {
        assert_eq!(told.exit, Exit::BuildFailed);
        assert!(told.failure().contains("the registry has no tag `7` of `registry.example/shop/web`"));
    }
}

/// Where the images of a run came from.
fn origins(told: &Told) -> Vec<ImageOrigin> {
    let ready = told.events.iter().filter_map(|event| match event.kind {
        EventKind::ImageReady { origin, .. } => Some(origin),
        _ => None,
    });
    ready.collect()
}

#[test]
fn an_image_of_which_the_registry_lost_a_part_is_told_and_built_anew() {
    for call in ["registry.resolve", "registry.copy"] {
        let world = SimWorld::default();
        assert_eq!(ship(&world, &shop(1), &commit(1)).exit, Exit::Serves);
        world.change().faults = vec![Fault::always(call, FaultKind::Missing)];
        let told = ship(&world, &shop(1), &commit(2));
        assert_eq!((told.exit, origins(&told)), (Exit::Serves, vec![ImageOrigin::Built; 2]), "{call}");
        let warned = told.events.iter().any(|event| match &event.kind {
            EventKind::Warning { failure } => failure.message.contains("so it is built anew"),
            _ => false,
        });
        assert!(warned, "{call}");
    }
}

#[tokio::test]
async fn runs_side_by_side_have_one_image_made_and_fail_by_one_refusal() {
    for fails in [false, true] {
        let world = SimWorld::default();
        if fails {
            world.change().faults.push(Fault::always("engine.build_and_push", FaultKind::Denied));
        }
        let config = shop(1);
        let shared = SharedImages::new(&world);
        let options = ImageOptions { root: PathBuf::new(), rebuild: false, tags_are_asked_for: false };
        let revision = commit(1);
        let events = [Events::new(Vec::new()), Events::new(Vec::new())];
        let made = events.each_ref().map(|events| release(&config, &revision, &options, &shared, events));
        let [first, second] = join_all(made).await.try_into().unwrap();
        assert_eq!(first, second);
        assert_eq!(first.is_err(), fails);
        let is_built = |service: &&Service| matches!(service.source, ImageSource::Build(_));
        let built = config.services.values().filter(is_built).count();
        assert_eq!(world.look().calls["engine.build_and_push"], built as u64);
    }
}
