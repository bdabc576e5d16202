//! The Rust client of Vestibule: live queries, mutations and actions over one connection that mends itself, and a first
//! login in types. It works with any server that speaks the sync protocol.
//!
//! ```no_run
//! use futures_util::StreamExt;
//! use vestibule_client::{Client, FixedToken, Value, object};
//!
//! # async fn run(jwt: String) -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("http://127.0.0.1:3210").await?   // Client<Connected>
//!     .authenticate(FixedToken(jwt)).await?                      // Client<Authenticated>
//!     .ensure_user().await?;                                     // Client<Provisioned>: only this one can …
//!
//! let channel = object! { "channel" => "general" };
//! let mut messages = client.subscribe::<Vec<Value>>("messages:list", &channel)?;
//! while let Some(newest) = messages.next().await {
//!     println!("{} messages", newest?.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - [`Client`]: the steps, and the calls that the last of them allows.
//! - [`TokenSource`]: where auth tokens come from.
//! - [`Subscription`] and [`Pagination`]: live results as streams.
//! - [`Mutation`] and [`LocalStore`]: mutations and optimistic updates.
//! - [`Status`]: where the client stands, to be watched.
//! - [`Connection`]: the protocol message by message, for tools and tests.

#![warn(missing_docs)]

mod address;
mod args;
mod client;
mod connection;
mod error;
mod handle;
mod inbox;
mod optimistic;
mod options;
mod pagination;
mod session;
mod socket;
mod status;
mod subscription;
mod token;
mod without_user;
mod worker;

pub use client::{Authenticated, Client, Connected, MayCall, Provisioned, SignInError};
pub use connection::{Connection, ConnectionError};
pub use error::{
    AuthenticateError, CallError, Closed, ConnectError, EnsureUserError, FunctionError, LoginEnd,
    StepError, Unprovisioned,
};
pub use handle::{Mutation, PendingCall};
pub use optimistic::LocalStore;
pub use options::{CALLS_PENDING_MAX, ClientOptions};
pub use pagination::{Pages, Pagination, PaginationError};
pub use status::{ConnectionStatus, LoginStatus, Status};
pub use subscription::{Subscription, SubscriptionError};
pub use token::{FixedToken, TokenError, TokenSource, UnreadableToken};
pub use vestibule_schema::{Object, Value, object};
pub use without_user::WithoutUser;
