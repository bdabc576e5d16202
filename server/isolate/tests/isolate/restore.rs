//! Nothing of one call reaches the next.

use crate::harness::{Bench, thrown};

/// Each `change…` leaves something behind if it can; `look` says what it sees.
const TRACES: &str = r#"
import { shared } from "./dep.js";
let counter = 0;
const list = [1, 2, 3];
const map = new Map([["a", 1]]);
const generator = (function* () { yield 1; yield 2; yield 3; })();
generator.next();
const regex = /a/g;
const weak = new WeakMap();
const key = {};
class Base { static count = 0; #secret = 1; bump() { return ++this.#secret; } }
const base = new Base();
const buffer = new Uint8Array(8);
export const look = () => {
  const fresh = Symbol.for("fresh").description;
  return JSON.stringify([counter, list, [...map], typeof globalThis.leak, typeof Array.prototype.leak,
    typeof Object.prototype.polluted, typeof Convex, regex.lastIndex, weak.has(key), Base.count, [...buffer],
    shared.value, fresh, typeof Promise.prototype.then, String(Array.prototype.map).length > 0,
    JSON.stringify({ a: 1 }), Object.isFrozen(list), typeof Reflect.ownKeys, Error.stackTraceLimit]);
};
export const generatorNext = () => generator.next().value;
export const bump = () => base.bump();
export const changeVariables = () => { counter = 99; list.push(4); map.set("b", 2); shared.value = "changed"; buffer.fill(7); };
export const changeGlobals = () => { globalThis.leak = 1; Array.prototype.leak = 1; Object.prototype.polluted = 1; };
export const changeBuiltIns = () => { delete globalThis.Convex; Array.prototype.map = null; JSON.stringify = () => "no"; delete globalThis.Map; };
export const changePromises = () => { Promise.prototype.then = () => { throw new Error("broken"); }; globalThis.Promise = null; };
export const changeObjects = () => { Object.freeze(list); regex.test("xa"); weak.set(key, 1); Base.count = 5; base.bump(); };
export const changeSymbols = () => { for (let i = 0; i < 1000; i++) Symbol.for("fresh" + i); };
export const changePrototypes = () => { Object.setPrototypeOf(list, null); Object.setPrototypeOf(Array.prototype, { x: 1 }); Object.setPrototypeOf(Base, Map); };
export const makeAtoms = () => { const o = {}; for (let i = 0; i < 20000; i++) o["atom" + i] = i; return Object.keys(o).length; };
export const leaveJobs = () => { Promise.resolve().then(() => new Promise(() => {})); Convex.later("x", 1); };
export const leaveGenerators = () => { const g = (function* () { try { yield 1; } finally { counter = -1; } })(); g.next(); globalThis.g = g; };
export const leaveWeak = () => { globalThis.refs = []; for (let i = 0; i < 100; i++) refs.push(new WeakRef({ i })); weak.set({}, 1); };
export const collect = () => { let o; for (let i = 0; i < 300000; i++) { o = { o: null }; o.o = o; } return 1; };
export const throwIt = () => { throw new Error("thrown"); };
export const throwAfterAwait = async () => { await Convex.later("x", 1); counter = 5; throw new TypeError("thrown late"); };
export const overflow = () => { const f = () => f(); f(); };
export const evaluate = () => { globalThis.eval("var leaked = 1"); new Function("globalThis.other = 2")(); };
export const stackLimit = () => { Error.stackTraceLimit = 0; Error.prepareStackTrace = () => "none"; };
export const touch = () => globalThis.touch();
export const bigList = () => { for (let i = 0; i < 100000; i++) list.push({ i }); list.length = 3; };
"#;

const DEP: &str = "export const shared = { value: 'as it was' };";

/// As many objects as a large library has.
const LARGE_DEP: &str = "export const shared = { value: 'as it was' };
    globalThis.large = Array.from({ length: 30000 }, (_, i) => ({ i, name: 'n' + i, next: null }));
    globalThis.touch = () => { for (const one of large) one.i++; return large.length; };";

pub fn traces() -> Bench {
    traces_with(DEP)
}

fn traces_with(dep: &str) -> Bench {
    let mut bench = Bench::cold(&[("m.js", TRACES), ("dep.js", dep)]);
    bench.isolate.evaluate(&mut bench.host, "m.js").unwrap();
    bench.isolate.seal();
    bench
}

pub const CHANGES: [&str; 19] = [
    "changeVariables",
    "changeGlobals",
    "changeBuiltIns",
    "changePromises",
    "changeObjects",
    "changeSymbols",
    "changePrototypes",
    "makeAtoms",
    "leaveJobs",
    "leaveGenerators",
    "leaveWeak",
    "collect",
    "throwIt",
    "throwAfterAwait",
    "overflow",
    "evaluate",
    "stackLimit",
    "bigList",
    "bump",
];

#[test]
fn no_call_sees_what_another_did() {
    try_all_changes(traces());
}

#[test]
fn no_call_sees_what_another_did_to_a_large_image() {
    let mut bench = traces_with(LARGE_DEP);
    assert!(bench.isolate.image_bytes() > 3 << 20);
    // Changes every page, so that the image is mapped anew, and then few again.
    for _ in 0..3 {
        assert_eq!(bench.once("touch", "[]"), Ok("30000".to_owned()));
        assert_eq!(bench.once("bump", "[]"), Ok("2".to_owned()));
    }
    try_all_changes(bench);
}

#[test]
fn the_pages_that_calls_write_to_stay_the_arenas_own() {
    let mut bench = traces_with(&LARGE_DEP.replace("30000", "7000"));
    let image = bench.isolate.image_bytes();
    assert!((1 << 20..2 << 20).contains(&image), "{image}");
    for _ in 0..3 {
        assert_eq!(bench.once("touch", "[]"), Ok("7000".to_owned()));
        assert_eq!(bench.once("bump", "[]"), Ok("2".to_owned()));
    }
    // Dropped, each would cost the next call a fault.
    let bytes = bench.isolate.resident_bytes();
    assert!(bytes > image + image / 4, "{bytes} of {image}");
    try_all_changes(bench);
}

#[test]
fn a_large_image_is_kept_once() {
    let mut bench = traces_with(LARGE_DEP);
    for _ in 0..10 {
        bench.once("bump", "[]").unwrap();
    }
    bench.once("touch", "[]").unwrap();
    let bytes = bench.isolate.resident_bytes();
    assert!(bytes < bench.isolate.image_bytes() + (2 << 20), "{bytes}");
}

fn try_all_changes(mut bench: Bench) {
    let before = bench.once("look", "[]").unwrap();
    for change in CHANGES {
        // Some of them throw, which is part of it.
        let _ = bench.once(change, "[]");
        assert_eq!(bench.once("look", "[]"), Ok(before.clone()), "{change}");
        assert_eq!(bench.once("bump", "[]"), Ok("2".to_owned()), "{change}");
        assert_eq!(
            bench.once("generatorNext", "[]"),
            Ok("2".to_owned()),
            "{change}"
        );
    }
    assert_eq!(thrown(bench.once("throwIt", "[]")).message, "thrown");
    assert_eq!(
        thrown(bench.once("throwAfterAwait", "[]")).message,
        "thrown late"
    );
}

#[test]
fn a_call_can_be_abandoned_between_two_jobs() {
    let mut bench = traces();
    let before = bench.once("look", "[]").unwrap();
    let start = ["m.js", "throwAfterAwait", "[]"]
        .map(|text| vestibule_isolate::HostValue::String(text.to_owned()));
    for _ in 0..10 {
        bench
            .isolate
            .call(&mut bench.host, "start", &start)
            .unwrap();
        bench.restore();
        bench
            .isolate
            .call(&mut bench.host, "start", &start)
            .unwrap();
        bench.isolate.run_jobs(&mut bench.host).unwrap();
        bench.restore();
        assert_eq!(bench.once("look", "[]"), Ok(before.clone()));
    }
}

#[test]
fn memory_is_flat_over_many_mixed_calls() {
    let mut bench = traces();
    let (used, image) = (bench.isolate.memory_used(), bench.isolate.image_bytes());
    for round in 0..2000 {
        // A call that makes much garbage in each round would make the test slow.
        let change = CHANGES[round % CHANGES.len()];
        if matches!(change, "collect" | "bigList") && round > 100 {
            continue;
        }
        let _ = bench.once(change, "[]");
        assert_eq!(bench.isolate.memory_used(), used);
        assert_eq!(bench.isolate.image_bytes(), image);
    }
}

#[test]
fn weak_references_hold_and_registries_are_silent() {
    let source = "export const f = async () => {
        let called = 0;
        const registry = new FinalizationRegistry(() => called++);
        const refs = [];
        for (let i = 0; i < 50000; i++) { const o = { i }; refs.push(new WeakRef(o)); registry.register(o, i, o); }
        await 1;
        return [refs.every((ref) => ref.deref() !== undefined), called, String(refs[0]), registry.unregister({}),
            new WeakRef(Symbol('s')).deref().description];
    };
    export const bad = () => { try { new WeakRef(1); } catch (e) { return e.name; } };";
    let mut bench = Bench::of(source);
    let expected = "[true,0,\"[object WeakRef]\",false,\"s\"]";
    assert_eq!(bench.once("f", "[]"), Ok(expected.to_owned()));
    assert_eq!(bench.once("bad", "[]"), Ok("\"TypeError\"".to_owned()));
}

#[test]
fn isolates_work_side_by_side_and_move_between_threads() {
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let mut bench = traces();
            std::thread::spawn(move || {
                let before = bench.once("look", "[]").unwrap();
                for change in CHANGES {
                    let _ = bench.once(change, "[]");
                }
                (bench, before)
            })
        })
        .collect();
    for thread in threads {
        let (mut bench, before) = thread.join().unwrap();
        // Sealed on one thread, used on a second, and now on a third.
        let again = std::thread::spawn(move || {
            assert!(bench.once("overflow", "[]").is_err());
            bench.once("look", "[]").unwrap()
        });
        assert_eq!(again.join().unwrap(), before);
    }
}

/// Pages that this thread has met for the first time.
#[cfg(target_os = "linux")]
fn faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let (_, behind_the_name) = stat.rsplit_once(')').unwrap();
    behind_the_name
        .split_whitespace()
        .nth(7)
        .unwrap()
        .parse()
        .unwrap()
}

/// Looking for garbage writes to every page that holds an object, and each of them is a fault.
#[cfg(target_os = "linux")]
#[test]
fn a_small_call_beside_a_large_image_looks_for_no_garbage() {
    let larger = LARGE_DEP.replace("30000", "150000");
    let mut bench = traces_with(&larger);
    let image = bench.isolate.image_bytes();
    assert!(image > 20 << 20, "{image}");
    bench.once("look", "[]").unwrap();
    let before = faults();
    for _ in 0..5 {
        bench.once("look", "[]").unwrap();
    }
    let pages = image as u64 / 4_096;
    let met = faults() - before;
    assert!(met < pages / 4, "{met} of {pages}");
    // Garbage is looked for all the same, once there is enough of it.
    bench.call("collect", "[]").unwrap();
    let used = bench.isolate.peak_bytes();
    assert!(used < image + (40 << 20), "{used} of {image}");
}
