//! Runs a rig: `cargo run -p vestibule-torture -- kills --minutes 10 --resume kills.json`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use vestibule_torture::app::{self, Serve};
use vestibule_torture::rigs::{Bench, Length, damage, kills, power, serial, soak, syscalls};
use vestibule_torture::totals::Totals;

/// Tortures a real server, and judges it by the record of its clients.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    rig: Rig,
}

#[derive(Subcommand)]
enum Rig {
    /// Kill the server at random instants.
    Kills(Common),
    /// Kill the server, or fail the disk, at each system call in turn. Needs strace.
    Syscalls(Common),
    /// Change bytes of the database at random, and read everything.
    Damage(Common),
    /// Check that transactions are strictly serializable, over kills and cuts.
    Serial(Common),
    /// A mixed load, and whether memory and descriptors stay.
    Soak(Common),
    /// Cut the power of the disk. Needs root, loop devices and xfs_io.
    Power(Common),
    /// Run the app under torture.
    #[command(hide = true)]
    Serve(Box<Serve>),
    /// Run it without functions, which are pushed.
    #[command(hide = true)]
    ServeEmpty(Box<Serve>),
}

#[derive(Args)]
struct Common {
    /// The seed of the first round. A round that fails names its own.
    #[arg(long)]
    seed: Option<u64>,
    /// How many rounds.
    #[arg(long, default_value_t = 1, conflicts_with = "minutes")]
    rounds: u64,
    /// Rounds for so long.
    #[arg(long)]
    minutes: Option<u64>,
    /// Goes on with the totals in this file, and adds to them.
    #[arg(long)]
    resume: Option<PathBuf>,
    /// Push the functions in TypeScript. Needs Node, and npm packages as `tests/setup` fetches them.
    #[arg(long)]
    typescript: bool,
}

impl Common {
    fn bench(self, rig: &str) -> anyhow::Result<Bench> {
        let seed = self
            .seed
            .unwrap_or_else(|| u64::from(rand::random::<u32>()));
        let length = match self.minutes {
            Some(minutes) => Length::Time(Duration::from_secs(minutes * 60)),
            None => Length::Rounds(self.rounds),
        };
        Ok(Bench {
            program: std::env::current_exe()?,
            length,
            totals: Totals::resume(rig, seed, self.resume.as_deref())?,
            typescript: self.typescript,
        })
    }
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().rig {
        Rig::Kills(common) => run(common, "kills", |bench| kills::run(bench, kills::RELEASE)),
        Rig::Syscalls(common) => run(common, "syscalls", |bench| syscalls::run(bench, false)),
        Rig::Damage(common) => run(common, "damage", |bench| {
            damage::run(bench, damage::RELEASE)
        }),
        Rig::Serial(common) => run(common, "serial", |bench| {
            serial::run(bench, serial::RELEASE)
        }),
        Rig::Soak(common) => run(common, "soak", soak::run),
        Rig::Power(common) => run(common, "power", power::run),
        Rig::Serve(serve) => serve_app(*serve, false),
        Rig::ServeEmpty(serve) => serve_app(*serve, true),
    }
}

fn run(
    common: Common,
    rig: &str,
    run: impl FnOnce(&mut Bench) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut bench = common.bench(rig)?;
    println!("{rig}: --seed {}", bench.totals.next_seed);
    let outcome = run(&mut bench);
    println!("{}", serde_json::to_string_pretty(&bench.totals)?);
    outcome
}

fn serve_app(serve: Serve, is_empty: bool) -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().build()?;
    runtime.block_on(app::serve(serve, is_empty))
}
