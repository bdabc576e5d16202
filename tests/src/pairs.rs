//! Functions that stand twice in one deployment, here in Rust and in `tests/cli/apps/pairs` in TypeScript: the same calls
//! must do the same.

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

/// The tables of the functions in Rust.
pub fn schema() -> Schema {
    Schema::new().table::<Entry>()
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
