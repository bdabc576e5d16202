//! A program that changes whatever it can reach, at random, and must leave nothing behind.

use std::time::Duration;

use crate::harness::Bench;

const MUTATOR: &str = r##"
const state = { list: [], map: new Map(), text: "x", deep: { a: { b: { c: [1, 2, 3] } } } };
export const digest = () => {
  const seen = new Map();
  const names = [];
  const walk = (value, depth) => {
    if ((typeof value !== "object" && typeof value !== "function") || value === null) return String(value);
    if (seen.has(value)) return "#" + seen.get(value);
    seen.set(value, seen.size);
    if (depth > 6) return "...";
    let out = "{";
    for (const key of Reflect.ownKeys(value)) {
      const d = Object.getOwnPropertyDescriptor(value, key);
      out += String(key) + ":" + (d.get ? "get" : walk(d.value, depth + 1)) + (d.writable ? "w" : "") + (d.enumerable ? "e" : "") + ",";
    }
    return out + "}" + walk(Object.getPrototypeOf(value), depth + 1);
  };
  let hash = 0;
  for (const c of walk(globalThis, 0) + walk(state, 0)) hash = (hash * 31 + c.codePointAt(0)) | 0;
  return hash;
};
export const mutate = async (seed, steps) => {
  const next = () => { seed = (seed * 1103515245 + 12345) & 0x7fffffff; return seed / 0x7fffffff; };
  const own = Reflect.ownKeys, get = Reflect.get, set = Reflect.set, define = Reflect.defineProperty,
    remove = Reflect.deleteProperty, protoOf = Reflect.getPrototypeOf, setProto = Reflect.setPrototypeOf,
    freeze = Object.freeze, push = Array.prototype.push, call = Reflect.apply, later = Convex.later;
  const pick = (list) => list[Math.floor(next() * list.length) % list.length];
  const floor = Math.floor;
  const objects = [globalThis, state, state.map, Object.prototype, Array.prototype, Promise.prototype, Function.prototype];
  for (let i = 0; i < steps; i++) {
    try {
      const object = objects[floor(next() * objects.length) % objects.length];
      const keys = own(object);
      const key = keys.length === 0 ? "k" : keys[floor(next() * keys.length) % keys.length];
      switch (floor(next() * 14)) {
        case 0: set(object, "new" + i, { i }); break;
        case 1: remove(object, key); break;
        case 2: define(object, key, { value: i, configurable: true, writable: true }); break;
        case 3: define(object, key, { get() { return i; }, configurable: true }); break;
        case 4: { const value = get(object, key); if (typeof value === "object" && value !== null || typeof value === "function") call(push, objects, [value]); break; }
        case 5: { const proto = protoOf(object); if (proto) call(push, objects, [proto]); break; }
        case 6: setProto(object, objects[floor(next() * objects.length) % objects.length]); break;
        case 7: if (next() < 0.1) freeze(object); break;
        case 8: { const value = get(object, key); if (typeof value === "function") call(value, objects[floor(next() * objects.length) % objects.length], [i, {}, "x"]); break; }
        case 9: { const value = get(object, key); if (typeof value === "function") new value(3, "y"); break; }
        case 10: call(push, state.list, [new Array(floor(next() * 2000))]); break;
        case 11: state.map.set(i, new Uint8Array(floor(next() * 5000))); break;
        case 12: await later("x", i); break;
        case 13: set(object, key, (function* () { yield object; })()); break;
      }
    } catch {}
  }
};
"##;

#[test]
fn a_random_mutator_leaves_nothing_behind() {
    let mut bench = Bench::of(MUTATOR);
    bench.isolate.set_budget(Duration::from_millis(60));
    let before = bench.once("digest", "[]").unwrap();
    for seed in 1..300_u32 {
        // It breaks the driver's own parts too, so how it ends does not matter.
        let _ = bench.once(
            "mutate",
            &format!(
                "[{}, {}]",
                seed.wrapping_mul(2_654_435_761) >> 1,
                20 + seed % 300
            ),
        );
        if seed % 20 == 0 {
            assert_eq!(
                bench.once("digest", "[]"),
                Ok(before.clone()),
                "seed {seed}"
            );
        }
    }
}
