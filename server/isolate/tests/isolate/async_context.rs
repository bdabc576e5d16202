//! The value that follows asynchronous work.

use crate::harness::Bench;

const SOURCE: &str = r#"
const { context, within, enter, later } = Convex;
const tick = () => later("x", 1);
export const awaits = async () => {
  const seen = [];
  const one = async (name) => { for (let i = 0; i < 3; i++) { seen.push(context() === name); await (i % 2 ? tick() : 1); } seen.push(context() === name); return name; };
  const both = await Promise.all([within("a", () => one("a")), within("b", () => one("b")), one(undefined)]);
  return [both, seen.every(Boolean), seen.length, context() ?? null];
};
export const reactions = async () => {
  const seen = [];
  let resolve;
  const promise = new Promise((r) => { resolve = r; });
  within("then", () => promise.then(() => { seen.push(context()); return Promise.reject(1); }).catch(() => seen.push(context())).finally(() => seen.push(context())));
  within("other", () => promise.then(() => seen.push(context())));
  within("resolver", () => resolve());
  await tick();
  await tick();
  return seen;
};
export const thenables = async () => {
  const seen = [];
  await within("t", async () => { await { then(done) { seen.push(context()); done(); } }; seen.push(context()); });
  return seen;
};
export const nested = async () => {
  const seen = [];
  await within("outer", async () => {
    await within("inner", async () => { await 1; seen.push(context()); });
    seen.push(context());
    await within(undefined, async () => { await 1; seen.push(context() ?? null); });
    seen.push(context());
    try { await within("thrower", async () => { await 1; throw 1; }); } catch { seen.push(context()); }
  });
  return [...seen, context() ?? null];
};
export const subclasses = async () => {
  class Mine extends Promise {}
  const seen = [];
  await within("m", () => Mine.resolve(1).then(() => seen.push(context())));
  return seen;
};
export const consumers = async () => {
  const seen = [];
  async function* numbers() { yield 1; await tick(); yield 2; }
  await within("c", async () => { for await (const n of numbers()) seen.push(n, context()); });
  return seen;
};
export const generators = async () => {
  const seen = [];
  async function* numbers() { seen.push(context()); yield 1; await tick(); seen.push(context()); try { yield await 2; } finally { await 1; seen.push(context()); } }
  const all = numbers();
  await within("one", () => all.next());
  await within("two", () => all.next());
  await within("three", () => all.return());
  const each = async (name) => within(name, async () => { for await (const n of numbers()) await n; });
  await Promise.all([each("a"), each("b")]);
  async function* outer() { yield* numbers(); }
  await within("delegated", async () => { for await (const n of outer()) seen.push(context()); });
  return [...seen, context() ?? null];
};
export const entered = async () => {
  const seen = [];
  const one = async (name) => { enter(name); await 1; seen.push(context() === name); await tick(); seen.push(context() === name); };
  const both = Promise.all(["a", "b", "c"].map(one));
  enter("outer");
  await both;
  seen.push(context());
  within("inner", () => enter("lost"));
  await 1;
  seen.push(context());
  const called = async () => { enter("called"); await 1; enter("unseen"); };
  const pending = called();
  seen.push(context());
  await pending;
  seen.push(context());
  async function* numbers() { enter("n"); await 1; seen.push(context()); yield 1; }
  await numbers().next();
  seen.push(context());
  [1].forEach(() => new Map([[1, 1]]).forEach(() => enter("deep")));
  await tick();
  return [...seen, context()];
};
export const look = () => context() ?? null;
export const leave = async () => { await within({ big: new Array(1000) }, () => new Promise(() => {})); };
"#;

#[test]
fn the_value_follows_awaits_and_reactions_and_nothing_else() {
    let mut bench = Bench::of(SOURCE);
    let cases = [
        ("awaits", r#"[["a","b",null],true,12,null]"#),
        ("reactions", r#"["then","other","then","then"]"#),
        ("thenables", r#"["t","t"]"#),
        ("nested", r#"["inner","outer",null,"outer","outer",null]"#),
        ("subclasses", r#"["m"]"#),
        ("consumers", r#"[1,"c",2,"c"]"#),
        (
            "generators",
            r#"["one","two","three","a","b","a","a","b","b","delegated","delegated","delegated","delegated","delegated",null]"#,
        ),
        (
            "entered",
            r#"[true,true,true,true,true,true,"outer","outer","called","called","n","n","deep"]"#,
        ),
        ("look", "null"),
    ];
    for (export, expected) in cases {
        assert_eq!(
            bench.once(export, "[]"),
            Ok(expected.to_owned()),
            "{export}"
        );
    }
}

#[test]
fn the_value_of_one_call_is_gone_in_the_next() {
    let mut bench = Bench::of(SOURCE);
    for _ in 0..3 {
        assert_eq!(bench.once("leave", "[]"), Ok("pending".to_owned()));
        assert_eq!(bench.once("look", "[]"), Ok("null".to_owned()));
    }
}
