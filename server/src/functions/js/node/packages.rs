//! Packages that a bundle leaves out: they are installed from the npm registry, once for each list of them.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::Node;
use super::program::{Program, on_path};
use crate::clock::timeout;
use crate::deployment::NodeDependency;
use crate::functions::error::{Error, Result};
use crate::storage::private_directory;

/// Packages that one push may name.
const PACKAGES_MAX: usize = 1_000;
/// Time for an installation.
const INSTALL_TIME_MAX: Duration = Duration::from_secs(300);
/// Installations that are kept.
const INSTALLATIONS_MAX: usize = 16;
/// What is told of an installation that failed.
const SAID_BYTES_KEPT: usize = 2_000;
/// The variables of the server by which operators tell npm about registries and proxies.
const NPM_VARIABLES: [&str; 5] = [
    "npm_config_",
    "NPM_CONFIG_",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NODE_EXTRA_CA_CERTS",
];

impl Node {
    /// The folder in which `packages` are installed; none where there are none.
    pub(super) async fn packages(
        &self,
        program: &Program,
        packages: &[NodeDependency],
    ) -> Result<Option<PathBuf>> {
        if packages.is_empty() {
            return Ok(None);
        }
        check(packages)?;
        let above = self.options.folder.join("packages");
        let folder = above.join(name_of(packages));
        let _one_at_a_time = self.installing.lock().await;
        mark_used(&folder);
        if !folder.is_dir() {
            if !self.options.installs_packages {
                return Err(Error::plain(refusal(packages)));
            }
            let trouble = |error: io::Error| Error::plain(format!("npm install failed: {error}"));
            private_directory(&above).map_err(trouble)?;
            let partial = above.join("partial");
            let installed = self.install(program, packages, &partial, &folder).await;
            // It is gone where it became the folder.
            remove(vec![partial]).await;
            installed.map_err(|why| Error::plain(format!("npm install failed: {why}")))?;
            remove(old(&above, &self.folders_in_use(&above, &folder))).await;
        }
        fs::canonicalize(&folder)
            .map(Some)
            .map_err(|error| Error::plain(format!("installed packages cannot be read: {error}")))
    }

    /// The folders of installations that codes name, beside `newest`. A process may import from one at any time.
    fn folders_in_use(&self, above: &Path, newest: &Path) -> HashSet<PathBuf> {
        let codes = self.codes();
        let named = codes
            .iter()
            .map(|code| above.join(name_of(&code.parts.packages)));
        named.chain([newest.to_owned()]).collect()
    }

    async fn install(
        &self,
        program: &Program,
        packages: &[NodeDependency],
        partial: &Path,
        folder: &Path,
    ) -> std::result::Result<(), String> {
        let text = |error: io::Error| error.to_string();
        let npm = npm_of(program).ok_or("there is no `npm` beside Node.js, nor on the PATH")?;
        remove(vec![partial.to_owned()]).await;
        private_directory(partial).map_err(text)?;
        let listed = packages
            .iter()
            .map(|package| (package.name.clone(), Json::from(package.version.clone())));
        let manifest = json!({
            "private": true,
            "dependencies": listed.collect::<serde_json::Map<_, _>>(),
        });
        fs::write(partial.join("package.json"), manifest.to_string()).map_err(text)?;
        tracing::info!(packages = packages.len(), "installing packages for Node.js");
        let mut command = Command::new(&program.path);
        command
            .arg(npm)
            .args(["install", "--ignore-scripts", "--omit=dev"])
            .args(["--no-audit", "--no-fund", "--no-update-notifier"])
            .arg("--cache")
            .arg(partial.join(".cache"))
            .current_dir(partial)
            .env_clear()
            .env("HOME", partial)
            .envs(npm_variables())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(&*self.clock, INSTALL_TIME_MAX, command.output()).await;
        let output = output.ok_or_else(|| {
            let seconds = INSTALL_TIME_MAX.as_secs();
            format!("it took longer than {seconds} seconds")
        })?;
        let output = output.map_err(text)?;
        if !output.status.success() {
            return Err(end_of(&output.stderr));
        }
        remove(vec![partial.join(".cache")]).await;
        fs::rename(partial, folder).map_err(text)
    }
}

/// Names and exact versions alone: anything else could lead npm to other places than its registry.
fn check(packages: &[NodeDependency]) -> Result<()> {
    if packages.len() > PACKAGES_MAX {
        let text = format!("A push may name at most {PACKAGES_MAX} packages for Node.js.");
        return Err(Error::plain(text));
    }
    let wrong = packages.iter().find(|package| {
        let bare = package.name.strip_prefix('@').unwrap_or(&package.name);
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-._~/".contains(letter);
        let is_name = !bare.is_empty() && bare.len() <= 214 && bare.chars().all(is_letter);
        let is_within = !bare
            .split('/')
            .any(|part| part.is_empty() || part.starts_with('.'));
        let is_version = semver::Version::parse(&package.version).is_ok();
        !(is_name && is_within && is_version)
    });
    match wrong {
        None => Ok(()),
        Some(package) => Err(Error::plain(format!(
            "{:?} at version {:?} is not a package of the npm registry at one version.",
            package.name, package.version
        ))),
    }
}

fn refusal(packages: &[NodeDependency]) -> String {
    let names: Vec<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    format!(
        "convex.json leaves packages out of the bundle (node.externalPackages), and this server installs none: {}. \
         Start the server with --node-packages to let it install them with npm, or take them off the list.",
        names.join(", ")
    )
}

fn name_of(packages: &[NodeDependency]) -> String {
    let mut listed: Vec<String> = packages
        .iter()
        .map(|package| format!("{}@{}", package.name, package.version))
        .collect();
    listed.sort();
    HEXLOWER.encode(&Sha256::digest(listed.join("\n")))
}

/// The script of npm: beside the program, or else on the path.
fn npm_of(program: &Program) -> Option<PathBuf> {
    let beside = fs::canonicalize(&program.path).ok();
    let beside = beside.and_then(|path| Some(path.parent()?.join("npm")));
    let npm = beside
        .filter(|npm| npm.is_file())
        .or_else(|| on_path("npm"))?;
    // What is there is a link to the script.
    fs::canonicalize(npm).ok()
}

fn npm_variables() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        NPM_VARIABLES.iter().any(|known| name.starts_with(known))
    })
}

fn end_of(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let said = said.trim();
    let from = said.ceil_char_boundary(said.len().saturating_sub(SAID_BYTES_KEPT));
    said[from..].to_owned()
}

/// The installations that were not used for longest, of more than are kept. Whatever still needs one installs it again.
fn old(above: &Path, in_use: &HashSet<PathBuf>) -> Vec<PathBuf> {
    let entries = fs::read_dir(above).into_iter().flatten().flatten();
    let mut others: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| !in_use.contains(path))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .collect();
    others.sort();
    let beyond = (others.len() + in_use.len()).saturating_sub(INSTALLATIONS_MAX);
    let beyond = beyond.min(others.len());
    others.drain(..beyond).map(|(_, path)| path).collect()
}

/// Has the folder of an installation say that it is used now: a file that comes and goes changes its time.
fn mark_used(folder: &Path) {
    let mark = folder.join(".used");
    if fs::write(&mark, "").is_ok() {
        // It is written again at the next use.
        let _ = fs::remove_file(mark);
    }
}

/// Removes folders of many files, on a thread that may take its time.
async fn remove(folders: Vec<PathBuf>) {
    let remove = move || {
        for folder in folders {
            if let Err(error) = fs::remove_dir_all(folder)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "packages for Node.js cannot be removed");
            }
        }
    };
    // It ends early only with the server, whose next installations remove what is left.
    let _ = tokio::task::spawn_blocking(remove).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(all: &[(&str, &str)]) -> Vec<NodeDependency> {
        let package = |(name, version): &(&str, &str)| NodeDependency {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
        };
        all.iter().map(package).collect()
    }

    #[test]
    fn packages_are_names_with_exact_versions() {
        assert!(
            check(&packages(&[
                ("sharp", "0.33.2"),
                ("@aws-sdk/client-s3", "3.1.0-rc.1")
            ]))
            .is_ok()
        );
        for (name, version) in [
            ("sharp", "file:../x"),
            ("sharp", "git+ssh://host/x"),
            ("sharp", "^1.0.0"),
            ("../sharp", "1.0.0"),
            ("a b", "1.0.0"),
            ("", "1.0.0"),
            ("--flag=/", "latest"),
        ] {
            let refused = check(&packages(&[(name, version)])).unwrap_err();
            assert!(
                refused.to_string().contains("is not a package"),
                "{name} {version}"
            );
        }
    }

    #[test]
    fn a_list_has_one_folder_in_any_order() {
        let (one, other) = (("a", "1.0.0"), ("b", "2.0.0"));
        assert_eq!(
            name_of(&packages(&[one, other])),
            name_of(&packages(&[other, one]))
        );
        assert_ne!(name_of(&packages(&[one])), name_of(&packages(&[other])));
    }

    #[test]
    fn the_oldest_installations_go_unless_they_are_in_use() {
        let above = tempfile::tempdir().unwrap();
        // Their times may be equal: then their names decide.
        let folder = |number: usize| above.path().join(format!("{number:03}"));
        for number in 0..INSTALLATIONS_MAX + 3 {
            fs::create_dir(folder(number)).unwrap();
        }
        let used_at = |number: usize| fs::metadata(folder(number)).unwrap().modified().unwrap();
        let newest = (0..INSTALLATIONS_MAX + 3).map(used_at).max().unwrap();
        while used_at(1) <= newest {
            mark_used(&folder(1));
        }
        let in_use = HashSet::from([folder(0)]);
        assert_eq!(
            old(above.path(), &in_use),
            [folder(2), folder(3), folder(4)]
        );
        let all = (0..INSTALLATIONS_MAX + 3).map(folder).collect();
        assert!(old(above.path(), &all).is_empty());
    }
}
