//! The functions of the random runs. Each tells the history what it did.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vestibule_schema::object;
use vestibule_schema::table::{Index, Schema, Table};
use vestibule_schema::timestamp::Timestamp;

use super::world::{Border, Executed, History};
use crate::database::{Page, PaginationOptions, Patch};
use crate::functions::{Error, Function, MutationCtx, QueryCtx, Result};

#[derive(Serialize, Deserialize)]
struct Item {
    group: u32,
    key: String,
    value: f64,
}

impl Item {
    const BY_KEY: Index<Item> = Index::unique("by_key", &["group", "key"]);
}

impl Table for Item {
    const NAME: &'static str = "items";
    const INDEXES: &'static [Index<Item>] = &[Item::BY_KEY];
}

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

pub fn schema() -> Schema {
    Schema::new().table::<Item>().table::<User>()
}

#[derive(Deserialize)]
struct Group {
    group: u32,
}

#[derive(Deserialize)]
struct Key {
    group: u32,
    key: String,
}

#[derive(Deserialize)]
struct Range {
    group: u32,
    from: String,
    to: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageArgs {
    group: u32,
    pagination_opts: PaginationOptions,
}

#[derive(Deserialize)]
struct Write {
    tag: String,
    group: u32,
    key: String,
    value: f64,
}

pub fn functions(history: &Arc<History>) -> Vec<Function> {
    let mut functions = queries(history);
    functions.extend(mutations(history));
    functions
}

fn items(ctx: &mut QueryCtx, group: u32) -> Result<Vec<Item>> {
    let items = ctx
        .db()
        .query::<Item>()
        .index(Item::BY_KEY, group)
        .collect()?;
    Ok(items.into_iter().map(|item| item.value).collect())
}

fn looker(ctx: &mut QueryCtx, history: &History) -> Result<Option<String>> {
    let who = ctx.identity()?;
    Ok(who.map(|who| {
        history
            .looks
            .lock()
            .push((who.subject().to_string(), ctx.snapshot_ts()));
        who.subject().to_string()
    }))
}

fn queries(history: &Arc<History>) -> Vec<Function> {
    let (me_history, maybe_history, page_history) =
        (history.clone(), history.clone(), history.clone());
    vec![
        Function::query(
            "items:get",
            |ctx: &mut QueryCtx, Key { group, key }: Key| {
                let range = Item::BY_KEY;
                let found = ctx
                    .db()
                    .query::<Item>()
                    .index_range(range, |range| range.eq("group", group).eq("key", &key));
                Ok(found.unique()?.map(|item| item.value.value))
            },
        ),
        Function::query(
            "items:range",
            |ctx: &mut QueryCtx, Range { group, from, to }: Range| {
                let query = ctx.db().query::<Item>();
                let found = query
                    .index_range(Item::BY_KEY, |range| {
                        range.eq("group", group).gte("key", &from).lt("key", &to)
                    })
                    .collect()?;
                Ok(found
                    .into_iter()
                    .map(|item| (item.value.key, item.value.value))
                    .collect::<Vec<_>>())
            },
        ),
        Function::query(
            "items:count",
            |ctx: &mut QueryCtx, Group { group }: Group| Ok(items(ctx, group)?.len() as f64),
        ),
        Function::query(
            "items:flaky",
            |ctx: &mut QueryCtx, Group { group }: Group| {
                ctx.console().log("counting");
                match items(ctx, group)?.len() {
                    count if count % 3 == 0 => {
                        Err(Error::application(object! { "count" => count as f64 }))
                    }
                    count => Ok(count as f64),
                }
            },
        ),
        Function::query(
            "items:page",
            move |ctx: &mut QueryCtx,
                  PageArgs {
                      group,
                      pagination_opts,
                  }: PageArgs| {
                let page = ctx
                    .db()
                    .query::<Item>()
                    .index(Item::BY_KEY, group)
                    .paginate(&pagination_opts)?;
                note_border(&page_history, &page);
                Ok(page.map(|item| item.value.key))
            },
        ),
        Function::query("users:me", move |ctx: &mut QueryCtx, (): ()| {
            let Some(subject) = looker(ctx, &me_history)? else {
                return Ok(None);
            };
            let user = ctx
                .db()
                .query::<User>()
                .index(User::BY_TOKEN, &subject)
                .unique()?;
            let user =
                user.ok_or_else(|| Error::application(object! { "code" => "UserNotFound" }))?;
            Ok(Some(user.value.name))
        }),
        Function::query(
            "items:maybe",
            move |ctx: &mut QueryCtx, Group { group }: Group| {
                let count = items(ctx, group)?.len();
                if count % 2 == 0 {
                    return Ok(count.to_string());
                }
                let who = looker(ctx, &maybe_history)?.unwrap_or("nobody".to_string());
                Ok(format!("{count} {who}"))
            },
        ),
        Function::query(
            "items:claims",
            |ctx: &mut QueryCtx, Group { group }: Group| {
                let Some(who) = ctx.identity()? else {
                    return Ok("nobody".to_string());
                };
                let claim = |name| who.text(name).unwrap_or_default();
                Ok(match items(ctx, group)?.len() % 4 {
                    0 => who.subject().to_string(),
                    1 => claim("name").to_string(),
                    2 => claim("email").to_string(),
                    _ => format!("{} {}", claim("name"), claim("email")),
                })
            },
        ),
    ]
}

/// The first run that makes a cursor has just read up to it.
fn note_border<D: std::ops::Deref<Target = Item>>(history: &History, page: &Page<D>) {
    let border = match (page.is_done, page.page.last()) {
        (false, Some(last)) => Border::After(last.key.clone()),
        // A page that ends at a border and holds nothing any more is not the first of its border.
        (false, None) => return,
        (true, _) => Border::End,
    };
    history
        .borders
        .lock()
        .entry(page.continue_cursor.clone())
        .or_insert(border);
}

fn mutations(history: &Arc<History>) -> Vec<Function> {
    let (put, patch, delete) = (history.clone(), history.clone(), history.clone());
    let (rename, forget, ensure) = (history.clone(), history.clone(), history.clone());
    vec![
        Function::mutation("items:put", move |ctx: &mut MutationCtx, write: Write| {
            let Write {
                tag,
                group,
                key,
                value,
            } = write;
            let old = find(ctx, group, &key)?;
            match old {
                Some(id) => ctx.db().patch(id, Patch::default().set("value", value))?,
                None => drop(ctx.db().insert(Item {
                    group,
                    key: key.clone(),
                    value,
                })?),
            }
            executed(ctx, &put, tag)?;
            put.commit(ctx.commit_ts(), |world| {
                world.items.insert((group, key), value);
            });
            Ok(())
        }),
        Function::mutation("items:patch", move |ctx: &mut MutationCtx, write: Write| {
            let Write {
                tag,
                group,
                key,
                value,
            } = write;
            executed(ctx, &patch, tag)?;
            let Some(id) = find(ctx, group, &key)? else {
                return Ok(());
            };
            ctx.db().patch(id, Patch::default().set("value", value))?;
            patch.commit(ctx.commit_ts(), |world| {
                world.items.insert((group, key), value);
            });
            Ok(())
        }),
        Function::mutation(
            "items:delete",
            move |ctx: &mut MutationCtx, write: Write| {
                let Write {
                    tag, group, key, ..
                } = write;
                if let Some(id) = find(ctx, group, &key)? {
                    ctx.db().delete(id)?;
                }
                executed(ctx, &delete, tag)?;
                delete.commit(ctx.commit_ts(), |world| {
                    world.items.remove(&(group, key));
                });
                Ok(())
            },
        ),
        Function::mutation(
            "items:fail",
            |ctx: &mut MutationCtx, write: Write| -> Result<()> {
                let Write {
                    group, key, value, ..
                } = write;
                if find(ctx, group, &key)?.is_none() {
                    ctx.db().insert(Item { group, key, value })?;
                }
                Err(Error::application(object! { "code" => "FAILED" }))
            },
        ),
        Function::mutation(
            "users:rename",
            move |ctx: &mut MutationCtx, write: Write| {
                let who = executed(ctx, &rename, write.tag)?;
                let Some(user) = caller(ctx)? else {
                    return Ok(());
                };
                ctx.db()
                    .patch(user, Patch::default().set("name", write.key.as_str()))?;
                let subject = who.expect("only someone has a user");
                rename.commit(ctx.commit_ts(), |world| {
                    drop(world.users.insert(subject, write.key))
                });
                Ok(())
            },
        ),
        Function::mutation(
            "users:forget",
            move |ctx: &mut MutationCtx, write: Write| {
                let who = executed(ctx, &forget, write.tag)?;
                let Some(user) = caller(ctx)? else {
                    return Ok(());
                };
                ctx.db().delete(user)?;
                let subject = who.expect("only someone has a user");
                forget.commit(ctx.commit_ts(), |world| drop(world.users.remove(&subject)));
                Ok(())
            },
        ),
        Function::mutation("users:ensureUser", move |ctx: &mut MutationCtx, (): ()| {
            let who = ctx.identity()?.ok_or_else(|| Error::new("nobody"))?;
            if caller(ctx)?.is_some() {
                return Ok(());
            }
            let user = User {
                name: who.subject().to_string(),
                token: who.subject().to_string(),
            };
            ctx.db().insert(user)?;
            ensure.ensuring.pass();
            let ts = ctx.commit_ts();
            ensure.commit(ts, |world| {
                drop(
                    world
                        .users
                        .insert(who.subject().to_string(), who.subject().to_string()),
                )
            });
            ensure
                .ensured
                .lock()
                .entry(who.subject().to_string())
                .or_insert(ts);
            Ok(())
        }),
    ]
}

fn find(
    ctx: &mut MutationCtx,
    group: u32,
    key: &str,
) -> Result<Option<vestibule_schema::id::DocumentId<Item>>> {
    let query = ctx.db().query::<Item>();
    let found = query
        .index_range(Item::BY_KEY, |range| {
            range.eq("group", group).eq("key", key)
        })
        .unique()?;
    Ok(found.map(|item| item.id))
}

fn caller(ctx: &mut MutationCtx) -> Result<Option<vestibule_schema::id::DocumentId<User>>> {
    let Some(who) = ctx.identity()? else {
        return Ok(None);
    };
    Ok(ctx
        .db()
        .query::<User>()
        .index(User::BY_TOKEN, who.subject())
        .unique()?
        .map(|user| user.id))
}

/// Notes that a call ran, and its identity.
fn executed(ctx: &mut MutationCtx, history: &History, tag: String) -> Result<Option<String>> {
    let subject = ctx.identity()?.map(|who| who.subject().to_string());
    let ts: Timestamp = ctx.commit_ts();
    history
        .executed
        .lock()
        .entry(tag)
        .or_default()
        .push(Executed {
            ts,
            subject: subject.clone(),
        });
    Ok(subject)
}
