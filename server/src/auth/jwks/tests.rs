//! Which keys of a set are used, and for which reason each of the others is not.

use serde_json::json;

use super::*;
use crate::auth::tests::keys::{ED25519, OTHER_RSA, P256, RSA, with};

const USED: &str = "used";

/// Why a key is not used, or [`USED`].
fn verdict(jwk: Value) -> &'static str {
    match Key::from_jwk(&jwk) {
        Ok(_) => USED,
        Err(reason) => reason,
    }
}

fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Value {
    json!({"kty": "RSA", "n": encode(modulus), "e": encode(exponent)})
}

/// The greatest number of this many bits, which is odd.
fn odd(bits: usize) -> Vec<u8> {
    let mut number = vec![0xff; bits.div_ceil(8)];
    number[0] >>= number.len() * 8 - bits;
    number
}

#[test]
fn an_rsa_modulus_is_an_odd_number_of_2048_to_8192_bits() {
    const SIZE: &str = "its modulus is shorter than 2048 or longer than 8192 bits";
    for (bits, expected) in [
        (1_024, SIZE),
        (2_040, SIZE),
        (2_047, SIZE),
        (2_048, USED),
        (2_049, USED),
        (8_191, USED),
        (8_192, USED),
        (8_193, SIZE),
    ] {
        let modulus = odd(bits);
        assert_eq!(verdict(rsa(&modulus, &[1, 0, 1])), expected, "{bits} bits");
        let padded = [&[0, 0][..], &modulus].concat();
        assert_eq!(
            verdict(rsa(&padded, &[1, 0, 1])),
            expected,
            "{bits} bits behind zeros"
        );
    }
    let mut even = odd(2_048);
    even[255] = 0xfe;
    assert_eq!(verdict(rsa(&even, &[1, 0, 1])), "its modulus is even");
    for zero in [&[][..], &[0; 256]] {
        assert_eq!(verdict(rsa(zero, &[1, 0, 1])), "its modulus is zero");
    }
}

#[test]
fn an_rsa_exponent_is_an_odd_number_from_3_to_2_to_the_33rd() {
    const UNFIT: &str = "its exponent is not an odd number from 3 to 2^33";
    let modulus = odd(2_048);
    for (exponent, expected) in [
        (0, UNFIT),
        (1, UNFIT),
        (2, UNFIT),
        (3, USED),
        (4, UNFIT),
        (5, USED),
        (65_536, UNFIT),
        (65_537, USED),
        ((1 << 33) - 1, USED),
        (1 << 33, UNFIT),
        ((1 << 33) + 1, UNFIT),
        (u64::MAX, UNFIT),
    ] {
        let key = rsa(&modulus, &u64::to_be_bytes(exponent));
        assert_eq!(verdict(key), expected, "{exponent}");
    }
    let (long, padded) = (
        [&[1][..], &[0; 7], &[1]].concat(),
        [0, 0, 0, 0, 0, 0, 0, 0, 3],
    );
    assert_eq!(
        verdict(rsa(&modulus, &long)),
        "its exponent is too large",
        "its last eight bytes alone are 1"
    );
    assert_eq!(verdict(rsa(&modulus, &padded)), USED);
}

#[test]
fn a_key_of_p_256_is_a_point_of_two_coordinates_of_32_bytes() {
    const SIZE: &str = "its coordinates are not of 32 bytes";
    let key = P256.jwk("p");
    let y = bytes(key.as_object().unwrap(), "y").unwrap();
    assert_eq!(verdict(key.clone()), USED);
    for (fields, expected) in [
        (json!({"crv": "P-384"}), "its curve is not P-256"),
        (json!({"crv": "Ed25519"}), "its curve is not P-256"),
        (json!({"x": encode(&[1; 31])}), SIZE),
        (json!({"x": encode(&[1; 33])}), SIZE),
        (json!({"y": encode(&y[..31])}), SIZE),
        (json!({"y": encode(&[&[0], &y[..]].concat())}), SIZE),
        (
            json!({"x": encode(&[1; 32])}),
            "its point is not on the curve",
        ),
        (
            json!({"x": format!("{}=", encode(&[1; 32]))}),
            "a field of it is not unpadded base64url",
        ),
        (
            json!({"x": 5}),
            "a field that its type needs is missing or not a string",
        ),
    ] {
        assert_eq!(
            verdict(with(key.clone(), fields.clone())),
            expected,
            "{fields}"
        );
    }
}

#[test]
fn a_key_of_ed25519_is_a_point_of_32_bytes_and_of_a_high_order() {
    let key = ED25519.jwk("e");
    assert_eq!(verdict(key.clone()), USED);
    for (fields, expected) in [
        (json!({"crv": "Ed448"}), "its curve is not Ed25519"),
        (
            json!({"x": encode(&[9; 31])}),
            "its point is not of 32 bytes",
        ),
        (
            json!({"x": encode(&[9; 33])}),
            "its point is not of 32 bytes",
        ),
    ] {
        assert_eq!(
            verdict(with(key.clone(), fields.clone())),
            expected,
            "{fields}"
        );
    }
    let near_the_prime = [0xec, 0xed, 0xee].map(|first| {
        let mut point = [0xff; 32];
        (point[0], point[31]) = (first, 0x7f);
        point
    });
    let mut one = [0; 32];
    one[0] = 1;
    let [.., of_order_8, also_of_order_8, _, _, _] = LOW_ORDER_Y;
    let points = [[0; 32], one, of_order_8, also_of_order_8];
    for mut point in points.into_iter().chain(near_the_prime) {
        for _sign in 0..2 {
            assert_eq!(
                verdict(with(key.clone(), json!({"x": encode(&point)}))),
                "its point has a low order, so that signatures without a secret would fit",
                "{point:02x?}"
            );
            point[31] ^= 0x80;
        }
    }
}

#[test]
fn a_key_for_another_algorithm_or_purpose_is_not_used() {
    const ALGORITHM: &str = "its \"alg\" is not an algorithm used here for its type";
    const USE: &str = "its \"use\" is not signing";
    const OPERATIONS: &str = "its \"key_ops\" do not include verify";
    let named = [
        "RS256", "RS384", "PS256", "ES256", "EdDSA", "Ed25519", "HS256", "",
    ];
    for (key, own) in [
        (RSA.jwk("k"), &["RS256"][..]),
        (P256.jwk("k"), &["ES256"]),
        (ED25519.jwk("k"), &["EdDSA", "Ed25519"]),
    ] {
        for alg in named {
            let expected = if own.contains(&alg) { USED } else { ALGORITHM };
            assert_eq!(
                verdict(with(key.clone(), json!({"alg": alg}))),
                expected,
                "{alg} of {own:?}"
            );
        }
        for (fields, expected) in [
            (json!({"alg": 5}), ALGORITHM),
            (json!({"use": "sig"}), USED),
            (json!({"use": "enc"}), USE),
            (json!({"use": null}), USE),
            (json!({"key_ops": ["verify"]}), USED),
            (json!({"key_ops": ["sign", "verify"]}), USED),
            (json!({"key_ops": ["sign"]}), OPERATIONS),
            (json!({"key_ops": []}), OPERATIONS),
            (json!({"key_ops": "verify"}), OPERATIONS),
            (json!({"kid": 5}), "its \"kid\" is not a string"),
            (json!({"kty": "RSA2"}), "its type is not used here"),
            (
                json!({"kty": "oct"}),
                "it is a shared secret, which anyone who verifies could sign with",
            ),
        ] {
            assert_eq!(
                verdict(with(key.clone(), fields.clone())),
                expected,
                "{fields} of {own:?}"
            );
        }
    }
}

#[test]
fn a_set_counts_its_usable_keys_and_chooses_the_one_that_is_named_and_fits() {
    let keys = [
        RSA.jwk("twice"),
        OTHER_RSA.jwk("twice"),
        P256.jwk("once"),
        ED25519.jwk("once"),
        json!({"kty": "oct", "kid": "unusable"}),
    ];
    let set = KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
    assert_eq!(set.len(), 4);
    assert_eq!(KeySet::parse(b"{\"keys\":[]}").unwrap().len(), 0);
    let choice = |id, algorithm| set.choose(id, algorithm).map(|key| key.algorithm);
    for (id, algorithm, expected) in [
        (
            Some("twice"),
            SignatureAlgorithm::Rs256,
            Err(KeyChoiceError::Ambiguous),
        ),
        (
            Some("twice"),
            SignatureAlgorithm::Es256,
            Err(KeyChoiceError::NoneFits),
        ),
        (
            Some("once"),
            SignatureAlgorithm::Es256,
            Ok(SignatureAlgorithm::Es256),
        ),
        (
            Some("once"),
            SignatureAlgorithm::EdDsa,
            Ok(SignatureAlgorithm::EdDsa),
        ),
        (
            Some("once"),
            SignatureAlgorithm::Rs256,
            Err(KeyChoiceError::NoneFits),
        ),
        (
            Some("unusable"),
            SignatureAlgorithm::Rs256,
            Err(KeyChoiceError::UnknownId),
        ),
        (
            None,
            SignatureAlgorithm::Es256,
            Ok(SignatureAlgorithm::Es256),
        ),
        (
            None,
            SignatureAlgorithm::Rs256,
            Err(KeyChoiceError::Ambiguous),
        ),
    ] {
        assert_eq!(choice(id, algorithm), expected, "{id:?} {algorithm:?}");
    }
}
