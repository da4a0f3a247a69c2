//! Lets the built binary find libduckdb without `LD_LIBRARY_PATH`: the library is placed next to it,
//! and the binary looks there.

#![allow(
    clippy::disallowed_methods,
    reason = "Cargo passes everything to a build script in its environment"
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    // For tests: packages are folders of the repository, or the repository itself.
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let root =
        package.ancestors().find(|folder| folder.join("Cargo.lock").is_file()).unwrap_or(&package);
    println!("cargo:rustc-env=REPOSITORY={}", root.display());
    describe_build();
    if env::var_os("CARGO_FEATURE_BUNDLED").is_some() {
        return;
    }
    let origin = if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("macos") {
        "@loader_path"
    } else {
        "$ORIGIN"
    };
    for folder in ["", "/../lib", "/../lib/materia", "/.."] {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{origin}{folder}");
    }
    // Where libduckdb-sys took the library from: the folder as given, or its own download.
    let source = env::var_os("DUCKDB_LIB_DIR").or_else(|| env::var_os("DEP_DUCKDB_INCLUDE"));
    let (Some(source), Some(out)) =
        (source.map(PathBuf::from), env::var_os("OUT_DIR").map(PathBuf::from))
    else {
        return;
    };
    // OUT_DIR is <target>/<profile>/build/<package>/out.
    if let Some(profile) = out.ancestors().nth(3) {
        place_libraries(&source, profile);
    }
}

/// Names the target and the compiler to `materia --version --verbose`.
fn describe_build() {
    println!("cargo:rerun-if-env-changed=MATERIA_COMMIT");
    let target = env::var("TARGET").unwrap_or_default();
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().map(|output| output.stdout);
    let version = String::from_utf8(version.unwrap_or_default()).unwrap_or_default();
    // Without the date and the commit of the compiler.
    let version: Vec<&str> = version.split_whitespace().take(2).collect();
    println!("cargo:rustc-env=MATERIA_TARGET={target}");
    println!("cargo:rustc-env=MATERIA_RUSTC={}", version.join(" "));
}

/// Copies every shared library of `source` next to the binary; what the wheel gives is two files.
fn place_libraries(source: &Path, folder: &Path) {
    let Ok(entries) = fs::read_dir(source) else { return };
    for library in entries.flatten().map(|entry| entry.path()) {
        let shared = library.extension().is_some_and(|ext| ext == "so" || ext == "dylib");
        let Some(name) = library.file_name().filter(|_| shared) else { continue };
        println!("cargo:rerun-if-changed={}", library.display());
        // A running binary may have the old file mapped: replace it, never write into it.
        let fresh = folder.join(format!(".{}.{}.new", name.display(), std::process::id()));
        let placed = fs::copy(&library, &fresh).and_then(|_| fs::rename(&fresh, folder.join(name)));
        if let Err(error) = placed {
            println!(
                "cargo:warning=could not place {} next to the binary: {error}",
                library.display()
            );
        }
    }
}
