//! Every client is cut off at once, a write is made meanwhile, and every client comes back. Measures the time until all
//! of them have the newest result again.

use clap::Args;

use super::watchers::{self, Watchers};
use crate::arguments::some;
use crate::client::{Connections, Protocol};
use crate::progress::Progress;
use crate::report::{Check, Figure, Run};
use crate::run::{Measured, settings};
use crate::server::Server;

/// The flags of `reconnects`.
#[derive(Args, Clone, Debug)]
pub struct Reconnects {
    /// Connections.
    #[arg(long, default_value = "10000", value_name = "NUMBER", value_parser = some)]
    pub clients: usize,
    /// The number of times that every client is cut off.
    #[arg(long, default_value_t = 3, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
}

/// Runs it: one run for each round.
pub fn run(flags: &Reconnects, server: &Server) -> anyhow::Result<Vec<Run>> {
    let wanted = watchers::write(&server.address)?;
    let mut connections = Connections::new(server.address.socket, Protocol::Sync)?;
    let progress = Progress::new("connecting", flags.clients as u64);
    Watchers::new(flags.clients, false, wanted, &progress).gather(&mut connections)?;
    drop(progress);
    let rounds = 1..=flags.rounds;
    rounds
        .map(|round| reconnect(flags, round, server, &mut connections))
        .collect()
}

fn reconnect(
    flags: &Reconnects,
    round: u32,
    server: &Server,
    connections: &mut Connections,
) -> anyhow::Result<Run> {
    // Numbered above all earlier writes, and below the one that is made while no client is connected.
    let wanted = jiff::Timestamp::now().as_microsecond() as u64;
    let mut measured = Measured::of(server);
    measured.border();
    for number in 0..flags.clients {
        connections.cut(number);
    }
    let progress = Progress::new("reconnecting", flags.clients as u64);
    let mut watchers = Watchers::new(flags.clients, false, wanted, &progress);
    let address = &server.address;
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| watchers::write(address));
        watchers.gather(connections)?;
        let written = writing.join().expect("writing does not panic");
        written.map(drop)
    })?;
    measured.border();
    let mut run = measured.run("reconnects", "reconnects", &watchers.window)?;
    run.pair = round;
    run.settings = settings([("clients", flags.clients.to_string())]);
    run.latencies = vec![watchers.latencies.told("cut to current")];
    run.figures.push(Figure {
        name: "all current after".into(),
        value: watchers.seconds(),
        unit: "s".into(),
    });
    run.checks = vec![Check {
        what: "Everybody has what was written while nobody was there.".into(),
        holds: watchers.errors.is_empty(),
        seen: format!("{} of {}", watchers.latencies.count(), flags.clients),
    }];
    run.errors = watchers.errors.clone();
    Ok(run)
}
