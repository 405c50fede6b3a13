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
        kernels(Path::new(&lib));
    }
}

/// Compiles `src/kernels`: the loops once for each instruction set, and the face of libtorch once.
#[expect(clippy::disallowed_methods, reason = "build scripts are told by the environment")]
fn kernels(lib: &Path) {
    let folder = Path::new("src/kernels");
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut sets = vec![("base", "")];
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64") {
        sets.push(("avx2", "-mavx2 -mfma"));
        sets.push(("avx512", "-mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma"));
    }
    // Always optimised: a debug build would spend most of every test in these loops.
    let build = || {
        let mut build = cc::Build::new();
        build.cpp(true).std("c++17").opt_level(3).debug(false).flag("-fopenmp-simd");
        build.flag("-fno-math-errno").flag("-fno-trapping-math");
        build
    };
    for (name, flags) in sets {
        let mut build = build();
        for flag in flags.split_whitespace() {
            build.flag(flag);
        }
        build.define("TRAINYARD_ROWS", format!("trainyard_rows_{name}").as_str());
        build.define("TRAINYARD_PACKS", format!("trainyard_packs_{name}").as_str());
        build.define("TRAINYARD_FLAT", format!("trainyard_flat_{name}").as_str());
        build.files(["rows.cpp", "packs.cpp", "flat.cpp"].map(|file| folder.join(file)));
        build.compile(&format!("trainyard_loops_{name}"));
    }
    let root = lib.parent().unwrap_or(lib);
    let mut shim = build();
    for include in ["include", "include/torch/csrc/api/include"] {
        shim.flag("-isystem").flag(root.join(include));
    }
    // libtorch's threads are those of OpenMP, and its headers start them only where the compiler does.
    shim.flag("-fopenmp").define("_GLIBCXX_USE_CXX11_ABI", "1");
    shim.files(["shim.cpp", "attention.cpp", "device.cpp"].map(|file| folder.join(file)));
    shim.compile("trainyard_shim");
    println!("cargo:rustc-link-search=native={}", lib.display());
    for library in ["torch_cpu", "c10", "gomp"] {
        println!("cargo:rustc-link-lib=dylib={library}");
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
