//! The program: which Node.js there is, and the flags by which its version is kept in its place.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use semver::Version;
use tokio::process::Command;

use crate::clock::{Clock, timeout};
use crate::functions::options::{NodeOptions, NodeProgram};

/// The oldest version that runs actions.
pub const OLDEST: u64 = 20;
/// Time in which a program has to say its version.
const VERSION_TIME_MAX: Duration = Duration::from_secs(10);

/// A Node.js that can be used.
#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    pub version: Version,
}

/// Why there is no program where none is wanted.
pub const OFF: &str = "it was started with --node off";

/// The sentence for somebody who needs Node.js where there is none.
pub fn refusal(why: &str) -> String {
    format!(
        "this server has no Node.js: {why}. Install Node.js {OLDEST} or newer, or name one with --node PATH \
         (VESTIBULE_NODE), and start the server again."
    )
}

/// Finds the program of `options`, or says in a sentence why there is none.
pub async fn find(options: &NodeOptions, clock: &dyn Clock) -> Result<Program, String> {
    let path = match &options.program {
        NodeProgram::Off => return Err(OFF.to_owned()),
        NodeProgram::At(path) => path.clone(),
        NodeProgram::OnPath => {
            on_path("node").ok_or_else(|| "there is no `node` on its PATH".to_owned())?
        }
    };
    // Processes start in folders of their own.
    let path = std::path::absolute(&path).unwrap_or(path);
    let shown = path.display();
    let text = timeout(clock, VERSION_TIME_MAX, said_version(&path)).await;
    let text = text.unwrap_or_else(|| Err("it does not answer".to_owned()));
    let text = text.map_err(|error| format!("{shown} cannot be used: {error}"))?;
    let version = text.trim().strip_prefix('v').map(Version::parse);
    match version {
        Some(Ok(version)) if version.major >= OLDEST => Ok(Program { path, version }),
        Some(Ok(version)) => Err(format!(
            "{shown} is version {version}, and {OLDEST} is the oldest that can be used"
        )),
        Some(Err(_)) | None => Err(format!("{shown} is not Node.js")),
    }
}

async fn said_version(path: &Path) -> Result<String, String> {
    let mut command = Command::new(path);
    command
        .arg("--version")
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("it ended with {}", output.status)),
    }
}

/// The first file of this name in the folders of the server's path.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let files = env::split_paths(&path).map(|folder| folder.join(name));
    files.into_iter().find(|file| file.is_file())
}

/// The folders that a process reaches.
pub struct Reach<'r> {
    /// Those that it reads.
    pub reads: Vec<&'r Path>,
    /// The one that it writes too.
    pub writes: &'r Path,
}

impl Program {
    /// The flags that keep a process within `reach` and `options`.
    pub fn flags(&self, options: &NodeOptions, reach: &Reach<'_>) -> Vec<OsString> {
        let mut flags: Vec<OsString> = vec![
            self.permission_flag().into(),
            "--no-warnings".into(),
            format!("--max-old-space-size={}", (options.memory_max >> 20).max(1)).into(),
        ];
        let folder = |flag: &str, folder: &Path| {
            let mut text = OsString::from(flag);
            text.push(folder.join("*"));
            text
        };
        let reads = reach.reads.iter().chain([&reach.writes]);
        flags.extend(reads.map(|it| folder("--allow-fs-read=", it)));
        flags.push(folder("--allow-fs-write=", reach.writes));
        if self.has_sqlite() {
            // It opens files past the permissions.
            flags.push("--no-experimental-sqlite".into());
        }
        if self.permits_network() {
            // The server judges each connection itself.
            flags.push("--allow-net".into());
        }
        match options.loads_addons {
            true => flags.push("--allow-addons".into()),
            false => flags.push("--no-addons".into()),
        }
        flags
    }

    fn permission_flag(&self) -> &'static str {
        let (major, minor) = (self.version.major, self.version.minor);
        match (major, minor) {
            (22, 13..) | (23, 5..) | (24.., _) => "--permission",
            _ => "--experimental-permission",
        }
    }

    /// Whether its permissions are about the network too.
    fn permits_network(&self) -> bool {
        self.version.major >= 25
    }

    /// Whether `node:sqlite` is there unless it is turned off.
    fn has_sqlite(&self) -> bool {
        let (major, minor) = (self.version.major, self.version.minor);
        matches!((major, minor), (22, 13..) | (23, 4..) | (24.., _))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(version: &str) -> Vec<String> {
        let program = Program {
            path: "node".into(),
            version: version.parse().unwrap(),
        };
        let reach = Reach {
            reads: vec![Path::new("/a")],
            writes: Path::new("/b"),
        };
        let flags = program.flags(&NodeOptions::default(), &reach);
        flags
            .into_iter()
            .map(|flag| flag.into_string().unwrap())
            .collect()
    }

    #[test]
    fn every_version_is_kept_in_its_folders() {
        let old = flags("20.20.2");
        assert!(old.contains(&"--experimental-permission".to_owned()));
        assert!(!old.contains(&"--no-experimental-sqlite".to_owned()));
        for version in ["22.13.0", "24.1.0", "26.0.0"] {
            let new = flags(version);
            for flag in [
                "--permission",
                "--no-experimental-sqlite",
                "--no-addons",
                "--allow-fs-read=/a/*",
                "--allow-fs-read=/b/*",
                "--allow-fs-write=/b/*",
                "--max-old-space-size=512",
            ] {
                assert!(new.contains(&flag.to_owned()), "{version}: {flag}");
            }
            let permits_network = new.contains(&"--allow-net".to_owned());
            assert_eq!(permits_network, version == "26.0.0", "{version}");
        }
    }
}
