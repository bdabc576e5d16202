//! Calls of functions that need no user.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::CallError;
use crate::handle::{Handle, Mutation, PendingCall};
use crate::pagination::Pagination;
use crate::session::Scope;
use crate::subscription::Subscription;

/// Calls of functions that need no user, at any step.
///
/// Its calls run as the client's identity at that moment, or without one: call only functions that do not depend on it.
/// A mutation or an action made as one user never runs as another: after a change of users it fails with
/// [`CallError::LoginEnded`]. Subscriptions stay over sign-ins and sign-outs.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use vestibule_client::Client;
///
/// let client = Client::connect("http://127.0.0.1:3210").await?;
/// let people: f64 = client.without_user().query("users:count", ()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct WithoutUser {
    handle: Handle,
}

impl WithoutUser {
    pub(crate) fn new(handle: Handle) -> WithoutUser {
        WithoutUser { handle }
    }

    /// Asks a query once. See [`Client::query`](crate::Client::query).
    pub fn query<T: DeserializeOwned>(&self, path: &str, args: impl Serialize) -> PendingCall<T> {
        self.handle.query(Scope::Anyone, path, &args)
    }

    /// Watches a query. See [`Client::subscribe`](crate::Client::subscribe).
    pub fn subscribe<T: DeserializeOwned>(
        &self,
        path: &str,
        args: impl Serialize,
    ) -> Result<Subscription<T>, CallError> {
        self.handle.subscribe(Scope::Anyone, path, &args)
    }

    /// Watches a query page by page. See [`Client::paginate`](crate::Client::paginate).
    pub fn paginate<T: DeserializeOwned>(
        &self,
        path: &str,
        args: impl Serialize,
        page_size: u32,
    ) -> Result<Pagination<T>, CallError> {
        Pagination::new(self.handle.clone(), Scope::Anyone, path, &args, page_size)
    }

    /// Runs a mutation. See [`Client::mutation`](crate::Client::mutation).
    pub fn mutation<T: DeserializeOwned>(&self, path: &str, args: impl Serialize) -> Mutation<T> {
        self.handle.mutation(Scope::Anyone, path, &args)
    }

    /// Runs an action. See [`Client::action`](crate::Client::action).
    pub fn action<T: DeserializeOwned>(&self, path: &str, args: impl Serialize) -> PendingCall<T> {
        self.handle.action(Scope::Anyone, path, &args)
    }
}
