//! Counts what each row costs at each size: allocations, runs, syncs, and with `--instructions` what callgrind counts.

use std::alloc::System;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use clap::Parser;
use costs::counts::{Counts, count};
use costs::row::{ROWS, Row};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Counts what each row costs at each size.
#[derive(Parser)]
struct Arguments {
    /// Only this row.
    #[arg(long)]
    row: Option<String>,
    /// Only this size.
    #[arg(long)]
    size: Option<usize>,
    /// No larger sizes than this.
    #[arg(long, default_value_t = usize::MAX)]
    size_max: usize,
    /// Counts instructions too, with valgrind, which takes minutes for large sizes.
    #[arg(long)]
    instructions: bool,
    /// Makes the work of one row at one size and prints nothing but the units of it.
    #[arg(long, hide = true)]
    bare: bool,
}

/// Units of work that are counted, about.
const UNITS: u64 = 2_048;
/// A unit may be large.
const ROUNDS_MAX: u64 = 256;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let is_wanted = |row: &&Row| arguments.row.as_deref().is_none_or(|name| name == row.name);
    let rows: Vec<&Row> = ROWS.iter().filter(is_wanted).collect();
    if rows.is_empty() {
        let names = ROWS.map(|row| row.name).join(", ");
        bail!("there is no such row; the rows are {names}");
    }
    for row in rows {
        if !arguments.bare {
            print_heading(row, arguments.instructions);
        }
        for size in sizes(row, &arguments) {
            let counts = at(row, size);
            if arguments.bare {
                println!("{}", counts.units);
                continue;
            }
            let instructions = match arguments.instructions {
                true => Some(instructions(row, size)?),
                false => None,
            };
            print_counts(size, &counts, instructions);
        }
    }
    Ok(())
}

fn sizes(row: &Row, arguments: &Arguments) -> Vec<usize> {
    match arguments.size {
        Some(size) => vec![size],
        None => {
            let sizes = row.sizes.iter().copied();
            sizes.filter(|size| *size <= arguments.size_max).collect()
        }
    }
}

/// Counts one row at one size, after one run that makes everything that is made only once.
fn at(row: &Row, size: usize) -> Counts {
    let mut scene = (row.scene)(size);
    let units = scene.once();
    let rounds = (UNITS / units).clamp(1, ROUNDS_MAX);
    count(&mut *scene, rounds, ALLOCATOR)
}

fn print_heading(row: &Row, has_instructions: bool) {
    println!("\n{}: for each {}", row.name, row.unit);
    let last = match has_instructions {
        true => "  instructions",
        false => "",
    };
    println!(
        "{:>9}  allocations     bytes   runs  syncs{last}   ({})",
        "size", row.grows
    );
}

fn print_counts(size: usize, counts: &Counts, instructions: Option<f64>) {
    let [allocations, bytes] = [counts.allocations, counts.bytes].map(|of| counts.each(of));
    let [runs, appends] = [counts.runs, counts.appends].map(|of| counts.each(of));
    let last = instructions.map_or(String::new(), |each| format!("  {each:>12.0}"));
    println!("{size:>9}  {allocations:>11.1}  {bytes:>8.0}  {runs:>5.2}  {appends:>5.3}{last}");
}

/// The function whose work it is, as callgrind knows it.
const MEASURED: &str = "costs::counts::measured";

/// Runs this program again under callgrind, which counts what all threads do inside of [`costs::counts::measured`].
fn instructions(row: &Row, size: usize) -> anyhow::Result<f64> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("out");
    let mut program = Command::new("valgrind");
    program
        .args(["--tool=callgrind", "--quiet"])
        // The counts before the work go into a first file, and those of the work into a second.
        .arg(format!("--dump-before={MEASURED}"))
        .arg(format!("--dump-after={MEASURED}"))
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe()?)
        .args(["--bare", "--row", row.name, "--size", &size.to_string()]);
    let ran = program.output();
    let ran = ran.context("cannot run valgrind: on Debian, `apt-get install valgrind`")?;
    if !ran.status.success() {
        bail!("{}", String::from_utf8_lossy(&ran.stderr));
    }
    let units: f64 = String::from_utf8(ran.stdout)?.trim().parse()?;
    Ok(total(&file.with_extension("2"))? / units)
}

/// The instructions of a file of callgrind's.
fn total(file: &Path) -> anyhow::Result<f64> {
    let text = fs::read_to_string(file).with_context(|| format!("no {}", file.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.context("callgrind's file has no totals")?;
    Ok(total.trim().parse()?)
}
