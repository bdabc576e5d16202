//! The state that all handles of a client share, and the calls that every kind of handle can make.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, RwLock};
use std::task::{Context, Poll};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{oneshot, watch};
use vestibule_schema::{FunctionPath, Value, from_value};

use crate::args::to_args;
use crate::error::CallError;
use crate::inbox::{Command, Inbox, WatcherId};
use crate::optimistic::{LocalStore, Update};
use crate::options::ClientOptions;
use crate::session::{Kind, NewCall, QueryKey, Scope};
use crate::status::Status;
use crate::subscription::{Shown, Subscription};

/// One way to the worker; the client runs as long as there is one.
pub(crate) struct Handle(Arc<Shared>);

/// State shared by handles and the worker.
pub(crate) struct Shared {
    pub inbox: Inbox,
    pub status: watch::Receiver<Status>,
    pub options: ClientOptions,
    /// Held while results that belong together are shown, so that a reader of several results reads one state.
    pub publication: Arc<RwLock<()>>,
}

impl Handle {
    pub fn new(shared: Arc<Shared>) -> Handle {
        shared.inbox.add_handle();
        Handle(shared)
    }

    pub fn inbox(&self) -> &Inbox {
        &self.0.inbox
    }

    pub fn shared(&self) -> &Shared {
        &self.0
    }

    pub fn subscribe<T>(
        &self,
        scope: Scope,
        path: &str,
        args: &impl Serialize,
    ) -> Result<Subscription<T>, CallError> {
        let (path, args) = (path.parse::<FunctionPath>()?, to_args(args)?);
        let watcher = WatcherId(self.inbox().next_id());
        let (show, newest) = watch::channel(Shown::Nothing);
        let key = QueryKey { scope, path, args };
        self.inbox().put(Command::Subscribe(watcher, key, show))?;
        Ok(Subscription::new(self.clone(), watcher, newest))
    }

    pub fn query<T>(&self, scope: Scope, path: &str, args: &impl Serialize) -> PendingCall<T> {
        let (answer, receiver) = oneshot::channel();
        let asked = read_call(path, args).and_then(|(path, args)| {
            let key = QueryKey { scope, path, args };
            Ok(self.inbox().put(Command::Query(key, answer))?)
        });
        self.pending(asked, receiver)
    }

    pub fn action<T>(&self, scope: Scope, path: &str, args: &impl Serialize) -> PendingCall<T> {
        let (answer, receiver) = oneshot::channel();
        let asked = read_call(path, args).and_then(|(path, args)| {
            let call = NewCall {
                kind: Kind::Action,
                path,
                args,
                update: None,
            };
            Ok(self.inbox().put(Command::Call(scope, call, answer))?)
        });
        self.pending(asked, receiver)
    }

    pub fn mutation<T>(&self, scope: Scope, path: &str, args: &impl Serialize) -> Mutation<T> {
        let call = read_call(path, args).map(|(path, args)| NewCall {
            kind: Kind::Mutation,
            path,
            args,
            update: None,
        });
        Mutation {
            handle: self.clone(),
            scope,
            call,
            result: PhantomData,
        }
    }

    fn pending<T>(
        &self,
        asked: Result<(), CallError>,
        receiver: oneshot::Receiver<Result<Value, CallError>>,
    ) -> PendingCall<T> {
        PendingCall {
            handle: self.clone(),
            state: match asked {
                Ok(()) => PendingState::Waits(receiver),
                Err(error) => PendingState::Failed(Some(error)),
            },
            result: PhantomData,
        }
    }
}

fn read_call(
    path: &str,
    args: &impl Serialize,
) -> Result<(FunctionPath, vestibule_schema::Object), CallError> {
    Ok((path.parse()?, to_args(args)?))
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Handle::new(self.0.clone())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.inbox.drop_handle();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0.status.borrow(), f)
    }
}

/// A mutation that has not been sent: await it, or [`Mutation::send`] it and go on.
#[must_use = "a mutation is sent by `.await` or `.send()`"]
pub struct Mutation<T> {
    handle: Handle,
    scope: Scope,
    call: Result<NewCall, CallError>,
    result: PhantomData<fn() -> T>,
}

impl<T> Mutation<T> {
    /// Shows what the mutation is going to do until it has done it. See [`LocalStore`].
    pub fn optimistic(
        mut self,
        update: impl Fn(&mut LocalStore<'_>) + Send + Sync + 'static,
    ) -> Mutation<T> {
        if let Ok(call) = &mut self.call {
            call.update = Some(Update::new(update));
        }
        self
    }

    /// Puts the mutation on its way. It runs after every mutation sent before it, even if it is never awaited.
    pub fn send(self) -> PendingCall<T> {
        let (answer, receiver) = oneshot::channel();
        let asked = self.call.and_then(|call| {
            let command = Command::Call(self.scope, call, answer);
            Ok(self.handle.inbox().put(command)?)
        });
        self.handle.pending(asked, receiver)
    }
}

impl<T: DeserializeOwned> IntoFuture for Mutation<T> {
    type Output = Result<T, CallError>;
    type IntoFuture = PendingCall<T>;

    fn into_future(self) -> PendingCall<T> {
        self.send()
    }
}

impl<T> fmt::Debug for Mutation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutation").finish_non_exhaustive()
    }
}

/// A call on its way: a future of its result. Dropping it does not take the call back.
#[must_use = "a call's failure is told to whoever awaits it"]
pub struct PendingCall<T> {
    handle: Handle,
    state: PendingState,
    result: PhantomData<fn() -> T>,
}

enum PendingState {
    Waits(oneshot::Receiver<Result<Value, CallError>>),
    Failed(Option<CallError>),
}

impl<T: DeserializeOwned> Future for PendingCall<T> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = match &mut self.state {
            PendingState::Failed(error) => {
                let error = error.take();
                return Poll::Ready(Err(error.expect("a future is not polled after its end")));
            }
            PendingState::Waits(receiver) => std::task::ready!(Pin::new(receiver).poll(cx)),
        };
        Poll::Ready(match answered {
            Ok(Ok(value)) => from_value(value).map_err(CallError::Result),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(CallError::Closed(self.handle.inbox().why_closed())),
        })
    }
}

impl<T> Unpin for PendingCall<T> {}

impl<T> fmt::Debug for PendingCall<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCall").finish_non_exhaustive()
    }
}
