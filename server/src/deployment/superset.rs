//! Whether everything that fits one validator fits another, as far as their forms tell: then stored documents need no look.

use std::collections::BTreeMap;

use vestibule_schema::validator::{Field, Validator};

/// Whether every value that fits `old` fits `new`. False as well where that cannot be shown from the forms.
pub fn allows_all(new: &Validator, old: &Validator) -> bool {
    if new == old {
        return true;
    }
    match (new, old) {
        (Validator::Any, _) => true,
        (_, Validator::Union(members)) => members.iter().all(|member| allows_all(new, member)),
        (Validator::Union(members), _) => members.iter().any(|member| allows_all(member, old)),
        (Validator::Object(new), Validator::Object(old)) => allows_all_fields(new, old),
        (Validator::Array(new), Validator::Array(old)) => allows_all(new, old),
        (
            Validator::Record { keys, values },
            Validator::Record {
                keys: old_keys,
                values: old_values,
            },
        ) => allows_all(keys, old_keys) && allows_all(values, old_values),
        (Validator::String, Validator::Id { .. } | Validator::Function { .. }) => true,
        (Validator::Function { .. }, Validator::Function { .. }) => true,
        (_, Validator::Literal(value)) => match new {
            Validator::String => value.as_str().is_some(),
            Validator::Number => value.as_f64().is_some(),
            Validator::Bigint => value.as_i64().is_some(),
            Validator::Boolean => value.as_bool().is_some(),
            _ => false,
        },
        (Validator::CommitTs, Validator::Bigint) | (Validator::Bigint, Validator::CommitTs) => true,
        _ => false,
    }
}

fn allows_all_fields(new: &BTreeMap<String, Field>, old: &BTreeMap<String, Field>) -> bool {
    let allows = |(name, old): (&String, &Field)| {
        new.get(name).is_some_and(|new| {
            (new.optional || !old.optional) && allows_all(&new.validator, &old.validator)
        })
    };
    let may_be_missing = |(name, new): (&String, &Field)| new.optional || old.contains_key(name);
    old.iter().all(allows) && new.iter().all(may_be_missing)
}

#[cfg(test)]
mod tests {
    use vestibule_schema::value::Value;

    use super::*;

    fn object(fields: &[(&str, Validator, bool)]) -> Validator {
        let fields = fields.iter().map(|(name, validator, optional)| {
            let field = Field {
                validator: validator.clone(),
                optional: *optional,
            };
            (*name, field)
        });
        Validator::object(fields)
    }

    #[test]
    fn what_only_grows_allows_all_that_was_there() {
        let number = || Validator::Number;
        let literal = Validator::Literal(Value::from("a"));
        let either = || Validator::Union(vec![Validator::Number, Validator::String]);
        let old = object(&[("n", number(), false)]);
        let grown = [
            Validator::Any,
            object(&[("n", number(), true)]),
            object(&[("n", either(), false)]),
            object(&[("n", number(), false), ("m", number(), true)]),
            Validator::Union(vec![object(&[("x", number(), false)]), old.clone()]),
        ];
        for new in grown {
            assert!(allows_all(&new, &old), "{new}");
            assert!(!allows_all(&old, &new), "{new}");
        }
        assert!(allows_all(&Validator::String, &literal));
        assert!(allows_all(
            &either(),
            &Validator::Union(vec![number(), literal.clone()])
        ));
        assert!(allows_all(
            &Validator::array(either()),
            &Validator::array(literal)
        ));
        let required = object(&[("n", number(), false), ("m", number(), false)]);
        assert!(!allows_all(&required, &old));
        assert!(!allows_all(&old, &required));
        assert!(!allows_all(&Validator::id("a"), &Validator::id("b")));
    }
}
