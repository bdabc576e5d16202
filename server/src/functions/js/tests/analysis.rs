//! The statements of pushed modules about themselves, and the server's answers to nonsense.

use super::*;
use crate::deployment::{Analysis, AnalyzeError};

fn analyzed(modules: &[(&str, &str)]) -> Result<Analysis, AnalyzeError> {
    let js = Js::new("test", JsOptions::default(), Arc::new(SystemClock::new()));
    let modules = modules.iter().map(|(path, text)| source(path, text));
    js.analyze(AnalyzeInput {
        modules: modules.collect(),
        ..AnalyzeInput::default()
    })
}

fn refusal(path: &str, text: &str) -> String {
    let refused = analyzed(&[(path, text)]).unwrap_err();
    assert_ne!(refused.code(), "InternalServerError", "{refused}");
    refused.to_string()
}

fn registered(args: &str) -> String {
    format!(
        "export const f = Object.assign(() => {{}}, {{ isAction: true, isPublic: true, exportArgs: () => {args} }});"
    )
}

#[test]
fn a_registration_that_is_no_text_is_refused_by_its_name() {
    let text = "Failed to analyze m.js: Uncaught Error: Invalid JSON returned from m.js:f.exportArgs(): expected a string";
    for args in ["5", "undefined", "({})", "null", "Symbol()"] {
        let refused = refusal("m.js", &registered(args));
        assert!(refused.starts_with(text), "{args}: {refused}");
    }
    let returns = registered("'null'").replace("exportArgs", "exportReturns");
    let returns = returns.replace("'null'", "1");
    let refused = refusal("m.js", &returns);
    assert!(refused.contains("m.js:f.exportReturns()"), "{refused}");
    let crons = "export default { isCrons: true, export: () => ({}) };";
    let refused = refusal("crons.js", crons);
    assert!(refused.contains("crons.js:default.export()"), "{refused}");
}

#[test]
fn a_module_that_breaks_its_own_analysis_is_refused_and_the_server_goes_on() {
    let unreadable =
        "Failed to analyze m.js: Uncaught Error: The module's registrations cannot be read: ";
    let odd = registered(r#"'"\ud800"'"#);
    let broken = format!("Array.prototype.toJSON = () => 5; {}", registered("'null'"));
    for module in [odd, broken] {
        let refused = refusal("m.js", &module);
        assert!(refused.starts_with(unreadable), "{refused}");
    }
    let routes = "export default { isRouter: true, getRoutes: () => [[5, {}]] };";
    let analysis = analyzed(&[("http.js", routes)]).unwrap();
    let routes = analysis.modules["http.js"].http_routes.as_ref().unwrap();
    assert_eq!(routes[0], ("5".to_owned(), "[object Object]".to_owned()));
}

#[test]
fn an_import_that_cannot_be_compiled_is_told_with_its_own_error() {
    let import = "import { x } from './_deps/AB.js'; export const y = x;";
    let refused = |broken: &str| {
        let modules = [("m.js", import), ("_deps/AB.js", broken)];
        analyzed(&modules).unwrap_err().to_string()
    };
    let told = refused("export const ok = 1;\nexport const x = 1 +;");
    let begin = "Failed to analyze m.js: Uncaught SyntaxError: ";
    assert!(told.starts_with(begin), "{told}");
    assert!(told.contains("_deps/AB.js:2"), "{told}");
    let told = refused("export const z = 1;");
    assert!(!told.contains("Could not resolve"), "{told}");
    let missing = analyzed(&[("m.js", import)]).unwrap_err().to_string();
    assert!(
        missing.contains("Could not resolve \"./_deps/AB.js\""),
        "{missing}"
    );
}

#[test]
fn an_auth_config_is_the_same_whenever_it_is_evaluated() {
    let refused = |text: &str| {
        let refused = analyzed(&[("auth.config.js", text)]).unwrap_err();
        assert_eq!(refused.code(), "InvalidAuthConfig");
        refused.to_string()
    };
    for (text, expected) in [
        ("Date.now()", "The current time is unsupported"),
        ("new Date()", "The current time is unsupported"),
        ("Math.random()", "Random numbers are unsupported"),
        ("crypto.randomUUID()", "Random numbers are unsupported"),
        ("performance.now()", "`performance` is unsupported"),
    ] {
        let told = refused(&format!("export default [String({text})];"));
        let expected = format!("{expected} when evaluating auth config file");
        assert!(told.contains(&expected), "{text}: {told}");
    }
    let fixed = "export default [new Date(5).getTime()];";
    let analysis = analyzed(&[
        ("auth.config.js", fixed),
        ("m.js", "export const now = Date.now() + Math.random();"),
    ]);
    assert_eq!(analysis.unwrap().auth_config.as_deref(), Some("[5]"));
}
