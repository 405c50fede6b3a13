//! What has to be built before these tests run, and where it lies.

use std::path::PathBuf;

/// A binary of this workspace, built in the same profile as the test.
///
/// # Panics
/// Where it is not built, naming what builds it.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    // target/debug/deps/it-… of a test, target/debug/… of a program
    let folder = test.parent().expect("a target directory");
    let folder =
        if folder.ends_with("deps") { folder.parent().expect("its parent") } else { folder };
    let path = folder.join(name);
    assert!(path.is_file(), "'{}' is not built: run `make test`", path.display());
    path
}

/// The interpreter of the environment with the reference libraries.
///
/// # Panics
/// Where the environment is missing, naming what makes it.
pub fn python() -> PathBuf {
    let path = tests_dir().join("../.venv/bin/python");
    assert!(path.exists(), "'{}' is missing: run `make test`", path.display());
    path
}

/// The directory of this crate.
pub fn tests_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
