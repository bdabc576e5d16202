//! The program `vestibule` itself, built beside the tests that run it.

#[path = "../../../server/src/bin/vestibule/main.rs"]
mod program;

fn main() -> anyhow::Result<()> {
    program::main()
}
