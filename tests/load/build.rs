//! Tells the program by which profile it was built.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Cargo's own PROFILE calls every optimized profile release. The folder has its name: TARGET/PROFILE/build/PACKAGE-HASH/out.
    let out = std::env::var("OUT_DIR").unwrap_or_default();
    let folder = Path::new(&out).ancestors().nth(3);
    let profile = folder
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    println!(
        "cargo::rustc-env=LOAD_PROFILE={}",
        profile.unwrap_or("unknown")
    );
}
