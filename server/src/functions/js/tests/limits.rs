//! Limits of the database as functions in JavaScript meet them.

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
