//! The module that stands in for known functions: pure, importable by every module, bounded like everything else.

use std::time::Duration;

use vestibule_isolate::{Failure, HostValue};

use crate::harness::Bench;

const KNOWN: &str = r#"
import { call, convexToJson, jsonToConvex } from "vestibule:known";
export const asks = () => [call("echo", 1), call("nothing") === undefined, call() === undefined, call({}) === undefined,
  call("echo", {}) === undefined, call("echo", () => 1) === undefined];
export const converts = () => [convexToJson({ b: 1, a: undefined }), jsonToConvex([null]), convexToJson() === undefined,
  convexToJson({ a: undefined }, true), convexToJson({ a: undefined }, 1)];
export const deep = () => {
  let value = 1;
  for (let i = 0; i < 200_000; i++) value = [value];
  return convexToJson(value) === undefined;
};
export const round = () => {
  const value = {};
  value.value = value;
  return convexToJson(value) === undefined;
};
export const greedy = () => {
  let value = new Array(50_000).fill("x");
  const held = [];
  for (;;) held.push(convexToJson(value));
};
export const slow = () => { for (;;) call("work"); };
export const later = async () => (await import("vestibule:known")).call("echo", 2);
"#;

#[test]
fn it_converts_and_asks_and_changes_nothing() {
    let mut bench = Bench::of(KNOWN);
    let asked = bench.once("asks", "[]").unwrap();
    assert_eq!(asked, "[1,true,true,true,true,true]");
    assert_eq!(bench.host.calls[0].0, "known.echo");
    assert_eq!(bench.host.calls[0].1, [HostValue::Number(1.0)]);
    let converted = bench.once("converts", "[]").unwrap();
    assert_eq!(
        converted,
        r#"[{"b":1},[null],true,{"a":{"$undefined":null}},{}]"#
    );
    assert_eq!(bench.once("deep", "[]").unwrap(), "true");
    assert_eq!(bench.once("round", "[]").unwrap(), "true");
    assert_eq!(bench.once("later", "[]").unwrap(), "2");
}

#[test]
fn its_memory_and_its_time_count() {
    let mut bench = Bench::of(KNOWN);
    for _ in 0..3 {
        assert!(matches!(
            bench.once("greedy", "[]"),
            Err(Failure::OutOfMemory)
        ));
    }
    bench.isolate.set_budget(Duration::from_millis(20));
    assert!(matches!(bench.once("slow", "[]"), Err(Failure::TimedOut)));
    assert_eq!(bench.once("round", "[]").unwrap(), "true");
}
