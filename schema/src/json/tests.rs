//! JSON: the published check values, refusals, formats and round trips.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::object;
use crate::value::arbitrary::arb_value;

fn parse(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text)
}

/// Reads `text` both ways, which must agree, and returns the refusal if there is one.
fn read(text: &str) -> Result<Value, String> {
    let tree: Json = serde_json::from_str(text).unwrap();
    match (parse(text), Value::from_json(&tree)) {
        (Ok(streamed), Ok(built)) => {
            assert_eq!(streamed, built, "{text}");
            Ok(built)
        }
        (Err(_), Err(refusal)) => Err(refusal.to_string()),
        (streamed, built) => panic!("{text}: {streamed:?} from the parser, {built:?} from a tree"),
    }
}

fn written(value: &Value) -> String {
    let mut out = String::new();
    value.write_json(&mut out);
    out
}

#[test]
fn the_check_values_encode_and_decode() {
    let bytes = |bytes: &[u8]| Value::from(bytes);
    for (value, wrapper, content) in [
        (Value::from(0_i64), "$integer", "AAAAAAAAAAA="),
        (Value::from(1_i64), "$integer", "AQAAAAAAAAA="),
        (Value::from(-1_i64), "$integer", "//////////8="),
        (Value::from(42_i64), "$integer", "KgAAAAAAAAA="),
        (Value::from(256_i64), "$integer", "AAEAAAAAAAA="),
        (Value::from(i64::MAX), "$integer", "/////////38="),
        (Value::from(i64::MIN), "$integer", "AAAAAAAAAIA="),
        (
            Value::from(f64::from_bits(0x7ff8 << 48)),
            "$float",
            "AAAAAAAA+H8=",
        ),
        (Value::from(f64::INFINITY), "$float", "AAAAAAAA8H8="),
        (Value::from(f64::NEG_INFINITY), "$float", "AAAAAAAA8P8="),
        (Value::from(-0.0), "$float", "AAAAAAAAAIA="),
        (bytes(&[0x00, 0x10, 0x83]), "$bytes", "ABCD"),
        (bytes(b"hi"), "$bytes", "aGk="),
        (bytes(b""), "$bytes", ""),
    ] {
        let text = format!("{{\"{wrapper}\":\"{content}\"}}");
        assert_eq!(written(&value), text);
        assert_eq!(read(&text), Ok(value));
    }
}

#[test]
fn every_json_number_is_a_float64() {
    for (text, number) in [
        ("3", 3.0),
        ("1e3", 1000.0),
        ("-7", -7.0),
        ("0", 0.0),
        ("-0", -0.0),
        ("0.1", 0.1),
        ("18446744073709551615", 18_446_744_073_709_551_615.0),
        ("123456789012345678901234567890", 1.234_567_890_123_456_8e29),
    ] {
        assert_eq!(read(text), Ok(Value::Float64(number)), "{text}");
    }
    assert!(parse("1e999").is_err());
}

#[test]
fn plain_json_is_written_plainly_and_sorted() {
    let value = Value::from(object! {
        "b" => vec![Value::Null, Value::from(true), Value::from(1.0), Value::from(1.5e300)],
        "a" => "quote \" slash \\ line\n tab\t bell\u{7}\u{8}\u{c} é 😀",
        "" => object! {},
    });
    let text = r#"{"":{},"a":"quote \" slash \\ line\n tab\t bell\u0007\b\f é 😀","b":[null,true,1.0,1.5e+300]}"#;
    let written = written(&value).replace("1.5e300", "1.5e+300");
    assert_eq!(written, text);
    assert_eq!(read(text), Ok(value));
}

#[test]
fn names_come_in_any_order_and_the_last_duplicate_wins() {
    let expected = Value::from(object! { "a" => 3, "b" => 2 });
    assert_eq!(read(r#"{"b":2,"a":1,"a":3}"#), Ok(expected));
    let twice = r#"{"$integer":"AAAAAAAAAAA=","$integer":"AQAAAAAAAAA="}"#;
    assert_eq!(read(twice), Ok(Value::from(1_i64)));
}

#[test]
fn names_that_start_with_a_dollar_are_refused() {
    for text in [
        r#"{"$integer":"AQAAAAAAAAA=","x":1}"#,
        r#"{"x":1,"$integer":"AQAAAAAAAAA="}"#,
        r#"{"$integer":"AQAAAAAAAAA=","$bytes":""}"#,
    ] {
        let refusal = read(text).unwrap_err();
        assert!(
            refusal.ends_with("starts with '$', which is reserved"),
            "{refusal}"
        );
    }
    for name in ["$undefined", "$commitTs", "$set", "$map", "$", "$x"] {
        let refusal = read(&format!("[{{\"{name}\":null}}]")).unwrap_err();
        assert_eq!(
            refusal,
            format!("Field name {name} starts with '$', which is reserved")
        );
    }
}

#[test]
fn wrappers_with_the_wrong_content_are_refused() {
    for (text, refusal) in [
        (r#"{"$integer":1}"#, "`$integer` must hold base64"),
        (r#"{"$integer":"AQ"}"#, "`$integer` must hold base64"),
        (
            r#"{"$integer":"AQ=="}"#,
            "`$integer` must hold the base64 of eight bytes",
        ),
        (
            r#"{"$float":""}"#,
            "`$float` must hold the base64 of eight bytes",
        ),
        (
            r#"{"$float":"AAAAAAAAAAA="}"#,
            "`$float` must hold a NaN, an infinity or -0; others are plain numbers",
        ),
        (
            r#"{"$float":"AAAAAAAA+D8="}"#,
            "`$float` must hold a NaN, an infinity or -0; others are plain numbers",
        ),
        (r#"{"$bytes":null}"#, "`$bytes` must hold base64"),
        (r#"{"$bytes":"*"}"#, "`$bytes` must hold base64"),
        (r#"{"$bytes":{"$bytes":""}}"#, "`$bytes` must hold base64"),
    ] {
        assert_eq!(read(text), Err(refusal.to_owned()), "{text}");
    }
}

#[test]
fn field_names_keep_their_rules() {
    assert_eq!(
        read(r#"{" _x$":1}"#),
        Ok(Value::from(object! { " _x$" => 1 }))
    );
    assert!(read(r#"{"é":1}"#).is_err());
    assert!(read(r#"{"a\u0000":1}"#).is_err());
    assert!(read(&format!("{{\"{}\":1}}", "x".repeat(1025))).is_err());
}

#[test]
fn nesting_ends_at_64_and_a_wrapper_is_no_level() {
    let nested =
        |levels: usize, inner: &str| format!("{}{inner}{}", "[".repeat(levels), "]".repeat(levels));
    let too_nested =
        Err("Value is too nested (nested 65 levels deep > maximum nesting 64)".to_owned());
    assert!(read(&nested(64, "")).is_ok());
    assert!(read(&nested(64, r#"{"$bytes":""}"#)).is_ok());
    assert_eq!(read(&nested(65, "")), too_nested);
    assert_eq!(read(&nested(64, r#"{"a":1}"#)), too_nested);
    assert!(parse(&nested(100_000, "")).is_err());
    assert!(parse(&"{\"a\":".repeat(100_000)).is_err());
}

#[test]
fn long_arrays_and_objects_are_refused_with_their_length() {
    let array = |length: usize| json!(vec![0; length]).to_string();
    assert!(read(&array(8192)).is_ok());
    let too_long = "Array length is too long (9000 > maximum length 8192)";
    assert_eq!(read(&array(9000)), Err(too_long.to_owned()));
    assert!(
        parse(&array(9000))
            .unwrap_err()
            .to_string()
            .starts_with(too_long)
    );

    let object = |fields: usize| {
        let fields = (0..fields).map(|i| (format!("f{i}"), Json::Null));
        Json::Object(fields.collect()).to_string()
    };
    assert!(read(&object(1024)).is_ok());
    let too_many = "Object has too many fields (1100 > maximum number 1024)";
    assert_eq!(read(&object(1100)), Err(too_many.to_owned()));
    assert!(
        parse(&object(1100))
            .unwrap_err()
            .to_string()
            .starts_with(too_many)
    );
}

#[test]
fn each_format_has_its_own_json() {
    let special = vec![
        Value::from(f64::NAN),
        Value::from(f64::INFINITY),
        Value::from(f64::NEG_INFINITY),
        Value::from(-0.0),
        Value::from(2.5),
    ];
    let value =
        Value::from(object! { "f" => special, "i" => -5_i64, "b" => &b"hi"[..], "n" => () });
    let clean = r#"{"b":"aGk=","f":["NaN","Infinity","-Infinity",-0.0,2.5],"i":"-5","n":null}"#;
    assert_eq!(value.to_format(JsonFormat::Clean).to_string(), clean);
    let export = r#"{"b":{"$bytes":"aGk="},"f":[{"$float":"AAAAAAAA+H8="},{"$float":"AAAAAAAA8H8="},{"$float":"AAAAAAAA8P8="},-0.0,2.5],"i":-5,"n":null}"#;
    assert_eq!(value.to_format(JsonFormat::Export).to_string(), export);
    assert_eq!(
        value.to_format(JsonFormat::Encoded).to_string(),
        written(&value)
    );
}

#[test]
fn formats_have_names() {
    for (name, format) in [
        ("json", JsonFormat::Clean),
        ("convex_clean_json", JsonFormat::Clean),
        ("convex_encoded_json", JsonFormat::Encoded),
        ("convex_json", JsonFormat::Encoded),
        ("export_json", JsonFormat::Export),
    ] {
        assert_eq!(name.parse(), Ok(format));
    }
    assert!("JSON".parse::<JsonFormat>().is_err());
}

proptest! {
    #[test]
    fn values_survive_the_round_trip(value in arb_value()) {
        let text = written(&value);
        prop_assert_eq!(&parse(&text).unwrap(), &value);
        prop_assert_eq!(&Value::from_json(&value.to_json()).unwrap(), &value);
        prop_assert_eq!(&value.to_json().to_string(), &text);
        prop_assert_eq!(&serde_json::to_string(&value).unwrap(), &text);
    }

    #[test]
    fn any_text_decodes_or_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = serde_json::from_slice::<Value>(&bytes);
    }

    #[test]
    fn text_of_json_pieces_decodes_alike_both_ways(text in r#"(\[|\]|\{|\}|,|:|"\$integer"|"\$float"|"a"|"AAAAAAAAAIA="|1|null){0,12}"#) {
        if serde_json::from_str::<Json>(&text).is_ok() {
            let _ = read(&text);
        }
    }
}
