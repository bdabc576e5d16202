//! The accounts that scenarios work on: opened before, added up before and after.

use serde_json::json;

use crate::client::blocking;
use crate::progress::Progress;
use crate::server::Server;

/// Accounts that one call opens or adds up.
const STRETCH: u32 = 2_000;

/// Opens the accounts that are missing.
pub fn open(accounts: u32, server: &Server) -> anyhow::Result<()> {
    if !server.has_app {
        // An alternative has opened them before it was ready.
        return Ok(());
    }
    let progress = Progress::new("accounts", accounts.into());
    for first in (0..accounts).step_by(STRETCH as usize) {
        let count = STRETCH.min(accounts - first);
        let args = json!({ "first": first, "count": count });
        server.address.call("mutation", "accounts:open", &args)?;
        progress.step((first + count).into(), "opened".into());
    }
    Ok(())
}

/// The number of accounts, and their balance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Total {
    /// How many there are.
    pub accounts: f64,
    /// Their balance together.
    pub balance: f64,
}

/// Adds up what there is in all of them.
pub fn total(accounts: u32, server: &Server) -> anyhow::Result<Total> {
    if !server.has_app {
        let balance = blocking::mutate(server.address.socket, "accounts:total", &json!({}))?;
        return Ok(Total {
            accounts: accounts.into(),
            balance: balance.as_f64().unwrap_or(f64::NAN),
        });
    }
    let mut total = Total {
        accounts: 0.0,
        balance: 0.0,
    };
    for first in (0..accounts).step_by(STRETCH as usize) {
        let count = STRETCH.min(accounts - first);
        let args = json!({ "first": first, "count": count });
        let stretch = server.address.call("query", "accounts:total", &args)?;
        total.accounts += stretch["accounts"].as_f64().unwrap_or(f64::NAN);
        total.balance += stretch["balance"].as_f64().unwrap_or(f64::NAN);
    }
    Ok(total)
}
