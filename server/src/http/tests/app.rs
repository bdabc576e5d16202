//! The functions that these tests call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use vestibule_schema::object;
use vestibule_schema::table::{Index, Schema, Table};
use vestibule_schema::value::Value;

use http::header::{CONNECTION, CONTENT_LENGTH, SET_COOKIE};
use http::{HeaderValue, Method, StatusCode};

use super::arriving;
use crate::functions::{
    ActionCtx, Error, Function, HTTP_RESPONSE_BYTES_MAX, HttpActionCtx, HttpRequest, HttpResponse,
    HttpRoute, MutationCtx, NewFile, QueryCtx, Result,
};

#[derive(Serialize, Deserialize)]
struct Note {
    text: String,
}

impl Table for Note {
    const NAME: &'static str = "notes";
}

#[derive(Serialize, Deserialize)]
struct User {
    subject: String,
}

impl User {
    const BY_SUBJECT: Index<User> = Index::new("by_subject", &["subject"]);
}

impl Table for User {
    const NAME: &'static str = "users";
    const INDEXES: &'static [Index<User>] = &[User::BY_SUBJECT];
}

#[derive(Serialize, Deserialize)]
struct Add {
    text: String,
}

#[derive(Deserialize)]
struct Minutes {
    minutes: f64,
}

#[derive(Deserialize)]
struct File {
    id: String,
}

pub fn schema() -> Schema {
    Schema::new().table::<Note>().table::<User>()
}

/// Holds an action back until the test lets it go.
#[derive(Clone, Default)]
pub struct Latch {
    pub entered: Arc<Notify>,
    pub release: Arc<Notify>,
    pub guarded: Guarded,
}

pub type Meanwhile = Box<dyn Fn() + Send>;

/// Counts the functions `guarded:*` that began, among them the one that provisions.
#[derive(Clone, Default)]
pub struct Guarded {
    began: Arc<AtomicUsize>,
    /// Called while an identity is provisioned.
    pub meanwhile: Arc<Mutex<Option<Meanwhile>>>,
}

impl Guarded {
    pub fn began(&self) -> usize {
        self.began.load(Ordering::SeqCst)
    }

    fn begin(&self) {
        self.began.fetch_add(1, Ordering::SeqCst);
    }

    fn functions(&self) -> Vec<Function> {
        let [reads, writes, acts, ensures] = [(); 4].map(|()| self.clone());
        vec![
            Function::query("guarded:query", move |_, _: ()| {
                reads.begin();
                Ok("read")
            }),
            Function::mutation("guarded:mutation", move |ctx, _: ()| {
                writes.begin();
                let text = "written".to_string();
                add(ctx, Add { text })
            }),
            Function::action("guarded:action", move |_: ActionCtx, _: ()| {
                acts.begin();
                async { Ok("acted") }
            }),
            Function::mutation("guarded:ensure", move |ctx, _: ()| {
                ensures.begin();
                if let Some(meanwhile) = &*ensures.meanwhile.lock() {
                    meanwhile();
                }
                ensure(ctx, ())
            }),
        ]
    }
}

pub fn functions(latch: Latch) -> Vec<Function> {
    let guarded = latch.guarded.functions();
    let wait = move |_: ActionCtx, _: ()| {
        let latch = latch.clone();
        async move {
            latch.entered.notify_one();
            latch.release.notified().await;
            Ok("released")
        }
    };
    let others = vec![
        Function::query("notes:count", |ctx, _: ()| {
            Ok(ctx.db().query::<Note>().count()? as f64)
        }),
        Function::query("notes:texts", |ctx, _: ()| {
            let notes = ctx.db().query::<Note>().collect()?;
            Ok(notes
                .iter()
                .map(|note| note.text.clone())
                .collect::<Vec<_>>())
        }),
        Function::query("notes:hidden", |_, _: ()| Ok("hidden")).internal(),
        Function::mutation("notes:add", add),
        Function::mutation("notes:add_and_fail", |ctx, args: Add| -> Result<()> {
            add(ctx, args)?;
            Err(Error::application(
                object! { "code" => "FULL", "seats" => 3_i64 },
            ))
        }),
        Function::mutation("notes:later", |ctx, minutes: Minutes| {
            let delay = Duration::from_secs_f64(minutes.minutes * 60.0);
            let text = "late".to_string();
            let id = ctx
                .scheduler()
                .run_after(delay, "notes:add", Add { text })?;
            Ok(id.to_string())
        }),
        Function::mutation("users:ensure", ensure),
        Function::mutation("users:break", |_, _: ()| -> Result<()> {
            panic!("a bug in the app")
        }),
        Function::mutation("users:make", |ctx, user: User| {
            ctx.db().insert(user)?;
            Ok(())
        }),
        Function::query("users:me", |ctx, _: ()| {
            Ok(ctx.identity()?.map(|who| who.subject().to_string()))
        }),
        Function::query("users:count", |ctx, _: ()| {
            Ok(ctx.db().query::<User>().count()? as f64)
        }),
        Function::query("users:knows", |ctx: &mut QueryCtx<'_>, _: ()| {
            let Some(who) = ctx.identity()? else {
                return Ok(false);
            };
            let users = ctx.db().query::<User>().collect()?;
            Ok(users.iter().any(|user| user.subject == who.subject()))
        }),
        Function::mutation(
            "users:knows_to_write",
            |ctx: &mut MutationCtx<'_>, _: ()| {
                let Some(who) = ctx.identity()? else {
                    return Ok(false);
                };
                let users = ctx.db().query::<User>().collect()?;
                Ok(users.iter().any(|user| user.subject == who.subject()))
            },
        ),
        Function::action("users:knows_to_act", |ctx: ActionCtx, _: ()| async move {
            ctx.run_query::<bool>("users:knows", ()).await
        }),
        Function::query("odd:values", |_, _: ()| Ok(odd_values())),
        Function::query("odd:echo", |ctx: &mut QueryCtx<'_>, args: Seats| {
            ctx.console().log("echoed");
            Ok(object! { "seats" => args.seats })
        }),
        Function::query("odd:fails", |_, _: ()| -> Result<()> {
            Err(Error::new("nope"))
        }),
        Function::query("odd:panics", |_, _: ()| -> Result<()> {
            panic!("a bug in the app")
        }),
        Function::action("acts:hello", |ctx: ActionCtx, _: ()| async move {
            ctx.run_query::<f64>("notes:count", ()).await
        }),
        Function::action("acts:wait", wait),
        Function::action("files:keep", |ctx: ActionCtx, add: Add| async move {
            let file = NewFile::new(add.text).content_type("text/plain");
            Ok(ctx.storage().store(file).await?.to_string())
        }),
        Function::query("files:url", |ctx, file: File| {
            ctx.storage().get_url(file.id)
        }),
        Function::mutation("files:remove", |ctx, file: File| {
            ctx.storage().delete(file.id)
        }),
    ];
    guarded.into_iter().chain(others).collect()
}

/// The HTTP actions.
pub fn http_routes(latch: Latch) -> Vec<HttpRoute> {
    let held = latch.clone();
    let wait = move |_: HttpActionCtx, _: HttpRequest| {
        let latch = held.clone();
        async move {
            latch.entered.notify_one();
            latch.release.notified().await;
            Ok(HttpResponse::text(StatusCode::OK, "released"))
        }
    };
    let routes = vec![
        HttpRoute::path(Method::POST, "/tell", tell),
        HttpRoute::path(Method::GET, "/tell", tell),
        HttpRoute::path_prefix(Method::PUT, "/files/", tell),
        HttpRoute::path(Method::GET, "/", tell),
        HttpRoute::path(Method::OPTIONS, "/open", async |_, _| {
            let origin = http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
            let everybody = HeaderValue::from_static("*");
            Ok(HttpResponse::empty(StatusCode::NO_CONTENT).header(origin, everybody))
        }),
        HttpRoute::path(Method::POST, "/panic", async |_, request: HttpRequest| {
            panic!("a bug that quotes {}", request.text()?)
        }),
        HttpRoute::path(Method::POST, "/throw", async |_, _| {
            Err(Error::application(object! { "code" => "FULL" }))
        }),
        HttpRoute::path(Method::POST, "/status", async |_, request: HttpRequest| {
            let status: u16 = request.json()?;
            Ok(HttpResponse::empty(StatusCode::from_u16(status)?))
        }),
        HttpRoute::path(Method::GET, "/long", async |_, _| {
            let text = "x".repeat(HTTP_RESPONSE_BYTES_MAX + 1);
            Ok(HttpResponse::text(StatusCode::OK, text))
        }),
        HttpRoute::path(Method::GET, "/framed", async |_, _| {
            let wrong = HeaderValue::from_static("7");
            let cookie = |text| HeaderValue::from_static(text);
            Ok(HttpResponse::text(StatusCode::CREATED, "framed")
                .header(CONTENT_LENGTH, wrong.clone())
                .header(CONNECTION, wrong)
                .header(SET_COOKIE, cookie("a=1"))
                .header(SET_COOKIE, cookie("b=2")))
        }),
        HttpRoute::path(Method::POST, "/add", async |ctx, request: HttpRequest| {
            let text = request.text()?;
            let count: f64 = ctx
                .run_mutation("notes:add", object! { "text" => text })
                .await?;
            let hidden: String = ctx.run_query("notes:hidden", ()).await?;
            let acted: f64 = ctx.run_action("acts:hello", ()).await?;
            HttpResponse::json(StatusCode::OK, &(count, hidden, acted))
        }),
        HttpRoute::path(Method::GET, "/me", async |ctx, _| {
            let who = ctx.identity()?;
            let asked: Option<String> = ctx.run_query("users:me", ()).await?;
            let users: f64 = ctx.run_query("users:count", ()).await?;
            let who = who.map(|who| who.subject().to_string());
            HttpResponse::json(StatusCode::OK, &(who, asked, users))
        }),
        HttpRoute::path(Method::GET, "/knows", async |ctx, _| {
            let known: bool = ctx.run_query("users:knows", ()).await?;
            HttpResponse::json(StatusCode::OK, &known)
        }),
        HttpRoute::path(Method::GET, "/unasked", async |ctx, _| {
            let users: f64 = ctx.run_query("users:count", ()).await?;
            let is_known = ctx.identity().is_ok();
            HttpResponse::json(StatusCode::OK, &(users, is_known))
        }),
        HttpRoute::path(Method::GET, "/nested", async |ctx, _| {
            let asked: Option<String> = ctx.run_query("users:me", ()).await?;
            HttpResponse::json(StatusCode::OK, &asked)
        }),
        HttpRoute::path(Method::GET, "/deep", async |ctx, _| {
            let known: bool = ctx.run_action("users:knows_to_act", ()).await?;
            HttpResponse::json(StatusCode::OK, &known)
        }),
        HttpRoute::path(Method::GET, "/writes", async |ctx, _| {
            let known: bool = ctx.run_mutation("users:knows_to_write", ()).await?;
            HttpResponse::json(StatusCode::OK, &known)
        }),
        HttpRoute::path(Method::GET, "/wait", wait),
    ];
    routes.into_iter().chain(arriving::routes(latch)).collect()
}

/// Tells what it was asked.
async fn tell(_: HttpActionCtx, request: HttpRequest) -> Result<HttpResponse> {
    let told = serde_json::json!({
        "method": request.method.as_str(),
        "path": request.path,
        "query": request.query,
        "b": request.parameter("b"),
        "x": request.header("x-one"),
        "body": request.body.to_vec(),
    });
    HttpResponse::json(StatusCode::OK, &told)
}

#[derive(Deserialize)]
struct Seats {
    seats: i64,
}

fn add(ctx: &mut MutationCtx<'_>, args: Add) -> Result<f64> {
    ctx.console().info("adding");
    ctx.db().insert(Note { text: args.text })?;
    Ok(ctx.db().query::<Note>().count()? as f64)
}

/// Makes the caller's user, but for one.
fn ensure(ctx: &mut MutationCtx<'_>, _: ()) -> Result<()> {
    let who = ctx
        .identity()?
        .ok_or_else(|| Error::new("nobody is signed in"))?;
    if who.subject() == "mallory" {
        return Err(Error::application(object! { "why" => "banned" }));
    }
    let users = ctx.db().query::<User>().collect()?;
    if users.iter().all(|user| user.subject != who.subject()) {
        ctx.db().insert(User {
            subject: who.subject().to_string(),
        })?;
    }
    Ok(())
}

fn odd_values() -> Value {
    Value::Object(object! {
        "int" => 7_i64,
        "nan" => f64::NAN,
        "bytes" => Value::Bytes(vec![1, 2, 3]),
        "text" => "é",
    })
}
