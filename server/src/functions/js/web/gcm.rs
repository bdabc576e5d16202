//! AES-GCM with ivs and tags of lengths that the library for cryptography does not offer: its AES, and GHASH.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use ghash::GHash;
use ghash::universal_hash::UniversalHash;

use super::cipher::{BLOCK_BYTES, count};
use super::{HostError, operation_failed};

/// Bits of the counter that count on.
const COUNTER_BITS: u32 = 32;

/// A key with the initial value of one message.
struct Gcm<'k> {
    key: &'k [u8],
    hash: GHash,
    initial: u128,
}

impl<'k> Gcm<'k> {
    fn new(key: &'k [u8], iv: &[u8]) -> Result<Gcm<'k>, HostError> {
        if iv.is_empty() {
            return Err(operation_failed());
        }
        let mut zeros = [0; BLOCK_BYTES];
        count(key, 0, COUNTER_BITS, &mut zeros)?;
        let hash = GHash::new(&zeros.into());
        let initial = match <[u8; 12]>::try_from(iv) {
            Ok(iv) => {
                let mut block = [0; BLOCK_BYTES];
                block[..iv.len()].copy_from_slice(&iv);
                u128::from_be_bytes(block) | 1
            }
            Err(_) => {
                let mut hash = hash.clone();
                hash.update_padded(iv);
                hash.update(&[lengths(0, iv.len()).into()]);
                u128::from_be_bytes(hash.finalize().into())
            }
        };
        Ok(Gcm { key, hash, initial })
    }

    /// Encrypts or decrypts.
    fn apply(&self, data: &mut [u8]) -> Result<(), HostError> {
        let low = u128::from(u32::MAX);
        let next = self.initial & !low | self.initial.wrapping_add(1) & low;
        count(self.key, next, COUNTER_BITS, data)
    }

    fn tag(&self, additional: &[u8], encrypted: &[u8]) -> Result<[u8; BLOCK_BYTES], HostError> {
        let mut hash = self.hash.clone();
        hash.update_padded(additional);
        hash.update_padded(encrypted);
        hash.update(&[lengths(additional.len(), encrypted.len()).into()]);
        let mut tag: [u8; BLOCK_BYTES] = hash.finalize().into();
        count(self.key, self.initial, COUNTER_BITS, &mut tag)?;
        Ok(tag)
    }
}

/// A block of two lengths, in bits.
fn lengths(one: usize, other: usize) -> [u8; BLOCK_BYTES] {
    let bits = |bytes: usize| 8 * bytes as u128;
    (bits(one) << 64 | bits(other)).to_be_bytes()
}

/// The encrypted data, and a tag of `tag_bytes` bytes.
pub fn encrypt(
    key: &[u8],
    iv: &[u8],
    additional: &[u8],
    data: &[u8],
    tag_bytes: usize,
) -> Result<Vec<u8>, HostError> {
    let gcm = Gcm::new(key, iv)?;
    let mut data = data.to_vec();
    gcm.apply(&mut data)?;
    let tag = gcm.tag(additional, &data)?;
    data.extend_from_slice(&tag[..tag_bytes]);
    Ok(data)
}

/// The data of what [`encrypt`] returned.
pub fn decrypt(
    key: &[u8],
    iv: &[u8],
    additional: &[u8],
    data: &[u8],
    tag_bytes: usize,
) -> Result<Vec<u8>, HostError> {
    let gcm = Gcm::new(key, iv)?;
    let length = data.len().checked_sub(tag_bytes);
    let (encrypted, given) = data.split_at(length.ok_or_else(operation_failed)?);
    let tag = gcm.tag(additional, encrypted)?;
    verify_slices_are_equal(&tag[..tag_bytes], given).map_err(|_| operation_failed())?;
    let mut data = encrypted.to_vec();
    gcm.apply(&mut data)?;
    Ok(data)
}
