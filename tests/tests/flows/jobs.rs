//! Scheduled functions and crons over a real server: through kills, for users who are gone, and with a provider that fails.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value as Json, json};
use vestibule_tests::process::{Chat, ChatOptions};

fn jobs(data: &Path) -> ChatOptions {
    ChatOptions::new(env!("CARGO_BIN_EXE_jobs-under-test"), data)
}

const KILLS: usize = 8;
const PLANNERS: usize = 4;
const PLANS_PER_CALL: usize = 10;
/// Calls of one planner at the most, so that everything fits into one report.
const CALLS_MAX: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scheduled_mutation_runs_exactly_once_and_every_action_at_most_once_over_kill_9() {
    let seed = super::seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let data = tempfile::tempdir().unwrap();
    let options = jobs(data.path());
    for kill in 0..KILLS {
        let app = Arc::new(options.start().unwrap());
        plan_and_kill(app, kill, rng.random_range(1..PLANNERS * CALLS_MAX)).await;
    }
    let app = options.start().unwrap();
    let report = settled(&app).await;
    println!("{report}");
    assert!(report["planned"].as_f64() > Some(0.0));
    assert_eq!(report["wrong_chains"], json!([]));
    assert_eq!(report["doubled_actions"], json!([]));
    // An action without an effect was cut, and says so.
    let failed = report["states"]["failed"].as_f64().unwrap_or(0.0);
    assert!(report["lost_actions"].as_f64() <= Some(failed), "{report}");
    assert!(report["ticks"].as_f64() >= Some(1.0));
}

/// Lets planners plan until so many calls are answered, then kills the server among its jobs.
async fn plan_and_kill(app: Arc<Chat>, kill: usize, enough: usize) {
    let answered = Arc::new(AtomicUsize::new(0));
    let planners = (0..PLANNERS).map(|planner| {
        let (app, answered) = (app.clone(), answered.clone());
        tokio::spawn(async move {
            for call in 0..CALLS_MAX {
                let plans = json!({
                    "batch": format!("{kill}-{planner}-{call}"), "count": PLANS_PER_CALL as f64, "after_ms": 5.0,
                });
                // Ends when the server is killed, which is what is being tested.
                let Ok(_) = app.call("mutation", "plans:make", plans, None).await else {
                    return;
                };
                answered.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let planners: Vec<_> = planners.collect();
    while answered.load(Ordering::Relaxed) < enough {
        tokio::task::yield_now().await;
        assert!(
            planners.iter().any(|planner| !planner.is_finished())
                || answered.load(Ordering::Relaxed) >= enough,
            "every planner failed"
        );
    }
    app.kill_now().unwrap();
    for planner in planners {
        planner.await.unwrap();
    }
}

/// The report once nothing waits and nothing runs.
async fn settled(app: &Chat) -> Json {
    loop {
        let report = app.query("plans:report", json!({})).await.unwrap();
        let states = &report["states"];
        if states["pending"].is_null() && states["inProgress"].is_null() {
            return report;
        }
    }
}

/// The answer of a query once it satisfies.
async fn until(app: &Chat, path: &str, is_so: impl Fn(&Json) -> bool) -> Json {
    loop {
        let answer = app.query(path, json!({})).await.unwrap();
        if is_so(&answer) {
            return answer;
        }
    }
}

#[tokio::test]
async fn a10_a_job_for_a_user_finds_them_or_copes_with_their_being_gone() {
    let data = tempfile::tempdir().unwrap();
    let app = jobs(data.path()).start().unwrap();
    let (ada, bob) = (
        app.token("ada").await.unwrap(),
        app.token("bob").await.unwrap(),
    );
    // The first touch of both: the user is there before the mutation that schedules can run.
    let ask = |about: &str, after_ms: f64| json!({ "about": about, "after_ms": after_ms });
    let ask_as = async |token: &str, args: Json| {
        app.call("mutation", "reminders:ask", args, Some(token))
            .await
            .unwrap();
    };
    ask_as(&ada, ask("stays", 0.0)).await;
    ask_as(&bob, ask("gone", 1_000.0)).await;
    app.call("mutation", "users:leave", json!({}), Some(&bob))
        .await
        .unwrap();
    let reminders = until(&app, "reminders:all", |all| {
        all.as_array().is_some_and(|all| all.len() == 2)
    })
    .await;
    assert_eq!(
        reminders,
        json!([
            { "about": "stays", "found": "ada", "identity": false },
            { "about": "gone", "identity": false },
        ])
    );
}

#[tokio::test]
async fn c17_a_welcome_mail_that_fails_is_tried_again_under_its_key_and_the_gate_is_open_meanwhile()
{
    let data = tempfile::tempdir().unwrap();
    let app = jobs(data.path()).start().unwrap();
    let ada = app.token("ada").await.unwrap();
    let me = app.call("query", "users:me", json!({}), Some(&ada)).await;
    assert_eq!(me.unwrap(), "ada");
    let mails = until(&app, "mails:all", |all| *all != json!([])).await;
    let mails = mails.as_array().unwrap();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0]["attempts"], 3.0);
    let accepted = app.query("mails:accepted", json!({})).await.unwrap();
    let key = mails[0]["key"].as_str().unwrap();
    assert_eq!(accepted, json!({ key: 1.0 }));
    // A known person is sent nothing again.
    let me = app.call("query", "users:me", json!({}), Some(&ada)).await;
    assert_eq!(me.unwrap(), "ada");
    let report = settled(&app).await;
    assert_eq!(report["states"], json!({ "failed": 2.0, "success": 1.0 }));
}
