//! Valid tokens, changed: none of them may give an identity.

use std::sync::LazyLock;

use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;

use super::keys::{ED25519, P256, RSA};
use super::table::Table;
use super::tokens::{Draft, KINDS, Kind, encode, message};
use super::{authenticator, clock, code, inline};
use crate::auth::Authenticator;

static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
    let keys = |kind: Kind| [kind.key().jwk("good"), ED25519.jwk("ed")];
    authenticator(KINDS.map(|kind| inline(kind, &keys(kind))), clock())
});

/// A valid token of each kind of key.
static TOKENS: LazyLock<[String; 3]> = LazyLock::new(|| {
    [
        Draft::of(Kind::Oidc).signed(&RSA),
        Draft::of(Kind::Oidc)
            .header("alg", "EdDSA")
            .header("kid", "ed")
            .signed(&ED25519),
        Draft::of(Kind::CustomEs256).signed(&P256),
    ]
});

pub fn t27_one_flipped_bit_is_noticed(table: &mut Table) {
    table.rejected("in the signature", |kind| {
        let draft = Draft::of(kind);
        let mut signature = kind.key().sign(draft.message().as_bytes());
        signature[30] ^= 1;
        draft.with_signature(&signature)
    });
    for (part, from, to) in [("header", "good", "gooe"), ("payload", "ada", "ad`")] {
        table.rejected(format!("in the {part}"), |kind| {
            let draft = Draft::of(kind);
            let signature = kind.key().sign(draft.message().as_bytes());
            let text = |json| {
                serde_json::Value::Object(json)
                    .to_string()
                    .replace(from, to)
            };
            let (header, claims) = (text(draft.header), text(draft.claims));
            let message = message(header.as_bytes(), claims.as_bytes());
            format!("{message}.{}", encode(&signature))
        });
    }
}

#[tokio::test]
async fn t27_every_flipped_bit_is_noticed() {
    for token in TOKENS.iter() {
        assert_eq!(code(&AUTHENTICATOR, token).await, "ok");
        let parts: Vec<Vec<u8>> = token
            .split('.')
            .map(|part| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap())
            .collect();
        for (index, part) in parts.iter().enumerate() {
            for bit in 0..part.len() * 8 {
                let mut parts = parts.clone();
                parts[index][bit / 8] ^= 1 << (bit % 8);
                let parts = parts.map_each(|part| BASE64URL_NOPAD.encode(&part));
                let found = code(&AUTHENTICATOR, &parts.join(".")).await;
                assert_ne!(found, "ok", "part {index}, bit {bit}");
            }
        }
    }
}

trait MapEach<T> {
    fn map_each<U>(self, change: impl Fn(T) -> U) -> Vec<U>;
}

impl<T> MapEach<T> for Vec<T> {
    fn map_each<U>(self, change: impl Fn(T) -> U) -> Vec<U> {
        self.into_iter().map(change).collect()
    }
}

/// One change to a text.
#[derive(Clone, Debug)]
enum Edit {
    Replace(prop::sample::Index, char),
    Insert(prop::sample::Index, char),
    Remove(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Cut(prop::sample::Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let letter = || {
        prop_oneof![
            8 => prop::sample::select("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=".chars().collect::<Vec<_>>()),
            1 => any::<char>(),
        ]
    };
    let place = any::<prop::sample::Index>;
    prop_oneof![
        (place(), letter()).prop_map(|(at, it)| Edit::Replace(at, it)),
        (place(), letter()).prop_map(|(at, it)| Edit::Insert(at, it)),
        place().prop_map(Edit::Remove),
        (place(), place()).prop_map(|(one, other)| Edit::Swap(one, other)),
        place().prop_map(Edit::Cut),
    ]
}

fn edited(token: &str, edits: &[Edit]) -> String {
    let mut text: Vec<char> = token.chars().collect();
    for edit in edits {
        if text.is_empty() {
            break;
        }
        match edit {
            Edit::Replace(at, letter) => *at.get_mut(&mut text) = *letter,
            Edit::Insert(at, letter) => text.insert(at.index(text.len()), *letter),
            Edit::Remove(at) => {
                text.remove(at.index(text.len()));
            }
            Edit::Swap(one, other) => {
                let (one, other) = (one.index(text.len()), other.index(text.len()));
                text.swap(one, other);
            }
            Edit::Cut(at) => text.truncate(at.index(text.len())),
        }
    }
    text.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_mutant_of_a_valid_token_is_accepted(
        which in 0..3_usize,
        edits in prop::collection::vec(edit(), 1..4),
    ) {
        let token = &TOKENS[which];
        let mutant = edited(token, &edits);
        prop_assume!(mutant != *token);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(code(&AUTHENTICATOR, &mutant));
        prop_assert_ne!(found, "ok");
    }

    #[test]
    fn no_text_at_all_makes_it_panic(text in ".{0,200}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        prop_assert_eq!(runtime.block_on(code(&AUTHENTICATOR, &text)), "InvalidAuthHeader");
        prop_assert!(AUTHENTICATOR.verify_admin(&text, None).is_err());
    }
}
