# The commands of this repository. `just` lists them: https://just.systems

_default:
    @just --list

# Fetches what the tests need beside Rust: npm packages, and a Chromium.
setup:
    tests/setup

# Formatting and lints: seconds, once built.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo clippy --package chat --locked -- -D warnings

# Unit tests and properties of every room, without Node and without servers of their own.
test:
    cargo test --workspace --lib --locked

# Everything that a change must pass.
test-all:
    .ci/run

# First logins with random seeds, ten times as many as in a test run. A failure prints its seed.
soak:
    VESTIBULE_FIRST_LOGINS=50000 cargo test --locked --package vestibule-tests --test schedules

# What must stay flat, counted, and one server's capacity on this machine.
bench:
    cargo run --profile dist --locked --package costs
    cargo run --profile dist --locked --package load -- first-logins
