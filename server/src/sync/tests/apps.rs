//! The functions that the tests call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use vestibule_schema::id::DocumentId;
use vestibule_schema::object;
use vestibule_schema::table::{Index, Schema, Table};
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::Value;

use super::harness::{OpenAtEnd, Server, Valve};
use crate::database::PaginationOptions;
use crate::functions::{ActionCtx, Error, Function, MutationCtx, QueryCtx, Result};
use crate::sync::SyncOptions;

#[derive(Serialize, Deserialize)]
pub struct Note {
    pub text: String,
}

impl Note {
    pub const BY_TEXT: Index<Note> = Index::new("by_text", &["text"]);
}

impl Table for Note {
    const NAME: &'static str = "notes";
    const INDEXES: &'static [Index<Note>] = &[Note::BY_TEXT];
}

#[derive(Serialize, Deserialize)]
pub struct User {
    pub name: String,
    pub token: String,
}

impl User {
    pub const BY_TOKEN: Index<User> = Index::unique("by_token", &["token"]);
}

impl Table for User {
    const NAME: &'static str = "users";
    const INDEXES: &'static [Index<User>] = &[User::BY_TOKEN];
}

#[derive(Deserialize)]
pub struct Text {
    pub text: String,
}

#[derive(Deserialize)]
struct Bytes {
    bytes: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageArgs {
    pagination_opts: PaginationOptions,
}

/// One start of a function that looked at the identity.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    pub function: &'static str,
    pub subject: Option<String>,
    /// The commit it saw, or makes.
    pub ts: Timestamp,
}

/// The state that the functions share with the test.
#[derive(Default)]
pub struct Hooks {
    /// Where `users:ensureUser` stops, behind its write.
    pub ensuring: Arc<Valve>,
    /// Where `notes:slow` stops.
    pub slow: Arc<Valve>,
    /// Where `notes:wait` waits.
    pub waiting: Arc<Valves>,
    /// Executions of `notes:list`.
    pub lists: AtomicUsize,
    pub starts: Mutex<Vec<Start>>,
}

/// Where actions wait.
pub struct Valves {
    pub begun: Semaphore,
    pub let_go: Semaphore,
}

impl Default for Valves {
    fn default() -> Self {
        Valves {
            begun: Semaphore::new(0),
            let_go: Semaphore::new(0),
        }
    }
}

impl Hooks {
    fn started(&self, function: &'static str, subject: Option<&str>, ts: Timestamp) {
        self.starts.lock().push(Start {
            function,
            subject: subject.map(str::to_string),
            ts,
        });
    }

    pub fn starts_of(&self, function: &str) -> Vec<Start> {
        self.starts
            .lock()
            .iter()
            .filter(|start| start.function == function)
            .cloned()
            .collect()
    }
}

/// A server with its hooks.
pub struct App {
    pub server: Server,
    pub hooks: Arc<Hooks>,
    _open_at_end: [OpenAtEnd; 2],
}

impl App {
    /// An app that provisions its users.
    pub fn start() -> App {
        App::start_with(SyncOptions {
            redact: false,
            ..SyncOptions::default()
        })
    }

    pub fn start_with(options: SyncOptions) -> App {
        App::build(Some("users:ensureUser"), options)
    }

    /// An app that said it provisions no identities.
    pub fn without_gate() -> App {
        App::build(
            None,
            SyncOptions {
                redact: false,
                ..SyncOptions::default()
            },
        )
    }

    fn build(provision_with: Option<&str>, options: SyncOptions) -> App {
        let hooks = Arc::new(Hooks::default());
        let schema = Schema::new().table::<Note>().table::<User>();
        let server = Server::start_with(schema, functions(&hooks), provision_with, options);
        let open_at_end = [
            OpenAtEnd(hooks.ensuring.clone()),
            OpenAtEnd(hooks.slow.clone()),
        ];
        App {
            server,
            hooks,
            _open_at_end: open_at_end,
        }
    }
}

fn functions(hooks: &Arc<Hooks>) -> Vec<Function> {
    let mut functions = notes(hooks);
    functions.extend(users(hooks));
    functions.extend(actions(hooks));
    functions
}

fn notes(hooks: &Arc<Hooks>) -> Vec<Function> {
    let (listing, slow) = (hooks.clone(), hooks.slow.clone());
    vec![
        Function::mutation("notes:add", add),
        Function::mutation(
            "notes:fail",
            |ctx: &mut MutationCtx, (): ()| -> Result<()> {
                ctx.db().insert(Note {
                    text: "never".into(),
                })?;
                Err(Error::application(object! { "code" => "FULL" }))
            },
        ),
        Function::mutation("notes:panic", |_: &mut MutationCtx, (): ()| -> Result<()> {
            panic!("boom")
        }),
        Function::mutation("notes:nothing", |_: &mut MutationCtx, (): ()| Ok(())),
        Function::mutation("notes:slow", move |ctx: &mut MutationCtx, args: Text| {
            let id = add(ctx, args)?;
            slow.pass();
            Ok(id)
        }),
        Function::query("notes:list", move |ctx: &mut QueryCtx, (): ()| {
            listing.lists.fetch_add(1, Ordering::SeqCst);
            list(ctx)
        }),
        Function::query("notes:count", |ctx: &mut QueryCtx, (): ()| {
            Ok(ctx.db().query::<Note>().count()? as f64)
        }),
        Function::query("notes:has", |ctx: &mut QueryCtx, args: Text| {
            Ok(ctx
                .db()
                .query::<Note>()
                .index(Note::BY_TEXT, &args.text)
                .first()?
                .is_some())
        }),
        Function::query("notes:page", |ctx: &mut QueryCtx, args: PageArgs| {
            let range = |range| range;
            let page = ctx
                .db()
                .query::<Note>()
                .index_range(Note::BY_TEXT, range)
                .paginate(&args.pagination_opts)?;
            Ok(page.map(|note| note.value.text))
        }),
        Function::query("notes:loud", |ctx: &mut QueryCtx, (): ()| {
            ctx.console().log("listing");
            ctx.console().warn("loudly");
            Ok(ctx.db().query::<Note>().count()? as f64)
        }),
        Function::query("notes:refuse", |ctx: &mut QueryCtx, (): ()| -> Result<()> {
            ctx.console().log("refusing");
            Err(Error::application(object! { "code" => "NO" }))
        }),
        Function::query(
            "notes:panicQuery",
            |_: &mut QueryCtx, (): ()| -> Result<()> { panic!("boom") },
        ),
        Function::query("notes:broken", |_: &mut QueryCtx, (): ()| -> Result<()> {
            Err(Error::new("out of order"))
        }),
        Function::query("notes:big", |_: &mut QueryCtx, args: Bytes| {
            Ok("é".repeat(args.bytes as usize / 2))
        }),
        Function::query("notes:secret", |_: &mut QueryCtx, (): ()| Ok("internal")).internal(),
    ]
}

fn add(ctx: &mut MutationCtx, args: Text) -> Result<DocumentId<Note>> {
    ctx.console().log("adding");
    Ok(ctx.db().insert(Note { text: args.text })?)
}

fn list(ctx: &mut QueryCtx) -> Result<Vec<String>> {
    let notes = ctx.db().query::<Note>().collect()?;
    Ok(notes.into_iter().map(|note| note.value.text).collect())
}

fn users(hooks: &Arc<Hooks>) -> Vec<Function> {
    let (ensuring, me_hooks, who_hooks, maybe_hooks) =
        (hooks.clone(), hooks.clone(), hooks.clone(), hooks.clone());
    vec![
        Function::mutation("users:ensureUser", move |ctx: &mut MutationCtx, (): ()| {
            ensure_user(ctx, &ensuring)
        }),
        Function::query("users:me", move |ctx: &mut QueryCtx, (): ()| {
            let who = ctx.identity()?;
            me_hooks.started(
                "users:me",
                who.as_ref().map(|who| who.subject()),
                ctx.snapshot_ts(),
            );
            let Some(who) = who else { return Ok(None) };
            let user = ctx
                .db()
                .query::<User>()
                .index(User::BY_TOKEN, who.token_identifier())
                .unique()?;
            let user =
                user.ok_or_else(|| Error::application(object! { "code" => "UserNotFound" }))?;
            Ok(Some(user.value.name))
        }),
        Function::query("users:meIfAnybody", move |ctx: &mut QueryCtx, (): ()| {
            let users = ctx.db().query::<User>().count()?;
            if users == 0 {
                return Ok(None);
            }
            let who = ctx.identity()?;
            maybe_hooks.started(
                "users:meIfAnybody",
                who.as_ref().map(|who| who.subject()),
                ctx.snapshot_ts(),
            );
            Ok(Some(who.map_or("nobody".to_string(), |who| {
                who.subject().to_string()
            })))
        }),
        Function::mutation("users:leave", |ctx: &mut MutationCtx, (): ()| {
            let who = ctx.identity()?.ok_or_else(|| Error::new("nobody"))?;
            let users = ctx.db().query::<User>();
            let user = users.index(User::BY_TOKEN, who.token_identifier());
            let user = user.unique()?.ok_or_else(|| Error::new("gone"))?;
            Ok(ctx.db().delete(user.id)?)
        }),
        Function::query("users:claims", |ctx: &mut QueryCtx, (): ()| {
            let who = ctx.identity()?;
            Ok(who.map_or(Value::Null, |who| {
                who.text("email").map_or(Value::Null, Value::from)
            }))
        }),
        Function::query("users:count", |ctx: &mut QueryCtx, (): ()| {
            Ok(ctx.db().query::<User>().count()? as f64)
        }),
        Function::mutation("users:whoami", move |ctx: &mut MutationCtx, (): ()| {
            let who = ctx.identity()?;
            who_hooks.started(
                "users:whoami",
                who.as_ref().map(|who| who.subject()),
                ctx.commit_ts(),
            );
            let Some(who) = who else { return Ok(None) };
            let user = ctx
                .db()
                .query::<User>()
                .index(User::BY_TOKEN, who.token_identifier())
                .unique()?;
            Ok(Some(
                user.ok_or_else(|| Error::new("User not found"))?.value.name,
            ))
        }),
    ]
}

fn ensure_user(ctx: &mut MutationCtx, hooks: &Hooks) -> Result<DocumentId<User>> {
    let who = ctx.identity()?.ok_or_else(|| Error::new("nobody"))?;
    hooks.started("users:ensureUser", Some(who.subject()), ctx.commit_ts());
    if let Some(user) = ctx
        .db()
        .query::<User>()
        .index(User::BY_TOKEN, who.token_identifier())
        .unique()?
    {
        return Ok(user.id);
    }
    if who.subject().starts_with("stranger") {
        return Err(Error::application(object! { "code" => "NotInvited" }));
    }
    assert!(!who.subject().starts_with("jinx"), "ensureUser broke");
    let name = who.text("name").unwrap_or("Anonymous").to_string();
    let id = ctx.db().insert(User {
        name,
        token: who.token_identifier().to_string(),
    })?;
    hooks.ensuring.pass();
    Ok(id)
}

fn actions(hooks: &Arc<Hooks>) -> Vec<Function> {
    let (waiting, who_hooks) = (hooks.waiting.clone(), hooks.clone());
    vec![
        Function::action("notes:echo", |ctx: ActionCtx, args: Text| async move {
            ctx.console(|console| console.info("echoing"));
            Ok(args.text)
        }),
        Function::action("notes:wait", move |_: ActionCtx, (): ()| {
            let waiting = waiting.clone();
            async move {
                waiting.begun.add_permits(1);
                waiting.let_go.acquire().await.map_err(Error::new)?.forget();
                Ok("waited")
            }
        }),
        Function::action("notes:addTwo", |ctx: ActionCtx, (): ()| async move {
            for text in ["one", "two"] {
                ctx.run_mutation::<Value>("notes:add", object! { "text" => text })
                    .await?;
            }
            ctx.run_query::<f64>("notes:count", ()).await
        }),
        Function::action("notes:refuseToAct", |_: ActionCtx, (): ()| async move {
            Err::<(), _>(Error::application(object! { "code" => "NO" }))
        }),
        Function::action("users:act", move |ctx: ActionCtx, (): ()| {
            let hooks = who_hooks.clone();
            async move {
                let who = ctx.identity()?;
                hooks.started(
                    "users:act",
                    who.as_ref().map(|who| who.subject()),
                    Timestamp::ZERO,
                );
                ctx.run_query::<Option<String>>("users:me", ()).await
            }
        }),
    ]
}
