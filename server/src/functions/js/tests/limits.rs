//! Limits as functions in JavaScript meet them, and as the functions that called those do.

use vestibule_schema::value::Value;

use super::*;

const GREEDY: &str = r#"
import { define, op } from "./_deps/package.js";
const writeMuch = async () => {
  const text = "x".repeat(1_000_000);
  for (let i = 0; i < 20; i++) await op("insert", { table: "notes", value: { text } });
};
export const greedy = define("mutation", writeMuch);
export const calm = define("mutation", async () => {
  try {
    await writeMuch();
  } catch (error) {
    return `${error.message.slice(0, 22)} ${error.data}`;
  }
});
export const other = define("mutation", async () => {
  try {
    await writeMuch();
  } catch {
    throw new Error("something else");
  }
});
export const parent = define("mutation", async () => {
  try {
    await op("runUdf", { udfType: "mutation", name: "app:greedy", args: {} });
  } catch (error) {
    return `${error.message.includes("Too many bytes written")} ${error.data}`;
  }
});
"#;

#[tokio::test]
async fn a_limit_that_ends_a_function_has_its_code_and_its_text() {
    let rig = rig_of(GREEDY, JsOptions::default());
    let ended = thrown(rig.mutate("greedy", object! {}).await);
    assert!(
        ended
            .message
            .starts_with("Uncaught Error: Too many bytes written"),
        "{}",
        ended.message
    );
    assert_eq!(
        ended.data,
        Some(Value::Object(object! { "code" => "TooManyBytesWritten" }))
    );
    assert!(ended.is_fault);
}

#[tokio::test]
async fn a_limit_that_a_function_catches_is_an_error_without_data() {
    let rig = rig_of(GREEDY, JsOptions::default());
    let caught = rig.mutate("calm", object! {}).await;
    let FunctionOutcome::Returned(Value::String(text)) = &caught else {
        panic!("{caught:?}")
    };
    assert!(text.starts_with("Too many bytes written"), "{text}");
    assert!(text.ends_with(" undefined"), "{text}");
    let other = thrown(rig.mutate("other", object! {}).await);
    assert_eq!(other.data, None, "{}", other.message);
    let parent = rig.mutate("parent", object! {}).await;
    assert_eq!(
        parent,
        FunctionOutcome::Returned(Value::from("true undefined"))
    );
}

const CALLERS: &str = r#"
import { define, op } from "./_deps/package.js";
export const spin = define("query", async () => { for (;;); });
export const hungry = define("mutation", async () => { const all = []; for (;;) all.push(new Array(100_000).fill(0)); });
const long = "x".repeat(17 << 20);
export const large = define("query", async () => long);
const caught = async (name, kind) => {
  try {
    await op("runUdf", { udfType: kind, name, args: {} });
  } catch (error) {
    return `${error.message.slice(0, 60)} ${error.data}`;
  }
};
export const spun = define("mutation", async () => {
  await op("insert", { table: "notes", value: { text: "lost" } });
  return await caught("app:spin", "query");
});
export const grown = define("mutation", async () => await caught("app:hungry", "mutation"));
export const outer = define("mutation", async () => await caught("app:spun", "mutation"));
export const inQuery = define("query", async () => await caught("app:spin", "query"));
export const tooLarge = define("query", async () => await caught("app:large", "query"));
export const act = define("action", async () => {
  const seen = [];
  for (const name of ["app:spin", "app:spun", "app:large"]) {
    try {
      await op(`actions/${name === "app:spun" ? "mutation" : "query"}`, { name, args: {} });
    } catch (error) {
      seen.push(`${error.message.slice(0, 60)} ${error.data}`);
    }
  }
  return seen.join("; ");
});
export const list = define("query", async () => []);
const take = async () => new Uint8Array(16 << 20).length;
export const takes = define("query", take);
export const takesToAct = define("action", take);
"#;

#[tokio::test]
async fn the_memory_of_a_call_is_a_setting() {
    let taken = FunctionOutcome::Returned(Value::Float64(f64::from(16 << 20)));
    for (call_memory_max, fits) in [(128 << 20, true), (8 << 20, false)] {
        let options = JsOptions {
            call_memory_max,
            ..JsOptions::default()
        };
        let rig = rig_of(CALLERS, options);
        let queried = rig.query("takes").await;
        let acted = rig.functions.act(call("takesToAct", object! {})).await;
        for outcome in [queried, acted.unwrap().outcome] {
            match fits {
                true => assert_eq!(outcome, taken),
                false => {
                    let code = object! { "code" => "FunctionOutOfMemory" };
                    assert_eq!(thrown(outcome).data, Some(Value::Object(code)));
                }
            }
        }
    }
}

#[tokio::test]
async fn a_function_that_runs_out_of_time_or_memory_ends_its_callers_too() {
    let rig = rig_of(CALLERS, JsOptions::default());
    let code = |code: &str| Some(Value::Object(object! { "code" => code }));
    let time = "Function execution timed out (maximum duration: ";
    let memory = "JavaScript execution ran out of memory (maximum memory usage: 64 MB)";
    for (name, text, expected) in [
        ("spun", time, "FunctionTimedOut"),
        ("outer", time, "FunctionTimedOut"),
        ("grown", memory, "FunctionOutOfMemory"),
    ] {
        let ended = thrown(rig.mutate(name, object! {}).await);
        assert!(ended.message.starts_with(text), "{name}: {}", ended.message);
        assert_eq!(ended.data, code(expected), "{name}");
        assert!(ended.is_fault, "{name}");
    }
    let ended = thrown(rig.query("inQuery").await);
    assert!(ended.message.starts_with(time), "{}", ended.message);
    assert_eq!(ended.data, code("FunctionTimedOut"));
    assert_eq!(rig.count_notes().await, 0);
}

#[tokio::test]
async fn the_code_of_a_limit_is_for_clients_and_not_for_callers() {
    let rig = rig_of(CALLERS, JsOptions::default());
    let too_large = "Function app.js:large return value is too large (actual: 17 ";
    let query = rig.query("tooLarge").await;
    let expected = format!("{too_large} undefined");
    assert_eq!(query, FunctionOutcome::Returned(Value::from(expected)));
    let run = rig.functions.act(call("act", object! {})).await.unwrap();
    let time = "Function execution timed out (maximum duration: 1s) undefined";
    let expected = format!("{time}; {time}; {too_large} undefined");
    assert_eq!(
        run.outcome,
        FunctionOutcome::Returned(Value::from(expected))
    );
}
