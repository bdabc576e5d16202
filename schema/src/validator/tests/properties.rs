//! The properties of every validator.

use proptest::prelude::*;

use super::*;
use crate::value::arbitrary::arb_value;

fn arb_validator() -> impl Strategy<Value = Validator> {
    let leaf = prop_oneof![
        Just(Validator::Null),
        Just(Validator::Boolean),
        Just(Validator::Number),
        Just(Validator::Bigint),
        Just(Validator::CommitTs),
        Just(Validator::String),
        Just(Validator::Bytes),
        Just(Validator::Any),
        "[a-z]{1,4}".prop_map(Validator::id),
        prop::option::of("query|mutation|action").prop_map(|kind| {
            Validator::Function(Box::new(FunctionType {
                kind,
                ..FunctionType::default()
            }))
        }),
        "[a-z]{0,4}".prop_map(literal),
        any::<f64>().prop_map(literal),
        any::<i64>().prop_map(literal),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let field = (inner.clone(), any::<bool>()).prop_map(|(validator, optional)| Field {
            validator,
            optional,
        });
        prop_oneof![
            inner.clone().prop_map(Validator::array),
            prop::collection::btree_map("[a-c][a-c_]{0,2}", field, 0..4)
                .prop_map(Validator::Object),
            inner
                .clone()
                .prop_map(|values| Validator::record(Validator::String, values)),
            prop::collection::vec(inner, 0..4).prop_map(Validator::Union),
        ]
    })
}

/// A value that matches, where one exists.
fn matching(validator: &Validator) -> Option<Value> {
    Some(match validator {
        Validator::Null | Validator::Any => Value::Null,
        Validator::Boolean => Value::from(true),
        Validator::Number => Value::from(0.5),
        Validator::Bigint | Validator::CommitTs => Value::from(5_i64),
        Validator::String => Value::from("text"),
        Validator::Bytes => Value::Bytes(vec![1]),
        Validator::Id { .. } => return None,
        Validator::Function(_) => Value::from("function://f"),
        Validator::Literal(value) => value.clone(),
        Validator::Array(element) => Value::Array(matching(element).into_iter().collect()),
        Validator::Object(fields) => {
            let mut object = crate::value::Object::new();
            for (name, field) in fields {
                match matching(&field.validator) {
                    Some(value) => _ = object.insert(name.clone(), value),
                    None if field.optional => {}
                    None => return None,
                }
            }
            Value::Object(object)
        }
        Validator::Record { values, .. } => {
            let entry = matching(values).map(|value| ("key".to_owned(), value));
            Value::Object(entry.into_iter().collect())
        }
        Validator::Union(members) => return members.iter().find_map(matching),
    })
}

proptest! {
    #[test]
    fn any_validator_survives_its_json(validator in arb_validator()) {
        prop_assert_eq!(Validator::from_json(&validator.to_json()).unwrap(), validator);
    }

    #[test]
    fn a_value_made_to_match_matches(validator in arb_validator()) {
        if let Some(value) = matching(&validator) {
            prop_assert_eq!(validator.check(&value, &Tables), Ok(()));
        }
    }

    #[test]
    fn a_union_accepts_what_any_member_accepts(
        members in prop::collection::vec(arb_validator(), 0..4), value in arb_value(),
    ) {
        let by_member = members.iter().any(|member| member.check(&value, &Tables).is_ok());
        let plain = Validator::one_of(members.clone());
        prop_assert_eq!(plain.check(&value, &Tables).is_ok(), by_member);
        prop_assert_eq!(Validator::Union(members).check(&value, &Tables).is_ok(), by_member);
    }

    #[test]
    fn a_patch_is_allowed_when_what_it_makes_of_a_matching_object_matches(
        fields in prop::collection::btree_map("[a-c]", (arb_validator(), any::<bool>()), 0..4),
        patch in prop::collection::btree_map("[a-d]", prop::option::of(prop::option::of(arb_value())), 0..3),
    ) {
        let fields = fields.into_iter().map(|(name, (validator, optional))| (name, Field { validator, optional }));
        let validator = Validator::Object(fields.collect());
        let Some(Value::Object(old)) = matching(&validator) else { return Ok(()) };
        let Validator::Object(fields) = &validator else { unreachable!() };
        // Nothing, what matches where that exists, or anything.
        let fitting = |name: &String| fields.get(name).and_then(|field| matching(&field.validator));
        let mut set = crate::value::Object::new();
        let mut unset = Vec::new();
        for (name, change) in patch {
            match change {
                None => unset.push(name),
                Some(None) => set.extend(fitting(&name).map(|value| (name, value))),
                Some(Some(value)) => _ = set.insert(name, value),
            }
        }
        let mut new = old.clone();
        new.retain(|name, _| !unset.contains(name));
        new.extend(set.clone());
        let matches = accepts(&validator, Value::Object(new));
        prop_assert_eq!(validator.allows_patch(&set, unset.iter(), &Tables), matches);
        prop_assert!(Validator::Any.allows_patch(&set, unset.iter(), &Tables));
        let union = Validator::Union(vec![validator.clone()]);
        prop_assert!(!union.allows_patch(&set, unset.iter(), &Tables), "it is not for one field to say");
    }
}
