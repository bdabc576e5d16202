//! The app that is loaded: accounts that move money, and items that are watched. Its functions do not look at the
//! caller's identity unless they have to, so that a run measures only the work it asks for.

mod files;
mod http;
mod jobs;

use serde::{Deserialize, Serialize};
use vestibule_server::prelude::*;

use crate::functions::Functions;
use crate::machine;
use jobs::Effect;

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

/// The balance an account begins with: so large that no run of transfers meets its end.
pub const BALANCE: f64 = 1e9;

/// The app, without what is pushed.
pub fn app(functions: Functions) -> App {
    let schema = Schema::new()
        .table::<Item>()
        .table::<User>()
        .table::<Message>();
    let app = match functions {
        Functions::Ts => App::new(schema),
        Functions::Rust => in_both(App::new(schema.table::<Account>().table::<Effect>())),
    };
    app.mutation("items:put", put)
        .query("items:range", items)
        .mutation("users:ensureUser", ensure_user)
        .query("users:me", me)
        .query("users:count", count_users)
        .mutation("messages:send", send)
        .query("messages:list", list)
        .query("load:profile", |_: &mut QueryCtx, (): ()| {
            Ok(machine::PROFILE.to_string())
        })
        .provision_with("users:ensureUser")
}

/// The app with the functions that are there in TypeScript too.
fn in_both(app: App) -> App {
    app.mutation("accounts:open", open)
        .mutation("accounts:transfer", transfer)
        .query("accounts:total", total)
        .query("accounts:point", point)
        .query("accounts:range", range)
        .mutation("jobs:plan", jobs::plan)
        .function(Function::mutation("jobs:work", jobs::work).internal())
        .query("jobs:ran", jobs::ran)
        .mutation("files:uploadUrl", files::upload_url)
        .query("files:url", files::url)
        .http_route(Method::GET, "/account", http::account)
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

/// The number of accounts in a stretch, and their balance together.
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

/// An account to read. A client that wants an answer of its own brings a number that no other client brings.
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

/// A person.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

/// Makes the caller's document when it is missing.
fn ensure_user(ctx: &mut MutationCtx, (): ()) -> Result<DocumentId<User>> {
    let identity = ctx
        .identity()?
        .ok_or_else(|| Error::application("Unauthenticated"))?;
    let token = identity.token_identifier().to_string();
    let users = ctx.db().query::<User>();
    if let Some(user) = users.index(User::BY_TOKEN, &token).unique()? {
        return Ok(user.id);
    }
    let name = identity.text("name").unwrap_or("Anonymous").to_string();
    Ok(ctx.db().insert(User { name, token })?)
}

/// The caller's document, null when the caller is signed out.
fn me(ctx: &mut QueryCtx, (): ()) -> Result<Option<Document<User>>> {
    let Some(identity) = ctx.identity()? else {
        return Ok(None);
    };
    let users = ctx.db().query::<User>();
    let user = users
        .index(User::BY_TOKEN, identity.token_identifier())
        .unique()?;
    let not_found = || Error::application(object! { "code" => "UserNotFound" });
    Ok(Some(user.ok_or_else(not_found)?))
}

#[derive(Deserialize)]
struct After {
    after: String,
}

/// The number of users in a stretch, and its last one if there are more.
#[derive(Serialize)]
struct Counted {
    count: f64,
    last: Option<String>,
}

/// Users that one query counts.
const COUNTED_MAX: usize = 5_000;

fn count_users(ctx: &mut QueryCtx, After { after }: After) -> Result<Counted> {
    let users = ctx.db().query::<User>();
    let users = users
        .index_range(User::BY_TOKEN, |range| range.gt("token", after))
        .take(COUNTED_MAX)?;
    let is_last = users.len() < COUNTED_MAX;
    let last = users.last().filter(|_| !is_last);
    Ok(Counted {
        count: users.len() as f64,
        last: last.map(|user| user.token.clone()),
    })
}

/// A message in a channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Message {
    channel: String,
    body: String,
}

impl Message {
    const BY_CHANNEL: Index<Message> = Index::new("by_channel", &["channel"]);
}

impl Table for Message {
    const NAME: &'static str = "messages";
    const INDEXES: &'static [Index<Message>] = &[Message::BY_CHANNEL];
}

/// Messages that `messages:list` gives.
const NEWEST: usize = 50;

fn send(ctx: &mut MutationCtx, message: Message) -> Result<()> {
    ctx.db().insert(message)?;
    Ok(())
}

#[derive(Deserialize)]
struct List {
    channel: String,
}

/// The newest messages of a channel, newest first.
fn list(ctx: &mut QueryCtx, List { channel }: List) -> Result<Vec<Document<Message>>> {
    let messages = ctx.db().query::<Message>();
    let messages = messages.index(Message::BY_CHANNEL, &channel);
    Ok(messages.order(Order::Desc).take(NEWEST)?)
}
