//! The table of the first-login guarantee's cases names every case once, and only tests that exist.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// How many cases each group has.
const GROUPS: [(char, u32); 11] = [
    ('A', 16),
    ('B', 10),
    ('C', 18),
    ('D', 13),
    ('E', 13),
    ('F', 10),
    ('W', 10),
    ('H', 7),
    ('I', 8),
    ('J', 8),
    ('K', 7),
];

/// How the last column begins where no test covers a case whole.
const NOT_HERE: &str = "Not here: ";

struct Case {
    id: String,
    expected: String,
    /// File and name.
    tests: Vec<(String, String)>,
    open: String,
}

pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn cases() -> Vec<Case> {
    let table = fs::read_to_string(root().join("tests/cases.md")).unwrap();
    let rows = table.lines().filter(|line| {
        let after = line.strip_prefix("| ").unwrap_or_default();
        after.starts_with(|first: char| first.is_ascii_uppercase())
    });
    rows.map(case).collect()
}

fn case(row: &str) -> Case {
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    let [_, id, expected, tests, open, _] = cells[..] else {
        panic!("not a row of the table: {row}");
    };
    let test = |test: &str| {
        let (file, name) = test
            .split_once(": ")
            .unwrap_or_else(|| panic!("{id}: {test}"));
        (file.trim_matches('`').to_string(), name.to_string())
    };
    Case {
        id: id.into(),
        expected: expected.into(),
        tests: tests
            .split("<br>")
            .filter(|test| !test.is_empty())
            .map(test)
            .collect(),
        open: open.into(),
    }
}

#[test]
fn every_case_stands_in_the_table_once_with_its_tests_or_a_reason() {
    let cases = cases();
    let found: Vec<&str> = cases.iter().map(|case| &*case.id).collect();
    let every: Vec<String> = GROUPS
        .iter()
        .flat_map(|(group, count)| (1..=*count).map(move |number| format!("{group}{number}")))
        .collect();
    assert_eq!(found, every);
    for case in &cases {
        assert!(
            !case.expected.is_empty(),
            "{} says what is expected",
            case.id
        );
        assert!(
            !case.tests.is_empty() || !case.open.is_empty(),
            "{} has neither a test nor a reason",
            case.id
        );
        assert!(
            case.open.is_empty() || case.open.starts_with(NOT_HERE),
            "{}: {}",
            case.id,
            case.open
        );
    }
}

#[test]
fn every_test_that_the_table_names_exists() {
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    for case in cases() {
        for (file, name) in case.tests {
            let source = sources.entry(file.clone()).or_insert_with(|| {
                fs::read_to_string(root().join(&file))
                    .unwrap_or_else(|error| panic!("{}: {file}: {error}", case.id))
            });
            assert!(
                has_test(&file, source, &name),
                "{}: {file} has no test \"{name}\"",
                case.id
            );
        }
    }
}

/// Whether a file holds a test of that name, and not only a function.
pub fn has_test(file: &str, source: &str, name: &str) -> bool {
    if !file.ends_with(".rs") {
        return source.contains(&format!("test(\"{name}\", "));
    }
    let Some(at) = source.find(&format!("fn {name}(")) else {
        return false;
    };
    // The lines between the end of the last item and the function's own line.
    let attributes = source[..at].rsplit("\n\n").next().unwrap_or_default();
    // Some are rows of the table of auth tokens, which is run as a whole.
    let is_row = source[at..].starts_with(&format!("fn {name}(table: &mut Table)"));
    attributes.contains("#[test]") || attributes.contains("#[tokio::test") || is_row
}
