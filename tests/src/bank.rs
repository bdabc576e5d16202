//! The app `bank`: accounts that move money and are changed where they are, so that what a kill loses shows in a sum.

use clap::Parser;
use serde::{Deserialize, Serialize};
use vestibule_server::prelude::*;

/// The bank on Vestibule.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    config: Config,
}

/// An account, found by its name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    name: String,
    balance: f64,
    /// How many transfers it had a part in.
    transfers: f64,
}

impl Account {
    const BY_NAME: Index<Account> = Index::unique("by_name", &["name"]);
}

impl Table for Account {
    const NAME: &'static str = "accounts";
    const INDEXES: &'static [Index<Account>] = &[Account::BY_NAME];
}

/// The balance an account begins with.
pub const BALANCE: f64 = 1_000_000.0;

/// Runs the bank until it is asked to stop.
pub async fn run() -> anyhow::Result<()> {
    let Arguments { config } = Arguments::parse();
    log_to_stderr(config.log_format);
    let signals = StopSignals::listen()?;
    let app = App::new(Schema::new().table::<Account>())
        .mutation("bank:transfer", transfer)
        .query("bank:total", total)
        .without_provisioning();
    let running = app.start(config).await?;
    println!("The bank is at {}", running.url());
    running.until(signals).await;
    Ok(())
}

#[derive(Deserialize)]
struct Transfer {
    from: String,
    to: String,
    amount: f64,
}

/// Moves an amount. An account that is missing is opened.
fn transfer(ctx: &mut MutationCtx, Transfer { from, to, amount }: Transfer) -> Result<()> {
    change(ctx, from, -amount)?;
    change(ctx, to, amount)
}

fn change(ctx: &mut MutationCtx, name: String, amount: f64) -> Result<()> {
    let accounts = ctx.db().query::<Account>();
    let known = accounts.index(Account::BY_NAME, &name).unique()?;
    let Some(account) = known else {
        let (balance, transfers) = (BALANCE + amount, 1.0);
        ctx.db().insert(Account {
            name,
            balance,
            transfers,
        })?;
        return Ok(());
    };
    let balance = account.balance + amount;
    let transfers = account.transfers + 1.0;
    let changed = object! { "balance" => balance, "transfers" => transfers };
    Ok(ctx.db().patch(account.id, changed)?)
}

/// The total of all accounts.
#[derive(Default, Serialize)]
struct Total {
    accounts: f64,
    balance: f64,
    transfers: f64,
}

fn total(ctx: &mut QueryCtx, (): ()) -> Result<Total> {
    let mut total = Total::default();
    for account in ctx.db().query::<Account>().collect()? {
        total.accounts += 1.0;
        total.balance += account.balance;
        total.transfers += account.transfers;
    }
    Ok(total)
}
