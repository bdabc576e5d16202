//! `power`: the file system below a server is shut down as if the power had gone, at a random instant. All that was not
//! synced is lost, also of the file system's own log. Everything acknowledged before that instant has to be there (R3).
//!
//! Needs root, loop devices, `mkfs.ext4` and `xfs_io`, so it runs by command alone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinSet;
use vestibule_tests::process::ChatOptions;

use super::storm::{free_address, patiently, read_books};
use super::{Bench, judge};
use crate::checks::replay;
use crate::clients::{HttpClient, Stage, Work};
use crate::record::{Outcome, Record};

const CALLERS: usize = 6;
/// Answers before the instant, at the most.
const ANSWERS_MAX: usize = 300;
const DISK_BYTES: u64 = 256 << 20;

/// Runs the rig.
pub fn run(bench: &mut Bench) -> anyhow::Result<()> {
    bench.rounds(|seed, bench| {
        let folder = tempfile::Builder::new()
            .prefix("vestibule-torture-")
            .tempdir()?;
        let disk = Disk::make(folder.path())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(cut(&disk, seed, bench))
    })
}

async fn cut(disk: &Disk, seed: u64, bench: &mut Bench) -> anyhow::Result<()> {
    let mut rng = StdRng::seed_from_u64(seed);
    let address = free_address()?;
    let server = ChatOptions::new(&bench.program, &disk.place.join("data"))
        .arguments(&["serve", "--listen", &address])
        .variable("VESTIBULE_LOG", "off");
    let (over, is_over) = watch::channel(false);
    let url = format!("http://{address}");
    let stage = Stage {
        wire: url.clone(),
        server: url,
        record: Record::default(),
        end: "end".into(),
        timestamps: Default::default(),
        is_over,
    };
    let chat = server.start()?;
    let mut clients = JoinSet::new();
    for number in 0..CALLERS {
        let work = Work::new(format!("h{number}"), rng.random(), Default::default());
        clients.spawn(HttpClient::new(None, work).run(stage.clone()));
    }
    let enough = rng.random_range(1..=ANSWERS_MAX);
    let answers = async {
        while stage.record.len() < enough {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    };
    patiently("answers", answers).await?;
    // A sync under way at that instant may be told as done: only answers from before it count.
    let instant = stage.record.now();
    disk.shut_down()?;
    over.send_replace(true);
    chat.kill();
    let ended = async { while clients.join_next().await.is_some() {} };
    patiently("the end of the clients", ended).await?;
    disk.unmount()?;
    disk.mount()?;
    let mut ops = stage.record.ops();
    let mut counted = 0;
    for op in &mut ops {
        match op.ended.is_some_and(|ended| ended < instant) {
            true => counted += u64::from(op.is_mutation),
            false => (op.ended, op.outcome) = (None, Outcome::Unknown),
        }
    }
    let chat = server.start().context("what was left does not open")?;
    let books = patiently("the books", read_books(&chat)).await??;
    drop(chat);
    let told = books.compare(&ops);
    bench.totals.add("cuts", 1);
    bench.totals.add("acknowledged", counted);
    bench.totals.add("unknown_done", told.unknown_done);
    bench.totals.add("unknown_not_done", told.unknown_not_done);
    let mut breaches = told.breaches;
    breaches.extend(replay(&told.events));
    judge(&breaches)
}

/// An ext4 in a file. Dropping it unmounts it.
struct Disk {
    image: PathBuf,
    place: PathBuf,
}

impl Disk {
    fn make(folder: &Path) -> anyhow::Result<Disk> {
        let disk = Disk {
            image: folder.join("image"),
            place: folder.join("disk"),
        };
        std::fs::create_dir(&disk.place)?;
        std::fs::File::create(&disk.image)?.set_len(DISK_BYTES)?;
        run_tool("mkfs.ext4", ["-q".as_ref(), disk.image.as_os_str()])?;
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> anyhow::Result<()> {
        let (image, place) = (self.image.as_os_str(), self.place.as_os_str());
        run_tool("mount", ["-o".as_ref(), "loop".as_ref(), image, place])
    }

    fn unmount(&self) -> anyhow::Result<()> {
        run_tool("umount", [self.place.as_os_str()])
    }

    /// As the power going: no log of the file system is flushed.
    fn shut_down(&self) -> anyhow::Result<()> {
        let place = self.place.as_os_str();
        run_tool(
            "xfs_io",
            ["-x".as_ref(), "-c".as_ref(), "shutdown".as_ref(), place],
        )
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It is not mounted where a step before this failed.
        let _ = self.unmount();
    }
}

fn run_tool<const N: usize>(tool: &str, arguments: [&std::ffi::OsStr; N]) -> anyhow::Result<()> {
    let said = Command::new(tool).args(arguments).output();
    let said = said.with_context(|| {
        format!("{tool} is missing; this rig needs root, loop devices, mkfs.ext4 and xfs_io (`apt-get install xfsprogs`)")
    })?;
    if !said.status.success() {
        bail!("{tool} failed: {}", String::from_utf8_lossy(&said.stderr));
    }
    Ok(())
}
