//! `soak`: a mixed load whose connections are cut again and again. When the clients have gone, sockets and descriptors are
//! back to where they were (R21). A run of minutes also samples memory, file size and latency, and judges how memory goes
//! on in its second half.

use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinSet;
use vestibule_tests::process::{Chat, ChatOptions};
use vestibule_tests::proxy::Proxy;

use super::storm::{append_end, free_address, patiently};
use super::{Bench, Length};
use crate::clients::{HttpClient, SessionClient, Stage, Watcher, Work};
use crate::record::{Op, Record};

/// Descriptors that the store may have open in addition. SQLite keeps those of a reader that ends while another holds a lock,
/// and gives them to later readers. A descriptor left by each connection would be several times as many.
const DESCRIPTORS_MORE_MAX: usize = 128;
/// Answers of a bounded run, in each of its two parts.
const ANSWERS: usize = 1_500;
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// Memory that a second half may end above its beginning, in KiB an hour.
const MEMORY_KIB_AN_HOUR_MAX: f64 = 65_536.0;
/// Runs shorter than this say nothing about memory.
const JUDGED_FROM: Duration = Duration::from_secs(20 * 60);

/// The state of a process.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    memory_kib: u64,
    sockets: usize,
    descriptors: usize,
    file_bytes: u64,
    p99_us: u64,
}

/// Runs the rig: one run, of so many minutes or bounded.
pub fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let length = std::mem::replace(&mut bench.length, Length::Rounds(1));
    bench.rounds(|seed, bench| {
        let folder = tempfile::Builder::new()
            .prefix("vestibule-torture-")
            .tempdir()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(soak(&folder.path().join("data"), seed, length, bench))
    })
}

async fn soak(data: &Path, seed: u64, length: Length, bench: &mut Bench) -> anyhow::Result<()> {
    let mut rng = StdRng::seed_from_u64(seed);
    let address = free_address()?;
    let server = ChatOptions::new(&bench.program, data)
        .arguments(&["serve", "--listen", &address])
        .variable("VESTIBULE_LOG", "error");
    let chat = server.start()?;
    // The first part opens what is then kept.
    load(&chat, &address, data, Length::Rounds(1), rng.random(), "a").await?;
    let base = settled(&chat, data, None).await?;
    let samples = load(&chat, &address, data, length, rng.random(), "b").await?;
    let last = settled(&chat, data, Some(base)).await?;
    let totals = &mut bench.totals;
    totals.add("answers", samples.answers);
    totals.add("cuts", samples.cuts);
    totals.add("memory_kib_max", samples.of(|it| it.memory_kib));
    totals.add("p99_us_max", samples.of(|it| it.p99_us));
    totals.add("file_bytes_max", last.file_bytes);
    for sample in &samples.all {
        println!("{sample:?}");
    }
    samples.judge_memory()
}

/// The samples of a run.
#[derive(Default)]
struct Samples {
    all: Vec<Sample>,
    answers: u64,
    cuts: u64,
}

impl Samples {
    fn of(&self, part: fn(&Sample) -> u64) -> u64 {
        self.all.iter().map(part).max().unwrap_or(0)
    }

    /// The slope of memory over the second half, by least squares.
    fn judge_memory(&self) -> anyhow::Result<()> {
        let half = &self.all[self.all.len() / 2..];
        let Some(last) = half.last().filter(|last| last.at >= JUDGED_FROM) else {
            return Ok(());
        };
        let slope = slope(half);
        println!("memory: {slope:.0} KiB an hour over the second half");
        anyhow::ensure!(
            slope <= MEMORY_KIB_AN_HOUR_MAX,
            "memory grows by {slope:.0} KiB an hour: {last:?}"
        );
        Ok(())
    }
}

/// KiB an hour.
fn slope(samples: &[Sample]) -> f64 {
    let points = samples
        .iter()
        .map(|it| (it.at.as_secs_f64() / 3600.0, it.memory_kib as f64));
    let points: Vec<(f64, f64)> = points.collect();
    let count = points.len() as f64;
    let mean = |part: fn(&(f64, f64)) -> f64| points.iter().map(part).sum::<f64>() / count;
    let (x_mean, y_mean) = (mean(|it| it.0), mean(|it| it.1));
    let over: f64 = points
        .iter()
        .map(|(x, y)| (x - x_mean) * (y - y_mean))
        .sum();
    let under: f64 = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    over / under
}

/// Clients come, work, and go.
async fn load(
    chat: &Chat,
    address: &str,
    data: &Path,
    length: Length,
    seed: u64,
    name: &str,
) -> anyhow::Result<Samples> {
    let mut rng = StdRng::seed_from_u64(seed);
    let proxy = Proxy::start(address).await?;
    let (over, is_over) = watch::channel(false);
    let stage = Stage {
        wire: proxy.url(),
        server: format!("http://{address}"),
        record: Record::default(),
        end: format!("end-{name}"),
        timestamps: Default::default(),
        is_over,
    };
    let mut clients = JoinSet::new();
    let all = std::sync::Arc::default();
    for number in 0..8 {
        let mut work = |kind: &str| {
            let name = format!("{name}{kind}{number}");
            Work::new(name, rng.random(), std::sync::Arc::clone(&all))
        };
        let person = format!("{name}-person-{number}");
        let session = SessionClient::new(number, Some(person), work("s"));
        clients.spawn(session.run(stage.clone()));
        clients.spawn(HttpClient::new(None, work("h")).run(stage.clone()));
        clients.spawn(Watcher::new(number, work("w")).run(stage.clone()));
    }
    let begun = Instant::now();
    let mut samples = Samples::default();
    let mut sampled = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(rng.random_range(20..400))).await;
        proxy.cut();
        samples.cuts += 1;
        let is_over = match length {
            Length::Rounds(_) => stage.record.len() >= ANSWERS,
            Length::Time(time) => begun.elapsed() >= time,
        };
        let is_due = matches!(length, Length::Time(_)) && sampled.elapsed() >= SAMPLE_EVERY;
        if is_due || is_over {
            sampled = Instant::now();
            let ops = stage.record.take();
            samples.answers += ops.len() as u64;
            samples.all.push(sample(chat, data, begun.elapsed(), &ops)?);
        }
        if is_over {
            break;
        }
    }
    over.send_replace(true);
    patiently("the end", append_end(&stage, &format!("m{name}"))).await??;
    let ended = async { while clients.join_next().await.is_some() {} };
    patiently("the end of all clients", ended).await?;
    Ok(samples)
}

fn sample(chat: &Chat, data: &Path, at: Duration, ops: &[Op]) -> anyhow::Result<Sample> {
    let process = Path::new("/proc").join(chat.id().to_string());
    let status = std::fs::read_to_string(process.join("status"))?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let memory = memory.and_then(|it| it.trim().strip_suffix(" kB"));
    let (mut sockets, mut descriptors) = (0, 0);
    for entry in std::fs::read_dir(process.join("fd"))? {
        descriptors += 1;
        // One that is closed meanwhile is none.
        let target = std::fs::read_link(entry?.path()).unwrap_or_default();
        sockets += usize::from(target.to_string_lossy().starts_with("socket:"));
    }
    let bytes = |name: &str| std::fs::metadata(data.join(name)).map_or(0, |it| it.len());
    let times = ops.iter().filter_map(|op| Some(op.ended? - op.begun?));
    let mut times: Vec<u64> = times.collect();
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or(0);
    Ok(Sample {
        at,
        memory_kib: memory.and_then(|it| it.parse().ok()).unwrap_or(0),
        sockets,
        descriptors,
        file_bytes: bytes("vestibule.sqlite3") + bytes("vestibule.sqlite3-wal"),
        p99_us: p99 / 1_000,
    })
}

/// The process once its clients have gone: with as many sockets as at `base`, or as at its start.
async fn settled(chat: &Chat, data: &Path, base: Option<Sample>) -> anyhow::Result<Sample> {
    let waited = async {
        loop {
            let now = sample(chat, data, Duration::ZERO, &[])?;
            let open = chat.metric("vestibule_sync_connections").await?;
            let sockets_max = base.map_or(usize::MAX, |base| base.sockets);
            if open == 0.0 && now.sockets <= sockets_max {
                return anyhow::Ok(now);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let now = patiently("the end of all connections", waited).await??;
    if let Some(base) = base {
        anyhow::ensure!(
            now.descriptors <= base.descriptors + DESCRIPTORS_MORE_MAX,
            "descriptors stay open: {now:?} after {base:?}"
        );
    }
    Ok(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_grows_is_noticed_and_memory_that_varies_is_not() {
        let samples = |memory: fn(u64) -> u64| Samples {
            all: (0..240)
                .map(|place| Sample {
                    at: SAMPLE_EVERY * place as u32,
                    memory_kib: memory(place),
                    sockets: 0,
                    descriptors: 0,
                    file_bytes: 0,
                    p99_us: 0,
                })
                .collect(),
            ..Samples::default()
        };
        assert!(
            samples(|place| 100_000 + place % 7 * 1_000)
                .judge_memory()
                .is_ok()
        );
        assert!(
            samples(|place| 100_000 + place * 300)
                .judge_memory()
                .is_err()
        );
    }
}
