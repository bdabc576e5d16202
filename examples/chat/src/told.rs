//! An identity provider's news of people beside their logins, applied. Events come late, twice and in any order: the
//! newest state by its own time wins, and nothing undoes a deletion.

use serde::{Deserialize, Serialize};
use vestibule_server::prelude::*;

use super::model::{User, is_invited, user_by_token};

/// The deletion of a person at the provider. Nothing else is kept of them, and their token makes no user again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tombstone {
    pub token: String,
}

impl Tombstone {
    pub const BY_TOKEN: Index<Tombstone> = Index::unique("by_token", &["token"]);
}

impl Table for Tombstone {
    const NAME: &'static str = "tombstones";
    const INDEXES: &'static [Index<Tombstone>] = &[Tombstone::BY_TOKEN];
}

/// A person's membership of an organization, now or in the past. It may be known before its person is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Membership {
    /// The provider's own name of it.
    pub membership: String,
    /// The member's issuer and subject.
    pub token: String,
    pub organization: String,
    #[serde(rename = "isOver")]
    pub is_over: bool,
    #[serde(rename = "toldAt")]
    pub told_at: f64,
}

impl Membership {
    const BY_MEMBERSHIP: Index<Membership> = Index::unique("by_membership", &["membership"]);
    const BY_TOKEN: Index<Membership> = Index::new("by_token", &["token"]);
}

impl Table for Membership {
    const NAME: &'static str = "memberships";
    const INDEXES: &'static [Index<Membership>] =
        &[Membership::BY_MEMBERSHIP, Membership::BY_TOKEN];
}

/// A person as the provider knew them at `at`, in milliseconds since 1970.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct ToldUser {
    pub token: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub at: f64,
}

/// The person that it is about.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Whom {
    pub token: String,
}

/// Makes or changes a person's document, whether this or their first login comes first. Returns what became of it.
pub fn change_user(
    ctx: &mut MutationCtx,
    told: ToldUser,
    invited: Option<&str>,
) -> Result<&'static str> {
    let ToldUser {
        token,
        name,
        email,
        at,
    } = told;
    if is_deleted(ctx, &token)? {
        return Ok("deleted before");
    }
    match user_by_token(ctx, &token)? {
        // The same event again is as old as itself.
        Some(user) if user.value.told_at.is_some_and(|known| at <= known) => Ok("known"),
        // The provider's name replaces a name that was chosen here.
        Some(user) => {
            ctx.db().modify(user.id, |user| {
                user.name = name.unwrap_or_else(|| std::mem::take(&mut user.name));
                user.email = email;
                user.told_at = Some(at);
            })?;
            Ok("updated")
        }
        // Otherwise an uninvited person would find a document of theirs and be let in.
        None if invited.is_some_and(|domain| !is_invited(email.as_deref(), domain)) => {
            Ok("not invited")
        }
        None => {
            ctx.db().insert(User {
                name: name.unwrap_or_else(|| "Anonymous".to_string()),
                email,
                token,
                told_at: Some(at),
            })?;
            Ok("inserted")
        }
    }
}

/// Deletes all that is known of a person, and keeps them away.
pub fn delete_user(ctx: &mut MutationCtx, Whom { token }: Whom) -> Result<&'static str> {
    if is_deleted(ctx, &token)? {
        return Ok("deleted before");
    }
    if let Some(user) = user_by_token(ctx, &token)? {
        ctx.db().delete(user.id)?;
    }
    let memberships = ctx.db().query::<Membership>();
    for membership in memberships.index(Membership::BY_TOKEN, &token).collect()? {
        ctx.db().delete(membership.id)?;
    }
    ctx.db().insert(Tombstone { token })?;
    Ok("deleted")
}

/// Lets a deleted person come back: the only way to. Returns whether they were deleted.
pub fn undelete_user(ctx: &mut MutationCtx, Whom { token }: Whom) -> Result<bool> {
    let tombstone = ctx.db().query::<Tombstone>();
    match tombstone.index(Tombstone::BY_TOKEN, &token).unique()? {
        Some(tombstone) => {
            ctx.db().delete(tombstone.id)?;
            Ok(true)
        }
        None => Ok(false),
    }
}

/// Keeps the news of a membership, even of a person who has not come yet.
pub fn change_membership(ctx: &mut MutationCtx, told: Membership) -> Result<&'static str> {
    if is_deleted(ctx, &told.token)? {
        return Ok("deleted before");
    }
    let known = ctx.db().query::<Membership>();
    let known = known.index(Membership::BY_MEMBERSHIP, &told.membership);
    match known.unique()? {
        Some(known) if known.value.is_over => Ok("deleted before"),
        Some(known) if told.told_at <= known.value.told_at && !told.is_over => Ok("known"),
        Some(known) => {
            ctx.db().replace(known.id, told)?;
            Ok("updated")
        }
        None => {
            ctx.db().insert(told)?;
            Ok("inserted")
        }
    }
}

/// The organizations that the caller belongs to; none when the caller is signed out.
pub fn organizations(ctx: &mut QueryCtx, (): ()) -> Result<Vec<String>> {
    let Some(identity) = ctx.identity()? else {
        return Ok(Vec::new());
    };
    let memberships = ctx.db().query::<Membership>();
    let memberships = memberships.index(Membership::BY_TOKEN, identity.token_identifier());
    let current = memberships.collect()?.into_iter();
    let current = current.filter(|membership| !membership.value.is_over);
    Ok(current
        .map(|membership| membership.value.organization)
        .collect())
}

/// Whether the provider said that it deleted this person.
pub fn is_deleted<'v>(ctx: &mut impl ReadCtx<'v>, token: &str) -> Result<bool> {
    let tombstone = ctx.db().query::<Tombstone>();
    let tombstone = tombstone.index(Tombstone::BY_TOKEN, token).unique()?;
    Ok(tombstone.is_some())
}
