//! The folder of what runs: the worker's scripts, modules, temporary files, and a sign for each process. It is swept when
//! the server starts, and so are processes that an earlier server left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Handle;

use super::frames::TEXT_BYTES_MAX;
use crate::functions::console::{LOG_LINE_BYTES_MAX, LOG_LINES_MAX};
use crate::functions::js::prelude;
use crate::storage::private_directory;

/// The folder's name below that of Node.js.
const NAME: &str = "run";
/// The beginning of the name of a process's sign; its id follows.
const SIGN: &str = "process-";

/// The scripts of a process.
const SCRIPTS: [(&str, &str); 5] = [
    ("main.mjs", include_str!("worker/main.mjs")),
    ("calls.mjs", include_str!("worker/calls.mjs")),
    ("channel.mjs", include_str!("worker/channel.mjs")),
    ("network.mjs", include_str!("worker/network.mjs")),
    ("process.mjs", include_str!("worker/process.mjs")),
];

/// The absolute path of `folder` without links, by which Node.js permits it. What is not there yet has the true path of the
/// folder above it.
pub fn true_path(folder: &Path) -> PathBuf {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    match (
        fs::canonicalize(&folder),
        folder.parent(),
        folder.file_name(),
    ) {
        (Ok(path), _, _) => path,
        (Err(_), Some(above), Some(name)) => true_path(above).join(name),
        (Err(_), _, _) => folder,
    }
}

/// The folder of what runs.
pub struct RunFolder {
    path: PathBuf,
    last: AtomicU64,
}

/// The sign of a process, which is there as long as the process is.
pub struct Sign(PathBuf);

impl RunFolder {
    /// The folder below `above`, a true path. Nothing is made before it is needed.
    pub fn below(above: &Path) -> RunFolder {
        RunFolder {
            path: above.join(NAME),
            last: AtomicU64::new(0),
        }
    }

    /// Removes what an earlier server left.
    pub fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.path) else {
            return;
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let pids = names.filter_map(|name| name.strip_prefix(SIGN)?.parse().ok());
        pids.for_each(|pid| self.end_left(pid));
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, "files of Node.js processes cannot be removed");
        }
    }

    /// Ends a process of an earlier server. Another program may have its id by now.
    fn end_left(&self, pid: i32) {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let scripts = self.scripts().into_os_string();
        let ours = scripts.as_encoded_bytes();
        let is_ours = command.windows(ours.len()).any(|part| part == ours);
        if let Some(pid) = Pid::from_raw(pid).filter(|_| is_ours) {
            tracing::warn!("ending a Node.js process that an earlier server left");
            // It may have ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// Where the scripts are.
    pub fn scripts(&self) -> PathBuf {
        self.path.join("worker")
    }

    /// Writes the scripts.
    pub fn write_scripts(&self) -> io::Result<PathBuf> {
        let scripts = self.scripts();
        private_directory(&scripts)?;
        for (name, text) in SCRIPTS {
            fs::write(scripts.join(name), text)?;
        }
        fs::write(scripts.join("shared.mjs"), shared())?;
        Ok(scripts)
    }

    /// The path of a folder that is not there yet.
    pub fn next(&self, kind: &str) -> io::Result<PathBuf> {
        private_directory(&self.path)?;
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        Ok(self.path.join(format!("{kind}-{number}")))
    }

    /// Says that the process `pid` is there.
    pub fn sign(&self, pid: u32) -> io::Result<Sign> {
        let path = self.path.join(format!("{SIGN}{pid}"));
        fs::write(&path, "")?;
        Ok(Sign(path))
    }

    /// Removes a folder that [`next`](RunFolder::next) named. It may hold much, so that takes its time elsewhere.
    pub fn remove(&self, folder: PathBuf) {
        let remove = move || {
            if let Err(error) = fs::remove_dir_all(folder) {
                tracing::warn!(%error, "files of a Node.js process cannot be removed");
            }
        };
        match Handle::try_current() {
            Ok(handle) => drop(handle.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

impl Drop for Sign {
    fn drop(&mut self) {
        // The next start looks for it in vain.
        let _ = fs::remove_file(&self.0);
    }
}

/// What processes have in common with the server and the engine, as a module: bounds, and scripts that speak of `$`.
fn shared() -> String {
    let [inspect, console, describe, registrations] = [
        "14_inspect.js",
        "15_console.js",
        "85_describe.js",
        "86_registrations.js",
    ]
    .map(prelude::script);
    format!(
        "export const TEXT_BYTES_MAX = {TEXT_BYTES_MAX};\n\
         export const LINES_MAX = {LOG_LINES_MAX};\n\
         export const LINE_BYTES_MAX = {LOG_LINE_BYTES_MAX};\n\
         export function tools($) {{\n{inspect}\n{describe}\n{registrations}\n}}\n\
         export function makeConsole($) {{\n{console}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_server_left_is_removed_and_other_programs_live_on() {
        let above = tempfile::tempdir().unwrap();
        let folder = RunFolder::below(above.path());
        folder.sweep();
        let root = folder.next("code").unwrap();
        assert_ne!(root, folder.next("code").unwrap());
        fs::create_dir(&root).unwrap();
        folder.write_scripts().unwrap();
        // This process is not one of Node.js.
        std::mem::forget(folder.sign(std::process::id()).unwrap());
        folder.sweep();
        assert!(!above.path().join(NAME).exists());
    }
}
