//! The client, step by step: a `Client<Connected>` becomes a `Client<Authenticated>` and that a `Client<Provisioned>`.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use vestibule_schema::{ConvertError, Value, from_value};

use crate::error::{
    AuthenticateError, CallError, Closed, ConnectError, EnsureUserError, StepError,
};
use crate::handle::{Handle, Mutation, PendingCall};
use crate::inbox::{Command, NotTaken};
use crate::options::ClientOptions;
use crate::pagination::Pagination;
use crate::session::{LoginId, Scope};
use crate::status::Status;
use crate::subscription::Subscription;
use crate::token::{AnyTokenSource, Token, TokenSource, any_source};
use crate::without_user::WithoutUser;
use crate::worker;

/// A client of one deployment, as far as it has got.
///
/// ```text
/// Client::connect ──▶ Client<Connected> ──authenticate──▶ Client<Authenticated> ──ensure_user──▶ Client<Provisioned>
/// ```
///
/// Only a [`Client<Provisioned>`](Provisioned) can query, subscribe, and run mutations and actions. So a program that
/// would meet "user not found" at a first login does not compile. A step that fails gives the client back in its error.
/// Functions that need no user are called through [`Client::without_user`] at any step. Over reconnects the client
/// walks the same steps again before it sends anything that needs them.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use vestibule_client::{Client, FixedToken, Value, object};
/// # let jwt = String::new();
///
/// let client = Client::connect("https://chat.example").await?
///     .authenticate(FixedToken(jwt)).await?
///     .ensure_user().await?;
/// let send = object! { "channel" => "general", "body" => "hello" };
/// client.mutation::<Value>("messages:send", send).await?;
/// # Ok(())
/// # }
/// ```
///
/// The socket closes when the client, its clones and all its subscriptions are dropped; calls on their way get five
/// seconds to be answered first.
pub struct Client<S> {
    handle: Handle,
    step: S,
}

/// The first step: there is a connection, and it is signed out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connected;

/// The second step: there is an auth token. The server has not seen it yet, because it answers it together with the
/// next step.
#[derive(Clone, Debug)]
pub struct Authenticated {
    login: LoginId,
}

/// The last step: the user's document exists, and every later call sees it.
#[derive(Clone, Debug)]
pub struct Provisioned {
    login: LoginId,
    user: Value,
}

mod sealed {
    use super::{Authenticated, Connected, LoginId, Provisioned};

    pub trait Step {
        fn login(&self) -> Option<LoginId>;
    }

    impl Step for Connected {
        fn login(&self) -> Option<LoginId> {
            None
        }
    }

    impl Step for Authenticated {
        fn login(&self) -> Option<LoginId> {
            Some(self.login)
        }
    }

    impl Step for Provisioned {
        fn login(&self) -> Option<LoginId> {
            Some(self.login)
        }
    }
}

/// That a client may call functions as its user: only [`Provisioned`] may.
#[diagnostic::on_unimplemented(
    message = "a `Client<{Self}>` cannot call functions as its user: only a `Client<Provisioned>` can",
    label = "the user is not provisioned at this step",
    note = "from `Connected`, call `.authenticate(tokens).await?` and then `.ensure_user().await?`",
    note = "from `Authenticated`, call `.ensure_user().await?`",
    note = "a function that needs no user can be called through `.without_user()`"
)]
pub trait MayCall: sealed::Step {}

impl MayCall for Provisioned {}

/// Why [`Client::sign_in`] did not get to its end: the step that failed, with the client before it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SignInError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// There is no auth token.
    #[error(transparent)]
    Authenticate(#[from] StepError<Client<Connected>, AuthenticateError>),
    /// The user was not provisioned.
    #[error(transparent)]
    EnsureUser(#[from] StepError<Client<Authenticated>, EnsureUserError>),
}

impl Client<Connected> {
    /// Connects to the deployment at `address`, as in `https://chat.example`. Returns when the socket is open; from then
    /// on the client opens another by itself whenever it is lost.
    ///
    /// Must be called within a Tokio runtime, which the client then runs on.
    pub async fn connect(address: &str) -> Result<Client<Connected>, ConnectError> {
        Client::connect_with(address, ClientOptions::default()).await
    }

    /// The same, with settings.
    pub async fn connect_with(
        address: &str,
        options: ClientOptions,
    ) -> Result<Client<Connected>, ConnectError> {
        let handle = worker::start(address, options).await?;
        let step = Connected;
        Ok(Client { handle, step })
    }

    /// Gets an auth token, for the user to sign in with.
    ///
    /// Fails when the source has none or gives something that is not a JWT. Whether the server takes it is known with
    /// the next step, [`Client::ensure_user`], which presents it.
    pub async fn authenticate(
        self,
        tokens: impl TokenSource,
    ) -> Result<Client<Authenticated>, StepError<Client<Connected>, AuthenticateError>> {
        match self.log_in(any_source(tokens)).await {
            Ok(login) => Ok(self.into_step(Authenticated { login })),
            Err(reason) => Err(StepError {
                client: self,
                reason,
            }),
        }
    }
}

impl Client<Authenticated> {
    /// Presents the token and has the server provision the user: when it returns, the user's document exists.
    ///
    /// Tries until [`ClientOptions::step_max`] has passed, over lost connections and with a fresh token if the first is
    /// rejected. A refusal by the app ends it at once, with the app's error. After any failure the connection is signed
    /// out, and calling it again on the client in the error tries again without a new sign-in.
    pub async fn ensure_user(
        self,
    ) -> Result<Client<Provisioned>, StepError<Client<Authenticated>, EnsureUserError>> {
        let login = self.step.login;
        match ensure_user(&self.handle, login).await {
            Ok(user) => Ok(self.into_step(Provisioned { login, user })),
            Err(reason) => Err(StepError {
                client: self,
                reason,
            }),
        }
    }

    /// Gives the token up again.
    pub fn sign_out(self) -> Client<Connected> {
        sign_out(&self.handle, self.step.login);
        self.into_step(Connected)
    }
}

impl Client<Provisioned> {
    /// Connects, signs in and provisions the user: the three steps in one.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use vestibule_client::{Client, FixedToken};
    /// # let jwt = String::new();
    ///
    /// let client = Client::sign_in("https://chat.example", FixedToken(jwt)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn sign_in(
        address: &str,
        tokens: impl TokenSource,
    ) -> Result<Client<Provisioned>, SignInError> {
        let connected = Client::connect(address).await?;
        Ok(connected.authenticate(tokens).await?.ensure_user().await?)
    }

    /// The result of the provisioning function: the user's id, by custom.
    pub fn user<T: DeserializeOwned>(&self) -> Result<T, ConvertError> {
        from_value(self.step.user.clone())
    }

    /// Provisions the user again: after [`CallError::NotProvisioned`], say, when the app has let the user back in.
    /// Subscriptions go on where they were.
    pub async fn retry(&mut self) -> Result<(), EnsureUserError> {
        self.step.user = ensure_user(&self.handle, self.step.login).await?;
        Ok(())
    }

    /// Signs out. Later calls of this login's clones are refused with [`CallError::LoginEnded`], and its subscriptions
    /// end. Mutations without an answer are given up with the same error, unless they were sent and are answered before
    /// the connection is lost. They never run as another user.
    pub fn sign_out(self) -> Client<Connected> {
        sign_out(&self.handle, self.step.login);
        self.into_step(Connected)
    }

    /// Lets another user take over. Until there is a token the earlier user stays; then that login ends as by
    /// [`Client::sign_out`], with [`LoginEnd::IdentityChanged`](crate::LoginEnd::IdentityChanged).
    pub async fn switch_user(
        self,
        tokens: impl TokenSource,
    ) -> Result<Client<Authenticated>, StepError<Client<Provisioned>, AuthenticateError>> {
        match self.log_in(any_source(tokens)).await {
            Ok(login) => Ok(self.into_step(Authenticated { login })),
            Err(reason) => Err(StepError {
                client: self,
                reason,
            }),
        }
    }
}

impl<S: sealed::Step> Client<S> {
    /// Where the client stands, to be watched. It moves on its own as connections come and go.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.handle.shared().status.clone()
    }

    /// A handle for functions that need no user. It can be had at every step, and outlives them all.
    pub fn without_user(&self) -> WithoutUser {
        WithoutUser::new(self.handle.clone())
    }

    /// Asks a query once. One that is watched is answered with what it shows, any other by the server; over a lost
    /// connection it waits for the next one. Every mutation of this client that has resolved is in the result.
    pub fn query<T: DeserializeOwned>(&self, path: &str, args: impl Serialize) -> PendingCall<T>
    where
        S: MayCall,
    {
        self.handle.query(self.scope(), path, &args)
    }

    /// Watches a query. Its results are read as `T`; [`Value`] takes anything.
    ///
    /// Fails at once when `path` is no function path or `args` are no arguments; what the query throws is an item of the
    /// stream.
    pub fn subscribe<T: DeserializeOwned>(
        &self,
        path: &str,
        args: impl Serialize,
    ) -> Result<Subscription<T>, CallError>
    where
        S: MayCall,
    {
        self.handle.subscribe(self.scope(), path, &args)
    }

    /// Watches a query page by page, `page_size` documents on the first page and on each that is asked for after it.
    pub fn paginate<T: DeserializeOwned>(
        &self,
        path: &str,
        args: impl Serialize,
        page_size: u32,
    ) -> Result<Pagination<T>, CallError>
    where
        S: MayCall,
    {
        Pagination::new(self.handle.clone(), self.scope(), path, &args, page_size)
    }

    /// Runs a mutation: in order, exactly once even over lost connections, and as this user or not at all. It
    /// resolves when its effect is in every subscription of this client.
    ///
    /// A server remembers only mutations that succeed: a mutation that failed there, and whose answer was lost with its
    /// connection, runs again. By then a later mutation that was sent with it may have committed.
    pub fn mutation<T: DeserializeOwned>(&self, path: &str, args: impl Serialize) -> Mutation<T>
    where
        S: MayCall,
    {
        self.handle.mutation(self.scope(), path, &args)
    }

    /// Runs an action at most once: if the connection is lost while it is under way, it fails with
    /// [`CallError::ConnectionLost`].
    pub fn action<T: DeserializeOwned>(&self, path: &str, args: impl Serialize) -> PendingCall<T>
    where
        S: MayCall,
    {
        self.handle.action(self.scope(), path, &args)
    }

    fn scope(&self) -> Scope {
        self.step.login().map_or(Scope::Anyone, Scope::User)
    }

    fn into_step<N>(self, step: N) -> Client<N> {
        Client {
            handle: self.handle,
            step,
        }
    }

    /// Gets a first token and begins a login with it.
    async fn log_in(&self, source: AnyTokenSource) -> Result<LoginId, AuthenticateError> {
        let fetch_max = self.handle.shared().options.fetch_max;
        let mut token = fetch(&source, false, fetch_max).await?;
        if token.lasts == Some(Duration::ZERO) {
            // The token at hand has run out already.
            token = fetch(&source, true, fetch_max).await?;
        }
        let login = LoginId(self.handle.inbox().next_id());
        let command = Command::Authenticate(login, token, source);
        match self.handle.inbox().put(command) {
            Ok(()) => Ok(login),
            Err(not_taken) => Err(AuthenticateError::Closed(closed(not_taken, &self.handle))),
        }
    }
}

pub(crate) async fn fetch(
    source: &AnyTokenSource,
    force_refresh: bool,
    fetch_max: Duration,
) -> Result<Token, AuthenticateError> {
    let fetched = timeout(fetch_max, source(force_refresh)).await;
    let text = fetched.map_err(|_| AuthenticateError::TimedOut(fetch_max))??;
    Ok(match force_refresh {
        true => Token::read_new(text)?,
        false => Token::read(text)?,
    })
}

async fn ensure_user(handle: &Handle, login: LoginId) -> Result<Value, EnsureUserError> {
    let (answer, answered) = oneshot::channel();
    let command = Command::EnsureUser(login, answer);
    if let Err(not_taken) = handle.inbox().put(command) {
        return Err(EnsureUserError::Closed(closed(not_taken, handle)));
    }
    match answered.await {
        Ok(result) => result,
        Err(_) => Err(EnsureUserError::Closed(handle.inbox().why_closed())),
    }
}

fn sign_out(handle: &Handle, login: LoginId) {
    // A client that has ended is signed out.
    let _ = handle.inbox().put(Command::SignOut(login));
}

fn closed(not_taken: NotTaken, handle: &Handle) -> Closed {
    match not_taken {
        NotTaken::Closed(closed) => closed,
        NotTaken::Full => handle.inbox().why_closed(),
    }
}

/// A step is taken once, so only a client that has taken all of them can be cloned.
impl Clone for Client<Provisioned> {
    fn clone(&self) -> Self {
        Client {
            handle: self.handle.clone(),
            step: self.step.clone(),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("step", &self.step)
            .field("status", &self.handle)
            .finish()
    }
}
