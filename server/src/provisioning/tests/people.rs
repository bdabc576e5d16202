//! Telling people apart by claims of every kind. The app links people by a verified address alone, and knows their
//! organisation before they read. It makes no document for a person who acts for another.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vestibule_schema::identity::Identity;
use vestibule_schema::table::{Index, Schema, Table};
use vestibule_schema::value::Value;
use vestibule_schema::{id::DocumentId, object};

use super::{Rooms, Setup, rooms};
use crate::auth::VerifiedUser;
use crate::functions::{
    Call, CallSource, Error, Function, FunctionOutcome, MutationCtx, QueryCtx, QueryOutcome, Result,
};
use crate::provisioning::Unprovisioned;

#[derive(Serialize, Deserialize)]
struct User {
    email: String,
    /// An import knows the address alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl User {
    const BY_TOKEN: Index<User> = Index::unique("by_token", &["token"]);
    const BY_EMAIL: Index<User> = Index::new("by_email", &["email"]);
}

impl Table for User {
    const NAME: &'static str = "users";
    const INDEXES: &'static [Index<User>] = &[User::BY_TOKEN, User::BY_EMAIL];
}

#[derive(Serialize, Deserialize)]
struct Member {
    user: DocumentId<User>,
    organisation: String,
}

impl Member {
    const BY_BOTH: Index<Member> = Index::unique("by_both", &["user", "organisation"]);
}

impl Table for Member {
    const NAME: &'static str = "members";
    const INDEXES: &'static [Index<Member>] = &[Member::BY_BOTH];
}

fn ensure(ctx: &mut MutationCtx, (): ()) -> Result<()> {
    let who = ctx.identity()?.ok_or_else(|| Error::new("nobody"))?;
    if who.claim("act").is_some() {
        return Err(Error::application(object! { "code" => "ActsForAnother" }));
    }
    let email = who.text("email").unwrap_or_default().to_string();
    let is_verified = who.claim("emailVerified") == Some(&Value::Boolean(true));
    let known = ctx.db().query::<User>();
    let known = known
        .index(User::BY_TOKEN, who.token_identifier())
        .unique()?;
    let user = match known {
        Some(user) => user.id,
        None => {
            let imported = ctx.db().query::<User>();
            let imported = imported.index(User::BY_EMAIL, &email).collect()?;
            let mut imported = imported.into_iter();
            let token = who.token_identifier().to_string();
            match imported.find(|user| is_verified && user.value.token.is_none()) {
                Some(user) => {
                    ctx.db().patch(user.id, object! { "token" => token })?;
                    user.id
                }
                None => ctx.db().insert(User {
                    email,
                    token: Some(token),
                })?,
            }
        }
    };
    let Some(organisation) = who.text("org") else {
        return Ok(());
    };
    let member = ctx.db().query::<Member>();
    let member = member.index_range(Member::BY_BOTH, |range| {
        range.eq("user", user).eq("organisation", organisation)
    });
    if member.unique()?.is_none() {
        let organisation = organisation.to_string();
        ctx.db().insert(Member { user, organisation })?;
    }
    Ok(())
}

fn app() -> Rooms {
    let functions = vec![
        Function::mutation("users:ensureUser", ensure),
        Function::mutation("users:import", |ctx: &mut MutationCtx, (): ()| {
            let email = "ada@example.com".to_string();
            Ok(ctx.db().insert(User { email, token: None })?)
        }),
        Function::query("users:count", |ctx: &mut QueryCtx, (): ()| {
            Ok(ctx.db().query::<User>().count()? as f64)
        }),
        Function::query("users:organisations", |ctx: &mut QueryCtx, (): ()| {
            let members = ctx.db().query::<Member>().collect()?;
            let organisations = members.into_iter().map(|member| member.value.organisation);
            Ok(organisations.collect::<Vec<_>>())
        }),
    ];
    let schema = Schema::new().table::<User>().table::<Member>();
    rooms(schema, functions, Setup::default())
}

impl Rooms {
    async fn enter(
        &self,
        issuer: &str,
        subject: &str,
        claims: vestibule_schema::value::Object,
    ) -> std::result::Result<(), Unprovisioned> {
        let user = VerifiedUser {
            identity: Arc::new(Identity::new(issuer, subject, claims)),
            ..super::person(subject, "")
        };
        self.gate.admit(&user).await.map(drop)
    }

    async fn import(&self) {
        let run = self.functions.mutate(super::nobodys("users:import")).await;
        assert!(matches!(run.unwrap().outcome, FunctionOutcome::Returned(_)));
    }

    async fn read(&self, path: &str) -> Value {
        let call = Call {
            source: CallSource::Function(None),
            ..super::nobodys(path)
        };
        let run = self.functions.query(call, None).await.unwrap();
        match run.outcome {
            QueryOutcome::Done(FunctionOutcome::Returned(value)) => value,
            other => panic!("{path}: {other:?}"),
        }
    }

    async fn users(&self) -> Value {
        self.read("users:count").await
    }
}

const CLERK: &str = "https://clerk.example";
const AUTH0: &str = "https://auth0.example";

fn claims(email: &str, is_verified: bool) -> vestibule_schema::value::Object {
    object! { "email" => email, "emailVerified" => is_verified }
}

#[tokio::test]
async fn f1_and_f7_two_issuers_have_two_users_whatever_their_subjects_and_addresses() {
    let app = app();
    for (issuer, subject) in [(CLERK, "ada"), (AUTH0, "ada"), (AUTH0, "ada-2")] {
        let claims = claims("ada@example.com", true);
        app.enter(issuer, subject, claims).await.unwrap();
    }
    assert_eq!(app.users().await, Value::from(3.0));
}

#[tokio::test]
async fn f6_and_f9_one_who_was_imported_is_found_by_a_verified_address_alone() {
    let app = app();
    app.import().await;
    let unverified = claims("ada@example.com", false);
    app.enter(CLERK, "impostor", unverified).await.unwrap();
    assert_eq!(app.users().await, Value::from(2.0));
    for _ in 0..2 {
        let verified = claims("ada@example.com", true);
        app.enter(CLERK, "ada", verified).await.unwrap();
        assert_eq!(app.users().await, Value::from(2.0));
    }
}

#[tokio::test]
async fn d8_another_organisation_of_the_same_person_is_there_before_it_is_read() {
    let app = app();
    for organisation in ["one", "two", "one"] {
        let claims = object! { "org" => organisation };
        app.enter(CLERK, "ada", claims).await.unwrap();
    }
    let organisations = ["one", "two"].map(Value::from).to_vec();
    assert_eq!(
        app.read("users:organisations").await,
        Value::Array(organisations)
    );
    assert_eq!(app.users().await, Value::from(1.0));
}

#[tokio::test]
async fn d10_whoever_acts_for_another_makes_no_user() {
    let app = app();
    let acting = object! { "act" => Value::Object(object! { "sub" => "support" }) };
    let refused = app.enter(CLERK, "ada", acting).await;
    assert!(
        matches!(refused, Err(Unprovisioned::Refused(_))),
        "{refused:?}"
    );
    assert_eq!(app.users().await, Value::from(0.0));
}
