//! Where a value stands among the ids of a table. Ids are strings to functions and raw bytes in keys, and a function
//! may compare them with anything.

use vestibule_schema::id::{DocumentId, INTERNAL_ID_BYTES, InternalId, TableNumber};
use vestibule_schema::value::Value;

/// The place of a value in the order of a table's ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdPlace {
    /// It is this id.
    At(InternalId),
    /// It is no id, and this is the first that comes behind it.
    Before(InternalId),
    /// It comes behind every id.
    Behind,
}

const FIRST: InternalId = InternalId([0; INTERNAL_ID_BYTES]);

impl IdPlace {
    pub fn of(table: TableNumber, value: Option<&Value>) -> IdPlace {
        match value {
            Some(Value::String(text)) => IdPlace::of_text(table, text),
            // The types in the order of values: ids are strings.
            None | Some(Value::Null | Value::Int64(_) | Value::Float64(_) | Value::Boolean(_)) => {
                IdPlace::Before(FIRST)
            }
            Some(Value::Bytes(_) | Value::Array(_) | Value::Object(_)) => IdPlace::Behind,
        }
    }

    fn of_text(table: TableNumber, text: &str) -> IdPlace {
        let id: Option<DocumentId> = text.parse().ok();
        if let Some(id) = id.filter(|id| id.table() == table) {
            return IdPlace::At(id.internal());
        }
        // The texts of a table's ids are in the order of their bytes.
        let is_behind = |id: u128| {
            let id: DocumentId = DocumentId::new(table, InternalId(id.to_be_bytes()));
            *id.to_string() > *text
        };
        if !is_behind(u128::MAX) {
            return IdPlace::Behind;
        }
        let (mut low, mut high) = (0, u128::MAX);
        while low < high {
            let middle = low + (high - low) / 2;
            match is_behind(middle) {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        IdPlace::Before(InternalId(low.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(id: InternalId) -> String {
        DocumentId::<()>::new(TableNumber::FIRST_USER, id).to_string()
    }

    fn place(value: impl Into<Value>) -> IdPlace {
        IdPlace::of(TableNumber::FIRST_USER, Some(&value.into()))
    }

    #[test]
    fn values_of_other_types_stand_before_or_behind_all_ids() {
        assert_eq!(
            IdPlace::of(TableNumber::FIRST_USER, None),
            IdPlace::Before(FIRST)
        );
        assert_eq!(place(7.0), IdPlace::Before(FIRST));
        assert_eq!(place(true), IdPlace::Before(FIRST));
        assert_eq!(place(""), IdPlace::Before(FIRST));
        assert_eq!(place("zzz"), IdPlace::Behind);
        assert_eq!(place(vec![1u8]), IdPlace::Behind);
    }

    proptest! {
        #[test]
        fn a_text_stands_where_it_sorts(id: [u8; 16], other: [u8; 16], cut in 0..33usize) {
            let (id, other) = (InternalId(id), InternalId(other));
            prop_assert_eq!(place(text(id)), IdPlace::At(id));
            let mut near = text(id);
            near.truncate(cut);
            near.push('k');
            match place(near.as_str()) {
                IdPlace::At(at) => prop_assert_eq!(text(at), near),
                IdPlace::Before(next) => {
                    prop_assert!(text(next) > near);
                    prop_assert_eq!(other >= next, text(other) > near);
                }
                IdPlace::Behind => prop_assert!(text(other) < near),
            }
        }
    }
}
