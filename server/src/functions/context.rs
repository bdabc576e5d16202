//! The contexts of queries and mutations: the database, the caller's identity and a console.

use std::sync::Arc;

use vestibule_schema::path::ComponentPath;
use vestibule_schema::timestamp::Timestamp;

use super::console::Console;
use super::error::{Error, IDENTITY_HIDDEN, Result};
use super::registry::Registry;
use super::runner::CallSource;
use super::scheduler::Scheduler;
use super::storage::{StorageReader, StorageWriter};
use crate::auth::{Caller, ClaimsRead, IdentityAccess, UserIdentity};
use crate::database::{CommitTsPlaces, DatabaseReader, DatabaseWriter, PageBorders, Transaction};

/// The runner's observations of an execution, beside its result.
#[derive(Debug, Default)]
pub struct Observed {
    /// The function asked for the identity, so its result is that identity's own.
    pub identity: bool,
    /// The identity it was given, when the caller is signed in.
    user: Option<UserIdentity>,
    /// It looked while the identity must not be seen yet.
    pub suspended: bool,
    /// It asked what time it is.
    pub time: bool,
    /// The places of its result that hold the timestamp of the commit.
    pub(super) places: CommitTsPlaces,
    /// The border of the first page that a nested call reads.
    pub(super) nested_page: NestedPage,
}

/// The border of a page that a function reads through a nested call. A mark tells such a border from that of a page which
/// the function itself reads. The first nested call that reads a page takes the border and leaves the next one, as one
/// function does that reads a page itself.
#[derive(Debug, Default)]
pub(super) struct NestedPage {
    borders: PageBorders,
    /// A function on the way to the call has read the page itself, so what it calls reads another.
    is_shut: bool,
}

impl NestedPage {
    const MARK: &str = "nested:";

    /// Takes the border of a nested page out of an execution's borders.
    pub fn of(borders: &mut PageBorders) -> NestedPage {
        let border = borders
            .previous
            .take_if(|text| text.starts_with(Self::MARK));
        NestedPage {
            borders: PageBorders {
                previous: border.map(|text| text[Self::MARK.len()..].to_owned()),
                ..PageBorders::default()
            },
            is_shut: false,
        }
    }

    /// The borders of a nested call.
    pub fn lend(&self) -> PageBorders {
        let is_free = !self.borders.used && !self.is_shut;
        let previous = self.borders.previous.clone().filter(|_| is_free);
        PageBorders {
            previous,
            is_inherited: true,
            ..PageBorders::default()
        }
    }

    /// Takes the border that a nested call left.
    pub fn take_back(&mut self, borders: PageBorders) {
        if borders.used && !self.borders.used && !self.is_shut {
            self.borders.used = true;
            self.borders.next = borders.next;
        }
    }

    /// Before a function that was lent these `borders` calls another one. Hand what comes back to [`Self::called`].
    pub fn calling(&mut self, borders: &PageBorders) -> bool {
        let was_shut = self.is_shut;
        self.is_shut |= borders.is_inherited && borders.used;
        was_shut
    }

    /// After that call: a border that it took is no longer the caller's.
    pub fn called(&mut self, was_shut: bool, borders: &mut PageBorders) {
        self.is_shut = was_shut;
        if self.borders.used && borders.is_inherited && !borders.used {
            borders.previous = None;
        }
    }

    /// Leaves the border in an execution's borders, unless the function itself has read a page.
    pub fn leave(&mut self, borders: &mut PageBorders) {
        if !borders.used {
            let border = self.borders.next.take();
            borders.next = border.map(|text| format!("{}{text}", Self::MARK));
        }
    }
}

/// The parts that queries and mutations share.
pub(super) struct Execution<'v> {
    pub db: DatabaseWriter<'v>,
    pub caller: Caller,
    pub console: Console,
    pub observed: Observed,
    /// Where the call comes from.
    pub source: CallSource,
}

impl Observed {
    /// The claims looked at; `None` when the function never asked for the identity.
    pub fn claims_read(&self) -> Option<ClaimsRead> {
        let read = || self.user.as_ref().map(UserIdentity::claims_read);
        self.identity.then(|| read().unwrap_or_default())
    }

    /// The identity of `caller`, which the function asks for.
    pub fn look_at(&mut self, caller: &Caller) -> Result<Option<UserIdentity>> {
        self.identity = true;
        match caller.identity() {
            IdentityAccess::Known(None) => Ok(None),
            IdentityAccess::Known(Some(identity)) => {
                let new = || UserIdentity::new(identity.clone());
                Ok(Some(self.user.get_or_insert_with(new).clone()))
            }
            IdentityAccess::Suspended => {
                self.suspended = true;
                Err(Error::plain(IDENTITY_HIDDEN))
            }
        }
    }
}

impl<'v> Execution<'v> {
    pub fn new(tx: Transaction<'v>, caller: Caller, journal: Option<String>) -> Self {
        let borders = PageBorders {
            previous: journal,
            ..PageBorders::default()
        };
        Execution {
            db: DatabaseWriter::new(tx, borders),
            caller,
            console: Console::default(),
            observed: Observed::default(),
            source: CallSource::Function(None),
        }
    }

    fn identity(&mut self) -> Result<Option<UserIdentity>> {
        self.observed.look_at(&self.caller)
    }

    fn state<S: Send + Sync + 'static>(&self) -> Result<Arc<S>> {
        Registry::of(self.db.tx.definitions()).state()
    }
}

/// The context of a query or a mutation, for helpers that read and serve both.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use vestibule_server::prelude::*;
/// # #[derive(Serialize, Deserialize)]
/// # struct User { token: String, name: String }
/// # impl User {
/// #     const BY_TOKEN: Index<User> = Index::unique("by_token", &["token"]);
/// # }
/// # impl Table for User {
/// #     const NAME: &'static str = "users";
/// #     const INDEXES: &'static [Index<User>] = &[User::BY_TOKEN];
/// # }
/// fn caller<'v>(ctx: &mut impl ReadCtx<'v>) -> Result<Document<User>> {
///     let identity = ctx.identity()?.ok_or_else(|| Error::application("NotSignedIn"))?;
///     let user = ctx.db().query::<User>().index(User::BY_TOKEN, identity.token_identifier()).unique()?;
///     user.ok_or_else(|| Error::application("UserNotFound"))
/// }
///
/// fn my_name(ctx: &mut QueryCtx, (): ()) -> Result<String> {
///     Ok(caller(ctx)?.value.name)
/// }
///
/// fn delete_me(ctx: &mut MutationCtx, (): ()) -> Result<()> {
///     let user = caller(ctx)?;
///     Ok(ctx.db().delete(user.id)?)
/// }
/// # let app = App::new(Schema::new().table::<User>()).query("users:name", my_name).mutation("users:delete", delete_me);
/// ```
pub trait ReadCtx<'v> {
    /// Reads documents.
    fn db(&mut self) -> &mut DatabaseReader<'v>;

    /// The verified identity of the caller, `None` when the caller is signed out.
    fn identity(&mut self) -> Result<Option<UserIdentity>>;

    /// Logs to the client's console in development.
    fn console(&mut self) -> &mut Console;

    /// The value of this type that the program put into `App::state`.
    fn state<S: Send + Sync + 'static>(&self) -> Result<Arc<S>>;
}

macro_rules! read_ctx {
    ($($context:ident),*) => {$(
        impl $context<'_> {
            /// The component that a function of the system is to look at.
            pub(crate) fn component(&self) -> &ComponentPath {
                self.execution.db.tx.component()
            }

            /// The arguments of the function name another component.
            pub(crate) fn set_component(&mut self, component: ComponentPath) {
                self.execution.db.tx.enter(component);
            }
        }

        impl<'v> ReadCtx<'v> for $context<'v> {
            fn db(&mut self) -> &mut DatabaseReader<'v> {
                &mut self.execution.db
            }

            fn identity(&mut self) -> Result<Option<UserIdentity>> {
                self.execution.identity()
            }

            fn console(&mut self) -> &mut Console {
                &mut self.execution.console
            }

            fn state<S: Send + Sync + 'static>(&self) -> Result<Arc<S>> {
                self.execution.state()
            }
        }
    )*};
}

read_ctx!(QueryCtx, MutationCtx);

/// The context of a query.
pub struct QueryCtx<'v> {
    pub(super) execution: Execution<'v>,
}

impl<'v> QueryCtx<'v> {
    /// Reads documents.
    pub fn db(&mut self) -> &mut DatabaseReader<'v> {
        &mut self.execution.db
    }

    /// The verified identity of the caller, `None` when the caller is signed out. Results of a query that asks are kept
    /// apart by identity, and by the claims that it looks at. Results of a query that does not ask are shared by all
    /// callers.
    pub fn identity(&mut self) -> Result<Option<UserIdentity>> {
        self.execution.identity()
    }

    /// Looks at files.
    pub fn storage(&mut self) -> StorageReader<'_, 'v> {
        let tx = &mut self.execution.db.tx;
        StorageReader { tx }
    }

    /// Logs to the client's console in development.
    pub fn console(&mut self) -> &mut Console {
        &mut self.execution.console
    }

    /// The value of this type that the program put into `App::state`.
    pub fn state<S: Send + Sync + 'static>(&self) -> Result<Arc<S>> {
        self.execution.state()
    }

    /// The commit that this query sees.
    pub fn snapshot_ts(&self) -> Timestamp {
        self.execution.db.tx.snapshot_ts()
    }
}

/// The context of a mutation.
pub struct MutationCtx<'v> {
    pub(super) execution: Execution<'v>,
}

impl<'v> MutationCtx<'v> {
    /// Reads and writes documents.
    pub fn db(&mut self) -> &mut DatabaseWriter<'v> {
        &mut self.execution.db
    }

    /// The verified identity of the caller, `None` when the caller is signed out.
    pub fn identity(&mut self) -> Result<Option<UserIdentity>> {
        self.execution.identity()
    }

    /// Looks at files, stores and deletes them.
    pub fn storage(&mut self) -> StorageWriter<'_, 'v> {
        StorageWriter {
            tx: &mut self.execution.db.tx,
            asked_by: self.execution.caller.identity_key(),
        }
    }

    /// Logs to the client's console in development.
    pub fn console(&mut self) -> &mut Console {
        &mut self.execution.console
    }

    /// The value of this type that the program put into `App::state`.
    pub fn state<S: Send + Sync + 'static>(&self) -> Result<Arc<S>> {
        self.execution.state()
    }

    /// Schedules functions, and cancels them, as a part of this mutation's transaction.
    pub fn scheduler(&mut self) -> Scheduler<'_, 'v> {
        Scheduler {
            tx: &mut self.execution.db.tx,
            console: &mut self.execution.console,
            by: self.execution.source.scheduled(),
        }
    }

    /// The timestamp that the commit will carry. Beside the lane, or where a function in TypeScript has called this one, the
    /// earliest that it may carry.
    pub fn commit_ts(&self) -> Timestamp {
        self.execution
            .db
            .tx
            .commit_ts()
            .unwrap_or(self.execution.db.tx.snapshot_ts())
    }
}
