//! The operator's tool as a person runs it.

// In a test every failure is the test's failure, in helpers too.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

/// Standard output and standard error of the tool; an error is in the second.
fn vestibule(data: &Path, arguments: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.arg(arguments[0]).arg("--data").arg(data);
    let output = command.args(&arguments[1..]).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn keys_are_made_listed_and_revoked_by_id_or_whole() {
    let data = tempfile::tempdir().unwrap();
    let make = |more: &[&str]| {
        let (done, key, beside) = vestibule(data.path(), &[&["admin-key"], more].concat());
        assert!(done && key.starts_with("vestibule|"), "{key} {beside}");
        let id = beside.strip_prefix("key id ").unwrap().to_owned();
        (key, id)
    };
    let (first, first_id) = make(&[]);
    let (_, second_id) = make(&["--read-only", "--expires-in-days", "7"]);
    assert!(vestibule(data.path(), &["revoked-admin-keys"]).1.is_empty());
    let (done, revoked, _) = vestibule(data.path(), &["revoke-admin-key", &first]);
    assert!(done && revoked == first_id, "{revoked}");
    assert!(vestibule(data.path(), &["revoke-admin-key", &second_id]).0);
    let (_, list, _) = vestibule(data.path(), &["revoked-admin-keys"]);
    let mut expected = [first_id, second_id];
    expected.sort();
    assert_eq!(list.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_mistyped_key_is_not_taken_for_revoked() {
    let data = tempfile::tempdir().unwrap();
    let (_, key, _) = vestibule(data.path(), &["admin-key"]);
    for wrong in [
        "",
        "vestibule|00",
        &key[..key.len() - 1],
        "0123",
        "other|00",
    ] {
        let (done, _, said) = vestibule(data.path(), &["revoke-admin-key", wrong]);
        assert!(!done && !said.is_empty(), "{wrong}");
        assert!(key.len() < 20 || !said.contains(&key[20..]), "{said}");
    }
    assert!(vestibule(data.path(), &["revoked-admin-keys"]).1.is_empty());
    let missing = data.path().join("missing");
    let (done, _, said) = vestibule(&missing, &["admin-key"]);
    assert!(!done && said.contains("is not a data directory"), "{said}");
}
