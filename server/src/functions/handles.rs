//! The ids that function handles carry. One under the deployment's key shows that this deployment made the handle, so code
//! that knows the path of a function does not have its handle.

use data_encoding::HEXLOWER;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use vestibule_schema::path::FunctionPath;

/// Bytes of an id.
const ID_BYTES: usize = 16;

/// The deployment's key for handles. That of a default registry is known, and fit for tests alone.
#[derive(Clone, Copy, Default)]
pub struct HandleKey([u8; 32]);

impl HandleKey {
    /// A key for handles alone.
    pub fn new(key: [u8; 32]) -> HandleKey {
        HandleKey(key)
    }

    /// The id of a function: the same each time.
    pub fn id_of(&self, path: &FunctionPath) -> String {
        HEXLOWER.encode(&self.mac_of(path).finalize().into_bytes()[..ID_BYTES])
    }

    /// Whether this deployment gave the function this id.
    pub fn is_id_of(&self, id: &str, path: &FunctionPath) -> bool {
        let bytes = HEXLOWER.decode(id.as_bytes());
        let bytes = bytes.ok().filter(|bytes| bytes.len() == ID_BYTES);
        bytes.is_some_and(|bytes| self.mac_of(path).verify_truncated_left(&bytes).is_ok())
    }

    fn mac_of(&self, path: &FunctionPath) -> Hmac<Sha256> {
        let mut mac = Hmac::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(path.component().as_str().as_bytes());
        mac.update(b":");
        mac.update(path.canonical().as_bytes());
        mac
    }
}

/// The id that servers gave a function of the app before ids had a key. Documents may hold handles with it.
pub fn keyless_id(path: &FunctionPath) -> String {
    HEXLOWER.encode(&Sha256::digest(path.canonical())[..ID_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_one_function_and_one_key() {
        let path: FunctionPath = "rooms:list".parse().unwrap();
        let kid = path.clone().in_component("kid".parse().unwrap());
        let (key, other) = (HandleKey::new([1; 32]), HandleKey::new([2; 32]));
        let id = key.id_of(&path);
        assert_eq!(id.len(), 2 * ID_BYTES);
        assert!(key.is_id_of(&id, &path));
        assert!(!key.is_id_of(&id, &kid) && !other.is_id_of(&id, &path));
        for bad in ["", "x", &id[..2], &keyless_id(&path)] {
            assert!(!key.is_id_of(bad, &path), "{bad}");
        }
    }
}
