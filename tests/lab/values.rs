//! Values of `env`: they arrive in a real container as they are written, whatever stands in them, and the more special wins.

use std::collections::BTreeMap;

use proptest::{
    collection::vec,
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};
use serde_json::json;

use crate::{Trials, World, shop::Shop};

pub(crate) const TRIALS: Trials =
    &[("values_arrive_in_a_container_byte_for_byte", values_arrive_in_a_container_byte_for_byte)];

/// Texts of what a file, a shell, systemd, fleet or Docker might take for its own: quotes, backslashes, `%`, `$`, blanks at the ends,
/// lines, control characters, and letters of many bytes.
const TEXTS: &str = "[ -~\n\t\r\u{1}\u{7}\u{1b}%$'\"\\\\äß€漢🔑\u{202e}]{0,48}";
/// Enough of them that each of these stands beside each other one somewhere.
const MANY: usize = 60;

fn values_arrive_in_a_container_byte_for_byte(world: &World) {
    let shop = Shop::make(world, "valued").on_one_host();
    // `${…}` is refused, as other tools would fill it in.
    let texts = vec(TEXTS.prop_filter("nobody fills it in", |text| !text.contains("${")), MANY);
    let texts = texts.new_tree(&mut TestRunner::deterministic()).unwrap().current();
    let given: BTreeMap<String, String> =
        texts.into_iter().enumerate().map(|(number, text)| (format!("VALUE_{number}"), text)).collect();
    let mut common = given.clone();
    common.insert("SPECIAL".to_owned(), "for all services".to_owned());
    shop.append("skipper.yml", &format!("\nenv: {}\n", json!(common)));
    shop.replace("skipper.yml", "build: clock\n", "build: clock\n    env: {SPECIAL: for one, OWN: 012}\n");
    shop.ship(world, "values of all kinds").ends_with(0);

    let environment = |service: &str| -> BTreeMap<String, String> {
        let read = format!(
            "docker exec $(docker ps -q --filter label=skipper.service={service}) /bin/busybox cat /proc/1/environ"
        );
        let told = shop.hosts(world)[0].exec(&read).unwrap().success().unwrap();
        let variables = told.split('\0').filter_map(|variable| variable.split_once('='));
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let of_clock = environment("clock");
    for (name, value) in &given {
        assert_eq!(of_clock.get(name), Some(value), "{name}");
    }
    assert_eq!((of_clock["SPECIAL"].as_str(), of_clock["OWN"].as_str()), ("for one", "012"));
    let of_web = environment("web");
    assert!(given.iter().all(|(name, value)| of_web.get(name) == Some(value)), "{of_web:?}");
    assert_eq!((of_web["SPECIAL"].as_str(), of_web.get("OWN")), ("for all services", None));
    shop.ship_again(world).ends_with(0).says("nothing to do");
}
