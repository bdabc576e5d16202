//! Functions that stand twice in one deployment, here in Rust and in `tests/cli/apps/pairs` in TypeScript: the same calls
//! must do the same.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vestibule_server::prelude::*;

#[derive(Clone, Serialize, Deserialize)]
struct Entry {
    key: String,
    n: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extra: Option<Value>,
}

impl Entry {
    const BY_KEY: Index<Entry> = Index::new("by_key", &["key"]);
    const BY_N: Index<Entry> = Index::new("by_n", &["n"]);
}

impl Table for Entry {
    const NAME: &'static str = "rust_entries";
    const INDEXES: &'static [Index<Entry>] = &[Entry::BY_KEY, Entry::BY_N];
}

/// A file that one of the functions was given.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    file: DocumentId,
}

impl Table for Kept {
    const NAME: &'static str = "rust_kept";
}

/// A file's document, as every query may read it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    sha256: String,
    size: f64,
    #[serde(default)]
    content_type: Option<String>,
}

impl Table for Stored {
    const NAME: &'static str = "_storage";
}

/// A scheduled function's document, as every query may read it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scheduled {
    name: String,
    args: Vec<Value>,
    scheduled_time: f64,
    state: Value,
}

impl Table for Scheduled {
    const NAME: &'static str = "_scheduled_functions";
}

/// The tables of the functions in Rust.
pub fn schema() -> Schema {
    Schema::new().table::<Entry>().table::<Kept>()
}

/// Adds the functions in Rust.
pub fn add_to(app: App) -> App {
    app.mutation("rust:put", put)
        .mutation("rust:change", change)
        .mutation("rust:remove", remove)
        .mutation("rust:putThenFail", put_then_fail)
        .query("rust:list", list)
        .query("rust:between", between)
        .query("rust:page", page)
        .query("rust:echo", |_: &mut QueryCtx, Echo { value }| Ok(value))
        .query("rust:refuse", refuse)
        .mutation("rust:later", later)
        .mutation("rust:laterInVain", later_in_vain)
        .mutation("rust:cancel", cancel)
        .query("rust:jobs", jobs)
        .action("rust:relay", relay)
        .action("rust:relayThenFail", relay_then_fail)
        .action("rust:laterThenFail", later_then_fail)
        .mutation("rust:uploadUrl", |ctx: &mut MutationCtx, (): ()| {
            ctx.storage().generate_upload_url()
        })
        .action("rust:store", store)
        .mutation("rust:keep", keep)
        .mutation("rust:drop", drop_file)
        .query("rust:kept", kept)
}

#[derive(Deserialize)]
struct Key {
    key: String,
}

#[derive(Deserialize)]
struct Change {
    key: String,
    n: Option<f64>,
}

#[derive(Deserialize)]
struct Bounds {
    from: f64,
    to: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageArgs {
    pagination_opts: PaginationOptions,
}

#[derive(Deserialize)]
struct Echo {
    value: Value,
}

#[derive(Deserialize)]
struct Refuse {
    code: f64,
}

fn put(ctx: &mut MutationCtx, entry: Entry) -> Result<f64> {
    ctx.db().insert(entry)?;
    Ok(ctx.db().query::<Entry>().count()? as f64)
}

fn found(ctx: &mut MutationCtx, key: &str) -> Result<Document<Entry>> {
    let found = ctx
        .db()
        .query::<Entry>()
        .index(Entry::BY_KEY, key)
        .first()?;
    found.ok_or_else(|| Error::application(object! { "code" => "MISSING", "key" => key }))
}

fn change(ctx: &mut MutationCtx, Change { key, n }: Change) -> Result<f64> {
    let entry = found(ctx, &key)?;
    let next = n.unwrap_or(entry.value.n + 1.0);
    ctx.db().patch(entry.id, Patch::default().set("n", next))?;
    Ok(next)
}

fn remove(ctx: &mut MutationCtx, Key { key }: Key) -> Result<()> {
    let entry = found(ctx, &key)?;
    ctx.db().delete(entry.id)?;
    Ok(())
}

fn put_then_fail(ctx: &mut MutationCtx, entry: Entry) -> Result<f64> {
    put(ctx, entry)?;
    Err(Error::new("not this one"))
}

fn list(ctx: &mut QueryCtx, (): ()) -> Result<Vec<Entry>> {
    let all = ctx.db().query::<Entry>().collect()?;
    Ok(all.into_iter().map(|entry| entry.value).collect())
}

fn between(ctx: &mut QueryCtx, Bounds { from, to }: Bounds) -> Result<Vec<Entry>> {
    let range = ctx
        .db()
        .query::<Entry>()
        .index_range(Entry::BY_N, |range| range.gte("n", from).lt("n", to));
    let all = range.order(Order::Desc).collect()?;
    Ok(all.into_iter().map(|entry| entry.value).collect())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Paged {
    keys: Vec<String>,
    is_done: bool,
    continue_cursor: String,
}

fn page(ctx: &mut QueryCtx, args: PageArgs) -> Result<Paged> {
    let page = ctx.db().query::<Entry>().paginate(&args.pagination_opts)?;
    Ok(Paged {
        keys: page.page.into_iter().map(|entry| entry.value.key).collect(),
        is_done: page.is_done,
        continue_cursor: page.continue_cursor,
    })
}

fn refuse(_: &mut QueryCtx, Refuse { code }: Refuse) -> Result<()> {
    Err(Error::application(object! { "code" => code }))
}

// ---- the scheduler -----------------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct Later {
    name: String,
    args: Value,
    after: f64,
}

#[derive(Deserialize)]
struct Nth {
    n: f64,
}

impl Nth {
    /// As an index of JavaScript.
    fn of<T>(self, all: &[T]) -> Option<&T> {
        let is_index = self.n >= 0.0 && self.n.fract() == 0.0;
        is_index.then(|| all.get(self.n as usize)).flatten()
    }
}

impl Later {
    fn path(&self) -> String {
        format!("rust:{}", self.name)
    }

    fn delay(&self) -> Duration {
        Duration::from_secs_f64(self.after / 1_000.0)
    }
}

fn later(ctx: &mut MutationCtx, later: Later) -> Result<()> {
    let (path, delay) = (later.path(), later.delay());
    ctx.scheduler().run_after(delay, &path, later.args)?;
    Ok(())
}

fn later_in_vain(ctx: &mut MutationCtx, asked: Later) -> Result<()> {
    later(ctx, asked)?;
    Err(Error::new("not this one"))
}

/// The scheduled functions of this side, in the order in which they were scheduled.
fn own_jobs(scheduled: Vec<Document<Scheduled>>) -> Vec<Document<Scheduled>> {
    let mut jobs = scheduled;
    jobs.retain(|job| job.value.name.starts_with("rust"));
    jobs
}

fn cancel(ctx: &mut MutationCtx, nth: Nth) -> Result<()> {
    let jobs = own_jobs(ctx.db().query::<Scheduled>().collect()?);
    let job = nth.of(&jobs);
    let job = job.ok_or_else(|| Error::application(object! { "code" => "NO_JOB" }))?;
    ctx.scheduler().cancel(job.id.untyped())
}

#[derive(Serialize)]
struct Job {
    function: String,
    args: Vec<Value>,
    far: bool,
    state: Value,
}

fn jobs(ctx: &mut QueryCtx, (): ()) -> Result<Vec<Job>> {
    let jobs = own_jobs(ctx.db().query::<Scheduled>().collect()?);
    let told = |job: Document<Scheduled>| Job {
        far: job.value.scheduled_time - job.creation_time > FAR_MS,
        function: job
            .value
            .name
            .split(':')
            .next_back()
            .unwrap_or_default()
            .into(),
        args: job.value.args,
        state: job.value.state,
    };
    Ok(jobs.into_iter().map(told).collect())
}

/// A function that is scheduled later than this is not run in a test.
const FAR_MS: f64 = 1_000_000.0;

// ---- actions -----------------------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct Relay {
    kind: String,
    name: String,
    args: Value,
}

async fn relay(ctx: ActionCtx, Relay { kind, name, args }: Relay) -> Result<Value> {
    let path = format!("rust:{name}");
    match kind.as_str() {
        "query" => ctx.run_query(&path, args).await,
        "mutation" => ctx.run_mutation(&path, args).await,
        _ => ctx.run_action(&path, args).await,
    }
}

async fn relay_then_fail(ctx: ActionCtx, asked: Relay) -> Result<()> {
    relay(ctx, asked).await?;
    Err(Error::new("not this one"))
}

async fn later_then_fail(ctx: ActionCtx, later: Later) -> Result<()> {
    let (path, delay) = (later.path(), later.delay());
    ctx.scheduler().run_after(delay, &path, later.args).await?;
    Err(Error::new("not this one"))
}

// ---- files -------------------------------------------------------------------------------------------------------

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    text: String,
    content_type: Option<String>,
}

/// Stores a file. Returns its content as it is read back.
async fn store(ctx: ActionCtx, content: Content) -> Result<Option<String>> {
    let file = NewFile::new(content.text);
    let file = match content.content_type {
        Some(content_type) => file.content_type(content_type),
        None => file,
    };
    let file = ctx.storage().store(file).await?;
    let which = object! { "file" => file.to_string() };
    ctx.run_mutation::<()>("rust:keep", which).await?;
    let loaded = ctx.storage().get(file).await?;
    Ok(loaded.map(|loaded| String::from_utf8_lossy(&loaded.content).into_owned()))
}

fn keep(ctx: &mut MutationCtx, kept: Kept) -> Result<()> {
    ctx.db().insert(kept)?;
    Ok(())
}

fn drop_file(ctx: &mut MutationCtx, nth: Nth) -> Result<()> {
    let kept = ctx.db().query::<Kept>().collect()?;
    let kept = nth.of(&kept);
    let kept = kept.ok_or_else(|| Error::application(object! { "code" => "NO_FILE" }))?;
    ctx.storage().delete(kept.value.file)
}

#[derive(Serialize)]
struct Seen {
    url: Option<String>,
    metadata: Option<Value>,
    stored: Option<Stored>,
}

fn kept(ctx: &mut QueryCtx, (): ()) -> Result<Vec<Seen>> {
    let kept = ctx.db().query::<Kept>().collect()?;
    let mut seen = Vec::new();
    for Kept { file } in kept.into_iter().map(|kept| kept.value) {
        let metadata = ctx.storage().get_metadata(file)?;
        seen.push(Seen {
            url: ctx.storage().get_url(file)?,
            metadata: metadata.map(|found| {
                let content_type = found.content_type.map_or(Value::Null, Value::from);
                Value::Object(object! {
                    "sha256" => found.sha256, "size" => found.size, "contentType" => content_type,
                })
            }),
            stored: ctx
                .db()
                .get(DocumentId::<Stored>::new(file.table(), file.internal()))?
                .map(|stored| stored.value),
        });
    }
    Ok(seen)
}
