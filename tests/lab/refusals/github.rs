//! GitHub in trouble.

use skipper_lab::github::{Failure, Fault};

use super::Trials;
use crate::{
    World,
    errors::Section,
    shop::{self, Shop},
};

pub(super) const TRIALS: Trials = &[(
    "github_in_trouble_is_a_warning_and_the_deployment_stands",
    github_in_trouble_is_a_warning_and_the_deployment_stands,
)];

fn github_in_trouble_is_a_warning_and_the_deployment_stands(world: &World) {
    let shop = Shop::make(world, "unheard").on_one_host();
    shop.ship(world, "while GitHub is well").ends_with(0);
    let troubles = [
        ("GitHub refuses the token", Failure::BadCredentials, "401"),
        ("the token may not write comments", Failure::NotAccessible, "pull-requests"),
        ("GitHub does not know the repository", Failure::NotFound, "404"),
        ("GitHub answers 502", Failure::BadGateway, "502"),
        ("GitHub does not answer", Failure::Hang, "was not told how the run ended"),
    ];
    for (input, failure, words) in troubles {
        let (sha, pull_request) = shop.merge(world, "while GitHub is in trouble");
        world.lab.github().fault(&Fault::always(failure)).unwrap();
        let job = shop.job(world, &sha).input("deployments", "never");
        let told = world.refusal(&shop, Section::GitHub, input, || shop::run(&job, &[], pull_request));
        world.lab.github().clear_faults().unwrap();
        told.ends_with(0).says("warning: ").says(words);
    }
    let (sha, pull_request) = shop.merge(world, "without deployments");
    world.lab.github().fault(&Fault::always(Failure::NotAccessible).on("GET", "/deployments")).unwrap();
    let input = "the token may not see deployments";
    let told = world.refusal(&shop, Section::GitHub, input, || shop::run(&shop.job(world, &sha), &[], pull_request));
    world.lab.github().clear_faults().unwrap();
    told.ends_with(0).says("deployments: write").says("deployments: never");
}
