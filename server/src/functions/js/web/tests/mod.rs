//! The globals in the real engine: tables of expressions and the texts they give.

mod crypto;
mod fetching;
mod globals;
mod harness;
mod intl;
mod ops;
mod streams;

use harness::Engine;

/// Runs each expression in a call of its own, of this kind, and compares the text of its value.
fn check(kind: &str, rows: &[(&str, &str)]) {
    let mut engine = Engine::new(rows.iter().map(|(expression, _)| *expression));
    let wrong: Vec<String> = rows
        .iter()
        .enumerate()
        .filter_map(|(row, (expression, expected))| {
            let found = engine.run(kind, row);
            (found != *expected)
                .then(|| format!("{expression}\n    is  {found}\n    not {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
