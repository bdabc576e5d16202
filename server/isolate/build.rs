//! Compiles the jump out of the engine, which is C because `setjmp` cannot be called from Rust.

fn main() {
    println!("cargo:rerun-if-changed=src/jump.c");
    cc::Build::new()
        .file("src/jump.c")
        .compile("vestibule_isolate_jump");
}
