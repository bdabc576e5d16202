//! The chat's tables and functions.

use serde::{Deserialize, Serialize};
use vestibule_server::prelude::*;

use super::told::{Membership, Tombstone, is_deleted};

/// A person. The index is unique: two documents for one identity cannot exist, whatever the functions do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct User {
    pub name: String,
    pub email: Option<String>,
    /// Issuer and subject of the person's auth token.
    pub token: String,
    /// The time of the provider's newest webhook about them, in milliseconds since 1970.
    #[serde(default, rename = "toldAt", skip_serializing_if = "Option::is_none")]
    pub told_at: Option<f64>,
}

impl User {
    pub const BY_TOKEN: Index<User> = Index::unique("by_token", &["token"]);
}

impl Table for User {
    const NAME: &'static str = "users";
    const INDEXES: &'static [Index<User>] = &[User::BY_TOKEN];
}

/// A message in a channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    pub channel: String,
    pub author: DocumentId<User>,
    pub body: String,
}

impl Message {
    const BY_CHANNEL: Index<Message> = Index::new("by_channel", &["channel"]);
}

impl Table for Message {
    const NAME: &'static str = "messages";
    const INDEXES: &'static [Index<Message>] = &[Message::BY_CHANNEL];
}

/// The chat's schema.
pub fn schema() -> Schema {
    Schema::new()
        .table::<User>()
        .table::<Message>()
        .table::<Tombstone>()
        .table::<Membership>()
}

/// The channels there are.
const CHANNELS: [&str; 3] = ["general", "random", "help"];
/// Messages that `messages:list` gives.
const NEWEST: usize = 50;
/// Bytes of a message's text, and of a name.
const BODY_BYTES_MAX: usize = 4_000;
const NAME_BYTES_MAX: usize = 80;

/// Makes the caller's document when it is missing. Vestibule runs it before anything else runs as a new identity.
pub fn ensure_user(ctx: &mut MutationCtx, invited: &Option<String>) -> Result<DocumentId<User>> {
    let identity = ctx.identity()?.ok_or_else(unauthenticated)?;
    if let Some(user) = user_by_token(ctx, identity.token_identifier())? {
        return Ok(user.id);
    }
    if is_deleted(ctx, identity.token_identifier())? {
        return Err(Error::application(object! {
            "code" => "Deleted",
            "message" => "This account was deleted.",
        }));
    }
    let email = identity.text("email").map(str::to_string);
    if let Some(domain) = invited
        && !is_invited(email.as_deref(), domain)
    {
        return Err(Error::application(object! {
            "code" => "NotInvited",
            "message" => format!("This chat is for people with an address at {domain}."),
        }));
    }
    let name = identity.text("name").unwrap_or("Anonymous").to_string();
    Ok(ctx.db().insert(User {
        name,
        email,
        token: identity.token_identifier().to_string(),
        told_at: None,
    })?)
}

/// Whether an address is of the invited domain.
pub fn is_invited(email: Option<&str>, domain: &str) -> bool {
    email
        .and_then(|email| email.rsplit_once('@'))
        .is_some_and(|(_, d)| d == domain)
}

/// The document of the user with this issuer and subject.
pub fn user_by_token<'v>(
    ctx: &mut impl ReadCtx<'v>,
    token: &str,
) -> Result<Option<Document<User>>> {
    let users = ctx.db().query::<User>();
    Ok(users.index(User::BY_TOKEN, token).unique()?)
}

/// The caller's document, null when the caller is signed out.
pub fn me(ctx: &mut QueryCtx, (): ()) -> Result<Option<Document<User>>> {
    let Some(identity) = ctx.identity()? else {
        return Ok(None);
    };
    let user = user_by_token(ctx, identity.token_identifier())?;
    Ok(Some(user.ok_or_else(user_not_found)?))
}

/// How many people there are.
pub fn count(ctx: &mut QueryCtx, (): ()) -> Result<f64> {
    Ok(ctx.db().query::<User>().count()? as f64)
}

#[derive(Deserialize)]
pub struct Rename {
    name: String,
}

/// Changes the caller's name.
pub fn rename(ctx: &mut MutationCtx, args: Rename) -> Result<()> {
    let name = args.name.trim();
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(Error::application(
            object! { "code" => "InvalidName", "bytesMax" => NAME_BYTES_MAX as f64 },
        ));
    }
    let user = caller(ctx)?;
    ctx.db()
        .modify(user.id, |user| user.name = name.to_string())?;
    Ok(())
}

/// Deletes the caller's document; messages stay, without a name.
pub fn delete_me(ctx: &mut MutationCtx, (): ()) -> Result<()> {
    let user = caller(ctx)?;
    Ok(ctx.db().delete(user.id)?)
}

/// The names of the channels.
pub fn channels(_: &mut QueryCtx, (): ()) -> Result<Vec<&'static str>> {
    Ok(CHANNELS.to_vec())
}

#[derive(Deserialize)]
pub struct Send {
    channel: String,
    body: String,
}

/// Writes a message as the caller.
pub fn send(ctx: &mut MutationCtx, Send { channel, body }: Send) -> Result<DocumentId<Message>> {
    let author = caller(ctx)?.id;
    check_channel(&channel)?;
    if body.trim().is_empty() || body.len() > BODY_BYTES_MAX {
        return Err(Error::application(
            object! { "code" => "InvalidBody", "bytesMax" => BODY_BYTES_MAX as f64 },
        ));
    }
    Ok(ctx.db().insert(Message {
        channel,
        author,
        body,
    })?)
}

/// A message as clients see it.
#[derive(Serialize)]
pub struct MessageView {
    #[serde(rename = "_id")]
    id: DocumentId<Message>,
    #[serde(rename = "_creationTime")]
    creation_time: f64,
    body: String,
    author: AuthorView,
}

#[derive(Serialize)]
struct AuthorView {
    #[serde(rename = "_id")]
    id: DocumentId<User>,
    name: String,
}

#[derive(Deserialize)]
pub struct List {
    channel: String,
}

/// The newest messages of a channel, newest first.
pub fn list(ctx: &mut QueryCtx, args: List) -> Result<Vec<MessageView>> {
    let newest = ctx
        .db()
        .query::<Message>()
        .index(Message::BY_CHANNEL, &args.channel)
        .order(Order::Desc)
        .take(NEWEST)?;
    newest
        .into_iter()
        .map(|message| view(ctx, message))
        .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListPage {
    channel: String,
    pagination_opts: PaginationOptions,
}

/// The messages of a channel a page at a time, newest first.
pub fn page(ctx: &mut QueryCtx, args: ListPage) -> Result<Page<MessageView>> {
    let messages = ctx
        .db()
        .query::<Message>()
        .index(Message::BY_CHANNEL, &args.channel)
        .order(Order::Desc);
    let page = messages.paginate(&args.pagination_opts)?;
    page.try_map(|message| view(ctx, message))
}

fn view(ctx: &mut QueryCtx, message: Document<Message>) -> Result<MessageView> {
    let author = ctx.db().get(message.author)?;
    let name = author.map_or_else(
        || "Someone who left".to_string(),
        |author| author.value.name,
    );
    Ok(MessageView {
        id: message.id,
        creation_time: message.creation_time,
        author: AuthorView {
            id: message.author,
            name,
        },
        body: message.value.body,
    })
}

fn caller<'v>(ctx: &mut impl ReadCtx<'v>) -> Result<Document<User>> {
    let identity = ctx.identity()?.ok_or_else(unauthenticated)?;
    user_by_token(ctx, identity.token_identifier())?.ok_or_else(user_not_found)
}

fn check_channel(channel: &str) -> Result<()> {
    match CHANNELS.contains(&channel) {
        true => Ok(()),
        false => Err(Error::application(
            object! { "code" => "NoSuchChannel", "channel" => channel },
        )),
    }
}

fn unauthenticated() -> Error {
    Error::application(object! { "code" => "Unauthenticated" })
}

fn user_not_found() -> Error {
    Error::application(object! { "code" => "UserNotFound" })
}
