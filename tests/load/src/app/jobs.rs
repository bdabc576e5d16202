//! Scheduled mutations, each of which leaves a document. More documents than were planned, or fewer, show a job that ran twice or
//! never.

use serde::{Deserialize, Serialize};
use vestibule_server::prelude::*;

use super::Stretch;

/// The trace of a job that ran. Two of one number are allowed, so that a job that ran twice is seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Effect {
    number: f64,
    due: f64,
}

impl Effect {
    const BY_NUMBER: Index<Effect> = Index::new("by_number", &["number"]);
}

impl Table for Effect {
    const NAME: &'static str = "effects";
    const INDEXES: &'static [Index<Effect>] = &[Effect::BY_NUMBER];
}

/// A stretch of jobs: the first is due at `due`, and each further one `gap` later, in milliseconds.
#[derive(Deserialize)]
pub struct Plan {
    first: f64,
    count: f64,
    due: f64,
    gap: f64,
}

/// Schedules the jobs of a stretch.
pub fn plan(ctx: &mut MutationCtx, plan: Plan) -> Result<()> {
    for offset in (0..plan.count as u32).map(f64::from) {
        let due = plan.due + offset * plan.gap;
        let number = plan.first + offset;
        let job = Effect { number, due };
        ctx.scheduler().run_at(due, "jobs:work", job)?;
    }
    Ok(())
}

/// The job.
pub fn work(ctx: &mut MutationCtx, job: Effect) -> Result<()> {
    ctx.db().insert(job)?;
    Ok(())
}

/// The jobs of a stretch that have run, each with the moment at which it did.
pub fn ran(ctx: &mut QueryCtx, Stretch { first, count }: Stretch) -> Result<Vec<Ran>> {
    let effects = ctx.db().query::<Effect>();
    let effects = effects.index_range(Effect::BY_NUMBER, |range| {
        range.gte("number", first).lt("number", first + count)
    });
    let ran = |effect: Document<Effect>| Ran {
        number: effect.number,
        due: effect.due,
        at: effect.creation_time,
    };
    Ok(effects.collect()?.into_iter().map(ran).collect())
}

/// A job that has run.
#[derive(Serialize)]
pub struct Ran {
    number: f64,
    due: f64,
    at: f64,
}
