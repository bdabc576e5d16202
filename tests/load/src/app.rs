//! The app that is loaded: accounts that move money, and items that are watched. Its functions do not look at who calls them unless they have to, so
//! that what is measured is what is asked for.

use serde::{Deserialize, Serialize};
use vestibule_server::prelude::*;

/// An account, found by its number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    number: f64,
    balance: f64,
}

impl Account {
    const BY_NUMBER: Index<Account> = Index::unique("by_number", &["number"]);
}

impl Table for Account {
    const NAME: &'static str = "accounts";
    const INDEXES: &'static [Index<Account>] = &[Account::BY_NUMBER];
}

/// What an account begins with: so much that no run of transfers meets its end.
pub const BALANCE: f64 = 1e9;

/// The app.
pub fn app() -> App {
    App::new(Schema::new().table::<Account>().table::<Item>())
        .mutation("accounts:open", open)
        .mutation("accounts:transfer", transfer)
        .query("accounts:total", total)
        .query("accounts:point", point)
        .query("accounts:range", range)
        .mutation("items:put", put)
        .query("items:range", items)
        .without_provisioning()
}

/// A stretch of account numbers.
#[derive(Deserialize)]
struct Stretch {
    first: f64,
    count: f64,
}

/// Opens the accounts of a stretch that are missing, and returns how many these were.
fn open(ctx: &mut MutationCtx, Stretch { first, count }: Stretch) -> Result<f64> {
    let mut opened = 0.0;
    for number in (0..count as u32).map(|offset| first + f64::from(offset)) {
        let accounts = ctx.db().query::<Account>();
        let known = accounts.index(Account::BY_NUMBER, number).unique()?;
        if known.is_none() {
            let balance = BALANCE;
            ctx.db().insert(Account { number, balance })?;
            opened += 1.0;
        }
    }
    Ok(opened)
}

#[derive(Deserialize)]
struct Transfer {
    from: f64,
    to: f64,
    amount: f64,
}

/// Moves an amount from one account to another: two reads by index, two writes.
fn transfer(ctx: &mut MutationCtx, Transfer { from, to, amount }: Transfer) -> Result<()> {
    let source = account(ctx, from)?;
    let target = account(ctx, to)?;
    if source.balance < amount {
        return Err(Error::application(
            object! { "code" => "InsufficientFunds" },
        ));
    }
    let less = source.balance - amount;
    ctx.db().patch(source.id, object! { "balance" => less })?;
    let more = target.balance + amount;
    Ok(ctx.db().patch(target.id, object! { "balance" => more })?)
}

fn account(ctx: &mut MutationCtx, number: f64) -> Result<Document<Account>> {
    let accounts = ctx.db().query::<Account>();
    let account = accounts.index(Account::BY_NUMBER, number).unique()?;
    account.ok_or_else(|| {
        Error::application(object! { "code" => "NoSuchAccount", "number" => number })
    })
}

/// How many accounts there are in a stretch, and what they hold together.
#[derive(Serialize)]
struct Total {
    accounts: f64,
    balance: f64,
}

fn total(ctx: &mut QueryCtx, Stretch { first, count }: Stretch) -> Result<Total> {
    let accounts = ctx.db().query::<Account>();
    let accounts = accounts
        .index_range(Account::BY_NUMBER, |range| {
            range.gte("number", first).lt("number", first + count)
        })
        .collect()?;
    Ok(Total {
        accounts: accounts.len() as f64,
        balance: accounts.iter().map(|account| account.balance).sum(),
    })
}

/// An account to read. Who wants an answer of their own brings a number that nobody else brings.
#[derive(Deserialize)]
struct Point {
    number: f64,
    #[serde(default, rename = "nonce")]
    _nonce: f64,
}

/// One account, by its number.
fn point(ctx: &mut QueryCtx, Point { number, .. }: Point) -> Result<Option<Account>> {
    let accounts = ctx.db().query::<Account>();
    let account = accounts.index(Account::BY_NUMBER, number).unique()?;
    Ok(account.map(|account| account.value))
}

/// A stretch of accounts to read.
#[derive(Deserialize)]
struct Range {
    first: f64,
    count: f64,
    #[serde(default, rename = "nonce")]
    _nonce: f64,
}

/// The accounts of a stretch.
fn range(ctx: &mut QueryCtx, Range { first, count, .. }: Range) -> Result<Vec<Account>> {
    let accounts = ctx.db().query::<Account>();
    let accounts = accounts.index_range(Account::BY_NUMBER, |range| {
        range.gte("number", first).lt("number", first + count)
    });
    let accounts = accounts.collect()?.into_iter();
    Ok(accounts.map(|account| account.value).collect())
}

/// Something to watch, found by its number.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Item {
    /// Which write it is of; counts up.
    at: f64,
    body: String,
    number: f64,
}

impl Item {
    const BY_NUMBER: Index<Item> = Index::unique("by_number", &["number"]);
}

impl Table for Item {
    const NAME: &'static str = "items";
    const INDEXES: &'static [Index<Item>] = &[Item::BY_NUMBER];
}

/// Writes an item, in place of the one that has its number.
fn put(ctx: &mut MutationCtx, item: Item) -> Result<()> {
    let items = ctx.db().query::<Item>();
    match items.index(Item::BY_NUMBER, item.number).unique()? {
        Some(known) => Ok(ctx.db().replace(known.id, item)?),
        None => ctx.db().insert(item).map(drop).map_err(Into::into),
    }
}

/// The items of a stretch.
fn items(ctx: &mut QueryCtx, Stretch { first, count }: Stretch) -> Result<Vec<Item>> {
    let items = ctx.db().query::<Item>();
    let items = items.index_range(Item::BY_NUMBER, |range| {
        range.gte("number", first).lt("number", first + count)
    });
    let items = items.collect()?.into_iter();
    Ok(items.map(|item| item.value).collect())
}
