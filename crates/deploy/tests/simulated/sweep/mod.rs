//! Sweeps: whole runs that are struck, cancelled or killed at every point there is, each followed by a plain re-run.
//!
//! `cargo test` tries a sample of the points, drawn by a seed that is printed; `SKIPPER_SEED` draws the same again, and
//! `SKIPPER_SWEEP=all` tries them all, as `cargo lab sweep` does.

mod cancels;
mod deaths;
mod faults;
mod truth;

use std::{
    fmt::Display,
    hash::{BuildHasher as _, RandomState},
};

use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use skipper_core::{config::Config, exit::Exit, image::Revision};
use skipper_deploy::sim::SimWorld;

use self::truth::{Shape, serving};
use crate::shop::{Told, commit, ship, shop};

/// Something that a run is to do, and the world in which it does.
pub(crate) struct Scenario {
    /// What it is called where results are printed.
    pub(crate) name: &'static str,
    /// Hosts that are there with commit 1, none for a first deploy.
    from: u32,
    /// Hosts that are asked for.
    hosts: u32,
    /// Their size.
    size: &'static str,
    /// Whether the sources are new.
    edited: bool,
    /// Whether what is new never answers on `app_1`.
    breaks: bool,
    /// The commit that is shipped.
    commit: u8,
}

/// The size of the hosts that are there.
const SMALL: &str = "t3.small";

pub(crate) const FIRST: Scenario =
    Scenario { name: "a first deploy", from: 0, hosts: 2, size: SMALL, edited: false, breaks: false, commit: 1 };
pub(crate) const UPDATE: Scenario =
    Scenario { name: "an update", from: 2, hosts: 2, size: SMALL, edited: true, breaks: false, commit: 2 };
pub(crate) const NOTHING: Scenario =
    Scenario { name: "nothing to do", from: 2, hosts: 2, size: SMALL, edited: false, breaks: false, commit: 1 };
pub(crate) const FAILING: Scenario =
    Scenario { name: "an update that fails", from: 2, hosts: 2, size: SMALL, edited: true, breaks: true, commit: 2 };
pub(crate) const MORE: Scenario = Scenario {
    name: "an update with one more host",
    from: 1,
    hosts: 2,
    size: SMALL,
    edited: true,
    breaks: false,
    commit: 2,
};
pub(crate) const FEWER: Scenario = Scenario {
    name: "an update with one host fewer",
    from: 2,
    hosts: 1,
    size: SMALL,
    edited: true,
    breaks: false,
    commit: 2,
};

pub(crate) const GROWING: Scenario = Scenario {
    name: "etcd from one member to three",
    from: 2,
    hosts: 3,
    size: SMALL,
    edited: true,
    breaks: false,
    commit: 2,
};
pub(crate) const SHRINKING: Scenario = Scenario {
    name: "etcd from three members to one",
    from: 3,
    hosts: 1,
    size: SMALL,
    edited: true,
    breaks: false,
    commit: 2,
};

pub(crate) const REPLACING: Scenario = Scenario {
    name: "hosts of another processor",
    from: 2,
    hosts: 2,
    size: "t4g.small",
    edited: true,
    breaks: false,
    commit: 2,
};

impl Scenario {
    /// A fresh world, with nothing counted yet.
    pub(crate) fn world(&self) -> SimWorld {
        let world = SimWorld::default();
        if self.from > 0 {
            assert_eq!(ship(&world, &shop(self.from), &commit(1)).exit, Exit::Serves);
        }
        if self.edited {
            for service in ["web", "clock"] {
                world.change().registry.sources.insert(service.to_owned(), "new".to_owned());
            }
        }
        if self.breaks {
            world.change().broken_hosts.insert("app_1".parse().unwrap());
        }
        world.take_calls();
        world
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = shop(self.hosts);
        config.groups.values_mut().for_each(|group| group.size = self.size.parse().unwrap());
        config
    }

    /// Whether hosts are terminated for others in their places.
    pub(crate) fn replaces(&self) -> bool {
        self.size != SMALL
    }

    pub(crate) fn commit(&self) -> Revision {
        commit(self.commit)
    }

    /// Ships without anything in the way.
    pub(crate) fn ship(&self, world: &SimWorld) -> Told {
        ship(world, &self.config(), &self.commit())
    }

    /// What an undisturbed run leaves, once what breaks is mended.
    pub(crate) fn goal(&self) -> Shape {
        let world = self.world();
        world.change().broken_hosts.clear();
        assert_eq!(self.ship(&world).exit, Exit::Serves);
        Shape::of(&world)
    }

    /// Whatever has happened: a plain re-run ends well, comes to what an undisturbed run comes to, and leaves nothing to do.
    pub(crate) fn converges(&self, world: &SimWorld, goal: &Shape, point: &dyn Display) {
        world.change().faults.clear();
        world.change().broken_hosts.clear();
        let again = self.ship(world);
        assert_eq!(again.exit, Exit::Serves, "{}, {point}: {:?}\n{:?}", self.name, again.finished(), again.steps());
        assert!(serving(world, self) == Some(self.commit()), "{}, {point}: it does not serve", self.name);
        let shape = Shape::of(world);
        assert_eq!(shape, *goal, "{}, {point}", self.name);
        let last = self.ship(world);
        assert_eq!((last.exit, last.steps()), (Exit::Serves, Vec::new()), "{}, {point}", self.name);
    }
}

/// Whether every point is tried.
pub(crate) fn whole() -> bool {
    std::env::var("SKIPPER_SWEEP").is_ok_and(|sweep| sweep == "all")
}

/// Some of the points, or all of them.
#[expect(clippy::print_stdout, reason = "the seed is what repeats a sweep that failed")]
pub(crate) fn sample<T>(sweep: &str, mut points: Vec<T>, count: usize) -> Vec<T> {
    if whole() {
        return points;
    }
    let seed = std::env::var("SKIPPER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| RandomState::new().hash_one(sweep));
    println!("{sweep}: {count} of {} points, drawn by SKIPPER_SEED={seed}", points.len());
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    while points.len() > count {
        let out = random.next_u64() % points.len() as u64;
        points.swap_remove(usize::try_from(out).unwrap());
    }
    points
}

/// The calls of a scenario's undisturbed run, by name and number.
pub(crate) fn calls(scenario: &Scenario) -> Vec<(String, u32)> {
    let world = scenario.world();
    scenario.ship(&world);
    let calls = world.take_calls().into_iter();
    calls.flat_map(|(call, count)| (0..u32::try_from(count).unwrap()).map(move |index| (call.clone(), index))).collect()
}
