//! Modules: cold and warm, missing, broken, circular, dynamic.

use vestibule_isolate::{Failure, HostValue};

use crate::harness::{Bench, thrown};

fn failure_of(sources: &[(&str, &str)], module: &str) -> Failure {
    let mut bench = Bench::cold(sources);
    bench.isolate.evaluate(&mut bench.host, module).unwrap_err()
}

fn message_of(sources: &[(&str, &str)], module: &str) -> String {
    match failure_of(sources, module) {
        Failure::Threw(thrown) => thrown.message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn imports_are_found_by_their_paths() {
    let sources = [
        ("m.js", "export { f } from './admin/rooms.js';"),
        (
            "admin/rooms.js",
            "import { one } from '../_deps/AB.js'; export const f = () => one;",
        ),
        ("_deps/AB.js", "export const one = 1;"),
    ];
    let mut bench = Bench::cold(&sources);
    bench.isolate.evaluate(&mut bench.host, "m.js").unwrap();
    bench.isolate.seal();
    assert_eq!(bench.once("f", "[]"), Ok("1".to_owned()));
}

#[test]
fn a_cold_module_is_loaded_inside_a_call_and_gone_after_it() {
    let sources = [
        ("warm.js", "globalThis.loads = [];"),
        (
            "m.js",
            "import './dep.js'; loads.push('m'); export const f = () => loads;",
        ),
        ("dep.js", "loads.push('dep');"),
    ];
    let mut bench = Bench::cold(&sources);
    bench.isolate.evaluate(&mut bench.host, "warm.js").unwrap();
    bench.isolate.seal();
    for _ in 0..3 {
        assert_eq!(bench.once("f", "[]"), Ok("[\"dep\",\"m\"]".to_owned()));
    }
}

#[test]
fn a_circle_of_imports_is_loaded_once() {
    let sources = [
        (
            "m.js",
            "import { g } from './n.js'; export const one = () => 1; export const f = () => g();",
        ),
        (
            "n.js",
            "import { one } from './m.js'; export const g = () => one();",
        ),
    ];
    let mut bench = Bench::cold(&sources);
    bench.isolate.evaluate(&mut bench.host, "n.js").unwrap();
    bench.isolate.evaluate(&mut bench.host, "m.js").unwrap();
    bench.isolate.seal();
    assert_eq!(bench.once("f", "[]"), Ok("1".to_owned()));
}

#[test]
fn an_import_that_leads_nowhere_is_named() {
    let missing = [
        ("m.js", "import './dep.js';"),
        ("dep.js", "import z from 'zod';"),
    ];
    let expected = "Could not resolve \"zod\", which \"dep.js\" imports";
    assert_eq!(message_of(&missing, "m.js"), expected);
    let absent = [("a/m.js", "import './dep.js';")];
    let expected = "Could not resolve \"./dep.js\", which \"a/m.js\" imports";
    assert_eq!(message_of(&absent, "a/m.js"), expected);
    assert_eq!(message_of(&[], "m.js"), "Could not find module \"m.js\"");
}

#[test]
fn an_export_that_is_missing_fails_each_time_it_is_asked_for() {
    let sources = [
        ("m.js", "import { two } from './dep.js';"),
        ("dep.js", "export const one = 1;"),
    ];
    let mut bench = Bench::cold(&sources);
    for _ in 0..3 {
        let failure = bench.isolate.evaluate(&mut bench.host, "m.js").unwrap_err();
        assert!(
            matches!(&failure, Failure::Threw(thrown) if thrown.name == "SyntaxError"),
            "{failure:?}"
        );
    }
    bench.isolate.evaluate(&mut bench.host, "dep.js").unwrap();
}

#[test]
fn a_module_that_fails_keeps_its_error_and_others_run() {
    let sources = [
        (
            "bad.js",
            "globalThis.tries = (globalThis.tries ?? 0) + 1; throw new Error('bad ' + tries);",
        ),
        (
            "m.js",
            "export const f = () => { try { Convex.module('bad.js'); } catch (e) { return e.message; } };",
        ),
    ];
    let mut bench = Bench::cold(&sources);
    for _ in 0..2 {
        let failure = bench
            .isolate
            .evaluate(&mut bench.host, "bad.js")
            .unwrap_err();
        assert!(
            matches!(&failure, Failure::Threw(thrown) if thrown.message == "bad 1"),
            "{failure:?}"
        );
    }
    bench.isolate.evaluate(&mut bench.host, "m.js").unwrap();
    bench.isolate.seal();
    assert_eq!(bench.once("f", "[]"), Ok("\"bad 1\"".to_owned()));
}

#[test]
fn awaiting_at_the_top_level_is_seen() {
    assert_eq!(
        failure_of(&[("m.js", "await 1;")], "m.js"),
        Failure::Unsettled
    );
    let deep = [
        ("m.js", "import './dep.js';"),
        ("dep.js", "await new Promise(() => {});"),
    ];
    assert_eq!(failure_of(&deep, "m.js"), Failure::Unsettled);
    let mut bench = Bench::cold(&[("m.js", "export const f = () => 1; await 1;"), ("n.js", "")]);
    bench.isolate.evaluate(&mut bench.host, "n.js").unwrap();
    bench.isolate.seal();
    let refused = thrown(bench.once("f", "[]"));
    assert_eq!(
        refused.message,
        "Top-level awaits in source files are unsupported"
    );
}

#[test]
fn a_rejection_while_loading_fails_the_module() {
    let failure = failure_of(&[("m.js", "Promise.reject(new Error('lost'));")], "m.js");
    assert!(
        matches!(&failure, Failure::Threw(thrown) if thrown.message == "lost"),
        "{failure:?}"
    );
}

#[test]
fn dynamic_imports_work_where_the_host_permits_them() {
    let sources = [
        (
            "m.js",
            "export const f = async (name) => { try { return (await import(name)).one; } catch (e) { return e.message; } };",
        ),
        ("dep.js", "import './other.js'; export const one = 1;"),
        ("other.js", "await 1;"),
        ("broken.js", "import './nowhere.js';"),
    ];
    let mut bench = Bench::cold(&sources);
    bench.isolate.evaluate(&mut bench.host, "m.js").unwrap();
    bench.isolate.seal();
    assert_eq!(bench.once("f", "[\"./dep.js\"]"), Ok("1".to_owned()));
    let expected = "\"Could not resolve \\\"./nowhere.js\\\", which \\\"broken.js\\\" imports\"";
    for _ in 0..2 {
        assert_eq!(
            bench.once("f", "[\"./broken.js\"]"),
            Ok(expected.to_owned())
        );
    }
    bench.host.refuses_imports = true;
    let expected = "\"Can't dynamically import ./dep.js in a query or mutation\"";
    assert_eq!(bench.once("f", "[\"./dep.js\"]"), Ok(expected.to_owned()));
}

#[test]
fn natives_are_gone_when_modules_run() {
    let source = "export const f = () => ['__host', '__register', '__module', '__hasModule',
        '__asyncContext', 'SharedArrayBuffer', 'Atomics', 'performance'].map((name) => typeof globalThis[name]);";
    let mut bench = Bench::of(source);
    let expected = format!("[{}]", ["\"undefined\""; 8].join(","));
    assert_eq!(bench.once("f", "[]"), Ok(expected));
}

#[test]
fn a_function_that_was_never_registered_is_refused() {
    let mut bench = Bench::of("");
    let refused = bench
        .isolate
        .call(&mut bench.host, "nothing", &[HostValue::Null]);
    assert!(matches!(refused, Err(Failure::Fatal(_))));
    assert!(bench.isolate.call(&mut bench.host, "status", &[]).is_ok());
}
