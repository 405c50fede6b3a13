//! What has to be built before these tests run, and where it lies.

use std::path::PathBuf;

/// A binary of this workspace, built in the same profile as the test.
///
/// # Panics
/// Where it is not built, naming what builds it.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    // A test is in target/debug/deps, a benchmark in target/release.
    let mut folders = test.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    folders.find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("no '{name}' beside '{}': run `make test`, or `make release`", test.display())
    })
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
