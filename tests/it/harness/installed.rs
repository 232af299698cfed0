//! What `tests/run` installs into target/verify.

use std::path::{Path, PathBuf};

/// Where it is, as the tests are to call it: an interpreter finds its libraries by where it is called.
#[track_caller]
pub fn installed(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    let path = target.join("verify").join(name);
    assert!(path.exists(), "{} is not there: tests/run installs it", path.display());
    path
}
