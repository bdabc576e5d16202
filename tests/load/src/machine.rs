//! The machine that a run was made on.

use std::fs;

/// The profile by which this program was built, as the folder names it that Cargo put it into: `release`, `dist`, `debug`.
pub const PROFILE: &str = env!("LOAD_PROFILE");

/// Cores, processor, memory and kernel, as far as the system says.
pub fn described() -> Vec<(String, String)> {
    let cores = std::thread::available_parallelism().map(|cores| cores.to_string());
    let said = [
        ("cores", cores.ok()),
        ("CPU", field("/proc/cpuinfo", "model name")),
        ("memory", memory()),
        ("kernel", kernel()),
    ];
    let told = said
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_string(), value?)));
    told.collect()
}

/// The value behind the first `name` of a file of names, colons and values.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(found, _)| found.trim() == name)?;
    Some(value.trim().to_string())
}

fn memory() -> Option<String> {
    let total = field("/proc/meminfo", "MemTotal")?;
    let kibibytes: f64 = total.strip_suffix(" kB")?.trim().parse().ok()?;
    Some(format!("{:.1} GiB", kibibytes / f64::from(1 << 20)))
}

fn kernel() -> Option<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(format!("{} {}", std::env::consts::OS, release.trim()))
}
