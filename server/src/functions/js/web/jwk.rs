//! Keys as JSON Web Keys.

use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use super::arguments::Arguments;
use super::der::{self, Reader};
use super::elliptic::Curve;
use super::keys::{Family, RsaPublic};
use super::{HostError, bad_key};

/// The numbers of a private RSA key, in their order in PKCS #1.
const RSA_NUMBERS: [&str; 8] = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];

/// `(family, jwk's JSON)`: a private key if it has `d`.
pub fn import(arguments: &Arguments) -> Result<Vec<u8>, HostError> {
    let family = Family::named(arguments.text(0)?)?;
    let jwk: Map<String, Value> =
        serde_json::from_str(arguments.text(1)?).map_err(|_| bad_key())?;
    match family {
        Family::Rsa => import_rsa(&jwk),
        Family::Elliptic(curve) => import_elliptic(curve, &jwk),
    }
}

fn import_rsa(jwk: &Map<String, Value>) -> Result<Vec<u8>, HostError> {
    expect(jwk, "kty", "RSA")?;
    let is_private = jwk.contains_key("d");
    let names = &RSA_NUMBERS[..if is_private { 8 } else { 2 }];
    let mut content = if is_private {
        der::unsigned(&[0])
    } else {
        vec![]
    };
    for name in names {
        content.extend(der::unsigned(&number(jwk, name)?));
    }
    let key = der::element(der::SEQUENCE, &[&content]);
    if is_private {
        RsaKeyPair::from_der(&key).map_err(|_| bad_key())?;
        return Ok(key);
    }
    Family::Rsa.public(&key)
}

fn import_elliptic(curve: Curve, jwk: &Map<String, Value>) -> Result<Vec<u8>, HostError> {
    expect(jwk, "crv", curve.name())?;
    expect(jwk, "kty", kty(curve))?;
    let mut point = number(jwk, "x")?;
    if !curve.is_montgomery_or_edwards() {
        let y = number(jwk, "y")?;
        point.insert(0, 4);
        point.extend(y);
    }
    let point = curve.checked_point(&point)?;
    if !jwk.contains_key("d") {
        return Ok(point);
    }
    let private = curve.private(&number(jwk, "d")?)?;
    let is_pair = curve.split(&private)?.1 == point;
    is_pair.then_some(private).ok_or_else(bad_key)
}

/// `(family, is private, key)`: the JWK's JSON with its numbers and nothing else.
pub fn export(arguments: &Arguments) -> Result<String, HostError> {
    let family = Family::named(arguments.text(0)?)?;
    let (is_private, key) = (arguments.flag(1), arguments.bytes(2)?);
    let jwk = match family {
        Family::Rsa if is_private => export_private_rsa(key).ok_or_else(bad_key)?,
        Family::Rsa => {
            let public = RsaPublic::read(key).ok_or_else(bad_key)?;
            let numbers = [("n", public.modulus), ("e", public.exponent)];
            object("RSA", numbers)
        }
        Family::Elliptic(curve) => export_elliptic(curve, is_private, key)?,
    };
    Ok(Value::Object(jwk).to_string())
}

fn export_private_rsa(key: &[u8]) -> Option<Map<String, Value>> {
    let mut numbers = Reader::new(key).sequence()?;
    numbers.unsigned()?;
    let mut named = Vec::new();
    for name in RSA_NUMBERS {
        named.push((name, numbers.unsigned()?));
    }
    Some(object("RSA", named))
}

fn export_elliptic(
    curve: Curve,
    is_private: bool,
    key: &[u8],
) -> Result<Map<String, Value>, HostError> {
    let (secret, point) = if is_private {
        let (secret, point) = curve.split(key)?;
        (Some(secret), point)
    } else {
        (None, key)
    };
    let mut numbers = Vec::new();
    if curve.is_montgomery_or_edwards() {
        numbers.push(("x", point));
    } else {
        let (x, y) = point[1..].split_at(curve.secret_bytes());
        numbers.extend([("x", x), ("y", y)]);
    }
    numbers.extend(secret.map(|secret| ("d", secret)));
    let mut jwk = object(kty(curve), numbers);
    jwk.insert("crv".to_owned(), curve.name().into());
    Ok(jwk)
}

fn kty(curve: Curve) -> &'static str {
    if curve.is_montgomery_or_edwards() {
        "OKP"
    } else {
        "EC"
    }
}

fn object<'a>(
    kty: &str,
    numbers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Map<String, Value> {
    let mut jwk = Map::new();
    jwk.insert("kty".to_owned(), kty.into());
    for (name, number) in numbers {
        jwk.insert(name.to_owned(), BASE64URL_NOPAD.encode(number).into());
    }
    jwk
}

fn expect(jwk: &Map<String, Value>, name: &str, value: &str) -> Result<(), HostError> {
    let is_right = jwk.get(name).and_then(Value::as_str) == Some(value);
    is_right.then_some(()).ok_or_else(bad_key)
}

fn number(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, HostError> {
    let text = jwk.get(name).and_then(Value::as_str).ok_or_else(bad_key)?;
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|_| bad_key())
}
