//! An app that leaves work for later. It has chains of scheduled mutations and actions whose effects can be counted,
//! and a reminder for a user who may be gone by then. It sends a welcome mail through a provider that fails at first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use vestibule_server::app::Limits;
use vestibule_server::database::Query;
use vestibule_server::functions::scheduled::{SCHEDULED_FUNCTIONS, ScheduledFunction};
use vestibule_server::prelude::*;

#[derive(Serialize, Deserialize)]
struct User {
    token: String,
    name: String,
}

impl User {
    const BY_TOKEN: Index<User> = Index::unique("by_token", &["token"]);
}

impl Table for User {
    const NAME: &'static str = "users";
    const INDEXES: &'static [Index<User>] = &[User::BY_TOKEN];
}

/// Something that was to be done, noted with its scheduling.
#[derive(Serialize, Deserialize)]
struct Plan {
    name: String,
    is_action: bool,
}

impl Table for Plan {
    const NAME: &'static str = "plans";
}

/// Something that was done.
#[derive(Serialize, Deserialize)]
struct Effect {
    name: String,
}

impl Table for Effect {
    const NAME: &'static str = "effects";
}

/// The result of a reminder.
#[derive(Serialize, Deserialize)]
struct Reminder {
    about: String,
    found: Option<String>,
    identity: bool,
}

impl Table for Reminder {
    const NAME: &'static str = "reminders";
}

/// A mail that its provider has taken.
#[derive(Serialize, Deserialize)]
struct Delivered {
    key: String,
    attempts: f64,
}

impl Table for Delivered {
    const NAME: &'static str = "delivered";
}

/// How the app is started.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    config: Config,
}

/// Runs the app until it is asked to stop.
pub async fn run() -> anyhow::Result<()> {
    let Arguments { config } = Arguments::parse();
    log_to_stderr(config.log_format);
    let signals = StopSignals::listen()?;
    let running = app().start(config).await?;
    println!("The jobs are at {}", running.url());
    running.until(signals).await;
    Ok(())
}

fn app() -> App {
    let schema = Schema::new()
        .table::<User>()
        .table::<Plan>()
        .table::<Effect>()
        .table::<Reminder>()
        .table::<Delivered>();
    let provider = Arc::new(Provider::default());
    let accepted = provider.clone();
    // A report reads all plans; on a machine that is busy with other tests that takes its time.
    let limits = Limits {
        user_millis_max: 60_000,
        ..Limits::default()
    };
    App::new(schema)
        .limits(limits)
        .mutation("users:ensure", ensure)
        .provision_with("users:ensure")
        .mutation("users:leave", leave)
        .query("users:me", me)
        .mutation("reminders:ask", ask_reminder)
        .function(Function::mutation("reminders:remind", remind).internal())
        .query("reminders:all", reminders)
        .function(
            Function::action("mails:welcome", move |ctx, mail| {
                welcome(ctx, mail, provider.clone())
            })
            .internal(),
        )
        .function(Function::mutation("mails:delivered", delivered).internal())
        .query("mails:all", mails)
        .query("mails:accepted", move |_: &mut QueryCtx, (): ()| {
            Ok(accepted.accepted.lock().clone())
        })
        .mutation("plans:make", make_plans)
        .function(Function::mutation("plans:link", link).internal())
        .function(Function::action("plans:act", act).internal())
        .function(Function::mutation("plans:effect", effect).internal())
        .query("plans:report", report)
        .cron("tick", Schedule::Interval { seconds: 1 }, "plans:tick", ())
        .function(Function::mutation("plans:tick", tick).internal())
}

// ---- users -----------------------------------------------------------------------------------------------------

fn ensure(ctx: &mut MutationCtx, (): ()) -> Result<()> {
    let who = ctx
        .identity()?
        .ok_or_else(|| Error::application("Unauthenticated"))?;
    let users = ctx.db().query::<User>();
    let known = users
        .index(User::BY_TOKEN, who.token_identifier())
        .first()?;
    if known.is_none() {
        let name = who.text("name").unwrap_or("Anonymous").to_string();
        let token = who.token_identifier().to_string();
        let id = ctx.db().insert(User { token, name })?;
        let mail = Mail {
            key: id.to_string(),
            attempts: 0.0,
        };
        ctx.scheduler()
            .run_after(Duration::ZERO, "mails:welcome", mail)?;
    }
    Ok(())
}

fn caller(ctx: &mut MutationCtx) -> Result<Document<User>> {
    let who = ctx
        .identity()?
        .ok_or_else(|| Error::application("Unauthenticated"))?;
    let users = ctx.db().query::<User>();
    let user = users
        .index(User::BY_TOKEN, who.token_identifier())
        .first()?;
    user.ok_or_else(|| Error::application("UserNotFound"))
}

fn me(ctx: &mut QueryCtx, (): ()) -> Result<Option<String>> {
    let Some(who) = ctx.identity()? else {
        return Ok(None);
    };
    let users = ctx.db().query::<User>();
    let user = users
        .index(User::BY_TOKEN, who.token_identifier())
        .first()?;
    Ok(user.map(|user| user.value.name))
}

fn leave(ctx: &mut MutationCtx, (): ()) -> Result<()> {
    let user = caller(ctx)?;
    Ok(ctx.db().delete(user.id)?)
}

// ---- reminders -------------------------------------------------------------------------------------------------

#[derive(Serialize, Deserialize)]
struct AskReminder {
    about: String,
    after_ms: f64,
}

#[derive(Serialize, Deserialize)]
struct Remind {
    about: String,
    user: DocumentId<User>,
}

fn ask_reminder(ctx: &mut MutationCtx, ask: AskReminder) -> Result<()> {
    let user = caller(ctx)?;
    let delay = Duration::from_millis(ask.after_ms as u64);
    let remind = Remind {
        about: ask.about,
        user: user.id,
    };
    ctx.scheduler()
        .run_after(delay, "reminders:remind", remind)?;
    Ok(())
}

/// Runs later, without an identity: the user was there when it was scheduled, and may be gone.
fn remind(ctx: &mut MutationCtx, remind: Remind) -> Result<()> {
    let user = ctx.db().get(remind.user)?;
    let reminder = Reminder {
        about: remind.about,
        found: user.map(|user| user.value.name),
        identity: ctx.identity()?.is_some(),
    };
    ctx.db().insert(reminder)?;
    Ok(())
}

fn reminders(ctx: &mut QueryCtx, (): ()) -> Result<Vec<Reminder>> {
    let reminders = ctx.db().query::<Reminder>().collect()?;
    Ok(reminders.into_iter().map(|found| found.value).collect())
}

// ---- mails -----------------------------------------------------------------------------------------------------

/// A mail and how often it was tried. The key makes it one mail, however often that is.
#[derive(Serialize, Deserialize)]
struct Mail {
    key: String,
    attempts: f64,
}

/// Takes each mail once by its key. Of each mail it refuses the first attempt, and loses its answer to the second.
#[derive(Default)]
struct Provider {
    attempts: Mutex<BTreeMap<String, u32>>,
    accepted: Mutex<BTreeMap<String, f64>>,
}

impl Provider {
    fn send(&self, key: &str) -> Result<()> {
        let mut attempts = self.attempts.lock();
        let attempt = attempts.entry(key.to_string()).or_default();
        *attempt += 1;
        match *attempt {
            1 => Err(Error::new("503 Service Unavailable")),
            2 => {
                self.accepted.lock().insert(key.to_string(), 1.0);
                Err(Error::new("the connection was lost"))
            }
            // The key was seen before: nothing is sent again.
            _ => Ok(()),
        }
    }
}

const RETRY_AFTER: Duration = Duration::from_millis(20);

async fn welcome(ctx: ActionCtx, mail: Mail, provider: Arc<Provider>) -> Result<()> {
    let mail = Mail {
        attempts: mail.attempts + 1.0,
        ..mail
    };
    match provider.send(&mail.key) {
        Ok(()) => ctx.run_mutation("mails:delivered", mail).await,
        Err(error) => {
            ctx.scheduler()
                .run_after(RETRY_AFTER, "mails:welcome", mail)
                .await?;
            Err(error)
        }
    }
}

fn delivered(ctx: &mut MutationCtx, Mail { key, attempts }: Mail) -> Result<()> {
    ctx.db().insert(Delivered { key, attempts })?;
    Ok(())
}

fn mails(ctx: &mut QueryCtx, (): ()) -> Result<Vec<Delivered>> {
    let mails = ctx.db().query::<Delivered>().collect()?;
    Ok(mails.into_iter().map(|found| found.value).collect())
}

// ---- plans -----------------------------------------------------------------------------------------------------

#[derive(Serialize, Deserialize)]
struct MakePlans {
    batch: String,
    count: f64,
    after_ms: f64,
}

/// How many mutations each planned chain has: each schedules the next.
const CHAIN_LINKS: u32 = 3;

#[derive(Serialize, Deserialize)]
struct Link {
    name: String,
    left: f64,
}

#[derive(Serialize, Deserialize)]
struct Named {
    name: String,
}

fn make_plans(ctx: &mut MutationCtx, plans: MakePlans) -> Result<()> {
    for number in 0..plans.count as u32 {
        let delay = Duration::from_millis(plans.after_ms as u64 * u64::from(number % 7));
        let name = format!("{}/{number}", plans.batch);
        let is_action = number % 3 == 0;
        if is_action {
            let named = Named { name: name.clone() };
            ctx.scheduler().run_after(delay, "plans:act", named)?;
        } else {
            let link = Link {
                name: name.clone(),
                left: f64::from(CHAIN_LINKS),
            };
            ctx.scheduler().run_after(delay, "plans:link", link)?;
        }
        ctx.db().insert(Plan { name, is_action })?;
    }
    Ok(())
}

fn link(ctx: &mut MutationCtx, Link { name, left }: Link) -> Result<()> {
    let left = left - 1.0;
    if left > 0.0 {
        let name = name.clone();
        ctx.scheduler()
            .run_after(Duration::ZERO, "plans:link", Link { name, left })?;
    }
    effect(ctx, Named { name })
}

async fn act(ctx: ActionCtx, named: Named) -> Result<()> {
    ctx.run_mutation("plans:effect", named).await
}

fn effect(ctx: &mut MutationCtx, Named { name }: Named) -> Result<()> {
    ctx.db().insert(Effect { name })?;
    Ok(())
}

fn tick(ctx: &mut MutationCtx, (): ()) -> Result<()> {
    effect(
        ctx,
        Named {
            name: "tick".into(),
        },
    )
}

/// The plans, and their outcomes.
#[derive(Default, Serialize)]
struct Report {
    planned: f64,
    /// Scheduled functions by the kind of their state.
    states: BTreeMap<String, f64>,
    ticks: f64,
    /// Chains that do not have all their effects, or have one twice.
    wrong_chains: Vec<String>,
    /// Actions that had their effect twice.
    doubled_actions: Vec<String>,
    /// Actions that had none.
    lost_actions: f64,
}

fn report(ctx: &mut QueryCtx, (): ()) -> Result<Report> {
    let mut report = Report::default();
    let mut effects: BTreeMap<String, u32> = BTreeMap::new();
    for effect in ctx.db().query::<Effect>().collect()? {
        *effects.entry(effect.value.name).or_default() += 1;
    }
    report.ticks = effects.remove("tick").unwrap_or(0).into();
    for plan in ctx.db().query::<Plan>().collect()? {
        report.planned += 1.0;
        let Plan { name, is_action } = plan.value;
        match (is_action, effects.remove(&name).unwrap_or(0)) {
            (true, 0) => report.lost_actions += 1.0,
            (true, 1) | (false, CHAIN_LINKS) => {}
            (true, _) => report.doubled_actions.push(name),
            (false, _) => report.wrong_chains.push(name),
        }
    }
    // Effects without a plan: functions scheduled by a mutation that did not commit.
    report.wrong_chains.extend(effects.into_keys());
    let tx = ctx.db().transaction();
    let jobs = tx.collect(&Query::table(SCHEDULED_FUNCTIONS))?;
    for job in jobs.into_iter().filter_map(ScheduledFunction::read) {
        let count = report.states.entry(job.state.kind().into()).or_default();
        *count += 1.0;
    }
    Ok(report)
}
