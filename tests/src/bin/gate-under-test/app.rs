//! An app whose functions do little but record the identity they run as.
//!
//! How a person's provisioning goes is the beginning of their subject: `refuse-…`, `fail-…`, `panic-…`, `flaky-…`,
//! `slow-…`; any other is let in. All of them write first, so that what is undone can be seen to be undone.

use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use vestibule_server::database::Limits;
use vestibule_server::prelude::*;
use vestibule_server::sync::SyncOptions;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct User {
    token: String,
}

impl User {
    const BY_TOKEN: Index<User> = Index::unique("by_token", &["token"]);
}

impl Table for User {
    const NAME: &'static str = "users";
    const INDEXES: &'static [Index<User>] = &[User::BY_TOKEN];
}

/// Made together with the user, or not at all.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Setting {
    token: String,
}

impl Setting {
    const BY_TOKEN: Index<Setting> = Index::new("by_token", &["token"]);
}

impl Table for Setting {
    const NAME: &'static str = "settings";
    const INDEXES: &'static [Index<Setting>] = &[Setting::BY_TOKEN];
}

/// The identity the client meant to call as, and the one the call ran as.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    meant: Option<String>,
    ran_as: Option<String>,
    /// The client's name for it.
    #[serde(default)]
    mark: Option<String>,
}

impl Note {
    const BY_AUTHOR: Index<Note> = Index::new("by_author", &["ranAs"]);
}

impl Table for Note {
    const NAME: &'static str = "notes";
    const INDEXES: &'static [Index<Note>] = &[Note::BY_AUTHOR];
}

/// One document that every note changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pulse {
    beats: f64,
}

impl Table for Pulse {
    const NAME: &'static str = "pulse";
    const INDEXES: &'static [Index<Pulse>] = &[];
}

#[derive(Clone, Serialize, Deserialize)]
struct Meant {
    meant: Option<String>,
    #[serde(default)]
    mark: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct TokenArgs {
    token: String,
}

/// Documents that a mutation may write; `fail-…` writes more.
const DOCUMENTS_WRITTEN_MAX: usize = 64;
/// How long the slow ones take, on the lane.
const SLOW: Duration = Duration::from_millis(3);
/// Nothing partial is sent for this long, shorter than in production because every schedule would wait for it.
const GRACE: Duration = Duration::from_millis(15);
/// Queries that a connection may watch.
pub const SUBSCRIPTIONS_MAX: usize = 32;

/// The app.
pub fn app() -> App {
    let schema = Schema::new()
        .table::<User>()
        .table::<Setting>()
        .table::<Note>()
        .table::<Pulse>();
    App::new(schema)
        .mutation("users:ensureUser", ensure_user)
        .query("users:me", me)
        .query("users:whoami", |ctx: &mut QueryCtx, (): ()| whoami(ctx))
        .query("users:rows", rows)
        .query("notes:mine", mine)
        .query("notes:written", written)
        .query("notes:pulse", pulse)
        .mutation("notes:write", write)
        .action("notes:act", act)
        .provision_with("users:ensureUser")
        .limits(Limits {
            documents_written_max: DOCUMENTS_WRITTEN_MAX,
            ..Limits::default()
        })
        .sync_options(options())
}

/// The same without its functions, which are pushed: those of `tests/apps/gate`.
pub fn pushed() -> App {
    App::new(Schema::new())
        .provision_as_deployed()
        .sync_options(options())
}

fn options() -> SyncOptions {
    SyncOptions {
        gate_grace: GRACE,
        first_query_set_grace: GRACE,
        first_mutations_grace: GRACE,
        subscriptions_max: SUBSCRIPTIONS_MAX,
        ..SyncOptions::default()
    }
}

/// Those whose first run broke.
static BROKE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn ensure_user(ctx: &mut MutationCtx, (): ()) -> Result<bool> {
    let identity = ctx.identity()?.ok_or_else(|| coded("Nobody"))?;
    let token = identity.token_identifier().to_string();
    let found = ctx
        .db()
        .query::<User>()
        .index(User::BY_TOKEN, &token)
        .unique()?;
    if found.is_some() {
        return Ok(false);
    }
    ctx.db().insert(User {
        token: token.clone(),
    })?;
    let manner = identity.subject().split('-').next().unwrap_or_default();
    match manner {
        "refuse" => return Err(coded("NotInvited")),
        "fail" => {
            for _ in 0..=DOCUMENTS_WRITTEN_MAX {
                ctx.db().insert(Setting {
                    token: token.clone(),
                })?;
            }
        }
        "panic" => panic!("as its subject asks"),
        "flaky" if BROKE.lock().insert(token.clone()) => panic!("the first time"),
        "slow" => std::thread::sleep(SLOW),
        _ => {}
    }
    ctx.db().insert(Setting { token })?;
    Ok(true)
}

fn coded(code: &str) -> Error {
    Error::application(object! { "code" => code })
}

/// The caller's token identifier, for an identity whose user is there and whole.
fn me(ctx: &mut QueryCtx, (): ()) -> Result<Option<String>> {
    let Some(token) = whoami(ctx)? else {
        return Ok(None);
    };
    let users = ctx
        .db()
        .query::<User>()
        .index(User::BY_TOKEN, &token)
        .count()?;
    let settings = ctx
        .db()
        .query::<Setting>()
        .index(Setting::BY_TOKEN, &token)
        .count()?;
    match (users, settings) {
        (0, _) => Err(coded("UserNotFound")),
        (1, 1) => Ok(Some(token)),
        _ => Err(coded("HalfUser")),
    }
}

fn whoami(ctx: &mut QueryCtx) -> Result<Option<String>> {
    Ok(ctx
        .identity()?
        .map(|identity| identity.token_identifier().to_string()))
}

/// The number of documents an identity has in each table that provisioning writes.
fn rows(ctx: &mut QueryCtx, TokenArgs { token }: TokenArgs) -> Result<Vec<f64>> {
    let users = ctx.db().query::<User>().index(User::BY_TOKEN, &token);
    let users = users.count()?;
    let settings = ctx.db().query::<Setting>().index(Setting::BY_TOKEN, &token);
    Ok(vec![users as f64, settings.count()? as f64])
}

/// The caller's notes.
fn mine(ctx: &mut QueryCtx, (): ()) -> Result<Option<Vec<Note>>> {
    let Some(token) = whoami(ctx)? else {
        return Ok(None);
    };
    let notes = ctx
        .db()
        .query::<Note>()
        .index(Note::BY_AUTHOR, &token)
        .collect()?;
    Ok(Some(
        notes.into_iter().map(|note| note.value.clone()).collect(),
    ))
}

/// The marks of an identity's notes, in the order in which they were written.
fn written(ctx: &mut QueryCtx, TokenArgs { token }: TokenArgs) -> Result<Vec<String>> {
    let notes = ctx.db().query::<Note>().index(Note::BY_AUTHOR, &token);
    let notes = notes.collect()?;
    let marks = notes.iter().filter_map(|note| note.value.mark.clone());
    Ok(marks.collect())
}

/// The same result for all callers, without an identity.
fn pulse(ctx: &mut QueryCtx, (): ()) -> Result<f64> {
    let pulse = ctx.db().query::<Pulse>().first()?;
    Ok(pulse.map_or(0.0, |pulse| pulse.beats))
}

fn write(ctx: &mut MutationCtx, Meant { meant, mark }: Meant) -> Result<Note> {
    let ran_as = ctx
        .identity()?
        .map(|identity| identity.token_identifier().to_string());
    if let Some(token) = &ran_as {
        let users = ctx.db().query::<User>().index(User::BY_TOKEN, token);
        if users.count()? == 0 {
            return Err(coded("UserNotFound"));
        }
    }
    let note = Note {
        meant,
        ran_as,
        mark,
    };
    ctx.db().insert(note.clone())?;
    match ctx.db().query::<Pulse>().first()? {
        Some(pulse) => {
            let beats = object! { "beats" => pulse.beats + 1.0 };
            ctx.db().patch(pulse.id, beats)?;
        }
        None => {
            ctx.db().insert(Pulse { beats: 1.0 })?;
        }
    }
    Ok(note)
}

async fn act(ctx: ActionCtx, args: Meant) -> Result<Note> {
    let ran_as = ctx
        .identity()?
        .map(|identity| identity.token_identifier().to_string());
    let note: Note = ctx.run_mutation("notes:write", args.clone()).await?;
    if note.ran_as != ran_as {
        return Err(coded("AnotherIdentity"));
    }
    Ok(note)
}
