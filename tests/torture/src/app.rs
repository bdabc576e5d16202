//! The app under torture: transactions of steps over lists, accounts, pairs and groups. Each transaction is noted in a
//! journal, and each identity has a user.

use std::time::Duration;

use clap::Parser;
use serde::{Deserialize, Serialize};
use vestibule_server::database::Query;
use vestibule_server::functions::scheduled::{SCHEDULED_FUNCTIONS, ScheduledFunction};
use vestibule_server::prelude::*;

use crate::steps::{BALANCE, Kind, Step, other_side};

/// How the app is started.
#[derive(Parser)]
pub struct Serve {
    #[command(flatten)]
    config: Config,
}

/// Runs the app until it is asked to stop. An empty one waits for its functions to be pushed.
pub async fn serve(Serve { config }: Serve, is_empty: bool) -> anyhow::Result<()> {
    log_to_stderr(config.log_format);
    let signals = StopSignals::listen()?;
    let app = match is_empty {
        true => App::new(Schema::new()),
        false => app(),
    };
    let running = app.start(config).await?;
    println!("The app is at {}", running.url());
    running.until(signals).await;
    Ok(())
}

fn app() -> App {
    let schema = Schema::new()
        .table::<User>()
        .table::<List>()
        .table::<Account>()
        .table::<Side>()
        .table::<Member>()
        .table::<Entry>()
        .table::<Effect>();
    App::new(schema)
        .mutation("ledger:ensure", ensure)
        .provision_with("ledger:ensure")
        .query("ledger:users", |ctx: &mut QueryCtx, at: At| {
            page::<User>(ctx, &at)
        })
        .mutation("ledger:transact", transact)
        .query("ledger:look", look)
        .function(Function::mutation("ledger:effect", effect).internal())
        .query("ledger:journal", |ctx: &mut QueryCtx, at: At| {
            page::<Entry>(ctx, &at)
        })
        .query("ledger:waiting", waiting)
        .query("ledger:effects", |ctx: &mut QueryCtx, at: At| {
            page::<Effect>(ctx, &at)
        })
}

#[derive(Serialize, Deserialize)]
struct User {
    token: String,
}

impl User {
    const BY_TOKEN: Index<User> = Index::new("by_token", &["token"]);
}

impl Table for User {
    const NAME: &'static str = "users";
    const INDEXES: &'static [Index<User>] = &[User::BY_TOKEN];
}

#[derive(Serialize, Deserialize)]
struct List {
    key: String,
    values: Vec<String>,
}

impl List {
    const BY_KEY: Index<List> = Index::new("by_key", &["key"]);
}

impl Table for List {
    const NAME: &'static str = "lists";
    const INDEXES: &'static [Index<List>] = &[List::BY_KEY];
}

#[derive(Serialize, Deserialize)]
struct Account {
    name: String,
    balance: f64,
    changes: f64,
}

impl Account {
    const BY_NAME: Index<Account> = Index::new("by_name", &["name"]);
}

impl Table for Account {
    const NAME: &'static str = "accounts";
    const INDEXES: &'static [Index<Account>] = &[Account::BY_NAME];
}

/// One side of a pair, once it was changed.
#[derive(Serialize, Deserialize)]
struct Side {
    pair: String,
    side: String,
    is_on: bool,
    changes: f64,
}

impl Side {
    const BY_PAIR: Index<Side> = Index::new("by_pair", &["pair", "side"]);
}

impl Table for Side {
    const NAME: &'static str = "sides";
    const INDEXES: &'static [Index<Side>] = &[Side::BY_PAIR];
}

#[derive(Serialize, Deserialize)]
struct Member {
    group: String,
    place: f64,
    name: String,
}

impl Member {
    const BY_PLACE: Index<Member> = Index::new("by_place", &["group", "place"]);
}

impl Table for Member {
    const NAME: &'static str = "members";
    const INDEXES: &'static [Index<Member>] = &[Member::BY_PLACE];
}

/// A transaction that took effect.
#[derive(Serialize, Deserialize)]
struct Entry {
    id: String,
    results: Vec<String>,
    user: Option<String>,
}

impl Table for Entry {
    const NAME: &'static str = "journal";
}

/// A scheduled function that took effect.
#[derive(Serialize, Deserialize)]
struct Effect {
    name: String,
}

impl Table for Effect {
    const NAME: &'static str = "effects";
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct At {
    pagination_opts: PaginationOptions,
}

#[derive(Serialize)]
struct Paged<T> {
    page: Vec<T>,
    cursor: Option<String>,
}

fn page<T: Table + Serialize>(ctx: &mut QueryCtx, at: &At) -> Result<Paged<T>> {
    let page = ctx.db().query::<T>().paginate(&at.pagination_opts)?;
    Ok(Paged {
        page: page.page.into_iter().map(|found| found.value).collect(),
        cursor: (!page.is_done).then_some(page.continue_cursor),
    })
}

fn ensure(ctx: &mut MutationCtx, (): ()) -> Result<()> {
    if caller(ctx)?.is_none() {
        let who = ctx
            .identity()?
            .ok_or_else(|| Error::application("Unauthenticated"))?;
        let token = who.token_identifier().to_string();
        ctx.db().insert(User { token })?;
    }
    Ok(())
}

/// The user of whoever calls, if there is one.
fn caller<'v>(ctx: &mut impl ReadCtx<'v>) -> Result<Option<String>> {
    let Some(who) = ctx.identity()? else {
        return Ok(None);
    };
    let token = who.token_identifier().to_string();
    let users = ctx.db().query::<User>();
    let user = users.index(User::BY_TOKEN, &token).first()?;
    Ok(user.map(|user| user.value.token))
}

#[derive(Deserialize)]
struct Transact {
    id: String,
    steps: Vec<Step>,
}

fn transact(ctx: &mut MutationCtx, Transact { id, steps }: Transact) -> Result<Vec<String>> {
    let mut results = Vec::new();
    for step in &steps {
        results.push(if step.is_read() {
            see(ctx, step)?
        } else {
            act(ctx, &id, step)?
        });
    }
    let user = caller(ctx)?;
    if user.is_none() && ctx.identity()?.is_some() {
        return Err(Error::application("NoUser"));
    }
    ctx.db().insert(Entry {
        id,
        results: results.clone(),
        user,
    })?;
    Ok(results)
}

#[derive(Deserialize)]
struct Look {
    steps: Vec<Step>,
}

fn look(ctx: &mut QueryCtx, Look { steps }: Look) -> Result<Vec<String>> {
    steps.iter().map(|step| see(ctx, step)).collect()
}

/// A step that only reads.
fn see<'v>(ctx: &mut impl ReadCtx<'v>, step: &Step) -> Result<String> {
    match step.kind {
        Kind::Read => {
            let lists = ctx.db().query::<List>();
            let list = lists.index(List::BY_KEY, &step.key).first()?;
            Ok(list.map_or(String::new(), |list| list.value.values.join(",")))
        }
        Kind::Total => {
            let mut all = Vec::new();
            for account in ctx.db().query::<Account>().collect()? {
                let Account {
                    name,
                    balance,
                    changes,
                } = account.value;
                all.push(format!("{name}:{balance}:{changes}"));
            }
            all.sort();
            Ok(all.join(","))
        }
        Kind::Members => members(ctx, &step.key),
        other => Err(Error::new(format!("{other:?} changes something"))),
    }
}

/// The members of a group, by a range of the index.
fn members<'v>(ctx: &mut impl ReadCtx<'v>, group: &str) -> Result<String> {
    let all = ctx.db().query::<Member>();
    let of_group = all.index_range(Member::BY_PLACE, |range| {
        range.eq("group", group).gte("place", 0.0).lt("place", 1.0)
    });
    let found = of_group.collect()?;
    let mut names: Vec<String> = found.into_iter().map(|found| found.value.name).collect();
    names.sort();
    Ok(names.join(","))
}

/// A step that changes something.
fn act(ctx: &mut MutationCtx, id: &str, step: &Step) -> Result<String> {
    match step.kind {
        Kind::Append => append(ctx, step),
        Kind::Transfer => {
            let amount = f64::from(step.amount);
            let from = change(ctx, &step.key, -amount)?;
            let to = change(ctx, &step.other, amount)?;
            Ok(format!("{from},{to}"))
        }
        Kind::Leave | Kind::Return => turn(ctx, step),
        Kind::Join => join(ctx, id, step),
        Kind::Schedule => {
            let effect = Effect {
                name: step.other.clone(),
            };
            let delay = Duration::from_millis(step.amount.into());
            ctx.scheduler().run_after(delay, "ledger:effect", effect)?;
            Ok(String::new())
        }
        Kind::Read | Kind::Total | Kind::Members => see(ctx, step),
    }
}

fn append(ctx: &mut MutationCtx, step: &Step) -> Result<String> {
    let lists = ctx.db().query::<List>();
    let known = lists.index(List::BY_KEY, &step.key).first()?;
    let Some(mut list) = known else {
        let (key, values) = (step.key.clone(), vec![step.other.clone()]);
        ctx.db().insert(List { key, values })?;
        return Ok("0".into());
    };
    let length = list.value.values.len();
    list.value.values.push(step.other.clone());
    let patch = Patch::default().set("values", list.value.values);
    ctx.db().patch(list.id, patch)?;
    Ok(length.to_string())
}

/// Changes a balance, and says how often it was changed before.
fn change(ctx: &mut MutationCtx, name: &str, amount: f64) -> Result<f64> {
    let accounts = ctx.db().query::<Account>();
    let Some(known) = accounts.index(Account::BY_NAME, name).first()? else {
        let (balance, changes) = (BALANCE as f64 + amount, 1.0);
        let name = name.to_string();
        ctx.db().insert(Account {
            name,
            balance,
            changes,
        })?;
        return Ok(0.0);
    };
    let (balance, changes) = (known.balance + amount, known.changes + 1.0);
    let patch = object! { "balance" => balance, "changes" => changes };
    ctx.db().patch(known.id, patch)?;
    Ok(known.changes)
}

fn side(ctx: &mut MutationCtx, pair: &str, side: &str) -> Result<Option<Document<Side>>> {
    let sides = ctx.db().query::<Side>();
    let range = sides.index_range(Side::BY_PAIR, |range| {
        range.eq("pair", pair).eq("side", side)
    });
    Ok(range.first()?)
}

/// One side goes off duty or comes back. The result is how often this side and the other were changed before, and
/// whether this side is on duty now.
fn turn(ctx: &mut MutationCtx, step: &Step) -> Result<String> {
    let own = side(ctx, &step.key, &step.other)?;
    let other = side(ctx, &step.key, other_side(&step.other))?;
    let state = |side: &Option<Document<Side>>| match side {
        Some(side) => (side.is_on, side.changes),
        None => (true, 0.0),
    };
    let ((was_on, changes), (other_is_on, other_changes)) = (state(&own), state(&other));
    let is_on = match step.kind {
        Kind::Leave => was_on && !other_is_on,
        _ => true,
    };
    if is_on != was_on {
        match own {
            Some(own) => {
                let patch = object! { "is_on" => is_on, "changes" => changes + 1.0 };
                ctx.db().patch(own.id, patch)?;
            }
            None => {
                let (pair, side, changes) = (step.key.clone(), step.other.clone(), 1.0);
                ctx.db().insert(Side {
                    pair,
                    side,
                    is_on,
                    changes,
                })?;
            }
        }
    }
    Ok(format!("{changes},{other_changes},{was_on},{is_on}"))
}

fn join(ctx: &mut MutationCtx, id: &str, step: &Step) -> Result<String> {
    let before = members(ctx, &step.key)?;
    let count = before.split(',').filter(|name| !name.is_empty()).count();
    if count < step.amount as usize {
        // Anywhere in the range, so that two who join write different keys.
        let place = f64::from(crc(id)) / f64::from(u32::MAX);
        let (group, name) = (step.key.clone(), id.to_string());
        ctx.db().insert(Member {
            group,
            place: place * 0.999,
            name,
        })?;
    }
    Ok(before)
}

/// Spreads ids over the range.
fn crc(id: &str) -> u32 {
    id.bytes().fold(2_166_136_261, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(16_777_619)
    })
}

/// Scheduled functions that are not done.
fn waiting(ctx: &mut QueryCtx, (): ()) -> Result<f64> {
    let tx = ctx.db().transaction();
    let jobs = tx.collect(&Query::table(SCHEDULED_FUNCTIONS))?;
    let jobs = jobs.into_iter().filter_map(ScheduledFunction::read);
    let is_waiting =
        |job: &ScheduledFunction| ["pending", "inProgress"].contains(&job.state.kind());
    Ok(jobs.filter(is_waiting).count() as f64)
}

fn effect(ctx: &mut MutationCtx, effect: Effect) -> Result<()> {
    ctx.db().insert(effect)?;
    Ok(())
}
