//! Launches that cannot be.

use super::{Trials, changed_nothing, fresh};
use crate::{World, errors::Section};

pub(super) const TRIALS: Trials =
    &[("what_a_launch_lacks_is_told_before_anything_changes", what_a_launch_lacks_is_told_before_anything_changes)];

fn what_a_launch_lacks_is_told_before_anything_changes(world: &World) {
    let shop = fresh(world, "lacking");
    let cases: [(&str, &str, &[&str]); 3] = [
        (
            "an instance profile that does not exist",
            "scale: 1\n    instance_profile: nobody",
            &["instance profile", "`nobody`", "AmazonSSMManagedInstanceCore"],
        ),
        (
            "a pinned image that is gone",
            "scale: 1\n    ami: ami-0123456789abcdef0",
            &["ami-0123456789abcdef0", "Flatcar"],
        ),
        ("a size that does not exist", "scale: 1", &["x9.huge"]),
    ];
    let good = std::fs::read_to_string(shop.folder.join("skipper.yml")).unwrap();
    for (input, group, words) in cases {
        let text = good.replacen("scale: 1", group, 1);
        let text = if group == "scale: 1" { text.replace("t3.small", "x9.huge") } else { text };
        std::fs::write(shop.folder.join("skipper.yml"), text).unwrap();
        let told = world.refusal(&shop, Section::Launches, input, || shop.ship(world, "a launch that lacks something"));
        let told = told.ends_with(5).says("hint: ");
        words.iter().fold(told, |told, words| told.says(words));
        changed_nothing(world);
    }
}
