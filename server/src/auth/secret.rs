//! Secrets: values that are never printed, compared with `==`, or left readable to others.

use std::fmt;
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::private_file;

/// Length of the deployment secret, in bytes.
pub const DEPLOYMENT_SECRET_BYTES: usize = 32;
/// Its file in the data directory.
pub const DEPLOYMENT_SECRET_FILE: &str = "secret";

/// A value that must not reach a log, an error or a comparison that stops at the first difference.
///
/// It has neither `Debug` nor `Display` nor `PartialEq`, so the compiler finds every place that would print or compare
/// it. Reading it is spelled out: [`Secret::expose`].
#[derive(Clone)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Takes `value` into keeping.
    pub fn new(value: T) -> Secret<T> {
        Secret(value)
    }

    /// The value itself, for the one place that must use it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

/// The root of everything this deployment signs.
#[derive(Clone)]
pub struct DeploymentSecret(Secret<[u8; DEPLOYMENT_SECRET_BYTES]>);

impl fmt::Debug for DeploymentSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeploymentSecret(…)")
    }
}

/// Why a file with a secret is refused.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error("Could not read or create the secret file {path}: {source}", path = path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("The secret file {path} is not a regular file.", path = path.display())]
    NotAFile { path: PathBuf },
    #[error(
        "The secret file {path} can be used by others than its owner (mode {mode:03o}); run: chmod 600 {path}",
        path = path.display()
    )]
    Mode { path: PathBuf, mode: u32 },
    #[error(
        "The secret file {path} has {found} bytes instead of {expected}; restore it from a backup, or remove it to make a new secret, which ends all admin keys.",
        path = path.display()
    )]
    Length {
        path: PathBuf,
        found: u64,
        expected: usize,
    },
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// The operating system has no random bytes to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The operating system gave no random bytes.")]
pub struct NoRandomness;

impl DeploymentSecret {
    /// The secret of the deployment in `data_directory`, created there at the first start.
    pub fn load_or_create(data_directory: &Path) -> Result<DeploymentSecret, SecretFileError> {
        let path = data_directory.join(DEPLOYMENT_SECRET_FILE);
        private_file::load_or_create(&path).map(|bytes| DeploymentSecret(Secret(bytes)))
    }

    /// A secret that was kept elsewhere.
    pub fn from_bytes(bytes: [u8; DEPLOYMENT_SECRET_BYTES]) -> DeploymentSecret {
        DeploymentSecret(Secret(bytes))
    }

    /// A key for one purpose. Keys of different purposes tell nothing about each other or about the secret.
    pub fn key_for(&self, purpose: &str) -> Secret<[u8; 32]> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.expose()).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        Secret(mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_created_once_and_read_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let first = DeploymentSecret::load_or_create(directory.path()).unwrap();
        let second = DeploymentSecret::load_or_create(directory.path()).unwrap();
        assert_eq!(first.0.expose(), second.0.expose());
        assert_ne!(first.0.expose(), &[0; 32]);
        let other = tempfile::tempdir().unwrap();
        let third = DeploymentSecret::load_or_create(other.path()).unwrap();
        assert_ne!(first.0.expose(), third.0.expose());
    }

    #[test]
    fn a_secret_of_another_length_is_refused_with_a_sentence() {
        let directory = tempfile::tempdir().unwrap();
        DeploymentSecret::load_or_create(directory.path()).unwrap();
        let path = directory.path().join(DEPLOYMENT_SECRET_FILE);
        std::fs::write(&path, [1; 31]).unwrap();
        let error = DeploymentSecret::load_or_create(directory.path())
            .err()
            .unwrap();
        assert!(
            error.to_string().contains("has 31 bytes instead of 32"),
            "{error}"
        );
        std::fs::write(&path, [1; 33]).unwrap();
        assert!(DeploymentSecret::load_or_create(directory.path()).is_err());
    }

    #[test]
    fn keys_of_two_purposes_differ() {
        let secret = DeploymentSecret::from_bytes([7; 32]);
        assert_ne!(secret.key_for("a").expose(), secret.key_for("b").expose());
        assert_eq!(secret.key_for("a").expose(), secret.key_for("a").expose());
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_that_others_can_use_is_refused_with_a_sentence() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        DeploymentSecret::load_or_create(directory.path()).unwrap();
        let path = directory.path().join(DEPLOYMENT_SECRET_FILE);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for mode in [0o644, 0o640, 0o606, 0o610] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = DeploymentSecret::load_or_create(directory.path())
                .err()
                .unwrap();
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn a_directory_in_its_place_is_refused_with_a_sentence() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(DEPLOYMENT_SECRET_FILE)).unwrap();
        let error = DeploymentSecret::load_or_create(directory.path())
            .err()
            .unwrap();
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}
