//! Several regions of one file: one release, and a cluster of each region's own.

use serde_json::{Value, json};

use crate::{
    Trials, World,
    commands::{document, greet},
    shop::Shop,
};

pub(crate) const TRIALS: Trials = &[(
    "one_release_reaches_every_region_and_one_that_is_down_is_left_alone",
    one_release_reaches_every_region_and_one_that_is_down_is_left_alone,
)];

const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];

fn one_release_reaches_every_region_and_one_that_is_down_is_left_alone(world: &World) {
    let shop = Shop::make(world, "regional").on_one_host();
    shop.replace("skipper.yml", "region: us-east-1", "regions: [us-east-1, eu-west-1]");
    let skipper = |arguments: &[&str]| shop.skipper(world, arguments);
    // What each region's host answers.
    let answers = || -> Vec<String> {
        let table = document(&skipper(&["ps", "--output", "json"]).ends_with(0));
        REGIONS
            .map(|region| table[region]["hosts"][0]["address"].as_str().unwrap().to_owned())
            .map(|address| world.lab.http_get(&format!("http://{address}/")).unwrap().success().unwrap().body)
            .to_vec()
    };

    let told = shop.ship(world, "the first commit").ends_with(0);
    let told = told.says("us-east-1 | ").says("eu-west-1 | ");
    let told = told.says("regions: us-east-1 succeeded, eu-west-1 succeeded (exit 0)");
    assert_eq!(told.outcome.log.matches("built and pushed").count(), 4, "{}", told.outcome.log);
    let first = answers();
    assert_eq!(first[0], first[1], "one release serves in both");
    let comments = shop.comments(world, &told);
    let shows = |region: &str| comments.iter().filter(|comment| comment.body.contains(&format!("`{region}`"))).count();
    assert_eq!((comments.len(), REGIONS.map(shows)), (2, [1, 1]));
    let plans: Value = serde_json::from_str(&told.outcome.outputs["plan-hash"]).unwrap();
    assert!(REGIONS.iter().all(|region| plans[region].is_string()), "{plans}");
    skipper(&["instances", "ps"]).ends_with(0).says("us-east-1:").says("eu-west-1:");

    // What is about one thing is about one region.
    let unclear = || skipper(&["remove", "web_1"]);
    unclear().ends_with(2).says("`remove` is about one region").says("`us-east-1`, `eu-west-1`");
    skipper(&["ps", "--region", "eu-west-2"]).ends_with(2).says("skipper.yml has no region `eu-west-2`");
    skipper(&["remove", "clock_1", "--region", "eu-west-1"]).ends_with(0);
    skipper(&["ps"]).ends_with(0).says("1 of 2 replicas serve").says("2 of 2 replicas serve");

    // One that is down is left alone, and the others get the release.
    let down =
        json!({ "action": "*", "region": "eu-west-1", "code": "ServiceUnavailable", "status": 503, "times": null });
    world.lab.cloud().fault(&down).unwrap();
    greet(&shop, "Good morning");
    let told = shop.ship(world, "another greeting").ends_with(7);
    told.says("regions: us-east-1 succeeded, eu-west-1 ");
    world.lab.cloud().clear_faults().unwrap();
    let second = answers();
    assert!(second[0].contains("Good morning") && second[1] == first[1], "{second:?}");
    shop.ship_again(world).ends_with(0);
    let third = answers();
    assert_eq!((&third[0], &third[1]), (&second[0], &second[0]));
}
