//! An app under test: the rooms of a server in this process, without a network. Users are signed in by one call, through
//! the same gate as on a connection, and time passes when the test says so.
//!
//! ```
//! use std::time::Duration;
//!
//! use serde::{Deserialize, Serialize};
//! use vestibule_server::prelude::*;
//! use vestibule_server::testing::TestApp;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Note { text: String }
//!
//! impl Table for Note {
//!     const NAME: &'static str = "notes";
//! }
//!
//! fn add(ctx: &mut MutationCtx, note: Note) -> Result<DocumentId<Note>> {
//!     let id = ctx.db().insert(note)?;
//!     ctx.scheduler().run_after(Duration::from_secs(60), "notes:remove", object! { "id" => id.to_string() })?;
//!     Ok(id)
//! }
//!
//! #[derive(Deserialize)]
//! struct Remove { id: DocumentId<Note> }
//!
//! fn remove(ctx: &mut MutationCtx, args: Remove) -> Result<()> {
//!     Ok(ctx.db().delete(args.id)?)
//! }
//!
//! fn list(ctx: &mut QueryCtx, (): ()) -> Result<Vec<String>> {
//!     let notes = ctx.db().query::<Note>().collect()?;
//!     Ok(notes.into_iter().map(|note| note.value.text).collect())
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<()> {
//! let app = App::new(Schema::new().table::<Note>())
//!     .mutation("notes:add", add)
//!     .function(Function::mutation("notes:remove", remove).internal())
//!     .query("notes:list", list)
//!     .without_provisioning();
//! let app = TestApp::start(app).await?;
//! let ada = app.sign_in("ada").await?;
//!
//! let mut notes = ada.subscribe::<Vec<String>>("notes:list", ())?;
//! assert!(notes.next().await?.is_empty());
//!
//! ada.mutation::<String>("notes:add", object! { "text" => "Buy milk" }).await?;
//! notes.until(|notes| notes == &["Buy milk"]).await?;
//!
//! // A minute later the scheduled function runs.
//! app.advance(Duration::from_secs(60));
//! notes.until(|notes| notes.is_empty()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Data is in a temporary directory, which goes with the [`TestApp`]. Where `TMPDIR` names a file system in memory, so is
//! the database.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use vestibule_schema::convert::{from_value, to_value};
use vestibule_schema::identity::Identity;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::{Object, Value};
use vestibule_schema::wire::QueryId;

use crate::app::running::Opened;
use crate::app::{App, Config, StartError};
use crate::auth::{Caller, VerifiedUser};
use crate::clock::{Clock, ManualClock, SystemClock, UnixNanos};
use crate::functions::{Call, CallSource, Error, FunctionOutcome, Functions, QueryOutcome, Result};
use crate::jobs::Jobs;
use crate::provisioning::{Gate, Unprovisioned};
use crate::subscriptions::{LiveQueries, Moment, QuerySetChange, QuerySpec, Subscriber};

/// The issuer of the users that [`TestApp::sign_in`] signs in.
pub const ISSUER: &str = "https://issuer.test";

/// The longest wait for a state that a test expects, in real time. Only a test that fails waits so long.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// An app that runs in this process, for one test.
pub struct TestApp {
    clock: Arc<ManualClock>,
    functions: Arc<Functions>,
    gate: Arc<Gate>,
    live: Arc<LiveQueries>,
    // In the order in which they end.
    _jobs: Jobs,
    _opened: Opened,
    _data: TempDir,
}

impl TestApp {
    /// Starts `app` on an empty database. Its clock begins at the present moment, and stands until
    /// [`advance`](TestApp::advance) moves it.
    pub async fn start(app: App) -> Result<TestApp, StartError> {
        let data = tempfile::tempdir().map_err(|source| StartError::DataDirectory {
            directory: std::env::temp_dir().display().to_string(),
            source,
        })?;
        TestApp::start_in(app, data).await
    }

    async fn start_in(app: App, data: TempDir) -> Result<TestApp, StartError> {
        let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
        let app = app.clock(clock.clone());
        let mut config = Config::for_tests(data.path());
        // Nobody asks for a token: users are signed in as if theirs had been verified.
        config.dev_issuer = Some(false);
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let opened = Opened::open(&app, &config, nowhere, None).await?;
        let rooms = opened.rooms();
        Ok(TestApp {
            clock,
            functions: rooms.functions.clone(),
            gate: rooms.gate.clone(),
            live: rooms.live.clone(),
            _jobs: rooms.start_jobs(&app, &config),
            _opened: opened,
            _data: data,
        })
    }

    /// Signs in the user whose subject and name is `name`, with a verified address below `example.com`. As on a
    /// connection, the provisioning function has committed before this returns; an error is the one with which it
    /// refused.
    pub async fn sign_in(&self, name: &str) -> Result<TestUser> {
        let claims = vestibule_schema::object! {
            "name" => name,
            "email" => format!("{name}@example.com"),
            "emailVerified" => true,
        };
        self.sign_in_with(name, claims).await
    }

    /// Signs in the user with this subject and these claims, under the names that
    /// [`UserIdentity`](crate::auth::UserIdentity) gives them.
    pub async fn sign_in_with(&self, subject: &str, claims: Object) -> Result<TestUser> {
        let user = VerifiedUser {
            identity: Arc::new(Identity::new(ISSUER, subject, claims)),
            expires_at: UnixNanos(u64::MAX),
            needs_provisioning: true,
            provider_gone: CancellationToken::new(),
        };
        let admitted = self.gate.admit(&user).await;
        let caller = admitted.map_err(|why| match why {
            Unprovisioned::Refused(thrown) => Error::from_thrown(thrown),
            Unprovisioned::Failed { reason }
            | Unprovisioned::Missing { reason }
            | Unprovisioned::NeverCame { reason } => Error::new(reason),
        })?;
        Ok(self.calling_as(caller))
    }

    /// A client that is signed out.
    pub fn signed_out(&self) -> TestUser {
        self.calling_as(Caller::nobody())
    }

    /// The holder of an admin key, who may call internal functions too.
    pub fn admin(&self) -> TestUser {
        self.calling_as(Caller::admin())
    }

    fn calling_as(&self, caller: Caller) -> TestUser {
        TestUser {
            functions: self.functions.clone(),
            live: self.live.clone(),
            caller,
        }
    }

    /// Lets so much time pass since the newest commit. Scheduled functions and crons that are due then run; wait for what
    /// they change with [`Subscription::until`].
    pub fn advance(&self, duration: Duration) {
        // Commits are nanoseconds apart while the clock stands, and due times are rounded.
        let newest = self.functions.database().durable_ts().0;
        let ahead = Duration::from_nanos(newest.saturating_sub(self.clock.now().0));
        self.clock
            .advance(duration + ahead + Duration::from_micros(1));
    }

    /// The clock that the app goes by.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }
}

/// A client of an app under test, signed in or not. Cheap to clone.
#[derive(Clone)]
pub struct TestUser {
    functions: Arc<Functions>,
    live: Arc<LiveQueries>,
    caller: Caller,
}

impl TestUser {
    /// Runs a query.
    pub async fn query<R: DeserializeOwned>(&self, path: &str, args: impl Serialize) -> Result<R> {
        let (result, _) = self.live.query(self.call(path, args)?).await?;
        returned(&result.outcome)
    }

    /// Runs a mutation, and returns once it is durable.
    pub async fn mutation<R: DeserializeOwned>(
        &self,
        path: &str,
        args: impl Serialize,
    ) -> Result<R> {
        let run = self.functions.mutate(self.call(path, args)?).await?;
        value_of(&run.outcome)
    }

    /// Runs an action to its end.
    pub async fn action<R: DeserializeOwned>(&self, path: &str, args: impl Serialize) -> Result<R> {
        let run = self.functions.act(self.call(path, args)?).await?;
        value_of(&run.outcome)
    }

    /// Watches a query, which runs again whenever a commit changes what it read.
    pub fn subscribe<R: DeserializeOwned>(
        &self,
        path: &str,
        args: impl Serialize,
    ) -> Result<Subscription<R>> {
        let Call { path, args, .. } = self.call(path, args)?;
        let wake = Arc::new(Notify::new());
        let mut subscriber = Subscriber::new(self.live.clone(), self.caller.clone(), wake.clone());
        let change = QuerySetChange {
            added: BTreeMap::from([(QUERY, QuerySpec::new(path, args, None))]),
            ..QuerySetChange::default()
        };
        match subscriber.modify(change).is_empty() {
            true => Ok(Subscription {
                subscriber,
                functions: self.functions.clone(),
                wake,
                result: PhantomData,
            }),
            false => Err(Error::new("the deployment has no room for another query")),
        }
    }

    fn call(&self, path: &str, args: impl Serialize) -> Result<Call> {
        let path: FunctionPath = path.parse()?;
        let args = match to_value(&args)? {
            Value::Null => Value::Object(Object::new()),
            args => args,
        };
        Ok(Call {
            path,
            args,
            caller: self.caller.clone(),
            source: CallSource::Client(None),
        })
    }
}

/// The only query of a subscriber.
const QUERY: QueryId = QueryId(0);

/// A query that is watched, until it is dropped.
pub struct Subscription<R> {
    subscriber: Subscriber,
    functions: Arc<Functions>,
    wake: Arc<Notify>,
    result: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned> Subscription<R> {
    /// The first result, then each one that differs from the one before. Results that are overtaken before they are
    /// asked for are left out. An error is what the query threw.
    pub async fn next(&mut self) -> Result<R> {
        let next = tokio::time::timeout(WAIT_MAX, self.changed()).await;
        next.unwrap_or_else(|_| Err(late("another result")))
    }

    /// Waits for a result that `is_wanted` accepts. A test waits for a state with it, never for a time.
    pub async fn until(&mut self, is_wanted: impl Fn(&R) -> bool) -> Result<R> {
        let wanted = async {
            loop {
                let result = self.changed().await?;
                if is_wanted(&result) {
                    return Ok(result);
                }
            }
        };
        let wanted = tokio::time::timeout(WAIT_MAX, wanted).await;
        wanted.unwrap_or_else(|_| Err(late("the result that was waited for")))
    }

    async fn changed(&mut self) -> Result<R> {
        loop {
            // What was told to anybody before is seen.
            let told = self.functions.database().durable_ts();
            match self.subscriber.assemble(told, Timestamp::ZERO) {
                Moment::Failed(error) => return Err(error.into()),
                Moment::At { changed, .. } => {
                    if let Some((_, result)) = changed.first() {
                        return returned(&result.outcome);
                    }
                }
                Moment::NotYet => {}
            }
            self.wake.notified().await;
        }
    }
}

fn late(what: &str) -> Error {
    Error::new(format!("{what} did not come within {WAIT_MAX:?}"))
}

fn returned<R: DeserializeOwned>(outcome: &QueryOutcome) -> Result<R> {
    match outcome {
        QueryOutcome::Done(outcome) => value_of(outcome),
        QueryOutcome::Suspended => Err(Error::new("the caller's identity cannot be seen")),
    }
}

fn value_of<R: DeserializeOwned>(outcome: &FunctionOutcome) -> Result<R> {
    match outcome {
        FunctionOutcome::Returned(value) => Ok(from_value(value.clone())?),
        FunctionOutcome::Threw(thrown) => Err(Error::from_thrown(thrown.clone())),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use vestibule_schema::id::DocumentId;
    use vestibule_schema::object;
    use vestibule_schema::table::{Index, Schema, Table};

    use super::*;
    use crate::functions::{ActionCtx, Function, MutationCtx, QueryCtx, ReadCtx};

    #[derive(Serialize, Deserialize)]
    struct Person {
        token: String,
        visits: f64,
    }

    impl Person {
        const BY_TOKEN: Index<Person> = Index::unique("by_token", &["token"]);
    }

    impl Table for Person {
        const NAME: &'static str = "people";
        const INDEXES: &'static [Index<Person>] = &[Person::BY_TOKEN];
    }

    /// The most visits that are counted, as the program says.
    struct Most(f64);

    fn ensure(ctx: &mut MutationCtx<'_>, (): ()) -> Result<()> {
        let Some(identity) = ctx.identity()? else {
            return Err(Error::new("nobody"));
        };
        if identity.text("name") == Some("eve") {
            return Err(Error::application("NotInvited"));
        }
        let token = identity.token_identifier().to_owned();
        let people = ctx.db().query::<Person>();
        if people.index(Person::BY_TOKEN, &token).first()?.is_none() {
            ctx.db().insert(Person { token, visits: 0.0 })?;
        }
        Ok(())
    }

    fn caller<'v>(ctx: &mut impl ReadCtx<'v>) -> Result<Option<(DocumentId<Person>, f64)>> {
        let Some(identity) = ctx.identity()? else {
            return Ok(None);
        };
        let people = ctx.db().query::<Person>();
        let person = people.index(Person::BY_TOKEN, identity.token_identifier());
        let person = person.unique()?.ok_or_else(|| Error::new("no user"))?;
        Ok(Some((person.id, person.visits)))
    }

    fn visits(ctx: &mut QueryCtx<'_>, (): ()) -> Result<Option<f64>> {
        Ok(caller(ctx)?.map(|(_, visits)| visits))
    }

    fn visit(ctx: &mut MutationCtx<'_>, (): ()) -> Result<f64> {
        let most = ctx.state::<Most>()?.0;
        let (id, _) = caller(ctx)?.ok_or_else(|| Error::application("NotSignedIn"))?;
        let person = ctx
            .db()
            .modify(id, |person| person.visits = (person.visits + 1.0).min(most))?;
        Ok(person.map_or(0.0, |person| person.visits))
    }

    fn visit_later(ctx: &mut MutationCtx<'_>, (): ()) -> Result<()> {
        let (id, _) = caller(ctx)?.ok_or_else(|| Error::application("NotSignedIn"))?;
        let args = object! { "id" => id.to_string() };
        ctx.scheduler()
            .run_after(Duration::from_secs(3_600), "people:add", args)?;
        Ok(())
    }

    #[derive(Deserialize)]
    struct Add {
        id: DocumentId<Person>,
    }

    fn add(ctx: &mut MutationCtx<'_>, args: Add) -> Result<()> {
        ctx.db().modify(args.id, |person| person.visits += 10.0)?;
        Ok(())
    }

    async fn visit_twice(ctx: ActionCtx, (): ()) -> Result<f64> {
        ctx.run_mutation::<f64>("people:visit", ()).await?;
        ctx.run_mutation("people:visit", ()).await
    }

    async fn people() -> TestApp {
        let app = App::new(Schema::new().table::<Person>())
            .state(Most(3.0))
            .mutation("people:ensure", ensure)
            .query("people:visits", visits)
            .mutation("people:visit", visit)
            .mutation("people:visitLater", visit_later)
            .function(Function::mutation("people:add", add).internal())
            .action("people:visitTwice", visit_twice)
            .provision_with("people:ensure")
            .users_by(Person::BY_TOKEN);
        TestApp::start(app).await.unwrap()
    }

    #[tokio::test]
    async fn a_users_first_query_finds_the_user_and_a_refused_one_never_calls() {
        let app = people().await;
        let ada = app.sign_in("ada").await.unwrap();
        assert_eq!(ada.query::<f64>("people:visits", ()).await.unwrap(), 0.0);
        let refused = app.sign_in("eve").await.err().unwrap();
        assert_eq!(refused.data(), Some(&Value::from("NotInvited")));
        let nobody = app.signed_out();
        let none = nobody.query::<Option<f64>>("people:visits", ()).await;
        assert_eq!(none.unwrap(), None);
        let refused = nobody.mutation::<f64>("people:visit", ()).await;
        assert_eq!(
            refused.unwrap_err().data(),
            Some(&Value::from("NotSignedIn"))
        );
    }

    #[tokio::test]
    async fn functions_run_as_their_user_and_subscriptions_show_it() {
        let app = people().await;
        let (ada, bob) = (
            app.sign_in("ada").await.unwrap(),
            app.sign_in("bob").await.unwrap(),
        );
        let mut shown = ada.subscribe::<f64>("people:visits", ()).unwrap();
        assert_eq!(shown.next().await.unwrap(), 0.0);
        assert_eq!(ada.mutation::<f64>("people:visit", ()).await.unwrap(), 1.0);
        assert_eq!(shown.next().await.unwrap(), 1.0);
        assert_eq!(
            ada.action::<f64>("people:visitTwice", ()).await.unwrap(),
            3.0
        );
        assert_eq!(ada.mutation::<f64>("people:visit", ()).await.unwrap(), 3.0);
        assert_eq!(shown.until(|visits| *visits == 3.0).await.unwrap(), 3.0);
        assert_eq!(bob.query::<f64>("people:visits", ()).await.unwrap(), 0.0);
    }

    #[tokio::test]
    async fn a_scheduled_function_runs_when_the_clock_is_turned() {
        let app = people().await;
        let ada = app.sign_in("ada").await.unwrap();
        let mut shown = ada.subscribe::<f64>("people:visits", ()).unwrap();
        ada.mutation::<()>("people:visitLater", ()).await.unwrap();
        assert_eq!(shown.next().await.unwrap(), 0.0);
        app.advance(Duration::from_secs(3_600));
        assert_eq!(shown.until(|visits| *visits > 0.0).await.unwrap(), 10.0);
    }

    #[tokio::test]
    async fn internal_functions_are_for_administrators() {
        let app = people().await;
        let ada = app.sign_in("ada").await.unwrap();
        let args = object! { "id" => "none" };
        let refused = ada
            .mutation::<()>("people:add", args.clone())
            .await
            .unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("Could not find public function"),
            "{refused}"
        );
        let invalid = app
            .admin()
            .mutation::<()>("people:add", args)
            .await
            .unwrap_err();
        assert!(
            invalid.to_string().contains("ArgumentValidationError"),
            "{invalid}"
        );
    }

    #[tokio::test]
    async fn state_that_was_not_handed_in_is_named() {
        let app = App::new(Schema::new())
            .query("most", |ctx: &mut QueryCtx<'_>, (): ()| {
                Ok(ctx.state::<Most>()?.0)
            })
            .without_provisioning();
        let app = TestApp::start(app).await.unwrap();
        let missing = app.signed_out().query::<f64>("most", ()).await.unwrap_err();
        assert!(
            missing
                .to_string()
                .contains("no state of type `vestibule_server::testing::tests::Most`")
        );
    }
}
