//! Tells the binary where libtorch lies. `DT_RPATH` (not `DT_RUNPATH`), because libtorch's own
//! dependencies are found through the executable's path only in that form. Also tells the sources its version, for model cards.

use std::path::Path;

#[expect(clippy::disallowed_methods, reason = "build scripts are told by the environment")]
fn main() {
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,--disable-new-dtags");
        println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/libtorch");
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
        if let Some(version) = libtorch_version(Path::new(&lib)) {
            println!("cargo:rustc-env=LIBTORCH_VERSION={version}");
        }
    }
}

/// As its headers say: `TORCH_VERSION_MAJOR` and so on.
fn libtorch_version(lib: &Path) -> Option<String> {
    let header = lib.parent()?.join("include/torch/headeronly/version.h");
    println!("cargo:rerun-if-changed={}", header.display());
    let text = std::fs::read_to_string(header).ok()?;
    let part = |name: &str| {
        text.lines().find_map(|line| {
            line.strip_prefix(&format!("#define TORCH_VERSION_{name} ")).map(str::trim)
        })
    };
    Some(format!("{}.{}.{}", part("MAJOR")?, part("MINOR")?, part("PATCH")?))
}
