//! Admin keys: which ones work, and which do not.

use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use serde_json::json;

use super::NOW;
use crate::auth::admin::{AdminKeyError, AdminKeys, AdminRights};
use crate::auth::secret::DeploymentSecret;
use crate::clock::UnixNanos;

const HOUR: Duration = Duration::from_secs(3_600);

fn keys(name: &str) -> AdminKeys {
    let secret = DeploymentSecret::from_bytes([7; 32]);
    AdminKeys::new(name, &secret, []).unwrap()
}

fn minted(keys: &AdminKeys) -> String {
    keys.mint(NOW, None).unwrap().text.expose().clone()
}

fn code(keys: &AdminKeys, key: &str) -> &'static str {
    keys.verify(key, None, NOW)
        .map_or_else(|error| error.code(), |_| "ok")
}

#[test]
fn a_minted_key_works_and_so_does_one_with_its_deployment_type() {
    let keys = keys("cosy-otter-7");
    let key = minted(&keys);
    assert!(key.starts_with("cosy-otter-7|01"), "{key}");
    for prefix in ["", "prod:", "dev:", "custom:"] {
        assert_eq!(code(&keys, &format!("{prefix}{key}")), "ok");
    }
    let (_, opaque) = key.split_once('|').unwrap();
    assert_eq!(code(&keys, &format!("preview:team:project|{opaque}")), "ok");
    let admin = keys.verify(&key, None, NOW).unwrap();
    assert_eq!(admin.expires_at(), None);
    assert!(admin.caller().may_call_internal());
}

#[test]
fn anything_but_the_key_is_a_bad_admin_key() {
    let keys = keys("cosy-otter-7");
    let key = minted(&keys);
    let (_, opaque) = key.split_once('|').unwrap();
    let cases = [
        String::new(),
        "|".to_owned(),
        opaque.to_owned(),
        key[..key.len() - 1].to_owned(),
        key[..key.len() - 2].to_owned(),
        format!("{key}0"),
        format!("{key}00"),
        format!("other|{opaque}"),
        format!("prod:other|{opaque}"),
        format!("cosy-otter-7|{}", opaque.to_uppercase()),
        format!("cosy-otter-7|02{}", &opaque[2..]),
        format!("cosy-otter-7 |{opaque}"),
        format!("cosy-otter-7|{}", "0".repeat(1024 * 1024)),
        "cosy-otter-7|é".to_owned(),
        "eyJhbGciOiJSUzI1NiJ9.e30.AAAA".to_owned(),
    ];
    for case in &cases {
        assert_eq!(
            code(&keys, case),
            "BadAdminKey",
            "{}",
            &case[..case.len().min(80)]
        );
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let keys = keys("a");
    let key = minted(&keys);
    let bytes = HEXLOWER.decode(&key.as_bytes()[2..]).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let altered = format!("a|{}", HEXLOWER.encode(&bytes));
        assert_eq!(code(&keys, &altered), "BadAdminKey", "bit {bit}");
    }
}

#[test]
fn a_key_belongs_to_one_name_and_one_secret() {
    let key = minted(&keys("a"));
    let (_, opaque) = key.split_once('|').unwrap();
    assert_eq!(code(&keys("b"), &format!("b|{opaque}")), "BadAdminKey");
    assert_eq!(
        code(&keys("b"), &format!("preview:a|{opaque}")),
        "BadAdminKey"
    );
    let other = DeploymentSecret::from_bytes([8; 32]);
    let other = AdminKeys::new("a", &other, []).unwrap();
    assert_eq!(code(&other, &key), "BadAdminKey");
}

#[test]
fn a_key_ends_when_it_expires() {
    let keys = keys("a");
    let key = keys.mint(NOW, Some(HOUR)).unwrap();
    let admin = keys.verify(key.text.expose(), None, NOW).unwrap();
    let end = NOW.plus(HOUR);
    assert_eq!(admin.expires_at(), Some(end));
    let before = UnixNanos(end.0 - 1);
    assert_eq!(keys.check_still_valid(&admin, before), Ok(()));
    assert_eq!(
        keys.check_still_valid(&admin, end),
        Err(AdminKeyError::Expired)
    );
    let error = keys.verify(key.text.expose(), None, end).unwrap_err();
    assert_eq!(error.code(), "BadAdminKey");
}

#[test]
fn a_revoked_key_is_refused_at_once_and_after_a_restart() {
    let first = keys("a");
    let (kept, lost) = (
        first.mint(NOW, None).unwrap(),
        first.mint(NOW, None).unwrap(),
    );
    let admin = first.verify(lost.text.expose(), None, NOW).unwrap();
    assert_eq!(admin.key_id(), lost.id);
    assert_eq!(admin.caller().key_id(), Some(lost.id));
    assert_eq!(format!("{:?}", lost.id), format!("KeyId({})", lost.id));
    first.revoke(lost.id).unwrap();
    assert_eq!(
        first.check_still_valid(&admin, NOW),
        Err(AdminKeyError::Revoked)
    );
    assert_eq!(code(&first, lost.text.expose()), "BadAdminKey");
    let secret = DeploymentSecret::from_bytes([7; 32]);
    let second = AdminKeys::new("a", &secret, first.revoked()).unwrap();
    assert_eq!(code(&second, lost.text.expose()), "BadAdminKey");
    assert_eq!(code(&second, kept.text.expose()), "ok");
    assert_eq!(lost.id.to_string().parse(), Ok(lost.id));
}

#[test]
fn an_admin_may_act_as_a_user() {
    let keys = keys("a");
    let key = minted(&keys);
    let attributes = json!({"issuer": "https://i", "subject": "ada", "role": "editor"});
    let suffix = BASE64.encode(attributes.to_string().as_bytes());
    let with_suffix = keys.verify(&format!("{key}:{suffix}"), None, NOW).unwrap();
    let with_object = keys.verify(&key, Some(&attributes), NOW).unwrap();
    assert_eq!(with_suffix.acting_as(), with_object.acting_as());
    let identity = with_object.acting_as().unwrap();
    assert_eq!(identity.token_identifier, "https://i|ada");
    assert_eq!(identity.text("role"), Some("editor"));
}

#[test]
fn a_user_to_act_as_that_cannot_be_read_is_a_bad_header() {
    let keys = keys("a");
    let key = minted(&keys);
    for attributes in [
        "{}",
        r#"{"issuer":"i"}"#,
        "[]",
        r#"{"subject":"a","subject":"b","issuer":"i"}"#,
    ] {
        let suffix = BASE64.encode(attributes.as_bytes());
        assert_eq!(
            code(&keys, &format!("{key}:{suffix}")),
            "HeaderParseFailure",
            "{attributes}"
        );
    }
    assert_eq!(code(&keys, &format!("{key}:***")), "HeaderParseFailure");
    assert_eq!(code(&keys, &format!("{key}:")), "HeaderParseFailure");
    let bad_key = format!("{}0:e30=", &key[..key.len() - 1]);
    assert_ne!(code(&keys, &bad_key), "ok");
}

#[test]
fn a_name_that_a_key_could_not_carry_is_refused() {
    let secret = DeploymentSecret::from_bytes([7; 32]);
    for name in ["", "a|b", "a:b", "a b", "ä", &"a".repeat(65)] {
        assert!(AdminKeys::new(name, &secret, []).is_err(), "{name}");
    }
}

#[test]
fn a_key_says_whether_its_holder_may_write() {
    let keys = keys("a");
    for (rights, version) in [(AdminRights::All, "01"), (AdminRights::ReadOnly, "02")] {
        let key = keys.mint_with(rights, NOW, None).unwrap();
        let text = key.text.expose();
        assert!(text.starts_with(&format!("a|{version}")), "{text}");
        let admin = keys.verify(text, None, NOW).unwrap();
        assert_eq!(admin.rights(), rights);
        assert_eq!(admin.caller().may_write(), rights == AdminRights::All);
    }
}

#[test]
fn a_key_tells_its_id_even_when_it_works_no_more_and_only_a_key_does() {
    let keys = keys("a");
    let key = keys.mint(NOW, Some(Duration::ZERO)).unwrap();
    let text = key.text.expose();
    assert_eq!(keys.id_of(text), Ok(key.id));
    assert_eq!(keys.id_of(&format!("prod:{text}:e30=")), Ok(key.id));
    for other in [
        &text[..text.len() - 2],
        "a|",
        "a",
        &text.replacen('a', "b", 1),
    ] {
        assert_eq!(keys.id_of(other), Err(AdminKeyError::Invalid), "{other}");
    }
}

#[test]
fn the_list_in_the_data_directory_is_looked_at() {
    let data = tempfile::tempdir().unwrap();
    let secret = DeploymentSecret::from_bytes([7; 32]);
    let open = || AdminKeys::open("cosy", &secret, data.path()).unwrap();
    let first = open();
    assert_eq!(first.name(), "cosy");
    let key = first.mint(NOW, None).unwrap();
    assert_eq!(code(&first, key.text.expose()), "ok");
    open().revoke(key.id).unwrap();
    assert_eq!(code(&first, key.text.expose()), "BadAdminKey");
    assert_eq!(open().revoked(), [key.id]);
    std::fs::write(data.path().join("revoked-admin-keys"), "damaged").unwrap();
    assert_eq!(code(&first, key.text.expose()), "AdminKeysUnavailable");
    assert!(AdminKeys::open("cosy", &secret, data.path()).is_err());
}

#[test]
fn a_key_and_its_attributes_are_read_up_to_their_bound() {
    const LONGEST: usize = 1_024 + 16 * 1_024;
    let keys = keys("test");
    let key = minted(&keys);
    let with_attributes = |bytes: usize| {
        let empty = r#"{"issuer":"https://i","subject":""}"#;
        let subject = "s".repeat(bytes - empty.len());
        let attributes = format!(r#"{{"issuer":"https://i","subject":"{subject}"}}"#);
        format!("{key}:{}", BASE64.encode(attributes.as_bytes()))
    };
    let bytes = (LONGEST - key.len() - 1) / 4 * 3;
    let longest = with_attributes(bytes);
    assert_eq!(longest.len(), LONGEST);
    assert_eq!(code(&keys, &longest), "ok");
    assert_eq!(code(&keys, &with_attributes(bytes + 1)), "BadAdminKey");
}
