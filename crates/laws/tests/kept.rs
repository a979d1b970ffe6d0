//! Every input that was kept, of the fuzzers' corpora and of what they found, once more.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{fs, panic::catch_unwind, path::Path};

/// Runs a law on the kept inputs of its fuzz target.
fn hold(target: &str, law: fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let folders = ["corpus", "regressions"].map(|kind| fuzz.join(kind).join(target));
    let files = folders.iter().filter(|folder| folder.is_dir()).flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut held = 0;
    for file in files {
        let path = file.unwrap().path();
        let input = fs::read(&path).unwrap();
        assert!(catch_unwind(|| law(&input)).is_ok(), "the law of `{target}` does not hold for {}", path.display());
        held += 1;
    }
    assert!(held > 0, "nothing is kept for `{target}`");
}

macro_rules! kept {
    ($($target:ident)*) => {$(
        #[test]
        fn $target() {
            hold(stringify!($target), skipper_laws::$target);
        }
    )*};
}

kept! { config dockerignore events observation registry result started words }
