//! The functions whose runs are paid for: items by number, and people by token.

use serde::{Deserialize, Serialize};
use vestibule_server::prelude::*;

use crate::drafts::wait_while_held;

/// Something to read, to write and to watch, found by its number.
#[derive(Serialize, Deserialize)]
struct Item {
    at: f64,
    number: f64,
}

impl Item {
    const BY_NUMBER: Index<Item> = Index::unique("by_number", &["number"]);
}

impl Table for Item {
    const NAME: &'static str = "items";
    const INDEXES: &'static [Index<Item>] = &[Item::BY_NUMBER];
}

/// A person.
#[derive(Serialize, Deserialize)]
struct User {
    name: String,
    token: String,
}

impl User {
    const BY_TOKEN: Index<User> = Index::unique("by_token", &["token"]);
}

impl Table for User {
    const NAME: &'static str = "users";
    const INDEXES: &'static [Index<User>] = &[User::BY_TOKEN];
}

/// The mutation that adds a stretch of items.
pub const ADD: &str = "items:add";
/// The mutation that counts an item up.
pub const BUMP: &str = "items:bump";
/// The same beside the lane.
pub const BUMP_BESIDE: &str = "items:bumpBeside";
/// The mutation beside the lane that looks at an item and then waits.
pub const HOLD_OPEN: &str = "items:holdOpen";
/// The mutation that moves an amount from one item to another.
pub const MOVE: &str = "items:move";
/// The query of one item.
pub const ONE: &str = "items:one";
/// The query of a stretch of items.
pub const RANGE: &str = "items:range";
/// The mutation that makes the caller's document when it is missing.
pub const ENSURE_USER: &str = "users:ensureUser";

/// The tables.
pub fn schema() -> Schema {
    Schema::new().table::<Item>().table::<User>()
}

/// The functions.
pub fn functions() -> Vec<Function> {
    vec![
        Function::mutation(ADD, add),
        Function::mutation(BUMP, bump),
        Function::mutation(BUMP_BESIDE, bump).beside_the_lane(),
        Function::mutation(HOLD_OPEN, hold_open).beside_the_lane(),
        Function::mutation(MOVE, move_amount),
        Function::query(ONE, one),
        Function::query(RANGE, range),
        Function::mutation(ENSURE_USER, ensure_user),
    ]
}

#[derive(Deserialize)]
struct Stretch {
    first: f64,
    count: f64,
}

#[derive(Deserialize)]
struct Number {
    number: f64,
}

fn add(ctx: &mut MutationCtx, Stretch { first, count }: Stretch) -> Result<()> {
    for offset in 0..count as u32 {
        let number = first + f64::from(offset);
        ctx.db().insert(Item { at: 0.0, number })?;
    }
    Ok(())
}

fn bump(ctx: &mut MutationCtx, Number { number }: Number) -> Result<()> {
    let item = item(ctx, number)?;
    let at = item.at + 1.0;
    Ok(ctx.db().patch(item.id, object! { "at" => at })?)
}

fn hold_open(ctx: &mut MutationCtx, Number { number }: Number) -> Result<()> {
    item(ctx, number)?;
    wait_while_held();
    Ok(())
}

#[derive(Deserialize)]
struct Moved {
    from: f64,
    to: f64,
    amount: f64,
}

fn move_amount(ctx: &mut MutationCtx, Moved { from, to, amount }: Moved) -> Result<()> {
    let source = item(ctx, from)?;
    let target = item(ctx, to)?;
    let (less, more) = (source.at - amount, target.at + amount);
    ctx.db().patch(source.id, object! { "at" => less })?;
    Ok(ctx.db().patch(target.id, object! { "at" => more })?)
}

fn item(ctx: &mut MutationCtx, number: f64) -> Result<Document<Item>> {
    let items = ctx.db().query::<Item>();
    let item = items.index(Item::BY_NUMBER, number).unique()?;
    item.ok_or_else(|| Error::new("there is no such item"))
}

fn one(ctx: &mut QueryCtx, Number { number }: Number) -> Result<Option<Item>> {
    let items = ctx.db().query::<Item>();
    let item = items.index(Item::BY_NUMBER, number).unique()?;
    Ok(item.map(|item| item.value))
}

fn range(ctx: &mut QueryCtx, Stretch { first, count }: Stretch) -> Result<Vec<Item>> {
    let items = ctx.db().query::<Item>();
    let items = items.index_range(Item::BY_NUMBER, |range| {
        range.gte("number", first).lt("number", first + count)
    });
    let items = items.collect()?.into_iter();
    Ok(items.map(|item| item.value).collect())
}

fn ensure_user(ctx: &mut MutationCtx, (): ()) -> Result<DocumentId<User>> {
    let identity = ctx.identity()?.ok_or_else(|| Error::new("nobody"))?;
    let token = identity.token_identifier().to_string();
    // A user who comes with another name than before is looked up anew.
    let name = identity.text("name").unwrap_or("Anonymous").to_string();
    let users = ctx.db().query::<User>();
    match users.index(User::BY_TOKEN, &token).unique()? {
        Some(user) => Ok(user.id),
        None => Ok(ctx.db().insert(User { name, token })?),
    }
}
