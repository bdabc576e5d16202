//! Where functions stand in the files that they were written in.

use super::*;

const MODULE: &str = "import { define } from \"./_deps/package.js\";\n\
    export const second = define(\"query\", async () => 2);\n\
    export const first =\n  define(\"query\", async () => 1);\n\
    export const made = (handler => define(\"query\", () => handler))(1);\n\
    export const bound = define(\"query\", (() => 1).bind(null));\n";

/// A map that puts line n of the bundle at line 40 - n of `file`, columns as they are.
fn map(file: &str) -> Arc<str> {
    let mut builder = sourcemap::SourceMapBuilder::new(Some("rooms.js"));
    for line in 0..6 {
        for column in 0..60 {
            builder.add(line, column, 39 - line, column, Some(file), None, false);
        }
    }
    let mut text = Vec::new();
    builder.into_sourcemap().to_writer(&mut text).unwrap();
    Arc::from(String::from_utf8(text).unwrap())
}

fn places(file: Option<&str>) -> Vec<(String, Option<u32>, Option<u32>)> {
    let module = SourceModule {
        source_map: file.map(map),
        ..source("rooms.js", MODULE)
    };
    let js = Js::new("test", JsOptions::default(), Arc::new(SystemClock::new()));
    let input = AnalyzeInput {
        modules: vec![source("_deps/package.js", PACKAGE), module],
        ..AnalyzeInput::default()
    };
    let analysis = js.clone().analyze(input).unwrap();
    let functions = analysis.modules["rooms.js"].functions.iter();
    functions
        .map(|function| (function.name.clone(), function.line, function.column))
        .collect()
}

#[test]
fn functions_have_the_line_and_column_of_their_handlers_and_are_in_that_order() {
    let found = places(Some("../convex/rooms.ts"));
    let column = |line: usize| MODULE.lines().nth(line).unwrap().find("async").unwrap() as u32;
    assert_eq!(found[0], ("bound".to_owned(), None, None));
    assert_eq!(found[2], ("first".to_owned(), Some(37), Some(column(3))));
    assert_eq!(found[3], ("second".to_owned(), Some(39), Some(column(1))));
}

#[test]
fn a_function_that_another_file_made_or_without_a_map_has_no_place() {
    for file in [
        Some("../node_modules/helpers/index.ts"),
        Some("../convex/xrooms.ts"),
        None,
    ] {
        let found = places(file);
        assert_eq!(found.len(), 4);
        assert!(found.iter().all(|(_, line, _)| line.is_none()), "{found:?}");
    }
}
