//! Whether the deployment is paused: then scheduled functions wait, and crons skip their runs.

use vestibule_schema::value::Value;

use crate::database::{Bound, BoundKind, DatabaseError, Order, Query, Source, Transaction};

/// The table of the deployment's settings.
pub const SETTINGS: &str = "_settings";
const PAUSED: &str = "paused";

/// Whether the setting `paused` is true.
pub fn is_paused(tx: &mut Transaction<'_>) -> Result<bool, DatabaseError> {
    let key = Bound {
        kind: BoundKind::Eq,
        field: "key".into(),
        value: Some(Value::from(PAUSED)),
    };
    let query = Query {
        table: SETTINGS.into(),
        source: Source::IndexRange {
            index: "by_key".into(),
            bounds: vec![key],
        },
        order: Order::Asc,
        operators: Vec::new(),
    };
    let setting = tx.uncharged(|tx| tx.unique(&query))?;
    let value = setting.and_then(|mut setting| setting.fields.remove("value"));
    Ok(value == Some(Value::Boolean(true)))
}
