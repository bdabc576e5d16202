//! Random values for property tests: legal ones, with the awkward cases made likely.

use proptest::prelude::*;

use super::Value;

/// Any value [`super::check_value`] accepts, a few levels deep.
pub(crate) fn arb_value() -> impl Strategy<Value = Value> {
    arb_scalar().prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::btree_map(arb_field_name(), inner, 0..6).prop_map(Value::Object),
        ]
    })
}

/// Any legal field name, the empty one and shared prefixes included.
pub(crate) fn arb_field_name() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]{0,3}", "[ -#%-~][ -~]{0,12}"]
}

fn arb_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        arb_int64().prop_map(Value::Int64),
        arb_float64().prop_map(Value::Float64),
        any::<bool>().prop_map(Value::Boolean),
        prop_oneof!["[ab\0\x01]{0,4}", "\\PC{0,12}", any::<String>()].prop_map(Value::String),
        prop::collection::vec(prop_oneof![Just(0_u8), Just(0xff), any::<u8>()], 0..12)
            .prop_map(Value::Bytes),
    ]
}

/// Integers of every width, so that neighbours of each width's bounds come up.
fn arb_int64() -> impl Strategy<Value = i64> {
    (any::<i64>(), 0_u32..64, -1_i64..=1).prop_map(|(bits, shift, step)| {
        let (power, noise) = (1_i64 << shift, bits >> shift);
        if bits & 1 == 0 {
            noise
        } else {
            power.wrapping_add(step)
        }
    })
}

/// Every bit pattern, NaNs with payloads included, and often the special ones.
fn arb_float64() -> impl Strategy<Value = f64> {
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        f64::NAN,
        -f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        prop::sample::select(special.to_vec()),
        (-1000_i32..1000).prop_map(f64::from),
    ]
}
