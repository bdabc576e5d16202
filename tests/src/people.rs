//! An app that treats its users as real apps do. It hears of them from their identity provider's webhooks too, keeps
//! deleted users away, and makes more than one document for each.

use std::io::{Read, Write};
use std::net::TcpStream;

use clap::Parser;
use serde::{Deserialize, Serialize};
use vestibule_server::prelude::*;

/// A person, also one who never signed in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Person {
    /// Issuer and subject.
    token: String,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    role: String,
    is_deleted: bool,
    /// The time of the newest event that the identity provider told; 0 before the first.
    told_at: f64,
}

impl Person {
    const BY_TOKEN: Index<Person> = Index::unique("by_token", &["token"]);
    const BY_EMAIL: Index<Person> = Index::unique("by_email", &["email"]);
}

impl Table for Person {
    const NAME: &'static str = "people";
    const INDEXES: &'static [Index<Person>] = &[Person::BY_TOKEN, Person::BY_EMAIL];
}

/// The documents each person has from the beginning.
#[derive(Serialize, Deserialize)]
struct Workspace {
    owner: DocumentId<Person>,
    name: String,
}

impl Workspace {
    const BY_OWNER: Index<Workspace> = Index::unique("by_owner", &["owner"]);
}

impl Table for Workspace {
    const NAME: &'static str = "workspaces";
    const INDEXES: &'static [Index<Workspace>] = &[Workspace::BY_OWNER];
}

/// One document that every first login writes.
#[derive(Serialize, Deserialize)]
struct Welcome {
    people: f64,
}

impl Table for Welcome {
    const NAME: &'static str = "welcomes";
    const INDEXES: &'static [Index<Welcome>] = &[];
}

/// A team that a person belongs to, known before the person may be.
#[derive(Serialize, Deserialize)]
struct Membership {
    token: String,
    team: String,
}

impl Membership {
    const BY_TOKEN: Index<Membership> = Index::new("by_token", &["token"]);
}

impl Table for Membership {
    const NAME: &'static str = "memberships";
    const INDEXES: &'static [Index<Membership>] = &[Membership::BY_TOKEN];
}

/// A webhook's event that was applied.
#[derive(Serialize, Deserialize)]
struct Event {
    event: String,
}

impl Event {
    const BY_EVENT: Index<Event> = Index::unique("by_event", &["event"]);
}

impl Table for Event {
    const NAME: &'static str = "events";
    const INDEXES: &'static [Index<Event>] = &[Event::BY_EVENT];
}

/// How the app is started.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    config: Config,

    /// Names a provisioning function, `none` or, as an app that forgot would, nothing.
    #[arg(long, env = "PEOPLE_PROVISION", default_value = "people:ensure")]
    provision: String,

    /// The address where the provisioning of a slow person stops: a listener that it tells, and that lets it go on with
    /// a byte.
    #[arg(long, env = "PEOPLE_PAUSE")]
    pause: Option<String>,
}

/// Runs the app until it is asked to stop.
pub async fn run() -> anyhow::Result<()> {
    let Arguments {
        config,
        provision,
        pause,
    } = Arguments::parse();
    log_to_stderr(config.log_format);
    let app = app(pause);
    let app = match &*provision {
        "" => app,
        "none" => app.without_provisioning(),
        path => app.provision_with(path),
    };
    let signals = StopSignals::listen()?;
    let running = app.start(config).await?;
    println!("The people are at {}", running.url());
    running.until(signals).await;
    Ok(())
}

fn app(pause: Option<String>) -> App {
    let schema = Schema::new()
        .table::<Person>()
        .table::<Workspace>()
        .table::<Welcome>()
        .table::<Membership>()
        .table::<Event>();
    App::new(schema)
        .mutation("people:ensure", move |ctx: &mut MutationCtx, (): ()| {
            ensure(ctx, pause.as_deref())
        })
        .mutation("people:rename", |ctx: &mut MutationCtx, args: Rename| {
            let person = caller(ctx)?;
            Ok(ctx.db().patch(person.id, object! { "name" => args.name })?)
        })
        .mutation("people:leave", |ctx: &mut MutationCtx, (): ()| {
            let person = caller(ctx)?;
            Ok(ctx.db().delete(person.id)?)
        })
        .mutation("people:loseWorkspace", |ctx: &mut MutationCtx, (): ()| {
            let person = caller(ctx)?.id;
            let found = ctx.db().query::<Workspace>();
            match found.index(Workspace::BY_OWNER, person).unique()? {
                Some(workspace) => Ok(ctx.db().delete(workspace.id)?),
                None => Ok(()),
            }
        })
        .query("people:me", me)
        .query("people:list", |ctx: &mut QueryCtx, (): ()| {
            let people = ctx.db().query::<Person>().collect()?;
            let names = people.into_iter().filter(|person| !person.value.is_deleted);
            Ok(names
                .map(|person| person.value.name)
                .collect::<Vec<String>>())
        })
        .query("people:count", |ctx: &mut QueryCtx, (): ()| {
            Ok(ctx.db().query::<Person>().count()? as f64)
        })
        .query("people:owners", |ctx: &mut QueryCtx, (): ()| {
            let people = ctx.db().query::<Person>().collect()?;
            let owners = people.iter().filter(|person| person.value.role == "owner");
            Ok(owners.count() as f64)
        })
        .query("people:welcomed", |ctx: &mut QueryCtx, (): ()| {
            let welcome = ctx.db().query::<Welcome>().first()?;
            Ok(welcome.map_or(0.0, |welcome| welcome.value.people))
        })
        .function(Function::mutation("webhooks:apply", apply).internal())
        .function(
            Function::mutation("people:undelete", |ctx: &mut MutationCtx, args: Whom| {
                let person = ctx.db().query::<Person>();
                let person = person.index(Person::BY_TOKEN, &args.token).unique()?;
                let person = person.ok_or_else(|| Error::new("there is no such person"))?;
                Ok(ctx
                    .db()
                    .patch(person.id, object! { "is_deleted" => false })?)
            })
            .internal(),
        )
}

#[derive(Deserialize)]
struct Rename {
    name: String,
}

#[derive(Deserialize)]
struct Whom {
    token: String,
}

/// The work of provisioning: makes a missing document, repairs one that is not whole, and refuses a deleted person.
fn ensure(ctx: &mut MutationCtx, pause: Option<&str>) -> Result<()> {
    let who = ctx.identity()?.ok_or_else(unauthenticated)?.clone();
    let email = who.text("email").map(str::to_string);
    let known = ctx.db().query::<Person>();
    let known = known
        .index(Person::BY_TOKEN, who.token_identifier())
        .unique()?;
    let is_new = known.is_none();
    let id = match known {
        Some(person) if person.value.is_deleted => {
            return Err(Error::application(object! { "code" => "Deleted" }));
        }
        Some(person) => {
            if email.is_some() && person.value.email != email {
                check_email(ctx, email.as_deref())?;
                ctx.db()
                    .patch(person.id, Patch::default().set("email", email))?;
            }
            person.id
        }
        None => {
            let name = who.text("name").ok_or_else(|| claim_missing("name"))?;
            check_email(ctx, email.as_deref())?;
            let is_first = ctx.db().query::<Person>().first()?.is_none();
            let id = ctx.db().insert(Person {
                token: who.token_identifier().to_string(),
                name: name.to_string(),
                email,
                role: if is_first { "owner" } else { "member" }.into(),
                is_deleted: false,
                told_at: 0.0,
            })?;
            welcome(ctx)?;
            id
        }
    };
    ensure_workspace(ctx, id)?;
    if let Some(pause) = pause.filter(|_| is_new && who.subject().starts_with("slow")) {
        wait_at(pause);
    }
    Ok(())
}

/// One person's e-mail address belongs to no other person, and links no two identities.
fn check_email(ctx: &mut MutationCtx, email: Option<&str>) -> Result<()> {
    let Some(email) = email else { return Ok(()) };
    let holder = ctx.db().query::<Person>();
    match holder.index(Person::BY_EMAIL, email).unique()? {
        None => Ok(()),
        Some(_) => Err(Error::application(
            object! { "code" => "EmailTaken", "email" => email },
        )),
    }
}

fn welcome(ctx: &mut MutationCtx) -> Result<()> {
    match ctx.db().query::<Welcome>().first()? {
        Some(welcome) => {
            let people = welcome.value.people + 1.0;
            Ok(ctx.db().patch(welcome.id, object! { "people" => people })?)
        }
        None => ctx
            .db()
            .insert(Welcome { people: 1.0 })
            .map(drop)
            .map_err(Into::into),
    }
}

fn ensure_workspace(ctx: &mut MutationCtx, owner: DocumentId<Person>) -> Result<()> {
    let workspace = ctx.db().query::<Workspace>();
    if workspace
        .index(Workspace::BY_OWNER, owner)
        .unique()?
        .is_none()
    {
        ctx.db().insert(Workspace {
            owner,
            name: "Home".into(),
        })?;
    }
    Ok(())
}

/// Tells the test that a transaction has got here, and waits for its word.
fn wait_at(address: &str) {
    let mut test = TcpStream::connect(address).expect("the test listens");
    test.write_all(&[1]).expect("the test listens");
    // A test that has gone lets every caller go on.
    let _ = test.read(&mut [0]);
}

/// The caller's user, with the documents that belong to it.
fn me(ctx: &mut QueryCtx, (): ()) -> Result<Option<Object>> {
    let Some(who) = ctx.identity()? else {
        return Ok(None);
    };
    let token = who.token_identifier();
    let person = ctx.db().query::<Person>();
    let person = person.index(Person::BY_TOKEN, token).unique()?;
    let person = person.ok_or_else(|| Error::application(object! { "code" => "UserNotFound" }))?;
    let workspace = ctx.db().query::<Workspace>();
    let workspace = workspace.index(Workspace::BY_OWNER, person.id).unique()?;
    let teams = ctx.db().query::<Membership>();
    let teams = teams.index(Membership::BY_TOKEN, token).collect()?;
    let teams = teams.into_iter().map(|team| Value::from(team.value.team));
    Ok(Some(object! {
        "name" => person.value.name,
        "email" => Nullable(person.value.email),
        "role" => person.value.role,
        "workspace" => Nullable(workspace.map(|workspace| workspace.value.name)),
        "teams" => Value::Array(teams.collect()),
    }))
}

/// An identity provider's news by webhook, checked and signed before it comes here.
#[derive(Deserialize)]
struct Told {
    event: String,
    kind: String,
    token: String,
    at: f64,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    team: Option<String>,
}

/// Applies an event, once, and returns its outcome.
fn apply(ctx: &mut MutationCtx, told: Told) -> Result<&'static str> {
    let known = ctx.db().query::<Event>();
    if known
        .index(Event::BY_EVENT, &told.event)
        .unique()?
        .is_some()
    {
        return Ok("known");
    }
    ctx.db().insert(Event {
        event: told.event.clone(),
    })?;
    if let Some(team) = told.team {
        let token = told.token;
        ctx.db().insert(Membership { token, team })?;
        return Ok("joined");
    }
    let person = ctx.db().query::<Person>();
    match person.index(Person::BY_TOKEN, &told.token).unique()? {
        None => {
            ctx.db().insert(Person {
                token: told.token,
                name: told.name.unwrap_or_else(|| "Anonymous".into()),
                email: None,
                role: told.role.unwrap_or_else(|| "member".into()),
                is_deleted: told.kind == "deleted",
                told_at: told.at,
            })?;
            Ok("inserted")
        }
        Some(person) if person.value.is_deleted => Ok("deleted before"),
        Some(person) if told.at <= person.value.told_at => Ok("older"),
        Some(person) => {
            let mut changed = person.value;
            changed.told_at = told.at;
            changed.is_deleted = told.kind == "deleted";
            if changed.is_deleted {
                changed.email = None;
            }
            changed.name = told.name.unwrap_or(changed.name);
            changed.role = told.role.unwrap_or(changed.role);
            ctx.db().replace(person.id, changed)?;
            Ok("updated")
        }
    }
}

fn caller(ctx: &mut MutationCtx) -> Result<Document<Person>> {
    let who = ctx.identity()?.ok_or_else(unauthenticated)?;
    let person = ctx.db().query::<Person>();
    let person = person
        .index(Person::BY_TOKEN, who.token_identifier())
        .unique()?;
    person.ok_or_else(|| Error::application(object! { "code" => "UserNotFound" }))
}

fn unauthenticated() -> Error {
    Error::application(object! { "code" => "Unauthenticated" })
}

fn claim_missing(claim: &str) -> Error {
    Error::application(object! { "code" => "ClaimMissing", "claim" => claim })
}
