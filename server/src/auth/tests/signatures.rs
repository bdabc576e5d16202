//! Every way the form, header or signature of a token can be wrong, against both kinds of provider, with the code each
//! must give.

use aws_lc_rs::signature::{self, UnparsedPublicKey};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use hmac::{Hmac, Mac};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::keys::{self, ED25519, OTHER_RSA, P256, RSA, TestKey};
use super::table::{MALFORMED, Table, three_providers};
use super::tokens::{Draft, KINDS, Kind, message, signed};
use super::{authenticator, clock, code, inline};
use crate::auth::AUTH_TOKEN_BYTES_MAX;
use crate::auth::jwks::LOW_ORDER_Y;

pub fn an_ed25519_token_is_accepted_by_oidc_alone(table: &mut Table) {
    for kind in KINDS {
        let draft = Draft::of(kind).header("alg", "EdDSA").header("kid", "ed");
        let expected = if kind == Kind::Oidc {
            "ok"
        } else {
            kind.rejection()
        };
        table.case(format!("{kind:?}"), &draft.signed(&ED25519), expected);
    }
}

pub fn t1_a_token_without_three_parts_is_malformed(table: &mut Table) {
    let good = Draft::of(Kind::Oidc).signed(&RSA);
    let parts: Vec<&str> = good.split('.').collect();
    for count in [0, 1, 2, 4, 5] {
        let text: Vec<&str> = parts.iter().cycle().copied().take(count).collect();
        table.case(format!("{count} parts"), &text.join("."), MALFORMED);
    }
    for text in ["", ".", "..", "...", "....", "name|00ff"] {
        table.case(format!("{text:?}"), text, MALFORMED);
    }
}

pub fn t2_a_token_has_one_spelling(table: &mut Table) {
    let good = Draft::of(Kind::Oidc).signed(&RSA);
    table.case("as it is", &good, "ok");
    let parts: Vec<&str> = good.split('.').collect();
    let at = |index: usize, part: String| {
        let mut parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        parts[index] = part;
        parts.join(".")
    };
    for (index, part) in parts.iter().enumerate() {
        for text in [
            format!("{part}="),
            format!("{part} "),
            format!(" {part}"),
            format!("{part}\n"),
            format!("{part}\0"),
            format!("{part}+"),
            format!("é{part}"),
        ] {
            table.case(format!("part {index}"), &at(index, text), MALFORMED);
        }
    }
    // 256 bytes leave four spare bits in the last letter, which must be zero.
    let (rest, last) = parts[2].split_at(parts[2].len() - 1);
    let other = char::from(last.as_bytes()[0] + 1);
    table.case(
        "other spare bits",
        &at(2, format!("{rest}{other}")),
        MALFORMED,
    );
}

pub fn t3_header_and_payload_are_objects_with_distinct_keys_and_bounded(table: &mut Table) {
    let draft = Draft::of(Kind::Oidc);
    let header = Json::Object(draft.header.clone()).to_string();
    let claims = Json::Object(draft.claims.clone()).to_string();
    let twice = |json: &str, key: &str| format!("{{\"{key}\":\"x\",{}", &json[1..]);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(1_000), "]".repeat(1_000));
    let cases = [
        ("[]".to_owned(), claims.clone()),
        ("1".to_owned(), claims.clone()),
        (String::new(), claims.clone()),
        (twice(&header, "alg"), claims.clone()),
        (deep.clone(), claims.clone()),
        (header.clone(), "null".to_owned()),
        (header.clone(), "\"text\"".to_owned()),
        (header.clone(), twice(&claims, "sub")),
        (header.clone(), twice(&claims, "iss")),
        (header.clone(), deep),
        (header.clone(), format!("{claims}{claims}")),
        (header.clone(), claims.replacen("\"ada\"", "\"\\ud800\"", 1)),
    ];
    for (header, payload) in cases {
        let token = signed(&message(header.as_bytes(), payload.as_bytes()), &RSA);
        table.case(format!("{header} {payload}"), &token, MALFORMED);
    }
    let long = draft
        .claim("filler", "x".repeat(AUTH_TOKEN_BYTES_MAX))
        .signed(&RSA);
    table.case("longer than the bound", &long, MALFORMED);
    let longest = token_of(AUTH_TOKEN_BYTES_MAX);
    table.case("as long as the bound", &longest, "ok");
}

/// A valid token of this length.
fn token_of(bytes: usize) -> String {
    const SIGNATURE_BYTES: usize = 342;
    let padded = |header: usize, payload: usize| {
        let draft = Draft::of(Kind::Oidc).claim("filler", "x".repeat(payload));
        draft.header("filler", "x".repeat(header))
    };
    // Base64 cannot have every length, so both parts are tried.
    let lengths = (0..4)
        .flat_map(|header| (bytes * 7 / 10..bytes * 3 / 4).map(move |payload| (header, payload)));
    let mut drafts = lengths.map(|(header, payload)| padded(header, payload));
    let fits = |draft: &Draft| draft.message().len() + 1 + SIGNATURE_BYTES == bytes;
    drafts.find(fits).unwrap().signed(&RSA)
}

pub fn t4_a_token_without_a_signature_is_rejected(table: &mut Table) {
    for alg in ["none", "None", "nOnE", ""] {
        table.rejected(format!("alg {alg:?}"), |kind| {
            format!("{}.", Draft::of(kind).header("alg", alg).message())
        });
    }
    table.rejected("an empty signature", |kind| {
        format!("{}.", Draft::of(kind).message())
    });
    table.honest_but_rejected("no alg", |draft| draft.without_header("alg"));
    for alg in [json!(1), json!(null), json!(["RS256"]), json!({})] {
        table.honest_but_rejected("an alg that is no text", |draft| {
            draft.header("alg", alg.clone())
        });
    }
}

fn hmac_signed(draft: &Draft, key: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(draft.message().as_bytes());
    draft.with_signature(&mac.finalize().into_bytes())
}

pub fn t5_a_public_key_is_never_a_shared_secret(table: &mut Table) {
    let spellings = |key: &TestKey| -> Vec<Vec<u8>> {
        let der = key.public_der();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            BASE64.encode(&der)
        );
        let jwk = key.jwk("good");
        let field = jwk.get("n").or(jwk.get("x")).unwrap().as_str().unwrap();
        let number = BASE64URL_NOPAD.decode(field.as_bytes()).unwrap();
        vec![
            pem.into_bytes(),
            der,
            field.as_bytes().to_vec(),
            number,
            jwk.to_string().into_bytes(),
            json!({"keys": [jwk]}).to_string().into_bytes(),
        ]
    };
    for spelling in 0..6 {
        table.rejected(format!("spelling {spelling}"), |kind| {
            let draft = Draft::of(kind).header("alg", "HS256");
            hmac_signed(&draft, &spellings(kind.key())[spelling])
        });
    }
}

pub fn t6_an_algorithm_that_the_provider_does_not_allow_is_rejected(table: &mut Table) {
    for alg in [
        "RS384", "RS512", "PS256", "ES384", "HS256", "rs256", "RS256 ", "Ed25519",
    ] {
        table.honest_but_rejected(alg, |draft| draft.header("alg", alg));
    }
    // Honestly signed with a key that the provider publishes, by an algorithm that is not its own.
    table.rejected("the algorithm of another kind", |kind| {
        let (alg, key): (&str, &TestKey) = match kind {
            Kind::CustomEs256 => ("RS256", &RSA),
            Kind::Oidc | Kind::CustomRs256 => ("ES256", &P256),
        };
        Draft::of(kind)
            .header("alg", alg)
            .header("kid", "other-type")
            .signed(key)
    });
}

pub fn t7_a_key_of_another_type_is_rejected(table: &mut Table) {
    table.honest_but_rejected("kid of another type", |draft| {
        draft.header("kid", "other-type")
    });
    table.honest_but_rejected("kid of another curve", |draft| draft.header("kid", "ed"));
}

pub fn t8_a_shared_secret_in_a_key_set_is_ignored(table: &mut Table) {
    table.rejected("HS256", |kind| {
        let draft = Draft::of(kind).header("alg", "HS256").header("kid", "oct");
        hmac_signed(&draft, b"a shared secret of enough length")
    });
    table.honest_but_rejected("its own algorithm", |draft| draft.header("kid", "oct"));
}

pub fn t9_and_t10_keys_that_are_not_fit_for_signatures_are_ignored(table: &mut Table) {
    for kid in [
        "encryption",
        "operations",
        "rs512",
        "short",
        "even",
        "off-curve",
        "empty",
    ] {
        table.honest_but_rejected(kid, |draft| draft.header("kid", kid));
    }
}

pub fn t10_a_signature_that_anyone_can_make_for_exponent_one_is_rejected(table: &mut Table) {
    table.rejected("e = 1", |kind| {
        let draft = Draft::of(kind).header("alg", "RS256").header("kid", "e1");
        draft.with_signature(&pkcs1_encoded(draft.message().as_bytes()))
    });
}

/// The value of a 2048-bit RSA signature before the private key is applied, and, for exponent one, after.
fn pkcs1_encoded(message: &[u8]) -> Vec<u8> {
    const SHA256_PREFIX: [u8; 19] = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01,
        0x05, 0x00, 0x04, 0x20,
    ];
    let digest = Sha256::digest(message);
    let filler = vec![0xff; 256 - 3 - SHA256_PREFIX.len() - digest.len()];
    [
        &[0, 1][..],
        &filler,
        &[0],
        &SHA256_PREFIX,
        digest.as_slice(),
    ]
    .concat()
}

/// The order of P-256, which no part of a signature may reach.
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
    0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The same for Ed25519, little-endian.
const ED25519_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

pub fn t11_elliptic_signatures_have_one_form(table: &mut Table) {
    let draft = Draft::of(Kind::CustomEs256);
    let good = P256.sign(draft.message().as_bytes());
    let der = [&[0x30, 68, 2, 32][..], &good[..32], &[2, 32], &good[32..]].concat();
    let order = [P256_ORDER, P256_ORDER].concat();
    let halves = [&good[..32], &[0; 32]].concat();
    let long = [&good[..], &[0]].concat();
    for signature in [
        &[0; 64][..],
        &order,
        &der,
        &good[..63],
        &long,
        &halves,
        &[0; 0],
    ] {
        let token = draft.with_signature(signature);
        table.case(format!("{signature:02x?}"), &token, MALFORMED);
    }
    let draft = Draft::of(Kind::Oidc)
        .header("alg", "EdDSA")
        .header("kid", "ed");
    let good = ED25519.sign(draft.message().as_bytes());
    let malleated = [&good[..32], &plus_order(&good[32..])].concat();
    let low_order = [LOW_ORDER_Y[1], [0; 32]].concat();
    let long = [&good[..], &[0]].concat();
    for signature in [
        &[0; 64][..],
        &malleated,
        &low_order,
        &good[..63],
        &long,
        &[0; 0],
    ] {
        let token = draft.with_signature(signature);
        table.case(format!("{signature:02x?}"), &token, "Unauthenticated");
    }
}

/// A scalar of Ed25519 plus the order: the same scalar to a verifier that does not look.
fn plus_order(scalar: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let sum = scalar.iter().zip(ED25519_ORDER).map(|(left, right)| {
        let sum = u16::from(*left) + u16::from(right) + carry;
        carry = sum >> 8;
        sum as u8
    });
    sum.collect()
}

/// A signature that needs no secret, for a key of low order.
fn forged_for_low_order() -> impl Iterator<Item = (Draft, Vec<u8>)> {
    let draft = Draft::of(Kind::Oidc)
        .header("alg", "EdDSA")
        .header("kid", "low-order");
    (0..64).flat_map(move |attempt| {
        let draft = draft.clone().claim("attempt", attempt);
        LOW_ORDER_Y.map(|point| (draft.clone(), [point, [0; 32]].concat()))
    })
}

pub fn t11_a_key_of_low_order_is_ignored(table: &mut Table) {
    for (draft, signature) in forged_for_low_order().take(LOW_ORDER_Y.len()) {
        let token = draft.with_signature(&signature);
        table.case(format!("{signature:02x?}"), &token, "Unauthenticated");
    }
}

#[tokio::test]
async fn with_a_key_of_low_order_signatures_would_need_no_secret() {
    let authenticator = three_providers();
    let raw = UnparsedPublicKey::new(&signature::ED25519, LOW_ORDER_Y[2]);
    let mut forged = 0;
    for (draft, signature) in forged_for_low_order() {
        let token = draft.with_signature(&signature);
        assert_eq!(code(&authenticator, &token).await, "Unauthenticated");
        let verifies = raw.verify(draft.message().as_bytes(), &signature);
        forged += u32::from(verifies.is_ok());
    }
    assert!(forged > 0);
}

pub fn t12_an_extension_that_must_be_understood_is_rejected(table: &mut Table) {
    for critical in [json!(["b64"]), json!(["exp"]), json!([]), json!(null)] {
        table.honest_but_rejected("crit", |draft| draft.header("crit", critical.clone()));
    }
}

pub fn t13_keys_in_the_header_are_not_read(table: &mut Table) {
    let foreign = keys::OTHER_RSA.jwk("good");
    for name in ["jku", "x5u", "jwk", "x5c"] {
        let value = || match name {
            "jwk" => foreign.clone(),
            "x5c" => json!([BASE64.encode(&OTHER_RSA.public_der())]),
            _ => json!("http://127.0.0.1:9/keys"),
        };
        table.expect("ok", name, |draft| draft.header(name, value()));
        table.rejected(name, |kind| {
            Draft::of(kind).header(name, value()).signed(&OTHER_RSA)
        });
    }
}

pub fn t14_a_kid_is_only_a_name(table: &mut Table) {
    let kids = [
        json!("../../../../etc/passwd"),
        json!("' OR 1=1 --"),
        json!("http://127.0.0.1:9/keys"),
        json!("good\0"),
        json!("x".repeat(10 * 1024)),
        json!(5),
        json!(null),
        json!(["good"]),
        json!("Good"),
        json!(""),
    ];
    for kid in kids {
        table.honest_but_rejected(&kid, |draft| draft.header("kid", kid.clone()));
    }
}

pub fn t15_exactly_one_key_must_fit(table: &mut Table) {
    table.honest_but_rejected("two keys of one kid", |draft| draft.header("kid", "twice"));
    table.rejected("no kid, and two keys that fit", |kind| {
        Draft::of(kind).without_header("kid").signed(kind.key())
    });
}

#[tokio::test]
async fn t15_a_token_that_names_no_key_needs_a_set_with_one_that_fits() {
    let two = authenticator(
        [inline(Kind::Oidc, &[RSA.jwk("a"), OTHER_RSA.jwk("b")])],
        clock(),
    );
    let one = authenticator(
        [inline(Kind::Oidc, &[RSA.jwk("a"), ED25519.jwk("b")])],
        clock(),
    );
    let token = Draft::of(Kind::Oidc).without_header("kid").signed(&RSA);
    assert_eq!(code(&two, &token).await, "Unauthenticated");
    assert_eq!(
        code(&one, &token).await,
        "ok",
        "the other key does not fit the algorithm"
    );
    let custom = authenticator([inline(Kind::CustomRs256, &[RSA.jwk("a")])], clock());
    let token = Draft::of(Kind::CustomRs256)
        .without_header("kid")
        .signed(&RSA);
    assert_eq!(
        code(&custom, &token).await,
        MALFORMED,
        "a customJwt must name its key"
    );
}

pub fn t16_an_unknown_kid_is_rejected(table: &mut Table) {
    table.honest_but_rejected("unknown", |draft| draft.header("kid", "unknown"));
}
