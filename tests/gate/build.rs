//! Lets this crate alone see `loom` in place of `std`: nothing else is built again for it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=loom");
}
