//! Bad `skipper.yml`, inputs and events.

use super::{Trials, fresh};
use crate::{World, errors::Section};

pub(super) const TRIALS: Trials =
    &[("a_file_that_is_not_right_touches_nothing", a_file_that_is_not_right_touches_nothing)];

fn a_file_that_is_not_right_touches_nothing(world: &World) {
    let shop = fresh(world, "wrong");
    let good = std::fs::read_to_string(shop.folder.join("skipper.yml")).unwrap();
    world.lab.cloud().clear_calls().unwrap();
    let cases: [(&str, &str, &str, &[&str]); 7] = [
        ("no YAML", "name: wrong\n", "name: [wrong\n", &["skipper.yml:"]),
        (
            "a key that does not exist",
            "services:\n",
            "servcies:\n",
            &["`servcies` is not a key", "did you mean `services`?"],
        ),
        ("a key that is missing", "repo: {name: wrong/web, ", "repo: {", &["`services.web.repo.name` is missing"]),
        (
            "a group that lists an unknown service",
            "services: [web, clock]",
            "services: [wbe, clock]",
            &["there is no service `wbe`", "did you mean `web`?"],
        ),
        ("a host port twice", "[\"80:5000\"]", "[\"80:5000\", \"80:5001\"]", &["port 80 of the host is there twice"]),
        ("a port that does not exist", "[\"80:5000\"]", "[\"80:70000\"]", &["ports from 1 to 65535"]),
        (
            "a key that is not built yet",
            "    build: web\n",
            "    build: web\n    secrets: [KEY]\n    scael: 2\n",
            &["`services.web.secrets` is not built yet", "`services.web.scael`"],
        ),
    ];
    for (input, from, to, words) in cases {
        assert!(good.contains(from), "{from}");
        std::fs::write(shop.folder.join("skipper.yml"), good.replacen(from, to, 1)).unwrap();
        let told = world
            .refusal(&shop, Section::File, input, || shop.skipper(world, &["ship"]))
            .ends_with(2)
            .says("nothing was touched")
            .says("::error file=skipper.yml,line=");
        assert_eq!(told.outcome.outputs["status"], "bad-input");
        words.iter().fold(told, |told, words| told.says(words));
    }
    std::fs::remove_file(shop.folder.join("skipper.yml")).unwrap();
    let told = world.refusal(&shop, Section::File, "there is no skipper.yml", || shop.skipper(world, &["ship"]));
    told.ends_with(2).says("skipper.yml").says("hint: ");
    assert!(world.lab.cloud().calls().unwrap().is_empty());
}
