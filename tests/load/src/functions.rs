//! The language of the functions that are loaded. TypeScript is pushed by the official command line, as a developer's is.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::ValueEnum;

/// In which language accounts are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Functions {
    /// In the server's own program.
    #[default]
    Rust,
    /// Pushed to it.
    #[value(alias = "typescript")]
    Ts,
}

impl Functions {
    /// The name of a server with them in reports.
    pub fn subject(self) -> &'static str {
        match self {
            Functions::Rust => "vestibule",
            Functions::Ts => "vestibule, TypeScript",
        }
    }

    /// How the flag says it.
    pub fn name(self) -> &'static str {
        match self {
            Functions::Rust => "rust",
            Functions::Ts => "ts",
        }
    }
}

/// Pushes the accounts in TypeScript to the server at `url`.
///
/// # Errors
/// As [`push_folder`].
pub fn push(url: &str, admin_key: &str) -> anyhow::Result<()> {
    push_folder(&accounts_folder(), url, admin_key)
}

/// Pushes them with one index more, `by_balance`, which each transfer moves two documents in. Returns once it is built.
///
/// # Errors
/// As [`push_folder`].
pub fn push_with_index(url: &str, admin_key: &str) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("vestibule-load-app-")
        .tempdir()?;
    copy(&accounts_folder(), folder.path())?;
    let schema = folder.path().join("convex/schema.ts");
    let text = std::fs::read_to_string(&schema)?;
    let index = r#"balance: v.number() }).index("by_number", ["number"])"#;
    anyhow::ensure!(text.contains(index), "{index} is not in the schema");
    let more = format!(r#"{index}.index("by_balance", ["balance"])"#);
    std::fs::write(&schema, text.replace(index, &more))?;
    push_folder(folder.path(), url, admin_key)
}

/// Pushes them with sign-ups by password, which only `load sign-ups` calls.
///
/// # Errors
/// As [`push_folder`].
pub fn push_with_sign_ups(url: &str, admin_key: &str) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("vestibule-load-app-")
        .tempdir()?;
    copy(&accounts_folder(), folder.path())?;
    let sign_ups = Path::new(env!("CARGO_MANIFEST_DIR")).join("sign-ups");
    copy(&sign_ups, folder.path())?;
    push_folder(folder.path(), url, admin_key)
}

fn accounts_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("functions")
}

/// Pushes the functions in a folder, which holds a `package.json` and a folder `convex`.
///
/// # Errors
/// When the command line is not installed, or says no; the message holds what it said.
pub fn push_folder(source: &Path, url: &str, admin_key: &str) -> anyhow::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tool = installed(&here.join("../cli"))?;
    let folder = tempfile::Builder::new()
        .prefix("vestibule-load-app-")
        .tempdir()?;
    copy(source, folder.path())?;
    std::os::unix::fs::symlink(&tool, folder.path().join("node_modules"))?;
    // It would run on the developer's machine: here it takes only the time that nothing else wants.
    let said = Command::new("nice")
        .args(["-n", "19"])
        .arg(tool.join(".bin/node"))
        .arg(tool.join("convex/bin/main.js"))
        // An index on a large table is what some scenarios are about.
        .args([
            "deploy",
            "--typecheck",
            "disable",
            "--skip-large-indexes-check",
        ])
        .current_dir(folder.path())
        .env("CI", "1")
        .env("CONVEX_SELF_HOSTED_URL", url)
        .env("CONVEX_SELF_HOSTED_ADMIN_KEY", admin_key)
        .env_remove("CONVEX_DEPLOYMENT")
        .output()
        .context("the official command line does not start")?;
    if !said.status.success() {
        let text = [said.stdout, said.stderr].concat();
        bail!("the push failed:\n{}", String::from_utf8_lossy(&text));
    }
    Ok(())
}

/// The packages of a folder, installed as its lock file says unless they are there.
fn installed(folder: &Path) -> anyhow::Result<PathBuf> {
    // Held until this returns, so that two programs do not install into one folder.
    let lock = std::fs::File::open(folder.join("package-lock.json"))?;
    lock.lock()?;
    let packages = folder.join("node_modules");
    if !packages.join(".bin/node").exists() {
        let said = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(folder)
            .output()
            .context("the official command line comes by npm: see https://nodejs.org")?;
        if !said.status.success() {
            bail!("npm ci failed:\n{}", String::from_utf8_lossy(&said.stderr));
        }
    }
    Ok(packages.canonicalize()?)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut folders: Vec<(PathBuf, PathBuf)> = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = folders.pop() {
        std::fs::create_dir_all(&to)?;
        for entry in std::fs::read_dir(&from)? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            match entry.file_type()?.is_dir() {
                true => folders.push((entry.path(), target)),
                false => drop(std::fs::copy(entry.path(), target)?),
            }
        }
    }
    Ok(())
}
