//! Keys: fixed encodings, strictness, order and round trips.

use proptest::prelude::*;

use super::*;
use crate::object;
use crate::value::arbitrary::{arb_field_name, arb_value};

fn encoded(value: Option<&Value>) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(&mut out, value);
    out
}

fn hex(value: impl Into<Value>) -> String {
    data_encoding::HEXLOWER.encode(&encoded(Some(&value.into())))
}

fn decoded(hex: &str) -> Result<(Option<Value>, usize), KeyError> {
    decode_key(&data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap())
}

#[test]
fn encodings_are_fixed() {
    assert_eq!(encoded(None), [0x01]);
    for (encoding, expected) in [
        (hex(()), "03"),
        (hex(0.0), "0d8000000000000000"),
        (hex(-0.0), "0d7fffffffffffffff"),
        (hex(1.0), "0dbff0000000000000"),
        (hex(-1.0), "0d400fffffffffffff"),
        (hex(0_i64), "08"),
        (hex(1_i64), "0901"),
        (hex(127_i64), "097f"),
        (hex(128_i64), "0a0080"),
        (hex(32768_i64), "0b00008000"),
        (hex(1_i64 << 31), "0c0000000080000000"),
        (hex(-1_i64), "07ff"),
        (hex(-128_i64), "0780"),
        (hex(-129_i64), "06ff7f"),
        (hex(-32769_i64), "05ffff7fff"),
        (hex(i64::MIN), "048000000000000000"),
        (hex(false), "0e"),
        (hex(true), "0f"),
        (hex("a\0b"), "106101016200"),
        (hex(&b"\0\x01\x02"[..]), "11010101020200"),
        (hex(vec![Value::Null, Value::from("")]), "1203100000"),
        (hex(object! {}), "1500"),
        (
            hex(object! { "" => true, "ab" => false }),
            "15010f6162000e00",
        ),
    ] {
        assert_eq!(encoding, expected);
    }
}

#[test]
fn bytes_no_encoder_writes_are_refused() {
    for (bytes, error) in [
        ("", KeyError::Truncated),
        ("00", KeyError::Tag(0x00)),
        ("02", KeyError::Tag(0x02)),
        ("ff", KeyError::Tag(0xff)),
        ("0900", KeyError::Integer),
        ("0980", KeyError::Integer),
        ("0a007f", KeyError::Integer),
        ("077f", KeyError::Integer),
        ("06ff80", KeyError::Integer),
        ("0d80", KeyError::Truncated),
        ("1061", KeyError::Truncated),
        ("106101", KeyError::Truncated),
        ("10010300", KeyError::Escape),
        ("10ff00", KeyError::Utf8),
        ("1203", KeyError::Truncated),
        ("120100", KeyError::Undefined),
        ("1561000100", KeyError::Undefined),
        ("15620003610003", KeyError::FieldOrder),
        ("15610003610003", KeyError::FieldOrder),
        ("15240003", KeyError::FieldName),
        ("150a0003", KeyError::FieldName),
    ] {
        assert_eq!(decoded(bytes), Err(error), "{bytes}");
    }
}

#[test]
fn nesting_is_bounded() {
    assert!(decode_key(&[[ARRAY; 64], [END; 64]].concat()).is_ok());
    assert_eq!(decode_key(&[ARRAY; 65]), Err(KeyError::TooNested));
    assert_eq!(decode_key(&[ARRAY; 1_000_000]), Err(KeyError::TooNested));
}

#[test]
fn undefined_sorts_before_null() {
    assert!(encoded(None) < encoded(Some(&Value::Null)));
    assert_eq!(decode_key(&[UNDEFINED, NULL]), Ok((None, 1)));
}

/// Values with few distinct parts, so that pairs of them often share a prefix.
fn arb_similar() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        (-300_i64..300).prop_map(Value::Int64),
        prop_oneof![Just(0.0), Just(-0.0), Just(1.0)].prop_map(Value::Float64),
        "[a\0\x01]{0,3}".prop_map(Value::String),
        prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(0xff)], 0..4)
            .prop_map(Value::Bytes),
    ];
    scalar.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map("a{0,2}", inner, 0..3).prop_map(Value::Object),
        ]
    })
}

proptest! {
    #[test]
    fn no_encoding_starts_another(a in arb_similar(), b in arb_similar()) {
        prop_assume!(a != b);
        prop_assert!(!encoded(Some(&a)).starts_with(&encoded(Some(&b))));
    }

    #[test]
    fn key_order_is_value_order(a in arb_value(), b in arb_value()) {
        prop_assert_eq!(encoded(Some(&a)).cmp(&encoded(Some(&b))), a.cmp(&b));
    }

    #[test]
    fn key_order_is_value_order_among_similar_keys_of_two_parts(
        a in (arb_similar(), arb_similar()),
        b in (arb_similar(), arb_similar()),
    ) {
        let key = |(first, second): &(Value, Value)| [encoded(Some(first)), encoded(Some(second))].concat();
        prop_assert_eq!(key(&a).cmp(&key(&b)), a.cmp(&b));
    }

    #[test]
    fn values_survive_the_round_trip(value in arb_value(), next in arb_value()) {
        let first = encoded(Some(&value));
        let both = [first.clone(), encoded(Some(&next))].concat();
        prop_assert_eq!(decode_key(&first), Ok((Some(value.clone()), first.len())));
        prop_assert_eq!(decode_key(&both), Ok((Some(value), first.len())));
    }

    #[test]
    fn a_cut_encoding_is_refused(value in arb_value(), at in any::<prop::sample::Index>()) {
        let bytes = encoded(Some(&value));
        let cut = &bytes[..at.index(bytes.len())];
        prop_assert!(decode_key(cut).is_err());
    }

    #[test]
    fn an_object_encodes_as_its_value_does(
        object in prop::collection::btree_map(arb_field_name(), arb_value(), 0..4),
    ) {
        let mut out = Vec::new();
        encode_object(&mut out, &object);
        prop_assert_eq!(out, encoded(Some(&Value::Object(object))));
    }

    #[test]
    fn damaged_bytes_decode_to_what_they_encode_or_are_refused(
        value in arb_value(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = encoded(Some(&value));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok((value, consumed)) = decode_key(&bytes) {
            prop_assert_eq!(encoded(value.as_ref()), &bytes[..consumed]);
        }
    }

    #[test]
    fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(0_u8..0x24, 0..64)) {
        if let Ok((value, consumed)) = decode_key(&bytes) {
            prop_assert_eq!(encoded(value.as_ref()), &bytes[..consumed]);
        }
    }
}
