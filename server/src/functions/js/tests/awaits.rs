//! In development, errors of operations name the lines that awaited them.

use super::*;

const APP: &str = r#"
import { define, op } from "./_deps/package.js";
const patch = (id) => op("shallowMerge", { id, value: {} });
const patchTwice = async (id) => {
  await op("queryStreamNext", { queryId: 1 }).catch(() => {});
  await patch(id);
};
export const patches = define("mutation", async () => await patch("nothing"));
export const later = define("mutation", async () => await patchTwice("nothing"));
export const anew = define("mutation", async () => {
  try {
    await patch("nothing");
  } catch (error) {
    throw new Error(error.message);
  }
});
export const other = define("mutation", async () => {
  await patch("nothing").catch(() => {});
  throw new Error("another text");
});
export const acts = define("action", async () => await op("actions/mutation", { name: "app:nothing", args: {} }));
export const fine = define("mutation", async () => 1);
"#;

async fn told(rig: &Rig, name: &str) -> Vec<String> {
    let run = match name {
        "acts" => {
            rig.functions
                .act(call(name, object! {}))
                .await
                .unwrap()
                .outcome
        }
        _ => rig.mutate(name, object! {}).await,
    };
    let message = thrown(run).message;
    message.lines().map(str::to_owned).collect()
}

fn in_development() -> Rig {
    rig_of(
        APP,
        JsOptions {
            is_in_development: true,
            ..JsOptions::default()
        },
    )
}

/// The functions among the lines that tell of an `await`, with the line of each.
fn awaited(lines: &[String]) -> Vec<(&str, u32)> {
    let lines = lines.iter().filter_map(|line| {
        let (name, place) = line.trim().strip_prefix("at async ")?.split_once(" (")?;
        let line = place.strip_prefix("../convex/app.js:")?.split(':').next()?;
        Some((name, line.parse().unwrap()))
    });
    lines.collect()
}

#[tokio::test]
async fn in_development_an_error_of_an_operation_names_what_awaited_it() {
    let rig = in_development();
    assert_eq!(
        rig.mutate("fine", object! {}).await,
        FunctionOutcome::Returned(1.0.into())
    );
    let patches = told(&rig, "patches").await;
    assert_eq!(awaited(&patches)[0], ("patch", 3), "{patches:?}");
    assert_eq!(awaited(&patches)[1].1, 8, "{patches:?}");
    // The engine has forgotten who awaited the helper, and knows the helper.
    let later = told(&rig, "later").await;
    assert_eq!(
        awaited(&later),
        [("patch", 3), ("patchTwice", 6)],
        "{later:?}"
    );
    let acts = told(&rig, "acts").await;
    assert_eq!(awaited(&acts).last().unwrap().1, 21, "{acts:?}");
    // As the package does: another error with the same text.
    let anew = told(&rig, "anew").await;
    assert_eq!(awaited(&anew)[0], ("patch", 3), "{anew:?}");
    let other = told(&rig, "other").await;
    assert_eq!(awaited(&other), [], "{other:?}");
    assert!(other[0].ends_with("another text"), "{other:?}");
}

#[tokio::test]
async fn in_production_no_operation_takes_time_for_that() {
    let rig = rig_of(APP, JsOptions::default());
    let patches = told(&rig, "patches").await;
    assert_eq!(awaited(&patches), [], "{patches:?}");
    assert_eq!(patches[0], told(&in_development(), "patches").await[0]);
}
