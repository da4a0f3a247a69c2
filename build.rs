//! Lets the built binary find libduckdb without `LD_LIBRARY_PATH`: the library is placed beside it, and the binary looks there.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

fn main() {
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_BUNDLED").is_some() {
        return;
    }
    let origin = if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("macos") { "@loader_path" } else { "$ORIGIN" };
    for folder in ["", "/../lib", "/.."] {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{origin}{folder}");
    }
    // Where libduckdb-sys took the library from: the folder as given, or its own download.
    let source = env::var_os("DUCKDB_LIB_DIR").or_else(|| env::var_os("DEP_DUCKDB_INCLUDE"));
    let (Some(source), Some(out)) = (source.map(PathBuf::from), env::var_os("OUT_DIR").map(PathBuf::from)) else {
        return;
    };
    // OUT_DIR is <target>/<profile>/build/<package>/out.
    if let Some(profile) = out.ancestors().nth(3) {
        place_libraries(&source, profile);
    }
}

/// Copies every shared library of `source` beside the binary; what the wheel gives is two files.
fn place_libraries(source: &Path, beside: &Path) {
    let Ok(entries) = fs::read_dir(source) else { return };
    for library in entries.flatten().map(|entry| entry.path()) {
        let shared = library.extension().is_some_and(|ext| ext == "so" || ext == "dylib");
        let Some(name) = library.file_name().filter(|_| shared) else { continue };
        println!("cargo:rerun-if-changed={}", library.display());
        // A running binary may have the old file mapped: replace it, never write into it.
        let fresh = beside.join(format!(".{}.new", name.display()));
        let placed = fs::copy(&library, &fresh).and_then(|_| fs::rename(&fresh, beside.join(name)));
        if let Err(error) = placed {
            println!("cargo:warning=could not place {} beside the binary: {error}", library.display());
        }
    }
}
