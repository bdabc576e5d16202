//! Calls that are ended: by time, by memory, by the host.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use vestibule_isolate::{Failure, HostValue};

use crate::harness::Bench;

const BUDGET: Duration = Duration::from_millis(50);

/// Each of these tries to go on for ever.
const LOOPS: &str = r#"
export const plain = () => { for (;;); };
export const caught = () => { for (;;) { try { for (;;); } catch {} } };
export const finallyToo = () => { for (;;) { try { for (;;); } finally { continue; } } };
export const afterAwait = async () => { await Convex.later("x", 1); for (;;); };
export const jobs = () => { const f = () => { Promise.resolve().then(f); }; f(); };
export const executors = () => { for (;;) new Promise(() => { for (;;); }); };
export const asyncs = async () => { for (;;) { try { await (async () => { for (;;); })(); } catch {} } };
export const generators = () => { for (;;) { try { [...(function* () { for (;;); })()]; } catch {} } };
export const regex = () => { for (;;) { try { /^(a+)+$/.test("a".repeat(40) + "b"); } catch {} } };
export const getters = () => { throw { get message() { for (;;); }, get stack() { for (;;); } }; };
export const stacks = () => { Error.prepareStackTrace = () => { for (;;); }; Convex.host("refuse", "TypeError", "m"); };
export const thenables = async () => { for (;;) { try { await { then() { for (;;); } }; } catch {} } };
export const recursion = () => { const f = () => { try { f(); } catch {} for (;;); }; f(); };
"#;

/// Each of these tries to take all memory.
const GREED: &str = r#"
export const arrays = () => { const a = []; for (;;) a.push(new Array(1000).fill(1)); };
export const caught = () => { const a = []; for (;;) { try { for (;;) a.push(new Array(1000).fill(1)); } catch {} } };
export const strings = () => { let s = "x"; const all = []; for (;;) { s += s.slice(0, 1 << 20) + "y"; all.push(s.slice(1)); } };
export const buffers = () => { const a = []; for (;;) { try { a.push(new ArrayBuffer(1 << 20)); } catch {} } };
export const oneBuffer = () => { try { new ArrayBuffer(1 << 30); } catch {} return 1; };
export const objects = () => { let o = null; for (;;) o = { o, a: 1, b: "x" }; };
export const closures = () => { const a = []; for (;;) { let x = {}; a.push(() => x); } };
export const promises = () => { const a = []; for (;;) a.push(Promise.resolve().then(() => a)); };
export const maps = () => { const m = new Map(); for (let i = 0; ; i++) m.set(i, i); };
export const properties = () => { const o = {}; for (let i = 0; ; i++) o["p" + i] = i; };
export const afterAwait = async () => { await Convex.later("x", 1); const a = []; for (;;) a.push("y".repeat(1e5) + a.length); };
export const inJson = () => { const a = []; for (;;) a.push(JSON.parse("[" + "[1],".repeat(10000) + "1]")); };
export const inHost = () => { const a = []; for (;;) a.push(Convex.host("echo", "z".repeat(1 << 20) + a.length)); };
"#;

fn exports_of(source: &str) -> Vec<String> {
    let names = source.split("export const ").skip(1);
    names
        .map(|rest| rest.split(' ').next().unwrap().to_owned())
        .collect()
}

#[test]
fn no_loop_outlives_its_budget_and_none_leaves_a_trace() {
    let mut bench = Bench::of(LOOPS);
    bench.isolate.set_budget(BUDGET);
    for export in exports_of(LOOPS) {
        assert_eq!(
            bench.call(&export, "[]"),
            Err(Failure::TimedOut),
            "{export}"
        );
        assert!(bench.isolate.cpu_used() > BUDGET);
        let again = bench.isolate.run_jobs(&mut bench.host);
        assert_eq!(again, Err(Failure::TimedOut), "a doomed call stays doomed");
        bench.restore();
        assert_eq!(bench.isolate.cpu_used(), Duration::ZERO);
    }
}

#[test]
fn nothing_takes_more_memory_than_the_limit_and_none_leaves_a_trace() {
    let mut bench = Bench::of(GREED);
    for export in exports_of(GREED) {
        assert_eq!(
            bench.once(&export, "[]"),
            Err(Failure::OutOfMemory),
            "{export}"
        );
    }
    assert!(bench.isolate.memory_used() < 2 << 20);
    assert!(bench.isolate.resident_bytes() < 4 << 20);
}

#[test]
fn a_deep_recursion_is_an_error_like_any_other() {
    let source = "export const f = () => { const g = (n) => g(n + 1) + 1; try { g(0); } catch (e) { return e.name; } };
        export const g = () => JSON.parse('['.repeat(100000));";
    let mut bench = Bench::of(source);
    assert_eq!(bench.once("f", "[]"), Ok("\"RangeError\"".to_owned()));
    assert!(matches!(bench.once("g", "[]"), Err(Failure::Threw(_))));
}

#[test]
fn the_host_ends_a_call_from_any_depth_and_nothing_catches_it() {
    let source = "
        export const f = async () => { try { await (async () => Convex.host('end', 'over'))(); } catch { return 1; } finally { Convex.host('echo', 1); } };
        export const g = () => [3, 1, 2].sort(() => { try { Convex.host('end', 'over'); } catch {} });
        export const h = () => new Promise(() => Convex.host('end', 'over'));";
    let mut bench = Bench::of(source);
    for export in ["f", "g", "h"] {
        let ended = bench.once(export, "[]");
        assert!(
            matches!(&ended, Err(Failure::Fatal(error)) if error.message == "over"),
            "{ended:?}"
        );
    }
    assert_eq!(bench.host.calls.len(), 3, "nothing ran after the end");
}

#[test]
fn a_panic_of_the_host_goes_on_in_the_caller() {
    let mut bench = Bench::of(
        "export const f = () => { try { Convex.host('panic'); } catch {} }; export const g = () => 1;",
    );
    let payload = catch_unwind(AssertUnwindSafe(|| bench.call("f", "[]"))).unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"the host is broken"));
    assert!(matches!(bench.call("g", "[]"), Err(Failure::Fatal(_))));
    bench.restore();
    assert_eq!(bench.once("g", "[]"), Ok("1".to_owned()));
}

#[test]
fn time_in_the_host_is_not_the_engines() {
    let mut bench = Bench::of("export const f = () => { Convex.host('work'); return 1; };");
    bench.isolate.set_budget(BUDGET);
    assert_eq!(bench.call("f", "[]"), Ok("1".to_owned()));
    assert!(bench.isolate.cpu_used() < BUDGET);
}

#[test]
fn a_module_that_never_ends_while_loading_is_ended() {
    let mut bench = Bench::cold(&[("m.js", "for (;;);")]);
    bench.isolate.set_budget(BUDGET);
    let failure = bench.isolate.evaluate(&mut bench.host, "m.js");
    assert_eq!(failure, Err(Failure::TimedOut));
    let again = bench
        .isolate
        .call(&mut bench.host, "same", &[HostValue::Null]);
    assert_eq!(again, Err(Failure::TimedOut));
}

#[test]
fn pages_that_a_greedy_call_took_are_given_back() {
    let mut bench = Bench::of(
        "export const f = () => { const a = []; for (let i = 0; i < 400; i++) a.push(new Uint8Array(100000).fill(1)); return a.length; };",
    );
    bench.call("f", "[]").unwrap();
    assert!(bench.isolate.resident_bytes() > 39_000_000);
    bench.restore();
    let kept = bench.isolate.resident_bytes() - 2 * bench.isolate.image_bytes();
    assert!(kept <= 2 << 20, "{kept} bytes");
}
