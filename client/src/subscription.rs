//! A live query as a stream.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use vestibule_schema::{ConvertError, from_value};

use crate::error::{Closed, FunctionError, LoginEnd, Unprovisioned};
use crate::handle::Handle;
use crate::inbox::WatcherId;
use crate::session::Outcome;

/// The shown state of a subscription.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shown {
    /// Nothing yet.
    Nothing,
    Outcome(Arc<Outcome>),
    /// Nothing until the user is let in again.
    Suspended(Unprovisioned),
    /// Nothing any more.
    Ended(LoginEnd),
    Closed(Closed),
}

/// Why a subscription has no result to show.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// The query threw. It is still watched, and shown when it returns.
    #[error(transparent)]
    Function(#[from] FunctionError),
    /// The result is not of the type that was asked for. It is still watched.
    #[error("the result has another type: {0}")]
    Result(ConvertError),
    /// The user is no longer let in. It is still watched, and shown after a successful
    /// [`Client::retry`](crate::Client::retry).
    #[error("{0}")]
    NotProvisioned(Unprovisioned),
    /// The login that it was made under is over. It ends with this.
    #[error("the login ended: {0}")]
    LoginEnded(LoginEnd),
    /// The client has ended. It ends with this.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl SubscriptionError {
    fn is_last(&self) -> bool {
        matches!(
            self,
            SubscriptionError::LoginEnded(_) | SubscriptionError::Closed(_)
        )
    }
}

/// A live query: a stream of its results, each of them whole. Dropping it ends the subscription.
///
/// States coalesce: a reader that is slow sees the newest result and not every one in between, so a subscription
/// never holds more than one. Subscriptions to equal queries share one on the wire. Over a lost connection the newest
/// result stays, and changes when the new connection brings another.
///
/// ```no_run
/// # async fn run(client: vestibule_client::Client<vestibule_client::Provisioned>)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// use futures_util::StreamExt;
/// use vestibule_client::object;
///
/// #[derive(serde::Deserialize)]
/// struct Message { body: String }
///
/// let mut messages =
///     client.subscribe::<Vec<Message>>("messages:list", object! { "channel" => "general" })?;
/// while let Some(newest) = messages.next().await {
///     for message in newest? {
///         println!("{}", message.body);
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Subscription<T> {
    handle: Handle,
    watcher: WatcherId,
    newest: watch::Receiver<Shown>,
    changes: WatchStream<Shown>,
    is_over: bool,
    result: PhantomData<fn() -> T>,
}

impl<T> Subscription<T> {
    pub(crate) fn new(
        handle: Handle,
        watcher: WatcherId,
        newest: watch::Receiver<Shown>,
    ) -> Subscription<T> {
        Subscription {
            handle,
            watcher,
            changes: WatchStream::from_changes(newest.clone()),
            newest,
            is_over: false,
            result: PhantomData,
        }
    }

    /// The shown state, undecoded.
    pub(crate) fn shown(&self) -> Shown {
        self.newest.borrow().clone()
    }
}

impl<T: DeserializeOwned> Subscription<T> {
    /// The subscription's current result, without waiting and whether or not the stream has given it; `None` before the
    /// first result. After a mutation of this client has resolved, its effect is in it.
    pub fn latest(&self) -> Option<Result<T, SubscriptionError>> {
        read(self.shown())
    }
}

/// Reads what is shown as a `T`.
pub(crate) fn read<T: DeserializeOwned>(shown: Shown) -> Option<Result<T, SubscriptionError>> {
    let outcome = match shown {
        Shown::Nothing => return None,
        Shown::Outcome(outcome) => outcome,
        Shown::Suspended(reason) => return Some(Err(SubscriptionError::NotProvisioned(reason))),
        Shown::Ended(end) => return Some(Err(SubscriptionError::LoginEnded(end))),
        Shown::Closed(closed) => return Some(Err(SubscriptionError::Closed(closed))),
    };
    Some(match Arc::unwrap_or_clone(outcome) {
        Ok(value) => from_value(value).map_err(SubscriptionError::Result),
        Err(error) => Err(SubscriptionError::Function(error)),
    })
}

impl<T: DeserializeOwned> Stream for Subscription<T> {
    type Item = Result<T, SubscriptionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.is_over {
            let Some(shown) = ready!(Pin::new(&mut self.changes).poll_next(cx)) else {
                self.is_over = true;
                let closed = self.handle.inbox().why_closed();
                return Poll::Ready(Some(Err(SubscriptionError::Closed(closed))));
            };
            let Some(item) = read(shown) else { continue };
            self.is_over = matches!(&item, Err(error) if error.is_last());
            return Poll::Ready(Some(item));
        }
        Poll::Ready(None)
    }
}

impl<T> Unpin for Subscription<T> {}

impl<T> Drop for Subscription<T> {
    fn drop(&mut self) {
        self.handle.inbox().drop_watcher(self.watcher);
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("shown", &self.shown())
            .finish()
    }
}
