//! The value that follows asynchronous work.

use crate::harness::Bench;

const SOURCE: &str = r#"
const { context, within, later } = Convex;
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
