//! Slow functions of packages that get native heads (`functions/js/known`). Arguments that one of them does not take
//! are left to the package.

use scrypt::Params;

use super::arguments::Arguments;
use super::{Answer, HostValue};

/// Memory that one key may take: 128 × N × r bytes.
const SCRYPT_BYTES_MAX: u64 = 64 << 20;
/// Work of one key, in blocks of 128 × r bytes that are mixed: well under a second.
const SCRYPT_WORK_MAX: u64 = 1 << 20;
/// Bytes of one key.
const KEY_BYTES_MAX: u32 = 1024;
/// Rounds of one hash, as a power of two: about a second. It cannot be interrupted.
const BCRYPT_COST_MAX: u32 = 14;
const BCRYPT_COST_MIN: u32 = 4;
/// More bytes of a password do not count.
const BCRYPT_PASSWORD_BYTES_MAX: usize = 72;

/// Answers `undefined` for what is left to the package.
pub fn call(name: &str, arguments: &Arguments) -> Option<Answer> {
    let run = match name {
        "scrypt" => scrypt,
        "bcrypt" => bcrypt,
        _ => return None,
    };
    let answer = run(arguments).map_or(HostValue::Undefined, HostValue::Bytes);
    Some(Ok(answer))
}

/// `(password, salt, N, r, p, bytes)`
fn scrypt(arguments: &Arguments) -> Option<Vec<u8>> {
    let (password, salt) = (octets(arguments, 0)?, octets(arguments, 1)?);
    let count = |at| arguments.count(at).ok();
    let (n, r, p, bytes) = (count(2)?, count(3)?, count(4)?, count(5)?);
    let is_power = n > 1 && n.is_power_of_two();
    let work = u64::from(n).saturating_mul(u64::from(r));
    let is_small = work.saturating_mul(128) <= SCRYPT_BYTES_MAX
        && work.saturating_mul(u64::from(p)) <= SCRYPT_WORK_MAX;
    if !is_power || r == 0 || p == 0 || !is_small || !(1..=KEY_BYTES_MAX).contains(&bytes) {
        return None;
    }
    let log_n = u8::try_from(n.ilog2()).ok()?;
    let params = Params::new(log_n, r, p, Params::RECOMMENDED_LEN).ok()?;
    let mut key = vec![0; bytes as usize];
    scrypt::scrypt(password, salt, &params, &mut key).ok()?;
    Some(key)
}

/// `(password, salt, cost)`
fn bcrypt(arguments: &Arguments) -> Option<Vec<u8>> {
    let (password, salt) = (octets(arguments, 0)?, octets(arguments, 1)?);
    let cost = arguments.count(2).ok()?;
    let salt: [u8; 16] = salt.try_into().ok()?;
    if password.is_empty() || !(BCRYPT_COST_MIN..=BCRYPT_COST_MAX).contains(&cost) {
        return None;
    }
    let password = &password[..password.len().min(BCRYPT_PASSWORD_BYTES_MAX)];
    Some(bcrypt::bcrypt(cost, salt, password).to_vec())
}

/// Bytes, or the UTF-8 of a text.
fn octets<'a>(arguments: &'a Arguments<'_>, at: usize) -> Option<&'a [u8]> {
    match arguments.text(at) {
        Ok(text) => Some(text.as_bytes()),
        Err(_) => arguments.bytes(at).ok(),
    }
}
