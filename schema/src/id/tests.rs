//! Ids: worked examples, refusals and properties.

use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> InternalId {
    let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
    InternalId(bytes.try_into().unwrap())
}

fn refusal(text: &str) -> String {
    text.parse::<DocumentId>().unwrap_err().to_string()
}

/// The base32 of `bytes`, for ids no encoder would write.
fn text_of(bytes: &[u8]) -> String {
    BASE32.encode(bytes)
}

/// `prefix`, sixteen zeros and the right checksum.
fn with_table_bytes(prefix: &[u8]) -> String {
    let mut bytes = [prefix, &[0; 16]].concat();
    bytes.extend(fletcher16(&bytes).to_le_bytes());
    text_of(&bytes)
}

#[test]
fn worked_examples_encode_and_decode() {
    for (table, internal, text) in [
        (
            1,
            "00000000000000000000000000000000",
            "0400000000000000000000000000248",
        ),
        (
            1,
            "000102030405060708090a0b0c0d0e0f",
            "040020g30g2gc1r81450p30d1r7qke8",
        ),
        (
            127,
            "ffffffffffffffffffffffffffffffff",
            "fzzzzzzzzzzzzzzzzzzzzzzzzzzpzsr",
        ),
        (
            128,
            "00000000000000000000000000000000",
            "g00g000000000000000000000000108h",
        ),
        (
            10001,
            "00112233445566778899aabbccddeeff",
            "j57004926d25askqh2ctneycvqqfznw8",
        ),
        (
            10002,
            "deadbeefcafebabe0123456789ab4e20",
            "j97dxbdyxz5fxeny04hmasw9nd721jpf",
        ),
        (
            16384,
            "0123456789abcdeffedcba9876543210",
            "g20020938nkrkaydxzzdsemresa3447sdm",
        ),
        (
            4294967295,
            "00000000000000000000000000000001",
            "zzzzzzrf000000000000000000000000046b4",
        ),
    ] {
        let id = DocumentId::<()>::new(TableNumber::new(table).unwrap(), hex(internal));
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse(), Ok(id));
    }
}

#[test]
fn a_wrong_checksum_case_or_letter_is_refused() {
    assert!(refusal("j57004926d25askqh2ctneycvqqfznw9").starts_with("Invalid ID version "));
    assert_eq!(
        refusal("J57004926d25askqh2ctneycvqqfznw8"),
        "ID wasn't valid base32"
    );
    assert_eq!(
        refusal("j57004926d25askqh2ctneycvqqfznwi"),
        "ID wasn't valid base32"
    );
}

#[test]
fn a_version_other_than_ours_is_named() {
    let mut bytes = BASE32.decode(b"j57004926d25askqh2ctneycvqqfznw8").unwrap();
    bytes[18] ^= 1;
    assert_eq!(
        refusal(&text_of(&bytes)),
        "Invalid ID version 1 (expected 0)"
    );
}

#[test]
fn lengths_no_id_has_are_refused() {
    assert_eq!(refusal("hello"), "Invalid ID length 5");
    assert_eq!(refusal(&"0".repeat(30)), "Invalid ID length 30");
    assert_eq!(refusal(&"0".repeat(33)), "Invalid ID length 33");
    assert_eq!(refusal(&"0".repeat(38)), "Invalid ID length 38");
    // The table number takes one byte and leaves nineteen.
    assert_eq!(refusal(&text_of(&[1; 20])), "Invalid ID length 32");
    // The table number takes three bytes and leaves sixteen.
    assert_eq!(
        refusal(&text_of(&[&[0x80, 0x80], &[1_u8; 17][..]].concat())),
        "Invalid ID length 31"
    );
}

#[test]
fn table_numbers_are_minimal_32_bit_and_not_zero() {
    assert!(with_table_bytes(&[0x01]).parse::<DocumentId>().is_ok());
    for table in [
        &[0x00][..],
        &[0x81, 0x00],
        &[0x80, 0x00],
        &[0xff, 0xff, 0xff, 0xff, 0x1f],
        &[0xff, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert_eq!(refusal(&with_table_bytes(table)), "Invalid table number");
    }
}

#[test]
fn padding_bits_other_than_zero_are_refused() {
    // 31 characters hold 155 bits, three more than the 19 bytes need.
    assert_eq!(
        refusal("0400000000000000000000000000249"),
        "ID wasn't valid base32"
    );
}

#[test]
fn serde_writes_an_id_as_its_text() {
    let json = "\"j57004926d25askqh2ctneycvqqfznw8\"";
    let id: DocumentId = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&id).unwrap(), json);
    let refusal = serde_json::from_str::<DocumentId>("\"hello\"").unwrap_err();
    assert!(
        refusal
            .to_string()
            .starts_with("Unable to decode ID: Invalid ID length 5")
    );
}

#[test]
fn a_new_internal_id_ends_in_its_day() {
    let id = InternalId::from_random([7; 14], 0x4e20);
    assert_eq!(id.0[..14], [7; 14]);
    assert_eq!(id.0[14..], [0x4e, 0x20]);
}

fn arb_id() -> impl Strategy<Value = DocumentId> {
    let table = (any::<u32>(), 0_u32..32).prop_map(|(number, shift)| (number >> shift).max(1));
    (table, any::<[u8; 16]>()).prop_map(|(table, internal)| {
        DocumentId::new(TableNumber::new(table).unwrap(), InternalId(internal))
    })
}

proptest! {
    #[test]
    fn ids_survive_the_round_trip(id in arb_id()) {
        prop_assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn within_a_table_text_order_is_id_order(a in arb_id(), b in any::<[u8; 16]>()) {
        let b = DocumentId::new(a.table(), InternalId(b));
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }

    #[test]
    fn a_text_that_decodes_is_the_only_spelling(text in "[0-9a-hjkmnp-tv-z]{31,37}") {
        if let Ok(id) = text.parse::<DocumentId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn no_byte_of_an_id_can_change_unnoticed(id in arb_id(), at in any::<prop::sample::Index>(), letter in "[0-9a-z]") {
        let mut text = id.to_string();
        let at = at.index(text.len());
        text.replace_range(at..=at, &letter);
        if let Ok(other) = text.parse::<DocumentId>() {
            prop_assert_eq!(other.to_string(), text);
        }
    }

    #[test]
    fn any_text_decodes_or_is_refused(text in any::<String>()) {
        let _ = text.parse::<DocumentId>();
    }
}
