//! The Rust client's words in those of a story.

use serde_json::Value as Json;
use vestibule_client::{
    CallError, Client, EnsureUserError, LoginStatus, Provisioned, SubscriptionError, Unprovisioned,
};
use vestibule_tests::story::{How, Mine, Standing, Why};

pub fn why(error: &SubscriptionError) -> Why {
    match error {
        SubscriptionError::Function(_) => Why::Function,
        SubscriptionError::NotProvisioned(_) => Why::NotProvisioned,
        SubscriptionError::LoginEnded(_) => Why::LoginEnded,
        _ => Why::Other,
    }
}

pub fn marks(mine: Option<Result<Json, SubscriptionError>>) -> Mine {
    match mine {
        None => Mine::Nothing,
        Some(Err(_)) => Mine::Over,
        Some(Ok(notes)) => {
            let notes = notes.as_array().into_iter().flatten();
            let marks = notes.filter_map(|note| Some(note["mark"].as_str()?.to_string()));
            Mine::Marks(marks.collect())
        }
    }
}

pub fn how(result: Result<Json, CallError>) -> How {
    match result {
        Ok(note) => How::Returned(note),
        Err(CallError::LoginEnded { may_have_run, .. }) => How::LoginEnded { may_have_run },
        Err(CallError::NotProvisioned { may_have_run, .. }) => How::NotProvisioned { may_have_run },
        Err(CallError::ConnectionLost) => How::ConnectionLost,
        Err(CallError::Function(thrown)) => How::Threw(format!("{thrown} {:?}", thrown.data)),
        Err(other) => How::Threw(format!("{other:?}")),
    }
}

pub fn why_outside(error: &EnsureUserError) -> &'static str {
    match error {
        EnsureUserError::Unprovisioned(Unprovisioned::Refused(_)) => "refused",
        EnsureUserError::Unprovisioned(Unprovisioned::TokenRejected { .. }) => "token rejected",
        EnsureUserError::Unprovisioned(Unprovisioned::Failed { .. }) => "failed",
        EnsureUserError::Unprovisioned(Unprovisioned::TimedOut { .. }) => "timed out",
        EnsureUserError::LoginEnded(_) => "login ended",
        _ => "closed",
    }
}

pub fn is_kept_out(client: &Client<Provisioned>) -> bool {
    matches!(
        client.status().borrow().login,
        LoginStatus::Unprovisioned(_)
    )
}

pub fn standing(status: &LoginStatus) -> Standing {
    match status {
        LoginStatus::Authenticated => Standing::Authenticated,
        LoginStatus::Provisioning => Standing::Provisioning,
        LoginStatus::Provisioned => Standing::Provisioned,
        LoginStatus::Refreshing => Standing::Refreshing,
        LoginStatus::Unprovisioned(_) => Standing::KeptOut,
        LoginStatus::Ended(_) => Standing::Ended,
        _ => Standing::Nobody,
    }
}
