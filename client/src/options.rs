//! Settings of a client, each with its bound and unit.

use std::time::Duration;

use vestibule_schema::{FunctionPath, FunctionPathError};

/// Calls that may wait for their outcome at once; more are refused with
/// [`CallError::TooManyCalls`](crate::CallError::TooManyCalls).
pub const CALLS_PENDING_MAX: usize = 10_000;

/// Settings of a client. The default suits a program that talks to a Vestibule deployment.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use vestibule_client::{Client, ClientOptions};
///
/// let options = ClientOptions::default().provision_with("people:ensure")?;
/// let client = Client::connect_with("https://chat.example", options).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientOptions {
    /// The mutation without arguments that makes the user's document; `users:ensureUser`.
    pub provisioning_function: FunctionPath,
    /// How long one attempt to open a socket may take; 10 s.
    pub open_max: Duration,
    /// How long [`Client::ensure_user`](crate::Client::ensure_user) tries, over as many connections as it takes; 30 s.
    pub step_max: Duration,
    /// How long one fetch of an auth token may take; 30 s.
    pub fetch_max: Duration,
    /// How long before its end an auth token is replaced; 10 s, or half its time if that is less.
    pub refresh_before: Duration,
    /// A server of which nothing was heard for this long is given up; 30 s.
    pub silence_max: Duration,
    /// The pause before the first attempt to reconnect; 100 ms. It doubles with each further one and varies by half of
    /// itself. Ten times as long after trouble that the server reports, thirty times if it is overloaded.
    pub backoff_first: Duration,
    /// The longest such pause, before it is varied; 16 s.
    pub backoff_max: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            provisioning_function: FunctionPath::new("users", "ensureUser")
                .expect("the default path is a path"),
            open_max: Duration::from_secs(10),
            step_max: Duration::from_secs(30),
            fetch_max: Duration::from_secs(30),
            refresh_before: Duration::from_secs(10),
            silence_max: Duration::from_secs(30),
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(16),
        }
    }
}

impl ClientOptions {
    /// Names the provisioning function, as in `users:ensureUser`.
    pub fn provision_with(mut self, path: &str) -> Result<ClientOptions, FunctionPathError> {
        self.provisioning_function = path.parse()?;
        Ok(self)
    }

    /// Sets how long [`Client::ensure_user`](crate::Client::ensure_user) tries.
    pub fn step_max(mut self, step_max: Duration) -> ClientOptions {
        self.step_max = step_max;
        self
    }

    /// Sets how long before its end an auth token is replaced.
    pub fn refresh_before(mut self, refresh_before: Duration) -> ClientOptions {
        self.refresh_before = refresh_before;
        self
    }

    /// Sets the first and the longest pause before reconnecting.
    pub fn backoff(mut self, first: Duration, max: Duration) -> ClientOptions {
        self.backoff_first = first;
        self.backoff_max = max;
        self
    }
}
