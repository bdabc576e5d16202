//! Makes a failing schedule as short as it can be made, and says what went wrong in it.

use std::fmt::Write;
use std::fs;

use super::child::Server;
use super::oracle::Violation;
use super::plan::Plan;
use super::rig::{Outcome, Rig};

/// Runs of a shorter schedule before it counts as one that does not fail.
const TRIES: usize = 5;
/// Runs altogether.
const RUNS_MAX: usize = 300;

/// The report on a schedule that failed, on a correct server.
pub async fn report(plan: &Plan, outcome: Outcome) -> String {
    let mut best = (plan.clone(), outcome);
    let shrunk = shrink(&mut best).await;
    let mut text = describe(&best.0, &best.1);
    if let Err(error) = shrunk {
        // Writing to a text does not fail.
        let _ = writeln!(text, "it was not made shorter than this: {error:#}");
    }
    text
}

fn describe(plan: &Plan, outcome: &Outcome) -> String {
    let lines: Vec<String> = outcome
        .record
        .iter()
        .map(|event| serde_json::to_string(event).expect("events are plain data"))
        .collect();
    let path = Server::artifact(plan.seed);
    let kept = match fs::write(&path, lines.join("\n")) {
        Ok(()) => format!("the record: {}", path.display()),
        Err(error) => format!("the record could not be written: {error}"),
    };
    let mut text = format!("a schedule broke the guarantee\n{plan}");
    for violation in &outcome.violations {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{violation}");
        let place = violation.at.and_then(|at| lines.get(at));
        if let Some(event) = place {
            let _ = writeln!(text, "    {event}");
        }
    }
    let _ = writeln!(
        text,
        "{kept}\nrun it again with VESTIBULE_SEED={}",
        plan.seed
    );
    text
}

/// Leaves out steps, many at first and then single ones, for as long as the rest still fails. An error leaves what was
/// reached so far.
async fn shrink(best: &mut (Plan, Outcome)) -> anyhow::Result<()> {
    let mut rig = Rig::start(best.0.kind).await?;
    let mut runs = 0;
    let mut size = best.0.steps.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < best.0.steps.len() && runs < RUNS_MAX {
            let mut shorter = best.0.clone();
            let end = shorter.steps.len().min(at + size);
            shorter.steps.drain(at..end);
            runs += TRIES;
            match fails(&mut rig, &shorter, &best.1.violations).await? {
                Some(outcome) => *best = (shorter, outcome),
                None => at += size,
            }
        }
        size /= 2;
    }
    Ok(())
}

/// Whether a schedule fails in a way that the longer one did.
async fn fails(rig: &mut Rig, plan: &Plan, known: &[Violation]) -> anyhow::Result<Option<Outcome>> {
    for _ in 0..TRIES {
        let outcome = rig.run(plan).await?;
        let is_known = |violation: &Violation| known.iter().any(|it| it.rule == violation.rule);
        if outcome.violations.iter().any(is_known) {
            return Ok(Some(outcome));
        }
    }
    Ok(None)
}
