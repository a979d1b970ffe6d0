//! Which older images of the services go, and which stay because something may need them still.
//!
//! The rule is the same wherever images are: for the machine that runs skipper it is applied here, and a host's script applies it there,
//! where what containers use cannot change between looking and removing.

mod report;

use std::{cmp::Reverse, collections::BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::report::{Cleaned, Owners, Place, Removed};
use crate::{
    image::{Digest, PinnedImage, Repository, Tag},
    release::Release,
};

/// How many images of a service are kept where nothing is said; as in 2014.
pub const CUTOFF: u32 = 10;

/// An image of a repository, as an engine has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stocked {
    /// The engine's own name of it.
    pub id: String,
    /// The repository that it is one of.
    pub repository: Repository,
    /// Its tags there.
    pub tags: BTreeSet<Tag>,
    /// Its digests there.
    pub digests: BTreeSet<Digest>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// The bytes of all of its layers.
    pub size: u64,
    /// The bytes that no other image of the engine has; absent where the engine does not tell.
    pub own: Option<u64>,
    /// Whether a container uses it, running or not.
    pub used: bool,
}

impl Stocked {
    /// Every name that it has in its repository, as an engine takes it: tags first, since with the last of them the others may go.
    pub fn names(&self) -> Vec<String> {
        let Self { repository, tags, digests, .. } = self;
        let by_tag = tags.iter().map(|tag| format!("{repository}:{tag}"));
        by_tag.chain(digests.iter().map(|digest| format!("{repository}@{digest}"))).collect()
    }

    /// The name that people know it by.
    pub fn name(&self) -> String {
        self.names().into_iter().next().unwrap_or_else(|| format!("{}@{}", self.repository, self.id))
    }
}

/// The images that releases in the record may be rolled back to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// By digest, which is how hosts have them.
    pub digests: BTreeSet<Digest>,
    /// By the commits' tags: an engine that built an image and did not push it knows no digest of it.
    pub tags: BTreeSet<Tag>,
}

impl Needed {
    /// The images of these releases.
    pub fn of<'a>(releases: impl IntoIterator<Item = &'a Release>) -> Self {
        let mut needed = Self::default();
        for release in releases {
            needed.tags.insert(release.revision.tag());
            needed.digests.extend(release.images.values().map(|image| image.digest.clone()));
        }
        needed
    }

    fn has(&self, image: &Stocked) -> bool {
        !self.digests.is_disjoint(&image.digests) || !self.tags.is_disjoint(&image.tags)
    }
}

/// The images of one repository that go: those older than the newest so many, which no container uses and no release needs.
pub fn outdated(stock: Vec<Stocked>, cutoff: u32, needed: &Needed) -> Vec<Stocked> {
    let mut stock = stock;
    stock.sort_by_key(|image| Reverse((image.created, image.id.clone())));
    let older = stock.into_iter().skip(usize::try_from(cutoff).unwrap_or(usize::MAX));
    older.filter(|image| !image.used && !needed.has(image)).collect()
}

/// What a host is asked to do by the same rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleaning {
    /// The repositories whose images may go; no others are touched.
    pub repositories: BTreeSet<Repository>,
    /// How many of each stay, the newest.
    pub cutoff: u32,
    /// The images that stay however old they are.
    pub needed: BTreeSet<Digest>,
}

/// The repository of an image by a name of it, `repository:tag` or `repository@digest`.
pub fn repository_of(name: &str) -> Option<Repository> {
    if name.contains('@') {
        return name.parse::<PinnedImage>().ok().map(|image| image.repository);
    }
    let (repository, tag) = name.rsplit_once(':')?;
    tag.parse::<Tag>().ok()?;
    repository.parse().ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(number: u8) -> Digest {
        format!("sha256:{}", format!("{number:02x}").repeat(32)).parse().unwrap()
    }

    /// Image `number`, made at that second.
    fn image(number: u8) -> Stocked {
        Stocked {
            id: format!("sha256:{number:02x}"),
            repository: "ghcr.io/acme/web".parse().unwrap(),
            tags: BTreeSet::from([format!("v{number}").parse().unwrap()]),
            digests: BTreeSet::from([digest(number)]),
            created: i64::from(number),
            size: 100,
            own: None,
            used: false,
        }
    }

    fn gone(stock: Vec<Stocked>, cutoff: u32, needed: &Needed) -> Vec<i64> {
        outdated(stock, cutoff, needed).iter().map(|image| image.created).collect()
    }

    #[test]
    fn the_newest_stay_in_whatever_order_they_are_told() {
        let stock = [3, 1, 5, 2, 4].map(image).to_vec();
        assert_eq!(gone(stock.clone(), 3, &Needed::default()), [2, 1]);
        assert_eq!(gone(stock.clone(), 5, &Needed::default()), [0_i64; 0]);
        assert_eq!(gone(stock, 0, &Needed::default()), [5, 4, 3, 2, 1]);
    }

    #[test]
    fn what_a_container_uses_or_a_release_needs_stays_however_old_it_is() {
        let mut stock = (1..=5).map(image).collect::<Vec<_>>();
        stock[0].used = true;
        let release = Release {
            revision: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
            images: [("web".parse().unwrap(), format!("ghcr.io/acme/web@{}", digest(2)).parse().unwrap())].into(),
            secrets: Default::default(),
        };
        stock[2].tags.insert(release.revision.tag());
        let needed = Needed::of([&release]);
        assert_eq!(gone(stock.clone(), 0, &needed), [5, 4]);
        assert_eq!(gone(stock, 1, &needed), [4]);
    }

    #[test]
    fn an_image_has_every_name_by_which_it_is_to_go() {
        let names = image(1).names();
        assert_eq!(names, ["ghcr.io/acme/web:v1".to_owned(), format!("ghcr.io/acme/web@{}", digest(1))]);
        for name in &names {
            assert_eq!(repository_of(name), Some(image(1).repository));
        }
        for other in ["", "web", "web:", "web:-", "web@sha256:12", "a b:1"] {
            assert_eq!(repository_of(other), None, "{other}");
        }
        let local = "127.213.7.1:5000/hello/web";
        assert_eq!(repository_of(&format!("{local}:v1")), Some(local.parse().unwrap()));
    }

    proptest! {
        /// What stays is never older than what goes, but for what is used or needed.
        #[test]
        fn nothing_goes_that_is_used_or_needed_or_among_the_newest(
            marks in proptest::collection::vec((0_u8..40, any::<bool>(), any::<bool>()), 0..30),
            cutoff in 0_u32..40,
        ) {
            let mut stock = Vec::new();
            let mut needed = Needed::default();
            for (index, (created, used, is_needed)) in marks.into_iter().enumerate() {
                let index = u8::try_from(index).unwrap();
                let one = Stocked { used, created: i64::from(created), ..image(index) };
                if is_needed {
                    needed.digests.insert(digest(index));
                }
                stock.push(one);
            }
            let gone = outdated(stock.clone(), cutoff, &needed);
            let stays = |image: &&Stocked| !gone.contains(image);
            let idle = |image: &Stocked| !image.used && !needed.has(image);
            prop_assert!(gone.iter().all(idle));
            let kept: Vec<&Stocked> = stock.iter().filter(stays).collect();
            prop_assert!(kept.len() >= stock.len().min(cutoff as usize));
            // Only as many idle ones stay as there is room for.
            prop_assert!(kept.iter().filter(|image| idle(image)).count() <= cutoff as usize);
            for (old, new) in gone.iter().flat_map(|old| kept.iter().map(move |new| (old, new))) {
                prop_assert!(!idle(new) || new.created >= old.created);
            }
        }
    }
}
