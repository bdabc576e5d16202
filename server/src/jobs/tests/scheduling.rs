//! Scheduling: what is refused, what belongs to the transaction, and what the documents say.

use super::*;

#[tokio::test]
async fn what_cannot_be_scheduled_is_refused_in_the_documented_words() {
    let rig = Rig::new();
    const YEARS_MS: f64 = 5.0 * 366.0 * 86_400_000.0;
    let refusals = [
        (
            ask("nowhere:fn", 0.0, ""),
            "Attempted to schedule function at nonexistent path: nowhere.js:fn",
        ),
        (
            ask("notes:gone", 0.0, ""),
            "Attempted to schedule function, but no exported function gone found in the file: notes.js. Did you forget \
             to export it?",
        ),
        (
            ask("notes:list", 0.0, ""),
            "Unsupported function type. notes.js:list is defined as a Query. Only Mutation and Action can be scheduled.",
        ),
        (
            ask("notes:add", YEARS_MS + 1_000.0, ""),
            "1958112001 is more than 5 years in the future",
        ),
        (
            ask("notes:add", -YEARS_MS - 1_000.0, ""),
            "1641887999 is more than 5 years in the past",
        ),
        (
            ask("notes:add", f64::NAN, ""),
            "NaN is not a time at which a function can run",
        ),
    ];
    for (ask, expected) in refusals {
        assert_eq!(rig.refusal("notes:schedule", ask).await, expected);
    }
    assert!(rig.scheduled().await.is_empty());
}

#[tokio::test]
async fn one_mutation_schedules_so_many_functions_with_so_much_and_no_more() {
    let limits = Limits {
        functions_scheduled_max: 3,
        documents_written_max: 1,
        ..Limits::default()
    };
    let rig = Rig::with(JobsOptions::default(), limits);
    let many = |count| Many {
        count,
        at_ms: START_MS + 60_000.0,
    };
    // A scheduled function does not count as a document that the function writes.
    rig.mutate("notes:scheduleMany", many(3)).await;
    assert_eq!(
        rig.refusal("notes:scheduleMany", many(4)).await,
        "Uncaught Error: Too many functions scheduled by this mutation (limit: 3)"
    );
    assert_eq!(rig.scheduled().await.len(), 3);
    let limits = Limits {
        scheduled_args_bytes_max: 100,
        ..Limits::default()
    };
    let rig = Rig::with(JobsOptions::default(), limits);
    let long = ask("notes:add", 0.0, &"x".repeat(100));
    assert_eq!(
        rig.refusal("notes:schedule", long).await,
        "Uncaught Error: Too large total size of the arguments of scheduled functions from this mutation (limit: 100 \
         bytes)"
    );
}

#[tokio::test]
async fn arguments_larger_than_a_document_are_scheduled() {
    let rig = Rig::new();
    let text = "x".repeat(3 << 20);
    // The note itself would be too large.
    let id = rig.schedule("notes:look", 0.0, &text).await;
    rig.until_state(id, JobState::Success).await;
    let job = rig.scheduled().await.pop().unwrap();
    assert_eq!(job.args, Value::Object(object! { "text" => text }));
}

#[tokio::test]
async fn a_mutation_that_fails_has_scheduled_nothing() {
    let rig = Rig::new();
    rig.refusal("notes:scheduleAndFail", ask("notes:add", 0.0, "no"))
        .await;
    rig.settle().await;
    assert_eq!(rig.notes().await, ["settled"]);
}

#[tokio::test]
async fn a_document_says_what_is_to_run_and_what_became_of_it() {
    let rig = Rig::new();
    let id = rig.schedule("notes:add", 5_000.125, "late").await;
    let fields = |mut document: RawDocument| {
        document.fields.remove("_id");
        document.fields.remove("_creationTime");
        document.fields
    };
    let waiting = object! {
        "name" => "notes.js:add",
        "args" => Value::Array(vec![Value::Object(object! { "text" => "late" })]),
        "scheduledTime" => START_MS + 5_000.125,
        "state" => object! { "kind" => "pending" },
    };
    let found = rig.documents(SCHEDULED_FUNCTIONS).await.pop().unwrap();
    assert_eq!(fields(found), waiting);
    rig.clock.advance(Duration::from_millis(5_020));
    rig.until_state(id, JobState::Success).await;
    let mut done = waiting;
    done.insert("completedTime".into(), Value::from(START_MS + 5_020.0));
    done.insert("state".into(), Value::from(object! { "kind" => "success" }));
    let found = rig.documents(SCHEDULED_FUNCTIONS).await.pop().unwrap();
    assert_eq!(fields(found), done);
}
