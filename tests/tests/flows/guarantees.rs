//! The page of guarantees names every promise once, and only tests that exist.

use std::collections::BTreeMap;
use std::fs;

use super::cases::{has_test, root};

const PROMISES: u32 = 24;

/// The rows of the table: number, promise, tests with their files, what is not shown.
fn rows() -> Vec<[String; 4]> {
    let page = fs::read_to_string(root().join("docs/guarantees.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| R"));
    let cells = rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let ["", number, promise, tests, open, ""] = cells[..] else {
            panic!("not a row of the table: {row}");
        };
        [number, promise, tests, open].map(str::to_owned)
    });
    cells.collect()
}

#[test]
fn every_promise_stands_on_the_page_once_with_its_tests_or_what_is_missing() {
    let rows = rows();
    let found: Vec<&str> = rows.iter().map(|[number, ..]| number.as_str()).collect();
    let every: Vec<String> = (1..=PROMISES).map(|number| format!("R{number}")).collect();
    assert_eq!(found, every);
    for [number, promise, tests, open] in &rows {
        assert!(!promise.is_empty(), "{number} promises nothing");
        let is_told = !tests.is_empty() || !open.is_empty();
        assert!(is_told, "{number} has neither a test nor a reason");
    }
}

#[test]
fn every_test_that_the_guarantees_name_exists() {
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    let mut count = 0;
    for [number, _, tests, _] in rows() {
        for test in tests.split("<br>").filter(|test| !test.is_empty()) {
            let named = test.split_once("`: ");
            let (file, name) = named.unwrap_or_else(|| panic!("{number}: {test}"));
            let file = file.trim_start_matches('`').to_owned();
            let source = sources.entry(file.clone()).or_insert_with(|| {
                let text = fs::read_to_string(root().join(&file));
                text.unwrap_or_else(|error| panic!("{number}: {file}: {error}"))
            });
            assert!(
                has_test(&file, source, name),
                "{number}: {file} has no test \"{name}\""
            );
            count += 1;
        }
    }
    assert!(count > 40, "the page names {count} tests");
}
