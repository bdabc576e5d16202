//! Where a client stands, as a value that can be watched.

use crate::error::{Closed, LoginEnd, Unprovisioned};

/// Where a client stands: its connection and its login, which move by themselves.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use vestibule_client::{Client, ConnectionStatus};
///
/// let client = Client::connect("http://127.0.0.1:3210").await?;
/// let mut status = client.status();
/// while status.changed().await.is_ok() {
///     if let ConnectionStatus::Waiting { attempt } = status.borrow_and_update().connection {
///         println!("offline, {attempt} attempts so far");
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// The socket.
    pub connection: ConnectionStatus,
    /// The state of the login.
    pub login: LoginStatus,
}

/// How the connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionStatus {
    /// A socket is being opened. `attempt` counts from 1 since the connection was last in order.
    Connecting {
        /// Which try this is.
        attempt: u32,
    },
    /// The socket is open.
    Connected,
    /// The socket was lost or could not be opened; the next try comes after a pause.
    Waiting {
        /// How many tries there were.
        attempt: u32,
    },
    /// The client has ended for good.
    Closed(Closed),
}

/// How far a login is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LoginStatus {
    /// The client is signed out.
    Nobody,
    /// An auth token is at hand; the user is not provisioned and was not asked to be.
    Authenticated,
    /// The user is being provisioned: for the first time, or again on a new connection.
    Provisioning,
    /// Everything may run as the user.
    Provisioned,
    /// The user was provisioned and the auth token has run out or was rejected: another is being fetched. The newest
    /// results stay, calls wait.
    Refreshing,
    /// The user is not let in, or is no longer let in.
    Unprovisioned(Unprovisioned),
    /// The login is over, and no user has signed in since.
    Ended(LoginEnd),
}
